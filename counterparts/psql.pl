# psql: \gdesc, FETCH_COUNT, \watch, \gexec, \crosstabview, savepoints by
# ON_ERROR_ROLLBACK, Ctrl-C, and its descriptions of our objects.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;
use Counterpart;

my ($local, $remote) = make_pair();
my $conn = lit(conninfo($remote));
my $admin = session($remote);
$admin->run('CREATE TABLE number AS SELECT i, i % 3 AS g FROM generate_series(1, 5000) i');
my $s = session($local);
$s->run("CREATE EXTENSION dblink2; SELECT dblink_connect(c, $conn) FROM unnest('{c,d}'::text[]) c");

# \gdesc prepares the query and does not run it
rows_are($s, "SELECT * FROM dblink('c', 'SELECT i, g FROM number') AS t(i int, g numeric(5,2)) \\gdesc\n;", "i|integer\ng|numeric(5,2)", '\gdesc');
rows_are($s, "SELECT i, dblink_is_busy('c') AS busy, dblink_get_connections() FROM dblink_get_result('c') AS t(i int) \\gdesc\n;",
	"i|integer\nbusy|integer\ndblink_get_connections|text[]", '\gdesc of other functions');

rows_are($s, "SELECT t.*, connname FROM dblink_gather('{c,d}', 'SELECT \$1', 1) AS t(conn text, i int), dblink_wait('{c}'), dblink_error() \\gdesc\n;", "conn|text\ni|integer\nconnname|text", '\gdesc of functions of dblink2');

# FETCH_COUNT reads by a cursor, 100 rows at a time
rows_are($s, "\\set FETCH_COUNT 100\n\\o /dev/null\nSELECT i FROM dblink('c', 'SELECT i FROM number') AS t(i int);\n\\o\n\\echo :ROW_COUNT\n\\unset FETCH_COUNT",
	'5000', 'FETCH_COUNT: all rows');
rows_are($s, "\\set FETCH_COUNT 2\nSELECT i FROM dblink('c', 'SELECT i FROM number ORDER BY i LIMIT 5') AS t(i int);\n\\unset FETCH_COUNT", "1\n2\n3\n4\n5", 'FETCH_COUNT: rows in order');
rows_are($s, "\\set FETCH_COUNT 1000\nSELECT count(*) FROM dblink('c', 'SELECT i FROM number') AS t(i int);\n\\unset FETCH_COUNT\nSELECT x FROM dblink('c', 'SELECT 1') AS t(x int)", "5000\n1", 'FETCH_COUNT: the connection is usable after it');
fails_with($s, "\\set FETCH_COUNT 10\nSELECT 1/(i - 25) FROM dblink('c', 'SELECT i FROM number ORDER BY i') AS t(i int);\n\\echo\n\\unset FETCH_COUNT", { state => '22012' }, 'FETCH_COUNT: an error in mid-result');
rows_are($s, "SELECT x FROM dblink('c', 'SELECT 1') AS t(x int)", '1', 'FETCH_COUNT: the connection is usable after the error');

rows_are($s, "\\set FETCH_COUNT 100\n\\o /dev/null\nSELECT i FROM dblink_gather('{c,d}', 'SELECT i FROM number WHERE i > \$1', 1000) AS t(conn text, i int);\n\\o\n\\echo :ROW_COUNT\n\\unset FETCH_COUNT",
	'8000', 'FETCH_COUNT: dblink_gather');
rows_are($s, "CREATE TYPE pair AS (g int, i int); \\set FETCH_COUNT 2\nSELECT * FROM dblink_query_as(NULL::pair, 'c', 'SELECT i, g FROM number WHERE i <= \$1 ORDER BY i', 3);\n\\unset FETCH_COUNT",
	"1|1\n2|2\n0|3", 'FETCH_COUNT: dblink_query_as');

# more often than a plan for the values at hand is made
$s->run("PREPARE find(int, text) AS SELECT conn, count(*), max(x) FROM dblink_gather('{c,d}', 'SELECT \$2 FROM number WHERE i <= \$1', \$1, \$2) AS t(conn text, x text) GROUP BY 1 ORDER BY 1");
rows_are($s, join(';', map { "EXECUTE find($_, 'it''s $_')" } 1 .. 7), join("\n", map { "c|$_|it's $_\nd|$_|it's $_" } 1 .. 7), 'EXECUTE, seven times');
rows_are($s, "EXECUTE find(2, NULL)", "c|2|\nd|2|", 'EXECUTE: NULL');

