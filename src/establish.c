/*-------------------------------------------------------------------------
 *
 * establish.c
 *	  Establishing a connection to a remote server.
 *
 * libpq connects without blocking, but leaves it to us to see to time-outs; and
 * it has no way to be told that an address took too long.  So connect_timeout is
 * watched here, for each address that libpq tries, and when it has passed libpq
 * is made to start anew, with the addresses that are left: hosts.c says which.
 *
 * What is not bounded: libpq looks up host names with a blocking call.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <netdb.h>

#include "dblink.h"

#include "mb/pg_wchar.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "storage/procarray.h"
#include "utils/memutils.h"

/* How much of a remote notice is logged. */
#define NOTICE_MAX		8192

/* What PQconnectStartParams() is given. */
typedef struct ConnectParams
{
	bool		leave_encoding; /* do not ask for this database's encoding */
	DblinkHosts hosts;			/* what is left after time-outs; or zero */
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

/* For making what is logged of a notice; reset after each. */
static MemoryContext notice_context = NULL;

static void log_notice(void *arg, const PGresult *res);
static void params_add(ConnectParams *params, const char *keyword, const char *value);
static void params_init(ConnectParams *params, const char *conninfo);
static void get_address(PGconn *pgconn, Address *address);
static bool is_encoding_refused(PGconn *pgconn);
static bool is_new_address(PGconn *pgconn, Address *last);
static void append_problem(StringInfo buf, PGconn *pgconn, const char *problem);
static long connect_timeout(PGconn *pgconn, const PQconninfoOption *options);
static void connect_start(DblinkConn *conn, const ConnectParams *params);
static bool connect_poll(DblinkConn *conn, long timeout);

/*
 * Reserve a file descriptor for a connection that is about to be made.  Gives
 * false if the session has none left, or this would be the last: every wait needs
 * one for a moment.
 */
bool
dbl_est_reserve_fd(DblinkConn *conn)
{
	if (!conn->holds_fd)
		conn->holds_fd = AcquireExternalFD();
	if (!conn->holds_fd || !AcquireExternalFD())
		return false;
	ReleaseExternalFD();
	return true;
}

/*
 * Notice receiver: a remote NOTICE goes to the local log, as one entry however
 * many lines it has, and of no more than NOTICE_MAX bytes.  Neither the local
 * statement nor the context goes with it: both can hold a connection string.
 *
 * libpq calls this in the middle of its own work.  An error that left here would
 * leave libpq in a state that nobody knows, so neither an interrupt nor a lack of
 * memory may throw: a message that can't be logged is lost.  An error resets
 * InterruptHoldoffCount, so that is put back.
 */
static void
log_notice(void *arg, const PGresult *res)
{
	MemoryContext caller_context = CurrentMemoryContext;
	uint32		holdoff = InterruptHoldoffCount;

	HOLD_INTERRUPTS();
	PG_TRY();
	{
		const char *raw = PQresultErrorMessage(res);
		char	   *notice;

		if (notice_context == NULL)
			notice_context = AllocSetContextCreate(TopMemoryContext,
												   "dblink notice",
												   ALLOCSET_SMALL_SIZES);
		MemoryContextSwitchTo(notice_context);
		notice = pnstrdup(raw, Min(strlen(raw), NOTICE_MAX));
		ereport(LOG,
				(errmsg_internal("received message via remote connection: %s",
								 pchomp(dbl_err_clean(notice))),
				 errhidestmt(true),
				 errhidecontext(true)));
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller_context);
		FlushErrorState();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller_context);
	if (notice_context != NULL)
		MemoryContextReset(notice_context);
	InterruptHoldoffCount = holdoff;
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
 *
 * params->leave_encoding and params->hosts are the caller's; libpq passes over
 * a list that is NULL.
 */
static void
params_init(ConnectParams *params, const char *conninfo)
{
	const char *error;

	params->n = 0;
	if (conninfo[strspn(conninfo, " \t\n\r\f\v")] != '\0')
		params_add(params, "dbname", conninfo);
	if (!params->leave_encoding &&
		dbl_opt_value(dbl_opt_parse(conninfo, &error), "client_encoding") == NULL)
		params_add(params, "client_encoding", GetDatabaseEncodingName());
	params_add(params, "host", params->hosts.host);
	params_add(params, "hostaddr", params->hosts.hostaddr);
	params_add(params, "port", params->hosts.port);
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
 * Did the remote refuse us because it does not convert between its encoding and
 * ours?  What it says then names both, in every language; that is all that
 * libpq lets us know.  A wrong yes costs a second attempt.
 */
static bool
is_encoding_refused(PGconn *pgconn)
{
	return PQstatus(pgconn) == CONNECTION_BAD &&
		strstr(PQerrorMessage(pgconn), GetDatabaseEncodingName()) != NULL;
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
 * How long an address may take, in milliseconds; -1 for no limit.  Before 16,
 * throws 08001 if connect_timeout is not a number.  As in libpq, one second is too
 * short to be meant.
 */
static long
connect_timeout(PGconn *pgconn, const PQconninfoOption *options)
{
	const char *value = dbl_opt_value(options, "connect_timeout");
	char	   *end;
	long		seconds;
	bool		valid;

	if (value == NULL)
		return -1;

	errno = 0;
	seconds = strtol(value, &end, 10);
	valid = errno == 0 && end != value && seconds == (int) seconds;
	end += strspn(end, " \t\n\r\f\v");
	valid = valid && *end == '\0';
	if (!valid && DBLINK_STRICT_TIMEOUT)
	{
		StringInfoData buf;

		initStringInfo(&buf);
		append_problem(&buf, pgconn,
					   psprintf("invalid integer value \"%s\" for connection option \"%s\"",
								value, "connect_timeout"));
		dbl_err_not_connected(buf.data);
	}
	if (!valid || seconds <= 0)
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
	uint32		wait_event = dbl_wait_event(conn->kind == DBLINK_ONE_CALL ?
											DBLINK_WAIT_GET_CONNECT :
											DBLINK_WAIT_CONNECT);
	TimestampTz deadline = 0;
	Address		address = {0};

	if (PQstatus(conn->pgconn) == CONNECTION_BAD)
		return true;

	while (status == PGRES_POLLING_READING || status == PGRES_POLLING_WRITING)
	{
		bool		reading = (status == PGRES_POLLING_READING);
		int			event = reading ? WL_SOCKET_READABLE : WL_SOCKET_WRITEABLE;
		long		left = -1;

		if (timeout >= 0)
		{
			if (is_new_address(conn->pgconn, &address))
				deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													   timeout);
			left = dbl_time_left(deadline);
			if (left == 0)
				return false;
		}
		if (dbl_remote_wait(conn, event, left, wait_event))
			status = PQconnectPoll(conn->pgconn);
	}
	return true;
}

/*
 * Connect.  The caller has made sure that the conninfo string parses.
 *
 * connect_timeout holds for each address.  A remote that can't convert to our
 * encoding keeps its own; what it sends is looked at before it is used.  Throws
 * 08001 with libpq's reason.
 */
void
dbl_est_connect(DblinkConn *conn, const char *conninfo)
{
	ConnectParams params = {0};
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
		{
			if (params.leave_encoding || !is_encoding_refused(conn->pgconn))
				break;
			params.leave_encoding = true;
			params_init(&params, conninfo);
			PQfinish(conn->pgconn);
			conn->pgconn = NULL;
			continue;
		}

		append_problem(&timed_out, conn->pgconn, "timeout expired");
		if (!dbl_hosts_skip(&params.hosts, options, conn->pgconn))
			dbl_err_not_connected(timed_out.data);
		params_init(&params, conninfo);
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
 * Does the connection lead back to this very server?  Its other end is then one
 * of our processes.  Another server of the same version may have a process of
 * that number by chance; the caller has to be able to live with a wrong yes.
 */
bool
dbl_est_loops_back(DblinkConn *conn)
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
dbl_est_set_encoding(DblinkConn *conn)
{
	const char *wanted = GetDatabaseEncodingName();
	const char *used = PQparameterStatus(conn->pgconn, "client_encoding");

	if (used == NULL || strcmp(used, wanted) != 0)
		(void) dbl_remote_exec(conn, psprintf("SET client_encoding TO '%s'", wanted));
	dbl_remote_forget(conn);
}
