/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  What differs between PostgreSQL majors and between libpq versions.
 *
 * The newest API is the language of the code; older majors are made to look
 * like it here.  No other file tests PG_VERSION_NUM or a libpq feature macro,
 * and no other file includes a header of libpq.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBLINK_COMPAT_H
#define DBLINK_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "dblink needs PostgreSQL 15 or newer"
#endif

#include "libpq-fe.h"

#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/wait_event.h"

/*
 * Only what is marked with PGDLLEXPORT leaves the library, which is built
 * with -fvisibility=hidden.  Before PostgreSQL 16 the macro is empty.
 */
#if PG_VERSION_NUM < 160000
#undef PGDLLEXPORT
#define PGDLLEXPORT __attribute__((visibility("default")))
#endif

/*
 * Newer minor releases export the list of connection options that are safe
 * in a connection made on behalf of somebody else.  A reference that may stay
 * unresolved: the library must load where the function is missing.
 */
extern bool libpqsrv_is_valid_proxy_option(const char *keyword)
			__attribute__((weak));

/* Names of wait events, given when the library is loaded. */
typedef struct DblinkWaitEvents
{
	uint32		connect;		/* establishing a connection by name */
	uint32		get_connect;	/* establishing one for a single call */
	uint32		get_result;		/* sending, and waiting for a result */
} DblinkWaitEvents;

static inline void
dbl_wait_events_init(DblinkWaitEvents *events)
{
#if PG_VERSION_NUM >= 170000
	events->connect = WaitEventExtensionNew("DblinkConnect");
	events->get_connect = WaitEventExtensionNew("DblinkGetConnect");
	events->get_result = WaitEventExtensionNew("DblinkGetResult");
#else
	events->connect = PG_WAIT_EXTENSION;
	events->get_connect = PG_WAIT_EXTENSION;
	events->get_result = PG_WAIT_EXTENSION;
#endif
}

/* DETAIL of "could not establish connection" when no descriptor is left. */
#if PG_VERSION_NUM >= 170000
#define DBLINK_FD_HINT \
	"Raise the server's \"max_files_per_process\" and/or \"ulimit -n\" limits."
#else
#define DBLINK_FD_HINT \
	"Raise the server's max_files_per_process and/or \"ulimit -n\" limits."
#endif

/* One function checks privileges on all kinds of objects since 16. */
#if PG_VERSION_NUM < 160000
#include "catalog/pg_proc.h"
#include "utils/acl.h"

static inline AclResult
object_aclcheck(Oid classid, Oid objectid, Oid roleid, AclMode mode)
{
	if (classid == ProcedureRelationId)
		return pg_proc_aclcheck(objectid, roleid, mode);
	return pg_foreign_server_aclcheck(objectid, roleid, mode);
}
#endif

/* libpq 17 hands out rows in chunks; before, one row is the chunk. */
#ifdef LIBPQ_HAS_CHUNK_MODE
#define dbl_set_chunked_rows(pgconn, rows)	PQsetChunkedRowsMode(pgconn, rows)
#define DBLINK_CASE_PARTIAL_ROWS \
	case PGRES_SINGLE_TUPLE: \
	case PGRES_TUPLES_CHUNK
#else
#define dbl_set_chunked_rows(pgconn, rows)	PQsetSingleRowMode(pgconn)
#define DBLINK_CASE_PARTIAL_ROWS \
	case PGRES_SINGLE_TUPLE
#endif

#endif							/* DBLINK_COMPAT_H */
