/*-------------------------------------------------------------------------
 *
 * dblink.h
 *	  The only internal header of dblink, and the map of its source.
 *
 * Files; each calls only those below it:
 *
 *	dblink.c		SQL entry points on connections, one argument splitter
 *	sqlbuild.c		dblink_get_pkey, dblink_build_sql_*; knows no libpq
 *	planner.c		the streaming scan in the planner
 *	scan.c			the streaming scan in the executor
 *	reread.c		may a plan read a scan's rows more than once?
 *	connection.c	which connections there are: open, find, close, clean up
 *	kept.c			those that are kept for another call
 *	security.c		who may connect as whom
 *	establish.c		establishing a connection to a remote server
 *	hosts.c			which addresses are left after a time-out
 *	option.c		foreign server and user mapping to conninfo; the validator
 *	recover.c		making a connection usable again after a failed call
 *	result.c		a query's answer, into a tuplestore
 *	stream.c		a result that is read row by row, and can be set aside
 *	batch.c			the few rows of it that are at hand
 *	spool.c			the rows that were set aside
 *	decode.c		remote rows to Datums
 *	remote.c		talking to the remote: send, receive, wait
 *	cancel.c		cancel requests: how they are waited for
 *	cancel_async.c	how they are made
 *	cancel_thread.c	the same with a libpq older than 17
 *	readonly.c		does SQL text do nothing but read?
 *	error.c			remote errors to local ones
 *	args.c			arguments of SQL functions: there, not null, of their type
 *	compat.h		differences between PostgreSQL majors and libpq versions
 *
 * Who owns what.  Every PGconn, PGresult, PGnotify and reserved file descriptor
 * belongs to a DblinkConn, from the moment it exists: the field is the variable
 * that the libpq function is assigned to.  (A cancel request belongs to the
 * thread that makes it, too, if there is one.)  Every DblinkConn is in
 * connection.c's list, or while it is only kept in kept.c's.  When a transaction
 * or subtransaction aborts, connection.c looks at each connection that a call of
 * that level was using, and cleans up what the call left behind.  So code
 * anywhere may throw, no libpq object needs PG_TRY, and nothing leaks.
 *
 * Memory contexts:
 *
 *	TopMemoryContext	DblinkConn, the table of names.  Until closed.
 *	the caller's		arguments, SQL texts, conninfo strings.  Conninfo
 *						strings built here are wiped when the context dies.
 *	per query			the tuplestore and its tuple descriptor: the executor
 *						reads them after we return.
 *	"dblink scan"		of a custom scan: arguments, the stream, kept rows.
 *	"dblink stream"		of a stream, child of the above: decoder, spool.
 *	"dblink row"		one row's Datums; reset before each row (decode.c).
 *	"dblink notice"		a remote NOTICE on its way to the log (establish.c).
 *
 * Endings of names: _find gives NULL if there is none, _get throws, _open makes,
 * _close ends, _check throws and changes nothing, _is_ never throws.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBLINK_H
#define DBLINK_H

#include "src/compat.h"

#include "fmgr.h"
#include "lib/ilist.h"
#include "lib/stringinfo.h"
#include "nodes/execnodes.h"
#include "nodes/extensible.h"
#include "utils/array.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

/* What kind of connection it is: how it is named, and how long it lives. */
typedef enum DblinkConnKind
{
	DBLINK_NAMED,				/* until dblink_disconnect(name) */
	DBLINK_UNNAMED,				/* until dblink_disconnect() or replaced */
	DBLINK_ONE_CALL,			/* for a call by conninfo or server name */
	DBLINK_KEPT					/* was for one call, and is kept for another */
} DblinkConnKind;

/* What a local call is doing with a connection right now. */
typedef enum DblinkPhase
{
	DBLINK_IDLE,				/* no call is using it; an asynchronous query
								 * may be under way */
	DBLINK_RUNNING,				/* a call owns the exchange up to its end */
	DBLINK_FETCHING				/* a call owns the current result only */
} DblinkPhase;

