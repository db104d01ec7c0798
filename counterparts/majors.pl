# Remotes of other majors than the local server's, and the other way round: of those
# that are installed beside it.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;
use Counterpart;

my @remotes = others('remote') or plan skip_all => 'needs another major of PostgreSQL';
my ($local, $remote) = make_pair();
my $s = session($local);
$s->run('CREATE EXTENSION dblink2');

# Values that must come the same from every major, text and binary: the remote
# makes them from these, and says itself what it has.
my @values = (
	[ 'boolean', 'true', 'false' ],
	[ 'smallint', '-32768' ], [ 'integer', '2147483647' ], [ 'bigint', '-9223372036854775808' ],
	[ 'numeric', '12345678901234567890.0123456789', 'NaN', '-0.5' ],
	[ 'real', '0.1', '3.4028235e+38', 'Infinity' ], [ 'double precision', '0.30000000000000004', '5e-324', '-Infinity' ],
	[ 'text', 'a', '', "\xc3\xa9\xe2\x82\xac" ], [ 'varchar(5)', 'abc' ], [ 'char(5)', 'abc' ], [ 'name', 'x y' ], [ '"char"', 'x' ],
	[ 'bytea', '\x00ff5c27' ], [ 'date', '2000-02-29', 'infinity', '0044-03-15 BC' ], [ 'time', '23:59:59.999999' ],
	[ 'timetz', '01:02:03+05:30' ], [ 'timestamp', '2026-07-08 09:10:11.123456', '-infinity' ], [ 'timestamptz', '2026-07-08 09:10:11.5+02' ],
	[ 'interval', '1 year 2 mons 3 days 04:05:06.7', '-00:00:01' ], [ 'uuid', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11' ],
	[ 'json', '{"a": [1, null]}' ], [ 'jsonb', '{"a": [1, null], "b": "x"}' ], [ 'inet', '10.1.2.3/8', '::1' ], [ 'cidr', '10.0.0.0/8' ],
	[ 'macaddr', '08:00:2b:01:02:03' ], [ 'point', '(1,2)' ], [ 'box', '(3,4),(1,2)' ], [ 'bit(4)', '1010' ], [ 'varbit', '101' ], [ 'xml', '<a>b</a>' ],
	[ 'int4range', '[1,5)' ], [ 'tsvector', q('a':1 'b':2) ], [ 'pg_lsn', '16/B374D848' ], [ 'oid', '4294967295' ], [ 'regclass', 'pg_class' ],
	[ 'int[]', '{1,NULL,3}', '[2:3]={4,5}' ], [ 'text[]', '{a,"b c",NULL}' ], [ 'numeric[]', '{1.5,NaN}' ], [ 'timestamptz[]', '{"2026-01-01 00:00:00+00"}' ], [ 'float8[]', '{0.1,1e300}' ]);

# All checks from one server to another.
sub check
{
	my ($name, $s, $conn, %opt) = @_;
	my $got = $opt{remote_session};
	rows_are($s, "SELECT dblink_connect('c', $conn)", 'OK', "$name: connect");
	rows_are($s, "SELECT x / 10000 FROM dblink('c', 'SHOW server_version_num') AS t(x int)", $opt{remote_major}, "$name: it is that major");

	foreach my $format ('text', 'binary')
	{
		my @wrong;
		$s->run("SET dblink.result_format = $format");
		foreach my $type (@values)
		{
			my ($t, @literals) = @$type;
			my $list = join ', ', map { "(" . lit($_) . "::$t)" } @literals;
			my $cast = "x::text";
			my $sql = "SELECT x, $cast AS said FROM (VALUES $list) v(x)";
			my $r = $s->run("SELECT bool_and(x::text IS NOT DISTINCT FROM said), count(*) FROM dblink('c', " . lit($sql) . ") AS t(x $t, said text)");
			push @wrong, "$t: $r->{out} $r->{err}" if $r->{out} ne 't|' . @literals;
		}
		ok(!@wrong, "$name: " . @values . " types, $format") or diag join "\n", @wrong;
		rows_are($s, "SELECT count(*), sum(i), max(t) FROM dblink('c', 'SELECT i, i * interval ''1 s'' FROM generate_series(1, 20000) i') AS t(i int, t interval)",
			'20000|200010000|05:33:20', "$name: many rows, $format");
	}
	$s->run('RESET dblink.result_format');

	fails_with($s, "SELECT * FROM dblink('c', 'SELECT * FROM nowhere') AS t(x int)",
		{ state => '42P01', message => 'relation "nowhere" does not exist', context => qr/^while executing query on dblink connection named "c"$/ }, "$name: a remote error");
	fails_with($s, "SELECT dblink_exec('c', 'DO \$\$BEGIN RAISE EXCEPTION ''main'' USING DETAIL = ''detail'', HINT = ''hint'', ERRCODE = ''AB123''; END\$\$')",
		{ state => 'AB123', message => 'main', detail => 'detail', hint => 'hint', context => qr/^PL\/pgSQL function inline_code_block line 1 at RAISE\nwhile executing command/ },
		"$name: all fields of an error");
	rows_are($s, "SELECT dblink_exec('c', 'INSERT INTO nowhere SELECT 1', false)", 'ERROR', "$name: fail_on_error = false");
	rows_are($s, "SET client_min_messages = log; SELECT dblink_exec('c', 'DO \$\$BEGIN RAISE NOTICE ''a notice''; END\$\$'); RESET client_min_messages", 'DO', "$name: a notice")
	  ->{err} =~ /received message via remote connection: NOTICE:  a notice/
	  or fail("$name: the notice's text");

	rows_are($s, "SELECT dblink_open('c', 'cur', 'SELECT generate_series(1, 10)'); SELECT * FROM dblink_fetch('c', 'cur', 2) AS t(i int);"
		  . "SELECT sum(i) FROM dblink_fetch('c', 'cur', 100) AS t(i int); SELECT dblink_close('c', 'cur')", "OK\n1\n2\n52\nOK", "$name: a cursor");
	rows_are($s, "SELECT dblink_send_query('c', 'SELECT 1; SELECT 2'); SELECT * FROM dblink_get_result('c') AS t(i int);"
		  . "SELECT * FROM dblink_get_result('c') AS t(i int); SELECT * FROM dblink_get_result('c') AS t(i int)", "1\n1\n2", "$name: asynchronous");
	rows_are($s, "SELECT dblink_exec('c', 'LISTEN l; NOTIFY l, ''payload'''); SELECT notify_name, extra FROM dblink_get_notify('c')", "NOTIFY\nl|payload", "$name: a notification");

	dblink2_calls($name, $s, $conn);

	$s->run("SELECT dblink_send_query('c', 'SELECT pg_sleep(123)')");
	# a request that comes before the query begins has no effect
	my $cancelled = poll_until(sub { $s->run("SELECT dblink_cancel_query('c')"); $s->run("SELECT dblink_is_busy('c')")->{out} eq '0' }, SLOW);
	ok($cancelled, "$name: cancelled");
	fails_with($s, "SELECT * FROM dblink_get_result('c') AS t(x text)", { state => '57014', message => 'canceling statement due to user request' }, "$name: the result says so");
	$s->run("SELECT * FROM dblink_get_result('c') AS t(x text)");
	$s->run("SET statement_timeout = '1s'");
	fails_with($s, "SELECT * FROM dblink('c', 'SELECT pg_sleep(124)') AS t(x text)", { state => '57014', message => 'canceling statement due to statement timeout', within => SLOW }, "$name: statement_timeout");
	$s->run('RESET statement_timeout');
	rows_are($s, "SELECT x FROM dblink('c', 'SELECT count(*) FROM pg_stat_activity WHERE query LIKE ''%pg_sleep(124)'' AND state = ''active''') AS t(x int)", '0', "$name: the remote statement is cancelled, the connection usable");
	rows_are($s, "SET dblink.keep_connections = 1; SELECT x FROM dblink($conn, 'SELECT 1') AS t(x int); SELECT x FROM dblink($conn, 'SELECT 2') AS t(x int); SET dblink.keep_connections = 0",
		"1\n2", "$name: a kept connection");
	rows_are($s, "SELECT dblink_disconnect('c')", 'OK', "$name: disconnect");
	healthy($s, "$name: the session lives");
	return;
}

# Those of dblink2. A parameter of each type should arrive as what it is here, whatever
# the settings that its text depends on. (A "char" has to be cast, or the call is not
# unique.)
sub dblink2_calls
{
	my ($name, $s, $conn) = @_;
	my @wrong;
	my $count = "SELECT dblink_query_as(0, 'd', 'SELECT count(*)::int FROM far')";
	$s->run("SET DateStyle = 'German'; SET IntervalStyle = 'sql_standard'; SET extra_float_digits = 0; SET bytea_output = 'escape'");
	foreach my $type (@values)
	{
		my ($t, @literals) = @$type;
		foreach my $literal (map { lit($_) . "::$t" } @literals)
		{
			my $sql = lit("SELECT \$1::$t, \$1::$t\::text = ($literal)::text");
			my $value = $literal . ($t eq '"char"' ? '::text' : '');
			my $r = $s->run("SELECT x::text = ($literal)::text, same FROM dblink_query('c', $sql, $value) AS t(x $t, same bool)");
			push @wrong, "$literal: $r->{out} $r->{err}" if $r->{out} ne 't|t';
		}
	}
	$s->run('RESET ALL');
	ok(!@wrong, "$name: parameters of these types") or diag join "\n", @wrong;

	rows_are($s, "SELECT dblink_connect('d', $conn); CREATE TEMP TABLE near (i int, t text, n numeric, z timestamptz, y bytea, a text[], j jsonb, iv interval);"
		  . "INSERT INTO near SELECT i, '\xc3\xa9' || i, i * 1.5, '2026-07-08 09:10:11.5+00', '\\x00ff5c27', ARRAY['a b', NULL], '{\"k\": [1, null]}', '1 mon -1 day' FROM generate_series(1, 3000) i",
		'OK', "$name: a second connection");
	rows_are($s, "SELECT dblink_execute('c', 'CREATE TABLE far (iv interval, i int CHECK (i < 5000), t text, n numeric, z timestamptz, y bytea, a text[], j jsonb)') IS NULL;"
		  . "SELECT dblink_copy('c', 'far', 'SELECT * FROM near')", "t\n3000", "$name: dblink_copy");
	foreach my $format ('text', 'binary')
	{
		$s->run("SET dblink.result_format = $format");
		rows_are($s, "SELECT count(*) FROM dblink_query_as(NULL::near, 'd', 'SELECT * FROM far WHERE i <= \$1 AND y = \$2', 3000, '\\x00ff5c27'::bytea) q JOIN near USING (i, t, n, z, y, a, j, iv)",
			'3000', "$name: dblink_query_as, the same rows, $format");
		rows_are($s, "SELECT conn, count(*), sum(i) FROM dblink_gather('{c,d}', 'SELECT i, t FROM far WHERE i > ALL (\$1)', ARRAY[1, 10]) AS t(conn text, i int, t text) GROUP BY 1 ORDER BY 1",
			"c|2990|4501445\nd|2990|4501445", "$name: dblink_gather, $format");
	}
	$s->run('RESET dblink.result_format');
	fails_with($s, "SELECT dblink_copy('c', 'far (i)', 'SELECT i FROM generate_series(4000, 6000) i')", { state => '23514' }, "$name: dblink_copy, an error there");
	fails_with($s, "SELECT dblink_copy('c', 'far (i)', 'SELECT 1 / (4900 - i) FROM generate_series(4000, 4950) i')", { state => '22012' }, "$name: dblink_copy, an error here");
	rows_are($s, $count, '3000', "$name: neither has left rows");
	fails_with($s, "SELECT dblink_execute('c', 'UPDATE far SET i = i + \$1', 4000)", { state => '23514' }, "$name: a constraint");
	rows_are($s, "SELECT sqlstate, table_name, constraint_name FROM dblink_error('c')", '23514|far|far_i_check', "$name: dblink_error");
	rows_are($s, "SELECT string_agg(column_name || ' ' || type_name, ', ') FROM dblink_describe('c', 'SELECT i, n::numeric(8,2), z, a, \$1 + i AS s FROM far')",
		'i integer, n numeric(8,2), z timestamp with time zone, a text[], s integer', "$name: dblink_describe");

	rows_are($s, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT dblink_begin('c'); SELECT dblink_execute('c', 'DELETE FROM far WHERE i > \$1', 2000);"
		  . "SAVEPOINT one; SELECT dblink_execute('c', 'DELETE FROM far'); ROLLBACK TO one; COMMIT; $count", "OK\n1000\n2000\n2000", "$name: dblink_begin, and COMMIT");
	rows_are($s, "BEGIN; SELECT dblink_begin(c) FROM unnest('{c,d}'::text[]) c; SELECT dblink_execute('c', 'DELETE FROM far'); ROLLBACK; $count", "OK\nOK\n2000\n2000", "$name: dblink_begin, and ROLLBACK");
	rows_are($s, "SELECT dblink_send_query('c', 'SELECT pg_sleep(122)'), dblink_send_query('d', 'SELECT \$1', 42); SELECT dblink_wait('{c,d}'); SELECT * FROM dblink_gather('{d}') AS t(conn text, i int)",
		"1|1\nd\nd|42", "$name: dblink_wait");
	ok(poll_until(sub { $s->run("SELECT dblink_cancel_query('c')"); $s->run("SELECT dblink_wait('{c}', '100 ms')")->{out} eq 'c' }, SLOW), "$name: cancelled, and waited for");
	fails_with($s, "SELECT * FROM dblink_gather('{c}') AS t(conn text, x text)", { state => '57014' }, "$name: its result");
	rows_are($s, "SELECT dblink_exec('c', 'LISTEN news'); SELECT dblink_exec('d', 'NOTIFY news'); SELECT notify_name FROM dblink_get_notify('c', '1 min')", "LISTEN\nNOTIFY\nnews", "$name: dblink_get_notify");
	my $r = $s->run("DROP TABLE near; SET dblink.forward_notices = on; SELECT dblink_execute('c', 'DROP TABLE far'), dblink_execute('c', 'DROP TABLE IF EXISTS far'); RESET dblink.forward_notices");
	is($r->{messages}[0]{message}, 'table "far" does not exist, skipping', "$name: a notice");
	rows_are($s, "SELECT connname, state FROM dblink_connections(); SELECT dblink_disconnect('d')", "c|idle\nd|idle\nOK", "$name: dblink_connections");
	return;
}

my $here = query_value($local, "SELECT current_setting('server_version_num')::int / 10000");
foreach my $other (@remotes)
{
	check("$here to $other->{major}", $s, lit(conninfo($other->{node})), remote_major => $other->{major});
}
foreach my $other (others('local'))
{
	my $o = session($other->{node});
	no_error($o, 'CREATE EXTENSION dblink2 CASCADE', "$other->{major}: our extension");
	check("$other->{major} to $here", $o, lit(conninfo($remote)), remote_major => $here);
	$o->quit;
}
$s->quit;
done_testing();
