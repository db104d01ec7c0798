/*-------------------------------------------------------------------------
 *
 * sqltext.c
 *	  What can be told from the text of a query.
 *
 * The server's own raw parser is asked, which needs no catalog.  A text reads if it
 * is one statement that is a SELECT, VALUES, TABLE or FETCH, with no part that stores
 * or locks rows; it is pure if it calls no function besides, because a function
 * that a SELECT calls may do anything.  Text that does not parse here may be good on a
 * remote of another version; it is not known to read, and that is all.
 *
 * In the same way a text is searched for statements that end the transaction that it runs
 * in.  None of them can be hidden in a function, because those can't be run in one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "utils/memutils.h"

/*
 * Texts that are longer are not looked at: the parse tree takes many times their
 * size, and they gain little by streaming.
 */
#define MAX_PARSED		(100 * 1024)

/*
 * Walker: take from the DblinkSqlTraits that "context" points to what this part
 * of a SELECT rules out.
 */
static bool
rule_out(Node *node, void *context)
{
	DblinkSqlTraits *traits = context;

	if (node == NULL)
		return false;

	switch (nodeTag(node))
	{
		case T_IntoClause:
		case T_LockingClause:
		case T_InsertStmt:
		case T_UpdateStmt:
		case T_DeleteStmt:
		case T_MergeStmt:
			*traits = 0;
			return true;
		case T_FuncCall:
			*traits &= ~DBLINK_SQL_PURE;
			break;
		default:
			break;
	}
	return raw_expression_tree_walker(node, rule_out, context);
}

/*
 * A judge: return the DblinkSqlTraits of parsed statements.
 */
static int
traits_of(List *statements)
{
	DblinkSqlTraits traits = DBLINK_SQL_READS | DBLINK_SQL_PURE;
	Node	   *statement;

	if (list_length(statements) != 1)
		return 0;
	statement = linitial_node(RawStmt, statements)->stmt;

	/* A cursor's query is not in the text. */
	if (IsA(statement, FetchStmt))
		return ((FetchStmt *) statement)->ismove ? 0 : DBLINK_SQL_READS;
	if (!IsA(statement, SelectStmt))
		return 0;
	(void) rule_out(statement, &traits);
	return traits;
}

/*
 * A judge: return the DblinkSqlControl of parsed statements.  Savepoints are no end
 * of a transaction.
 */
static int
control_of(List *statements)
{
	foreach_node(RawStmt, raw, statements)
	{
		Node	   *statement = raw->stmt;

		if (!IsA(statement, TransactionStmt))
			continue;
		switch (((TransactionStmt *) statement)->kind)
		{
			case TRANS_STMT_SAVEPOINT:
			case TRANS_STMT_RELEASE:
			case TRANS_STMT_ROLLBACK_TO:
				break;
			default:
				return DBLINK_SQL_CONTROLS;
		}
	}
	return list_length(statements) > 1 ? DBLINK_SQL_STAYS : DBLINK_SQL_STAYS_ALONE;
}

/*
 * The same as look_at(), but throws if the text does not parse, and changes how strings
 * are read.
 */
static int
parse(const char *sql, bool standard_strings, int (*judge) (List *statements))
{
	if (!dbl_set_standard_strings(standard_strings))
		return 0;
	return judge(raw_parser(sql, RAW_PARSE_DEFAULT));
}

/*
 * Let the judge look at the statements of a text; *result is 0 if it does not parse.
 *
 * Never throws because of the text, and reports no notice about it: both are for the
 * remote to do.  An error about the text needs no subtransaction to recover from,
 * because the raw parser takes no locks, no pins and no other resource: it uses only
 * memory, and that is the current context's.
 *
 * The classes that we catch are those in which the scanner, the grammar and the
 * literals of a text can fail: syntax (42), a bad escape or character (22), nesting or
 * a number that exceeds a limit (54), and a form that this version lacks (0A).  Errors
 * of other classes, such as out of memory or an interrupt, are not about the text, and
 * are thrown on.
 */
static void
look_at(const char *sql, bool standard_strings, int (*judge) (List *statements),
		int *result)
{
	MemoryContext caller_context = CurrentMemoryContext;
	int			client_level = client_min_messages;
	int		   *log_level_ref = dbl_log_level_ref();
	int			log_level = *log_level_ref;
	bool		our_strings = dbl_has_standard_strings();

	*result = 0;
	PG_TRY();
	{
		client_min_messages = ERROR;
		*log_level_ref = ERROR;
		*result = parse(sql, standard_strings, judge);
	}
	PG_CATCH();
	{
		client_min_messages = client_level;
		*log_level_ref = log_level;
		(void) dbl_set_standard_strings(our_strings);
		switch (ERRCODE_TO_CATEGORY(geterrcode()))
		{
			case ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION:
			case ERRCODE_DATA_EXCEPTION:
			case ERRCODE_PROGRAM_LIMIT_EXCEEDED:
			case ERRCODE_FEATURE_NOT_SUPPORTED:
				break;
			default:
				PG_RE_THROW();
		}
		MemoryContextSwitchTo(caller_context);
		FlushErrorState();
	}
	PG_END_TRY();

	client_min_messages = client_level;
	*log_level_ref = log_level;
	(void) dbl_set_standard_strings(our_strings);
}

/*
 * What is known of the text.  The answer holds for a session in which
 * standard_conforming_strings is on.  Never throws because of the text.
 */
DblinkSqlTraits
dbl_sql_traits(const char *sql)
{
	DblinkSqlTraits traits = 0;

	if (dbl_has_standard_strings() && strlen(sql) <= MAX_PARSED)
		look_at(sql, true, traits_of, &traits);
	return traits;
}

/*
 * What the text does to the transaction that it runs in, where
 * standard_conforming_strings is as given.  The text may be of any length.  Never throws
 * because of the text.
 */
DblinkSqlControl
dbl_sql_control(const char *sql, bool standard_strings)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "dblink text",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller_context = MemoryContextSwitchTo(context);
	int			control;

	look_at(sql, standard_strings, control_of, &control);
	MemoryContextSwitchTo(caller_context);
	MemoryContextDelete(context);
	return (DblinkSqlControl) control;
}
