/*-------------------------------------------------------------------------
 *
 * follow.c
 *	  Remote transactions that follow the local one.
 *
 * dblink_begin() starts a transaction on a connection that commits and rolls back with
 * ours.  Its savepoints are ours, too: one for each nesting level, made when something is
 * sent on that level for the first time.  Each savepoint has a name that no other has in
 * the transaction, so that a name never means an older one.  A savepoint counts once the
 * remote has confirmed it; one of which an interrupt has kept us from knowing is empty,
 * and its name is never used again.
 *
 * Before ours commits, the remote ones are settled.  What can be known beforehand is
 * asked for first, because until the first COMMIT is sent, any trouble still rolls
 * everything back: whether a transaction has failed, and what deferred constraints say.
 * From then on nothing is thrown until it is known of each what has become of it, or
 * knowing it takes too long.  This is no two-phase commit: if one server commits and
 * another does not, all that we can do is say so.
 *
 * The remote must stay in the transaction that we have started.  A text that would
 * end it is not sent; and what has ended it all the same shows in the state that the
 * remote reports, or in a command tag (exchange.c).  Then ours can't commit any more.
 *
 * What an abort has to send is put down here, and sent by recover.c, after it has brought
 * to an end what was in progress.
 *
 * Memory: the list of savepoints is in TopTransactionContext.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "access/xact.h"
#include "storage/pmsignal.h"
#include "utils/memutils.h"

/* The name of a savepoint, with its number. */
#define SAVEPOINT_NAME	"dblink_savepoint_%d"

/* How long a cancel request is put off while COMMIT is under way. */
#define CANCEL_DELAY_MS	2000

/* For the context of an error. */
#define COMMITTING		"while committing the remote transaction"

/*
 * Return the connections whose transactions follow ours.
 */
static List *
followers(void)
{
	List	   *conns = NIL;

	dbl_reg_foreach(conn)
	{
		if (conn->follow.state != DBLINK_FOLLOW_NONE)
			conns = lappend(conns, conn);
	}
	return conns;
}

/*
 * Return the deepest nesting level for which the remote has a savepoint; 1 if there is
 * none.
 */
static int
savepoint_level(const DblinkConn *conn)
{
	return list_length(conn->follow.savepoints) + 1;
}

/*
 * Return the number of the savepoint for a nesting level that has one.
 */
static int
savepoint_number(const DblinkConn *conn, int level)
{
	Assert(level > 1 && level <= savepoint_level(conn));
	return list_nth_int(conn->follow.savepoints, level - 2);
}

/*
 * Savepoints from this nesting level on exist no more.  Never throws.
 */
static void
forget_savepoints(DblinkConn *conn, int level)
{
	List	   *savepoints = conn->follow.savepoints;

	if (level > savepoint_level(conn))
		return;
	if (level > 2)
		savepoints = list_truncate(savepoints, level - 2);
	else
	{
		list_free(savepoints);
		savepoints = NIL;
	}
	conn->follow.savepoints = savepoints;
}

/*
 * The transaction does not follow ours any more.  Never throws.
 */
static void
forget(DblinkConn *conn)
{
	memset(&conn->follow, 0, sizeof(conn->follow));
}

/*
 * Make a savepoint for each open nesting level that has none.  Throws the remote's error.
 */
static void
make_savepoints(DblinkConn *conn)
{
	int			first = savepoint_level(conn) + 1;
	int			last = GetCurrentTransactionNestLevel();
	int			number = conn->follow.last_savepoint;
	MemoryContext caller_context;
	StringInfoData sql;
	int			level;

	if (first > last)
		return;
	initStringInfo(&sql);
	for (level = first; level <= last; level++)
		appendStringInfo(&sql, "SAVEPOINT " SAVEPOINT_NAME ";", ++number);
	conn->follow.last_savepoint = number;
	dbl_ex_send_control(conn, sql.data);
	if (PQresultStatus(dbl_ex_read_to_end(conn)) != PGRES_COMMAND_OK)
		dbl_err_report_now(conn, true, "while making a savepoint");

	caller_context = MemoryContextSwitchTo(TopTransactionContext);
	for (level = first; level <= last; level++)
		conn->follow.savepoints = lappend_int(conn->follow.savepoints, number - last + level);
	MemoryContextSwitchTo(caller_context);
	Assert(savepoint_level(conn) == last);
}

