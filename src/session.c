/*-------------------------------------------------------------------------
 *
 * session.c
 *	  Taking connections into use, opening them, and what remains at the end of
 *	  a transaction.
 *
 * A connection is put into the list (registry.c) before it is connected, so there
 * is always something that closes it: the end of the transaction or
 * subtransaction.  A call marks the connection that it uses (see DblinkExchange);
 * a mark that is still there when its level aborts means that the call failed
 * midway.  Then the connection is made usable again (recover.c); or, if that
 * can't be done in bounded time, it is closed, with a WARNING.
 *
 * Connections do not belong to a transaction or a role otherwise: they stay
 * open across rollback, SET ROLE and DISCARD ALL, until the session ends.
 *
 * Nesting levels are the clock, and not resource owners.  Their release callback is
 * called for one owner after another, of each portal and subtransaction that aborts; what
 * they have left would be settled one after another, too, and an abort could not have
 * one deadline.  Nor is there a need: a stream lives at level 1 only, and every other
 * call begins and ends at one level, so nothing has to be handed from an owner to its
 * parent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "access/xact.h"
#include "storage/ipc.h"

/*
 * Close a connection whose transaction follows ours, but keep its entry until ours is
 * over: that must not commit without it.  Never throws.
 */
static void
lose(DblinkConn *conn)
{
	dbl_follow_lost(conn);
	conn->open = false;
	conn->level = 1;
	dbl_cancel_close(conn);
	dbl_ex_clear(conn);
	dbl_remote_disconnect(conn);
}

/*
 * Warn that a connection was closed, because the remote statement did not end in
 * time when the call failed.
 */
static void
warn_closed(DblinkConn *conn)
{
	ereport(WARNING,
			(errcode(ERRCODE_CONNECTION_FAILURE),
			 conn->kind == DBLINK_NAMED ?
			 errmsg("dblink connection \"%s\" was closed", conn->name) :
			 errmsg("unnamed dblink connection was closed"),
			 errdetail("The remote statement could not be brought to an end.")));
}

/*
 * Recovery of the connection is over, or there is nothing to recover: it can be
 * used again, or is closed.  Never throws.
 */
static void
end_recovery(DblinkConn *conn)
{
	bool		lost = conn->exchange.recovery == DBLINK_RECOVERY_LOST;
	bool		usable = conn->open && !lost;

	if (usable && conn->kind != DBLINK_ONE_CALL)
	{
		dbl_ex_clear(conn);
		dbl_cancel_close(conn);
		return;
	}
	if (!usable && conn->open &&
		conn->kind != DBLINK_ONE_CALL && !proc_exit_inprogress)
		warn_closed(conn);
	if (conn->follow.state != DBLINK_FOLLOW_NONE)
		lose(conn);
	else
		dbl_reg_close(conn);
}

/*
 * Check whether a call of this nesting level, or of one inside it, has left the
 * connection in use.
 */
static bool
is_left_over(const DblinkConn *conn, int level)
{
	const DblinkExchange *ex = &conn->exchange;

	if (!conn->open || conn->kind == DBLINK_ONE_CALL)
		return conn->level >= level;
	if (ex->recovery != DBLINK_RECOVERY_NONE)
		return true;
	return ex->level >= level &&
		(ex->phase != DBLINK_IDLE || ex->reader != NULL || ex->converting);
}

/*
 * A transaction or subtransaction of this nesting level ends.  If it did not abort,
 * no call should have left a connection in use; but another extension may have
 * caught an error without a subtransaction.  Never throws.
 */
static void
end_of_level(int level)
{
	DblinkOnAbort how = dbl_ex_interrupted ? DBLINK_CANCEL : DBLINK_FINISH;

	dbl_reg_foreach(conn)
	{
		bool		rolls_back = conn->follow.rollback_level > 0;

		if (conn->open && conn->exchange.phase != DBLINK_IDLE &&
			(rolls_back || is_left_over(conn, level)))
			dbl_recover_begin(conn, rolls_back ? DBLINK_CANCEL : how);
		else if (rolls_back)
			dbl_recover_begin_idle(conn);
	}
	dbl_recover_all();
	dbl_reg_foreach(conn)
	{
		if (conn->follow.rollback_level > 0)
			dbl_follow_rolled_back(conn);
		if (is_left_over(conn, level))
			end_recovery(conn);
	}
}

