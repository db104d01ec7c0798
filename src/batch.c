/*-------------------------------------------------------------------------
 *
 * batch.c
 *	  A few rows at hand, as they came.
 *
 * Where libpq makes one PGresult for each row, its code and the plan's take turns
 * at each row, and push each other out of the processor's caches.  So small rows
 * are taken from libpq several at a time; and copied, because even a small
 * PGresult takes kilobytes.
 *
 * Memory: a batch is one piece, in the context that it was made in, and of a
 * fixed size.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

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
 * Add a copy of a row.  Gives false, and changes nothing, if there is no room.
 */
bool
dbl_batch_add(DblinkBatch *batch, const PGresult *res, int row)
{
	DblinkValue *values = &batch->values[batch->nrows * batch->natts];
	int			used = batch->used;
	int			i;

	if (dbl_batch_is_full(batch))
		return false;
	dbl_row_values(res, row, values, batch->natts);
	for (i = 0; i < batch->natts; i++)
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
 * Is there no room for another row?
 */
bool
dbl_batch_is_full(DblinkBatch *batch)
{
	return batch->nrows == batch->capacity;
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

/*
 * The values of a row of a result, as they are in it.
 */
void
dbl_row_values(const PGresult *res, int row, DblinkValue *values, int natts)
{
	int			i;

	for (i = 0; i < natts; i++)
	{
		values[i].len = PQgetlength(res, row, i);
		values[i].text = PQgetvalue(res, row, i);

		/* A null has a length, too: zero. */
		if (values[i].len == 0 && PQgetisnull(res, row, i))
			values[i].text = NULL;
	}
}