/*
 * Check whether the remote reads a backslash in '' as an ordinary character.
 */
static bool
has_standard_strings(const DblinkConn *conn)
{
	const char *value = PQparameterStatus(conn->pgconn, "standard_conforming_strings");

	return value == NULL || strcmp(value, "off") != 0;
}

/*
 * A text of the user's is about to be sent on a connection whose transaction follows
 * ours.  Throws 25000 if it would end the transaction, or that has ended.  Makes the
 * savepoints that are missing.
 *
 * That is not possible in a transaction that has failed, where the text will fail, too, or
 * end the failure by a savepoint of the user's.  So it must do nothing else then: it could
 * not be rolled back.  Throws 25000 for several statements.
 */
void
dbl_follow_text_check(DblinkConn *conn, const char *sql)
{
	DblinkSqlControl control;

	if (conn->follow.state != DBLINK_FOLLOW_ACTIVE)
		dbl_err_follow_ended(conn);
	control = dbl_sql_control(sql, has_standard_strings(conn));
	if (control == DBLINK_SQL_CONTROLS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_STATE),
				 errmsg("cannot begin, end or prepare a transaction on dblink connection \"%s\"",
						conn->name),
				 errdetail("Its transaction follows the local one."),
				 errhint("Savepoints are allowed.")));
	if (PQtransactionStatus(conn->pgconn) == PQTRANS_INERROR &&
		control != DBLINK_SQL_STAYS_ALONE &&
		savepoint_level(conn) < GetCurrentTransactionNestLevel())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_STATE),
				 errmsg("remote transaction on dblink connection \"%s\" is aborted",
						conn->name),
				 errdetail("It has to be rolled back to a savepoint before other statements are sent."),
				 errhint("Send ROLLBACK TO SAVEPOINT in a call of its own.")));
	if (PQtransactionStatus(conn->pgconn) == PQTRANS_INTRANS)
		make_savepoints(conn);
	if (PQtransactionStatus(conn->pgconn) != PQTRANS_ACTIVE)
		conn->follow.unread = control == DBLINK_SQL_UNREAD;
}

/*
 * Return the statement that starts a transaction like ours.  READ WRITE is not said: a
 * hot standby refuses it, and a role that has default_transaction_read_only there is to
 * keep it.
 */
static const char *
start_statement(void)
{
	const char *isolation = "READ COMMITTED";

	switch (XactIsoLevel)
	{
		case XACT_READ_UNCOMMITTED:
			isolation = "READ UNCOMMITTED";
			break;
		case XACT_REPEATABLE_READ:
			isolation = "REPEATABLE READ";
			break;
		case XACT_SERIALIZABLE:
			isolation = "SERIALIZABLE";
			break;
		default:
			break;
	}
	return psprintf("START TRANSACTION ISOLATION LEVEL %s%s, %s", isolation,
					XactReadOnly ? ", READ ONLY" : "",
					XactDeferrable ? "DEFERRABLE" : "NOT DEFERRABLE");
}

/*
 * Throw an error if no transaction can be started on the connection: 25001 if it is in
 * one of the user's, 55006 if an asynchronous query is in progress.
 */
static void
idle_check(DblinkConn *conn)
{
	PGTransactionStatusType status;

	if (dbl_ex_is_pending(conn))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("an asynchronous query is in progress on dblink connection \"%s\"",
						conn->name),
				 errhint("Fetch its results with dblink_get_result() first.")));
	status = PQtransactionStatus(conn->pgconn);
	if (status == PQTRANS_INTRANS || status == PQTRANS_INERROR)
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("dblink connection \"%s\" is in a transaction block already",
						conn->name),
				 errhint("Send COMMIT or ROLLBACK on it first.")));
}