/*
 * Transaction callback.  Preparing a transaction ends it for this session.
 *
 * A remote transaction that follows ours is settled before ours commits.  When ours
 * aborts, we first find out how each of them stands, then bring what calls have left to
 * its end, and then roll back: that is one recovery with one deadline.
 */
static void
end_of_xact(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PREPARE:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
			if (event == XACT_EVENT_ABORT)
				dbl_follow_abort(1);
			end_of_level(1);
			dbl_follow_end();
			dbl_kept_trim(dbl_keep_connections);
			dbl_ex_interrupted = false;
			break;
		case XACT_EVENT_PRE_COMMIT:
			dbl_follow_commit();
			break;
		case XACT_EVENT_PRE_PREPARE:
			dbl_follow_prepare_check();
			break;
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
			break;
	}
}

/*
 * Subtransaction callback.
 */
static void
end_of_subxact(SubXactEvent event, SubTransactionId mySubid,
			   SubTransactionId parentSubid, void *arg)
{
	switch (event)
	{
		case SUBXACT_EVENT_ABORT_SUB:
			dbl_follow_abort(GetCurrentTransactionNestLevel());
			end_of_level(GetCurrentTransactionNestLevel());
			break;
		case SUBXACT_EVENT_COMMIT_SUB:
			dbl_follow_released(GetCurrentTransactionNestLevel());
			end_of_level(GetCurrentTransactionNestLevel());
			break;
		case SUBXACT_EVENT_PRE_COMMIT_SUB:
			dbl_follow_release(GetCurrentTransactionNestLevel());
			break;
		case SUBXACT_EVENT_START_SUB:
			break;
	}
}

/*
 * Called once, when the library is loaded.
 */
void
dbl_session_init(void)
{
	RegisterXactCallback(end_of_xact, NULL);
	RegisterSubXactCallback(end_of_subxact, NULL);
}

/*
 * Throw 42501 if a connection leads back to this server as another role than the
 * effective one: it was opened for that role, perhaps in a function with SECURITY
 * DEFINER, and is that role.
 */
static void
role_check(const DblinkConn *conn)
{
	if (!conn->loopback || conn->place.userid == GetUserId())
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 conn->kind == DBLINK_NAMED ?
			 errmsg("permission denied for connection \"%s\"", conn->name) :
			 errmsg("permission denied for the unnamed connection"),
			 errdetail("It leads back to this server as the role that opened it, and only that role may use it.")));
}

/*
 * Make an open connection ready for a call, or for being closed.  Returns NULL if it
 * has to be closed.
 *
 * Throws 55006 if its rows are being converted at this moment: the call comes from
 * within that conversion then, and would read from the middle of a message.  If a
 * stream reads from it, all streams yield; throws the error of one that has failed.
 */
static DblinkConn *
take(DblinkConn *conn)
{
	bool		lost = false;

	if (conn->exchange.converting)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 conn->kind == DBLINK_NAMED ?
				 errmsg("connection \"%s\" is already in use", conn->name) :
				 errmsg("connection is already in use")));
	if (conn->exchange.reader != NULL)
		dbl_stream_yield_all();

	/* A call that failed where no subtransaction ended left it like this. */
	if (conn->exchange.phase != DBLINK_IDLE)
	{
		dbl_recover_begin(conn, DBLINK_FINISH);
		dbl_recover_all();
		lost = conn->exchange.recovery == DBLINK_RECOVERY_LOST;
		end_recovery(conn);
	}
	return lost ? NULL : conn;
}

/*
 * Take the open connection of this name, or the unnamed one for NULL, into use;
 * NULL if there is none.  Throws 42501 if it is for another role, and what take()
 * throws.
 */
DblinkConn *
dbl_session_take(const char *name)
{
	DblinkConn *conn = dbl_reg_find(name);

	if (conn == NULL)
		return NULL;
	role_check(conn);
	conn->for_dblink2 = false;
	return take(conn);
}

/*
 * Throw 08003: there is no open connection of this name, or no unnamed one; "hint" may
 * be NULL.
 */
pg_noreturn static void
not_available(const char *name, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_CONNECTION_DOES_NOT_EXIST),
			 name != NULL ? errmsg("connection \"%s\" not available", name) :
			 errmsg("connection not available"),
			 hint != NULL ? errhint("%s", hint) : 0));
}

/*
 * Close the open connection of this name, or the unnamed one for NULL.  Every role
 * may, because another role may have left one that is of no use to this one.  Throws 08003
 * if there is none, unless it may be missing; 55006 if its transaction follows ours, and
 * what take() throws.
 */
