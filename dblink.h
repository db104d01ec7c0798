/*-------------------------------------------------------------------------
 *
 * dblink.h
 *	  The only internal header of dblink, and the map of its source.
 *
 * Files.  Each calls only those below it; "script/lint map" checks that.
 *
 *	dblink.c			SQL entry points on connections
 *	src/dblink2.c		SQL entry points of the extension dblink2
 *	src/connections.c	SQL entry points of dblink2 on connections themselves
 *	src/sqlbuild.c		dblink_get_pkey, dblink_build_sql_*; knows no libpq
 *	src/planner.c		the streaming scan in the planner
 *	src/scan.c			the streaming scan in the executor
 *	src/explain.c		the streaming scan in EXPLAIN
 *	src/shape.c			what the shape of a plan says about a scan
 *	src/quick.c			what in a plan may take its time
 *	src/run.c			executor runs and utility statements around a stream
 *	src/gather.c		several connections at once
 *	src/copy.c			local rows to a remote table
 *	src/session.c		taking connections into use, opening, transaction ends
 *	src/stream.c		a result that is read row by row
 *	src/result.c		a result that is read into a tuplestore
 *	src/rows.c			raw rows, set aside
 *	src/kept.c			connections that are kept for another call
 *	src/follow.c		remote transactions that follow the local one
 *	src/recover.c		what a failed call leaves on its connections
 *	src/deadlock.c		calls that wait for this very session
 *	src/registry.c		the list of all connections, and their names
 *	src/establish.c		establishing a connection to a remote server
 *	src/hosts.c			the addresses that remain after a time-out
 *	src/loopback.c		connections to this very server, as the role one is
 *	src/security.c		who may connect as whom
 *	src/option.c		foreign server and user mapping to conninfo; validator
 *	src/params.c		arguments of SQL functions as parameters of a query
 *	src/answer.c		the answer to a query, part by part
 *	src/decode.c		remote rows to Datums
 *	src/rowtype.c		remote columns to those of a row type
 *	src/styles.c		the settings that conversions depend on
 *	src/notify.c		notifications of the remote server
 *	src/copyin.c		rows to a remote COPY FROM STDIN
 *	src/exchange.c		one call's use of a connection: send, receive, end
 *	src/watch.c			when a call that waits looks for a deadlock
 *	src/cancel.c		cancel requests
 *	src/remote.c		libpq without blocking calls: wait, and look
 *	src/notice.c		notices of the remote server, on their way to the log
 *	src/sqltext.c		what can be told from the text of a query
 *	src/args.c			arguments of the SQL functions
 *	src/error.c			remote errors to local ones
 *	src/diag.c			the last errors, for dblink_error()
 *	src/settings.c		configuration parameters
 *	src/compat.h		differences between PostgreSQL majors and libpq versions
 *
 * Ownership.  Every PGconn, PGresult, PGnotify and reserved file descriptor
 * belongs to a DblinkConn, from the moment it exists: the field is the variable
 * that the libpq function is assigned to.  Every DblinkConn is in the list of
 * registry.c before it is connected.  When a transaction or subtransaction
 * aborts, session.c looks for connections that a call of that level was using,
 * and cleans up.  So code anywhere may throw, no libpq object needs PG_TRY, and
 * nothing leaks.
 *
 * Memory contexts:
 *
 *	TopMemoryContext	DblinkConn, the table of names.  Until closed.
 *	the caller's		arguments, SQL texts, conninfo strings.  Conninfo
 *						strings built here are wiped when the context dies.
 *	per query			the tuplestore and its tuple descriptor: the executor
 *						reads them after we return.
 *	"dblink scan"		of a custom scan: arguments, the stream, stored rows.
 *	"dblink stream"		of a stream, child of the above: decoder, spool.
 *	"dblink result"		of one of several results; reset for each (result.c).
 *	"dblink row"		one row's Datums; reset before each row (decode.c).
 *
 * Endings of names: _find returns NULL if there is none, _get throws, _open
 * makes, _close ends, _check throws and changes nothing.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBLINK_H
#define DBLINK_H

#include "src/compat.h"

#include "common/sha2.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "lib/ilist.h"
#include "lib/stringinfo.h"
#include "nodes/execnodes.h"
#include "nodes/extensible.h"
#include "utils/array.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

typedef struct DblinkCancel DblinkCancel;	/* a cancel request, cancel.c */
typedef struct DblinkStream DblinkStream;	/* rows on demand, stream.c */
typedef struct DblinkDecoder DblinkDecoder; /* rows to Datums, decode.c */
typedef struct DblinkBatch DblinkBatch; /* some raw rows, rows.c */
typedef struct DblinkSpool DblinkSpool; /* many of them, rows.c */
typedef struct DblinkAttempt DblinkAttempt; /* to connect, establish.c */
typedef struct DblinkSink DblinkSink;	/* rows into a tuplestore, result.c */
typedef struct DblinkGather DblinkGather;	/* rows of several, gather.c */

/* ---- configuration parameters, settings.c ---- */

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
	DBLINK_EARLY_END_AUTO,		/* drain what is short, cancel what is pure */
	DBLINK_EARLY_END_DRAIN,		/* let the remote statement complete */
	DBLINK_EARLY_END_CANCEL
} DblinkEarlyEnd;

/* Values of dblink.gather_failures. */
typedef enum DblinkGatherFailures
{
	DBLINK_GATHER_ERROR,		/* the first ends all */
	DBLINK_GATHER_SKIP			/* the others go on */
} DblinkGatherFailures;

/* Values of dblink.result_format. */
typedef enum DblinkResultFormat
{
	DBLINK_FORMAT_TEXT,
	DBLINK_FORMAT_BINARY		/* where it is safe */
} DblinkResultFormat;

/* ---- connections ---- */

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
								 * may be in progress */
	DBLINK_RUNNING,				/* a call owns the exchange up to its end */
	DBLINK_FETCHING				/* a call owns the current result only */
} DblinkPhase;