/*
 * Start a transaction on a named connection that follows ours, if there is none.  Throws
 * what idle_check() throws, 25000 if it has ended before ours, and the remote's error.
 */
void
dbl_follow_begin(DblinkConn *conn)
{
	PGresult   *res;

	Assert(conn->kind == DBLINK_NAMED);
	dbl_diag_forget(conn);
	if (conn->follow.state == DBLINK_FOLLOW_NONE)
	{
		idle_check(conn);
		conn->follow.state = DBLINK_FOLLOW_BEGINNING;
		dbl_ex_send_control(conn, start_statement());
		res = dbl_ex_read_to_end(conn);
		if (PQresultStatus(res) != PGRES_COMMAND_OK ||
			PQtransactionStatus(conn->pgconn) != PQTRANS_INTRANS)
		{
			forget(conn);
			dbl_err_report_now(conn, true, "while starting a remote transaction");
		}
		conn->follow.state = DBLINK_FOLLOW_ACTIVE;
	}
	if (conn->follow.state != DBLINK_FOLLOW_ACTIVE)
		dbl_err_follow_ended(conn);
	if (PQtransactionStatus(conn->pgconn) == PQTRANS_INTRANS)
		make_savepoints(conn);
}

/*
 * Throw 55006 if the connection must not be closed, because its transaction follows
 * ours.
 */
void
dbl_follow_close_check(const DblinkConn *conn)
{
	if (conn->follow.state != DBLINK_FOLLOW_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("cannot close dblink connection \"%s\" because its transaction follows the local one",
						conn->name),
				 errhint("End this transaction first.")));
}

/*
 * The local transaction is about to be prepared.  Throws 0A000 if one follows it.
 */
void
dbl_follow_prepare_check(void)
{
	dbl_reg_foreach(conn)
	{
		if (conn->follow.state != DBLINK_FOLLOW_NONE)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot PREPARE a transaction that a remote transaction follows"),
					 errdetail("The transaction on dblink connection \"%s\" follows it.",
							   conn->name)));
	}
}

/*
 * Throw 25P02 if the transaction has failed; 08006 if its connection is broken; 25000 if
 * it has ended.
 */
static void
state_check(DblinkConn *conn)
{
	if (conn->follow.state != DBLINK_FOLLOW_ACTIVE || conn->exchange.phase != DBLINK_IDLE)
		dbl_err_follow_ended(conn);
	if (!dbl_remote_is_alive(conn))
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("dblink connection \"%s\" was lost, and its transaction with it",
						conn->name),
				 errdetail_internal("%s", dbl_err_message(conn))));
	if (PQtransactionStatus(conn->pgconn) == PQTRANS_INERROR)
		ereport(ERROR,
				(errcode(ERRCODE_IN_FAILED_SQL_TRANSACTION),
				 errmsg("remote transaction on dblink connection \"%s\" is aborted",
						conn->name),
				 errdetail("A statement in it has failed, and it has not been rolled back to a savepoint.")));
	if (PQtransactionStatus(conn->pgconn) != PQTRANS_INTRANS)
		dbl_err_follow_ended(conn);
}

/*
 * Check whether an asynchronous query has results that were not fetched: nothing can be
 * sent then.
 */
static bool
is_async_pending(const DblinkConn *conn)
{
	return conn->exchange.phase == DBLINK_IDLE &&
		PQtransactionStatus(conn->pgconn) == PQTRANS_ACTIVE;
}

/*
 * Let an asynchronous query complete whose results were not fetched.  Throws its error.
 */
