/*-------------------------------------------------------------------------
 *
 * count.h
 *	  A test instrument: counts the objects of libpq that a session has open.
 *
 * Only in a build with "make COUNT_OBJECTS=1", as "script/test --build counted" makes it.
 * compat.h includes this after libpq's header, so that macros of the same names
 * count each call that makes or frees an object.  "SHOW dblink.open_objects"
 * shows the counts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBLINK_COUNT_H
#define DBLINK_COUNT_H

#include "storage/fd.h"

/* What is counted. */
typedef enum DblinkCounted
{
	DBLINK_COUNT_CONNECTION,	/* PGconn */
	DBLINK_COUNT_RESULT,		/* PGresult */
	DBLINK_COUNT_NOTIFICATION,	/* PGnotify */
	DBLINK_COUNT_CANCEL,		/* PGcancel, PGcancelConn */
	DBLINK_COUNT_OPTIONS,		/* array of PQconninfoOption */
	DBLINK_COUNT_FD,			/* reserved file descriptor */
	DBLINK_COUNT_KINDS
} DblinkCounted;

extern void dbl_count_init(void);
extern void *dbl_count_made(DblinkCounted kind, void *object);
extern void *dbl_count_freed(DblinkCounted kind, void *object);
extern bool dbl_count_fd_made(bool made);
extern void dbl_count_fd_freed(void);

#define PQconnectStartParams(keywords, values, expand) \
	dbl_count_made(DBLINK_COUNT_CONNECTION, \
				   PQconnectStartParams(keywords, values, expand))
#define PQfinish(pgconn) \
	PQfinish(dbl_count_freed(DBLINK_COUNT_CONNECTION, pgconn))

#define PQgetResult(pgconn) \
	dbl_count_made(DBLINK_COUNT_RESULT, PQgetResult(pgconn))
#define PQclear(res) \
	PQclear(dbl_count_freed(DBLINK_COUNT_RESULT, res))

/* PQfreemem() also frees copy data and messages, which are not counted. */
#define PQnotifies(pgconn) \
	dbl_count_made(DBLINK_COUNT_NOTIFICATION, PQnotifies(pgconn))
#define PQfreemem(memory) \
	PQfreemem(_Generic((memory), \
					   PGnotify *: dbl_count_freed(DBLINK_COUNT_NOTIFICATION, memory), \
					   default: (memory)))

/* The thread that makes a cancel request frees it, too. */
#define PQgetCancel(pgconn) \
	dbl_count_made(DBLINK_COUNT_CANCEL, PQgetCancel(pgconn))
#define PQfreeCancel(request) \
	PQfreeCancel(dbl_count_freed(DBLINK_COUNT_CANCEL, request))
#define PQcancelCreate(pgconn) \
	dbl_count_made(DBLINK_COUNT_CANCEL, PQcancelCreate(pgconn))
#define PQcancelFinish(request) \
	PQcancelFinish(dbl_count_freed(DBLINK_COUNT_CANCEL, request))

#define PQconninfoParse(conninfo, error) \
	dbl_count_made(DBLINK_COUNT_OPTIONS, PQconninfoParse(conninfo, error))
#define PQconninfo(pgconn) \
	dbl_count_made(DBLINK_COUNT_OPTIONS, PQconninfo(pgconn))
#define PQconndefaults() \
	dbl_count_made(DBLINK_COUNT_OPTIONS, PQconndefaults())
#define PQconninfoFree(options) \
	PQconninfoFree(dbl_count_freed(DBLINK_COUNT_OPTIONS, options))

#define AcquireExternalFD() \
	dbl_count_fd_made(AcquireExternalFD())
#define ReleaseExternalFD() \
	(dbl_count_fd_freed(), ReleaseExternalFD())

#endif							/* DBLINK_COUNT_H */
