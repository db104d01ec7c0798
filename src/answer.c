/*-------------------------------------------------------------------------
 *
 * answer.c
 *	  The answer to a query, part by part.
 *
 * An answer is one or more results, each of rows in parts, or of a command tag,
 * or of an error.  Here it is read up to its end, and what is wrong with it is
 * noted once: the first error, or that it was cut off.  What becomes of the parts
 * is the affair of the readers, a tuplestore (result.c) and a stream (stream.c).
 *
 * Memory: the error's strings are in the context that the reader names.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

/*
 * Note what went wrong, unless an error came before it: what the connection says, or for
 * an answer that no reader can use, 08P01 with this message.
 */
void
dbl_answer_fail(DblinkAnswer *answer, const char *violation)
{
	MemoryContext caller_context;

	if (answer->error.primary != NULL)
		return;
	caller_context = MemoryContextSwitchTo(answer->context);
	dbl_err_fill(&answer->error, answer->query->conn);
	if (violation != NULL)
	{
		answer->error.sqlstate = ERRCODE_PROTOCOL_VIOLATION;
		answer->error.primary = pstrdup(violation);
	}
	else if (answer->query->single)
		dbl_err_hint_single(&answer->error);
	dbl_diag_note(answer->query->conn, &answer->error);
	MemoryContextSwitchTo(caller_context);
}

/*
 * Read the next part.  Returns DBLINK_ROWS, DBLINK_LAST_ROWS or DBLINK_COMMAND, with
 * the part in the exchange's result; or DBLINK_END, with the first error of the
 * answer in answer->error if there was one, and the exchange over.
 *
 * No answer at all, or rows without their end, is an error, and not an empty
 * result.  Throws 34000 if FETCH was answered with a bare command tag: it always
 * answers with rows, so the cursor is none that returns rows.
 */
DblinkResultKind
dbl_answer_next(DblinkAnswer *answer)
{
	DblinkConn *conn = answer->query->conn;
	PGresult   *res;

	while ((res = dbl_ex_next(conn)) != NULL)
	{
		DblinkResultKind kind = dbl_remote_kind(res);

		switch (kind)
		{
			case DBLINK_COMMAND:
				if (answer->query->cursor != NULL)
					dbl_err_no_cursor(answer->query->cursor);
				answer->complete = true;
				return kind;
			case DBLINK_ROWS:
			case DBLINK_LAST_ROWS:
				answer->complete = kind == DBLINK_LAST_ROWS;
				return kind;
			case DBLINK_FAILURE:
			case DBLINK_END:
				dbl_answer_fail(answer, NULL);
				break;
		}
	}
	if (!answer->complete)
		dbl_answer_fail(answer, NULL);
	return DBLINK_END;
}
