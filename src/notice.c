/*-------------------------------------------------------------------------
 *
 * notice.c
 *	  Notices of the remote server, on their way to the local log.
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
 * Memory: TopMemoryContext, until reported or the connection is closed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "dblink.h"

#include "utils/memutils.h"

/* How much of a notice is logged. */
#define NOTICE_MAX		8192

/* How much is held for one connection until it is reported. */
#define PENDING_MAX		(1024 * 1024)

/* A notice that waits to be reported; the newest comes last. */
typedef struct DblinkNotice
{
	struct DblinkNotice *next;
	struct DblinkNotice *last;	/* valid in the first of the list only */
	Size		pending;		/* bytes in the list; likewise */
	int			dropped;		/* how many found no room; likewise */
	char text[	FLEXIBLE_ARRAY_MEMBER]; /* raw, as the remote sent it */
} DblinkNotice;

/*
 * libpq's notice receiver; arg is the DblinkConn.  Never throws: without memory,
 * the notice is lost.
 */
void
dbl_notice_receive(void *arg, const PGresult *res)
{
	DblinkConn *conn = arg;
	DblinkNotice *first = conn->notices;
	const char *raw = PQresultErrorMessage(res);
	Size		len = Min(strlen(raw), NOTICE_MAX);
	DblinkNotice *notice;

	if (first != NULL && first->pending + len > PENDING_MAX)
	{
		first->dropped++;
		return;
	}
	notice = MemoryContextAllocExtended(TopMemoryContext,
										offsetof(DblinkNotice, text) + len + 1,
										MCXT_ALLOC_NO_OOM);
	if (notice == NULL)
		return;

	memcpy(notice->text, raw, len);
	notice->text[len] = '\0';
	notice->next = NULL;
	if (first == NULL)
	{
		notice->pending = notice->dropped = 0;
		conn->notices = first = notice;
	}
	else
		first->last->next = notice;
	first->last = notice;
	first->pending += len;
}

/*
 * Take the first notice off the list.  Its memory is the caller's then.
 */
static DblinkNotice *
pop(DblinkConn *conn)
{
	DblinkNotice *first = conn->notices;
	DblinkNotice *second = first->next;

	if (second != NULL)
	{
		second->last = first->last;
		second->pending = first->pending - strlen(first->text);
		second->dropped = first->dropped;
	}
	conn->notices = second;
	return first;
}

/*
 * Write one entry to the log, however many lines the text has.  Neither the local
 * statement nor the context goes with it, because both can hold a connection
 * string.
 */
static void
report(const char *text)
{
	ereport(LOG,
			(errmsg_internal("received message via remote connection: %s", text),
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
	while (conn->notices != NULL)
	{
		DblinkNotice *notice;
		const char *clean;
		char	   *text;
		int			dropped;

		CHECK_FOR_INTERRUPTS();
		clean = dbl_err_clean(conn->notices->text);
		text = pchomp(clean);

		pfree(unconstify(char *, clean));

		notice = pop(conn);
		dropped = conn->notices == NULL ? notice->dropped : 0;
		pfree(notice);
		report(text);
		pfree(text);
		if (dropped > 0)
			ereport(LOG,
					(errmsg_plural("%d more message via remote connection was dropped",
								   "%d more messages via remote connection were dropped",
								   dropped, dropped),
					 errhidestmt(true),
					 errhidecontext(true)));
	}
}

/*
 * Free the notices that were not reported.  Never throws.
 */
void
dbl_notice_forget(DblinkConn *conn)
{
	while (conn->notices != NULL)
		pfree(pop(conn));
}
