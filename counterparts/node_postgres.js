// node-postgres on a database with our dblink. The address is in the usual
// variables; REMOTE is a connection string. Prints "ok - what" for each check.

const { Client, Pool, Query } = require('pg');
const Cursor = require('pg-cursor');

const remote = process.env.REMOTE;

function check(name, got, wanted) {
	const same = JSON.stringify(got) === JSON.stringify(wanted);
	console.log((same ? 'ok - ' : 'not ok - ') + name);
	if (!same)
		console.log('   got:', JSON.stringify(got), 'wanted:', JSON.stringify(wanted));
}

// SQLSTATE of the error that a promise ends with.
async function errorOf(promise) {
	try {
		await promise;
	} catch (e) {
		return e.code;
	}
	return null;
}

// Sends cancel requests until the query ends, and returns its SQLSTATE.
async function cancelled(client, text) {
	let over = false;
	const query = new Query(text);
	const ended = new Promise(resolve => {
		query.on('error', e => resolve(e.code));
		query.on('end', () => resolve(null));
	}).then(code => {
		over = true;
		return code;
	});
	client.query(query);
	while (!over) {
		await new Promise(resolve => setTimeout(resolve, 100));
		if (!over)
			new Client().cancel(client, query);
	}
	return ended;
}

async function main() {
	const client = new Client();
	await client.connect();
	const rows = async (sql, values) => (await client.query({ text: sql, values, rowMode: 'array' })).rows;

	check('connect', await rows("SELECT dblink_connect('c', $1)", [remote]), [['OK']]);
	check('simple protocol', await rows("SELECT * FROM dblink('c', 'SELECT 1, ''x''') AS t(i int, x text)"), [[1, 'x']]);
	check('parameters', await rows("SELECT * FROM dblink('c', $1) AS t(i int, x text) WHERE i < $2", ["SELECT i, 'it''s' FROM generate_series(1, 9) i", 3]),
		[[1, "it's"], [2, "it's"]]);
	const many = [];
	for (let i = 0; i < 12; i++) {
		const r = await client.query({ name: 'prepared', text: "SELECT i FROM dblink('c', 'SELECT i FROM generate_series(1, 3) i') AS t(i int) WHERE i = $1", values: [i % 3 + 1] });
		many.push(r.rows[0].i);
	}
	check('prepared, 12 times', many, [1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3]);
	check('several statements', (await client.query("SELECT 1 AS a; SELECT x FROM dblink('c', 'SELECT 2') AS t(x int)")).map(r => r.rows), [[{ a: 1 }], [{ x: 2 }]]);
	check('SQLSTATE', await errorOf(client.query("SELECT * FROM dblink('c', 'SELECT 1/0') AS t(i int)")), '22012');
	const e = await client.query("SELECT dblink_exec('c', 'SELECT nothing')").catch(e => e);
	check('fields of an error', [e.code, e.message, e.where], ['42703', 'column "nothing" does not exist', 'while executing command on dblink connection named "c"']);

	// parameters that go on to the remote: without a type, as this driver sends them
	check('strings and null go on', await rows("SELECT * FROM dblink_query('c', 'SELECT $1, $2', $1, $2) AS t(a text, b text)", ["it's", null]), [["it's", null]]);
	check('what fits a type there', await rows("SELECT * FROM dblink_query('c', 'SELECT $1::int + 1, $2::date + 1', $1, $2) AS t(a int, b text)", [41, '2024-02-28']), [[42, '2024-02-29']]);
	check('typed by a cast', await rows("SELECT * FROM dblink_query('c', 'SELECT $1 + 1, $2 IS NULL', $1::int, $2::bool) AS t(a int, b bool)", [41, null]), [[42, true]]);
	check('an array', await rows("SELECT * FROM dblink_query_as(NULL::int, 'c', 'SELECT unnest($1) + 1', $1::int[])", [[1, 2]]), [[2], [3]]);
	check('a command', await rows("SELECT dblink_execute('c', 'SELECT generate_series(1, $1::int)', $1)", [5]), [['5']]);
	check('one without a type beside one with', await errorOf(rows("SELECT * FROM dblink_query('c', 'SELECT $1, $2', $1, 2) AS t(a int, b int)", [1])), '42P18');

	// dblink2 with two connections: lists for text[], null, bytes, row types, prepared
	await rows("SELECT dblink_connect('d', $1), dblink_execute('c', 'CREATE TEMP TABLE far (id int UNIQUE, t text, y bytea)')", [remote]);
	const both = ['c', 'd'];
	const gather = "SELECT conn, sum(i)::int FROM dblink_gather($1, 'SELECT generate_series(1, $1::int)', VARIADIC $2::text[]) AS t(conn text, i int) GROUP BY 1 ORDER BY 1";
	const gathered = [];
	for (let i = 1; i <= 8; i++)
		gathered.push((await client.query({ name: 'gather', text: gather, values: [both, [i]], rowMode: 'array' })).rows);
	check('gather, prepared, 8 times', gathered, [1, 2, 3, 4, 5, 6, 7, 8].map(i => both.map(c => [c, i * (i + 1) / 2])));
	check('gather, a null in a list that goes on', await rows("SELECT * FROM dblink_gather($1, 'SELECT $1::int, $2::text', VARIADIC $2::text[]) AS t(conn text, i int, t text) ORDER BY 1", [both, [null, "it's"]]), [['c', null, "it's"], ['d', null, "it's"]]);
	check('gather of null', await errorOf(rows("SELECT * FROM dblink_gather($1, 'SELECT 1') AS t(conn text, i int)", [null])), '22004');
	const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
	await client.query('CREATE TEMP TABLE near (id int, t text, y bytea)');
	await client.query("INSERT INTO near SELECT i, 't', $1 FROM generate_series(1, 2000) i", [bytes]);
	check('copy', await rows('SELECT dblink_copy($1, $2, $3)', ['c', 'far', 'SELECT * FROM near']), [['2000']]);
	check('bytes and a row type', (await rows("SELECT id, y FROM dblink_query_as(NULL::near, 'c', 'SELECT y, t, id FROM far WHERE y = $1 AND id = $2', $1::bytea, $2::int)", [bytes, 7])).map(r => [r[0], bytes.equals(r[1])]), [[7, true]]);
	await client.query('BEGIN');
	await rows('SELECT dblink_begin($1)', ['c']);
	await rows("SELECT dblink_execute('c', 'DELETE FROM far WHERE id > $1', $1::int)", [5]);
	await client.query('SAVEPOINT one');
	check('a duplicate over there', await errorOf(rows("SELECT dblink_execute('c', 'INSERT INTO far VALUES ($1)', $1::int)", [5])), '23505');
	await client.query('ROLLBACK TO SAVEPOINT one');
	await client.query('COMMIT');
	check('dblink_begin', await rows("SELECT dblink_query_as(0, 'c', 'SELECT count(*)::int FROM far')"), [[5]]);
	for (const [name, text] of [['gather', "SELECT * FROM dblink_gather('{c,d}', 'SELECT pg_sleep(129)') AS t(conn text, x text)"],
		['copy', "SELECT dblink_copy('c', 'far', $$SELECT i AS id FROM dblink('d', 'SELECT 1 FROM pg_sleep(129)') AS t(i int)$$)"],
		['wait', "SELECT dblink_wait('{c}', '2 min')"]]) {
		if (name === 'wait')
			await rows("SELECT dblink_send_query('c', 'SELECT pg_sleep(129)')");
		check('cancelled: ' + name, await cancelled(client, text), '57014');
	}
	await rows("SELECT dblink_cancel_query('c')");
	check('cancelled: what was sent', await errorOf(rows("SELECT * FROM dblink_gather('{c}') AS t(conn text, x text)")), '57014');
	check('both are usable', await rows("SELECT * FROM dblink_gather($1, 'SELECT 1') AS t(conn text, i int) ORDER BY 1", [both]), [['c', 1], ['d', 1]]);

	// a portal that is read in parts; one client does nothing else meanwhile
	await client.query('BEGIN');
	const cursor = client.query(new Cursor("SELECT i FROM dblink('c', 'SELECT i FROM generate_series(1, 1000) i') AS t(i int)"));
	const first = await cursor.read(10);
	const rest = await cursor.read(5000);
	check('all rows of a portal', [first.length, rest.length, rest[989].i], [10, 990, 1000]);
	await cursor.close();
	const early = client.query(new Cursor("SELECT i FROM dblink('c', 'SELECT i FROM generate_series(1, 100000) i') AS t(i int)"));
	await early.read(5);
	await early.close();
	check('closed early, the connection is usable', await rows("SELECT x FROM dblink('c', 'SELECT 5') AS t(x int)"), [[5]]);

	const several = client.query(new Cursor("SELECT i FROM dblink_gather($1, 'SELECT generate_series(1, $1::int)', $2) AS t(conn text, i int)", [both, 1000]));
	const some = await several.read(10);
	const others = await several.read(5000);
	check('all rows of a portal on gather', [some.length, others.length], [10, 1990]);
	await several.close();

	// savepoints
	await client.query('SAVEPOINT one');
	check('an error after a savepoint', await errorOf(client.query("SELECT * FROM dblink('c', 'SELECT 1/0') AS t(i int)")), '22012');
	await client.query('ROLLBACK TO SAVEPOINT one');
	check('after ROLLBACK TO', await rows("SELECT x FROM dblink('c', 'SELECT 6') AS t(x int)"), [[6]]);
	await client.query('COMMIT');

	// the queue of a client: all at once, done one after another
	const queued = await Promise.all([1, 2, 3, 4].map(i => rows('SELECT * FROM dblink($1, $2) AS t(i int)', ['c', 'SELECT ' + i])));
	check('queued queries', queued, [[[1]], [[2]], [[3]], [[4]]]);

	// asynchronous over there, for as long as the event loop does other things
	await rows("SELECT dblink_send_query('c', 'SELECT 7')");
	while ((await rows("SELECT dblink_is_busy('c')"))[0][0] === 1)
		await new Promise(resolve => setTimeout(resolve, 10));
	check('asynchronous', await rows("SELECT * FROM dblink_get_result('c') AS t(i int)"), [[7]]);
	await rows("SELECT * FROM dblink_get_result('c') AS t(i int)");

	// statement_timeout of the driver
	const slow = new Client({ statement_timeout: 500 });
	await slow.connect();
	const started = Date.now();
	check('statement_timeout', await errorOf(slow.query("SELECT * FROM dblink($1, 'SELECT pg_sleep(130)') AS t(x text)", [remote])), '57014');
	check('at once', Date.now() - started < 8000, true);
	await slow.end();

	// a pool: named connections belong to the client that made them
	const pool = new Pool({ max: 2 });
	const [one, two] = [await pool.connect(), await pool.connect()];
	await one.query("SELECT dblink_connect('mine', $1)", [remote]);
	check('a pool: no connection of another client', await errorOf(two.query("SELECT dblink_exec('mine', 'SELECT 1')")), '08001');
	one.release();
	two.release();
	await pool.end();
	await client.end();
}

main().catch(e => {
	console.log(e);
	process.exit(1);
});
