/*-------------------------------------------------------------------------
 *
 * spool.c
 *	  Rows as they came, set aside for later.
 *
 * A tuplestore of raw rows, all columns bytea: in memory up to work_mem, then in
 * temporary files.
 *
 * Memory: a spool lives in the context that it was made in.  Its files have a
 * resource owner of their own: the reader's may be gone before the reader is
 * (a portal that failed in a subtransaction).  So whoever made the spool has to
 * close the files before memory or the transaction ends, be it in an error.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

/* A tuplestore of raw rows, and what it takes to read them back. */
struct DblinkSpool
{
	int			natts;			/* columns of a row */
	Tuplestorestate *store;
	ResourceOwner owner;		/* of its files; NULL when they are closed */
	TupleTableSlot *slot;		/* for reading it */
	DblinkValue *values;		/* of the row that was read last */
	MemoryContext row_context;	/* of the row that is being put in */
};

static TupleDesc bytea_tupdesc(int natts);

/*
 * A row type of so many columns, all bytea.  Lives in the current memory context.
 */
static TupleDesc
bytea_tupdesc(int natts)
{
	TupleDesc	tupdesc = CreateTemplateTupleDesc(natts);
	int			i;

	for (i = 1; i <= natts; i++)
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
	ResourceOwner caller_owner = CurrentResourceOwner;
	DblinkSpool *spool = palloc0(sizeof(DblinkSpool));

	spool->natts = natts;
	spool->values = palloc(sizeof(DblinkValue) * natts);
	spool->row_context = AllocSetContextCreate(CurrentMemoryContext,
											   "dblink spool row",
											   ALLOCSET_DEFAULT_SIZES);
	spool->slot = MakeSingleTupleTableSlot(bytea_tupdesc(natts),
										   &TTSOpsMinimalTuple);
	spool->owner = ResourceOwnerCreate(TopTransactionResourceOwner,
									   "dblink spool");
	CurrentResourceOwner = spool->owner;
	spool->store = tuplestore_begin_heap(false, false, work_mem);
	CurrentResourceOwner = caller_owner;
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
	int			i;

	MemoryContextReset(spool->row_context);
	caller_context = MemoryContextSwitchTo(spool->row_context);
	values = palloc0(spool->natts * sizeof(Datum));
	nulls = palloc0(spool->natts * sizeof(bool));
	for (i = 0; i < spool->natts; i++)
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
 */
const DblinkValue *
dbl_spool_next(DblinkSpool *spool)
{
	int			i;

	if (!tuplestore_gettupleslot(spool->store, true, false, spool->slot))
		return NULL;
	slot_getallattrs(spool->slot);
	for (i = 0; i < spool->natts; i++)
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
 * Close the files, if dbl_spool_end() has not: the rows are lost.  Never throws;
 * for when memory or the transaction ends.
 */
void
dbl_spool_close_files(DblinkSpool *spool)
{
	if (spool->owner == NULL)
		return;
	ResourceOwnerRelease(spool->owner, RESOURCE_RELEASE_BEFORE_LOCKS, false, false);
	ResourceOwnerRelease(spool->owner, RESOURCE_RELEASE_LOCKS, false, false);
	ResourceOwnerRelease(spool->owner, RESOURCE_RELEASE_AFTER_LOCKS, false, false);
	ResourceOwnerDelete(spool->owner);
	spool->owner = NULL;
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
