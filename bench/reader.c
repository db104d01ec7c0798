/*-------------------------------------------------------------------------
 *
 * reader.c
 *	  The clock of script/bench, and the limit that it compares with.
 *
 * A plain libpq client with two trades.  It times one statement in one
 * session of a local server, and it reads rows from the remote server itself
 * and throws them away: nothing that turns remote rows into local ones can be
 * faster than that, so it is called "the limit".
 *
 * How a statement is timed (mode "time"): the session is fresh, and runs its
 * preparations first, which load libraries, open the remote connections and
 * fill the caches of the catalogs.  Then the peak of the backend's resident
 * memory is reset through /proc/PID/clear_refs, the database's count of bytes
 * in temporary files is read, and CLOCK_MONOTONIC is taken around PQexec() of
 * the statement.  So what is timed is what a client waits for, over a Unix
 * socket, without a connect, a shell or psql in it.  Peak and count are read
 * afterwards.  A backend that is reused would keep memory of the statement
 * before, which is why each measurement has one of its own.
 *
 * Usage: reader MODE.  The arguments come on standard input, each ended by a
 * zero byte, so that no password is seen in the list of processes:
 *
 *	versions							libpq's version, and how it gives rows
 *	time		CONNINFO SQL... SQL		run all, time the last
 *	read		CONNINFO FORMAT SQL...	read all rows, each SQL on a connection
 *										of its own, all at the same time;
 *										FORMAT is text or binary
 *	first		CONNINFO SQL			read one row, cancel, wait for the end
 *	loop		CONNINFO N SQL			N times SQL on one connection
 *	reconnect	CONNINFO N SQL			N times connect, SQL, disconnect
 *
 * In the SQL of the last two, @ stands for the number of the turn.  The answer
 * is one line of NAME=VALUE pairs: seconds, rows (of the result, or written by
 * an INSERT), and for "time" also peak_kb (of resident memory), shared_kb (how
 * much of that is the server's shared memory), temp_bytes and value, the first
 * value of the last row set.  A number that this system does not tell is -1.
 *
 *-------------------------------------------------------------------------
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <libpq-fe.h>

/* No measurement takes longer than this many seconds. */
#define BOUND 900

/* Rows in a chunk, where libpq has chunks. */
#define CHUNK 1000

#define MAX_ARGS 64

/* One connection whose rows are read. */
typedef struct Source
{
	PGconn	   *conn;
	long		rows;			/* so far */
	int			done;			/* the last result was seen */
} Source;

static char *args[MAX_ARGS];
static int	nargs;

/* The end, with what libpq says if it is about a connection. */
static void
die(const char *what, PGconn *conn)
{
	fprintf(stderr, "reader: %s%s%s", what, conn ? ": " : "\n",
			conn ? PQerrorMessage(conn) : "");
	exit(1);
}

/* Read all of standard input and cut it at the zero bytes, into args. */
static void
read_args(void)
{
	size_t		size = 1 << 20;
	char	   *buf = malloc(size);
	size_t		len;
	char	   *p;

	if (buf == NULL)
		die("out of memory", NULL);
	len = fread(buf, 1, size, stdin);
	if (len == size || (len > 0 && buf[len - 1] != '\0'))
		die("the arguments are too long, or do not end with a zero byte", NULL);
	for (p = buf; p < buf + len && nargs < MAX_ARGS; p += strlen(p) + 1)
		args[nargs++] = p;
}

/* Throw away what a server has to say besides. */
static void
no_notice(void *arg, const PGresult *res)
{
	(void) arg;
	(void) res;
}

/* Connect, or end. */
static PGconn *
connect_to(const char *conninfo)
{
	PGconn	   *conn = PQconnectdb(conninfo);

	if (PQstatus(conn) != CONNECTION_OK)
		die("could not connect", conn);
	PQsetNoticeReceiver(conn, no_notice, NULL);
	return conn;
}

/* Seconds of a clock that nobody sets. */
static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* Run SQL that must succeed.  The caller clears the result. */
static PGresult *
run(PGconn *conn, const char *sql)
{
	PGresult   *res = PQexec(conn, sql);

	switch (PQresultStatus(res))
	{
		case PGRES_COMMAND_OK:
		case PGRES_TUPLES_OK:
			return res;
		default:
			fprintf(stderr, "in: %.300s\n", sql);
			die("a statement failed", conn);
			return NULL;
	}
}

/* SQL with the number of the turn for @. The result is overwritten. */
static const char *
turn(const char *sql, long i)
{
	static char buf[8192];
	const char *at = strchr(sql, '@');

	if (at == NULL)
		return sql;
	snprintf(buf, sizeof(buf), "%.*s%ld%s", (int) (at - sql), sql, i, at + 1);
	return buf;
}

/*-------------------------------------------------------------------------
 * The limit: rows are read and thrown away
 *-------------------------------------------------------------------------
 */

/* Send a query whose rows will come in small portions. */
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

/* Take what has come on one of several connections, without waiting. */
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

