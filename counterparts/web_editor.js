// Types SQL into Adminer, in headless Chromium, and looks at the pages. URL,
// SERVER, PASSWORD, CONN (of the remote) and WORK (a directory) come from the
// environment. Prints "ok - what" for each check.

const { chromium } = require('playwright-core');

const { URL, SERVER, PASSWORD, CONN, WORK } = process.env;

function check(name, ok, seen) {
	console.log((ok ? 'ok - ' : 'not ok - ') + name);
	if (!ok)
		console.log('   the page says: ' + seen);
}

// Types SQL into the editor, runs it, and gives the page's text, without the SQL.
async function type(page, sql) {
	await page.goto(`${URL}?pgsql=${encodeURIComponent(SERVER)}&username=editor&db=postgres&ns=public&sql=`);
	await page.locator('pre.sqlarea[contenteditable], textarea[name=query]:visible').first().click();
	await page.keyboard.type(sql.replace(/\n/g, ' '));
	await page.locator('input[type=submit][value=Execute]').click();
	await page.waitForLoadState('load');
	return page.evaluate(() => {
		const typed = document.querySelectorAll('#content form, #content code, #content pre');
		typed.forEach(e => { e.style.display = 'none'; });
		const text = document.getElementById('content').innerText.replace(/\s+/g, ' ');
		typed.forEach(e => { e.style.display = ''; });
		return text;
	});
}

async function main() {
	const context = await chromium.launchPersistentContext(`${WORK}/profile`, {
		executablePath: '/usr/bin/chromium',
		viewport: { width: 1200, height: 1000 },
		args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
			'--disable-background-networking', '--disable-component-update', '--disable-sync', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'],
	});
	const page = await context.newPage();
	page.setDefaultTimeout(60000);

	await page.goto(URL);
	await page.locator('select[name="auth[driver]"]').selectOption('pgsql');
	await page.locator('input[name="auth[server]"]').fill(SERVER);
	await page.locator('input[name="auth[username]"]').fill('editor');
	await page.locator('input[name="auth[password]"]').fill(PASSWORD);
	await page.locator('input[name="auth[db]"]').fill('postgres');
	await page.locator('input[type=submit][value=Login]').click();
	await page.waitForLoadState('load');
	check('logged in', (await page.content()).includes('people'), await page.innerText('body'));

	let text = await type(page, 'CREATE EXTENSION IF NOT EXISTS dblink;');
	check('CREATE EXTENSION', /Query executed OK/.test(text), text);

	// Each page is a session of its own: a named connection lives within one.
	text = await type(page, `SELECT dblink_connect('my_new_conn', '${CONN}');
SELECT * FROM dblink('my_new_conn', 'SELECT id, task FROM todos ORDER BY id') AS t(id int, task text);
SELECT dblink_exec('my_new_conn', 'UPDATE todos SET done = true WHERE id = 1');
SELECT dblink_disconnect('my_new_conn');`);
	check('dblink_connect', /dblink_connect OK/.test(text), text);
	check('rows of the remote', /id task 1 Buy caf\u00e9 2 Write 3 Rest/.test(text), text);
	check('dblink_exec', /dblink_exec UPDATE 1/.test(text), text);
	check('dblink_disconnect', /dblink_disconnect OK/.test(text), text);

	text = await type(page, `SELECT * FROM dblink('my_new_conn', 'SELECT 1') AS t(i int);`);
	check('the next page does not have the connection', /could not establish connection/.test(text), text);

	text = await type(page, `CREATE TABLE copied AS SELECT * FROM dblink('${CONN}', 'SELECT id, task FROM todos WHERE id < 3') AS t(id int, task text);`);
	check('CREATE TABLE AS', /Query executed OK, 2 rows affected/.test(text), text);
	text = await type(page, `SELECT * FROM dblink('${CONN}', 'SELECT 1/0') AS t(i int);`);
	check('an error', /division by zero/.test(text), text);
	text = await type(page, `EXPLAIN SELECT * FROM dblink('${CONN}', 'SELECT 1') AS t(i int);`);
	check('EXPLAIN does not show the password', /dblink/.test(text) && !text.includes(PASSWORD), text);

	text = await type(page, `SELECT p.name, t.task, t.done
FROM people p
JOIN dblink('${CONN}', 'SELECT id, task, done FROM todos') AS t(id int, task text, done bool) ON t.id = p.todo
ORDER BY p.name;`);
	check('a join', /name task done Ada Buy caf\u00e9 (t|1|true) Bob Write/.test(text), text);
	await page.screenshot({ path: `${WORK}/screen.png`, fullPage: true });

	// what the editor shows of a view on it
	await type(page, `CREATE VIEW far AS SELECT * FROM dblink('${CONN}', 'SELECT id, task FROM todos') AS t(id int, task text);`);
	await page.goto(`${URL}?pgsql=${encodeURIComponent(SERVER)}&username=editor&db=postgres&ns=public&select=far`);
	text = (await page.innerText('#content')).replace(/\s+/g, ' ');
	check('a view in the editor', /Buy caf\u00e9/.test(text), text);
	await context.close();
}

main().catch(e => {
	console.log(e);
	process.exit(1);
});
