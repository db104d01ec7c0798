import java.sql.*;
import java.util.*;

/**
 * JDBC on a database with our dblink. LOCAL is its URL, REMOTE a connection
 * string. Prints "ok - what" for each check.
 */
public class Jdbc {
	static final String REMOTE = System.getenv("REMOTE");
	static final String LOCAL = System.getenv("LOCAL");

	/** What comes before the name of each check. */
	static String part = "";

	/** SQL that may fail. */
	interface Call {
		void run() throws SQLException;
	}

	static void check(String name, Object got, Object wanted) {
		boolean same = Objects.equals(String.valueOf(got), String.valueOf(wanted));
		System.out.println((same ? "ok - " : "not ok - ") + part + name);
		if (!same)
			System.out.println("   got: " + got + " wanted: " + wanted);
	}

	/** SQLSTATE of the error that a call ends with, or null. */
	static String errorOf(Call call) {
		try {
			call.run();
		} catch (SQLException e) {
			return e.getSQLState();
		}
		return null;
	}

	/** All rows of a query: columns by |, rows by a blank. */
	static String rows(Connection c, String sql, Object... args) throws SQLException {
		try (PreparedStatement s = c.prepareStatement(sql)) {
			for (int i = 0; i < args.length; i++)
				s.setObject(i + 1, args[i]);
			try (ResultSet r = s.executeQuery()) {
				return all(r);
			}
		}
	}

	/** What is left of a result. */
	static String all(ResultSet r) throws SQLException {
		StringBuilder text = new StringBuilder();
		int n = r.getMetaData().getColumnCount();
		while (r.next()) {
			if (text.length() > 0)
				text.append(' ');
			for (int i = 1; i <= n; i++)
				text.append(i > 1 ? "|" : "").append(value(r.getObject(i)));
		}
		return text.toString();
	}

	/** A value as text, the same whether it came in binary or not. */
	static String value(Object o) throws SQLException {
		if (o instanceof byte[])
			return new java.math.BigInteger(1, (byte[]) o).toString(16);
		if (o instanceof java.sql.Array)
			return Arrays.toString((Object[]) ((java.sql.Array) o).getArray());
		return String.valueOf(o);
	}

	/** Reads up to n rows, and gives the sum of the first column. */
	static long sum(ResultSet r, int n) throws SQLException {
		long sum = 0;
		while (n-- > 0 && r.next())
			sum += r.getInt(1);
		return sum;
	}

	static String far(String sql, String columns) {
		return "SELECT * FROM dblink('c', '" + sql.replace("'", "''") + "') AS t(" + columns + ")";
	}

	static final String THOUSAND = far("SELECT i FROM generate_series(1, 1000) i", "i int");
	static final String MANY = far("SELECT i FROM generate_series(1, 200000) i", "i int");

	static final String GATHER = "SELECT i FROM dblink_gather('{c,d}', 'SELECT generate_series(1, $1)', 200000) AS t(conn text, i int)";

	/** Opens a portal that is read n rows at a time; its statement is closed with it. */
	static ResultSet portal(Connection c, String sql, int n) throws SQLException {
		Statement s = c.createStatement();
		s.closeOnCompletion();
		s.setFetchSize(n);
		return s.executeQuery(sql);
	}

	/** What every mode of the protocol must do. */
	static void basics(String mode, Connection c) throws SQLException {
		basicCalls(mode, c);
		parameters(mode, c);
		several(mode, c);
	}