# \watch runs again and again, until the statement fails: here, the third time
$s->run('CREATE SEQUENCE turn');
my $r = $s->run("SELECT 1 / (3 - nextval('turn')) AS a, x FROM dblink('c', 'SELECT 7') AS t(x int) \\watch 0.1\n;", 60);
is(scalar(() = $r->{out} =~ /\|7$/mg), 2, '\watch: twice');
is($r->{messages}[0]{state}, '22012', '\watch: and the error');

rows_are($s, "SELECT format('SELECT x FROM dblink(%L, %L) AS t(x int)', 'c', 'SELECT ' || i) FROM generate_series(1, 3) i \\gexec\n;", "1\n2\n3", '\gexec');
rows_are($s, "SELECT count(*) AS n FROM dblink('c', 'SELECT i FROM number') AS t(i int) \\gset\n\\echo :n", '5000', '\gset');
rows_are($s, "SELECT * FROM dblink('c', 'SELECT i % 2, g, count(*) FROM number GROUP BY 1, 2 ORDER BY 1, 2') AS t(a int, g int, n int) \\crosstabview\n;", "0|833|833|834\n1|833|834|833", '\crosstabview');
{
	my $t = $s->run("\\set ON_ERROR_ROLLBACK on\nBEGIN;\nSELECT * FROM dblink('c', 'SELECT 1/0') AS t(x int);\nSELECT x FROM dblink('c', 'SELECT 8') AS t(x int);\nCOMMIT;\n\\set ON_ERROR_ROLLBACK off");
	is($t->{out}, '8', 'ON_ERROR_ROLLBACK: goes on after a failed call');
	is($t->{messages}[0]{state}, '22012', 'ON_ERROR_ROLLBACK: the error');
}

# pipes: COPY out of a query on dblink, and into a table over there is no COPY
rows_are($s, "COPY (SELECT i FROM dblink('c', 'SELECT i FROM number WHERE i < 4') AS t(i int)) TO STDOUT", "1\n2\n3", 'COPY of a query');
rows_are($s, "\\copy (SELECT i FROM dblink('c', 'SELECT i FROM number WHERE i < 3') AS t(i int)) TO STDOUT WITH (FORMAT csv, HEADER)", "i\n1\n2", '\copy');

rows_are($s, "COPY (SELECT conn, sum(i) FROM dblink_gather('{c,d}', 'SELECT i FROM number WHERE i < \$1', 4) AS t(conn text, i int) GROUP BY 1 ORDER BY 1) TO STDOUT", "c\t6\nd\t6", 'COPY of dblink_gather');
is(scalar(() = $s->run("\\copy (SELECT * FROM dblink_gather('{c,d}', 'SELECT i FROM number') AS t(conn text, i int)) TO STDOUT")->{out} =~ /^[cd]\t\d+$/mg), 10000, '\copy of dblink_gather');
rows_are($s, "SELECT * FROM dblink_gather('{c,d}', 'SELECT g, count(*) FROM number GROUP BY 1') AS t(conn text, g int, n int) ORDER BY 1, 2 \\crosstabview\n;", "c|1666|1667|1667\nd|1666|1667|1667", '\crosstabview of dblink_gather');

# dblink_begin: a statement that fails takes the remote with it only so far as it does here
{
	my $t = $s->run("\\set ON_ERROR_ROLLBACK on\nBEGIN;\nSELECT dblink_begin('c');\nSELECT dblink_execute('c', 'INSERT INTO number VALUES (\$1, 7)', 6000);\nSELECT dblink_execute('c', 'INSERT INTO number VALUES (1/\$1, 7)', 0);\n"
		  . "SELECT dblink_copy('c', 'number', 'SELECT 6001 AS i, 7 AS g');\nCOMMIT;\n\\set ON_ERROR_ROLLBACK off\nSELECT dblink_execute('d', 'DELETE FROM number WHERE g = 7')");
	is($t->{out}, "OK\n1\n1\n2", 'ON_ERROR_ROLLBACK: the remote transaction goes on, too');
	is($t->{messages}[0]{state}, '22012', 'ON_ERROR_ROLLBACK: the error over there');
	$t = $s->run("SET dblink.forward_notices = on; SELECT * FROM dblink_gather('{c,d}', 'DO \$_\$BEGIN RAISE NOTICE \$\$seen\$\$; END\$_\$') AS t(conn text, x text); RESET dblink.forward_notices");
	is(join(' ', sort map { "$_->{severity} $_->{message} " . $_->{context} =~ s/.*(".")/$1/sr } @{ $t->{messages} }), 'NOTICE seen "c" NOTICE seen "d"', 'a notice of each connection');
}

