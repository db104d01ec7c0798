"""psycopg 2 and 3 on a database with our dblink.

LOCAL and REMOTE are connection strings. Prints "ok - what" for each check.
"""
import io
import os
import threading
import time

import psycopg
import psycopg2
import psycopg2.extras

REMOTE = os.environ["REMOTE"]
LOCAL = os.environ["LOCAL"]


def check(name, got, wanted):
    if got == wanted:
        print("ok -", name)
    else:
        print("not ok -", name)
        print("   got:", repr(got), "wanted:", repr(wanted))


def error_of(call):
    """SQLSTATE of the error that a call ends with."""
    try:
        call()
    except (psycopg.Error, psycopg2.Error) as e:
        return getattr(e, "pgcode", None) or getattr(e, "sqlstate", None)
    return None


def busy(module, conn):
    """Whether the connection waits for an answer of the server."""
    status = conn.info.transaction_status
    return status == (module.extensions.TRANSACTION_STATUS_ACTIVE if module is psycopg2 else psycopg.pq.TransactionStatus.ACTIVE)


def cancelled(name, module, conn, sql):
    """Cancels a statement from another thread: it must end with 57014, at once."""
    def cancel():
        time.sleep(0.3)
        while busy(module, conn):
            conn.cancel()
            time.sleep(0.1)

    thread = threading.Thread(target=cancel)
    thread.start()
    started = time.monotonic()
    check(name + ": cancelled", error_of(lambda: conn.cursor().execute(sql)), "57014")
    thread.join()
    check(name + ": at once", time.monotonic() - started < 8, True)
    conn.rollback()


def common(name, module, conn):
    """What both versions must do, on an open connection."""
    cur = conn.cursor()
    conn.autocommit = True
    cur.execute("SELECT dblink_connect('c', %s)", (REMOTE,))
    check(name + ": connect", cur.fetchone(), ("OK",))
    cur.execute("SELECT * FROM dblink('c', %s) AS t(i int, x text)", ("SELECT 1, 'it''s'",))
    check(name + ": parameters", cur.fetchall(), [(1, "it's")])
    cur.execute("SELECT * FROM dblink('c', 'SELECT i FROM generate_series(1, 5000) i') AS t(i int) WHERE i > %s", (10,))
    check(name + ": many rows", len(cur.fetchall()), 4990)
    check(name + ": SQLSTATE", error_of(lambda: cur.execute("SELECT * FROM dblink('c', 'SELECT 1/0') AS t(i int)")), "22012")

    # a transaction with savepoints; the failed call takes nothing else with it
    conn.autocommit = False
    cur.execute("SELECT dblink_exec('c', 'CREATE TEMP TABLE kept (i int)')")
    cur.execute("SAVEPOINT one")
    check(name + ": an error after a savepoint", error_of(lambda: cur.execute("SELECT dblink_exec('c', 'INSERT INTO nowhere VALUES (1)')")), "42P01")
    check(name + ": the transaction is aborted", error_of(lambda: cur.execute("SELECT 1")), "25P02")
    cur.execute("ROLLBACK TO SAVEPOINT one")
    cur.execute("SELECT dblink_exec('c', 'INSERT INTO kept VALUES (1)')")
    check(name + ": after ROLLBACK TO", cur.fetchone(), ("INSERT 0 1",))
    conn.rollback()
    cur.execute("SELECT n FROM dblink('c', 'SELECT count(*) FROM kept') AS t(n int)")
    check(name + ": the remote keeps what was done", cur.fetchone(), (1,))
    conn.commit()

    # a cursor on the server, and other calls on the connection between its rows
    with conn.cursor("far") as far:
        far.itersize = 100
        far.execute("SELECT i FROM dblink('c', 'SELECT i FROM generate_series(1, 1000) i') AS t(i int)")
        first = far.fetchmany(10)
        cur.execute("SELECT dblink_exec('c', 'INSERT INTO kept VALUES (2)')")
        rest = far.fetchall()
    check(name + ": a cursor, and a command between its rows", (len(first), len(rest), cur.fetchone()), (10, 990, ("INSERT 0 1",)))
    conn.commit()

    cancelled(name, module, conn, "SELECT * FROM dblink('c', 'SELECT pg_sleep(129)') AS t(x text)")
    cur.execute("SELECT x FROM dblink('c', 'SELECT 3') AS t(x int)")
    check(name + ": the connection is usable", cur.fetchone(), (3,))
    conn.commit()
    return cur


