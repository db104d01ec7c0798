/*-------------------------------------------------------------------------
 *
 * sqlbuild.c
 *	  The primary key of a local table, and SQL that carries one of its rows to
 *	  another server.
 *
 * Each builder first turns all that its caller says about a table into a
 * DblinkTable: the name as SQL text, the names of the live columns, and the key
 * as indexes into these.  The caller's attribute numbers do not count dropped
 * columns, and neither do these indexes nor the row, which is read with the list
 * of live columns.  So nothing below sees a physical attribute number, and the
 * rest is appending text to a StringInfo; one function knows the key condition.
 *
 * We read the source row with a SELECT through SPI and not with a scan of our
 * own, because the row must be the one that the calling user may see: row
 * security, the privileges behind a view, foreign tables and partitions are the
 * executor's business.
 *
 * Memory: everything lives in the caller's context, which the executor resets
 * after the row.  Only dblink_get_pkey() keeps something between calls, in its
 * multi-call context.  A table stays open and locked until its text is made;
 * after an error the resource owner closes it.
 *
 * Nothing here is remote: this file knows no connection and no libpq, and runs
 * none of the statements that it makes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "nodes/value.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

PG_FUNCTION_INFO_V1(dblink_get_pkey);
PG_FUNCTION_INFO_V1(dblink_build_sql_insert);
PG_FUNCTION_INFO_V1(dblink_build_sql_delete);
PG_FUNCTION_INFO_V1(dblink_build_sql_update);

/*
 * A table and its key, as the builders see them.  A row of the table is an array
 * of ncolumns strings, key values are an array of nkeys strings; in both, NULL
 * is the SQL NULL.
 */
typedef struct DblinkTable
{
	Relation	rel;			/* open and locked, see table_begin() */
	const char *name;			/* quoted, with its schema where needed */
	int			ncolumns;		/* number of live columns, can be 0 */
	const char **columns;		/* their names, quoted */
	int			nkeys;			/* at least 1 */
	int		   *keys;			/* indexes into columns; may repeat */
} DblinkTable;

/* The primary key that a set-returning call is listing. */
typedef struct DblinkPkey
{
	AttInMetadata *attinmeta;	/* how to make a row of the result */
	int			ncolumns;		/* number of key columns, 0 if no key */
	char	  **columns;		/* their names, in the order of the key */
} DblinkPkey;

/*
 * Callback of the lookup of a table's name: throw 42501 if the current user may
 * not read the table.
 *
 * This comes before the table is locked, because a lock of a user who may not
 * even read it would hold up the others.  The lookup calls it again if the name
 * has come to mean another table meanwhile.  What is no table is left for
 * table_open() to refuse.
 */
static void
readable_check(const RangeVar *relation, Oid relid, Oid old_relid, void *arg)
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
 * Open the table of a name, which may be qualified, and lock it against changes
 * of its definition.  The caller closes it.
 *
 * Throws 42P01 if there is no such table, 42809 if it is none, 42501 if the
 * current user may not read it, and what else is wrong with the name.
 */
static Relation
readable_open(text *name)
{
	RangeVar   *relation = makeRangeVarFromNameList(textToQualifiedNameList(name));

	return table_open(RangeVarGetRelidExtended(relation, AccessShareLock, 0,
											   readable_check, NULL),
					  NoLock);
}

/*
 * Return the table's name as it has to be written to be found here and now:
 * quoted, and with its schema only where the search path does not lead to it.
 */
static const char *
table_name(Relation rel)
{
	char	   *relname = RelationGetRelationName(rel);

	if (RelationIsVisible(RelationGetRelid(rel)))
		return quote_identifier(relname);
	return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
									  relname);
}

/*
 * Note the names of the table's live columns.
 */
static void
table_set_columns(DblinkTable *table)
{
	TupleDesc	tupdesc = RelationGetDescr(table->rel);

	table->ncolumns = 0;
	table->columns = palloc(tupdesc->natts * sizeof(char *));
	for (int i = 0; i < tupdesc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(tupdesc, i);

		if (!att->attisdropped)
			table->columns[table->ncolumns++] =
				quote_identifier(NameStr(att->attname));
	}
}