# what \d shows
like($s->run('\dx dblink')->{out}, qr/^dblink\|1\.2\|/, '\dx');
is(scalar(() = $s->run('\dx+ dblink')->{out} =~ /^function /mg), 41, '\dx+: 41 functions');
is(scalar(() = $s->run('\dx+ dblink2')->{out} =~ /^function /mg), query_value($local, "SELECT count(*) FROM pg_depend d JOIN pg_extension e ON e.oid = refobjid WHERE extname = 'dblink2' AND classid = 'pg_proc'::regclass AND d.deptype = 'e'"), '\dx+ dblink2: its functions');
like($s->run('\df dblink_wait')->{out}, qr/dblink_wait\|text\|connections text\[\], timeout interval DEFAULT NULL::interval\|func/, '\df of a function of dblink2');
like($s->run('\df dblink_connect_u')->{out}, qr/dblink_connect_u\|text\|text, text\|func/, '\df');
like($s->run('\dew')->{out}, qr/^dblink_fdw\|[^|]*\|-\|dblink_fdw_validator$/, '\dew');
$s->run("CREATE VIEW far AS SELECT * FROM dblink('c', 'SELECT i, g FROM number') AS t(i int, g int)");
like($s->run('\d far')->{out}, qr/^i\|integer\|/m, '\d of a view');
like($s->run('\sv far')->{out}, qr/FROM dblink\('c'::text, 'SELECT i, g FROM number'::text\) t\(i integer, g integer\)/, '\sv of a view');

$s->run("CREATE VIEW all_far AS SELECT * FROM dblink_gather('{c,d}', 'SELECT i, g FROM number WHERE i < \$1', 4) AS t(conn text, i int, g int)");
like($s->run('\sv all_far')->{out}, qr/FROM dblink_gather\('\{c,d\}'::text\[\], 'SELECT i, g FROM number WHERE i < \$1'::text, 4\) t\(conn text, i integer, g integer\)/, '\sv of a view on dblink_gather');

# Ctrl-C in each call that waits; psql ends then, as it reads a script. A statement that
# the call sent should be cancelled; one that dblink_wait found under way should go on.
my $sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(128)' AND state = 'active'";
my %waiting = (
	dblink => [ 1, "SELECT * FROM dblink('c', 'SELECT pg_sleep(128)') AS t(x text)" ],
	dblink_gather => [ 2, "SELECT * FROM dblink_gather('{c,d}', 'SELECT pg_sleep(128)') AS t(conn text, x text)" ],
	dblink_wait => [ 1, "SELECT dblink_send_query('c', 'SELECT pg_sleep(128)'); SELECT dblink_wait('{c}')" ],
	dblink_copy => [ 1, "SELECT dblink_copy('c', 'number', \$\$SELECT 8000 AS i, g FROM dblink('d', 'SELECT 1 FROM pg_sleep(128)') AS t(g int)\$\$)" ]);
foreach my $what (sort keys %waiting)
{
	my ($n, $sql) = @{ $waiting{$what} };
	$s->quit;
	$s = session($local);
	$s->run("SELECT dblink_connect(c, $conn) FROM unnest('{c,d}'::text[]) c");
	$s->send($sql);
	poll_value($remote, $sleeping, $n);
	poll_value($local, 'SELECT wait_event_type FROM pg_stat_activity WHERE pid = ' . $s->pid, 'Extension') if $what eq 'dblink_wait';
	kill 'INT', $s->{psql};
	fails_with($s, $s->collect, { state => '57014', message => 'canceling statement due to user request', within => SLOW * 2 }, "Ctrl-C in $what");
	my $left = $what eq 'dblink_wait' ? 1 : 0;
	is(poll_value($remote, $sleeping, $left, SLOW), $left, "Ctrl-C in $what: $left statements run on the remote");
	$admin->run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(128)' AND pid <> pg_backend_pid()");
}
rows_are($admin, 'SELECT count(*) FROM number WHERE i >= 6000', '0', 'Ctrl-C in dblink_copy: the remote has none of the rows');

# the connections end with psql
$s->quit;
remote_quiet($remote, "pid <> " . $admin->pid, 'no session is left on the remote');
$admin->quit;
done_testing();
