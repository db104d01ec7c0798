/*-------------------------------------------------------------------------
 *
 * decode.c
 *	  Remote rows to Datums.
 *
 * A decoder turns one remote row into Datums, from text or from binary: it is
 * begun for the columns of a tuple descriptor, with the conversion functions
 * looked up once, and knows nothing of where rows go.
 *
 * Memory: a row's Datums live in the decoder's row context, which is reset for
 * each row; everything else in the context that the decoder was begun in.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "catalog/pg_type.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

/*
 * How a type is decoded when its values come in binary.
 *
 * On this list are types that all servers have under the same OID, in the same
 * format, and whose receive function does with a value just what the input
 * function does with its text.  Where the binary format of a type is its text,
 * the input function is used: receive functions take text to be in the encoding
 * of this session's client, and the remote's is in that of the database.  For
 * the same reason arrays of them are not on the list.
 */
typedef enum BinaryForm
{
	BINARY_UNSAFE,
	BINARY_TEXT,				/* it is text */
	BINARY_VERSIONED_TEXT,		/* it is text after a byte for a version */
	BINARY_OWN					/* for the type's receive function */
} BinaryForm;

/* How to convert a column. */
typedef struct DecoderColumn
{
	FmgrInfo	convert;		/* the type's input or receive function */
	Oid			ioparam;
	int32		typmod;
	bool		receive;		/* convert is a receive function */
	bool		skip_version;	/* a version byte stands before the text */
	bool		dropped;		/* of the row type: always NULL */
} DecoderColumn;

/* Converts the rows of one result. */
struct DblinkDecoder
{
	TupleDesc	tupdesc;
	DecoderColumn *columns;		/* natts of them */
	const int  *order;			/* where they are in the result; NULL: there */
	MemoryContext row_context;	/* of what the row's Datums point to */
	const char *origin;			/* as that of the query */
	DblinkStyles styles;
	uint64		row;			/* number of the current row, from 1 */
	int			column;			/* index of the current column */
};

/*
 * How are values of this type decoded when they come in binary?
 */
static BinaryForm
binary_form(Oid type)
{
	switch (type)
	{
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case NAMEOID:
		case JSONOID:
			return BINARY_TEXT;
		case JSONBOID:
			return BINARY_VERSIONED_TEXT;
		case BOOLOID:
		case BYTEAOID:
		case CHAROID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
		case DATEOID:
		case TIMEOID:
		case TIMETZOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case INTERVALOID:
		case UUIDOID:
		case INETOID:
		case CIDROID:
		case MACADDROID:
		case MACADDR8OID:
		case BITOID:
		case VARBITOID:
		case BOOLARRAYOID:
		case BYTEAARRAYOID:
		case INT2ARRAYOID:
		case INT4ARRAYOID:
		case INT8ARRAYOID:
		case OIDARRAYOID:
		case FLOAT4ARRAYOID:
		case FLOAT8ARRAYOID:
		case NUMERICARRAYOID:
		case DATEARRAYOID:
		case TIMEARRAYOID:
		case TIMESTAMPARRAYOID:
		case TIMESTAMPTZARRAYOID:
		case INTERVALARRAYOID:
		case UUIDARRAYOID:
			return BINARY_OWN;
		default:
			return BINARY_UNSAFE;
	}
}

/*
 * Check whether all columns of a row type can safely be requested in binary from this
 * remote.
 *
 * Servers older than 10 may have timestamps of another kind, and newer ones
 * than this intervals that are not known here.
 */
bool
dbl_dec_is_binary_safe(TupleDesc tupdesc, PGconn *pgconn)
{
	const char *integers = PQparameterStatus(pgconn, "integer_datetimes");
	bool		newer = PQserverVersion(pgconn) / 10000 > PG_VERSION_NUM / 10000;

	if (integers == NULL || strcmp(integers, "on") != 0)
		return false;

	for (int i = 0; i < tupdesc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(tupdesc, i);

		if (att->attisdropped || binary_form(att->atttypid) == BINARY_UNSAFE)
			return false;
		if (newer && (att->atttypid == INTERVALOID ||
					  att->atttypid == INTERVALARRAYOID))
			return false;
	}
	return true;
}

/*
 * Choose how to convert a column, which comes in text or in binary.
 */
static void
column_begin(DecoderColumn *column, Form_pg_attribute att, bool binary)
{
	BinaryForm	form = binary ? binary_form(att->atttypid) : BINARY_TEXT;
	Oid			function;

	column->dropped = att->attisdropped;
	if (column->dropped)
		return;
	column->typmod = att->atttypmod;
	column->receive = form == BINARY_OWN;
	column->skip_version = form == BINARY_VERSIONED_TEXT;
	if (column->receive)
		getTypeBinaryInputInfo(att->atttypid, &function, &column->ioparam);
	else
		getTypeInputInfo(att->atttypid, &function, &column->ioparam);
	fmgr_info(function, &column->convert);
}

