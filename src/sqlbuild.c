/*-------------------------------------------------------------------------
 *
 * sqlbuild.c
 *	  Helpers for those who replicate rows by hand: the primary key of a
 *	  local table, and the INSERT, UPDATE or DELETE that would bring a row
 *	  of it to another server.
 *
 * The idea: everything a caller says about a table is turned, first of all,
 * into a SqlTable: its name as SQL text, the names of its live columns, and
 * the key as indexes into these.  The caller's attribute numbers are logical
 * (dropped columns are not counted), and so are the indexes, and so is the
 * row that is read with the list of live columns; after that, nothing sees
 * physical attribute numbers.  What remains is pasting text: a few small
 * appenders into a StringInfo, of which one knows the key condition.
 *
 * The source row is read with an ordinary SELECT through SPI and not by a
 * scan of our own, because the row must be the one that the calling user is
 * allowed to see: row security, the privileges behind a view, foreign tables
 * and partitions are all the executor's business.
 *
 * Memory: everything lives in the caller's context, which the executor
 * resets after the row; nothing survives the call but what dblink_get_pkey
 * keeps in its multi-call context.  The table stays open and locked until
 * the text is made; after an error the resource owner closes it.
 *
 * Not here: anything remote.  This file knows no connection and no libpq; it
 * runs none of the statements it makes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tupdesc.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "dblink.h"

/*
 * A table and its key, as the builders see them.  A row that belongs to it is
 * an array of ncolumns strings, key values are an array of nkeys strings; in
 * both, a NULL pointer is the SQL NULL.
 */
typedef struct SqlTable
{
	Relation	rel;			/* open and locked until table_finish() */
	const char *name;			/* quoted, with its schema where needed */
	int			ncolumns;		/* number of live columns, can be 0 */
	const char **columns;		/* their names, quoted */
	int			nkeys;			/* at least 1 once the key is resolved */
	int		   *keys;			/* indexes into columns; may repeat */
} SqlTable;

/* The primary key that a set-returning call is listing. */
typedef struct PkeyScan
{
	AttInMetadata *attinmeta;	/* how to make a row of the result */
	int			ncolumns;		/* number of key columns, 0 if no key */
	char	  **columns;		/* their names, in the order of the key */
} PkeyScan;


/* ---------- tables and keys ---------- */

/*
 * Throws unless the function's arguments are there, so many, and not null:
 * whoever declares a function of his own on our symbols may forget either.
 */
static void
check_arguments(FunctionCallInfo fcinfo, int count)
{
	for (int i = 0; i < count; i++)
		dbl_err_argument_check(fcinfo, i);
}

/*
 * Refuses a table that the current user may not read, before it is locked.
 *
 * Called by the lookup of the name, again if the name came to mean another
 * table meanwhile.  The kinds that are no tables at all are let pass, for
 * table_open() to say so.
 */
static void
check_may_read(const RangeVar *relation, Oid relid,
			   Oid oldrelid pg_attribute_unused(),
			   void *arg pg_attribute_unused())
{
	char		relkind = get_rel_relkind(relid);
	AclResult	aclresult;

	switch (relkind)
	{
		case '\0':				/* not there, or no longer */
		case RELKIND_INDEX:
		case RELKIND_PARTITIONED_INDEX:
		case RELKIND_COMPOSITE_TYPE:
			return;
	}

	aclresult = pg_class_aclcheck(relid, GetUserId(), ACL_SELECT);
	if (aclresult != ACLCHECK_OK)
		aclcheck_error(aclresult, get_relkind_objtype(relkind),
					   relation->relname);
}

/*
 * Opens the table of the given, possibly qualified name and locks it against
 * changes of its definition.  The caller closes it.  Throws if there is no
 * such table (42P01, or what else is wrong with the name), if it is none
 * (42809), or if the current user may not read it (42501).
 */
static Relation
open_readable(text *name)
{
	RangeVar   *relation;
	Oid			relid;

	relation = makeRangeVarFromNameList(textToQualifiedNameList(name));
	relid = RangeVarGetRelidExtended(relation, AccessShareLock, 0,
									 check_may_read, NULL);
	return table_open(relid, NoLock);
}