typedef struct DblinkCancel DblinkCancel;	/* a cancel request, cancel_*.c */
typedef struct DblinkStream DblinkStream;	/* rows on demand, stream.c */
typedef struct DblinkDecoder DblinkDecoder; /* rows to Datums, decode.c */
typedef struct DblinkBatch DblinkBatch; /* some raw rows, batch.c */
typedef struct DblinkSpool DblinkSpool; /* many of them, spool.c */

/*
 * One connection to a remote server.
 *
 * It exists before its PGconn does, and may outlive it for the rest of a call:
 * pgconn is NULL then.  The fields below "phase" say how to clean up when the
 * call that uses the connection ends in an error.
 */
typedef struct DblinkConn
{
	dlist_node	node;			/* in the list of connection.c or kept.c */
	DblinkConnKind kind;
	char		name[NAMEDATALEN];	/* of a named one, else empty */
	bool		open;			/* ready for use; until then no lookup finds
								 * it, and an error closes it */
	bool		holds_fd;		/* reserved with AcquireExternalFD() */
	PGconn	   *pgconn;
	PGresult   *res;			/* the result being looked at, or NULL */
	PGresult   *last_res;		/* the last result, while looking for more */
	PGnotify   *notify;			/* the notification being looked at, or NULL */
	DblinkCancel *cancel;		/* a cancel request under way, or NULL */
	DblinkStream *stream;		/* the stream that reads from it, or NULL */
	bool		loops_back;		/* it leads to this very server */
	bool		only_reads;		/* the asynchronous query does not write */

	/* for DBLINK_ONE_CALL, if dblink.keep_connections allows it to be kept */
	char	   *conninfo;		/* what it was opened with; wiped at the end */
	Oid			userid;			/* who opened it */
	bool		from_server;	/* conninfo is that of a foreign server */
	uint64		server_changes; /* how many there had been (kept.c) */

	/* transaction block opened by dblink_open() */
	bool		own_xact;		/* we opened it, and commit it */
	int			open_cursors;	/* how many dblink_open()s it counts */

	DblinkPhase phase;
	int			level;			/* transaction nesting level of the call that
								 * opened it or is using it */
	bool		binary;			/* the result was asked for in binary */
	bool		converting;		/* its rows are being converted: no other call
								 * may use it */
	bool		in_xact;		/* the call began in a remote transaction
								 * block, that a cancel would bring to nothing */
	bool		cancel_on_abort;	/* if the call fails now, do not let the
									 * remote statement finish */
} DblinkConn;

/*
 * How to connect: a conninfo string and its options.  The string is parsed once,
 * when this is made (option.c).
 */
typedef struct DblinkConnInfo
{
	const char *string;			/* as libpq takes it */
	bool		from_server;	/* built from a foreign server; else given by
								 * the user */
	const PQconninfoOption *options;	/* one for each that libpq knows; NULL
										 * if the string does not parse */
	const char *error;			/* why it does not, NULL if memory ran out */
} DblinkConnInfo;

/*
 * The hosts that are left to connect to after time-outs; all zero before the
 * first.  The lists are as libpq takes them.
 */
typedef struct DblinkHosts
{
	List	   *entries;		/* what hosts.c knows of each */
	bool		earlier_too;	/* libpq may yet come to those before the one
								 * that it is at */
	bool		has_names;		/* "host" was given at first */
	bool		has_hostaddrs;	/* "hostaddr" was */
	const char *host;
	const char *hostaddr;
	const char *port;
} DblinkHosts;

/*
 * A remote error, copied out of libpq.  All strings are palloc'd and valid in
 * the database encoding; NULL if there is none.
 */
typedef struct DblinkError
{
	int			sqlstate;
	const char *primary;
	const char *detail;
	const char *hint;
	const char *context;		/* the remote's own */
	const char *where;			/* the connection, in words */
} DblinkError;

/* What a result, or part of one, means. */
typedef enum DblinkResultKind
{
	DBLINK_ROWS,				/* rows, and more to come */
	DBLINK_LAST_ROWS,			/* rows, or none, and the result is complete */
	DBLINK_COMMAND,				/* no rows but a command tag */
	DBLINK_FAILURE				/* anything else */
} DblinkResultKind;

/* A value as it came from the remote; a row is an array of them. */
typedef struct DblinkValue
{
	const char *text;			/* ended by a NUL; NULL for a null */
	int			len;			/* without the NUL */
} DblinkValue;

