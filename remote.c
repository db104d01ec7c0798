/*-------------------------------------------------------------------------
 *
 * remote.c
 *	  Talking to the remote server: connect, send, receive, cancel, clean up.
 *
 * libpq is used without its blocking calls: every socket is non-blocking, and
 * every wait is here.  There are two kinds of wait, and a function uses one.
 *
 * While a call goes on, wait_socket() waits on the process latch as well, and
 * serves interrupts.  It throws, anywhere; what must be cleaned up then is
 * known from the DblinkConn (see dblink.h).
 *
 * When a call has failed, its transaction is aborting: nothing may throw, and
 * interrupts are held.  Those waits are in dbl_remote_recover(), each with a
 * deadline.
 *
 * Cancel requests are in cancel.c.
 *
 * What is not bounded: libpq looks up host names with a blocking call.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <netdb.h>
#include <poll.h>

#include "dblink.h"

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* Rows that libpq hands out at a time, if it can. */
#define CHUNK_ROWS		256

/* How long to wait without looking at the latch. */
#define BRIEF_MS		1

/* How long a statement that nobody waits for any more may go on. */
#define LET_FINISH_MS	2000

/* How long to wait for the effect of a cancel request; there are two. */
#define CANCELLED_MS	1000

/* How long the session's end waits for a cancel request to get through. */
#define EXIT_CANCEL_MS	500

/* What PQconnectStartParams() is given. */
typedef struct ConnectParams
{
	int			n;
	const char *keywords[6];
	const char *values[6];
} ConnectParams;

/* The address that libpq is trying; a change restarts the time-out. */
typedef struct Address
{
	char		host[NI_MAXHOST];
	char		hostaddr[NI_MAXHOST];
	char		port[NI_MAXSERV];
} Address;

/* What one step of reading a connection empty came to. */
typedef enum DrainStep
{
	DRAIN_MORE,					/* there is more at hand */
	DRAIN_WAIT,					/* more must come from the remote */
	DRAIN_END,					/* the exchange is over */
	DRAIN_FAILED				/* it can't be brought to an end */
} DrainStep;

static int	wait_socket_briefly(DblinkConn *conn, int events);
static int	wait_socket(DblinkConn *conn, int events, long timeout_ms,
						uint32 wait_event);
static long time_left(TimestampTz deadline);
static void log_notice(void *arg, const PGresult *res);
static void params_add(ConnectParams *params, const char *keyword,
					   const char *value);
static void params_init(ConnectParams *params, const char *conninfo);
static bool params_skip_host(ConnectParams *params, PGconn *pgconn,
							 const PQconninfoOption *options);
static const char *nonempty(const char *value);
static const char *list_skip(const char *list, int n);
static bool list_entry_is(const char *list, int n, const char *value);
static void get_address(PGconn *pgconn, Address *address);
static bool is_new_address(PGconn *pgconn, Address *last);
static void append_problem(StringInfo buf, PGconn *pgconn, const char *problem);
static long connect_timeout(PGconn *pgconn, const PQconninfoOption *options);
static void connect_start(DblinkConn *conn, const ConnectParams *params);
static bool connect_poll(DblinkConn *conn, long timeout);
static void begin_call(DblinkConn *conn, DblinkPhase phase);
static void end_call(DblinkConn *conn);
static void flush(DblinkConn *conn);
static bool is_partial(const PGresult *res);
static void receive(DblinkConn *conn);
static void copy_check(DblinkConn *conn);
static PGresult *read_to_end(DblinkConn *conn);
static DrainStep skip_copy_data(PGconn *pgconn);
static DrainStep drain_step(DblinkConn *conn);
static bool drain(DblinkConn *conn, bool one_result, int timeout_ms,
				  bool until_interrupt);

/*
 * Reserve a file descriptor for a connection that is about to be made.
 *
 * Throws 08001 if the session has none left, or this would be the last: every
 * wait needs one for a moment.
 */
void
dbl_remote_reserve_fd(DblinkConn *conn)
{
	bool		enough = AcquireExternalFD();

	conn->holds_fd = enough;
	if (enough)
	{
		enough = AcquireExternalFD();
		if (enough)
			ReleaseExternalFD();
	}
	if (!enough)
		ereport(ERROR,
				(errcode(ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION),
				 errmsg("could not establish connection"),
				 errdetail("There are too many open files on the local server."),
				 errhint(DBLINK_FD_HINT)));
}