/*
 * The table's name as it must be written to be found here and now: quoted,
 * and with its schema only where the search path does not lead to it.
 */
static const char *
table_name(Relation rel)
{
	char	   *relname = RelationGetRelationName(rel);
	char	   *schema;

	if (RelationIsVisible(RelationGetRelid(rel)))
		return quote_identifier(relname);

	schema = get_namespace_name(RelationGetNamespace(rel));
	return quote_qualified_identifier(schema, relname);
}

/*
 * Opens a table and takes down its name and its live columns; the key is
 * still unknown.  Throws as open_readable() does; table_finish() closes.
 */
static void
table_start(SqlTable *table, text *name)
{
	TupleDesc	tupdesc;

	table->rel = open_readable(name);
	table->name = table_name(table->rel);
	table->ncolumns = 0;
	table->nkeys = 0;
	table->keys = NULL;

	tupdesc = RelationGetDescr(table->rel);
	table->columns = palloc(tupdesc->natts * sizeof(char *));
	for (int i = 0; i < tupdesc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(tupdesc, i);

		if (!att->attisdropped)
			table->columns[table->ncolumns++] =
				quote_identifier(NameStr(att->attname));
	}
}

/* Closes the table, and gives its lock back: what we say is only text. */
static void
table_finish(SqlTable *table)
{
	table_close(table->rel, AccessShareLock);
}

/*
 * Throws unless the array can be read as a plain sequence of int2.  The type
 * int2vector does not promise that: only its input functions check it, and a
 * function on arrays of any type can return one of another shape.
 */
static void
check_vector_shape(ArrayType *vector)
{
	if (ARR_NDIM(vector) != 1 ||
		ARR_ELEMTYPE(vector) != INT2OID ||
		array_contains_nulls(vector))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("key attribute numbers must be a one-dimensional int2vector without null elements")));
}

/*
 * Resolves the key: the first "count" elements of the vector, each the
 * number of a live column, counted from 1.
 *
 * COMPAT: a count beyond the end of the vector means the whole vector, what
 * follows the first count elements is ignored, and a column may be named
 * twice.
 */
static void
table_set_keys(SqlTable *table, ArrayType *vector, int count)
{
	int			nitems = ArrayGetNItems(ARR_NDIM(vector), ARR_DIMS(vector));
	int16	   *numbers;

	table->nkeys = Min(count, nitems);
	if (table->nkeys <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("number of key attributes must be > 0")));

	check_vector_shape(vector);
	numbers = (int16 *) ARR_DATA_PTR(vector);

	table->keys = palloc(table->nkeys * sizeof(int));
	for (int i = 0; i < table->nkeys; i++)
	{
		if (numbers[i] < 1 || numbers[i] > table->ncolumns)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid attribute number %d", numbers[i])));
		table->keys[i] = numbers[i] - 1;
	}
}

/*
 * Takes the key values of one side, "source" or "target", out of a text
 * array.  Only the number of its elements matters, not its dimensions.
 */
static char **
read_key_values(const SqlTable *table, ArrayType *array, const char *side)
{
	Datum	   *elems;
	bool	   *nulls;
	int			nelems;
	char	  **values;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT,
					  &elems, &nulls, &nelems);
	if (nelems != table->nkeys)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("%s key array length must match number of key attributes",
						side)));

	values = palloc(nelems * sizeof(char *));
	for (int i = 0; i < nelems; i++)
		values[i] = nulls[i] ? NULL : TextDatumGetCString(elems[i]);
	return values;
}


/* ---------- appenders ---------- */

/* Appends the names of all columns, with the separator between them. */
static void
append_columns(StringInfo buf, const SqlTable *table, const char *separator)
{
	for (int i = 0; i < table->ncolumns; i++)
	{
		if (i > 0)
			appendStringInfoString(buf, separator);
		appendStringInfoString(buf, table->columns[i]);
	}
}

/* Appends a value as a quoted literal, or as NULL. */
static void
append_value(StringInfo buf, const char *value)
{
	appendStringInfoString(buf, value ? quote_literal_cstr(value) : "NULL");
}