	/** Parameters that go on to the remote: strings, typed values, null, arrays. */
	static void parameters(String mode, Connection c) throws SQLException {
		check(mode + ": strings and null go on", rows(c, "SELECT * FROM dblink_query('c', 'SELECT $1, $2', ?, ?) AS t(a text, b text)", "it's", null), "it's|null");
		check(mode + ": typed values go on", rows(c, "SELECT * FROM dblink_query('c', 'SELECT $1 + 1, $2 * 2', ?::int, ?::numeric) AS t(a int, b numeric)", 41, new java.math.BigDecimal("1.50")), "42|3.00");
		check(mode + ": a string beside a number", rows(c, "SELECT * FROM dblink_query('c', 'SELECT $1::date + 1, $2 * 2', ?::text, ?::int) AS t(a text, b int)", "2024-02-28", 4), "2024-02-29|8");
		check(mode + ": a typed null", rows(c, "SELECT * FROM dblink_query_as(NULL::bool, 'c', 'SELECT $1 IS NULL', ?::date)", new Object[] {null}), "true");
		check(mode + ": an array", rows(c, "SELECT * FROM dblink_query_as(NULL::int, 'c', 'SELECT unnest($1) + 1', ?::int[])", c.createArrayOf("int4", new Integer[] {1, 2})), "2 3");
		check(mode + ": a command", rows(c, "SELECT dblink_execute('c', 'SELECT generate_series(1, $1)', ?::int)", 5), "5");
	}

	/** dblink2 with two connections: arrays, bytes, row types, a transaction that follows. */
	static void several(String mode, Connection c) throws SQLException {
		rows(c, "SELECT dblink_connect('d', ?), dblink_execute('c', 'CREATE TEMP TABLE far (id int UNIQUE, t text, y bytea)')", REMOTE);
		java.sql.Array both = c.createArrayOf("text", new String[] {"c", "d"});
		StringBuilder got = new StringBuilder();
		String gather = "SELECT conn, sum(i) FROM dblink_gather(?::text[], 'SELECT generate_series(1, $1::int)', VARIADIC ?::text[]) AS t(conn text, i int) GROUP BY 1 ORDER BY 1";
		try (PreparedStatement s = c.prepareStatement(gather)) {
			for (int i = 1; i <= 8; i++) {
				s.setArray(1, both);
				s.setArray(2, c.createArrayOf("text", new String[] {"" + i}));
				try (ResultSet r = s.executeQuery()) {
					got.append(all(r)).append(' ');
				}
			}
		}
		check(mode + ": gather, arrays, 8 times", got.toString().trim(), "c|1 d|1 c|3 d|3 c|6 d|6 c|10 d|10 c|15 d|15 c|21 d|21 c|28 d|28 c|36 d|36");
		check(mode + ": gather, a null in an array that goes on", rows(c, "SELECT * FROM dblink_gather(?, 'SELECT $1::int, $2::text', VARIADIC ?::text[]) AS t(conn text, i int, t text) ORDER BY 1",
				both, c.createArrayOf("text", new String[] {null, "it's"})), "c|null|it's d|null|it's");
		check(mode + ": gather of null", errorOf(() -> rows(c, "SELECT * FROM dblink_gather(?::text[], 'SELECT 1') AS t(conn text, i int)", new Object[] {null})), "22004");
		byte[] raw = new byte[256];
		for (int i = 0; i < 256; i++)
			raw[i] = (byte) i;
		// in simple mode, the driver has no bytes
		Object bytes = mode.equals("simple") ? "\\x" + HexFormat.of().formatHex(raw) : raw;
		try (Statement s = c.createStatement()) {
			s.execute("CREATE TEMP TABLE near (id int, t text, y bytea)");
		}
		check(mode + ": bytes", rows(c, "INSERT INTO near SELECT i, 't', ?::bytea FROM generate_series(1, 2000) i RETURNING id < 0", bytes).length(), 2000 * 6 - 1);
		check(mode + ": copy", rows(c, "SELECT dblink_copy(?, ?, ?)", "c", "far", "SELECT * FROM near"), "2000");
		String row = "SELECT id, t, md5(y) = md5(?::bytea) FROM dblink_query_as(NULL::near, 'c', 'SELECT y, t, id FROM far WHERE y = $1 AND id = $2', ?::bytea, ?::int)";
		got.setLength(0);
		try (PreparedStatement s = c.prepareStatement(row)) {
			for (int i = 1; i <= 8; i++) {
				s.setObject(1, bytes);
				s.setObject(2, bytes);
				s.setInt(3, i);
				try (ResultSet r = s.executeQuery()) {
					got.append(all(r)).append(' ');
				}
			}
		}
		check(mode + ": a row type, 8 times", got.toString().trim(), "1|t|true 2|t|true 3|t|true 4|t|true 5|t|true 6|t|true 7|t|true 8|t|true");

		// the transaction over there ends with ours
		c.setAutoCommit(false);
		for (String end : new String[] {"2000", "1994"}) {
			rows(c, "SELECT dblink_begin('c')");
			check(mode + ": a command over there", rows(c, "SELECT dblink_execute('c', 'DELETE FROM far WHERE id > $1 AND id <= 2000 - $1', ?::int)", 997), "6");
			Savepoint p = c.setSavepoint();
			check(mode + ": a duplicate over there", errorOf(() -> rows(c, "SELECT dblink_execute('c', 'INSERT INTO far VALUES ($1)', ?::int)", 3)), "23505");
			c.rollback(p);
			if (end.equals("2000"))
				c.rollback();
			else
				c.commit();
			check(mode + ": dblink_begin", rows(c, "SELECT dblink_query_as(0, 'c', 'SELECT count(*)::int FROM far')"), end);
		}
		c.commit();
		c.setAutoCommit(true);

		// a time-out in each call that waits
		for (String sql : new String[] {"SELECT * FROM dblink_gather('{c,d}', 'SELECT pg_sleep(131)') AS t(conn text, x text)",
				"SELECT dblink_copy('c', 'far', $$SELECT i AS id FROM dblink('d', 'SELECT 1 FROM pg_sleep(131)') AS t(i int)$$)",
				"SELECT dblink_wait(ARRAY['c']) FROM dblink_send_query('c', 'SELECT pg_sleep(131)')"})
			try (Statement s = c.createStatement()) {
				long started = System.nanoTime();
				s.setQueryTimeout(1);
				check(mode + ": a time-out of " + sql.substring(0, 18), errorOf(() -> s.executeQuery(sql)), "57014");
				check(mode + ": at once", (System.nanoTime() - started) / 1e9 < 8, true);
			}
		rows(c, "SELECT dblink_cancel_query('c')");
		check(mode + ": what was sent", errorOf(() -> rows(c, "SELECT * FROM dblink_gather('{c}') AS t(conn text, x text)")), "57014");

		try (java.io.StringWriter out = new java.io.StringWriter()) {
			c.unwrap(org.postgresql.PGConnection.class).getCopyAPI().copyOut("COPY (SELECT i FROM dblink_gather('{c,d}', 'SELECT generate_series(1, 5000)') AS t(conn text, i int)) TO STDOUT", out);
			check(mode + ": COPY of gather", out.toString().lines().mapToInt(Integer::parseInt).sum(), 2 * 5000 * 5001 / 2);
		} catch (java.io.IOException e) {
			System.out.println(e);
		}
		rows(c, "SELECT dblink_disconnect('d')");
	}