/*
 * Wait for a moment only.  Waiting on the latch takes several system calls to
 * set up; mostly the remote has an answer sooner than the user an interrupt.
 */
static int
wait_socket_briefly(DblinkConn *conn, int events)
{
	struct pollfd pfd = {.fd = PQsocket(conn->pgconn)};

	if (events & WL_SOCKET_READABLE)
		pfd.events |= POLLIN;
	if (events & WL_SOCKET_WRITEABLE)
		pfd.events |= POLLOUT;
	if (poll(&pfd, 1, BRIEF_MS) <= 0)
		return 0;
	return ((pfd.revents & ~POLLOUT) ? WL_SOCKET_READABLE : 0) |
		((pfd.revents & ~POLLIN) ? WL_SOCKET_WRITEABLE : 0);
}

/*
 * Wait until the socket has one of "events" (WL_SOCKET_READABLE and so on) or
 * the time is over; -1 waits for ever.  Gives what happened, 0 for a time-out.
 *
 * An interrupt is served here.  If it throws, the remote statement is not
 * wanted any more.
 */
static int
wait_socket(DblinkConn *conn, int events, long timeout_ms, uint32 wait_event)
{
	bool		cancel_on_abort = conn->cancel_on_abort;
	int			happened;

	happened = wait_socket_briefly(conn, events);
	if (happened == 0)
		happened = WaitLatchOrSocket(MyLatch,
									 WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | events |
									 (timeout_ms >= 0 ? WL_TIMEOUT : 0),
									 PQsocket(conn->pgconn), timeout_ms,
									 wait_event);
	if (happened & WL_LATCH_SET)
		ResetLatch(MyLatch);

	conn->cancel_on_abort = true;
	CHECK_FOR_INTERRUPTS();
	conn->cancel_on_abort = cancel_on_abort;

	return happened & events;
}

/*
 * Milliseconds from now to a deadline, 0 if it has passed.
 */
static long
time_left(TimestampTz deadline)
{
	return TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
}

/*
 * Notice receiver: a remote NOTICE goes to the local log, as one entry however
 * many lines it has.
 *
 * libpq calls this from its own depths.  An error that left here would tear
 * libpq's state, so neither an interrupt nor a lack of memory may: a message
 * that can't be logged is lost.
 */
static void
log_notice(void *arg, const PGresult *res)
{
	MemoryContext context = CurrentMemoryContext;

	HOLD_INTERRUPTS();
	PG_TRY();
	{
		ereport(LOG,
				(errmsg_internal("received message via remote connection: %s",
								 pchomp(dbl_err_clean(PQresultErrorMessage(res)))),
				 errhidestmt(true)));
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		FlushErrorState();
	}
	PG_END_TRY();
	RESUME_INTERRUPTS();
}

/*
 * Add a parameter for connecting.
 */
static void
params_add(ConnectParams *params, const char *keyword, const char *value)
{
	params->keywords[params->n] = keyword;
	params->values[params->n] = value;
	params->n++;
	params->keywords[params->n] = NULL;
	params->values[params->n] = NULL;
}

/*
 * Parameters for a conninfo string: libpq expands what it gets as "dbname",
 * and what comes later wins.  The encoding goes with the start-up message, so
 * it holds from the first byte, and after a RESET or DISCARD ALL; but one that
 * the user chose is left to be refused by the remote, if it is none.
 */
static void
params_init(ConnectParams *params, const char *conninfo)
{
	const char *error;

	params->n = 0;
	if (conninfo[strspn(conninfo, " \t\n\r\f\v")] != '\0')
		params_add(params, "dbname", conninfo);
	if (dbl_opt_value(dbl_opt_parse(conninfo, &error), "client_encoding") == NULL)
		params_add(params, "client_encoding", GetDatabaseEncodingName());
}

/*
 * The address that libpq is trying.
 */
static void
get_address(PGconn *pgconn, Address *address)
{
	const char *host = PQhost(pgconn);
	const char *hostaddr = PQhostaddr(pgconn);
	const char *port = PQport(pgconn);

	strlcpy(address->host, host ? host : "", sizeof(address->host));
	strlcpy(address->hostaddr, hostaddr ? hostaddr : "", sizeof(address->hostaddr));
	strlcpy(address->port, port ? port : "", sizeof(address->port));
}

/*
 * Did libpq go on to another address?  Notes the one that it is at.
 */
