/*-------------------------------------------------------------------------
 *
 * reader.c
 *	  The limit that script/bench compares with.
 *
 * A plain libpq client that reads rows from the remote server and throws them
 * away: nothing that turns remote rows into local ones can be faster than
 * that, so we call it "the limit".
 *
 * It takes one turn for each line of its standard input, and answers with the
 * number of rows and the line itself, which tells the caller that the answer
 * is complete.  The connection string is in BENCH_REMOTE, because it has a
 * password that must not show up in the list of processes.  Connections stay
 * open between turns.
 *
 * Usage:
 *
 *	reader versions				print libpq's version, and how it returns rows
 *	reader read FORMAT SQL...	read all rows, each SQL on a connection of its
 *								own, all at the same time; FORMAT is text or
 *								binary
 *	reader first SQL			read one row, cancel, wait for the end
 *	reader loop N SQL			run SQL N times on one connection
 *	reader reconnect N SQL		connect, run SQL and disconnect N times
 *
 * In the SQL of the last two, @ stands for the number of the call.
 *
 *-------------------------------------------------------------------------
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

/* Rows in a chunk, where libpq has chunks. */
#define CHUNK 1000

#define MAX_SOURCES 16

/* One connection whose rows are read. */
typedef struct Source
{
	PGconn	   *conn;
	long		rows;			/* so far */
	int			done;			/* the last result was seen */
} Source;

/* The arguments after the mode. */
static char **args;
static int	nargs;

/* The connections, opened before the first turn; one in most modes. */
static Source sources[MAX_SOURCES];
static int	nsources = 1;

/* Print the reason, with libpq's message if it is about a connection; exit. */
static void
die(const char *what, PGconn *conn)
{
	fprintf(stderr, "reader: %s%s%s", what, conn ? ": " : "\n",
			conn ? PQerrorMessage(conn) : "");
	exit(1);
}

/* Discard messages of the server. */
static void
no_notice(void *arg, const PGresult *res)
{
	(void) arg;
	(void) res;
}

/* Connect to the remote server, or exit. */
static PGconn *
connect_remote(void)
{
	PGconn	   *conn = PQconnectdb(getenv("BENCH_REMOTE"));

	if (PQstatus(conn) != CONNECTION_OK)
		die("could not connect", conn);
	PQsetNoticeReceiver(conn, no_notice, NULL);
	return conn;
}

/*-------------------------------------------------------------------------
 * Many rows
 *-------------------------------------------------------------------------
 */

/* Send a query whose rows arrive in small portions. */
static void
send_query(PGconn *conn, const char *sql, int binary)
{
	int			ok;

	ok = PQsendQueryParams(conn, sql, 0, NULL, NULL, NULL, NULL, binary);
#ifdef LIBPQ_HAS_CHUNK_MODE
	ok = ok && PQsetChunkedRowsMode(conn, CHUNK);
#else
	ok = ok && PQsetSingleRowMode(conn);
#endif
	if (!ok)
		die("could not send the query", conn);
}

/* Count the rows of a portion and throw it away. */
static void
throw_away(Source *source, PGresult *res)
{
	switch (PQresultStatus(res))
	{
		case PGRES_SINGLE_TUPLE:
#ifdef LIBPQ_HAS_CHUNK_MODE
		case PGRES_TUPLES_CHUNK:
#endif
		case PGRES_TUPLES_OK:
			source->rows += PQntuples(res);
			break;
		default:
			die("the query failed", source->conn);
	}
	PQclear(res);
}

/* Read one connection to the end. */
static void
read_one(Source *source)
{
	PGresult   *res;

	while ((res = PQgetResult(source->conn)) != NULL)
		throw_away(source, res);
	source->done = 1;
}

/* Take the available rows of one of several connections, without waiting. */
static void
read_some(Source *source)
{
	PGresult   *res;

	if (!PQconsumeInput(source->conn))
		die("the connection broke", source->conn);
	while (!source->done && !PQisBusy(source->conn))
	{
		res = PQgetResult(source->conn);
		if (res == NULL)
			source->done = 1;
		else
			throw_away(source, res);
	}
}

/* Read several connections to their ends, as their rows arrive. */
static void
read_several(void)
{
	struct pollfd fds[MAX_SOURCES];
	int			open = nsources;
	int			i;

	for (i = 0; i < nsources; i++)
	{
		fds[i].fd = PQsocket(sources[i].conn);
		fds[i].events = POLLIN;
	}
	while (open > 0)
	{
		if (poll(fds, nsources, -1) < 0)
			die("poll failed", NULL);
		for (i = 0; i < nsources; i++)
		{
			if (fds[i].revents == 0 || sources[i].done)
				continue;
			read_some(&sources[i]);
			if (sources[i].done)
			{
				fds[i].fd = -1;
				open--;
			}
		}
	}
}