/* Appends the WHERE clause that finds the rows with these key values. */
static void
append_key_condition(StringInfo buf, const SqlTable *table, char **values)
{
	for (int i = 0; i < table->nkeys; i++)
	{
		appendStringInfo(buf, "%s%s", i == 0 ? " WHERE " : " AND ",
						 table->columns[table->keys[i]]);
		if (values[i] == NULL)
			appendStringInfoString(buf, " IS NULL");
		else
			appendStringInfo(buf, " = %s", quote_literal_cstr(values[i]));
	}
}


/* ---------- the source row ---------- */

/*
 * The columns' values of the one row that SPI has just read, as text made by
 * the types' output functions, in the current memory context.
 */
static char **
spi_row_values(const SqlTable *table)
{
	char	  **values = palloc(table->ncolumns * sizeof(char *));

	for (int i = 0; i < table->ncolumns; i++)
		values[i] = SPI_getvalue(SPI_tuptable->vals[0],
								 SPI_tuptable->tupdesc, i + 1);
	return values;
}

/*
 * Reads the row with the given key, as the current user sees it.  Throws if
 * there is none, or more than one.
 *
 * The statement is run as a volatile function would run it: it sees what
 * earlier parts of the calling statement have done.  COMPAT: a second row is
 * enough to know that the key does not tell rows apart; stock reads the rest
 * of them too, and keeps them all in memory.
 */
static char **
fetch_row(const SqlTable *table, char **key)
{
	MemoryContext caller = CurrentMemoryContext;
	StringInfoData sql;
	char	  **values;
	int			rc;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	append_columns(&sql, table, ", ");
	appendStringInfo(&sql, " FROM %s", table->name);
	append_key_condition(&sql, table, key);

	SPI_connect();
	rc = SPI_execute(sql.data, false, 2);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "unexpected result of reading a row: %s",
			 SPI_result_code_string(rc));
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_CARDINALITY_VIOLATION),
				 errmsg("source row not found")));
	if (SPI_processed > 1)
		ereport(ERROR,
				(errcode(ERRCODE_CARDINALITY_VIOLATION),
				 errmsg("source criteria matched more than one record")));

	/* SPI_finish() frees all that SPI allocated: copy the values out of it */
	MemoryContextSwitchTo(caller);
	values = spi_row_values(table);
	SPI_finish();
	return values;
}

/*
 * Reads the row with the source key and gives it the target key: what the
 * row shall look like on the other side.
 */
static char **
make_target_row(const SqlTable *table, char **source, char **target)
{
	char	  **row = fetch_row(table, source);

	/* COMPAT: of a column named twice, the first value wins */
	for (int i = table->nkeys - 1; i >= 0; i--)
		row[table->keys[i]] = target[i];
	return row;
}


/* ---------- the builders ---------- */

PG_FUNCTION_INFO_V1(dblink_build_sql_insert);
PG_FUNCTION_INFO_V1(dblink_build_sql_delete);
PG_FUNCTION_INFO_V1(dblink_build_sql_update);
PG_FUNCTION_INFO_V1(dblink_get_pkey);

/* The INSERT of a row. */
static text *
insert_text(const SqlTable *table, char **row)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "INSERT INTO %s(", table->name);
	append_columns(&sql, table, ",");
	appendStringInfoString(&sql, ") VALUES(");
	for (int i = 0; i < table->ncolumns; i++)
	{
		if (i > 0)
			appendStringInfoChar(&sql, ',');
		append_value(&sql, row[i]);
	}
	appendStringInfoChar(&sql, ')');
	return cstring_to_text_with_len(sql.data, sql.len);
}

/* The DELETE of the rows with a key. */
static text *
delete_text(const SqlTable *table, char **key)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "DELETE FROM %s", table->name);
	append_key_condition(&sql, table, key);
	return cstring_to_text_with_len(sql.data, sql.len);
}

/*
 * The UPDATE that makes the rows with a key equal to the given row.
 *
 * COMPAT: it sets every column: those of the key too, and those that are
 * generated or an identity, which the other side may refuse.
 */