static bool
is_new_address(PGconn *pgconn, Address *last)
{
	Address		now;

	get_address(pgconn, &now);
	if (strcmp(now.host, last->host) == 0 &&
		strcmp(now.hostaddr, last->hostaddr) == 0 &&
		strcmp(now.port, last->port) == 0)
		return false;
	*last = now;
	return true;
}

/*
 * Add what went wrong at the address that libpq is trying, to what libpq has to
 * say so far: that ends with the name of the address.
 */
static void
append_problem(StringInfo buf, PGconn *pgconn, const char *problem)
{
	appendStringInfo(buf, "%s%s\n", PQerrorMessage(pgconn), problem);
}

/*
 * How long an address may take, in milliseconds; -1 for no limit.  Throws
 * 08001 if connect_timeout is not a number.  As in libpq, one second is too
 * short to be meant.
 */
static long
connect_timeout(PGconn *pgconn, const PQconninfoOption *options)
{
	const char *value = dbl_opt_value(options, "connect_timeout");
	char	   *end;
	long		seconds;

	if (value == NULL)
		return -1;

	errno = 0;
	seconds = strtol(value, &end, 10);
	while (isspace((unsigned char) *end))
		end++;
	if (errno != 0 || end == value || *end != '\0' || seconds != (int) seconds)
	{
		StringInfoData buf;

		initStringInfo(&buf);
		append_problem(&buf, pgconn,
					   psprintf("invalid integer value \"%s\" for connection option \"%s\"",
								value, "connect_timeout"));
		dbl_err_not_connected(buf.data);
	}
	if (seconds <= 0)
		return -1;
	return Max(seconds, 2) * 1000;
}

/*
 * Begin to connect.  Throws 53200 if libpq is out of memory.
 */
static void
connect_start(DblinkConn *conn, const ConnectParams *params)
{
	conn->pgconn = PQconnectStartParams(params->keywords, params->values, 1);
	if (conn->pgconn == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not establish connection"),
				 errdetail("out of memory")));
	PQsetNoticeReceiver(conn->pgconn, log_notice, NULL);
}

/*
 * Go on connecting until libpq has succeeded or failed.  Gives false if an
 * address did not answer in "timeout" milliseconds.
 */
static bool
connect_poll(DblinkConn *conn, long timeout)
{
	PostgresPollingStatusType status = PGRES_POLLING_WRITING;
	uint32		wait_event = conn->kind == DBLINK_ONE_CALL ?
		dbl_wait_events.get_connect : dbl_wait_events.connect;
	TimestampTz deadline = 0;
	Address		address = {0};

	if (PQstatus(conn->pgconn) == CONNECTION_BAD)
		return true;

	while (status == PGRES_POLLING_READING || status == PGRES_POLLING_WRITING)
	{
		int			event = status == PGRES_POLLING_READING ?
			WL_SOCKET_READABLE : WL_SOCKET_WRITEABLE;
		long		left = -1;

		if (timeout >= 0)
		{
			if (is_new_address(conn->pgconn, &address))
				deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													   timeout);
			left = time_left(deadline);
			if (left == 0)
				return false;
		}
		if (wait_socket(conn, event, left, wait_event))
			status = PQconnectPoll(conn->pgconn);
	}
	return true;
}

/*
 * The rest of a comma-separated list after its first n entries; NULL if there
 * is no rest.
 */
static const char *
list_skip(const char *list, int n)
{
	while (n-- > 0)
	{
		list = strchr(list, ',');
		if (list == NULL)
			return NULL;
		list++;
	}
	return list;
}

/*
 * Does entry n of a comma-separated list equal "value"?  A list of one entry
 * stands for every n.
 */
static bool
list_entry_is(const char *list, int n, const char *value)
{
	const char *entry = list;
	size_t		len;

	if (list == NULL)
		return value[0] == '\0';
	if (strchr(list, ',') != NULL)
		entry = list_skip(list, n);
	if (entry == NULL)
		return false;
	len = strcspn(entry, ",");
	return strlen(value) == len && strncmp(entry, value, len) == 0;
}

/*
 * NULL for an empty string: libpq takes both for an option that is not set.
 */
static const char *
nonempty(const char *value)
{
	return value != NULL && value[0] != '\0' ? value : NULL;
}

/*
 * libpq gave no way to tell it that an address takes too long.  So it is told
 * to connect to those that come after it.  Gives false if none does.
 *
 * "options" are those of the connection that timed out, and must stay valid
 * while params is used.
 */
