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

static bool writes(Node *node, void *context);
static bool is_one_read(const char *sql);

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
 * Is the text one statement that only reads?  Throws if it does not parse.
 */
static bool
is_one_read(const char *sql)
{
	List	   *statements = raw_parser(sql, RAW_PARSE_DEFAULT);
	Node	   *statement;

	if (list_length(statements) != 1)
		return false;
	statement = linitial_node(RawStmt, statements)->stmt;
	if (IsA(statement, FetchStmt))
		return !((FetchStmt *) statement)->ismove;
	return IsA(statement, SelectStmt) && !writes(statement, NULL);
}

/*
 * Does the text only read, as far as can be known?  The answer holds for a
 * session in which standard_conforming_strings is on.
 *
 * Never throws for what is in the text, and quietly: what the parser has to note
 * about it is for the remote to note.  The parser holds nothing that an error
 * would leave behind, so an error about the text needs no subtransaction to be
 * recovered from.
 */
bool
dbl_sql_only_reads(const char *sql)
{
	MemoryContext caller_context = CurrentMemoryContext;
	int			client_level = client_min_messages;
	int		   *log_level_ref = dbl_log_level_ref();
	int			log_level = *log_level_ref;
	bool		result = false;

	if (!dbl_has_standard_strings())
		return false;

	PG_TRY();
	{
		client_min_messages = ERROR;
		*log_level_ref = ERROR;
		result = is_one_read(sql);
	}
	PG_CATCH();
	{
		client_min_messages = client_level;
		*log_level_ref = log_level;
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
	return result;
}