/*
 * Throw 08P01 if the remote sends a column in binary that was not asked for in
 * that format, as FETCH does from a binary cursor.  Unless that is the same as
 * its text, it would be misread.
 *
 * What was asked for in binary had the right types when it was described.
 * Throw 42804 if the rows have others.
 */
static void
format_check(DblinkConn *conn, PGresult *res, TupleDesc tupdesc, const int *order)
{
	for (int i = 0; i < tupdesc->natts; i++)
	{
		int			column = order != NULL ? order[i] : i;
		int			format = column >= 0 ? PQfformat(res, column) : 0;

		if (conn->exchange.binary &&
			PQftype(res, column) != TupleDescAttr(tupdesc, i)->atttypid)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("type of remote column %d changed while the query was being prepared",
							column + 1)));
		if (conn->exchange.binary)
			continue;
		if (format != 0 &&
			(format != 1 || binary_form(PQftype(res, column)) != BINARY_TEXT))
			ereport(ERROR,
					(errcode(ERRCODE_PROTOCOL_VIOLATION),
					 errmsg("remote server sent a column in binary format, but text was asked for")));
	}
}

/*
 * Throw 42804 if the remote's columns are not as many as the caller's.
 */
static void
column_count_check(const DblinkQuery *query, PGresult *res, TupleDesc tupdesc)
{
	int			remote = PQnfields(res);
	int			local = tupdesc->natts;

	if (remote == local)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("remote query result rowtype does not match the specified FROM clause rowtype"),
			 query->origin != NULL ?
			 errdetail_plural("The remote query returns %d column from %s, but the column definition list has %d after the connection.",
							  "The remote query returns %d columns from %s, but the column definition list has %d after the connection.",
							  remote, remote, query->origin, local) :
			 errdetail_plural("The remote query returns %d column, but the column definition list has %d.",
							  "The remote query returns %d columns, but the column definition list has %d.",
							  remote, remote, local)));
}

/*
 * Begin to decode a result whose first part is "res".  Everything is allocated
 * in the current memory context; tupdesc has to live as long.
 *
 * Throws 42804 if the remote's columns are not as many as tupdesc's, and what
 * dbl_rowtype_match() throws.
 */
DblinkDecoder *
dbl_dec_begin(const DblinkQuery *query, PGresult *res, TupleDesc tupdesc)
{
	DblinkConn *conn = query->conn;
	const int  *order = dbl_rowtype_match(query, res, tupdesc);
	DblinkDecoder *decoder;

	if (order == NULL)
		column_count_check(query, res, tupdesc);
	format_check(conn, res, tupdesc, order);

	decoder = palloc0(sizeof(DblinkDecoder));
	decoder->tupdesc = tupdesc;
	decoder->order = order;
	decoder->origin = query->origin;
	decoder->columns = palloc0(tupdesc->natts * sizeof(DecoderColumn));
	decoder->row_context = AllocSetContextCreate(CurrentMemoryContext,
												 "dblink row",
												 ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < tupdesc->natts; i++)
		column_begin(&decoder->columns[i], TupleDescAttr(tupdesc, i),
					 conn->exchange.binary &&
					 PQfformat(res, order != NULL ? order[i] : i) != 0);

	dbl_styles_note(&decoder->styles, conn, res, tupdesc, order);
	return decoder;
}

/*
 * Where the columns are in the remote's rows; NULL: in the same order.
 */
const int *
dbl_dec_order(DblinkDecoder *decoder)
{
	return decoder->order;
}

/*
 * The settings that the decoder's conversions depend on, as of its beginning.
 */
const DblinkStyles *
dbl_dec_styles(DblinkDecoder *decoder)
{
	return &decoder->styles;
}

/*
 * Error context: which column of which row could not be converted.  A notice
 * or warning from within a conversion is passed as it is.
 */
static void
conversion_context(void *arg)
{
	DblinkDecoder *decoder = arg;
	Form_pg_attribute att = TupleDescAttr(decoder->tupdesc, decoder->column);
	int			category = ERRCODE_TO_CATEGORY(geterrcode());

	if (category == ERRCODE_SUCCESSFUL_COMPLETION ||
		category == ERRCODE_WARNING)
		return;
	if (decoder->origin != NULL)
		errcontext("column \"%s\" (%d) of row " UINT64_FORMAT " of the remote result from %s",
				   NameStr(att->attname), decoder->column + 1, decoder->row,
				   decoder->origin);
	else
		errcontext("column \"%s\" (%d) of row " UINT64_FORMAT " of the remote result",
				   NameStr(att->attname), decoder->column + 1, decoder->row);
}