/* What becomes of the remote statement if the call that waits for it fails. */
typedef enum DblinkOnAbort
{
	DBLINK_FINISH,				/* let it complete: its effects may be wanted */
	DBLINK_CANCEL,
	DBLINK_CANCEL_SOON			/* unless it completes within a moment */
} DblinkOnAbort;

/* How far recovery of a failed call has come (recover.c). */
typedef enum DblinkRecovery
{
	DBLINK_RECOVERY_NONE,		/* not asked for */
	DBLINK_RECOVERY_FINISHING,	/* the remote statement is let complete */
	DBLINK_RECOVERY_CANCELLING, /* it is cancelled */
	DBLINK_RECOVERY_ROLLING_BACK,	/* its transaction, which follows ours, is
									 * rolled back */
	DBLINK_RECOVERY_USABLE,		/* done, the connection can be used again */
	DBLINK_RECOVERY_LOST		/* done, the connection must be closed */
} DblinkRecovery;

/* How a remote statement waits for this session (deadlock.c). */
typedef enum DblinkDeadlockKind
{
	DBLINK_DEADLOCK_NONE,		/* it does not, or that is not known */
	DBLINK_DEADLOCK_DIRECT,		/* for what this session holds: for ever */
	DBLINK_DEADLOCK_CHAIN		/* through others, which may give up */
} DblinkDeadlockKind;

/* What a look for a deadlock has found; all zero if there is none. */
typedef struct DblinkDeadlock
{
	DblinkDeadlockKind kind;
	uint64		chain;			/* which processes, and since when each waits */
	bool		waits_for_xact; /* it waits for a transaction's end, not for a
								 * lock by name */
	char	   *detail;			/* for the error */
} DblinkDeadlock;

/* Looking for a deadlock during a call; all zero before the first wait (watch.c). */
typedef struct DblinkWatch
{
	TimestampTz look_at;		/* when to look */
	long		look_ms;		/* the interval of looking */
	uint64		chain;			/* the one that was seen last, 0 for none */
	TimestampTz chain_since;	/* when it was seen first */
	DblinkDeadlock *deadlock;	/* what the statement was cancelled for */
} DblinkWatch;

struct DblinkConn;

/* How far a call has come that copies rows to the remote (copyin.c). */
typedef enum DblinkCopyState
{
	DBLINK_COPY_NONE,			/* no row is copied */
	DBLINK_COPY_ASKED,			/* COPY was sent */
	DBLINK_COPY_OPEN,			/* the remote takes rows */
	DBLINK_COPY_ENDED			/* there are no more */
} DblinkCopyState;

/* The remote's part in that, while it takes rows. */
typedef struct DblinkCopyIn
{
	DblinkCopyState state;
	uint64		notices;		/* the connection's count when it was read
								 * last */
	TimestampTz unread_since;	/* when something arrived that is no notice,
								 * or a part of one, for the last time; or 0 */
	int64		unread;			/* how much that is, at most */
} DblinkCopyIn;

/*
 * A call's use of a connection.  All zero except errors_size: no call uses it, and none has
 * left a result.  Only exchange.c writes to it, except for the fields of recovery, and for
 * "copy", "notify" and "watch", which are those of copyin.c, notify.c and watch.c.
 *
 * "res", "tuples" and "reader" outlive the exchange, until the next one begins.
 */
typedef struct DblinkExchange
{
	DblinkPhase phase;
	int			level;			/* transaction nesting level of the call */
	PGresult   *res;			/* the result being looked at, or NULL */
	PGresult   *last_res;		/* the last result, while looking for more */
	char		tuples[64];		/* the number in its tag; empty if it has none */
	int			errors;			/* how many results were errors */
	Size		errors_size;	/* of libpq's text of them */
	PGnotify   *notify;			/* the notification being looked at, or NULL */
	struct DblinkConn **reader; /* where the stream that reads these rows
								 * points to us, set to NULL when they end; or
								 * NULL */
	bool		binary;			/* rows were requested in binary */
	bool		converting;		/* its rows are being converted, or rows are
								 * copied to it: no other call may use the
								 * connection */
	bool		in_xact;		/* the exchange began in a remote transaction
								 * block, which a cancel would abort */
	DblinkOnAbort on_abort;
	DblinkCopyIn copy;

	DblinkWatch watch;

	DblinkRecovery recovery;
	int			cancels;		/* requests that recovery has sent */
	bool		cancel_unsure;	/* one of them may still arrive */
	TimestampTz until;			/* when this step of recovery has failed */
} DblinkExchange;

/* Where a connection leads, and what it takes to find it again (kept.c). */
typedef struct DblinkPlace
{
	char	   *conninfo;		/* of one for one call, what it was opened
								 * with, wiped at the end; NULL if it is not
								 * to be kept */
	uint8		digest[PG_SHA256_DIGEST_LENGTH];	/* of a named one: that of
													 * its conninfo string */
	Oid			userid;			/* who opened it */
	Oid			serverid;		/* through which foreign server; InvalidOid if
								 * by a conninfo string of the user's */
	char	   *search_path;	/* of a loopback connection, which the other
								 * session started with; NULL if it is unknown */
	int			keep_ms;		/* of a loopback connection: how long the
								 * other session may be kept */
	TimestampTz kept_at;		/* when it was set aside */
	uint64		server_changes; /* how many there had been */
} DblinkPlace;

/* What is known of the text of a query (sqltext.c); a set of bits. */
typedef int DblinkSqlTraits;

#define DBLINK_SQL_READS	1	/* one statement that only reads */
#define DBLINK_SQL_PURE		2	/* and calls no function */

/* What a text does to the transaction that it runs in (sqltext.c). */
typedef enum DblinkSqlControl
{
	DBLINK_SQL_UNREAD,			/* that is not known: it does not parse */
	DBLINK_SQL_STAYS,			/* it stays in it */
	DBLINK_SQL_STAYS_ALONE,		/* likewise, as at most one statement */
	DBLINK_SQL_CONTROLS			/* it begins, ends or prepares one */
} DblinkSqlControl;