/*
 * A query that has been sent, and what to do with its answer.
 */
typedef struct DblinkQuery
{
	DblinkConn *conn;
	bool		fail_on_error;	/* else a remote error is a NOTICE */
	const char *action;			/* for the context of a remote error */
	const char *cursor;			/* the cursor that is fetched from, or NULL */
} DblinkQuery;

/* The functions that a custom scan can take the place of. */
typedef enum DblinkScanned
{
	DBLINK_SCAN_NONE,
	DBLINK_SCAN_RECORD,			/* dblink() */
	DBLINK_SCAN_FETCH,			/* dblink_fetch() */
	DBLINK_SCAN_GET_RESULT		/* dblink_get_result() */
} DblinkScanned;

/* Values of dblink.streaming. */
typedef enum DblinkStreaming
{
	DBLINK_STREAMING_OFF,
	DBLINK_STREAMING_ON,
	DBLINK_STREAMING_ALWAYS		/* even from this very server */
} DblinkStreaming;

/* Values of dblink.on_early_end. */
typedef enum DblinkEarlyEnd
{
	DBLINK_EARLY_END_DRAIN,		/* let the remote statement come to its end */
	DBLINK_EARLY_END_CANCEL
} DblinkEarlyEnd;

/* Values of dblink.result_format. */
typedef enum DblinkResultFormat
{
	DBLINK_FORMAT_TEXT,
	DBLINK_FORMAT_BINARY		/* where it is safe */
} DblinkResultFormat;

/*
 * Milliseconds from now to a deadline, 0 if it has passed.
 */
static inline long
dbl_time_left(TimestampTz deadline)
{
	return TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
}

/* dblink.c */
extern int	dbl_result_format;
extern int	dbl_keep_connections;
extern int	dbl_streaming;
extern int	dbl_stream_hold_time;
extern int	dbl_on_early_end;