/*
 * Throw 22023 unless the array can be read as a plain sequence of int2.
 */
static void
vector_check(ArrayType *vector)
{
	if (ARR_NDIM(vector) != 1 ||
		ARR_ELEMTYPE(vector) != INT2OID ||
		array_contains_nulls(vector))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("key attribute numbers must be a one-dimensional int2vector without null elements")));
}

/*
 * Note the key: the first "count" elements of the vector, each the number of a
 * live column, counted from 1.
 *
 * COMPAT: a count beyond the end of the vector means the whole vector, elements
 * after the first "count" are ignored, and a column may be named twice.
 */
static void
table_set_keys(DblinkTable *table, ArrayType *vector, int count)
{
	int			nitems = ArrayGetNItems(ARR_NDIM(vector), ARR_DIMS(vector));
	int16	   *numbers;

	table->nkeys = Min(count, nitems);
	if (table->nkeys <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("number of key attributes must be > 0")));

	vector_check(vector);
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
 * Open the table that the first three arguments of a builder tell of: its name,
 * the vector of its key, and how many elements of that count.  Throws as
 * readable_open() does, and 22023 for a key that is none.
 *
 * The caller closes the table.  The lock goes then, too, because the result is only a
 * text, which may be outdated as soon as it is made.
 *
 * All "nargs" arguments of the builder are checked first, so that a declaration
 * that lacks one is refused whatever the others are.
 */
static void
table_begin(DblinkTable *table, FunctionCallInfo fcinfo, int nargs)
{
	for (int n = 0; n < nargs; n++)
		dbl_arg_check(fcinfo, n);
	table->rel = readable_open(dbl_arg_text(fcinfo, 0));
	table->name = table_name(table->rel);
	table_set_columns(table);
	table_set_keys(table, dbl_arg_vector(fcinfo, 1), dbl_arg_int4(fcinfo, 2));
}

/*
 * Return the key values of one side, "source" or "target", from a text[].  Only
 * the number of its elements matters, not its dimensions.  Throws 2202E if that
 * is not the number of key columns.
 */
static char **
key_values(const DblinkTable *table, ArrayType *array, const char *side)
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

/*
 * Append the names of all columns, with the separator between them.
 */
static void
append_columns(StringInfo buf, const DblinkTable *table, const char *separator)
{
	for (int i = 0; i < table->ncolumns; i++)
		appendStringInfo(buf, "%s%s", i > 0 ? separator : "", table->columns[i]);
}

/*
 * Append a value as a quoted literal, or NULL.
 */
static void
append_value(StringInfo buf, const char *value)
{
	appendStringInfoString(buf, value ? quote_literal_cstr(value) : "NULL");
}

/*
 * Append the WHERE clause that finds the rows with these key values.
 */
static void
append_key_condition(StringInfo buf, const DblinkTable *table, char **values)
{
	/* Without a condition, the statement would hit every row. */
	Assert(table->nkeys > 0);

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

/*
 * Return the values of the one row that SPI has just read, as text made by the
 * types' output functions, in the current memory context.
 */
static char **
spi_row_values(const DblinkTable *table)
{
	char	  **values = palloc(table->ncolumns * sizeof(char *));

	Assert(SPI_processed == 1);
	Assert(SPI_tuptable->tupdesc->natts == table->ncolumns);

	for (int i = 0; i < table->ncolumns; i++)
		values[i] = SPI_getvalue(SPI_tuptable->vals[0],
								 SPI_tuptable->tupdesc, i + 1);
	return values;
}

/*
 * Return the row with this key, as the current user sees it.  Throws 21000 if
 * there is none, or more than one.
 *
 * The statement runs as that of a volatile function does: it sees the effects of
 * earlier parts of the calling statement.
 */
static char **
fetch_row(const DblinkTable *table, char **key)
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

	/*
	 * A second row is enough to know that the key is not unique.  COMPAT:
	 * stock reads the others, too, and keeps them all in memory.
	 */
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

	/*
	 * SPI_finish() frees all that SPI has allocated, so copy the values
	 * first.
	 */
	MemoryContextSwitchTo(caller);
	values = spi_row_values(table);
	SPI_finish();
	return values;
}