/* A query that dblink_send_query() sent. */
typedef struct DblinkAsync
{
	DblinkSqlTraits sql;		/* of its text */
	bool		single;			/* it was sent with parameters */
	bool		in_xact;		/* it was sent in a remote transaction block */
} DblinkAsync;

/* How far a remote transaction that follows the local one has come. */
typedef enum DblinkFollowState
{
	DBLINK_FOLLOW_NONE,			/* there is none */
	DBLINK_FOLLOW_BEGINNING,	/* it is being started */
	DBLINK_FOLLOW_ACTIVE,		/* it is open */
	DBLINK_FOLLOW_ENDED,		/* it has not come to its end with ours, which
								 * can't commit any more */
	DBLINK_FOLLOW_COMMITTING,	/* COMMIT was sent, and its effect is unknown */
	DBLINK_FOLLOW_COMMITTED		/* it has committed, and ours has not yet */
} DblinkFollowState;

/* Room for the text that rolls it back. */
#define DBLINK_ROLLBACK_SIZE	128

/*
 * A remote transaction that follows the local one.  All zero if there is none.  Only
 * follow.c writes to it, except that exchange.c notes that it has ended, and which text
 * was not read.
 */
typedef struct DblinkFollow
{
	DblinkFollowState state;
	bool		unread;			/* the text sent last does not parse here, so
								 * that it may be anything */
	bool		reported;		/* an error has told how it has ended */
	int			last_savepoint; /* its number */
	List	   *savepoints;		/* the numbers of those for the nesting levels
								 * from 2 on; in TopTransactionContext */
	int			rollback_level; /* what an abort rolls back: all from this
								 * level on; 0 for nothing */
	char		rollback[DBLINK_ROLLBACK_SIZE]; /* the text for that */
} DblinkFollow;

/* The remote transaction block of cursors that dblink_open() declared. */
typedef struct DblinkCursors
{
	bool		own_xact;		/* dblink_open() opened the block, and
								 * dblink_close() commits it */
	int			count;			/* how many dblink_open()s it counts */
} DblinkCursors;

/* How much of a query's text dblink_connections() shows, with its end. */
#define DBLINK_QUERY_SIZE	1024

/* What dblink_connections() shows of a connection's use (exchange.c). */
typedef struct DblinkActivity
{
	TimestampTz connected_at;
	PGTransactionStatusType status; /* as it was noted last */
	TimestampTz state_change;	/* when it had become that */
	LocalTransactionId lxid;	/* the local transaction that used it last */
	Oid			userid;			/* the role that sent the query */
	char		query[DBLINK_QUERY_SIZE];	/* what was sent last, cut */
} DblinkActivity;

/*
 * One connection to a remote server.
 *
 * It exists before its PGconn does, and may outlive it for the rest of a call:
 * pgconn is NULL then.
 */
typedef struct DblinkConn
{
	dlist_node	node;			/* in the list of registry.c */
	DblinkConnKind kind;
	char		name[NAMEDATALEN];	/* of a named one, else empty */
	bool		open;			/* ready for use; until then no lookup finds
								 * it, and an error closes it */
	int			level;			/* transaction nesting level of the call that
								 * opens it, or that it is for */
	bool		holds_fd;		/* reserved with AcquireExternalFD() */
	PGconn	   *pgconn;
	DblinkCancel *cancel;		/* a cancel request in progress, or NULL */
	dlist_head	notices;		/* not yet reported (notice.c) */
	Size		notice_bytes;	/* the size of their data */
	int			notices_dropped;	/* how many found no room among them */
	uint64		notice_count;	/* how many have arrived */
	bool		for_dblink2;	/* the call is one of dblink2: a statement
								 * that waits for this session is cancelled
								 * without patience, and errors have hints */
	bool		loopback;		/* by a loopback server: only place.userid may
								 * use it */
	bool		loops_back;		/* it leads to this very server */
	bool		simple_only;	/* the remote knows no extended protocol */
	DblinkAsync async;
	struct DblinkDiagnosis *diagnosis;	/* the error of its last call, or NULL
										 * (diag.c) */
	DblinkPlace place;
	DblinkActivity activity;
	DblinkCursors cursors;
	DblinkFollow follow;
	DblinkExchange exchange;
} DblinkConn;

/*
 * How to connect: a conninfo string and its options.  The string is parsed once,
 * when this is made (option.c).
 */
typedef struct DblinkConnInfo
{
	const char *string;			/* as libpq takes it */
	Oid			serverid;		/* the foreign server that it is built from;
								 * InvalidOid if it was given by the user */
	bool		loopback;		/* it leads to this very server as the
								 * effective role */
	const char *session_options;	/* in place of the string's "options";
									 * NULL if those stand */
	const PQconninfoOption *options;	/* one for each that libpq knows; NULL
										 * if the string does not parse */
	const char *error;			/* why it does not, NULL if memory ran out */
} DblinkConnInfo;

/* One of several connections that are taken into use at once (session.c). */
typedef struct DblinkOpening
{
	const char *source;			/* as for one */
	const char *origin;			/* what it is, in words, for a WARNING */
	bool		for_dblink2;	/* a function of dblink2 will use it */
	DblinkConn *conn;			/* the result; NULL if it can't be opened */
	DblinkAttempt *attempt;		/* while it is being established */
	const DblinkConnInfo *conninfo;
} DblinkOpening;

/* Options of servers and user mappings that libpq does not know. */
#define DBLINK_LOOPBACK_OPTION		"loopback"
#define DBLINK_PASSTHROUGH_OPTION	"use_scram_passthrough"

/*
 * The hosts that remain to connect to after time-outs; all zero before the
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

/* ---- results ---- */

/*
 * A remote error, copied out of libpq.  All strings are palloc'd and valid in
 * the database encoding; NULL if there is none.
 */
