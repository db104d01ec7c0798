/*-------------------------------------------------------------------------
 *
 * params.c
 *	  Arguments of an SQL function as the parameters of a remote query.
 *
 * A parameter is declared to the remote server with its type only if that is a
 * type of the system's own, which all servers have under the same OID, and whose
 * values mean one thing.  Strings are sent without a type, so that the remote
 * server infers it, as it does for a literal: declared as text, a string would
 * not compare with a date or an enum.  So are values of types that the remote may
 * not have, or has under another OID.
 *
 * Values are sent as text, written under settings that do not depend on the
 * session, because the remote server reads them under its own.  A bytea is sent
 * in binary, which is half as long.
 *
 * Memory: everything lives in the context that was current when the call's
 * arguments were read.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/* The most parameters that a message of the protocol can hold. */
#define MAX_PARAMS		65535

/* How values of a type are converted; kept for the next value of it. */
typedef struct Writer
{
	Oid			type;			/* InvalidOid before the first value */
	Oid			sent;			/* as which type it is declared, or 0 */
	FmgrInfo	output;
} Writer;

/*
 * Check whether the type is one that every server has, and may be declared.
 */
static bool
is_common(Oid type)
{
	char		typtype = get_typtype(type);

	return type < FirstGenbkiObjectId &&
		(typtype == TYPTYPE_BASE || typtype == TYPTYPE_RANGE ||
		 typtype == TYPTYPE_MULTIRANGE);
}

/*
 * Check whether values of the type are strings, which mean what the remote takes
 * them for.
 */
static bool
is_string(Oid type)
{
	switch (type)
	{
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case NAMEOID:
		case REFCURSOROID:
		case UNKNOWNOID:
			return true;
		default:
			return false;
	}
}

/*
 * Return the type that a parameter is declared with; InvalidOid if the remote
 * server shall infer it.  A domain is sent as its base type, an array of a domain
 * as an array of that.
 */
static Oid
declared_type(Oid type)
{
	Oid			base = getBaseType(type);
	Oid			element = get_element_type(base);
	Oid			element_base;

	if (!OidIsValid(element))
		return is_common(base) && !is_string(base) ? base : InvalidOid;

	element_base = getBaseType(element);
	if (!is_common(element_base))
		return InvalidOid;
	return element_base == element ? base : get_array_type(element_base);
}

/*
 * Make room for so many parameters, which are all null and without a type.  Throws
 * 54023 if they are more than the protocol allows.
 */
static DblinkQueryParams *
make_params(int count)
{
	DblinkQueryParams *params = palloc(sizeof(DblinkQueryParams));

	if (count > MAX_PARAMS)
		ereport(ERROR,
				(errcode(ERRCODE_TOO_MANY_ARGUMENTS),
				 errmsg("number of parameters (%d) exceeds the limit of %d",
						count, MAX_PARAMS)));
	params->count = count;
	params->types = palloc0(sizeof(Oid) * (count + 1));
	params->values = palloc0(sizeof(char *) * (count + 1));
	params->lengths = palloc0(sizeof(int) * (count + 1));
	params->formats = palloc0(sizeof(int) * (count + 1));
	return params;
}

/*
 * Look up how to write values of a type, unless the last one was of that type, too.
 */
static void
writer_set_type(Writer *writer, Oid type)
{
	Oid			function;
	bool		is_varlena;

	if (writer->type == type)
		return;
	getTypeOutputInfo(type, &function, &is_varlena);
	fmgr_info(function, &writer->output);
	writer->sent = declared_type(type);
	writer->type = type;
}

/*
 * Write parameter i.
 */
static void
write_param(DblinkQueryParams *params, int i, Writer *writer, NullableDatum value)
{
	bytea	   *bytes;

	params->types[i] = writer->sent;
	if (value.isnull)
		return;
	if (writer->sent == BYTEAOID)
	{
		bytes = DatumGetByteaPP(value.value);
		params->values[i] = VARDATA_ANY(bytes);
		params->lengths[i] = VARSIZE_ANY_EXHDR(bytes);
		params->formats[i] = 1;
	}
	else
		params->values[i] = OutputFunctionCall(&writer->output, value.value);
}

/*
 * Write each argument as a parameter.
 */
static DblinkQueryParams *
from_arguments(const NullableDatum *args, const Oid *types, int count)
{
	DblinkQueryParams *params = make_params(count);
	Writer		writer = {InvalidOid};
	DblinkStylesSaved saved;
	bool		fixed = true;

	for (int i = 0; i < count && fixed; i++)
		fixed = dbl_styles_are_portable(dbl_styles_needs(types[i]));
	if (!fixed)
		dbl_styles_enter_portable(&saved);
	for (int i = 0; i < count; i++)
	{
		writer_set_type(&writer, types[i]);
		write_param(params, i, &writer, args[i]);
	}
	if (!fixed)
		dbl_styles_leave(&saved);
	return params;
}

/*
 * Write each element of an array as a parameter: VARIADIC was given.  A null array
 * has no elements, and the dimensions of one do not matter, as for format().
 */
