"""psycopg 2 and 3 on a database with our dblink.

LOCAL and REMOTE are connection strings. Prints "ok - what" for each check.
"""
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

    # cancelling from another thread
    def cancel():
        time.sleep(0.3)
        while conn.info.transaction_status == module.extensions.TRANSACTION_STATUS_ACTIVE if module is psycopg2 else conn.info.transaction_status == psycopg.pq.TransactionStatus.ACTIVE:
            conn.cancel()
            time.sleep(0.1)

    thread = threading.Thread(target=cancel)
    thread.start()
    started = time.monotonic()
    check(name + ": cancelled", error_of(lambda: cur.execute("SELECT * FROM dblink('c', 'SELECT pg_sleep(129)') AS t(x text)")), "57014")
    thread.join()
    check(name + ": at once", time.monotonic() - started < 8, True)
    conn.rollback()
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


def with_psycopg2():
    conn = psycopg2.connect(LOCAL)
    cur = common("psycopg2", psycopg2, conn)
    parameters("psycopg2", conn)
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
