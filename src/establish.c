/*-------------------------------------------------------------------------
 *
 * establish.c
 *	  Establishing a connection to a remote server.
 *
 * libpq connects without blocking, but leaves time-outs to its caller, and cannot
 * be told that an address took too long.  So we watch connect_timeout here, for
 * each address that libpq tries, and when it has passed make libpq start anew,
 * with the remaining addresses: hosts.c says which.
 *
 * We do not use libpqsrv_connect() of libpq-be-fe-helpers.h, for two reasons.  It
 * waits without a time limit, so that connect_timeout has no effect.  And it
 * returns the PGconn only when it is done, so that until then no DblinkConn could
 * own it.
 *
 * Not bounded in time, because libpq makes blocking calls there: looking up a host
 * name, and reading the files of certificates.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>
#include <netdb.h>

#include "dblink.h"

#include "storage/fd.h"
#include "storage/latch.h"
#include "storage/procarray.h"

/* How long connecting may take before this session makes room for it. */
#define PATIENCE_MS		1000

/* How long the remote gets to end what was released, first and last. */
#define FIRST_PAUSE_MS	20
#define LAST_PAUSE_MS	320

/*
 * What we have libpq connect with, from one attempt to the next, and how far the current
 * one has come.
 */
struct DblinkAttempt
{
	DblinkConn *conn;
	const DblinkConnInfo *conninfo;
	const char *encoding;		/* what to ask the remote for, or NULL */
	DblinkHosts hosts;			/* the remaining ones after a time-out */
	StringInfoData timed_out;	/* messages about those that are left out */
	TimestampTz room_at;		/* when to call make_room(); DT_NOEND when
								 * that was done */
	bool		(*make_room) (void);	/* releases what this session does not
										 * need; NULL likewise */
	long		pause_ms;		/* when it has released something, how long to
								 * wait next */

	const PQconninfoOption *options;	/* of the current one */
	PostgresPollingStatusType status;	/* what libpq waits for */
	long		timeout;		/* for each address, in ms; -1 for none */
	TimestampTz deadline;		/* of this one: */
	char		address[2 * NI_MAXHOST + NI_MAXSERV];	/* host, address and
														 * port */
};

/*
 * Reserve a file descriptor for a connection that is about to be made.  Returns
 * false if the session has none left, or if this would be the last, because every
 * wait needs one for a moment.
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
 * Begin to connect.  libpq expands the conninfo string that it gets as "dbname", skips a
 * parameter that is NULL, and a later one wins over an earlier one.  Throws 53200 if libpq
 * is out of memory.
 *
 * We hand on the string and not its options, because libpq takes an empty value of a
 * parameter as none, whereas in a string it overrides the environment: password='' must
 * not become PGPASSWORD.  But a string of blanks would be the name of a database.
 *
 * The encoding goes with the start-up message, so that it holds from the first byte, and
 * after a RESET or DISCARD ALL.
 */
static void
connect_start(DblinkConn *conn, const DblinkAttempt *attempt)
{
	const char *string = attempt->conninfo->string;
	bool		is_blank = string[strspn(string, " \t\n\r\f\v")] == '\0';
	const char *const keywords[] = {
		"dbname", "client_encoding", "options", "host", "hostaddr", "port", NULL
	};
	const char *const values[] = {
		is_blank ? NULL : string, attempt->encoding, attempt->conninfo->session_options,
		attempt->hosts.host, attempt->hosts.hostaddr, attempt->hosts.port, NULL
	};

	Assert(conn->pgconn == NULL && conn->holds_fd);

	conn->pgconn = PQconnectStartParams(keywords, values, 1);
	if (conn->pgconn == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not establish connection"),
				 errdetail("out of memory")));
	PQsetNoticeReceiver(conn->pgconn, dbl_notice_receive, conn);
}

/*
 * Check whether libpq has gone on to another address, and note it: each has a time limit
 * of its own.
 */
static bool
is_new_address(DblinkAttempt *attempt)
{
	PGconn	   *pgconn = attempt->conn->pgconn;
	char		now[sizeof(attempt->address)];

	snprintf(now, sizeof(now), "%s %s %s", PQhost(pgconn), PQhostaddr(pgconn),
			 PQport(pgconn));
	if (strcmp(now, attempt->address) == 0)
		return false;
	strlcpy(attempt->address, now, sizeof(now));
	return true;
}

/*
 * Append the message about a problem at the address that libpq is trying.  libpq's
 * own messages so far end with the name of that address.
 */
