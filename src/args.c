/*-------------------------------------------------------------------------
 *
 * args.c
 *	  Arguments of SQL functions: which is which, and checks before they are read.
 *
 * The functions of the extension's script are STRICT and have the types that
 * the code expects.  But users declare functions of their own on our symbols,
 * and CREATE FUNCTION cannot compare a declaration with the code behind it.  A
 * missing argument, a null, or a number where a pointer is expected would crash
 * the server, so each argument is checked here before it is read.
 *
 * We trust that a value is of the type that it is declared with.  The return
 * type is not checked here: result.c and sqlbuild.c do that where it matters.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "dblink.h"

#include "catalog/pg_type.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/* A longer time limit is none: 30 years, or what a long of 32 bits holds. */
#define LONGEST_TIMEOUT_MS	Min(1e12, (double) LONG_MAX)

/*
 * Throw 22004 if argument n, counted from 0, is null; 42P13 if the function is
 * declared without it.
 */
void
dbl_arg_check(FunctionCallInfo fcinfo, int n)
{
	if (n >= fcinfo->nargs)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
				 errmsg("function \"%s\" must have more arguments",
						get_func_name(fcinfo->flinfo->fn_oid))));
	if (fcinfo->args[n].isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument %d of function \"%s\" must not be null", n + 1,
						get_func_name(fcinfo->flinfo->fn_oid))));
}

/*
 * Return the type of an argument: that of the expression which is passed, or if
 * there is no expression the declared one.
 */
Oid
dbl_arg_type(FunctionCallInfo fcinfo, int n)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, n);
	Oid		   *declared;
	int			ndeclared;

	if (OidIsValid(type))
		return type;

	/* CREATE SERVER calls a validator by its OID, without an expression. */
	(void) get_func_signature(fcinfo->flinfo->fn_oid, &declared, &ndeclared);
	return n < ndeclared ? declared[n] : InvalidOid;
}

/*
 * Throw 42804: an argument is not of the type "wanted".
 */
pg_noreturn static void
throw_mismatch(FunctionCallInfo fcinfo, int n, Oid wanted)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("argument %d of function \"%s\" must be of type %s", n + 1,
					get_func_name(fcinfo->flinfo->fn_oid),
					format_type_be(wanted))));
}

/*
 * Check whether values of a type are represented as those of text are, and mean
 * text: varchar does, bytea does not.
 */
bool
dbl_arg_is_text(Oid type)
{
	return type == TEXTOID ||
		(OidIsValid(type) && get_typlen(type) == -1 &&
		 TypeCategory(type) == TYPCATEGORY_STRING);
}

/*
 * Return an argument that is represented as a text is.  Throws 42804 if it is not, and
 * what dbl_arg_check() throws.
 *
 * COMPAT: that it means text is not required, because stock takes whatever a wrapper is
 * declared with.
 */
text *
dbl_arg_text(FunctionCallInfo fcinfo, int n)
{
	Oid			type = dbl_arg_type(fcinfo, n);

	dbl_arg_check(fcinfo, n);
	if (type != TEXTOID && get_typlen(type) != -1)
		throw_mismatch(fcinfo, n, TEXTOID);
	return PG_GETARG_TEXT_PP(n);
}

/*
 * The same, as a C string.
 */
const char *
dbl_arg_string(FunctionCallInfo fcinfo, int n)
{
	return text_to_cstring(dbl_arg_text(fcinfo, n));
}

/*
 * Likewise, an integer.
 */
int32
dbl_arg_int4(FunctionCallInfo fcinfo, int n)
{
	dbl_arg_check(fcinfo, n);
	if (!IsBinaryCoercible(dbl_arg_type(fcinfo, n), INT4OID))
		throw_mismatch(fcinfo, n, INT4OID);
	return PG_GETARG_INT32(n);
}

/*
 * Likewise, an OID.
 */