def parameters(name, conn):
    """Parameters that go on to the remote: strings, typed values, NULL, arrays."""
    cur = conn.cursor()
    cur.execute("SELECT * FROM dblink_query('c', 'SELECT $1, $2', %s, %s) AS t(a text, b text)", ("it's", None))
    check(name + ": strings and NULL go on", cur.fetchall(), [("it's", None)])
    cur.execute("SELECT * FROM dblink_query('c', 'SELECT $1 + 1, $2', %s, %s::bool) AS t(a int, b bool)", (41, None))
    check(name + ": typed values and NULL go on", cur.fetchall(), [(42, None)])
    cur.execute("SELECT * FROM dblink_query('c', 'SELECT $1::date + 1, $2 * 2', %s::text, %s::int) AS t(a text, b int)", ("2024-02-28", 4))
    check(name + ": a string beside a number, cast", cur.fetchall(), [("2024-02-29", 8)])
    cur.execute("SELECT * FROM dblink_query_as(NULL::int, 'c', 'SELECT unnest($1) + $2', %s::int[], %s::int)", ([1, 2, 3], 10))
    check(name + ": an array", cur.fetchall(), [(11,), (12,), (13,)])
    cur.execute("SELECT dblink_execute('c', 'INSERT INTO kept SELECT unnest($1)', %s::int[])", ([7, 8],))
    check(name + ": a command with an array", cur.fetchone(), (2,))
    check(name + ": SQLSTATE of a remote constraint", error_of(lambda: cur.execute("SELECT dblink_execute('c', 'SELECT $1 / $2', %s::int, %s::int)", (1, 0))), "22012")
    conn.rollback()


