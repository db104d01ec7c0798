/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  Differences between PostgreSQL majors and between libpq versions.
 *
 * The code is written for the newest API, and older majors are made to look like
 * it here.  No other file tests PG_VERSION_NUM or a libpq feature macro.  No other
 * file includes a header of libpq either, because PostgreSQL 19 redefines some of
 * its names by macros.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBLINK_COMPAT_H
#define DBLINK_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "dblink needs PostgreSQL 15 or newer"
#endif

#include "libpq-fe.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "parser/parser.h"
#include "utils/guc.h"
#include "utils/wait_event.h"

/*
 * The library is built with -fvisibility=hidden, so that it exports only the
 * symbols that are marked with PGDLLEXPORT.  Before PostgreSQL 16 the macro is
 * empty.
 */
#if PG_VERSION_NUM < 160000
#undef PGDLLEXPORT
#define PGDLLEXPORT __attribute__((visibility("default")))

/* Nor does the declaration of an SQL function have it. */
#undef PG_FUNCTION_INFO_V1
#define PG_FUNCTION_INFO_V1(funcname) \
extern PGDLLEXPORT Datum funcname(PG_FUNCTION_ARGS); \
extern PGDLLEXPORT const Pg_finfo_record *CppConcat(pg_finfo_,funcname) (void); \
const Pg_finfo_record * \
CppConcat(pg_finfo_,funcname) (void) \
{ \
	static const Pg_finfo_record my_finfo = {1}; \
	return &my_finfo; \
} \
extern int no_such_variable
#endif

/*
 * Newer minor releases export the list of connection options that are safe in a
 * connection made on behalf of another user.  The reference is weak, because the
 * library must load where the function is missing.
 */
extern bool libpqsrv_is_valid_proxy_option(const char *keyword)
			__attribute__((weak));

/*
 * Since 16 the walkers of trees are macros that cast their callback.  Before, it is
 * declared without parameters, which means "none" to a compiler for C23.
 */
#if PG_VERSION_NUM < 160000
#include "nodes/nodeFuncs.h"

#define expression_tree_walker(node, walker, context) \
	expression_tree_walker(node, (void *) (walker), context)
#define raw_expression_tree_walker(node, walker, context) \
	raw_expression_tree_walker(node, (void *) (walker), context)
#endif

