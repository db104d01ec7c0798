/*-------------------------------------------------------------------------
 *
 * rows.c
 *	  Raw rows, set aside.
 *
 * A batch is a few rows.  Where libpq makes one PGresult for each row, its code and
 * the plan's take turns at each row, and push each other out of the processor's
 * caches.  So small rows are taken from libpq several at a time; and copied,
 * because even a small PGresult takes kilobytes.
 *
 * A spool is any number of rows: a tuplestore of which all columns are bytea, in
 * memory up to work_mem, then in temporary files.
 *
 * Memory: both live in the context that they were made in; a batch is of a fixed
 * size.  The files of a spool belong to the resource owner that was current when it
 * was made, which must be that of the rows' reader.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "utils/memutils.h"

/*
 * The values of a row of a result, in the order in which a row type has the columns;
 * a null for one that was dropped.
 */
static void
ordered_values(const PGresult *res, int row, DblinkValue *values, int natts,
			   const int *order)
{
	for (int i = 0; i < natts; i++)
	{
		values[i].len = 0;
		values[i].text = NULL;
		if (order[i] < 0 || PQgetisnull(res, row, order[i]))
			continue;
		values[i].len = PQgetlength(res, row, order[i]);
		values[i].text = PQgetvalue(res, row, order[i]);
	}
}

/*
 * The values of a row of a result, as they are in it; but in another order if one is
 * given.
 */
void
dbl_row_values(const PGresult *res, int row, DblinkValue *values, int natts,
			   const int *order)
{
	if (order != NULL)
	{
		ordered_values(res, row, values, natts, order);
		return;
	}
	for (int i = 0; i < natts; i++)
	{
		values[i].len = PQgetlength(res, row, i);
		values[i].text = PQgetvalue(res, row, i);

		/* A null has a length, too: zero. */
		if (values[i].len == 0 && PQgetisnull(res, row, i))
			values[i].text = NULL;
	}
}

/* How much a batch holds at most: rows, values, and bytes of the values. */
#define BATCH_ROWS		64
#define BATCH_VALUES	2048
#define BATCH_BYTES		16384

/* Raw rows, all of so many columns. */
struct DblinkBatch
{
	int			natts;			/* columns of a row */
	int			capacity;		/* rows it takes now */
	int			max_rows;		/* rows that it can take */
	int			nrows;			/* rows in it */
	int			row;			/* next row to hand out */
	int			used;			/* bytes of data[] */
	DblinkValue *values;		/* of all rows, which follow each other */
	char		data[BATCH_BYTES];	/* what values point to */
};

/*
 * Make an empty batch for rows of so many columns.
 */
DblinkBatch *
dbl_batch_make(int natts)
{
	DblinkBatch *batch = palloc(sizeof(DblinkBatch));

	batch->natts = natts;
	batch->max_rows = Min(BATCH_ROWS, Max(1, BATCH_VALUES / Max(1, natts)));
	batch->capacity = Min(2, batch->max_rows);
	batch->values = palloc(sizeof(DblinkValue) * natts * batch->max_rows);
	batch->nrows = batch->row = batch->used = 0;
	return batch;
}

/*
 * Forget the rows, and have room for twice as many next time: a reader that wanted
 * only the first does not pay for more.
 */
void
dbl_batch_clear(DblinkBatch *batch)
{
	batch->nrows = batch->row = batch->used = 0;
	batch->capacity = Min(batch->capacity * 2, batch->max_rows);
}

/*
 * Add a copy of a row.  Returns false, and changes nothing, if there is no room.
 */
bool
dbl_batch_add(DblinkBatch *batch, const PGresult *res, int row, const int *order)
{
	DblinkValue *values = &batch->values[batch->nrows * batch->natts];
	int			used = batch->used;

	if (dbl_batch_is_full(batch))
		return false;
	dbl_row_values(res, row, values, batch->natts, order);
	for (int i = 0; i < batch->natts; i++)
	{
		int			size = values[i].len + 1;

		if (values[i].text == NULL)
			continue;
		if (size > BATCH_BYTES - used)
			return false;
		values[i].text = memcpy(&batch->data[used], values[i].text, size);
		used += size;
	}
	batch->used = used;
	batch->nrows++;
	return true;
}

/*
 * Check whether there is no room for another row.
 */
bool
dbl_batch_is_full(DblinkBatch *batch)
{
	return batch->nrows == batch->capacity;
}

/*
 * Check whether all rows of the batch have been handed out.
 */