	static void basicCalls(String mode, Connection c) throws SQLException {
		check(mode + ": connect", rows(c, "SELECT dblink_connect('c', ?)", REMOTE), "OK");
		check(mode + ": parameters", rows(c, "SELECT * FROM dblink('c', ?) AS t(i int, x text)", "SELECT 1, 'it''s'"), "1|it's");
		StringBuilder got = new StringBuilder();
		try (PreparedStatement s = c.prepareStatement(far("SELECT i, i::text FROM generate_series(1, 3) i", "i int, x text") + " WHERE i = ?")) {
			for (int i = 0; i < 12; i++) {
				s.setInt(1, i % 3 + 1);
				try (ResultSet r = s.executeQuery()) {
					got.append(all(r)).append(' ');
				}
			}
		}
		check(mode + ": one statement 12 times", got.toString().trim(), "1|1 2|2 3|3 1|1 2|2 3|3 1|1 2|2 3|3 1|1 2|2 3|3");
		check(mode + ": types", rows(c, far("SELECT 1.5, 'x', true, date '2026-01-02', ARRAY[1,2], NULL::int, '\\x00ff'::bytea",
				"n numeric, t text, b bool, d date, a int[], z int, y bytea")), "1.5|x|true|2026-01-02|[1, 2]|null|ff");
		check(mode + ": SQLSTATE", errorOf(() -> rows(c, far("SELECT 1/0", "i int"))), "22012");
		try (Statement s = c.createStatement()) {
			s.execute("SELECT dblink_exec('c', 'CREATE TEMP TABLE made (i int)'); SELECT dblink_exec('c', 'INSERT INTO made VALUES (1)')");
			check(mode + ": several statements", s.getMoreResults(), true);
			s.addBatch("SELECT dblink_exec('c', 'INSERT INTO nowhere VALUES (1)')");
			check(mode + ": a failed batch", errorOf(s::executeBatch), "42P01");
		}
		check(mode + ": and the remote", rows(c, far("SELECT count(*) FROM made", "n int")), "1");

		// savepoints
		c.setAutoCommit(false);
		rows(c, "SELECT 1");
		Savepoint p = c.setSavepoint("one");
		check(mode + ": an error after a savepoint", errorOf(() -> rows(c, far("SELECT 1/0", "i int"))), "22012");
		check(mode + ": the transaction is aborted", errorOf(() -> rows(c, "SELECT 1")), "25P02");
		c.rollback(p);
		check(mode + ": after ROLLBACK TO", rows(c, far("SELECT 6", "i int")), "6");
		p = c.setSavepoint();
		rows(c, far("SELECT 7", "i int"));
		c.releaseSavepoint(p);
		check(mode + ": after RELEASE", rows(c, far("SELECT 8", "i int")), "8");
		c.rollback();
		c.setAutoCommit(true);

		// the driver's time-out sends a cancel request
		try (Statement s = c.createStatement()) {
			long started = System.nanoTime();
			s.setQueryTimeout(1);
			check(mode + ": a query's time-out", errorOf(() -> s.executeQuery(far("SELECT pg_sleep(131)", "x text"))), "57014");
			check(mode + ": at once", (System.nanoTime() - started) / 1e9 < 8, true);
		}
		check(mode + ": the connection is usable", rows(c, far("SELECT 9", "i int")), "9");
	}