/*
 * Check whether these eight bytes are plain ASCII characters, none of them NUL.  A NUL
 * borrows from the byte above it, which does no harm, because the result is false
 * already.
 */
static inline bool
is_ascii_chunk(uint64 chunk)
{
	return (((chunk - UINT64CONST(0x0101010101010101)) | chunk) &
			UINT64CONST(0x8080808080808080)) == 0;
}

/*
 * Is this plain ASCII text, and so valid in every encoding that a database can
 * have?  Faster than asking, for the short values that most are.  The last bytes
 * are looked at together with some before them, twice.
 */
static inline bool
is_plain_ascii(const char *bytes, int len)
{
	const char *end = bytes + len;
	uint64		chunk;

	if (len >= 8)
	{
		for (; end - bytes > 8; bytes += 8)
		{
			memcpy(&chunk, bytes, 8);
			if (!is_ascii_chunk(chunk))
				return false;
		}
		memcpy(&chunk, end - 8, 8);
		return is_ascii_chunk(chunk);
	}
	if (len >= 4)
	{
		uint32		half[2];

		memcpy(&half[0], bytes, 4);
		memcpy(&half[1], end - 4, 4);
		memcpy(&chunk, half, 8);
		return is_ascii_chunk(chunk);
	}
	for (; bytes < end; bytes++)
	{
		if (*bytes == '\0' || IS_HIGHBIT_SET(*bytes))
			return false;
	}
	return true;
}

/*
 * Convert a value with its type's receive function.  Throws 22P03 if that does
 * not use up the value, and what it throws itself.
 */
static Datum
receive_value(DblinkDecoder *decoder, DecoderColumn *column,
			  const char *value, int len)
{
	StringInfoData buf;
	Datum		result;

	buf.data = unconstify(char *, value);
	buf.len = len;
	buf.maxlen = len + 1;
	buf.cursor = 0;
	result = ReceiveFunctionCall(&column->convert, &buf, column->ioparam,
								 column->typmod);
	if (buf.cursor != buf.len)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("incorrect binary data format")));
	return result;
}

/*
 * Convert a value of the current column.
 *
 * The remote promised to send text in the database's encoding, but a user can
 * change its mind, and it may lie.  Throws 22021 if the bytes are not valid, 54000
 * if they are more than any value of ours can have, and what the type's input
 * function throws.
 *
 * The input function is called for a null too: a domain may not like it.
 */
static Datum
decode_value(DblinkDecoder *decoder, DecoderColumn *column,
			 const DblinkValue *raw, bool *isnull)
{
	const char *value = raw->text;
	int			len = raw->len;

	*isnull = value == NULL;
	if (value != NULL && !AllocSizeIsValid((Size) len + VARHDRSZ + 1))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("value of %d bytes is too large", len)));
	if (value != NULL && column->receive)
		return receive_value(decoder, column, value, len);

	if (value != NULL && column->skip_version && len > 0)
	{
		value++;
		len--;
	}
	if (value != NULL && !is_plain_ascii(value, len))
		pg_verify_mbstr(GetDatabaseEncoding(), value, len, false);
	if (column->receive)
		return (Datum) 0;
	return InputFunctionCall(&column->convert, unconstify(char *, value),
							 column->ioparam, column->typmod);
}

/*
 * Convert a row into values[] and nulls[], which have an element for each column.
 * What they point to is valid until the next row.
 *
 * The connection that it came from, if that is still in use for it, may not be
 * used meanwhile by a type's input function or a domain's check.
 */
void
dbl_dec_row(DblinkDecoder *decoder, DblinkConn *conn, const DblinkValue *row,
			Datum *values, bool *nulls)
{
	ErrorContextCallback context;
	MemoryContext caller_context;

	MemoryContextReset(decoder->row_context);
	caller_context = MemoryContextSwitchTo(decoder->row_context);
	context.callback = conversion_context;
	context.arg = decoder;
	context.previous = error_context_stack;
	error_context_stack = &context;
	if (conn != NULL)
		dbl_ex_set_converting(conn, true);

	decoder->row++;
	for (decoder->column = 0;
		 decoder->column < decoder->tupdesc->natts;
		 decoder->column++)
	{
		DecoderColumn *column = &decoder->columns[decoder->column];

		if (column->dropped)
			nulls[decoder->column] = true;
		else
			values[decoder->column] =
				decode_value(decoder, column, &row[decoder->column],
							 &nulls[decoder->column]);
	}

	if (conn != NULL)
		dbl_ex_set_converting(conn, false);
	error_context_stack = context.previous;
	MemoryContextSwitchTo(caller_context);
}