/*
 * Return the row as it shall be on the other side: the local one with the source
 * key, with the target key in its place.
 */
static char **
target_row(const DblinkTable *table, char **source, char **target)
{
	char	  **row = fetch_row(table, source);

	/* COMPAT: of a column that is named twice, the first value wins. */
	for (int i = table->nkeys - 1; i >= 0; i--)
		row[table->keys[i]] = target[i];
	return row;
}

/*
 * Return the INSERT of a row.
 */
static text *
insert_text(const DblinkTable *table, char **row)
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

/*
 * Return the DELETE of the rows with a key.
 */
static text *
delete_text(const DblinkTable *table, char **key)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "DELETE FROM %s", table->name);
	append_key_condition(&sql, table, key);
	return cstring_to_text_with_len(sql.data, sql.len);
}

/*
 * Return the UPDATE that makes the rows with a key equal to a row.
 *
 * COMPAT: it sets every column: those of the key, too, and those that are
 * generated or an identity, which the other side may refuse.
 */
static text *
update_text(const DblinkTable *table, char **row, char **key)
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
 * Returns the INSERT of the local row whose key is source, with target as its
 * key.
 *
 * Errors: 42P01 and others if relname is no table, 42501 if the user may not
 * read it, 22023 if it has no such columns, 2202E if an array has not one value
 * for each key column, 21000 if not exactly one row has the source key.
 */
Datum
dblink_build_sql_insert(PG_FUNCTION_ARGS)
{
	DblinkTable table;
	char	  **source;
	char	  **target;
	text	   *sql;

	table_begin(&table, fcinfo, 5);
	source = key_values(&table, dbl_arg_text_array(fcinfo, 3), "source");
	target = key_values(&table, dbl_arg_text_array(fcinfo, 4), "target");
	sql = insert_text(&table, target_row(&table, source, target));
	table_close(table.rel, AccessShareLock);
	PG_RETURN_TEXT_P(sql);
}

/*
 * dblink_build_sql_delete(relname text, key int2vector, nkeys int,
 *						   target text[]) returns text
 *
 * Returns the DELETE of the rows whose key is target.  There need be none here.
 *
 * Errors: as dblink_build_sql_insert(), except for 21000.
 */
Datum
dblink_build_sql_delete(PG_FUNCTION_ARGS)
{
	DblinkTable table;
	text	   *sql;

	table_begin(&table, fcinfo, 4);
	sql = delete_text(&table,
					  key_values(&table, dbl_arg_text_array(fcinfo, 3), "target"));
	table_close(table.rel, AccessShareLock);
	PG_RETURN_TEXT_P(sql);
}

/*
 * dblink_build_sql_update(relname text, key int2vector, nkeys int,
 *						   source text[], target text[]) returns text
 *
 * Returns the UPDATE that makes the rows whose key is target equal to the local
 * row whose key is source, except for the key.
 *
 * Errors: as dblink_build_sql_insert().
 */
Datum
dblink_build_sql_update(PG_FUNCTION_ARGS)
{
	DblinkTable table;
	char	  **source;
	char	  **target;
	text	   *sql;

	table_begin(&table, fcinfo, 5);
	source = key_values(&table, dbl_arg_text_array(fcinfo, 3), "source");
	target = key_values(&table, dbl_arg_text_array(fcinfo, 4), "target");
	sql = update_text(&table, target_row(&table, source, target), target);
	table_close(table.rel, AccessShareLock);
	PG_RETURN_TEXT_P(sql);
}

/*
 * Note the columns of a primary key's index, without those that it merely
 * includes.
 */
