/*-------------------------------------------------------------------------
 *
 * rowtype.c
 *	  How the columns of a remote result find their places in a row type.
 *
 * With a column definition list they do by position, as for dblink().  In a row type
 * that has a name, a table's or a composite one, they do by name, so that neither
 * the order of columns nor one that was dropped matters.  A scalar takes one column
 * of any name.
 *
 * Memory: what is returned lives in the current memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/builtins.h"

/*
 * Throw 0A000: a record has no columns to be found by name.
 */
pg_noreturn static void
throw_record(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("row type must not be record"),
			 errhint("Use dblink_query() with a column definition list.")));
}

/*
 * Return a tuple descriptor with one column of a scalar type.
 */
static TupleDesc
type_of_scalar(Oid type)
{
	TupleDesc	tupdesc = CreateTemplateTupleDesc(1);

	TupleDescInitEntry(tupdesc, 1, "value", type, -1, 0);
	TupleDescFinalize(tupdesc);
	return tupdesc;
}

/*
 * Find out the type of the rows that a function returns, whose first argument is of
 * that type: returns its tuple descriptor, and notes in the query how columns are
 * found.  Throws 0A000 for a record.
 */
TupleDesc
dbl_rowtype_expected(FunctionCallInfo fcinfo, DblinkQuery *query)
{
	TupleDesc	tupdesc;
	Oid			type;

	if (PG_NARGS() > 0 && dbl_arg_type(fcinfo, 0) == RECORDOID)
		throw_record();
	query->match = DBLINK_MATCH_NAME;
	switch (get_call_result_type(fcinfo, &type, &tupdesc))
	{
		case TYPEFUNC_COMPOSITE:
			return tupdesc;
		case TYPEFUNC_COMPOSITE_DOMAIN:
			query->domain = type;
			return tupdesc;
		case TYPEFUNC_SCALAR:
			query->match = DBLINK_MATCH_SCALAR;
			return type_of_scalar(type);
		case TYPEFUNC_RECORD:
		case TYPEFUNC_OTHER:
			break;
	}
	throw_record();
}

/*
 * Return the index of the column of a result with this name, or -1.  Throws 42702 if
 * there is more than one.
 */
static int
find_column(const PGresult *res, const char *name)
{
	int			found = -1;

	for (int i = 0; i < PQnfields(res); i++)
	{
		if (strcmp(PQfname(res, i), name) != 0)
			continue;
		if (found >= 0)
			ereport(ERROR,
					(errcode(ERRCODE_AMBIGUOUS_COLUMN),
					 errmsg("remote query returns column \"%s\" more than once", name),
					 errhint("Give one of them another name with AS, or leave it out.")));
		found = i;
	}
	return found;
}

/*
 * Throw 42804 if a result has a column that the row type has not.
 */
static void
surplus_check(const PGresult *res, TupleDesc tupdesc)
{
	int			j;

	for (int i = 0; i < PQnfields(res); i++)
	{
		for (j = 0; j < tupdesc->natts; j++)
		{
			Form_pg_attribute att = TupleDescAttr(tupdesc, j);

			if (!att->attisdropped && strcmp(NameStr(att->attname), PQfname(res, i)) == 0)
				break;
		}
		if (j == tupdesc->natts)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("remote query returns column \"%s\", which the row type does not have",
							dbl_err_clean(PQfname(res, i))),
					 errdetail("Columns are found by name."),
					 errhint("Name it with AS, or leave it out.")));
	}
}

/*
 * Return which column of the result is each attribute of the row type, -1 for one
 * that was dropped.
 */
static int *
match_names(const PGresult *res, TupleDesc tupdesc)
{
	int		   *order = palloc(sizeof(int) * (tupdesc->natts + 1));

	for (int i = 0; i < tupdesc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(tupdesc, i);

		order[i] = -1;
		if (att->attisdropped)
			continue;
		order[i] = find_column(res, NameStr(att->attname));
		if (order[i] < 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("remote query does not return column \"%s\" of the row type",
							NameStr(att->attname)),
					 errdetail("Columns are found by name."),
					 errhint("Name a column of the query so with AS, or add NULL AS %s.",
							 quote_identifier(NameStr(att->attname)))));
	}
	surplus_check(res, tupdesc);
	return order;
}

/*
 * Return which column of a result, or of a description, is each attribute of the row
 * type; NULL if that is a matter of their positions alone.
 *
 * Throws 42703, 42702 and 42804 if the columns are not those of the row type.
 */
const int *
dbl_rowtype_match(const DblinkQuery *query, const PGresult *res, TupleDesc tupdesc)
{
	switch (query->match)
	{
		case DBLINK_MATCH_POSITION:
			break;
		case DBLINK_MATCH_NAME:
			return match_names(res, tupdesc);
		case DBLINK_MATCH_SCALAR:
			if (PQnfields(res) != 1)
				ereport(ERROR,
						(errcode(ERRCODE_DATATYPE_MISMATCH),
						 errmsg("remote query must return one column"),
						 errdetail_plural("It returns %d column.",
										  "It returns %d columns.",
										  PQnfields(res), PQnfields(res)),
						 errhint("For several columns, use a row type, or dblink_query() with a column definition list.")));
			break;
	}
	return NULL;
}

/*
 * Throw 42804: the last statement of a query for rows of a type was a command.
 */
void
dbl_rowtype_refuse_command(const char *tag)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("remote query returns no rows, but the command tag \"%s\"", tag),
			 errhint("Use dblink_execute() for a command.")));
}
