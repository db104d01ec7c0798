/*-------------------------------------------------------------------------
 *
 * run.c
 *	  Executor runs and utility statements around a stream.
 *
 * A stream must not live longer than the executor's run in which it begins:
 * between two runs a client, a loop's body or a savepoint can do anything, while
 * the remote statement holds what it holds.  So only a run that reads the whole
 * result streams.  What the executor is told when it runs a plan, and never tells
 * the plan's nodes, is whether there is a limit of rows, after which the run may be
 * continued (a cursor, a loop in PL/pgSQL, a fetch size).  A hook notes it.
 *
 * The other hooks make streams yield to what this session does within such a run
 * and dblink would not see: a utility statement, or another plan with foreign
 * tables, may have to wait on the remote server for what a stream holds there.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "tcop/utility.h"

/* A run that is in progress; on the stack of the hook. */
typedef struct Run
{
	EState	   *estate;
	bool		whole;			/* it reads the whole result */
	CommandDest dest;			/* where the rows go */
	struct Run *outer;
} Run;

static Run *current_run = NULL;

/* A COPY to a program of this server is in progress. */
static bool copying_to_program = false;

static ExecutorStart_hook_type previous_start = NULL;
static ExecutorRun_hook_type previous_run = NULL;
static ProcessUtility_hook_type previous_utility = NULL;

/*
 * Check whether the plan of this executor state is in a run that reads its whole
 * result.
 *
 * That is not so if it can be read backward or again in a later run, as by a cursor
 * that scrolls.
 */
bool
dbl_run_is_whole(EState *estate)
{
	return current_run != NULL && current_run->estate == estate &&
		current_run->whole &&
		(estate->es_top_eflags & (EXEC_FLAG_REWIND | EXEC_FLAG_BACKWARD)) == 0;
}

/*
 * Check whether the rows of the run in progress go to this session's client.
 */
bool
dbl_run_is_for_client(void)
{
	return current_run != NULL && MyProcPort != NULL &&
		(current_run->dest == DestRemote || current_run->dest == DestRemoteExecute ||
		 current_run->dest == DestCopyOut);
}

/*
 * Check whether they go to a program, which is waited for.
 */
bool
dbl_run_is_for_program(void)
{
	return current_run != NULL && current_run->dest == DestCopyOut && copying_to_program;
}

/*
 * Check whether the error that is being handled says that the statement was
 * interrupted.  One of a remote server, which has a time limit of its own, does not: it
 * is an error like others.  "context" is for memory that is freed again.
 */
static bool
is_interrupt(MemoryContext context)
{
	MemoryContext error_context;
	ErrorData  *error;
	bool		is_remote;

	if (ERRCODE_TO_CATEGORY(geterrcode()) != ERRCODE_OPERATOR_INTERVENTION)
		return false;
	error_context = MemoryContextSwitchTo(context);
	error = CopyErrorData();
	is_remote = dbl_err_is_remote(error);
	FreeErrorData(error);
	MemoryContextSwitchTo(error_context);
	return !is_remote;
}

/*
 * Check whether running this statement could read or change a foreign table.  A
 * partitioned table that is written to may have foreign partitions that the plan does
 * not name.
 */
bool
dbl_run_has_foreign_table(PlannedStmt *stmt)
{
	foreach_node(RangeTblEntry, rte, stmt->rtable)
	{
		if (rte->rtekind == RTE_RELATION &&
			(rte->relkind == RELKIND_FOREIGN_TABLE ||
			 (rte->relkind == RELKIND_PARTITIONED_TABLE && stmt->commandType != CMD_SELECT)))
			return true;
	}
	return false;
}

/*
 * A plan is about to start, or to go on: the streams of other plans yield if it can
 * wait for a remote server.  (A plan that could do both has no streams of its own.)
 */
static void
yield_to_plan(QueryDesc * queryDesc)
{
	if (dbl_stream_is_any_open() && dbl_run_has_foreign_table(queryDesc->plannedstmt))
		dbl_stream_yield_all();
}

/*
 * ExecutorRun hook: note the run while it is in progress.  An interrupt that ends it
 * is noted, too, wherever it was thrown: what remote servers do for this statement is
 * to be cancelled then, and not let complete.
 */
static void
executor_run(DBLINK_EXECUTOR_RUN_ARGS)
{
	Run			run = {
		.estate = queryDesc->estate,
		.whole = count == 0 && ScanDirectionIsForward(direction),
		.dest = queryDesc->dest->mydest,
		.outer = current_run
	};
	MemoryContext caller_context = CurrentMemoryContext;

	yield_to_plan(queryDesc);
	current_run = &run;
	PG_TRY();
	{
		if (previous_run)
			previous_run(DBLINK_EXECUTOR_RUN_PASS);
		else
			standard_ExecutorRun(DBLINK_EXECUTOR_RUN_PASS);
	}
	PG_CATCH();
	{
		current_run = run.outer;
		if (is_interrupt(caller_context))
			dbl_ex_interrupted = true;
		PG_RE_THROW();
	}
	PG_END_TRY();
	current_run = run.outer;
}

/*
 * ExecutorStart hook.
 */
static void
executor_start(QueryDesc * queryDesc, int eflags)
{
	yield_to_plan(queryDesc);
	if (previous_start)
		previous_start(queryDesc, eflags);
	else
		standard_ExecutorStart(queryDesc, eflags);
}

/*
 * Check whether a utility statement cannot wait for a remote server.  Those that run a
 * plan are looked at when that starts.
 */
static bool
is_harmless(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_ClosePortalStmt:
		case T_CreateTableAsStmt:
		case T_DeallocateStmt:
		case T_DeclareCursorStmt:
		case T_ExecuteStmt:
		case T_ExplainStmt:
		case T_FetchStmt:
		case T_ListenStmt:
		case T_NotifyStmt:
		case T_PrepareStmt:
		case T_TransactionStmt:
		case T_UnlistenStmt:
		case T_VariableSetStmt:
		case T_VariableShowStmt:
			return true;
		default:
			return false;
	}
}

/*
 * Check whether a utility statement may need a database that no session is connected
 * to.
 */
static bool
is_about_database(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_AlterDatabaseStmt:
		case T_CreatedbStmt:
		case T_DropdbStmt:
		case T_RenameStmt:
			return true;
		default:
			return false;
	}
}

/*
 * ProcessUtility hook.
 */
static void
process_utility(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
				ProcessUtilityContext context, ParamListInfo params,
				QueryEnvironment * queryEnv, DestReceiver *dest, QueryCompletion * qc)
{
	Node	   *statement = pstmt->utilityStmt;
	bool		was_copying = copying_to_program;

	if (dbl_stream_is_any_open() && !is_harmless(statement))
		dbl_stream_store_all();
	if (is_about_database(statement))
		dbl_kept_close_all();

	copying_to_program = IsA(statement, CopyStmt) && ((CopyStmt *) statement)->is_program;
	PG_TRY();
	{
		if (previous_utility)
			previous_utility(pstmt, queryString, readOnlyTree, context, params,
							 queryEnv, dest, qc);
		else
			standard_ProcessUtility(pstmt, queryString, readOnlyTree, context, params,
									queryEnv, dest, qc);
	}
	PG_FINALLY();
	{
		copying_to_program = was_copying;
	}
	PG_END_TRY();
}

/*
 * Called once, when the library is loaded.
 */
void
dbl_run_init(void)
{
	previous_start = ExecutorStart_hook;
	ExecutorStart_hook = executor_start;
	previous_run = ExecutorRun_hook;
	ExecutorRun_hook = executor_run;
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