static bool
params_skip_host(ConnectParams *params, PGconn *pgconn,
				 const PQconninfoOption *options)
{
	const char *hosts = nonempty(dbl_opt_value(options, "host"));
	const char *hostaddrs = nonempty(dbl_opt_value(options, "hostaddr"));
	const char *ports = nonempty(dbl_opt_value(options, "port"));
	const char *list = hostaddrs ? hostaddrs : hosts;
	const char *at = hosts ? PQhost(pgconn) : PQhostaddr(pgconn);
	int			n = 0;

	if (list == NULL)
		return false;

	while (!(list_entry_is(hosts ? hosts : hostaddrs, n, at) &&
			 (ports == NULL || list_entry_is(ports, n, PQport(pgconn)))))
	{
		n++;
		if (list_skip(list, n) == NULL)
			return false;
	}
	if (list_skip(list, n + 1) == NULL)
		return false;

	if (hosts != NULL)
		params_add(params, "host", list_skip(hosts, n + 1));
	if (hostaddrs != NULL)
		params_add(params, "hostaddr", list_skip(hostaddrs, n + 1));
	if (ports != NULL && strchr(ports, ',') != NULL)
		params_add(params, "port", list_skip(ports, n + 1));
	return true;
}

/*
 * Connect.  The caller has made sure that the conninfo string parses.
 *
 * connect_timeout holds for each host.  Throws 08001 with libpq's reason.
 */
void
dbl_remote_connect(DblinkConn *conn, const char *conninfo)
{
	ConnectParams params;
	StringInfoData timed_out;

	initStringInfo(&timed_out);
	params_init(&params, conninfo);
	for (;;)
	{
		const PQconninfoOption *options;
		long		timeout = -1;

		connect_start(conn, &params);
		options = dbl_opt_effective(conn->pgconn);
		if (PQstatus(conn->pgconn) != CONNECTION_BAD)
			timeout = connect_timeout(conn->pgconn, options);
		if (connect_poll(conn, timeout))
			break;

		append_problem(&timed_out, conn->pgconn, "timeout expired");
		params_init(&params, conninfo);
		if (!params_skip_host(&params, conn->pgconn, options))
			dbl_err_not_connected(timed_out.data);
		PQfinish(conn->pgconn);
		conn->pgconn = NULL;
	}

	if (PQstatus(conn->pgconn) != CONNECTION_OK)
	{
		appendStringInfoString(&timed_out, PQerrorMessage(conn->pgconn));
		dbl_err_not_connected(timed_out.data);
	}
	PQsetnonblocking(conn->pgconn, 1);
}

/*
 * Free what a call was looking at.  Never throws.
 */
void
dbl_remote_forget(DblinkConn *conn)
{
	PQclear(conn->res);
	conn->res = NULL;
	PQclear(conn->last_res);
	conn->last_res = NULL;
	PQfreemem(conn->notify);
	conn->notify = NULL;
	dbl_cancel_close(conn);
}

/*
 * Close the connection to the remote, and all that came of it.  Never throws.
 */
void
dbl_remote_disconnect(DblinkConn *conn)
{
	dbl_remote_forget(conn);
	PQfinish(conn->pgconn);
	conn->pgconn = NULL;
	if (conn->holds_fd)
		ReleaseExternalFD();
	conn->holds_fd = false;
}

/*
 * From here on, what the remote sends is for this call.
 */
static void
begin_call(DblinkConn *conn, DblinkPhase phase)
{
	dbl_remote_forget(conn);
	conn->phase = phase;
	conn->level = GetCurrentTransactionNestLevel();
	conn->cancel_on_abort = false;
	conn->binary = false;
}

/*
 * The exchange is over.  A transaction block that we opened for a cursor may
 * have been ended in it; another one will be the user's.
 */
static void
end_call(DblinkConn *conn)
{
	conn->phase = DBLINK_IDLE;
	if (PQtransactionStatus(conn->pgconn) == PQTRANS_IDLE)
		conn->own_xact = false;
}

/*
 * Send what libpq has buffered.  Reads meanwhile: a remote that can't get rid
 * of its output reads no input.  Trouble shows when the result is fetched.
 */