/* Since 17 a list is looped through without a cell. */
#if PG_VERSION_NUM < 170000
#define foreach_internal(type, pointer, var, lst, func) \
	for (type pointer var = 0, pointer var##__outerloop = (type pointer) 1; \
		 var##__outerloop; \
		 var##__outerloop = 0) \
		for (ForEachState var##__state = {(lst), 0}; \
			 var##__state.l != NIL && \
			 var##__state.i < var##__state.l->length && \
			 (var = (type pointer) func(&var##__state.l->elements[var##__state.i]), true); \
			 var##__state.i++)

#define foreach_ptr(type, var, lst)	foreach_internal(type, *, var, lst, lfirst)
#define foreach_int(var, lst)	foreach_internal(int, , var, lst, lfirst_int)
#define foreach_oid(var, lst)	foreach_internal(Oid, , var, lst, lfirst_oid)
#define foreach_node(type, var, lst)	foreach_ptr(type, var, lst)
#endif

/* Since 18 a library has a name and a version, see pg_get_loaded_modules(). */
#ifndef PG_MODULE_MAGIC_EXT
#define PG_MODULE_MAGIC_EXT(...)	PG_MODULE_MAGIC
#endif

/* Since 18 a macro that stands before a declaration. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn __attribute__((noreturn))
#endif

/* EXPLAIN's state, and the functions that print with it. */
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#else
#include "commands/explain.h"
#endif

/* Since 19 a tuple descriptor made by hand must be finalized. */
#if PG_VERSION_NUM < 190000
#define TupleDescFinalize(tupdesc)	((void) 0)
#endif

/*
 * Check whether a backslash in '' is an ordinary character to the parser.  Since
 * 19 it always is.
 */
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
 * Set whether it is, for a text to be parsed.  Returns false if that can't be.
 */
static inline bool
dbl_set_standard_strings(bool standard)
{
#if PG_VERSION_NUM >= 190000
	return standard;
#else
	standard_conforming_strings = standard;
	return true;
#endif
}

/*
 * Return the name of an encoding that databases may have.  19 has no name for the one
 * of number 7 any more, but the remote may be older.
 */
static inline const char *
dbl_encoding_name(int encoding)
{
	return PG_VALID_BE_ENCODING(encoding) ? pg_encoding_to_char(encoding) : "MULE_INTERNAL";
}

/*
 * Return a reference to the level from which on the server logs the messages of
 * this process.  Since 19 each kind of process has its own.
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

/* The reasons to wait that pg_stat_activity shows. */
typedef enum DblinkWait
{
	DBLINK_WAIT_CONNECT,		/* establishing a connection by name */
	DBLINK_WAIT_GET_CONNECT,	/* establishing one for a single call */
	DBLINK_WAIT_GET_RESULT		/* sending, and waiting for a result */
} DblinkWait;

/*
 * Return the number of a wait event.  Since 17 extensions can name theirs, but not
 * while a library is preloaded, so we do that at the first wait.
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
 * The waits for this session's own client.  Their header takes those of GSSAPI, which
 * need not be there.
 */
extern PGDLLIMPORT struct WaitEventSet *FeBeWaitSet;

#ifndef FeBeWaitSetSocketPos
#define FeBeWaitSetSocketPos	0
#endif

/* The numbers of functions have other names where there are several of one name. */
#if PG_VERSION_NUM < 170000
#define F_RANDOM_				F_RANDOM
#endif

/* The number of the local transaction: since 17 in a struct. */
#if PG_VERSION_NUM >= 170000
#define DBLINK_LOCAL_XACT		(MyProc->vxid.lxid)
#else
#define DBLINK_LOCAL_XACT		(MyProc->lxid)
#endif

/*
 * COMPAT: since 16 a new connection's name is checked before its connection
 * string.
 */
#define DBLINK_NAME_FIRST	(PG_VERSION_NUM >= 160000)

/*
 * COMPAT: since 16 a connect_timeout that is no number means no limit; before, it
 * is an error.
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

/* A user who is not a superuser has to prove their identity. */
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
 * Since 16 a client that logged in with GSSAPI can delegate its credentials, and
 * libpq uses them then.  A background worker has no client, so that MyProcPort is
 * NULL.
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
 * where its role has the same secret.  They are in base64 here, as libpq takes
 * them.
 */
#define DBLINK_SCRAM_PASSTHROUGH	(PG_VERSION_NUM >= 180000)

typedef struct DblinkScramKeys
{
	char		client[48];
	char		server[48];
} DblinkScramKeys;

#if PG_VERSION_NUM >= 180000
/* The layout of struct Port does not depend on Kerberos' header files. */
#ifdef ENABLE_GSS
#undef ENABLE_GSS
#include "libpq/libpq-be.h"
#define ENABLE_GSS 1
#else
#include "libpq/libpq-be.h"
#endif
#include "common/base64.h"

/* Get the session's keys.  Returns false if it has none.  The caller wipes them. */
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
 * The validator's hint when an option is not legal: since 16 the option that was
 * probably meant, if there is one; before, all that are legal.
 */
#if PG_VERSION_NUM >= 160000
#include "utils/varlena.h"

typedef ClosestMatchState DblinkOptionHint;

#define dbl_hint_begin(hint, wrong)		initClosestMatch(hint, wrong, 4)
#define dbl_hint_add(hint, option)		updateClosestMatch(hint, option)

/* Return the text of the hint, palloc'd; NULL if there is none. */
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

/* Since 16 one function checks privileges on objects of all kinds. */
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

/* utils/pg_locale.h needs the headers of ICU, which need not be installed. */
extern PGDLLIMPORT char *locale_monetary;

/* ExecutorRun() has no argument "execute_once" since 18. */
#if PG_VERSION_NUM >= 180000
#define DBLINK_EXECUTOR_RUN_ARGS \
	QueryDesc *queryDesc, ScanDirection direction, uint64 count
#define DBLINK_EXECUTOR_RUN_PASS	queryDesc, direction, count
#else
#define DBLINK_EXECUTOR_RUN_ARGS \
	QueryDesc *queryDesc, ScanDirection direction, uint64 count, bool execute_once
#define DBLINK_EXECUTOR_RUN_PASS	queryDesc, direction, count, execute_once
#endif

/* Since 19 it can tell of volatile constraints, too. */
#if PG_VERSION_NUM >= 190000
#define dbl_domain_has_constraints(type)	DomainHasConstraints(type, NULL)
#else
#define dbl_domain_has_constraints(type)	DomainHasConstraints(type)
#endif

/* The operators with which rows of a set operation are compared: since 18 it can sort. */
#if PG_VERSION_NUM >= 180000
#define dbl_setop_operators(setop)	((setop)->cmpOperators)
#else
#define dbl_setop_operators(setop)	((setop)->dupOperators)
#endif

/* The executor opens a relation: since 18 it is told whether rows go into that. */
#if PG_VERSION_NUM >= 180000
#define dbl_target_relation(estate, rti)	ExecGetRangeTableRelation(estate, rti, true)
#else
#define dbl_target_relation(estate, rti)	ExecGetRangeTableRelation(estate, rti)
#endif

/*
 * A set of events to wait for, which lives until it is freed.  Before 17, one that goes
 * away with its memory context would leave its descriptor open.
 */
#if PG_VERSION_NUM >= 170000
#define dbl_wait_set_create(nevents)	CreateWaitEventSet(NULL, nevents)
#else
#define dbl_wait_set_create(nevents)	CreateWaitEventSet(TopMemoryContext, nevents)
#endif

/* The status of a backend by its place in a list. */
#if PG_VERSION_NUM >= 160000
#define dbl_backend_status(n)	pgstat_get_local_beentry_by_index(n)
#else
#define dbl_backend_status(n)	pgstat_fetch_stat_local_beentry(n)
#endif

/* libpq 16 can be told how the server has to authenticate us. */
#define dbl_libpq_has_require_auth()	(PQlibVersion() >= 160000)

/* libpq 17 makes cancel requests without blocking; before, a thread has to. */
#ifdef LIBPQ_HAS_ASYNC_CANCEL
#define DBLINK_ASYNC_CANCEL
#endif

/* libpq 17 returns rows in chunks; before, each row is a chunk. */
#ifdef LIBPQ_HAS_CHUNK_MODE
#define dbl_set_chunked_rows(pgconn, rows)	PQsetChunkedRowsMode(pgconn, rows)
#define dbl_is_chunk(status)	((status) == PGRES_TUPLES_CHUNK)
#else
#define dbl_set_chunked_rows(pgconn, rows)	PQsetSingleRowMode(pgconn)
#define dbl_is_chunk(status)	false
#endif

/* In a build for tests: count the objects of libpq that are open. */
#ifdef DBLINK_COUNT_OBJECTS
#include "../t/count.h"
#else
#define dbl_count_init()	((void) 0)
#endif

#endif							/* DBLINK_COMPAT_H */