static void
finish_async(DblinkConn *conn)
{
	if (!is_async_pending(conn))
		return;
	dbl_ex_fetch_all(conn);
	if (PQresultStatus(dbl_ex_read_to_end(conn)) == PGRES_FATAL_ERROR)
		dbl_err_report_now(conn, true, COMMITTING);
}

/*
 * Run a text of ours on all connections at once.  Throws the first remote error.
 */
static void
run_control_on_all(List *conns, const char *sql, const char *action)
{
	foreach_ptr(DblinkConn, conn, conns)
		dbl_ex_send_control(conn, sql);
	foreach_ptr(DblinkConn, conn, conns)
	{
		if (PQresultStatus(dbl_ex_read_to_end(conn)) != PGRES_COMMAND_OK)
			dbl_err_report_now(conn, true, action);
	}
}

/*
 * Check whether deferred constraints have to be looked at before any COMMIT is sent:
 * where another commits, too, and where a constraint may wait for what this session
 * holds, because in COMMIT we would not look for that.
 */
static bool
is_check_needed(List *conns)
{
	foreach_ptr(DblinkConn, conn, conns)
	{
		if (conn->loops_back)
			return true;
	}
	return list_length(conns) > 1;
}

/*
 * Send COMMIT to all, until one does not take it: that one has not committed then, nor
 * have those after it.  Never throws.
 */
static void
send_commits(List *conns)
{
	foreach_ptr(DblinkConn, conn, conns)
	{
		Assert(conn->follow.state == DBLINK_FOLLOW_ACTIVE);
		Assert(conn->follow.savepoints == NIL);
		conn->follow.state = DBLINK_FOLLOW_COMMITTING;
		if (!dbl_ex_post(conn, "COMMIT"))
		{
			conn->follow.state = DBLINK_FOLLOW_ENDED;
			break;
		}
	}
}

/*
 * The answer to COMMIT is complete, and its first result is the exchange's: what has become
 * of the transaction?  It was rolled back if the server says so, by an error or by the
 * tag ROLLBACK, and goes on.  All else does not tell.  Never throws.
 */
static void
note_outcome(DblinkConn *conn)
{
	const PGresult *res = conn->exchange.res;
	bool		rolled_back;

	Assert(conn->follow.state == DBLINK_FOLLOW_COMMITTING);
	if (PQresultStatus(res) == PGRES_COMMAND_OK)
	{
		const char *tag = PQcmdStatus(unconstify(PGresult *, res));

		if (strcmp(tag, "COMMIT") == 0)
			conn->follow.state = DBLINK_FOLLOW_COMMITTED;
		rolled_back = strcmp(tag, "ROLLBACK") == 0;
	}
	else
		rolled_back = PQresultErrorField(res, PG_DIAG_SQLSTATE) != NULL;
	if (rolled_back && PQtransactionStatus(conn->pgconn) == PQTRANS_IDLE)
		conn->follow.state = DBLINK_FOLLOW_ENDED;
}

/*
 * Check whether the answer to COMMIT is still awaited.
 */
static bool
is_awaited(const DblinkConn *conn)
{
	return conn->follow.state == DBLINK_FOLLOW_COMMITTING &&
		conn->exchange.phase != DBLINK_IDLE;
}

/*
 * Read the answers to COMMIT that are complete.  Returns whether others are awaited.  Never
 * throws.
 */
static bool
read_answers(List *conns)
{
	bool		awaited = false;

	foreach_ptr(DblinkConn, conn, conns)
	{
		if (!is_awaited(conn))
			continue;
		if (dbl_ex_poll(conn))
			note_outcome(conn);
		else
			awaited = true;
	}
	return awaited;
}

/*
 * Wait for the answers to COMMIT.  A cancel request is put off, so that most transactions
 * are settled by then; a termination ends the wait at once.  What has no answer by then stays
 * in the state DBLINK_FOLLOW_COMMITTING.
 *
 * Cancels are held by the caller.  Other interrupts are served, because the wait may be
 * long; one of them may end the session all the same, which leaves the states as they are
 * for the abort to report.
 */