static void
flush(DblinkConn *conn)
{
	while (PQflush(conn->pgconn) == 1)
	{
		int			event;

		event = wait_socket(conn, WL_SOCKET_READABLE | WL_SOCKET_WRITEABLE, -1,
							dbl_wait_events.get_result);
		if ((event & WL_SOCKET_READABLE) && !PQconsumeInput(conn->pgconn))
			break;
	}
}

/*
 * Send SQL text of one or more statements; their results are for this call,
 * row by row.
 *
 * Gives false, and changes nothing, if libpq does not take it: because it is
 * not connected, or another query's results were not fetched.
 */
bool
dbl_remote_send(DblinkConn *conn, const char *sql)
{
	if (!PQsendQuery(conn->pgconn, sql))
		return false;
	begin_call(conn, DBLINK_RUNNING);
	flush(conn);
	return true;
}

/*
 * The same, but throws XX000 if libpq does not take the text.
 *
 * If that is because the end of an asynchronous query was not fetched, although
 * all its results were, it is taken note of: a second try succeeds.
 */
void
dbl_remote_send_query(DblinkConn *conn, const char *sql)
{
	const char *reason;

	if (dbl_remote_send(conn, sql))
		return;
	reason = dbl_err_message(conn);
	(void) PQisBusy(conn->pgconn);
	ereport(ERROR,
			(errcode(ERRCODE_INTERNAL_ERROR),
			 errmsg_internal("could not send query: %s", reason)));
}

/*
 * Leave a query that was sent to itself; its results are for a later call.
 */
void
dbl_remote_leave(DblinkConn *conn)
{
	conn->phase = DBLINK_IDLE;
}

/*
 * From here on, the next result of a query that was left is for this call.
 */
void
dbl_remote_fetch(DblinkConn *conn)
{
	begin_call(conn, DBLINK_FETCHING);
}

/*
 * Is this result only a part of one, with more rows to come?
 */
static bool
is_partial(const PGresult *res)
{
	switch (PQresultStatus(res))
	{
		DBLINK_CASE_PARTIAL_ROWS:
			return true;
		default:
			return false;
	}
}

/*
 * Get the next result from libpq, or the next part of one, waiting for it.  It
 * belongs to the connection, in place of the last.
 *
 * Where a result begins, its rows are asked for in parts.  That is not possible
 * any more if libpq has read some already, as for dblink_is_busy(); then they
 * come all at once.
 */
static void
receive(DblinkConn *conn)
{
	if (!is_partial(conn->res))
		(void) dbl_set_chunked_rows(conn->pgconn, CHUNK_ROWS);
	PQclear(conn->res);
	conn->res = NULL;

	while (PQisBusy(conn->pgconn))
	{
		wait_socket(conn, WL_SOCKET_READABLE, -1,
					dbl_wait_events.get_result);
		if (PQconsumeInput(conn->pgconn))
			continue;

		/* If the connection broke, there is a result that says so. */
		if (PQstatus(conn->pgconn) == CONNECTION_BAD)
			break;
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg_internal("%s", dbl_err_message(conn))));
	}
	conn->res = PQgetResult(conn->pgconn);
	copy_check(conn);
}

/*
 * The next result for this call, or the next part of one.  It belongs to the
 * connection, until the next.  NULL at the end, and the call's use of the
 * connection is over.
 *
 * Throws 0A000 if the remote begins to copy.
 */
PGresult *
dbl_remote_next(DblinkConn *conn)
{
	if (conn->phase == DBLINK_FETCHING &&
		conn->res != NULL && !is_partial(conn->res))
		dbl_remote_forget(conn);
	else
		receive(conn);
	if (conn->res == NULL)
		end_call(conn);
	return conn->res;
}

/*
 * Throw 0A000 if the current result begins to copy, in either direction.
 */
static void
copy_check(DblinkConn *conn)
{
	switch (PQresultStatus(conn->res))
	{
		case PGRES_COPY_IN:
		case PGRES_COPY_OUT:
		case PGRES_COPY_BOTH:
			conn->cancel_on_abort = true;
			dbl_err_copy_refused();
		default:
			break;
	}
}

/*
 * Read to the end of the exchange, and give its last result, or its first
 * error.  It belongs to the connection, until the next.
 *
 * Rows are thrown away as they come.  Throws 0A000 if the remote begins to
 * copy.
 */
