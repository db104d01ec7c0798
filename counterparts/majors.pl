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

my $here = query_value($local, "SELECT current_setting('server_version_num')::int / 10000");
foreach my $other (@remotes)
{
	check("$here to $other->{major}", $s, lit(conninfo($other->{node})), remote_major => $other->{major});
}
foreach my $other (others('local'))
{
	my $o = session($other->{node});
	no_error($o, 'CREATE EXTENSION IF NOT EXISTS dblink', "$other->{major}: our extension");
	check("$other->{major} to $here", $o, lit(conninfo($remote)), remote_major => $here);
	$o->quit;
}
$s->quit;
done_testing();