void
dbl_session_close(const char *name, bool missing_ok)
{
	DblinkConn *conn = dbl_reg_find(name);

	if (conn != NULL)
		conn = take(conn);
	if (conn == NULL && !missing_ok)
		not_available(name, NULL);
	if (conn == NULL)
		return;
	dbl_follow_close_check(conn);
	dbl_reg_close(conn);
}

/*
 * The same as dbl_session_take(), but throws 08003 if there is none.
 */
DblinkConn *
dbl_session_get(const char *name)
{
	DblinkConn *conn = dbl_session_take(name);

	if (conn == NULL)
		not_available(name, NULL);
	return conn;
}

/*
 * A function of dblink2 uses the connection.
 *
 * Its errors may have hints.  A statement that waits for this very session is a
 * deadlock: unlike in the functions of dblink, there are no users who rely on a time-out
 * to end it.  Nor do users expect that the end of an earlier query is in the way of
 * another.
 */
static void
begin_use2(DblinkConn *conn)
{
	conn->for_dblink2 = true;
	(void) dbl_ex_is_pending(conn);
}

/*
 * The same as dbl_session_get() for a function of dblink2 that is for open connections
 * with a name only.
 */
DblinkConn *
dbl_session_get2(const char *name)
{
	DblinkConn *conn = dbl_session_take(name);

	if (conn == NULL)
		not_available(name, "Open it with dblink_connect(name, connection string).");
	begin_use2(conn);
	return conn;
}

/*
 * Release what this session does not need, so that a connection can be established:
 * rows that stream are read, which releases the connections of calls, and kept
 * connections are closed.  Returns false if there was nothing.
 */
static bool
make_room(void)
{
	bool		any = dbl_stream_is_any_open();

	if (any)
		dbl_stream_yield_all();
	while (dbl_kept_close_oldest())
		any = true;
	return any;
}

/*
 * Reserve a file descriptor for a new connection.  Throws 08001 if none is left,
 * even without what this session does not need.
 */
static void
reserve_fd(DblinkConn *conn)
{
	while (!dbl_est_reserve_fd(conn))
	{
		if (!dbl_kept_close_oldest() && !make_room())
			ereport(ERROR,
					(errcode(ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION),
					 errmsg("could not establish connection"),
					 errdetail("There are too many open files on the local server."),
					 errhint(DBLINK_FD_HINT)));
	}
}

/*
 * Begin to connect to the remote.  Notes where that leads, and for whom.
 */
static DblinkAttempt *
conn_start(DblinkConn *conn, const DblinkConnInfo *conninfo)
{
	conn->place.userid = GetUserId();
	conn->place.serverid = conninfo->serverid;
	if (conn->kind == DBLINK_NAMED)
		dbl_opt_digest(conninfo, conn->place.digest);
	dbl_loop_note(conn, conninfo);
	return dbl_est_start(conn, conninfo, make_room);
}

/*
 * Connect, while others do, and make sure that the user may use the connection.
 */
static void
conn_finish(DblinkConn *conn, const DblinkConnInfo *conninfo, DblinkAttempt *attempt,
			List *others)
{
	dbl_est_finish(attempt, others);
	if (conn->loopback)
		dbl_loop_session_check(conn);
	dbl_sec_password_used_check(conn, conninfo);
	dbl_est_set_encoding(conn);
	if (conn->loopback && !dbl_loop_set_search_path(conn))
		dbl_err_report_now(conn, true, "while setting the search path");
	conn->loops_back = dbl_est_loops_back(conn);
	dbl_ex_note_open(conn);
	conn->open = true;
}

/*
 * What to write in place of a connection string that does not parse, perhaps because it
 * was meant to be a name; NULL if it does.
 */
static const char *
string_hint(const DblinkConnInfo *conninfo)
{
	if (conninfo->options != NULL)
		return NULL;
	if (strchr(conninfo->string, '=') != NULL || strstr(conninfo->string, "://") != NULL)
		return "Write 'host=... port=... dbname=... user=... password=...' with options of libpq, or 'postgresql://user:password@host:port/dbname'.";
	return "There is no open connection and no foreign server of this name. "
		"Open the connection with dblink_connect(name, connection string), or pass a connection string: 'host=... dbname=... user=...'.";
}

/*
 * What to write where no password was given.
 */