static PGresult *
read_to_end(DblinkConn *conn)
{
	for (;;)
	{
		receive(conn);
		if (conn->res == NULL)
			break;
		if (is_partial(conn->res) || (conn->last_res != NULL &&
									  PQresultStatus(conn->last_res) == PGRES_FATAL_ERROR))
			continue;
		PQclear(conn->last_res);
		conn->last_res = conn->res;
		conn->res = NULL;
	}
	conn->res = conn->last_res;
	conn->last_res = NULL;
	end_call(conn);
	return conn->res;
}

/*
 * Run SQL text, and give its last result, or its first error; see above.  NULL
 * if libpq did not take the text.
 */
PGresult *
dbl_remote_exec(DblinkConn *conn, const char *sql)
{
	dbl_remote_forget(conn);
	if (!dbl_remote_send(conn, sql))
		return NULL;
	return read_to_end(conn);
}

/*
 * Read what is left of a query that was left to itself, and give its last
 * result, or its first error.
 */
PGresult *
dbl_remote_finish(DblinkConn *conn)
{
	begin_call(conn, DBLINK_RUNNING);
	return read_to_end(conn);
}

/*
 * Prepare SQL text as the unnamed statement, and give a result that describes
 * its columns, or the remote's error.  NULL if libpq did not take the text.
 */
PGresult *
dbl_remote_describe(DblinkConn *conn, const char *sql)
{
	PGresult   *res;

	dbl_remote_forget(conn);
	if (!PQsendPrepare(conn->pgconn, "", sql, 0, NULL))
		return NULL;
	begin_call(conn, DBLINK_RUNNING);
	flush(conn);
	res = read_to_end(conn);
	if (PQresultStatus(res) != PGRES_COMMAND_OK ||
		!PQsendDescribePrepared(conn->pgconn, ""))
		return res;

	begin_call(conn, DBLINK_RUNNING);
	flush(conn);
	return read_to_end(conn);
}

/*
 * Run the unnamed statement; its results are for this call.  If libpq does not
 * take it, there will be a result that says so.
 */
void
dbl_remote_send_prepared(DblinkConn *conn, bool binary)
{
	(void) PQsendQueryPrepared(conn->pgconn, "", 0, NULL, NULL, NULL, binary);
	begin_call(conn, DBLINK_RUNNING);
	conn->binary = binary;
	flush(conn);
}

/*
 * Does the connection lead back to this very server?  Its other end is then one
 * of our processes.  Another server of the same version may have a process of
 * that number by chance; the caller has to be able to live with a wrong yes.
 */
bool
dbl_remote_is_this_server(DblinkConn *conn)
{
	const char *version = GetConfigOption("server_version_num", false, false);

	return PQserverVersion(conn->pgconn) == atoi(version) &&
		BackendPidGetProc(PQbackendPID(conn->pgconn)) != NULL;
}

/*
 * Make sure that the remote uses the database's encoding.  If it will not, that
 * is no error: what it sends is looked at before it is used.
 */
void
dbl_remote_set_encoding(DblinkConn *conn)
{
	const char *wanted = GetDatabaseEncodingName();
	const char *used = PQparameterStatus(conn->pgconn, "client_encoding");

	if (used == NULL || strcmp(used, wanted) != 0)
		(void) dbl_remote_exec(conn, psprintf("SET client_encoding TO '%s'", wanted));
	dbl_remote_forget(conn);
}

/*
 * Is a query still running, so that fetching its result would wait?
 */
bool
dbl_remote_is_busy(DblinkConn *conn)
{
	PQconsumeInput(conn->pgconn);
	return PQisBusy(conn->pgconn) != 0;
}

/*
 * Is the remote still there, with nothing to say?  Looks at all that has come in,
 * as the reason why a remote closed the connection stands before the end.
 */
bool
dbl_remote_is_alive(DblinkConn *conn)
{
	while (PQstatus(conn->pgconn) == CONNECTION_OK)
	{
		struct pollfd pfd = {.fd = PQsocket(conn->pgconn), .events = POLLIN};

		if (poll(&pfd, 1, 0) == 0)
			return true;
		CHECK_FOR_INTERRUPTS();
		if (!PQconsumeInput(conn->pgconn))
			return false;
	}
	return false;
}

/*
 * The next notification that has come.  It belongs to the connection, until
 * the next.  NULL at the end.
 */
PGnotify *
dbl_remote_next_notify(DblinkConn *conn)
{
	if (conn->notify == NULL)
		PQconsumeInput(conn->pgconn);
	PQfreemem(conn->notify);
	conn->notify = PQnotifies(conn->pgconn);
	return conn->notify;
}