static DblinkQueryParams *
from_array(NullableDatum arg, Oid type)
{
	ArrayType  *array;
	Oid			element;
	int16		typlen;
	bool		typbyval;
	char		typalign;
	Datum	   *values;
	bool	   *nulls;
	NullableDatum *elements;
	Oid		   *types;
	int			count;

	if (!OidIsValid(get_base_element_type(type)))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("VARIADIC argument must be an array")));
	if (arg.isnull)
		return make_params(0);

	array = DatumGetArrayTypeP(arg.value);
	element = ARR_ELEMTYPE(array);
	get_typlenbyvalalign(element, &typlen, &typbyval, &typalign);
	deconstruct_array(array, element, typlen, typbyval, typalign,
					  &values, &nulls, &count);
	elements = palloc(sizeof(NullableDatum) * (count + 1));
	types = palloc(sizeof(Oid) * (count + 1));
	for (int i = 0; i < count; i++)
	{
		elements[i].value = values[i];
		elements[i].isnull = nulls[i];
		types[i] = element;
	}
	return from_arguments(elements, types, count);
}

/*
 * Return an argument that is a text.  Throws 22004 for a null, because "nothing
 * happened" would be mistaken for success, and 42804 if it is none.
 */
static const char *
params_text(NullableDatum arg, Oid type, const char *what)
{
	if (!dbl_arg_is_text(type))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("%s must be of type %s, not %s", what, "text",
						format_type_be(type))));
	if (arg.isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", what),
				 strcmp(what, "connection") == 0 ?
				 errhint("An unnamed connection cannot be used here: open one with dblink_connect(name, connection string).") :
				 errhint("A text that is put together with || is null if a part of it is.")));
	return TextDatumGetCString(arg.value);
}

/*
 * Return argument n of a function, a text.  Throws likewise, and 42P13 if it is missing.
 */
const char *
dbl_params_arg(FunctionCallInfo fcinfo, int n, const char *what)
{
	if (n >= PG_NARGS())
		dbl_arg_check(fcinfo, n);
	return params_text(fcinfo->args[n], dbl_arg_type(fcinfo, n), what);
}

/*
 * Read the arguments from the text on: sql [, parameters].
 */
static void
read_sql(DblinkCall *call, const NullableDatum *args, const Oid *types, int nargs,
		 bool variadic)
{
	call->sql = params_text(args[0], types[0], "query");
	if (nargs == 1)
		call->params = NULL;
	else if (variadic && nargs == 2)
		call->params = from_array(args[1], types[1]);
	else
		call->params = from_arguments(&args[1], &types[1], nargs - 1);
}

/*
 * Read an array of the names of connections, in which there must be at least one, and no
 * null; returns them as Datums of type text, *count of them.  Throws 22004 if that is not
 * so, and 42804 if it is no array of strings.
 */
Datum *
dbl_params_names(NullableDatum arg, Oid type, int *count)
{
	ArrayType  *array;
	Datum	   *names;
	bool	   *nulls;

	if (!dbl_arg_is_text(get_base_element_type(type)))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("%s must be of type %s, not %s", "connections", "text[]",
						format_type_be(type))));
	if (arg.isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("array of connections must not be null")));
	array = DatumGetArrayTypePCopy(arg.value);
	ARR_ELEMTYPE(array) = TEXTOID;
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &names, &nulls, count);
	if (*count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("array of connections must not be empty")));
	for (int i = 0; i < *count; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("array of connections must not contain nulls"),
					 errhint("An unnamed connection cannot be used here: open one with dblink_connect(name, connection string).")));
	}
	return names;
}

/*
 * Read the arguments of a call that is for several connections: connections [, sql
 * [, parameters]].  Without a text, call->sql is NULL.
 *
 * Throws what dbl_params_names() and dbl_params_read() throw.
 */
void
dbl_params_read_many(DblinkCall *call, const NullableDatum *args, const Oid *types,
					 int nargs, bool variadic)
{
	if (nargs < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
				 errmsg("function must have more arguments")));
	memset(call, 0, sizeof(*call));
	call->sources = dbl_params_names(args[0], types[0], &call->nsources);
	if (nargs > 1)
		read_sql(call, &args[1], &types[1], nargs - 1, variadic);
}

/*
 * Read the arguments of a call that are left after its own first ones: connection,
 * sql [, parameters].  "variadic" says that the parameters are the elements of one
 * array.
 *
 * Without parameters, call->params is NULL.  With an empty or null VARIADIC array it is
 * not, although that has no parameter: the text must be sent in the same way however many
 * elements the array happens to have.
 *
 * Throws what params_text() throws, 42P13 if arguments are missing, and what
 * types' output functions throw.
 */
void
dbl_params_read(DblinkCall *call, const NullableDatum *args, const Oid *types,
				int nargs, bool variadic)
{
	if (nargs < 2)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
				 errmsg("function must have more arguments")));
	call->source = params_text(args[0], types[0], "connection");
	read_sql(call, &args[1], &types[1], nargs - 1, variadic);
}