typedef struct DblinkError
{
	int			sqlstate;
	int			position;		/* in the remote query's text; 0 if unknown */
	const char *severity;
	const char *primary;
	const char *detail;
	const char *hint;
	const char *context;		/* the remote's own */
	const char *schema;			/* what it is about, in names */
	const char *table;
	const char *column;
	const char *datatype;
	const char *constraint;
	const char *connname;		/* of a named connection */
	const char *where;			/* the connection, in words */
} DblinkError;

/* What a result, or part of one, means. */
typedef enum DblinkResultKind
{
	DBLINK_ROWS,				/* rows, and more may follow */
	DBLINK_LAST_ROWS,			/* rows, or none, and the result is complete */
	DBLINK_COMMAND,				/* no rows but a command tag */
	DBLINK_FAILURE,				/* anything else */
	DBLINK_END					/* the answer is over (answer.c only) */
} DblinkResultKind;

/* A value as the remote sent it; a row is an array of them. */
typedef struct DblinkValue
{
	const char *text;			/* ended by a NUL; NULL for a null */
	int			len;			/* without the NUL */
} DblinkValue;

/* Parameters of a query, as libpq takes them. */
typedef struct DblinkQueryParams
{
	int			count;
	Oid		   *types;			/* InvalidOid: for the remote to infer */
	const char **values;
	int		   *lengths;		/* of values in binary */
	int		   *formats;
} DblinkQueryParams;

/* The arguments of a call that can have parameters (params.c). */
typedef struct DblinkCall
{
	const char *source;			/* the connection: its name, or where to */
	Datum	   *sources;		/* or several, of type text */
	int			nsources;
	const char *sql;
	const DblinkQueryParams *params;	/* or NULL: the simple protocol */
} DblinkCall;

/* How the columns of a result find their places (rowtype.c). */
typedef enum DblinkMatch
{
	DBLINK_MATCH_POSITION,		/* in a column definition list */
	DBLINK_MATCH_NAME,			/* in a row type that has a name */
	DBLINK_MATCH_SCALAR			/* there is one */
} DblinkMatch;

/* The time that the reader of a stream, or of several, takes for itself (stream.c). */
typedef struct DblinkReaderTime
{
	int64		left_at;		/* since when it does not wait for a remote,
								 * ms */
	int64		taken_ms;		/* how long it did not, until then */
} DblinkReaderTime;

/* A query that has been sent, and what to do with its answer. */
typedef struct DblinkQuery
{
	DblinkConn *conn;
	bool		fail_on_error;	/* else a remote error is a NOTICE */
	const char *action;			/* for the context of a remote error */
	const char *cursor;			/* the cursor that is fetched from, or NULL */
	const DblinkQueryParams *params;	/* what was sent with it; or NULL */
	bool		single;			/* the text must be a single statement */
	DblinkMatch match;
	Oid			domain;			/* over the row type, to be checked; or 0 */
	bool		async;			/* an earlier call sent it, and may have read
								 * some of its results */
	DblinkReaderTime *gathered; /* with others, whose reader is one: an error
								 * cancels them all; or NULL */
	bool		for_client;		/* its rows go to this session's client */
	const char *origin;			/* which of them it is, in words; or NULL */
} DblinkQuery;

/* The answer to a query while it is read; at first all zero except the query. */
typedef struct DblinkAnswer
{
	const DblinkQuery *query;
	MemoryContext context;		/* of the error's strings */
	bool		complete;		/* the last result has come to its end */
	DblinkError error;			/* the first error, if error.primary */
} DblinkAnswer;

/*
 * The settings of this session that conversions of remote text depend on, and
 * the remote's date styles, as of the start of a scan (styles.c).
 */
typedef struct DblinkStyles
{
	const char *remote[2];		/* the remote's DateStyle and IntervalStyle,
								 * NULL where no conversion depends on it */
	bool		differ;			/* one of them differs from ours */
	int			date_style;
	int			date_order;
	int			interval_style;
	int			xmloption;
	bool		array_nulls;
	const void *timezone;
	const char *search_path;
	const char *lc_monetary;
	Oid			userid;
	int			sec_context;
} DblinkStyles;

/* On which settings the text of a type's values depends (styles.c); a set of bits. */
typedef int DblinkStyleNeeds;

/* What dbl_styles_leave() has to undo. */
typedef struct DblinkStylesSaved
{
	int			guc_level;		/* -1: no setting was changed */
	bool		user_changed;
	Oid			userid;
	int			sec_context;
} DblinkStylesSaved;

/* The functions that a custom scan can take the place of. */
typedef enum DblinkScanned
{
	DBLINK_SCAN_NONE,
	DBLINK_SCAN_RECORD,			/* dblink() */
	DBLINK_SCAN_FETCH,			/* dblink_fetch() */
	DBLINK_SCAN_GET_RESULT,		/* dblink_get_result() */
	DBLINK_SCAN_QUERY,			/* dblink_query() */
	DBLINK_SCAN_QUERY_AS,		/* dblink_query_as() */
	DBLINK_SCAN_GATHER,			/* dblink_gather() of what was sent */
	DBLINK_SCAN_GATHER_QUERY	/* dblink_gather() of a query */
} DblinkScanned;

/* The most fixed arguments that one of them has. */
#define DBLINK_MAX_FIXED	2

/*
 * One of them.  Its arguments are [connection name,] fixed [, fail_on_error]; or, if
 * it takes parameters, [row type,] connection or connections, [sql [, parameters]].  A
 * table of these, which ends with DBLINK_SCAN_NONE, is handed to the planner and the scan
 * by dblink.c.
 */
typedef struct DblinkScannable
{
	const char *symbol;			/* of its C function */
	PGFunction	address;
	DblinkScanned function;
	int			nfixed;			/* number of fixed arguments */
	Oid			fixed[DBLINK_MAX_FIXED];	/* their types */
	int			nskipped;		/* arguments before the connection */
	bool		needs_name;		/* the connection's name must be given */
	bool		takes_params;	/* it is of the latter kind, and not strict */
	bool		takes_array;	/* of connections */
} DblinkScannable;