static const char *
password_hint(const DblinkConnInfo *conninfo)
{
	const char *hint = string_hint(conninfo);

	return hint != NULL ? hint :
		"Write password=... in the connection string, or use a foreign server with a password in the user mapping.";
}

/*
 * Get the connection: an open one, or one that is kept, or else begin to establish one
 * for this call.
 */
static void
begin_opening(DblinkOpening *opening, List *others)
{
	const char *source = opening->source;
	const DblinkConnInfo *conninfo;

	opening->conn = dbl_session_take(source);
	if (opening->conn == NULL)
		opening->conn = dbl_kept_take_loopback(source);
	if (opening->conn != NULL)
		return;

	conninfo = dbl_loop_conninfo(source, DBLINK_ONE_CALL);
	dbl_sec_password_given_check(conninfo, opening->for_dblink2 ? password_hint(conninfo) : NULL);
	dbl_sec_options_check(conninfo, opening->for_dblink2 ? string_hint(conninfo) : NULL);
	opening->conn = dbl_kept_take(conninfo);
	if (opening->conn != NULL)
		return;

	opening->conninfo = conninfo;
	opening->conn = dbl_reg_new(DBLINK_ONE_CALL);
	reserve_fd(opening->conn);
	dbl_kept_note(opening->conn, conninfo);
	opening->attempt = conn_start(opening->conn, conninfo);
}

/*
 * Establish it, if that was begun.
 */
static void
finish_opening(DblinkOpening *opening, List *others)
{
	if (opening->conn == NULL)
		return;
	if (opening->attempt != NULL)
		conn_finish(opening->conn, opening->conninfo, opening->attempt, others);
	opening->attempt = NULL;
	opening->conn->for_dblink2 = false;
	if (opening->for_dblink2)
		begin_use2(opening->conn);
}

/*
 * Get the connection, or establish it.
 */
static DblinkConn *
get_or_open(const char *source, bool for_dblink2)
{
	DblinkOpening opening = {.source = source, .for_dblink2 = for_dblink2};

	begin_opening(&opening, NIL);
	finish_opening(&opening, NIL);
	return opening.conn;
}

/*
 * The connection for dblink() and dblink_exec(): the open one of this name,
 * or else one for this call, to the foreign server of this name or by this
 * conninfo string.  NULL is the unnamed connection.
 *
 * The caller releases it with dbl_kept_release().  Throws as dbl_session_get()
 * and dbl_session_open() do.
 */
DblinkConn *
dbl_session_get_or_open(const char *name_or_source)
{
	return name_or_source != NULL ? get_or_open(name_or_source, false) :
		dbl_session_get(NULL);
}

/*
 * The same for a function of dblink2, which has no form for the unnamed connection.
 */
DblinkConn *
dbl_session_get_or_open2(const char *source)
{
	return get_or_open(source, true);
}

/*
 * Do a step of opening a connection; but if that can't be established, it is a WARNING.
 *
 * The error is caught without a subtransaction, which no connection would survive.  It
 * is thrown by libpq's caller, with nothing but that connection to be cleaned up.
 */
static void
try_opening(void (*step) (DblinkOpening *, List *), DblinkOpening *opening, List *others)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		step(opening, others);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (error->sqlerrcode != ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION ||
			dbl_err_is_remote(error))
			PG_RE_THROW();
		FlushErrorState();
		dbl_reg_close(opening->conn);
		opening->conn = NULL;
		opening->attempt = NULL;
		error->elevel = WARNING;
		error->message = psprintf("%s was skipped: %s", opening->origin, error->message);
		error->context = NULL;
		ThrowErrorData(error);
		FreeErrorData(error);
	}
	PG_END_TRY();
}

/*
 * The same as dbl_session_get_or_open2() for several, which are established at once.  With
 * "skip", one that can't be is a WARNING, and its connection is NULL.
 */
void
dbl_session_get_or_open_all(DblinkOpening *openings, int count, bool skip)
{
	List	   *attempts = NIL;

	for (int i = 0; i < count; i++)
	{
		openings[i].for_dblink2 = true;
		if (skip)
			try_opening(begin_opening, &openings[i], NIL);
		else
			begin_opening(&openings[i], NIL);
		if (openings[i].attempt != NULL)
			attempts = lappend(attempts, openings[i].attempt);
	}
	for (int i = 0; i < count; i++)
	{
		attempts = list_delete_ptr(attempts, openings[i].attempt);
		if (skip)
			try_opening(finish_opening, &openings[i], attempts);
		else
			finish_opening(&openings[i], attempts);
	}
}