/*
 * Throw away copy data that the remote has sent.
 */
static DrainStep
skip_copy_data(PGconn *pgconn)
{
	for (;;)
	{
		char	   *data = NULL;
		int			len = PQgetCopyData(pgconn, &data, 1);

		PQfreemem(data);
		if (len == 0)
			return DRAIN_WAIT;
		if (len == -1)
			return DRAIN_MORE;
		if (len < 0)
			return DRAIN_FAILED;
	}
}

/*
 * Read one more result, and throw it away, if that is possible now.
 */
static DrainStep
drain_step(DblinkConn *conn)
{
	if (PQstatus(conn->pgconn) == CONNECTION_BAD)
		return DRAIN_END;
	if (PQflush(conn->pgconn) != 0 || PQisBusy(conn->pgconn))
		return DRAIN_WAIT;

	PQclear(conn->res);
	conn->res = PQgetResult(conn->pgconn);
	if (conn->res == NULL)
		return DRAIN_END;

	switch (PQresultStatus(conn->res))
	{
		case PGRES_COPY_OUT:
			return skip_copy_data(conn->pgconn);
		case PGRES_COPY_IN:
			switch (PQputCopyEnd(conn->pgconn, "COPY is not supported through dblink"))
			{
				case 1:
					return DRAIN_MORE;
				case 0:
					return DRAIN_WAIT;
				default:
					return DRAIN_FAILED;
			}
		case PGRES_COPY_BOTH:
			return DRAIN_FAILED;
		default:
			return DRAIN_MORE;
	}
}

/*
 * Read until the exchange is over or, with "one_result", until the current
 * result is.  Gives false if that can't be had by the deadline or, with
 * "until_interrupt", when somebody does not want to wait for it.
 */
static bool
drain(DblinkConn *conn, bool one_result, int timeout_ms, bool until_interrupt)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													   timeout_ms);

	for (;;)
	{
		struct pollfd pfd;

		switch (drain_step(conn))
		{
			case DRAIN_END:
				return true;
			case DRAIN_FAILED:
				return false;
			case DRAIN_MORE:
				if (one_result && !is_partial(conn->res))
					return true;
				break;
			case DRAIN_WAIT:
				pfd.fd = PQsocket(conn->pgconn);
				pfd.events = POLLIN | (PQflush(conn->pgconn) == 1 ? POLLOUT : 0);
				(void) poll(&pfd, 1, Min(time_left(deadline), 100));
				PQconsumeInput(conn->pgconn);
				break;
		}
		if (time_left(deadline) == 0)
			return false;
		if (until_interrupt && (QueryCancelPending || ProcDiePending))
			return false;
	}
}

/*
 * The call that was using the connection has failed: bring what it left behind
 * to an end, so that the connection can be used again.  Gives false if that
 * can't be done in time, and the connection must be closed.  Never throws.
 *
 * An error of our own, such as a value that does not convert, lets the remote
 * statement finish, so that its effects are the same as if it had been run
 * there; but not for long.  After an interrupt it is cancelled.  A request
 * that comes at a bad moment has no effect, so there is a second one.
 *
 * When the process exits, the request is sent, and nobody waits for more.
 */
bool
dbl_remote_recover(DblinkConn *conn)
{
	int			tries;

	if (PQstatus(conn->pgconn) == CONNECTION_BAD)
		return true;
	if (proc_exit_inprogress)
	{
		dbl_cancel_send(conn, EXIT_CANCEL_MS);
		return false;
	}

	if (!conn->cancel_on_abort)
	{
		bool		one_result = conn->phase == DBLINK_FETCHING;

		if (one_result && conn->res != NULL && !is_partial(conn->res))
			return true;
		if (drain(conn, one_result, LET_FINISH_MS, true))
			return true;
	}

	/* Rows are coming, so the request will hit; nobody needs what is left. */
	if (conn->kind == DBLINK_ONE_CALL && is_partial(conn->res))
	{
		dbl_cancel_send(conn, CANCELLED_MS);
		return false;
	}

	for (tries = 0; tries < 2; tries++)
	{
		TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
														   CANCELLED_MS);
		bool		sent = dbl_cancel_send(conn, CANCELLED_MS);

		/* A request still on its way might hit the next statement. */
		if (drain(conn, false, time_left(deadline), false))
			return sent;
	}
	return false;
}