static void
await_commits(List *conns)
{
	TimestampTz until = DT_NOEND;

	while (read_answers(conns))
	{
		if (ProcDiePending || !PostmasterIsAlive())
			break;
		if (QueryCancelPending && until == DT_NOEND)
			until = dbl_deadline(CANCEL_DELAY_MS);
		if (dbl_time_left(until) == 0)
			break;
		CHECK_FOR_INTERRUPTS();
		dbl_recover_wait(is_awaited);
	}
}

/*
 * Return how many of the connections are in a state.
 */
static int
count_state(List *conns, DblinkFollowState state)
{
	int			count = 0;

	foreach_ptr(DblinkConn, conn, conns)
	{
		if (conn->follow.state == state)
			count++;
	}
	return count;
}

/*
 * Throw why the transaction of this connection, and no other, was not committed.
 */
pg_noreturn static void
not_committed(DblinkConn *conn)
{
	if (PQresultStatus(conn->exchange.res) == PGRES_COMMAND_OK)
		ereport(ERROR,
				(errcode(ERRCODE_IN_FAILED_SQL_TRANSACTION),
				 errmsg("remote transaction on dblink connection \"%s\" was rolled back",
						conn->name),
				 errdetail("The remote server answered COMMIT with \"%s\".",
						   dbl_err_clean(PQcmdStatus(conn->exchange.res)))));
	dbl_err_report_now(conn, true, COMMITTING);
	pg_unreachable();
}

/*
 * Append the names of the connections in a state, after a text that says what it means.
 */
static void
append_names(StringInfo buf, List *conns, DblinkFollowState state, const char *meaning)
{
	bool		first = true;

	foreach_ptr(DblinkConn, conn, conns)
	{
		const char *message;

		if (conn->follow.state != state)
			continue;
		appendStringInfo(buf, "%s \"%s\"", first ? meaning : ",", conn->name);
		first = false;
		message = PQresultErrorField(conn->exchange.res, PG_DIAG_MESSAGE_PRIMARY);
		if (message != NULL)
			appendStringInfo(buf, " (%s)", dbl_err_clean(message));
	}
	if (!first)
		appendStringInfoChar(buf, '.');
}

/*
 * Throw 08007: some have committed or may have, and others have not.
 */
pg_noreturn static void
resolution_unknown(List *conns)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, _("The local transaction is rolled back."));
	append_names(&buf, conns, DBLINK_FOLLOW_COMMITTED,
				 _(" Committed on connection"));
	append_names(&buf, conns, DBLINK_FOLLOW_ENDED,
				 _(" Not committed on connection"));
	append_names(&buf, conns, DBLINK_FOLLOW_ACTIVE,
				 _(" Not committed on connection"));
	append_names(&buf, conns, DBLINK_FOLLOW_COMMITTING,
				 _(" Unknown on connection"));
	foreach_ptr(DblinkConn, conn, conns)
		conn->follow.reported = true;
	ereport(ERROR,
			(errcode(ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN),
			 errmsg("transaction resolution unknown"),
			 errdetail_internal("%s", buf.data)));
}

/*
 * Throw if not all have committed.  If none has, and none may have, that is an error like
 * any other: all is rolled back.
 */
static void
outcome_check(List *conns)
{
	if (count_state(conns, DBLINK_FOLLOW_COMMITTED) == list_length(conns))
		return;
	if (count_state(conns, DBLINK_FOLLOW_COMMITTED) > 0 ||
		count_state(conns, DBLINK_FOLLOW_COMMITTING) > 0)
		resolution_unknown(conns);
	foreach_ptr(DblinkConn, conn, conns)
	{
		if (conn->follow.state == DBLINK_FOLLOW_ENDED)
			not_committed(conn);
	}
	elog(ERROR, "no remote transaction was committed");
}

/*
 * Make sure, as far as possible, that all can commit.  Throws if one can't.
 */