/*
 * Where the arguments of a call are: [connection name,] fixed [, flag].  For a function
 * that takes parameters, the text is the fixed one, and they follow.
 */
typedef struct DblinkArgMap
{
	int			name;			/* index of the connection's name, or -1 */
	int			first;			/* index of the first fixed argument */
	int			flag;			/* index of fail_on_error, or -1 */
} DblinkArgMap;

/*
 * How long to wait for a socket at which data that libpq has decrypted already do
 * not show.
 */
#define DBLINK_HIDDEN_MS	100

/*
 * Milliseconds from now to a deadline, 0 if it has passed; -1 if there is none.
 */
static inline long
dbl_time_left(TimestampTz deadline)
{
	return deadline == DT_NOEND ? -1 :
		TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
}

/*
 * The deadline so many milliseconds from now; -1: none.
 */
static inline TimestampTz
dbl_deadline(long ms)
{
	return ms < 0 ? DT_NOEND : TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);
}

/*
 * The shorter one of two times, of which -1 is for ever.
 */
static inline long
dbl_shorter_time(long a, long b)
{
	return a < 0 || b < 0 ? Max(a, b) : Min(a, b);
}

/* dblink.c */
extern PGDLLEXPORT void _PG_init(void);

/* dblink2.c */
extern PGDLLEXPORT Datum dblink_query(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum dblink_query_as(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum dblink_gather(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum dblink_gather_query(PG_FUNCTION_ARGS);

/* planner.c */
extern void dbl_plan_init(const DblinkScannable *functions);

/* scan.c */
extern void dbl_scan_init(const DblinkScannable *functions);
extern const CustomScanMethods dbl_scan_methods;

/* explain.c */
extern void dbl_explain_call(Plan *plan, const DblinkScannable *entry,
							 const DblinkArgMap *map, List *ancestors, ExplainState *es);

/* shape.c */
extern bool dbl_shape_is_read_again(Plan *scan, EState *estate, int eflags);
extern bool dbl_shape_ends_with_run(Plan *scan, EState *estate);
extern bool dbl_shape_is_quick(Plan *scan, EState *estate);

/* quick.c */
extern bool dbl_quick_is_node(Plan *plan);
extern bool dbl_quick_is_plan(Plan *plan);
extern bool dbl_quick_are_plans(List *plans);
extern bool dbl_quick_is_target(Relation table, bool updates);

/* run.c */
extern void dbl_run_init(void);
extern bool dbl_run_is_whole(EState *estate);
extern bool dbl_run_is_for_client(void);
extern bool dbl_run_is_for_program(void);
extern bool dbl_run_has_foreign_table(PlannedStmt *stmt);

/* gather.c */
extern DblinkConn *dbl_gather_wait(List *conns, long timeout_ms);
extern DblinkGather *dbl_gather_open(const DblinkCall *call, TupleDesc tupdesc,
									 bool may_stream, bool for_client);
extern bool dbl_gather_streams(DblinkGather *gather);
extern void dbl_gather_collect(DblinkGather *gather, Tuplestorestate *store);
extern bool dbl_gather_next(DblinkGather *gather, Datum *values, bool *nulls);
extern void dbl_gather_store(DblinkGather *gather);
extern void dbl_gather_end_early(DblinkGather *gather);
extern const char *dbl_gather_source(DblinkGather *gather);
extern void dbl_gather_close(DblinkGather *gather);

/* copy.c */
extern DblinkConn *dbl_copy_query(const char *source, const char *target, const char *sql);
extern DblinkConn *dbl_copy_cursor(const char *source, const char *target, const char *cursor);

/* session.c */
extern void dbl_session_init(void);
extern DblinkConn *dbl_session_take(const char *name);
extern DblinkConn *dbl_session_get(const char *name);
extern DblinkConn *dbl_session_get2(const char *name);
extern void dbl_session_close(const char *name, bool missing_ok);
extern DblinkConn *dbl_session_get_or_open(const char *name_or_source);
extern DblinkConn *dbl_session_get_or_open2(const char *source);
extern void dbl_session_get_or_open_all(DblinkOpening *openings, int count, bool skip);
extern void dbl_session_open(const char *name, const char *source);
extern void dbl_session_reuse(const char *name, const char *source);

/* stream.c */
extern bool dbl_stream_is_possible(DblinkConn *conn);
extern DblinkStream *dbl_stream_start(const DblinkQuery *query, TupleDesc tupdesc,
									  DblinkSqlTraits sql);
extern DblinkStream *dbl_stream_begin(const DblinkQuery *query, TupleDesc tupdesc,
									  DblinkSqlTraits sql);
extern bool dbl_stream_next(DblinkStream *stream, Datum *values, bool *nulls);
extern void dbl_stream_store(DblinkStream *stream);
extern bool dbl_stream_has_row(DblinkStream *stream);
extern bool dbl_stream_is_ready(DblinkStream *stream);
extern void dbl_stream_await_any(DblinkStream **streams, int nstreams);
extern const DblinkError *dbl_stream_error(DblinkStream *stream);
extern void dbl_stream_end_early(DblinkStream **streams, int nstreams);
extern void dbl_stream_close(DblinkStream *stream);
extern const char *dbl_stream_source(DblinkStream *stream);
extern void dbl_stream_await(DblinkConn *conn);
extern bool dbl_stream_is_any_open(void);
extern void dbl_stream_yield_all(void);
extern void dbl_stream_store_all(void);

/* result.c */
extern void dbl_res_begin(FunctionCallInfo fcinfo);
extern Tuplestorestate *dbl_res_return(FunctionCallInfo fcinfo, TupleDesc tupdesc);
extern void dbl_res_materialize(FunctionCallInfo fcinfo, const DblinkQuery *query,
								TupleDesc tupdesc);
extern void dbl_res_notifications(FunctionCallInfo fcinfo, DblinkConn *conn,
								  PGnotify *notify);
extern Tuplestorestate *dbl_res_collect(const DblinkQuery *query, TupleDesc tupdesc,
										bool random_access);
extern DblinkSink *dbl_res_sink_begin(const DblinkQuery *query, Datum label,
									  TupleDesc tupdesc, TupleDesc remote,
									  Tuplestorestate *shared, int store_kb);
extern bool dbl_res_sink_step(DblinkSink *sink);
extern const DblinkError *dbl_res_sink_error(DblinkSink *sink);
extern void dbl_res_sink_end(DblinkSink *sink, Tuplestorestate *store);
extern bool dbl_res_ask(const DblinkQuery *query, const char *sql, TupleDesc tupdesc);
extern bool dbl_res_send_described(const DblinkQuery *query, const char *sql,
								   TupleDesc tupdesc);
extern bool dbl_res_send(const DblinkQuery *query, const char *sql, TupleDesc tupdesc);
extern TupleDesc dbl_res_expected(FunctionCallInfo fcinfo);
pg_noreturn extern void dbl_res_refuse_record(void);

/* rows.c */
extern void dbl_row_values(const PGresult *res, int row, DblinkValue *values,
						   int natts, const int *order);
extern DblinkBatch *dbl_batch_make(int natts);
extern void dbl_batch_clear(DblinkBatch *batch);
extern bool dbl_batch_add(DblinkBatch *batch, const PGresult *res, int row,
						  const int *order);
extern bool dbl_batch_is_full(DblinkBatch *batch);
extern bool dbl_batch_is_empty(DblinkBatch *batch);
extern const DblinkValue *dbl_batch_next(DblinkBatch *batch);
extern DblinkSpool *dbl_spool_make(int natts);
extern void dbl_spool_put(DblinkSpool *spool, const DblinkValue *row);
extern const DblinkValue *dbl_spool_next(DblinkSpool *spool);
extern void dbl_spool_end(DblinkSpool *spool);

/* kept.c */
extern void dbl_kept_init(void);
extern void dbl_kept_note(DblinkConn *conn, const DblinkConnInfo *conninfo);
extern void dbl_kept_release(DblinkConn *conn);
extern DblinkConn *dbl_kept_take(const DblinkConnInfo *conninfo);
extern DblinkConn *dbl_kept_take_loopback(const char *source);
extern bool dbl_kept_close_oldest(void);
extern void dbl_kept_close_all(void);
extern void dbl_kept_yield_to(const char *sql);
extern void dbl_kept_trim(int limit);
extern void dbl_kept_assigned(int newval, void *extra);
extern void dbl_kept_loopback_assigned(int newval, void *extra);

/* follow.c */
extern void dbl_follow_text_check(DblinkConn *conn, const char *sql);
extern void dbl_follow_begin(DblinkConn *conn);
extern void dbl_follow_close_check(const DblinkConn *conn);
extern void dbl_follow_prepare_check(void);
extern void dbl_follow_commit(void);
extern void dbl_follow_release(int level);
extern void dbl_follow_released(int level);
extern void dbl_follow_abort(int level);
extern void dbl_follow_rolled_back(DblinkConn *conn);
extern void dbl_follow_lost(DblinkConn *conn);
extern void dbl_follow_end(void);

/* recover.c */
extern void dbl_recover_begin(DblinkConn *conn, DblinkOnAbort how);
extern void dbl_recover_begin_idle(DblinkConn *conn);
extern void dbl_recover_wait(bool (*is_awaited) (const DblinkConn *conn));
extern void dbl_recover_all(void);

/* deadlock.c */
extern void dbl_deadlock_look(DblinkConn *conn, DblinkDeadlock *found);

/* registry.c */

/* Loop through all connections; the current one may be closed. */
#define dbl_reg_foreach(conn) \
	for (DblinkConn *conn = dbl_reg_next(NULL), *conn##__next; \
		 conn != NULL && (conn##__next = dbl_reg_next(conn), true); \
		 conn = conn##__next)

extern void dbl_reg_init(void);
extern DblinkConn *dbl_reg_next(DblinkConn *conn);
extern void dbl_reg_move_last(DblinkConn *conn);
extern DblinkConn *dbl_reg_find(const char *name);
extern DblinkConn *dbl_reg_new(DblinkConnKind kind);
extern void dbl_reg_enter_name(DblinkConn *conn, const char *name);
extern void dbl_reg_set_unnamed(DblinkConn *conn);
extern void dbl_reg_close(DblinkConn *conn);
extern Datum dbl_reg_names(void);

/* establish.c */
extern bool dbl_est_reserve_fd(DblinkConn *conn);
extern DblinkAttempt *dbl_est_start(DblinkConn *conn, const DblinkConnInfo *conninfo,
									bool (*make_room) (void));
extern void dbl_est_finish(DblinkAttempt *attempt, List *others);
extern void dbl_est_set_encoding(DblinkConn *conn);
extern bool dbl_est_loops_back(DblinkConn *conn);

/* hosts.c */
extern bool dbl_hosts_skip(DblinkHosts *hosts, const PQconninfoOption *options,
						   PGconn *pgconn);

/* loopback.c */
extern const DblinkConnInfo *dbl_loop_conninfo(const char *source, DblinkConnKind kind);
extern void dbl_loop_rights_check(Oid serverid);
extern int	dbl_loop_keep_time(void);
extern bool dbl_loop_is_postmaster(PGconn *pgconn);
extern void dbl_loop_peer_check(PGconn *pgconn);
extern void dbl_loop_session_check(DblinkConn *conn);
extern void dbl_loop_note(DblinkConn *conn, const DblinkConnInfo *conninfo);
extern bool dbl_loop_set_search_path(DblinkConn *conn);

/* security.c */
extern void dbl_sec_password_given_check(const DblinkConnInfo *conninfo, const char *hint);
extern void dbl_sec_options_check(const DblinkConnInfo *conninfo, const char *hint);
extern void dbl_sec_password_used_check(DblinkConn *conn,
										const DblinkConnInfo *conninfo);

/* option.c */
extern PGDLLEXPORT Datum dblink_fdw_validator(PG_FUNCTION_ARGS);
extern DefElem *dbl_opt_find(List *options, const char *name);
extern DblinkConnInfo *dbl_opt_make(Oid serverid, List *options);
extern Oid	dbl_opt_server_oid(const char *source);
extern ForeignServer *dbl_opt_server(const char *source);
extern const DblinkConnInfo *dbl_opt_conninfo(const char *source);
extern const PQconninfoOption *dbl_opt_effective(PGconn *pgconn);
extern const char *dbl_opt_value(const PQconninfoOption *options,
								 const char *keyword);
extern void dbl_opt_digest(const DblinkConnInfo *conninfo, uint8 *digest);

/* params.c */
extern const char *dbl_params_arg(FunctionCallInfo fcinfo, int n, const char *what);
extern void dbl_params_read(DblinkCall *call, const NullableDatum *args,
							const Oid *types, int nargs, bool variadic);
extern Datum *dbl_params_names(NullableDatum arg, Oid type, int *count);
extern void dbl_params_read_many(DblinkCall *call, const NullableDatum *args,
								 const Oid *types, int nargs, bool variadic);

/* answer.c */
extern DblinkResultKind dbl_answer_next(DblinkAnswer *answer);
extern void dbl_answer_fail(DblinkAnswer *answer, const char *violation);

/* decode.c */
extern bool dbl_dec_is_binary_safe(TupleDesc tupdesc, PGconn *pgconn);
extern DblinkDecoder *dbl_dec_begin(const DblinkQuery *query, PGresult *res,
									TupleDesc tupdesc);
extern const int *dbl_dec_order(DblinkDecoder *decoder);
extern const DblinkStyles *dbl_dec_styles(DblinkDecoder *decoder);
extern void dbl_dec_row(DblinkDecoder *decoder, DblinkConn *conn,
						const DblinkValue *row, Datum *values, bool *nulls);

/* rowtype.c */
extern TupleDesc dbl_rowtype_expected(FunctionCallInfo fcinfo, DblinkQuery *query);
extern const int *dbl_rowtype_match(const DblinkQuery *query, const PGresult *res,
									TupleDesc tupdesc);
pg_noreturn extern void dbl_rowtype_refuse_command(const char *tag);

/* styles.c */
extern void dbl_styles_note(DblinkStyles *styles, DblinkConn *conn, PGresult *res,
							TupleDesc tupdesc, const int *order);
extern bool dbl_styles_need_care(const DblinkStyles *styles);
extern void dbl_styles_enter(const DblinkStyles *styles, DblinkStylesSaved *saved);
extern void dbl_styles_enter_portable(DblinkStylesSaved *saved);
extern DblinkStyleNeeds dbl_styles_needs(Oid type);
extern bool dbl_styles_are_portable(DblinkStyleNeeds needs);
extern void dbl_styles_leave(const DblinkStylesSaved *saved);

/* notify.c */
extern PGnotify *dbl_notify_next(DblinkConn *conn);
extern PGnotify *dbl_notify_await(DblinkConn *conn, long timeout_ms);

/* copyin.c */
extern bool dbl_copyin_begin(DblinkConn *conn, const char *sql);
extern bool dbl_copyin_is_full(DblinkConn *conn);
extern void dbl_copyin_wait(DblinkConn *conn, long timeout_ms);
extern bool dbl_copyin_put(DblinkConn *conn, const char *data, int len);
extern PGresult *dbl_copyin_end(DblinkConn *conn, const char *reason);

/* exchange.c */
extern bool dbl_ex_interrupted; /* an interrupt ended the statement that fails */
extern void (*dbl_ex_text_hook) (DblinkConn *conn, const char *sql);
extern void dbl_ex_serve_interrupts(void);
extern void dbl_ex_clear(DblinkConn *conn);
extern void dbl_ex_note_open(DblinkConn *conn);
extern void dbl_ex_attach(DblinkConn *conn, DblinkConn **reader, DblinkOnAbort on_abort);
extern void dbl_ex_detach(DblinkConn **reader);
extern void dbl_ex_set_converting(DblinkConn *conn, bool converting);
extern bool dbl_ex_send(DblinkConn *conn, const char *sql, const DblinkQueryParams *params);
extern void dbl_ex_send_query(DblinkConn *conn, const char *sql,
							  const DblinkQueryParams *params);
extern void dbl_ex_send_binary(DblinkConn *conn, const char *sql,
							   const DblinkQueryParams *params);
extern bool dbl_ex_ask(DblinkConn *conn, const char *sql, const DblinkQueryParams *params);
extern PGresult *dbl_ex_description(DblinkConn *conn);
extern bool dbl_ex_has_babbled(DblinkConn *conn);
extern PGresult *dbl_ex_take(DblinkConn *conn);
extern void dbl_ex_resume(DblinkConn *conn);
extern void dbl_ex_take_over(DblinkConn *conn);
extern void dbl_ex_await_cancel(DblinkConn *conn);
extern bool dbl_ex_post(DblinkConn *conn, const char *sql);
extern bool dbl_ex_poll(DblinkConn *conn);
extern void dbl_ex_send_control(DblinkConn *conn, const char *sql);
extern void dbl_ex_fetch(DblinkConn *conn);
extern void dbl_ex_fetch_all(DblinkConn *conn);
extern void dbl_ex_cancel_on_abort(DblinkConn *conn);
extern void dbl_ex_leave(DblinkConn *conn);
extern bool dbl_ex_send_async(DblinkConn *conn, const char *sql,
							  const DblinkQueryParams *params);
extern bool dbl_ex_is_ready(DblinkConn *conn);
extern bool dbl_ex_is_pending(DblinkConn *conn);
extern bool dbl_ex_consume(DblinkConn *conn);
extern int	dbl_ex_wait_for(DblinkConn *conn, int events, long timeout_ms);
extern bool dbl_ex_wait(DblinkConn *conn, long timeout_ms);
extern void dbl_ex_wait_any(List *conns, long timeout_ms);
extern PGresult *dbl_ex_next(DblinkConn *conn);
extern PGresult *dbl_ex_read_to_end(DblinkConn *conn);
extern PGresult *dbl_ex_run(DblinkConn *conn, const char *sql);

/* watch.c */
extern void (*dbl_watch_look_hook) (DblinkConn *conn, DblinkDeadlock *found);
extern long dbl_watch_time_left(DblinkConn *conn);
extern void dbl_watch_look(DblinkConn *conn);
extern void dbl_watch_result_check(DblinkConn *conn);

/* cancel.c */
extern const char *dbl_cancel_begin(DblinkConn *conn);
extern bool dbl_cancel_is_over(DblinkConn *conn);
extern int	dbl_cancel_events(DblinkConn *conn);
extern pgsocket dbl_cancel_socket(DblinkConn *conn);
extern void dbl_cancel_continue(DblinkConn *conn);
extern void dbl_cancel_close(DblinkConn *conn);
extern bool dbl_cancel_await(DblinkConn *conn, long timeout_ms);
extern const char *dbl_cancel_query(DblinkConn *conn);

/* remote.c */
extern int	dbl_remote_wait(DblinkConn *conn, int events, long timeout_ms,
							uint32 wait_event);
extern void dbl_remote_wait_any(List *conns, List *events, long timeout_ms,
								uint32 wait_event);
extern bool dbl_remote_client_wait(long timeout_ms);
extern bool dbl_remote_is_ready(DblinkConn *conn, int events);
extern bool dbl_remote_is_closed(DblinkConn *conn);
extern bool dbl_remote_is_encrypted(DblinkConn *conn);
extern int	dbl_remote_arrived(DblinkConn *conn);
extern bool dbl_remote_consume(DblinkConn *conn);
extern int	dbl_remote_flush(DblinkConn *conn);
extern DblinkResultKind dbl_remote_kind(const PGresult *res);
extern bool dbl_remote_is_partial(const PGresult *res);
extern bool dbl_remote_is_copy(const PGresult *res);
extern bool dbl_remote_is_alive(DblinkConn *conn);
extern bool dbl_remote_is_busy(DblinkConn *conn);
extern void dbl_remote_disconnect(DblinkConn *conn);

/* notice.c */
extern void dbl_notice_receive(void *arg, const PGresult *res);
extern void dbl_notice_report(DblinkConn *conn);
extern void dbl_notice_forget(DblinkConn *conn);

/* sqltext.c */
extern DblinkSqlTraits dbl_sql_traits(const char *sql);
extern DblinkSqlControl dbl_sql_control(const char *sql, bool standard_strings);

/* args.c */
extern void dbl_arg_check(FunctionCallInfo fcinfo, int n);
extern bool dbl_arg_is_text(Oid type);
extern Oid	dbl_arg_type(FunctionCallInfo fcinfo, int n);
extern text *dbl_arg_text(FunctionCallInfo fcinfo, int n);
extern const char *dbl_arg_string(FunctionCallInfo fcinfo, int n);
extern int32 dbl_arg_int4(FunctionCallInfo fcinfo, int n);
extern Oid	dbl_arg_oid(FunctionCallInfo fcinfo, int n);
extern long dbl_arg_timeout(FunctionCallInfo fcinfo, int n);
extern ArrayType *dbl_arg_text_array(FunctionCallInfo fcinfo, int n);
extern ArrayType *dbl_arg_vector(FunctionCallInfo fcinfo, int n);
extern bool dbl_args_map(int nargs, bool last_is_flag, int nfixed, DblinkArgMap *map);
extern bool dbl_args_map_call(const DblinkScannable *entry, int nargs,
							  bool last_is_flag, DblinkArgMap *map);

/* error.c */
extern int	dbl_err_sqlstate(const char *sqlstate, int missing);
extern bool dbl_err_has_sqlstate(const PGresult *res, int sqlstate);
extern const char *dbl_err_where(DblinkConn *conn);
extern void dbl_err_fill(DblinkError *error, DblinkConn *conn);
extern void dbl_err_hint_single(DblinkError *error);
extern void dbl_err_report(const DblinkError *error, int elevel, const char *action);
extern bool dbl_err_is_remote(const ErrorData * error);
extern void dbl_err_report_now(DblinkConn *conn, bool fail_on_error, const char *action);
pg_noreturn extern void dbl_err_throw_single(DblinkConn *conn, const char *action);
extern const char *dbl_err_message(DblinkConn *conn);
extern const char *dbl_err_reason(DblinkConn *conn);
extern const char *dbl_err_clean(const char *raw);
pg_noreturn extern void dbl_err_not_connected(const char *detail, const char *hint);
pg_noreturn extern void dbl_err_no_cursor(const char *cursor);
pg_noreturn extern void dbl_err_follow_ended(DblinkConn *conn);

/* diag.c */
extern void dbl_diag_note(DblinkConn *conn, const DblinkError *error);
extern void dbl_diag_forget(DblinkConn *conn);
extern const DblinkError *dbl_diag_get(DblinkConn *conn);

/* settings.c */
extern int	dbl_streaming;
extern int	dbl_stream_hold_time;
extern int	dbl_on_early_end;
extern int	dbl_result_format;
extern int	dbl_keep_connections;
extern int	dbl_loopback_keep;
extern int	dbl_deadlock_patience;
extern bool dbl_forward_notices;
extern int	dbl_gather_failures;

extern void dbl_settings_init(const char *version, GucIntAssignHook keep_assigned,
							  GucIntAssignHook loopback_keep_assigned);

#endif							/* DBLINK_H */