Oid
dbl_arg_oid(FunctionCallInfo fcinfo, int n)
{
	dbl_arg_check(fcinfo, n);
	if (!IsBinaryCoercible(dbl_arg_type(fcinfo, n), OIDOID))
		throw_mismatch(fcinfo, n, OIDOID);
	return PG_GETARG_OID(n);
}

/*
 * Return an argument that is a time limit, an interval, in milliseconds: -1 if there is
 * none, because it is null or infinite, or longer than a session lives; 0 if it is not
 * positive.
 */
long
dbl_arg_timeout(FunctionCallInfo fcinfo, int n)
{
	const Interval *limit;
	double		ms;

	if (n < fcinfo->nargs && fcinfo->args[n].isnull)
		return -1;
	dbl_arg_check(fcinfo, n);
	if (!IsBinaryCoercible(dbl_arg_type(fcinfo, n), INTERVALOID))
		throw_mismatch(fcinfo, n, INTERVALOID);
	limit = PG_GETARG_INTERVAL_P(n);

	/* What stands for infinity since 17 comes to more than the longest, too. */
	ms = ((double) limit->month * DAYS_PER_MONTH + limit->day) * SECS_PER_DAY * 1000.0 +
		limit->time / 1000.0;
	if (ms > LONGEST_TIMEOUT_MS)
		return -1;
	return ms > 0 ? (long) ceil(ms) : 0;
}

/*
 * Likewise, a text[]: one dimension or several, with or without nulls.
 */
ArrayType *
dbl_arg_text_array(FunctionCallInfo fcinfo, int n)
{
	ArrayType  *array;

	dbl_arg_check(fcinfo, n);
	if (!dbl_arg_is_text(get_base_element_type(dbl_arg_type(fcinfo, n))))
		throw_mismatch(fcinfo, n, TEXTARRAYOID);

	/* deconstruct_array() asserts the very type that it is told. */
	array = PG_GETARG_ARRAYTYPE_P_COPY(n);
	Assert(dbl_arg_is_text(ARR_ELEMTYPE(array)));
	ARR_ELEMTYPE(array) = TEXTOID;
	return array;
}

/*
 * Likewise, an int2vector.
 *
 * Any array is accepted, because a value of the type int2vector can have any
 * shape, too: only its input functions check that.  So the caller has to look at
 * the array's dimensions, element type and nulls.
 */
ArrayType *
dbl_arg_vector(FunctionCallInfo fcinfo, int n)
{
	dbl_arg_check(fcinfo, n);
	if (!OidIsValid(get_base_element_type(dbl_arg_type(fcinfo, n))))
		throw_mismatch(fcinfo, n, INT2VECTOROID);
	return PG_GETARG_ARRAYTYPE_P(n);
}

/*
 * Find out where the arguments of a call are that has nfixed of its own, between an
 * optional connection name and an optional flag, fail_on_error.  If there is one more
 * than nfixed, the type of the last one tells which of the two it is.
 *
 * Returns false if the number of arguments is wrong.
 */
bool
dbl_args_map(int nargs, bool last_is_flag, int nfixed, DblinkArgMap *map)
{
	bool		named = nargs == nfixed + 2;
	bool		flagged = named;

	if (nargs < nfixed || nargs > nfixed + 2)
		return false;
	if (nargs == nfixed + 1)
	{
		flagged = last_is_flag;
		named = !flagged;
	}
	map->name = named ? 0 : -1;
	map->first = named ? 1 : 0;
	map->flag = flagged ? nargs - 1 : -1;
	return true;
}

/*
 * The same for a call of one of the functions that a scan can take the place of.
 */
bool
dbl_args_map_call(const DblinkScannable *entry, int nargs, bool last_is_flag,
				  DblinkArgMap *map)
{
	if (!entry->takes_params)
		return dbl_args_map(nargs, last_is_flag, entry->nfixed, map);
	map->name = entry->nskipped;
	map->first = map->name + 1;
	map->flag = -1;
	return entry->nfixed > 0 ? nargs > map->first : nargs == map->first;
}