static text *
update_text(const SqlTable *table, char **row, char **key)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "UPDATE %s SET ", table->name);
	for (int i = 0; i < table->ncolumns; i++)
	{
		appendStringInfo(&sql, "%s%s = ", i > 0 ? ", " : "",
						 table->columns[i]);
		append_value(&sql, row[i]);
	}
	append_key_condition(&sql, table, key);
	return cstring_to_text_with_len(sql.data, sql.len);
}

/*
 * dblink_build_sql_insert(relname text, key int2vector, nkeys int,
 *						   source text[], target text[]) returns text
 *
 * The INSERT of the local row whose key is source, with target for its key.
 * Throws if relname is no table (42P01 and others), may not be read (42501),
 * has no such columns (22023), if an array has not one value for each key
 * column (2202E), or if not exactly one row has the source key (21000).
 */
Datum
dblink_build_sql_insert(PG_FUNCTION_ARGS)
{
	SqlTable	table;
	char	  **source;
	char	  **target;
	text	   *result;

	check_arguments(fcinfo, 5);
	table_start(&table, PG_GETARG_TEXT_PP(0));
	table_set_keys(&table, PG_GETARG_ARRAYTYPE_P(1), PG_GETARG_INT32(2));
	source = read_key_values(&table, PG_GETARG_ARRAYTYPE_P(3), "source");
	target = read_key_values(&table, PG_GETARG_ARRAYTYPE_P(4), "target");
	result = insert_text(&table, make_target_row(&table, source, target));
	table_finish(&table);

	PG_RETURN_TEXT_P(result);
}

/*
 * dblink_build_sql_delete(relname text, key int2vector, nkeys int,
 *						   target text[]) returns text
 *
 * The DELETE of the rows whose key is target; whether there are any here does
 * not matter.  Throws as dblink_build_sql_insert, but for 21000.
 */
Datum
dblink_build_sql_delete(PG_FUNCTION_ARGS)
{
	SqlTable	table;
	char	  **target;
	text	   *result;

	check_arguments(fcinfo, 4);
	table_start(&table, PG_GETARG_TEXT_PP(0));
	table_set_keys(&table, PG_GETARG_ARRAYTYPE_P(1), PG_GETARG_INT32(2));
	target = read_key_values(&table, PG_GETARG_ARRAYTYPE_P(3), "target");
	result = delete_text(&table, target);
	table_finish(&table);

	PG_RETURN_TEXT_P(result);
}

/*
 * dblink_build_sql_update(relname text, key int2vector, nkeys int,
 *						   source text[], target text[]) returns text
 *
 * The UPDATE that makes the rows whose key is target equal to the local row
 * whose key is source, except for the key.  Throws as
 * dblink_build_sql_insert.
 */
Datum
dblink_build_sql_update(PG_FUNCTION_ARGS)
{
	SqlTable	table;
	char	  **source;
	char	  **target;
	text	   *result;

	check_arguments(fcinfo, 5);
	table_start(&table, PG_GETARG_TEXT_PP(0));
	table_set_keys(&table, PG_GETARG_ARRAYTYPE_P(1), PG_GETARG_INT32(2));
	source = read_key_values(&table, PG_GETARG_ARRAYTYPE_P(3), "source");
	target = read_key_values(&table, PG_GETARG_ARRAYTYPE_P(4), "target");
	result = update_text(&table, make_target_row(&table, source, target),
						 target);
	table_finish(&table);

	PG_RETURN_TEXT_P(result);
}


/* ---------- the primary key ---------- */

/*
 * Takes down the columns of an index that are its key, without those that it
 * merely includes.  They are names of the table: a primary key has no
 * expressions.
 */
static void
copy_key_columns(PkeyScan *scan, Relation rel, Form_pg_index index)
{
	TupleDesc	tupdesc = RelationGetDescr(rel);

	scan->ncolumns = index->indnkeyatts;
	scan->columns = palloc(scan->ncolumns * sizeof(char *));
	for (int i = 0; i < scan->ncolumns; i++)
	{
		int			attnum = index->indkey.values[i];

		scan->columns[i] =
			pstrdup(NameStr(TupleDescAttr(tupdesc, attnum - 1)->attname));
	}
}