static void
append_problem(StringInfo buf, PGconn *pgconn, const char *problem)
{
	appendStringInfo(buf, "%s%s\n", PQerrorMessage(pgconn), problem);
}

/*
 * Return how long an address may take, in milliseconds; -1 for no limit.  Before
 * 16, throws 08001 if connect_timeout is not a number.
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
		dbl_err_not_connected(buf.data, NULL);
	}
	if (!valid || seconds <= 0)
		return -1;

	/* As in libpq, one second is too short to be meant. */
	return Max(seconds, 2) * 1000;
}

/*
 * Release what this session does not need, the first time only.  Returns false if
 * there was nothing.
 */
static bool
make_room(DblinkAttempt *attempt)
{
	bool		(*call) (void) = attempt->make_room;

	attempt->make_room = NULL;
	attempt->room_at = DT_NOEND;
	if (call == NULL || !call())
		return false;
	attempt->pause_ms = FIRST_PAUSE_MS;
	return true;
}

/*
 * Check whether the remote says that it has too many connections.  We know the words in
 * English only.
 */
static bool
is_full(PGconn *pgconn)
{
	return strstr(PQerrorMessage(pgconn), "too many") != NULL ||
		strstr(PQerrorMessage(pgconn), "connection slots") != NULL;
}

/*
 * The sessions of connections that were closed to make room end a moment later.  If the
 * remote still has too many, wait for that.  Returns false if that was long enough.
 */
static bool
await_room(DblinkAttempt *attempt)
{
	TimestampTz deadline;
	long		left;

	if (attempt->pause_ms == 0 || attempt->pause_ms > LAST_PAUSE_MS ||
		!is_full(attempt->conn->pgconn))
		return false;
	deadline = dbl_deadline(attempt->pause_ms);
	attempt->pause_ms *= 2;
	while ((left = dbl_time_left(deadline)) > 0)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, left,
						 dbl_wait_event(DBLINK_WAIT_CONNECT));
		ResetLatch(MyLatch);
		dbl_ex_serve_interrupts();
	}
	return true;
}

/*
 * Check whether the remote refused a password.  Then there is nothing to make room for,
 * and another attempt may lock out the user.  The names of authentication methods
 * are much the same in all languages.
 */
static bool
is_password_refused(PGconn *pgconn)
{
	return PQconnectionUsedPassword(pgconn) &&
		(strcasestr(PQerrorMessage(pgconn), "authenti") != NULL ||
		 strcasestr(PQerrorMessage(pgconn), "autenti") != NULL);
}

/*
 * What libpq waits for.
 */
static int
wanted_event(const DblinkAttempt *attempt)
{
	return attempt->status == PGRES_POLLING_READING ? WL_SOCKET_READABLE : WL_SOCKET_WRITEABLE;
}

/*
 * Check whether libpq has succeeded or failed.
 */
static bool
is_over(const DblinkAttempt *attempt)
{
	return PQstatus(attempt->conn->pgconn) == CONNECTION_BAD ||
		(attempt->status != PGRES_POLLING_READING && attempt->status != PGRES_POLLING_WRITING);
}

/*
 * Return how long the address that libpq is trying may still take, in milliseconds; -1
 * for ever.
 */
static long
address_time_left(DblinkAttempt *attempt)
{
	if (attempt->timeout < 0)
		return -1;
	if (is_new_address(attempt))
		attempt->deadline = dbl_deadline(attempt->timeout);
	return dbl_time_left(attempt->deadline);
}

/*
 * Let libpq go on.  It sends the first byte in the step after it has connected: so
 * this is where we look who is there, if that matters.
 */
static void
connect_step(DblinkAttempt *attempt)
{
	PGconn	   *pgconn = attempt->conn->pgconn;

	if (attempt->conninfo->loopback && PQstatus(pgconn) == CONNECTION_MADE)
		dbl_loop_peer_check(pgconn);
	attempt->status = PQconnectPoll(pgconn);
}

/*
 * Let libpq go on with other connections, where it can.  One whose address has taken too
 * long waits for its own turn.
 */
static void
step_others(List *others)
{
	foreach_ptr(DblinkAttempt, other, others)
	{
		if (!is_over(other) && address_time_left(other) != 0 &&
			dbl_remote_is_ready(other->conn, wanted_event(other)))
			connect_step(other);
	}
}

/*
 * Wait until one of several sockets is ready for libpq to go on.  Returns whether that of
 * the attempt is; the others have gone on, too.
 */