/* Mode "read". */
static long
turn_read(void)
{
	int			binary = strcmp(args[0], "binary") == 0;
	long		rows = 0;
	int			i;

	for (i = 0; i < nsources; i++)
	{
		sources[i].rows = 0;
		sources[i].done = 0;
		send_query(sources[i].conn, args[i + 1], binary);
	}
	if (nsources == 1)
		read_one(&sources[0]);
	else
		read_several();
	for (i = 0; i < nsources; i++)
		rows += sources[i].rows;
	return rows;
}

/*-------------------------------------------------------------------------
 * One row
 *-------------------------------------------------------------------------
 */

/* Mode "first": until the connection can be used again. */
static long
turn_first(void)
{
	PGconn	   *conn = sources[0].conn;
	PGcancel   *cancel;
	PGresult   *res;
	char		error[256];

	if (!PQsendQuery(conn, args[0]) || !PQsetSingleRowMode(conn))
		die("could not send the query", conn);
	res = PQgetResult(conn);
	if (PQresultStatus(res) != PGRES_SINGLE_TUPLE)
		die("there is no first row", conn);
	PQclear(res);
	cancel = PQgetCancel(conn);
	if (!PQcancel(cancel, error, sizeof(error)))
		die(error, NULL);
	PQfreeCancel(cancel);
	while ((res = PQgetResult(conn)) != NULL)
		PQclear(res);
	return 1;
}

/* Run a query that returns one row, with the number of the call for @. */
static void
small_query(PGconn *conn, const char *sql, long i)
{
	char		buf[1024];
	const char *at = strchr(sql, '@');
	PGresult   *res;

	if (at == NULL)
		die("there is no @ in the query", NULL);
	snprintf(buf, sizeof(buf), "%.*s%ld%s", (int) (at - sql), sql, i, at + 1);
	res = PQexec(conn, buf);
	if (PQresultStatus(res) != PGRES_TUPLES_OK || PQntuples(res) != 1)
		die("a small query failed", conn);
	PQclear(res);
}

/* Mode "loop". */
static long
turn_loop(void)
{
	long		n = atol(args[0]);
	long		i;

	for (i = 1; i <= n; i++)
		small_query(sources[0].conn, args[1], i);
	return n;
}

/* Mode "reconnect". */
static long
turn_reconnect(void)
{
	long		n = atol(args[0]);
	long		i;

	for (i = 1; i <= n; i++)
	{
		PGconn	   *conn = connect_remote();

		small_query(conn, args[1], i);
		PQfinish(conn);
	}
	return n;
}

/*-------------------------------------------------------------------------
 * All modes
 *-------------------------------------------------------------------------
 */

/* Mode "versions". */
static void
print_versions(void)
{
	int			version = PQlibVersion();

	printf("libpq=%d.%d portions=%s\n", version / 10000, version % 10000,
#ifdef LIBPQ_HAS_CHUNK_MODE
		   "chunks"
#else
		   "rows"
#endif
		);
}

/* Open the connections, then take a turn for each line. */
static void
take_turns(long (*turn) (void))
{
	char		line[256];
	int			i;

	for (i = 0; i < nsources; i++)
		sources[i].conn = connect_remote();
	while (fgets(line, sizeof(line), stdin) != NULL)
	{
		printf("%ld\n%s", turn(), line);
		fflush(stdout);
	}
}

/*
 * Arguments: "versions", or a mode and those of the mode; see the head of this file.
 */
int
main(int argc, char **argv)
{
	static const struct
	{
		const char *name;
		int			min_args;
		long		(*turn) (void);
	}			modes[] =
	{
		{"read", 2, turn_read},
		{"first", 1, turn_first},
		{"loop", 2, turn_loop},
		{"reconnect", 2, turn_reconnect},
	};
	size_t		i;

	if (argc == 2 && strcmp(argv[1], "versions") == 0)
	{
		print_versions();
		return 0;
	}
	args = argv + 2;
	nargs = argc - 2;
	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
	{
		if (argc < 2 || strcmp(argv[1], modes[i].name) != 0 ||
			nargs < modes[i].min_args)
			continue;
		if (modes[i].turn == turn_read)
			nsources = nargs - 1;
		if (nsources > MAX_SOURCES)
			die("too many queries", NULL);
		take_turns(modes[i].turn);
		return 0;
	}
	die("wrong mode or arguments; see the top of reader.c", NULL);
}
