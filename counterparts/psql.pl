# psql: \gdesc, FETCH_COUNT, \watch, \gexec, \crosstabview, savepoints by
# ON_ERROR_ROLLBACK, and its descriptions of our objects.

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
$s->run("SELECT dblink_connect('c', $conn)");

# \gdesc prepares the query and does not run it
rows_are($s, "SELECT * FROM dblink('c', 'SELECT i, g FROM number') AS t(i int, g numeric(5,2)) \\gdesc\n;", "i|integer\ng|numeric(5,2)", '\gdesc');
rows_are($s, "SELECT i, dblink_is_busy('c') AS busy, dblink_get_connections() FROM dblink_get_result('c') AS t(i int) \\gdesc\n;",
	"i|integer\nbusy|integer\ndblink_get_connections|text[]", '\gdesc of other functions');

# FETCH_COUNT reads by a cursor, 100 rows at a time
rows_are($s, "\\set FETCH_COUNT 100\n\\o /dev/null\nSELECT i FROM dblink('c', 'SELECT i FROM number') AS t(i int);\n\\o\n\\echo :ROW_COUNT\n\\unset FETCH_COUNT",
	'5000', 'FETCH_COUNT: all rows');
rows_are($s, "\\set FETCH_COUNT 2\nSELECT i FROM dblink('c', 'SELECT i FROM number ORDER BY i LIMIT 5') AS t(i int);\n\\unset FETCH_COUNT", "1\n2\n3\n4\n5", 'FETCH_COUNT: rows in order');
rows_are($s, "\\set FETCH_COUNT 1000\nSELECT count(*) FROM dblink('c', 'SELECT i FROM number') AS t(i int);\n\\unset FETCH_COUNT\nSELECT x FROM dblink('c', 'SELECT 1') AS t(x int)", "5000\n1", 'FETCH_COUNT: the connection is usable after it');
fails_with($s, "\\set FETCH_COUNT 10\nSELECT 1/(i - 25) FROM dblink('c', 'SELECT i FROM number ORDER BY i') AS t(i int);\n\\echo\n\\unset FETCH_COUNT", { state => '22012' }, 'FETCH_COUNT: an error in mid-result');
rows_are($s, "SELECT x FROM dblink('c', 'SELECT 1') AS t(x int)", '1', 'FETCH_COUNT: the connection is usable after the error');

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

# what \d shows
like($s->run('\dx dblink')->{out}, qr/^dblink\|1\.2\|/, '\dx');
is(scalar(() = $s->run('\dx+ dblink')->{out} =~ /^function /mg), 41, '\dx+: 41 functions');
like($s->run('\df dblink_connect_u')->{out}, qr/dblink_connect_u\|text\|text, text\|func/, '\df');
like($s->run('\dew')->{out}, qr/^dblink_fdw\|[^|]*\|-\|dblink_fdw_validator$/, '\dew');
$s->run("CREATE VIEW far AS SELECT * FROM dblink('c', 'SELECT i, g FROM number') AS t(i int, g int)");
like($s->run('\d far')->{out}, qr/^i\|integer\|/m, '\d of a view');
like($s->run('\sv far')->{out}, qr/FROM dblink\('c'::text, 'SELECT i, g FROM number'::text\) t\(i integer, g integer\)/, '\sv of a view');

# Ctrl-C; psql ends then, as it reads a script
$s->send("SELECT * FROM dblink('c', 'SELECT pg_sleep(128)') AS t(x text)");
poll_value($remote, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(128)' AND state = 'active'", 1);
kill 'INT', $s->{psql};
fails_with($s, $s->collect, { state => '57014', message => 'canceling statement due to user request', within => SLOW * 2 }, 'Ctrl-C');
is(poll_value($remote, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(128)' AND state = 'active'", 0, SLOW), 0, 'Ctrl-C: the remote statement is cancelled');

# the connections end with psql
$s->quit;
remote_quiet($remote, "pid <> " . $admin->pid, 'no session is left on the remote');
$admin->quit;
done_testing();