bool
dbl_batch_is_empty(DblinkBatch *batch)
{
	return batch->row == batch->nrows;
}

/*
 * The values of the next row, NULL at the end.  Valid until a row is added.
 */
const DblinkValue *
dbl_batch_next(DblinkBatch *batch)
{
	if (batch->row == batch->nrows)
		return NULL;
	return &batch->values[batch->row++ * batch->natts];
}

/* A tuplestore of raw rows, and what it takes to read them back. */
struct DblinkSpool
{
	int			natts;			/* columns of a row */
	Tuplestorestate *store;
	TupleTableSlot *slot;		/* for reading it */
	DblinkValue *values;		/* of the row that was read last */
	MemoryContext row_context;	/* of the row that is being put in */
};

/*
 * A row type of so many columns, all bytea.  Lives in the current memory context.
 */
static TupleDesc
bytea_tupdesc(int natts)
{
	TupleDesc	tupdesc = CreateTemplateTupleDesc(natts);

	for (int i = 1; i <= natts; i++)
		TupleDescInitEntry(tupdesc, i, NULL, BYTEAOID, -1, 0);
	TupleDescFinalize(tupdesc);
	return tupdesc;
}

/*
 * Make an empty spool for rows of so many columns.
 *
 * The tuplestore opens its files for the resource owner that is current now.
 */
DblinkSpool *
dbl_spool_make(int natts)
{
	DblinkSpool *spool = palloc0(sizeof(DblinkSpool));

	spool->natts = natts;
	spool->values = palloc(sizeof(DblinkValue) * natts);
	spool->row_context = AllocSetContextCreate(CurrentMemoryContext,
											   "dblink spool row",
											   ALLOCSET_DEFAULT_SIZES);
	spool->slot = MakeSingleTupleTableSlot(bytea_tupdesc(natts),
										   &TTSOpsMinimalTuple);
	spool->store = tuplestore_begin_heap(false, false, work_mem);
	return spool;
}

/*
 * Put a row at the end.  Values keep the NUL that they end with.
 */
void
dbl_spool_put(DblinkSpool *spool, const DblinkValue *row)
{
	MemoryContext caller_context;
	Datum	   *values;
	bool	   *nulls;

	MemoryContextReset(spool->row_context);
	caller_context = MemoryContextSwitchTo(spool->row_context);
	values = palloc0(spool->natts * sizeof(Datum));
	nulls = palloc0(spool->natts * sizeof(bool));
	for (int i = 0; i < spool->natts; i++)
	{
		int			size = row[i].len + 1;
		bytea	   *value;

		nulls[i] = row[i].text == NULL;
		if (nulls[i])
			continue;
		value = palloc(VARHDRSZ + size);
		SET_VARSIZE(value, VARHDRSZ + size);
		memcpy(VARDATA(value), row[i].text, size);
		values[i] = PointerGetDatum(value);
	}
	tuplestore_putvalues(spool->store, spool->slot->tts_tupleDescriptor,
						 values, nulls);
	MemoryContextSwitchTo(caller_context);
}

/*
 * The values of the next row, NULL at the end.  Valid until the next call.
 *
 * At the end the spool is empty, and can be filled again: a tuplestore's read
 * pointer would not move on from there.
 */
const DblinkValue *
dbl_spool_next(DblinkSpool *spool)
{
	MemoryContext caller_context;
	bool		found;

	/* A row that is read from a file is the slot's, which frees it later. */
	caller_context = MemoryContextSwitchTo(spool->slot->tts_mcxt);
	found = tuplestore_gettupleslot(spool->store, true, false, spool->slot);
	MemoryContextSwitchTo(caller_context);
	if (!found)
	{
		tuplestore_clear(spool->store);
		return NULL;
	}
	slot_getallattrs(spool->slot);
	for (int i = 0; i < spool->natts; i++)
	{
		bytea	   *value;

		spool->values[i].text = NULL;
		if (spool->slot->tts_isnull[i])
			continue;
		value = DatumGetByteaPP(spool->slot->tts_values[i]);
		spool->values[i].text = VARDATA_ANY(value);
		spool->values[i].len = VARSIZE_ANY_EXHDR(value) - 1;
	}
	return spool->values;
}

/*
 * The rows are not needed any more.
 */
void
dbl_spool_end(DblinkSpool *spool)
{
	ExecDropSingleTupleTableSlot(spool->slot);
	tuplestore_end(spool->store);
}