	/** Portals that are read in parts, with other calls between the parts. */
	static void portals(Connection c) throws Exception {
		c.setAutoCommit(false);
		long all = 200000L * 200001 / 2;

		try (ResultSet r = portal(c, MANY, 50)) {
			check("portal: 200,000 rows, 50 at a time", sum(r, 1000000), all);
		}
		// a command, a query, a cursor, an asynchronous query on the connection that streams
		try (ResultSet r = portal(c, MANY, 10)) {
			long some = sum(r, 15);
			check("portal: a command between two parts", rows(c, "SELECT dblink_exec('c', 'CREATE TEMP TABLE parts (i int)')"), "CREATE TABLE");
			some += sum(r, 15);
			check("portal: a query between two parts", rows(c, far("SELECT 42", "i int")), "42");
			some += sum(r, 25);
			check("portal: a cursor between two parts", rows(c, "SELECT dblink_open('c', 'cur', 'SELECT 1')") + rows(c, "SELECT * FROM dblink_fetch('c', 'cur', 5) AS t(i int)")
					+ rows(c, "SELECT dblink_close('c', 'cur')"), "OK1OK");
			some += sum(r, 5);
			check("portal: an asynchronous query between two parts", rows(c, "SELECT dblink_send_query('c', 'SELECT 43')")
					+ rows(c, "SELECT * FROM dblink_get_result('c') AS t(i int)") + rows(c, "SELECT * FROM dblink_get_result('c') AS t(i int)"), "143");
			check("portal: all its rows", some + sum(r, 1000000), all);
		}
		// two portals on the same connection, read in turns; then three
		try (ResultSet a = portal(c, MANY, 10); ResultSet b = portal(c, THOUSAND, 7)) {
			long x = 0, y = 0;
			for (int i = 0; i < 50; i++) {
				x += sum(a, 13);
				y += sum(b, 11);
			}
			check("two portals on one connection, in turns", (x + sum(a, 1000000)) + " " + (y + sum(b, 1000000)), all + " 500500");
		}
		check("two portals on two connections", rows(c, "SELECT dblink_connect('d', ?)", REMOTE), "OK");
		try (ResultSet a = portal(c, MANY, 10); ResultSet b = portal(c, MANY.replace("'c'", "'d'"), 10); ResultSet e = portal(c, THOUSAND, 10)) {
			long x = 0, y = 0, z = 0;
			for (int i = 0; i < 20; i++) {
				x += sum(a, 13);
				y += sum(b, 11);
				z += sum(e, 5);
			}
			check("three portals, in turns", (x + sum(a, 1000000)) + " " + (y + sum(b, 1000000)) + " " + (z + sum(e, 1000000)), all + " " + all + " 500500");
		}
		// a portal on both connections, a command and a query on one of them between the parts
		try (ResultSet r = portal(c, GATHER, 10)) {
			long some = sum(r, 15);
			check("gather: a command between two parts", rows(c, "SELECT dblink_execute('c', 'INSERT INTO parts VALUES ($1)', 1)"), "1");
			some += sum(r, 15);
			check("gather: a gather between two parts", rows(c, "SELECT count(*) FROM (" + GATHER + ") q"), "400000");
			check("gather: all its rows", some + sum(r, 1000000), 2 * all);
		}
		try (ResultSet r = portal(c, GATHER, 10)) {
			sum(r, 5);
		}
		check("gather: left early, both are usable", rows(c, "SELECT sum(i) FROM dblink_gather('{c,d}', 'SELECT $1', 4) AS t(conn text, i int)"), "8");
		try (ResultSet r = portal(c, "SELECT i FROM dblink_query_as(0, 'd', 'SELECT generate_series(1, $1)', 200000) i", 50)) {
			check("query_as: 50 at a time", sum(r, 1000000), all);
		}
		c.commit();
		check("gather: an error of the remote in mid-result", errorOf(() -> sum(portal(c, "SELECT i FROM dblink_gather('{c,d}', 'SELECT 1 / (500 - i) FROM generate_series(1, 1000) i') AS t(conn text, i int)", 10), 1000000)), "22012");
		c.rollback();
		check("gather: both are usable again", rows(c, "SELECT sum(i) FROM dblink_gather('{c,d}', 'SELECT $1', 5) AS t(conn text, i int)"), "10");
		// a portal of a connection that is closed meanwhile
		try (ResultSet r = portal(c, MANY.replace("'c'", "'d'"), 10)) {
			long some = sum(r, 10);
			check("portal: its connection is closed", rows(c, "SELECT dblink_disconnect('d')"), "OK");
			check("portal: and its rows are there", some + sum(r, 1000000), all);
		}
		// a portal that is left early
		try (ResultSet r = portal(c, MANY, 10)) {
			sum(r, 5);
		}
		check("portal: left early, the connection is usable", rows(c, far("SELECT 44", "i int")), "44");
		c.commit();

		// an error in mid-result, on the remote and here
		String fails = far("SELECT 1 / (500 - i) FROM generate_series(1, 1000) i", "i int");
		check("portal: an error of the remote in mid-result", errorOf(() -> sum(portal(c, fails, 10), 1000000)), "22012");
		check("portal: the transaction is aborted", errorOf(() -> rows(c, "SELECT 1")), "25P02");
		c.rollback();
		check("portal: the connection is usable", rows(c, far("SELECT 45", "i int")), "45");
		String bad = far("SELECT CASE WHEN i = 900 THEN 'bad' ELSE i::text END FROM generate_series(1, 1000) i", "i int");
		check("portal: a value that does not convert", errorOf(() -> sum(portal(c, bad, 10), 1000000)), "22P02");
		c.rollback();
		check("portal: the connection is usable again", rows(c, far("SELECT 46", "i int")), "46");

		// a portal and a savepoint: what was opened in it ends with it
		rows(c, "SELECT 1");
		ResultSet outer = portal(c, THOUSAND, 10);
		long some = sum(outer, 15);
		Savepoint p = c.setSavepoint();
		ResultSet inner = portal(c, MANY, 10);
		sum(inner, 15);
		check("savepoint: an error with two portals open", errorOf(() -> rows(c, far("SELECT 1/0", "i int"))), "22012");
		c.rollback(p);
		check("savepoint: the inner portal is gone", errorOf(() -> sum(inner, 1000000)), "34000");
		c.rollback(p);
		check("savepoint: the outer one has all its rows", some + sum(outer, 1000000), 500500);
		outer.close();
		check("savepoint: the connection is usable", rows(c, far("SELECT 47", "i int")), "47");

		// COMMIT ends portals; so does ROLLBACK
		ResultSet held = portal(c, MANY, 10);
		sum(held, 5);
		c.commit();
		check("portal: after COMMIT", errorOf(() -> sum(held, 1000000)), "34000");
		check("portal: the connection is usable after that", rows(c, far("SELECT 48", "i int")), "48");
		c.rollback();

		// a portal that is cancelled while its next part is awaited
		try (Connection by = open("")) {
			String pid = rows(c, "SELECT pg_backend_pid()");
			String slow = far("SELECT i, repeat('x', 10000), CASE WHEN i > 5 THEN pg_sleep(132)::text END FROM generate_series(1, 10) i", "i int, f text, x text");
			java.util.concurrent.atomic.AtomicBoolean over = new java.util.concurrent.atomic.AtomicBoolean();
			Thread other = new Thread(() -> {
				try {
					while (rows(by, "SELECT n FROM dblink(?, 'SELECT count(*) FROM pg_stat_activity WHERE wait_event = ''PgSleep''') AS t(n int)", REMOTE).equals("0"))
						continue;
					// a request that comes between two parts has no effect
					while (!over.get()) {
						rows(by, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Extension' AND pid = " + pid);
						Thread.sleep(20);
					}
				} catch (Exception e) {
					System.out.println(e);
				}
			});
			long started = System.nanoTime();
			other.start();
			check("portal: cancelled in mid-result", errorOf(() -> sum(portal(c, slow, 1), 1000000)), "57014");
			check("portal: at once", (System.nanoTime() - started) / 1e9 < 30, true);
			over.set(true);
			other.join();
		}
		c.rollback();
		check("portal: usable after a cancel", rows(c, far("SELECT 49", "i int")), "49");
		c.commit();

		// results that can be read backward, and copied rows, are all there
		c.setAutoCommit(true);
		try (Statement s = c.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_READ_ONLY); ResultSet r = s.executeQuery(THOUSAND)) {
			r.last();
			int last = r.getInt(1);
			r.absolute(500);
			check("a scrollable result", last + " " + r.getInt(1), "1000 500");
		}
		try (Statement s = c.createStatement()) {
			s.setMaxRows(3);
			check("setMaxRows", all(s.executeQuery(MANY)), "1 2 3");
			check("setMaxRows: usable", rows(c, far("SELECT 50", "i int")), "50");
		}
	}