/* Read several connections to their ends, as their rows come. */
static void
read_several(Source *sources, int n)
{
	struct pollfd fds[MAX_ARGS];
	int			open = n;
	int			i;

	for (i = 0; i < n; i++)
	{
		fds[i].fd = PQsocket(sources[i].conn);
		fds[i].events = POLLIN;
	}
	while (open > 0)
	{
		if (poll(fds, n, -1) < 0)
			die("poll failed", NULL);
		for (i = 0; i < n; i++)
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
static void
mode_read(void)
{
	Source		sources[MAX_ARGS] = {{0}};
	int			n = nargs - 2;
	int			binary = strcmp(args[1], "binary") == 0;
	long		rows = 0;
	double		start;
	double		end;
	int			i;

	for (i = 0; i < n; i++)
		sources[i].conn = connect_to(args[0]);
	start = now();
	for (i = 0; i < n; i++)
		send_query(sources[i].conn, args[i + 2], binary);
	if (n == 1)
		read_one(&sources[0]);
	else
		read_several(sources, n);
	end = now();
	for (i = 0; i < n; i++)
	{
		rows += sources[i].rows;
		PQfinish(sources[i].conn);
	}
	printf("seconds=%.6f rows=%ld\n", end - start, rows);
}

/* Mode "first": until the connection could be used again. */
static void
mode_first(void)
{
	PGconn	   *conn = connect_to(args[0]);
	PGcancel   *cancel;
	PGresult   *res;
	char		error[256];
	double		start = now();

	if (!PQsendQuery(conn, args[1]) || !PQsetSingleRowMode(conn))
		die("could not send the query", conn);
	res = PQgetResult(conn);
	if (PQresultStatus(res) != PGRES_SINGLE_TUPLE)
		die("there is no first row", conn);
	PQclear(res);
	cancel = PQgetCancel(conn);
	if (!PQcancel(cancel, error, sizeof(error)))
		die(error, NULL);
	while ((res = PQgetResult(conn)) != NULL)
		PQclear(res);
	printf("seconds=%.6f rows=1\n", now() - start);
	PQfreeCancel(cancel);
	PQfinish(conn);
}

/* One small query of a loop. */
static void
small_query(PGconn *conn, long i)
{
	PGresult   *res = run(conn, turn(args[2], i));

	if (PQntuples(res) != 1)
		die("a small query did not give one row", NULL);
	PQclear(res);
}

/* Mode "loop". */
static void
mode_loop(void)
{
	PGconn	   *conn = connect_to(args[0]);
	long		n = atol(args[1]);
	double		start;
	long		i;

	small_query(conn, 1);
	start = now();
	for (i = 1; i <= n; i++)
		small_query(conn, i);
	printf("seconds=%.6f rows=%ld\n", now() - start, n);
	PQfinish(conn);
}

/* Mode "reconnect". */
static void
mode_reconnect(void)
{
	long		n = atol(args[1]);
	double		start = now();
	long		i;

	for (i = 1; i <= n; i++)
	{
		PGconn	   *conn = connect_to(args[0]);

		small_query(conn, i);
		PQfinish(conn);
	}
	printf("seconds=%.6f rows=%ld\n", now() - start, n);
}

/*-------------------------------------------------------------------------
 * The clock
 *-------------------------------------------------------------------------
 */

/*
 * Let the peak of a process' resident memory start anew.  Where the kernel
 * does not let us, the peak is the session's, whose preparations are small.
 */
static void
reset_peak(int pid)
{
	char		path[64];
	FILE	   *file;

	snprintf(path, sizeof(path), "/proc/%d/clear_refs", pid);
	file = fopen(path, "w");
	if (file == NULL)
		return;
	fputs("5\n", file);
	fclose(file);
}

/* A number of /proc/PID/status, in kB; -1 if it is not there. */
static long
status_kb(int pid, const char *field)
{
	char		line[256];
	FILE	   *file;
	long		kb = -1;

	snprintf(line, sizeof(line), "/proc/%d/status", pid);
	file = fopen(line, "r");
	if (file == NULL)
		return -1;
	while (kb < 0 && fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, field, strlen(field)) == 0)
			kb = atol(line + strlen(field));
	fclose(file);
	return kb;
}

/*
 * How many bytes of temporary files this database has seen.  A session's own
 * counts become visible when it is idle after it was asked to publish them.
 */
static long long
temp_bytes(PGconn *conn)
{
	PGresult   *res;
	long long	bytes;

	PQclear(run(conn, "SELECT pg_stat_force_next_flush()"));
	res = run(conn, "SELECT temp_bytes FROM pg_stat_database"
			  " WHERE datname = current_database()");
	bytes = atoll(PQgetvalue(res, 0, 0));
	PQclear(res);
	return bytes;
}

/* Mode "time". */
static void
mode_time(void)
{
	PGconn	   *conn = connect_to(args[0]);
	int			pid = PQbackendPID(conn);
	long		peak;
	long		shared;
	long long	temp;
	PGresult   *res;
	double		seconds;
	int			i;

	for (i = 1; i < nargs - 1; i++)
		PQclear(run(conn, args[i]));
	temp = temp_bytes(conn);
	reset_peak(pid);

	seconds = now();
	res = run(conn, args[nargs - 1]);
	seconds = now() - seconds;

	peak = status_kb(pid, "VmHWM:");
	shared = status_kb(pid, "RssShmem:");
	temp = temp_bytes(conn) - temp;
	printf("seconds=%.6f rows=%s peak_kb=%ld shared_kb=%ld temp_bytes=%lld value=%s\n",
		   seconds, PQcmdTuples(res), peak, shared, temp,
		   PQntuples(res) > 0 ? PQgetvalue(res, 0, 0) : "");
	PQclear(res);
	PQfinish(conn);
}

/* Mode "versions". */
static void
mode_versions(void)
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

int
main(int argc, char **argv)
{
	static const struct
	{
		const char *name;
		int			min_args;
		void		(*function) (void);
	}			modes[] =
	{
		{"versions", 0, mode_versions},
		{"time", 2, mode_time},
		{"read", 3, mode_read},
		{"first", 2, mode_first},
		{"loop", 3, mode_loop},
		{"reconnect", 3, mode_reconnect},
	};
	size_t		i;

	alarm(BOUND);
	read_args();
	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
	{
		if (argc == 2 && strcmp(argv[1], modes[i].name) == 0 &&
			nargs >= modes[i].min_args)
		{
			modes[i].function();
			return 0;
		}
	}
	die("wrong mode or arguments; see the top of reader.c", NULL);
}
