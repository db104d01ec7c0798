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
#include "parser/parser.h"
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

/* A library says its name and version since 18: pg_get_loaded_modules(). */
#ifndef PG_MODULE_MAGIC_EXT
#define PG_MODULE_MAGIC_EXT(...)	PG_MODULE_MAGIC
#endif

/* Said before a declaration since 18. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn __attribute__((noreturn))
#endif

/* EXPLAIN's state, and what prints with it. */
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#else
#include "commands/explain.h"
#endif

/* A tuple descriptor made by hand is to be finished since 19. */
#if PG_VERSION_NUM < 190000
#define TupleDescFinalize(tupdesc)	((void) 0)
#endif

/* Is a backslash in '' an ordinary character to the parser?  Always since 19. */
static inline bool
dbl_has_standard_strings(void)
{
#if PG_VERSION_NUM >= 190000
	return true;
#else
	return standard_conforming_strings;
#endif
}

/*
 * From which level on the server logs what this process says: each kind of
 * process has its own level since 19.
 */
static inline int *
dbl_log_level_ref(void)
{
#if PG_VERSION_NUM >= 190000
	return &log_min_messages[MyBackendType];
#else
	return &log_min_messages;
#endif
}

/* What a session that waits here is seen to wait for. */
typedef enum DblinkWait
{
	DBLINK_WAIT_CONNECT,		/* establishing a connection by name */
	DBLINK_WAIT_GET_CONNECT,	/* establishing one for a single call */
	DBLINK_WAIT_GET_RESULT		/* sending, and waiting for a result */
} DblinkWait;

/*
 * The number of a wait event.  Extensions can name theirs since 17, but not yet
 * while a library is preloaded: so that is done at the first wait.
 */
static inline uint32
dbl_wait_event(DblinkWait wait)
{
#if PG_VERSION_NUM >= 170000
	static const char *const names[] = {
		"DblinkConnect", "DblinkGetConnect", "DblinkGetResult"
	};
	static uint32 events[3];

	if (events[wait] == 0)
		events[wait] = WaitEventExtensionNew(names[wait]);
	return events[wait];
#else
	return PG_WAIT_EXTENSION;
#endif
}

/*
 * COMPAT: is a new connection's name looked at before its connection string?
 * So it is since 16.
 */
#define DBLINK_NAME_FIRST	(PG_VERSION_NUM >= 160000)

/*
 * COMPAT: is a connect_timeout that is no number an error?  Since 16 it is
 * as none.
 */
#define DBLINK_STRICT_TIMEOUT	(PG_VERSION_NUM < 160000)

/* HINT of "could not establish connection" when no descriptor is left. */
#if PG_VERSION_NUM >= 170000
#define DBLINK_FD_HINT \
	"Raise the server's \"max_files_per_process\" and/or \"ulimit -n\" limits."
#else
#define DBLINK_FD_HINT \
	"Raise the server's max_files_per_process and/or \"ulimit -n\" limits."
#endif

/* What somebody who is not a superuser is told: he has to prove who he is. */
#if PG_VERSION_NUM >= 160000
#define DBLINK_PASSWORD_MSG \
	"password or GSSAPI delegated credentials required"
#define DBLINK_PASSWORD_GIVEN_DETAIL \
	"Non-superusers must provide a password in the connection string or send delegated GSSAPI credentials."
#define DBLINK_PASSWORD_USED_HINT \
	"Ensure provided credentials match target server's authentication method."
#else
#define DBLINK_PASSWORD_MSG \
	"password is required"
#define DBLINK_PASSWORD_GIVEN_DETAIL \
	"Non-superusers must provide a password in the connection string."
#define DBLINK_PASSWORD_USED_HINT \
	"Target server's authentication method must be changed."
#endif

#if PG_VERSION_NUM >= 190000
#define DBLINK_PASSWORD_USED_DETAIL \
	"Non-superusers may only connect using credentials they provide, eg: password in connection string or delegated GSSAPI credentials."
#elif PG_VERSION_NUM >= 160000
#define DBLINK_PASSWORD_USED_DETAIL \
	"Non-superusers may only connect using credentials they provide, eg: password in connection string or delegated GSSAPI credentials"
#else
#define DBLINK_PASSWORD_USED_DETAIL \
	"Non-superuser cannot connect if the server does not request a password."
#endif

/*
 * Since 16 a client that logged in with GSSAPI can delegate its credentials;
 * libpq uses them then.  A background worker has no client: no MyProcPort.
 */