/*
 * Finds the table's primary key and takes down its columns; leaves ncolumns 0
 * if there is none.  A deferrable key is one too.
 */
static void
find_primary_key(PkeyScan *scan, Relation rel)
{
	ListCell   *lc;

	scan->ncolumns = 0;
	foreach(lc, RelationGetIndexList(rel))
	{
		HeapTuple	tuple;
		Form_pg_index index;

		tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(lc)));
		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for index %u", lfirst_oid(lc));
		index = (Form_pg_index) GETSTRUCT(tuple);
		if (index->indisprimary)
			copy_key_columns(scan, rel, index);
		ReleaseSysCache(tuple);
	}
}

/*
 * The row type of the result: the declared one, so that a stored row can be
 * read by other sessions, if it is made of an int and a text; otherwise an
 * anonymous one of these two, and the executor notices where they do not fit
 * the declaration.  Throws 42P13 if that is no row type at all.
 */
static TupleDesc
pkey_row_type(FunctionCallInfo fcinfo)
{
	TupleDesc	declared;
	TypeFuncClass class = get_call_result_type(fcinfo, NULL, &declared);

	if (class == TYPEFUNC_SCALAR)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
				 errmsg("return type must be a row type")));
	if (class == TYPEFUNC_COMPOSITE &&
		declared->natts == 2 &&
		TupleDescAttr(declared, 0)->atttypid == INT4OID &&
		TupleDescAttr(declared, 1)->atttypid == TEXTOID)
		return declared;

	return BuildDescFromLists(list_make2(makeString("position"),
										 makeString("colname")),
							  list_make2_oid(INT4OID, TEXTOID),
							  list_make2_int(-1, -1),
							  list_make2_oid(InvalidOid, DEFAULT_COLLATION_OID));
}

/*
 * Starts a set-returning call: reads the key into the multi-call context and
 * lets go of the table at once.  Throws as open_readable() does.
 */
static void
start_pkey_scan(FunctionCallInfo fcinfo)
{
	FuncCallContext *funcctx = SRF_FIRSTCALL_INIT();
	MemoryContext oldcontext;
	PkeyScan   *scan;
	Relation	rel;

	oldcontext = MemoryContextSwitchTo(funcctx->multi_call_memory_ctx);
	scan = palloc(sizeof(PkeyScan));
	scan->attinmeta = TupleDescGetAttInMetadata(pkey_row_type(fcinfo));
	rel = open_readable(PG_GETARG_TEXT_PP(0));
	find_primary_key(scan, rel);
	table_close(rel, AccessShareLock);
	MemoryContextSwitchTo(oldcontext);

	funcctx->user_fctx = scan;
	funcctx->max_calls = scan->ncolumns;
}

/* The result row for one column of the key, counted from 0. */
static Datum
pkey_row(PkeyScan *scan, int i)
{
	char		position[12];
	char	   *values[2] = {position, scan->columns[i]};

	pg_ltoa(i + 1, position);
	return HeapTupleGetDatum(BuildTupleFromCStrings(scan->attinmeta, values));
}

/*
 * dblink_get_pkey(relname text) returns setof dblink_pkey_results
 *
 * The columns of the table's primary key, in the order of the key, with their
 * positions counted from 1; no rows if it has none.  Throws as
 * open_readable() does, and 0A000 where a set has no place.
 */
Datum
dblink_get_pkey(PG_FUNCTION_ARGS)
{
	FuncCallContext *funcctx;
	Datum		row;

	if (SRF_IS_FIRSTCALL())
	{
		check_arguments(fcinfo, 1);
		start_pkey_scan(fcinfo);
	}

	funcctx = SRF_PERCALL_SETUP();
	if (funcctx->call_cntr >= funcctx->max_calls)
		SRF_RETURN_DONE(funcctx);

	/* not within the macro, which counts the call before it uses the row */
	row = pkey_row(funcctx->user_fctx, funcctx->call_cntr);
	SRF_RETURN_NEXT(funcctx, row);
}