def several(name, module, conn):
    """dblink2 with two connections, rows to the remote, and a transaction that follows."""
    cur = conn.cursor()
    cur.execute("SELECT dblink_connect('d', %s), dblink_execute('c', 'CREATE TABLE IF NOT EXISTS far (id int UNIQUE, t text, y bytea)'), dblink_execute('c', 'DELETE FROM far')", (REMOTE,))
    cur.execute("CREATE TEMP TABLE near (id int, t text, y bytea)")
    conn.commit()
    both = ["c", "d"]

    # a list for text[], by value and by VARIADIC; bytes; a row type
    gather = "SELECT conn, count(*)::int, sum(i)::int FROM dblink_gather(%s::text[], 'SELECT generate_series(1, $1::int)', VARIADIC %s::text[]) AS t(conn text, i int) GROUP BY 1 ORDER BY 1"
    for i in (1, 7):
        cur.execute(gather, (both, [str(i)]))
        check(name + ": gather, lists, %d" % i, cur.fetchall(), [("c", i, i * (i + 1) // 2), ("d", i, i * (i + 1) // 2)])
    cur.execute("SELECT * FROM dblink_gather(%s::text[], 'SELECT 1', VARIADIC %s::text[]) AS t(conn text, i int) ORDER BY 1", (both, []))
    check(name + ": an empty VARIADIC is no parameter", cur.fetchall(), [("c", 1), ("d", 1)])
    check(name + ": an array that is NULL", error_of(lambda: cur.execute("SELECT * FROM dblink_gather(%s::text[], 'SELECT 1') AS t(conn text, i int)", (None,))), "22004")
    conn.rollback()
    raw = bytes(range(256))
    cur.execute("INSERT INTO near SELECT i, 't', %s FROM generate_series(1, 3000) i", (raw,))
    cur.execute("SELECT dblink_copy('c', %s, 'SELECT * FROM near')", ("far",))
    check(name + ": copy", cur.fetchone(), (3000,))
    cur.execute("SELECT (r).id, (r).y FROM dblink_query_as(NULL::near, 'd', 'SELECT y, t, id FROM far WHERE y = $1 ORDER BY id LIMIT $2', %s::bytea, %s::int) AS r", (raw, 2))
    check(name + ": bytes and a row type", [(i, bytes(y)) for i, y in cur.fetchall()], [(1, raw), (2, raw)])

    # the transaction over there ends with ours, by the driver's own commands
    conn.commit()
    for end in (conn.rollback, conn.commit):
        cur.execute("SELECT dblink_begin(c) FROM unnest(%s::text[]) c", (both,))
        cur.execute("SELECT dblink_execute('c', 'DELETE FROM far WHERE id = $1', %s::int), dblink_execute('d', 'DELETE FROM far WHERE id = $1', %s::int)", (1, 2))
        cur.execute("SAVEPOINT one")
        check(name + ": a duplicate over there", error_of(lambda: cur.execute("SELECT dblink_execute('c', 'INSERT INTO far VALUES ($1)', %s::int)", (3,))), "23505")
        cur.execute("ROLLBACK TO SAVEPOINT one")
        end()
        cur.execute("SELECT dblink_query_as(0, 'd', 'SELECT count(*)::int FROM far')")
        check(name + ": dblink_begin, " + end.__name__, cur.fetchone(), (3000 if end == conn.rollback else 2998,))
    conn.commit()

    cancelled(name + ": gather", module, conn, "SELECT * FROM dblink_gather('{c,d}', 'SELECT pg_sleep(129)') AS t(conn text, x text)")
    cancelled(name + ": copy", module, conn, "SELECT dblink_copy('c', 'far', $$SELECT i AS id FROM dblink('d', 'SELECT 1 FROM pg_sleep(129)') AS t(i int)$$)")
    cur.execute("SELECT dblink_send_query('c', 'SELECT pg_sleep(129)')")
    cancelled(name + ": wait", module, conn, "SELECT dblink_wait('{c}')")
    cur.execute("SELECT dblink_cancel_query('c')")
    check(name + ": the result is there", error_of(lambda: cur.execute("SELECT * FROM dblink_gather('{c}') AS t(conn text, x text)")), "57014")
    conn.rollback()
    cur.execute("SELECT * FROM dblink_gather('{c,d}', 'SELECT count(*) FROM far') AS t(conn text, n int) ORDER BY 1")
    check(name + ": both are usable", cur.fetchall(), [("c", 2998), ("d", 2998)])
    conn.commit()


def with_psycopg2():
    conn = psycopg2.connect(LOCAL)
    cur = common("psycopg2", psycopg2, conn)
    parameters("psycopg2", conn)
    several("psycopg2", psycopg2, conn)
    out = io.StringIO()
    cur.copy_expert("COPY (SELECT conn, i FROM dblink_gather('{c,d}', 'SELECT generate_series(1, 5000)') AS t(conn text, i int)) TO STDOUT", out)
    check("psycopg2: copy_expert of gather", (cur.rowcount, out.getvalue().count("\n")), (10000, 10000))
    with conn.cursor("all") as far:
        far.itersize = 100
        far.execute("SELECT i FROM dblink_gather('{c,d}', 'SELECT generate_series(1, $1::int)', %s) AS t(conn text, i int)", ("1000",))
        check("psycopg2: a cursor on gather", (len(far.fetchmany(10)), sum(1 for row in far)), (10, 1990))
    conn.commit()
    psycopg2.extras.execute_values(cur, "SELECT dblink_exec('c', 'INSERT INTO kept VALUES (' || v || ')') FROM (VALUES %s) v(v)", [(3,), (4,)])
    check("psycopg2: execute_values", cur.fetchall(), [("INSERT 0 1",), ("INSERT 0 1",)])
    conn.rollback()
    with open(os.devnull, "w") as out:
        cur.copy_expert("COPY (SELECT * FROM dblink('c', 'SELECT 1, 2') AS t(a int, b int)) TO STDOUT", out)
    check("psycopg2: copy_expert", cur.rowcount, 1)
    conn.close()


def with_psycopg():
    conn = psycopg.connect(LOCAL)
    cur = common("psycopg", psycopg, conn)
    parameters("psycopg", conn)
    several("psycopg", psycopg, conn)
    with conn.cursor().copy("COPY (SELECT conn, i FROM dblink_gather('{c,d}', 'SELECT generate_series(1, 5000)') AS t(conn text, i int)) TO STDOUT") as copy:
        check("psycopg: COPY of gather", sum(bytes(block).count(b"\n") for block in copy), 10000)
    streamed = sum(row[1] for row in conn.cursor(binary=True).stream("SELECT conn, i FROM dblink_gather(%s, 'SELECT generate_series(1, $1)', %s::int) AS t(conn text, i int)", (["c", "d"], 1000)))
    check("psycopg: stream() of gather", streamed, 1001000)
    early = conn.cursor().stream("SELECT i FROM dblink_gather('{c,d}', 'SELECT generate_series(1, 200000)') AS t(conn text, i int)")
    next(early)
    early.close()
    conn.rollback()
    # prepared, for a generic plan; NULL, lists and bytes among the values
    far = "SELECT * FROM dblink_query('c', 'SELECT $1, $2, $3 IS NULL, $4', %s::bytea, %s::int[], %s::date, %s::text) AS t(y bytea, a int[], n bool, t text)"
    got = [conn.execute(far, (bytes([i, 0, 255]), [i, None], None, "it's"), prepare=True).fetchone() for i in range(8)]
    check("psycopg: prepared, bytes and lists", got, [(bytes([i, 0, 255]), [i, None], True, "it's") for i in range(8)])
    got = [conn.execute("SELECT sum(i)::int FROM dblink_gather(%s::text[], 'SELECT $1', VARIADIC %s::text[]) AS t(conn text, i int)", (both, [str(i)]), prepare=True).fetchone()[0] for i in range(8) for both in [["c", "d"][: i % 2 + 1]]]
    check("psycopg: prepared, gather", got, [i * (i % 2 + 1) for i in range(8)])
    conn.commit()
    got = [conn.execute("SELECT * FROM dblink_query_as(NULL::int, 'c', 'SELECT $1 * 2', %s)", (i,), prepare=True).fetchone()[0] for i in range(12)]
    check("psycopg: prepared, a number goes on", got, [i * 2 for i in range(12)])
    check("psycopg: a number beside a string has to be cast", error_of(lambda: conn.execute("SELECT * FROM dblink_query('c', 'SELECT $1, $2', %s, %s) AS t(a int, b text)", (1, "x"))), "42P18")
    conn.rollback()

    # a prepared statement, run often enough to get a generic plan
    got = [cur.execute("SELECT i FROM dblink('c', 'SELECT i FROM generate_series(1, 3) i') AS t(i int) WHERE i = %s", (i % 3 + 1,), prepare=True).fetchone()[0] for i in range(12)]
    check("psycopg: prepared", got, [1, 2, 3] * 4)
    binary = conn.cursor(binary=True)
    binary.execute("SELECT * FROM dblink('c', 'SELECT 1, 1.5, ''x'', now() > ''2000-01-01''') AS t(i int, n numeric, x text, b bool)")
    row = binary.fetchone()
    check("psycopg: binary", (row[0], float(row[1]), row[2], row[3]), (1, 1.5, "x", True))
    streamed = sum(row[0] for row in conn.cursor().stream("SELECT i FROM dblink('c', 'SELECT i FROM generate_series(1, 2000) i') AS t(i int)"))
    check("psycopg: stream()", streamed, 2001000)
    conn.commit()

    # a pipeline: several calls are under way on our side
    with conn.pipeline():
        cursors = [conn.execute("SELECT x FROM dblink('c', 'SELECT ' || %s::int) AS t(x int)", (i,)) for i in range(5)]
        got = [c.fetchone()[0] for c in cursors]
    check("psycopg: a pipeline", got, [0, 1, 2, 3, 4])
    conn.commit()
    conn.close()


with_psycopg2()
with_psycopg()
