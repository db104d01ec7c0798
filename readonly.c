/*-------------------------------------------------------------------------
 *
 * readonly.c
 *	  Does SQL text do nothing but read?
 *
 * The server's own parser is asked.  The answer is yes only for what it knows
 * for sure: one statement that is a SELECT, VALUES, TABLE or FETCH, with no part
 * that stores or locks rows.  What functions do that a SELECT calls can't be
 * seen.  Text that does not parse here may be good on a remote of another
 * version; it is not known to only read, and that is all.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "parser/parser.h"

static List *parse(const char *sql);
static bool writes(Node *node, void *context);

/*
 * Parse SQL text; NIL if it does not parse.
 *
 * The parser holds nothing that an error would leave behind, so an error about
 * the text itself needs no subtransaction to be recovered from.
 */
static List *
parse(const char *sql)
{
	MemoryContext caller_context = CurrentMemoryContext;
	List	   *statements = NIL;

	PG_TRY();
	{
		statements = raw_parser(sql, RAW_PARSE_DEFAULT);
	}
	PG_CATCH();
	{
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

	return statements;
}

/*
 * Walker: is there a part that stores or locks rows?
 */
static bool
writes(Node *node, void *context)
{
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
			return true;
		default:
			return raw_expression_tree_walker(node, writes, context);
	}
}

/*
 * Does the text only read, as far as can be known?
 *
 * Never throws for what is in the text.  The answer holds for a session in
 * which standard_conforming_strings is on.
 */
bool
dbl_sql_only_reads(const char *sql)
{
	List	   *statements;
	Node	   *statement;

	if (!standard_conforming_strings)
		return false;

	statements = parse(sql);
	if (list_length(statements) != 1)
		return false;
	statement = linitial_node(RawStmt, statements)->stmt;
	if (IsA(statement, FetchStmt))
		return !((FetchStmt *) statement)->ismove;
	return IsA(statement, SelectStmt) && !writes(statement, NULL);
}