static void
prepare_commit(List *conns)
{
	foreach_ptr(DblinkConn, conn, conns)
		finish_async(conn);
	foreach_ptr(DblinkConn, conn, conns)
		state_check(conn);
	if (is_check_needed(conns))
		run_control_on_all(conns, "SET CONSTRAINTS ALL IMMEDIATE", COMMITTING);
	foreach_ptr(DblinkConn, conn, conns)
		dbl_ex_await_cancel(conn);
	dbl_ex_serve_interrupts();
}

/*
 * Our transaction is about to commit: commit all that follow it.  Throws if one of them
 * can't; 08007 if it is not known of one whether it has, or others have.
 *
 * A cancel request that comes while all commit comes too late: if it ended our commit
 * after that, there would be another half.
 */
void
dbl_follow_commit(void)
{
	List	   *conns = followers();

	if (conns == NIL)
		return;
	prepare_commit(conns);

	HOLD_CANCEL_INTERRUPTS();
	send_commits(conns);
	await_commits(conns);
	RESUME_CANCEL_INTERRUPTS();

	outcome_check(conns);
	QueryCancelPending = false;
	foreach_ptr(DblinkConn, conn, conns)
		dbl_notice_report(conn);
	list_free(conns);
}

/*
 * Check whether a subtransaction of this nesting level has a savepoint to be released.
 */
static bool
has_savepoint(const DblinkConn *conn, int level)
{
	Assert(conn->follow.state != DBLINK_FOLLOW_ACTIVE || savepoint_level(conn) <= level);
	return conn->follow.state == DBLINK_FOLLOW_ACTIVE && savepoint_level(conn) == level;
}

/*
 * Check whether that can be released.  Where an asynchronous query is in progress, it
 * stays, and does no harm: what it could undo is the outer level's, and no one uses its
 * name.
 */
static bool
can_release(const DblinkConn *conn, int level)
{
	return has_savepoint(conn, level) && !is_async_pending(conn);
}

/*
 * A subtransaction of this nesting level is about to commit: release its savepoints.
 * Throws as state_check() does.
 *
 * They are not forgotten yet.  If one can't be released, or the subtransaction aborts for
 * another reason, it has to roll back to each: where that was released already, that
 * fails, and ours can't commit.
 *
 * Nothing is palloc'd here, because the current memory context is the subtransaction's,
 * which then would stay until our transaction is over: much for a loop.
 */
void
dbl_follow_release(int level)
{
	dbl_reg_foreach(conn)
	{
		if (can_release(conn, level))
			state_check(conn);
	}
	dbl_reg_foreach(conn)
	{
		char		sql[NAMEDATALEN];

		if (!can_release(conn, level))
			continue;
		snprintf(sql, sizeof(sql), "RELEASE SAVEPOINT " SAVEPOINT_NAME,
				 savepoint_number(conn, level));
		dbl_ex_send_control(conn, sql);
	}
	dbl_reg_foreach(conn)
	{
		if (can_release(conn, level) &&
			PQresultStatus(dbl_ex_read_to_end(conn)) != PGRES_COMMAND_OK)
			dbl_err_report_now(conn, true, "while releasing a savepoint");
	}
}

/*
 * A subtransaction of this nesting level has committed: its savepoints are its parent's to
 * undo.  Never throws.
 */
void
dbl_follow_released(int level)
{
	dbl_reg_foreach(conn)
	{
		if (has_savepoint(conn, level))
			forget_savepoints(conn, level);
	}
}

/*
 * Put down what an abort has to roll back: the whole transaction.
 */
static void
roll_back_all(DblinkConn *conn)
{
	conn->follow.rollback_level = 1;
	strlcpy(conn->follow.rollback, "ROLLBACK", DBLINK_ROLLBACK_SIZE);
}

/*
 * The same: all from this nesting level on, if there is anything.
 */