extern PGDLLEXPORT void _PG_init(void);
extern PGDLLEXPORT Datum dblink_connect(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum dblink_disconnect(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum dblink_get_connections(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum dblink_error_message(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum dblink_record(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum dblink_exec(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum dblink_open(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum dblink_fetch(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum dblink_close(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum dblink_send_query(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum dblink_is_busy(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum dblink_get_result(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum dblink_cancel_query(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum dblink_get_notify(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum dblink_current_query(PG_FUNCTION_ARGS);

/* sqlbuild.c */
extern PGDLLEXPORT Datum dblink_get_pkey(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum dblink_build_sql_insert(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum dblink_build_sql_delete(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum dblink_build_sql_update(PG_FUNCTION_ARGS);

/* connection.c */
extern void dbl_conn_init(void);
extern DblinkConn *dbl_conn_find(const char *name);
extern DblinkConn *dbl_conn_get(const char *name);
extern DblinkConn *dbl_conn_get_or_open(const char *name_or_source);
extern void dbl_conn_open(const char *name, const char *source);
extern void dbl_conn_release(DblinkConn *conn);
extern void dbl_conn_close(DblinkConn *conn);
extern void dbl_conn_abandon(DblinkConn *conn);
extern bool dbl_conn_is_any_streaming(void);
extern void dbl_conn_read_ahead(DblinkConn *conn);
extern void dbl_conn_read_ahead_all(void);
extern Datum dbl_conn_names(bool *isnull);

/* kept.c */
extern void dbl_kept_init(void);
extern void dbl_kept_note(DblinkConn *conn, const DblinkConnInfo *conninfo);
extern bool dbl_kept_is_wanted(const DblinkConn *conn);
extern void dbl_kept_put(DblinkConn *conn);
extern DblinkConn *dbl_kept_find(const char *conninfo);
extern DblinkConn *dbl_kept_oldest(void);
extern DblinkConn *dbl_kept_surplus(void);

/* option.c */
extern PGDLLEXPORT Datum dblink_fdw_validator(PG_FUNCTION_ARGS);
extern const DblinkConnInfo *dbl_opt_conninfo(const char *source);
extern const PQconninfoOption *dbl_opt_effective(PGconn *pgconn);
extern const char *dbl_opt_value(const PQconninfoOption *options,
								 const char *keyword);

/* security.c */
extern void dbl_sec_password_given_check(const DblinkConnInfo *conninfo);
extern void dbl_sec_options_check(const DblinkConnInfo *conninfo);
extern void dbl_sec_password_used_check(DblinkConn *conn,
										const DblinkConnInfo *conninfo);

/* establish.c */
extern bool dbl_est_reserve_fd(DblinkConn *conn);
extern void dbl_est_connect(DblinkConn *conn, const DblinkConnInfo *conninfo);
extern void dbl_est_set_encoding(DblinkConn *conn);
extern bool dbl_est_loops_back(DblinkConn *conn);

/* hosts.c */
extern bool dbl_hosts_skip(DblinkHosts *hosts, const PQconninfoOption *options,
						   PGconn *pgconn);

/* remote.c */
extern int	dbl_remote_wait(DblinkConn *conn, int events, long timeout_ms,
							uint32 wait_event);
extern void dbl_remote_serve_interrupts(DblinkConn *conn);
extern bool dbl_remote_answers_within(DblinkConn *conn, int ms);
extern DblinkResultKind dbl_remote_kind(const PGresult *res);
extern bool dbl_remote_is_partial(const PGresult *res);
extern void dbl_remote_disconnect(DblinkConn *conn);
extern bool dbl_remote_send(DblinkConn *conn, const char *sql);
extern void dbl_remote_send_query(DblinkConn *conn, const char *sql);
extern bool dbl_remote_ask(DblinkConn *conn, const char *sql);
extern PGresult *dbl_remote_description(DblinkConn *conn);
extern void dbl_remote_send_binary(DblinkConn *conn, const char *sql);
extern PGresult *dbl_remote_finish(DblinkConn *conn);
extern void dbl_remote_leave(DblinkConn *conn);
extern void dbl_remote_end_call(DblinkConn *conn);
extern void dbl_remote_fetch(DblinkConn *conn);
extern PGresult *dbl_remote_next(DblinkConn *conn);
extern PGresult *dbl_remote_next_at_hand(DblinkConn *conn);
extern PGresult *dbl_remote_exec(DblinkConn *conn, const char *sql);
extern bool dbl_remote_is_alive(DblinkConn *conn);
extern bool dbl_remote_is_busy(DblinkConn *conn);
extern PGnotify *dbl_remote_next_notify(DblinkConn *conn);
extern void dbl_remote_forget(DblinkConn *conn);

/* recover.c */
extern bool dbl_recover(DblinkConn *conn);

/* cancel.c */
extern bool dbl_cancel_send(DblinkConn *conn, int timeout_ms);
extern const char *dbl_cancel_query(DblinkConn *conn);

/* cancel_async.c or cancel_thread.c */
extern const char *dbl_cancel_begin(DblinkConn *conn);
extern int	dbl_cancel_events(const DblinkCancel *cancel);
extern pgsocket dbl_cancel_socket(const DblinkCancel *cancel);
extern void dbl_cancel_continue(DblinkCancel *cancel);
extern const char *dbl_cancel_problem(const DblinkCancel *cancel);
extern void dbl_cancel_close(DblinkConn *conn);

/* result.c */
extern void dbl_res_begin(FunctionCallInfo fcinfo);
extern Tuplestorestate *dbl_res_return(FunctionCallInfo fcinfo,
									   TupleDesc tupdesc);
extern void dbl_res_materialize(FunctionCallInfo fcinfo,
								const DblinkQuery *query);
extern Tuplestorestate *dbl_res_collect(const DblinkQuery *query,
										TupleDesc tupdesc, bool random_access);
extern bool dbl_res_ask(const DblinkQuery *query, const char *sql,
						TupleDesc tupdesc);
extern bool dbl_res_send_described(const DblinkQuery *query, const char *sql,
								   TupleDesc tupdesc);
extern bool dbl_res_send(const DblinkQuery *query, const char *sql,
						 TupleDesc tupdesc);
extern TupleDesc dbl_res_expected(FunctionCallInfo fcinfo);

/* decode.c */
extern bool dbl_dec_is_binary_safe(TupleDesc tupdesc, PGconn *pgconn);
extern DblinkDecoder *dbl_dec_begin(DblinkConn *conn, PGresult *res,
									TupleDesc tupdesc);
extern void dbl_dec_end(DblinkDecoder *decoder);
extern void dbl_dec_row(DblinkDecoder *decoder, DblinkConn *conn,
						const DblinkValue *row, Datum *values, bool *nulls);
extern int	dbl_dec_mimic(DblinkDecoder *decoder);
extern void dbl_dec_mimic_end(int guc_level);

/* batch.c */
extern DblinkBatch *dbl_batch_make(int natts);
extern void dbl_batch_clear(DblinkBatch *batch);
extern bool dbl_batch_add(DblinkBatch *batch, const PGresult *res, int row);
extern bool dbl_batch_is_full(DblinkBatch *batch);
extern const DblinkValue *dbl_batch_next(DblinkBatch *batch);
extern void dbl_row_values(const PGresult *res, int row, DblinkValue *values,
						   int natts);

/* spool.c */
extern DblinkSpool *dbl_spool_make(int natts);
extern void dbl_spool_put(DblinkSpool *spool, const DblinkValue *row);
extern const DblinkValue *dbl_spool_next(DblinkSpool *spool);
extern void dbl_spool_close_files(DblinkSpool *spool);
extern void dbl_spool_end(DblinkSpool *spool);

/* stream.c */
extern DblinkStream *dbl_stream_begin(const DblinkQuery *query,
									  TupleDesc tupdesc);
extern bool dbl_stream_next(DblinkStream *stream, Datum *values, bool *nulls);
extern bool dbl_stream_is_overdue(DblinkStream *stream);
extern void dbl_stream_read_ahead(DblinkStream *stream);
extern void dbl_stream_drain(DblinkStream *stream);
extern void dbl_stream_warn(DblinkStream *stream);
extern void dbl_stream_leave(DblinkStream *stream);
extern void dbl_stream_lose(DblinkStream *stream);
extern void dbl_stream_end(DblinkStream *stream);
extern void dbl_stream_end_of_xact(void);
extern const char *dbl_stream_source(DblinkStream *stream);
extern bool dbl_stream_is_reading(DblinkStream *stream);
extern DblinkConn *dbl_stream_conn(DblinkStream *stream);
extern ResourceOwner dbl_stream_reader(DblinkStream *stream);

/* readonly.c */
extern bool dbl_sql_only_reads(const char *sql);

/* planner.c */
extern void dbl_plan_init(void);

/* scan.c */
extern void dbl_scan_init(void);
extern const CustomScanMethods dbl_scan_methods;

/* reread.c */
extern bool dbl_reread_is_possible(Plan *scan, EState *estate, int eflags);

/* error.c */
extern void dbl_err_fill(DblinkError *error, DblinkConn *conn);
extern void dbl_err_report(const DblinkError *error, int elevel,
						   const char *action);
extern void dbl_err_report_now(DblinkConn *conn, bool fail_on_error,
							   const char *action);
extern const char *dbl_err_message(DblinkConn *conn);
extern const char *dbl_err_reason(DblinkConn *conn);
extern const char *dbl_err_clean(const char *raw);
pg_noreturn extern void dbl_err_not_connected(const char *detail);
pg_noreturn extern void dbl_err_no_cursor(const char *cursor);
pg_noreturn extern void dbl_err_copy_refused(void);
pg_noreturn extern void dbl_err_too_many_files(void);
extern void dbl_err_closed(DblinkConn *conn);
extern void dbl_err_remote_xact_aborted(DblinkConn *conn);
pg_noreturn extern void dbl_err_in_use(DblinkConn *conn);

/* args.c */
extern void dbl_arg_check(FunctionCallInfo fcinfo, int n);
extern void dbl_arg_check_all(FunctionCallInfo fcinfo, int count);
extern text *dbl_arg_text(FunctionCallInfo fcinfo, int n);
extern int32 dbl_arg_int4(FunctionCallInfo fcinfo, int n);
extern Oid	dbl_arg_oid(FunctionCallInfo fcinfo, int n);
extern ArrayType *dbl_arg_text_array(FunctionCallInfo fcinfo, int n);
extern ArrayType *dbl_arg_vector(FunctionCallInfo fcinfo, int n);

#endif							/* DBLINK_H */
