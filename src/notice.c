/*-------------------------------------------------------------------------
 *
 * notice.c
 *	  Notices of the remote server, on their way to the local log or client.
 *
 * libpq calls the receiver in the middle of its own work.  An error thrown there
 * would leave libpq in an undefined state, and the log may have to wait for our
 * own client, so that neither cancel nor terminate could end it.  Therefore the
 * receiver only copies the notice, without throwing, into a list of the
 * connection; it is reported after libpq has returned, where interrupts are
 * served.
 *
 * The list is bounded, because one input buffer of libpq can hold any number of
 * notices.  Those beyond the bound are counted and dropped.
 *
 * A notice goes to the server log, as one text; or with dblink.forward_notices it
 * becomes one of this session, field by field.
 *
 * Memory: TopMemoryContext, until reported or the connection is closed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "utils/memutils.h"

/* How much of a notice's text, or of a field, is kept. */
#define NOTICE_MAX		8192

/* How much is held for one connection until it is reported. */
#define PENDING_MAX		(1024 * 1024)

/* The fields that a notice is forwarded with. */
enum
{
	SEVERITY,
	SQLSTATE,
	PRIMARY,
	DETAIL,
	HINT,
	REMOTE_CONTEXT,
	NUM_FIELDS
};

/* libpq's codes of them. */
static const int field_codes[NUM_FIELDS] = {
	PG_DIAG_SEVERITY_NONLOCALIZED, PG_DIAG_SQLSTATE, PG_DIAG_MESSAGE_PRIMARY,
	PG_DIAG_MESSAGE_DETAIL, PG_DIAG_MESSAGE_HINT, PG_DIAG_CONTEXT
};

/* A notice that waits to be reported; the newest comes last. */
typedef struct DblinkNotice
{
	dlist_node	node;			/* in the connection's list */
	bool		is_forwarded;	/* the data are fields, of which a missing one
								 * is empty; else one text for the log */
	Size		size;			/* of the data */
	char		data[FLEXIBLE_ARRAY_MEMBER];	/* raw, as the remote sent it */
} DblinkNotice;

/*
 * Get the fields of a notice.  Never throws.
 */
static void
get_fields(const PGresult *res, const char **fields)
{
	for (int i = 0; i < NUM_FIELDS; i++)
		fields[i] = PQresultErrorField(res, field_codes[i]);

	/* A server older than 9.6 sends the localized one only. */
	if (fields[SEVERITY] == NULL)
		fields[SEVERITY] = PQresultErrorField(res, PG_DIAG_SEVERITY);
	if (fields[PRIMARY] == NULL)
		fields[PRIMARY] = PQresultErrorMessage(res);
}

/*
 * Put the strings into a notice one after the other, each cut and with a NUL.  For a
 * NULL, put nothing and return only how much room they take.
 */
static Size
put_strings(DblinkNotice *notice, const char **strings, int count)
{
	Size		size = 0;

	for (int i = 0; i < count; i++)
	{
		Size		len = strings[i] != NULL ? strnlen(strings[i], NOTICE_MAX) : 0;

		if (notice != NULL)
		{
			if (len > 0)
				memcpy(notice->data + size, strings[i], len);
			notice->data[size + len] = '\0';
		}
		size += len + 1;
	}
	return size;
}

/*
 * libpq's notice receiver; arg is the DblinkConn.  Never throws: without memory,
 * the notice is lost.
 */
void
dbl_notice_receive(void *arg, const PGresult *res)
{
	DblinkConn *conn = arg;
	int			count = dbl_forward_notices ? NUM_FIELDS : 1;
	const char *strings[NUM_FIELDS];
	DblinkNotice *notice;
	Size		size;

	conn->notice_count++;
	if (dbl_forward_notices)
		get_fields(res, strings);
	else
		strings[0] = PQresultErrorMessage(res);
	size = put_strings(NULL, strings, count);
	if (conn->notice_bytes + size > PENDING_MAX)
	{
		conn->notices_dropped++;
		return;
	}
	notice = MemoryContextAllocExtended(TopMemoryContext,
										offsetof(DblinkNotice, data) + size,
										MCXT_ALLOC_NO_OOM);
	if (notice == NULL)
		return;

	notice->size = put_strings(notice, strings, count);
	notice->is_forwarded = dbl_forward_notices;
	conn->notice_bytes += size;
	dlist_push_tail(&conn->notices, &notice->node);
}