static void
roll_back_level(DblinkConn *conn, int level)
{
	int			number;

	if (savepoint_level(conn) < level)
		return;
	number = savepoint_number(conn, level);
	conn->follow.rollback_level = level;
	snprintf(conn->follow.rollback, DBLINK_ROLLBACK_SIZE,
			 "ROLLBACK TO SAVEPOINT " SAVEPOINT_NAME "; RELEASE SAVEPOINT " SAVEPOINT_NAME,
			 number, number);
}

/*
 * Warn that a remote transaction was committed, or may have been, and ours is not; unless
 * the error that aborts ours has said so.
 */
static void
warn(const DblinkConn *conn)
{
	if (conn->follow.reported)
		return;
	ereport(WARNING,
			(errcode(ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN),
			 conn->follow.state == DBLINK_FOLLOW_COMMITTED ?
			 errmsg("remote transaction on dblink connection \"%s\" was committed, but the local one was not",
					conn->name) :
			 errmsg("remote transaction on dblink connection \"%s\" may have been committed, but the local one was not",
					conn->name)));
}

/*
 * A transaction or subtransaction of this nesting level aborts: put down what has to be
 * rolled back with it.  One that has committed can't be; of one that may have, the
 * connection is closed.  Never throws.
 */
void
dbl_follow_abort(int level)
{
	dbl_reg_foreach(conn)
	{
		switch (conn->follow.state)
		{
			case DBLINK_FOLLOW_NONE:
				break;
			case DBLINK_FOLLOW_BEGINNING:
				roll_back_all(conn);
				break;
			case DBLINK_FOLLOW_ACTIVE:
			case DBLINK_FOLLOW_ENDED:
				if (!conn->open && level == 1)
					forget(conn);
				else if (level == 1)
					roll_back_all(conn);
				else if (conn->open)
					roll_back_level(conn, level);
				break;
			case DBLINK_FOLLOW_COMMITTED:
				warn(conn);
				forget(conn);
				break;
			case DBLINK_FOLLOW_COMMITTING:
				warn(conn);
				dbl_reg_close(conn);
				break;
		}
	}
}

/*
 * What an abort had to roll back is rolled back, or the connection is lost: see
 * exchange.recovery.  If a savepoint could not be rolled back to, ours can't commit.  Never
 * throws.
 */
void
dbl_follow_rolled_back(DblinkConn *conn)
{
	bool		lost = conn->exchange.recovery == DBLINK_RECOVERY_LOST;
	PGTransactionStatusType status = PQtransactionStatus(conn->pgconn);
	int			level = conn->follow.rollback_level;

	Assert(level > 0 && conn->exchange.recovery != DBLINK_RECOVERY_NONE);
	conn->follow.rollback_level = 0;
	if (level == 1)
	{
		if (status != PQTRANS_IDLE && status != PQTRANS_UNKNOWN)
			conn->exchange.recovery = DBLINK_RECOVERY_LOST;
		forget(conn);
		return;
	}
	forget_savepoints(conn, level);
	if (lost || status != PQTRANS_INTRANS)
		conn->follow.state = DBLINK_FOLLOW_ENDED;
}

/*
 * The connection is about to be closed, but ours goes on: it can't commit.  Never throws.
 */
void
dbl_follow_lost(DblinkConn *conn)
{
	Assert(conn->follow.state != DBLINK_FOLLOW_NONE &&
		   conn->follow.state != DBLINK_FOLLOW_COMMITTED);
	conn->follow.state = DBLINK_FOLLOW_ENDED;
}

/*
 * The transaction is over, and nothing follows it any more.  Nothing is sent.
 */
void
dbl_follow_end(void)
{
	dbl_reg_foreach(conn)
	{
		Assert(conn->follow.state == DBLINK_FOLLOW_NONE ||
			   conn->follow.state == DBLINK_FOLLOW_COMMITTED);
		if (conn->follow.state != DBLINK_FOLLOW_NONE)
			forget(conn);
	}
}