static bool
wait_with_others(DblinkAttempt *attempt, long left, uint32 wait_event, List *others)
{
	List	   *conns = list_make1(attempt->conn);
	List	   *events = list_make1_int(wanted_event(attempt));

	foreach_ptr(DblinkAttempt, other, others)
	{
		if (is_over(other) || address_time_left(other) == 0)
			continue;
		conns = lappend(conns, other->conn);
		events = lappend_int(events, wanted_event(other));
	}
	dbl_remote_wait_any(conns, events, left, wait_event);
	list_free(conns);
	list_free(events);
	step_others(others);
	return dbl_remote_is_ready(attempt->conn, wanted_event(attempt));
}

/*
 * Wait until the socket is ready for libpq to go on, up to "left" milliseconds (-1:
 * for ever).  Returns false if the time is over, or something else has happened.
 *
 * The remote may have to wait for a place that another connection of ours holds, as
 * in a pooler's queue: so after a second, what we do not need is given back.
 */
static bool
connect_wait(DblinkAttempt *attempt, long left, List *others)
{
	DblinkConn *conn = attempt->conn;
	uint32		wait_event = dbl_wait_event(conn->kind == DBLINK_ONE_CALL ?
											DBLINK_WAIT_GET_CONNECT :
											DBLINK_WAIT_CONNECT);
	long		room_left = dbl_time_left(attempt->room_at);
	bool		ready;

	if (room_left == 0)
	{
		(void) make_room(attempt);
		return false;
	}
	left = dbl_shorter_time(left, room_left);
	if (others != NIL)
		ready = wait_with_others(attempt, left, wait_event, others);
	else
		ready = dbl_remote_wait(conn, wanted_event(attempt), left, wait_event) != 0;
	CHECK_FOR_INTERRUPTS();
	return ready;
}

/*
 * Go on connecting until libpq has succeeded or failed.  Returns false if an
 * address did not answer in time.
 */
static bool
connect_poll(DblinkAttempt *attempt, List *others)
{
	while (!is_over(attempt))
	{
		long		left = address_time_left(attempt);

		if (left == 0)
			return false;
		if (connect_wait(attempt, left, others))
			connect_step(attempt);
		dbl_notice_report(attempt->conn);
	}
	return true;
}

/*
 * Check whether a byte belongs to a word.  In other languages than English there
 * need be no blank around a name, so what is not ASCII ends a word.
 */
static bool
is_word_byte(char c)
{
	return !IS_HIGHBIT_SET(c) && (isalnum((unsigned char) c) || c == '_');
}

/*
 * Check whether a message has a word, that is, not as a part of a longer one.
 */
static bool
has_word(const char *message, const char *word)
{
	const char *at = message;

	while ((at = strstr(at, word)) != NULL)
	{
		const char *end = at + strlen(word);

		if ((at == message || !is_word_byte(at[-1])) && !is_word_byte(*end))
			return true;
		at = end;
	}
	return false;
}

/*
 * Check whether a message names an encoding of databases other than ours.
 */
static bool
names_other_encoding(const char *message)
{
	for (int encoding = 0; encoding <= PG_ENCODING_BE_LAST; encoding++)
	{
		if (encoding != GetDatabaseEncoding() &&
			has_word(message, dbl_encoding_name(encoding)))
			return true;
	}
	return false;
}

/*
 * Check whether the remote refused us because it cannot convert between its
 * encoding and ours.
 *
 * libpq does not tell the SQLSTATE of a refusal, and its text can be in any
 * language, but the names in it are not translated.  PostgreSQL says that the
 * conversion between two encodings is not supported, or if it does not know ours
 * at all, that the value of client_encoding is invalid.  Our encoding's name alone
 * is not enough, because it can be part of a user's, and another attempt with a
 * wrong password may lock them out.
 */
static bool
is_encoding_refused(PGconn *pgconn)
{
	const char *message = PQerrorMessage(pgconn);

	return has_word(message, GetDatabaseEncodingName()) &&
		(has_word(message, "client_encoding") || names_other_encoding(message));
}

/*
 * Begin to connect with the parameters of an attempt.
 */
static void
connect_begin(DblinkAttempt *attempt)
{
	DblinkConn *conn = attempt->conn;

	connect_start(conn, attempt);
	attempt->options = dbl_opt_effective(conn->pgconn);
	attempt->status = PGRES_POLLING_WRITING;
	attempt->address[0] = '\0';
	attempt->timeout = -1;
	if (PQstatus(conn->pgconn) != CONNECTION_BAD)
		attempt->timeout = connect_timeout(conn->pgconn, attempt->options);
	(void) address_time_left(attempt);
}