#if PG_VERSION_NUM >= 160000 && defined(ENABLE_GSS)
struct Port;
extern bool be_gssapi_get_delegation(struct Port *port);

#define dbl_has_delegated_credentials() \
	(MyProcPort != NULL && be_gssapi_get_delegation(MyProcPort))
#define dbl_used_gssapi(pgconn)			(PQconnectionUsedGSSAPI(pgconn) != 0)
#else
#define dbl_has_delegated_credentials() false
#define dbl_used_gssapi(pgconn)			false
#endif

/*
 * Since 18 the keys that a client logged in with by SCRAM can be used to log in
 * where its role has the same secret.  As libpq takes them: in base64.
 */
#define DBLINK_SCRAM_PASSTHROUGH	(PG_VERSION_NUM >= 180000)

typedef struct DblinkScramKeys
{
	char		client[48];
	char		server[48];
} DblinkScramKeys;

#if PG_VERSION_NUM >= 180000
/* What struct Port looks like does not depend on Kerberos' header files. */
#ifdef ENABLE_GSS
#undef ENABLE_GSS
#include "libpq/libpq-be.h"
#define ENABLE_GSS 1
#else
#include "libpq/libpq-be.h"
#endif
#include "common/base64.h"

/* The session's keys.  False if it has none.  The caller wipes them. */
static inline bool
dbl_scram_keys(DblinkScramKeys *keys)
{
	if (MyProcPort == NULL || !MyProcPort->has_scram_keys)
		return false;

	memset(keys, 0, sizeof(*keys));
	return pg_b64_encode(MyProcPort->scram_ClientKey,
						 sizeof(MyProcPort->scram_ClientKey),
						 keys->client, sizeof(keys->client) - 1) > 0 &&
		pg_b64_encode(MyProcPort->scram_ServerKey,
					  sizeof(MyProcPort->scram_ServerKey),
					  keys->server, sizeof(keys->server) - 1) > 0;
}
#else
static inline bool
dbl_scram_keys(DblinkScramKeys *keys)
{
	return false;
}
#endif

/*
 * What the validator hints at when an option is not legal: since 16 at the one
 * that was probably meant, if there is one; before, at all that are legal.
 */
#if PG_VERSION_NUM >= 160000
#include "utils/varlena.h"

typedef ClosestMatchState DblinkOptionHint;

#define dbl_hint_begin(hint, wrong)		initClosestMatch(hint, wrong, 4)
#define dbl_hint_add(hint, option)		updateClosestMatch(hint, option)

/* The text, palloc'd; NULL if there is nothing to say. */
static inline const char *
dbl_hint_text(DblinkOptionHint *hint)
{
	const char *meant = getClosestMatch(hint);

	return meant ? psprintf("Perhaps you meant the option \"%s\".", meant) : NULL;
}
#else
#include "lib/stringinfo.h"

typedef StringInfoData DblinkOptionHint;

#define dbl_hint_begin(hint, wrong)		initStringInfo(hint)
#define dbl_hint_add(hint, option) \
	appendStringInfo(hint, "%s%s", (hint)->len > 0 ? ", " : "", option)

static inline const char *
dbl_hint_text(DblinkOptionHint *hint)
{
	return psprintf("Valid options in this context are: %s", hint->data);
}
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

/* libpq 17 makes cancel requests without blocking, else a thread has to. */
#ifdef LIBPQ_HAS_ASYNC_CANCEL
#define DBLINK_ASYNC_CANCEL
#endif

/* libpq 17 hands out rows in chunks; before, one row is the chunk. */
#ifdef LIBPQ_HAS_CHUNK_MODE
#define dbl_set_chunked_rows(pgconn, rows)	PQsetChunkedRowsMode(pgconn, rows)
#define DBLINK_PARTIAL_ROWS	PGRES_SINGLE_TUPLE: case PGRES_TUPLES_CHUNK
#else
#define dbl_set_chunked_rows(pgconn, rows)	PQsetSingleRowMode(pgconn)
#define DBLINK_PARTIAL_ROWS	PGRES_SINGLE_TUPLE
#endif

/* In a build for tests: count the objects of libpq that are open. */
#ifdef DBLINK_COUNT_OBJECTS
#include "../t/count.h"
#else
#define dbl_count_init()	((void) 0)
#endif

#endif							/* DBLINK_COMPAT_H */