	/** A join that leaves the functions p of our extensions. */
	static final String OURS = " JOIN pg_depend o ON o.objid = p.oid AND o.classid = 'pg_proc'::regclass AND o.deptype = 'e'"
			+ " JOIN pg_extension e ON e.oid = o.refobjid AND e.extname LIKE 'dblink%'";

	/** What a database tool asks. */
	static void catalogs(Connection c) throws SQLException {
		rows(c, "SELECT dblink_connect('c', ?)", REMOTE);
		try (Statement s = c.createStatement()) {
			s.execute("CREATE VIEW far AS " + far("SELECT i, i::text FROM generate_series(1, 10) i", "id int, name varchar(20)"));
			s.execute("CREATE MATERIALIZED VIEW near AS SELECT * FROM far");
		}
		DatabaseMetaData m = c.getMetaData();
		StringBuilder text = new StringBuilder();
		try (ResultSet r = m.getColumns(null, "public", "far", "%")) {
			while (r.next())
				text.append(r.getString("COLUMN_NAME")).append(' ').append(r.getString("TYPE_NAME")).append(' ').append(r.getInt("COLUMN_SIZE")).append(';');
		}
		check("getColumns of a view", text, "id int4 10;name varchar 20;");
		text.setLength(0);
		try (ResultSet r = m.getTables(null, "public", "%", new String[] {"VIEW", "MATERIALIZED VIEW"})) {
			while (r.next())
				text.append(r.getString("TABLE_NAME")).append(' ');
		}
		check("getTables", text.toString().trim(), "near far");
		int n = 0;
		try (ResultSet r = m.getFunctions(null, "public", "dblink%")) {
			while (r.next())
				n++;
		}
		check("getFunctions", n, rows(c, "SELECT count(*) FROM pg_proc p" + OURS));
		text.setLength(0);
		try (ResultSet r = m.getFunctionColumns(null, "public", "dblink_get_notify", "%")) {
			while (r.next())
				text.append(r.getString("COLUMN_NAME")).append(' ');
		}
		check("getFunctionColumns", text.toString().contains("notify_name be_pid extra"), true);
		check("extensions", rows(c, "SELECT e.extname, e.extversion, n.nspname, count(d.*) > 41 FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
				+ " LEFT JOIN pg_depend d ON d.refobjid = e.oid AND d.deptype = 'e' WHERE e.extname = 'dblink' GROUP BY 1, 2, 3"), "dblink|1.2|public|true");
		check("function definitions", rows(c, "SELECT count(*) - count(d || a || r || q.lanname), count(*) > 41 FROM (SELECT pg_get_functiondef(p.oid) AS d, pg_get_function_identity_arguments(p.oid) AS a,"
				+ " pg_get_function_result(p.oid) AS r, l.lanname, obj_description(p.oid) FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang" + OURS + ") q"), "0|true");
		check("wrappers", rows(c, "SELECT fdwname, fdwvalidator::regproc, fdwhandler::oid FROM pg_foreign_data_wrapper"), "dblink_fdw|dblink_fdw_validator|0");
		check("a page of a view", rows(c, "SELECT * FROM far ORDER BY id LIMIT 2 OFFSET 4"), "5|5 6|6");
		check("its number of rows", rows(c, "SELECT count(*) FROM far"), "10");
		try (PreparedStatement s = c.prepareStatement("SELECT * FROM far WHERE id = ?")) {
			ResultSetMetaData d = s.getMetaData();
			check("a described statement", d.getColumnName(2) + " " + d.getColumnTypeName(2) + " " + s.getParameterMetaData().getParameterTypeName(1), "name varchar int4");
		}
		check("EXPLAIN", rows(c, "EXPLAIN (FORMAT JSON) SELECT * FROM far").contains("Node Type"), true);
	}

	static Connection open(String options) throws SQLException {
		return DriverManager.getConnection(LOCAL + options);
	}

	public static void main(String[] args) throws Exception {
		// preferQueryMode and prepareThreshold: no statement of the server's, one from
		// the first time on (then also in binary), one from the fifth time on
		String[][] modes = {{"simple", "&preferQueryMode=simple"}, {"extended", "&prepareThreshold=0"},
				{"prepared", "&prepareThreshold=-1"}};
		for (String[] mode : modes) {
			try (Connection c = open(mode[1])) {
				basics(mode[0], c);
			}
		}
		try (Connection c = open("")) {
			catalogs(c);
		}

		// the settings that change how rows come, in a string of "name=value"
		String[] settings = {"", "result_format=binary", "on_early_end=cancel", "stream_hold_time=0", "streaming=off"};
		for (String setting : settings) {
			part = setting.isEmpty() ? "" : setting + ": ";
			try (Connection c = open("")) {
				if (!setting.isEmpty())
					rows(c, "SELECT set_config('dblink.' || ?, ?, false)", (Object[]) setting.split("="));
				rows(c, "SELECT dblink_connect('c', ?)", REMOTE);
				portals(c);
			}
		}
	}
}