static void
pkey_set_columns(DblinkPkey *pkey, Relation rel, Form_pg_index index)
{
	TupleDesc	tupdesc = RelationGetDescr(rel);

	pkey->ncolumns = index->indnkeyatts;
	pkey->columns = palloc(pkey->ncolumns * sizeof(char *));
	for (int i = 0; i < pkey->ncolumns; i++)
	{
		int			attnum = index->indkey.values[i];

		/* A primary key has no expressions, whose number is 0. */
		Assert(attnum > 0 && attnum <= tupdesc->natts);
		pkey->columns[i] =
			pstrdup(NameStr(TupleDescAttr(tupdesc, attnum - 1)->attname));
	}
}

/*
 * Find the table's primary key and note its columns: none if there is no key.
 *
 * We look through the indexes ourselves, because the relation cache leaves out
 * a deferrable key, which is one, too.
 */
static void
pkey_find(DblinkPkey *pkey, Relation rel)
{
	pkey->ncolumns = 0;
	foreach_oid(oid, RelationGetIndexList(rel))
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(oid));
		Form_pg_index index;

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for index %u", oid);
		index = (Form_pg_index) GETSTRUCT(tuple);
		if (index->indisprimary)
			pkey_set_columns(pkey, rel, index);
		ReleaseSysCache(tuple);
	}
}

/*
 * Return the row type of the result: the declared one, so that other sessions can
 * read a row that is stored, if it is made of an int and a text; else an
 * anonymous one of these two, and the executor notices where they do not fit the
 * declaration.  Throws 42P13 if the declared type is no row type at all.
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
 * Begin a set-returning call: read the key into the multi-call context, and close
 * the table at once.  Throws as readable_open() and pkey_row_type() do.
 */
static void
pkey_begin(FunctionCallInfo fcinfo)
{
	text	   *name = dbl_arg_text(fcinfo, 0);
	FuncCallContext *funcctx = SRF_FIRSTCALL_INIT();
	MemoryContext oldcontext = MemoryContextSwitchTo(funcctx->multi_call_memory_ctx);
	DblinkPkey *pkey = palloc(sizeof(DblinkPkey));
	Relation	rel;

	pkey->attinmeta = TupleDescGetAttInMetadata(pkey_row_type(fcinfo));
	rel = readable_open(name);
	pkey_find(pkey, rel);
	table_close(rel, AccessShareLock);
	MemoryContextSwitchTo(oldcontext);

	funcctx->user_fctx = pkey;
	funcctx->max_calls = pkey->ncolumns;
}

/*
 * Return the result row for column i of the key, counted from 0.
 */
static Datum
pkey_row(DblinkPkey *pkey, int i)
{
	char		position[12];
	char	   *values[2] = {position, pkey->columns[i]};

	Assert(i >= 0 && i < pkey->ncolumns);

	pg_ltoa(i + 1, position);
	return HeapTupleGetDatum(BuildTupleFromCStrings(pkey->attinmeta, values));
}

/*
 * dblink_get_pkey(relname text) returns setof dblink_pkey_results
 *
 * Returns the columns of the table's primary key, in the order of the key, with
 * their positions counted from 1; no rows if it has none.
 *
 * Errors: 42P01 and others if relname is no table, 42501 if the user may not
 * read it, 0A000 in a place that takes no set.
 */
Datum
dblink_get_pkey(PG_FUNCTION_ARGS)
{
	FuncCallContext *funcctx;
	Datum		row;

	if (SRF_IS_FIRSTCALL())
		pkey_begin(fcinfo);

	funcctx = SRF_PERCALL_SETUP();
	if (funcctx->call_cntr >= funcctx->max_calls)
		SRF_RETURN_DONE(funcctx);

	/* Not within the macro, which counts the call before it uses the row. */
	row = pkey_row(funcctx->user_fctx, funcctx->call_cntr);
	SRF_RETURN_NEXT(funcctx, row);
}