/*
 * Open a connection that stays: by the name, or the unnamed one for NULL.
 * "source" is the name of a foreign server, or else a conninfo string.
 *
 * An unnamed connection that was open is closed once the new one stands.
 *
 * The order is the one that users know.  What a server's owner and the user's
 * privileges decide comes before anything that depends on the string, and all
 * of it before a socket is opened.  Throws 42704 and 42501 (server), 2F003,
 * 55006, 08001, 42501 (option), 42710 (since 16 before the string is read); then
 * what connecting throws.
 */
void
dbl_session_open(const char *name, const char *source)
{
	DblinkConnKind kind = name != NULL ? DBLINK_NAMED : DBLINK_UNNAMED;
	const DblinkConnInfo *conninfo = dbl_loop_conninfo(source, kind);
	DblinkConn *conn;

	dbl_sec_password_given_check(conninfo, NULL);
	conn = name == NULL ? dbl_reg_find(NULL) : NULL;
	if (conn != NULL)
		(void) take(conn);

	conn = dbl_reg_new(kind);
	if (name != NULL && DBLINK_NAME_FIRST)
		dbl_reg_enter_name(conn, name);
	dbl_sec_options_check(conninfo, NULL);
	reserve_fd(conn);
	if (name != NULL && !DBLINK_NAME_FIRST)
		dbl_reg_enter_name(conn, name);
	conn_finish(conn, conninfo, conn_start(conn, conninfo), NIL);
	if (name == NULL)
		dbl_reg_set_unnamed(conn);
}

/*
 * Throw 42710 unless an open connection leads where this does, and was opened by the
 * effective role.
 */
static void
same_place_check(const DblinkConn *conn, const DblinkConnInfo *conninfo)
{
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
	bool		same_role = conn->place.userid == GetUserId();

	dbl_opt_digest(conninfo, digest);
	if (same_role && memcmp(digest, conn->place.digest, sizeof(digest)) == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_OBJECT),
			 errmsg("duplicate connection name"),
			 same_role ?
			 errdetail("Connection \"%s\" was opened with other options.", conn->name) :
			 errdetail("Connection \"%s\" was opened by another role.", conn->name),
			 errhint("Close it with dblink_disconnect(), or use another name.")));
}

/*
 * Check whether an open connection can be used on as it is: the remote has not closed
 * it, and is not in a transaction that has failed.  Warns if results are lost with it.
 * Throws 55006 if an asynchronous query is in progress.
 */
static bool
is_sound(DblinkConn *conn)
{
	if (dbl_remote_is_closed(conn))
	{
		if (conn->activity.status == PQTRANS_ACTIVE)
			ereport(WARNING,
					(errcode(ERRCODE_CONNECTION_FAILURE),
					 errmsg("dblink connection \"%s\" was lost", conn->name),
					 errdetail("Results that were not fetched are lost with it.")));
		return false;
	}
	if (dbl_ex_is_pending(conn))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("a query is in progress on connection \"%s\"", conn->name),
				 errhint("Fetch its results, or close the connection.")));
	return dbl_remote_is_alive(conn) &&
		PQtransactionStatus(conn->pgconn) != PQTRANS_INERROR;
}

/*
 * Have a connection of this name, as dbl_session_open() opens it: one that is open stays
 * if the effective role opened it to the same place.  If it is lost, or the remote's
 * transaction has failed, it is closed, and another one opened.
 *
 * The rights of the user are checked as for a new one.  Throws what dbl_session_open()
 * throws; 42710 if a connection of that name leads to another place, or is another
 * role's; 55006 if a query is in progress on it.
 */
void
dbl_session_reuse(const char *name, const char *source)
{
	DblinkConn *conn = dbl_reg_find(name);
	const DblinkConnInfo *conninfo;

	if (conn != NULL)
	{
		conninfo = dbl_loop_conninfo(source, DBLINK_NAMED);
		dbl_sec_password_given_check(conninfo, NULL);
		dbl_sec_options_check(conninfo, NULL);
		same_place_check(conn, conninfo);
		conn = take(conn);
		if (conn != NULL && is_sound(conn))
		{
			dbl_sec_password_used_check(conn, conninfo);
			return;
		}
		if (conn != NULL)
			dbl_follow_close_check(conn);
		dbl_reg_close(conn);
	}
	dbl_session_open(name, source);
}