/*
 * An address took too long: take it out of those for the next try.  Throws 08001 if there
 * is no other.
 */
static void
skip_address(DblinkAttempt *attempt)
{
	PGconn	   *pgconn = attempt->conn->pgconn;

	append_problem(&attempt->timed_out, pgconn, "timeout expired");
	if (!dbl_hosts_skip(&attempt->hosts, attempt->options, pgconn))
		dbl_err_not_connected(attempt->timed_out.data, NULL);
}

/*
 * libpq has failed with all addresses: begin with them again, if there is more room now.
 * Else throws 08001.
 */
static void
start_anew(DblinkAttempt *attempt)
{
	PGconn	   *pgconn = attempt->conn->pgconn;

	if (is_password_refused(pgconn) || (!make_room(attempt) && !await_room(attempt)))
	{
		appendStringInfoString(&attempt->timed_out, PQerrorMessage(pgconn));
		dbl_err_not_connected(attempt->timed_out.data, NULL);
	}
	memset(&attempt->hosts, 0, sizeof(attempt->hosts));
	resetStringInfo(&attempt->timed_out);
}

/*
 * Begin to connect, without waiting.  The caller has checked that the conninfo string
 * parses, and reserved a file descriptor.
 *
 * connect_timeout holds for each address.  A remote that cannot convert to our
 * encoding keeps its own, because its data is checked before it is used.  If the
 * remote refuses us, it is tried once more after make_room_call(), which returns
 * whether it could release something; and some more times if it has too many connections
 * even then.
 *
 * The result is for dbl_est_finish(), in the current memory context.  Throws 08001 if a
 * connect_timeout is not valid.
 */
DblinkAttempt *
dbl_est_start(DblinkConn *conn, const DblinkConnInfo *conninfo,
			  bool (*make_room_call) (void))
{
	DblinkAttempt *attempt = palloc0(sizeof(DblinkAttempt));

	Assert(!conn->open && conninfo->options != NULL);

	attempt->conn = conn;
	attempt->conninfo = conninfo;
	attempt->room_at = dbl_deadline(PATIENCE_MS);
	attempt->make_room = make_room_call;

	/* If the user has chosen an encoding, it is for the remote to refuse. */
	if (dbl_opt_value(conninfo->options, "client_encoding") == NULL)
		attempt->encoding = GetDatabaseEncodingName();
	initStringInfo(&attempt->timed_out);
	connect_begin(attempt);
	return attempt;
}

/*
 * Connect.  While we wait, libpq goes on with other connections that were started.
 * Throws 08001 with libpq's reason.
 */
void
dbl_est_finish(DblinkAttempt *attempt, List *others)
{
	DblinkConn *conn = attempt->conn;

	for (;;)
	{
		if (!connect_poll(attempt, others))
			skip_address(attempt);
		else if (PQstatus(conn->pgconn) == CONNECTION_OK)
			break;
		else if (attempt->encoding != NULL && is_encoding_refused(conn->pgconn))
			attempt->encoding = NULL;
		else
			start_anew(attempt);
		PQfinish(conn->pgconn);
		conn->pgconn = NULL;
		connect_begin(attempt);
	}
	PQsetnonblocking(conn->pgconn, 1);
}

/*
 * Check whether the connection leads back to this very server: its other end is
 * then one of our processes.  Another server of the same version may have a
 * process of that number by chance, so the caller must be able to live with a
 * wrong "true".
 */
bool
dbl_est_loops_back(DblinkConn *conn)
{
	const char *version = GetConfigOption("server_version_num", false, false);

	Assert(conn->pgconn != NULL);

	return PQserverVersion(conn->pgconn) == atoi(version) &&
		BackendPidGetProc(PQbackendPID(conn->pgconn)) != NULL;
}

/*
 * Ensure that the remote uses the database's encoding.  If it will not, that is no
 * error, because its data is checked before it is used.
 */
void
dbl_est_set_encoding(DblinkConn *conn)
{
	const char *wanted = GetDatabaseEncodingName();
	const char *used = PQparameterStatus(conn->pgconn, "client_encoding");

	if (used == NULL || strcmp(used, wanted) != 0)
		(void) dbl_ex_run(conn, psprintf("SET client_encoding TO '%s'", wanted));
	dbl_ex_clear(conn);
}