/*
 * Take the first notice off the list.  Its memory is the caller's then.
 */
static DblinkNotice *
pop(DblinkConn *conn)
{
	DblinkNotice *first = dlist_container(DblinkNotice, node,
										  dlist_pop_head_node(&conn->notices));

	conn->notice_bytes -= first->size;
	return first;
}

/*
 * Write one entry to the log, however many lines the text has.  Neither the local
 * statement nor the context goes with it, because both can hold a connection
 * string.
 */
static void
write_to_log(const char *raw)
{
	ereport(LOG,
			(errmsg_internal("received message via remote connection: %s",
							 pchomp(dbl_err_clean(raw))),
			 errhidestmt(true),
			 errhidecontext(true)));
}

/*
 * Return the level of a message of the remote.  An error that comes as a notice, because
 * libpq is waiting for no answer, has made no statement of ours fail.
 */
static int
level_of(const char *severity)
{
	if (strcmp(severity, "DEBUG") == 0)
		return DEBUG1;
	if (strcmp(severity, "LOG") == 0)
		return LOG;
	if (strcmp(severity, "INFO") == 0)
		return INFO;
	if (strcmp(severity, "NOTICE") == 0)
		return NOTICE;
	return WARNING;
}

/*
 * Report a notice as one of this session.  Where that is written to the log, it is
 * without the local statement and the context, as above.
 */
static void
forward(const char *data, const char *where)
{
	const char *fields[NUM_FIELDS];
	int			level;

	for (int i = 0; i < NUM_FIELDS; i++)
	{
		fields[i] = dbl_err_clean(data);
		data += strlen(data) + 1;
	}
	level = level_of(fields[SEVERITY]);
	ereport(level,
			(errcode(dbl_err_sqlstate(fields[SQLSTATE], level == WARNING ?
									  ERRCODE_WARNING : ERRCODE_SUCCESSFUL_COMPLETION)),
			 errmsg_internal("%s", pchomp(fields[PRIMARY])),
			 fields[DETAIL][0] != '\0' ? errdetail_internal("%s", fields[DETAIL]) : 0,
			 fields[HINT][0] != '\0' ? errhint("%s", fields[HINT]) : 0,
			 errcontext("%s%sreceived on %s", fields[REMOTE_CONTEXT],
						fields[REMOTE_CONTEXT][0] != '\0' ? "\n" : "", where),
			 errhidestmt(true),
			 errhidecontext(true)));
}

/*
 * Take the first notice off the list, and report it.
 */
static void
report_first(DblinkConn *conn)
{
	const char *where = dbl_err_where(conn);
	DblinkNotice *notice = dlist_head_element(DblinkNotice, node, &conn->notices);
	char	   *data = memcpy(palloc(notice->size), notice->data, notice->size);
	bool		is_forwarded = notice->is_forwarded;
	int			dropped = 0;

	(void) pop(conn);
	if (dlist_is_empty(&conn->notices))
	{
		dropped = conn->notices_dropped;
		conn->notices_dropped = 0;
	}

	/* Reporting may throw. */
	pfree(notice);
	if (is_forwarded)
		forward(data, where);
	else
		write_to_log(data);
	if (dropped > 0)
		ereport(LOG,
				(errmsg_plural("%d more message via remote connection was dropped",
							   "%d more messages via remote connection were dropped",
							   dropped, dropped),
				 errhidestmt(true),
				 errhidecontext(true)));
}

/*
 * Report the notices that have arrived.  Serves interrupts, since our own client
 * may be slow to take them; what is not reported then stays in the list.
 */
void
dbl_notice_report(DblinkConn *conn)
{
	MemoryContext context;
	MemoryContext caller_context;

	if (likely(dlist_is_empty(&conn->notices)))
		return;

	/* A wait may be long, and the remote may send any number of notices. */
	context = AllocSetContextCreate(CurrentMemoryContext, "dblink notice",
									ALLOCSET_SMALL_SIZES);
	caller_context = MemoryContextSwitchTo(context);
	while (!dlist_is_empty(&conn->notices))
	{
		CHECK_FOR_INTERRUPTS();
		report_first(conn);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(caller_context);
	MemoryContextDelete(context);
}

/*
 * Free the notices that were not reported.  Never throws.
 */
void
dbl_notice_forget(DblinkConn *conn)
{
	while (!dlist_is_empty(&conn->notices))
		pfree(pop(conn));
}
