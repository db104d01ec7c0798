# Nothing is left behind: no descriptor, no slot, no session on the remote, no
# memory, however often something fails and however much data passes.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;
use DblinkWire;
use DblinkFake;

my $secret = 'leak-proof';
my ($local, $remote) = make_pair(
	remote => {
		conf => ['max_connections = 60'],
		hba => [ 'host secured all 127.0.0.1/32 scram-sha-256' ]
	},
	local => { conf => ["work_mem = '4MB'"] });
my $admin = session($remote);
$admin->run("CREATE DATABASE secured; CREATE ROLE plain LOGIN PASSWORD '$secret'");
query_value($local, 'CREATE ROLE plain LOGIN');
my $app = "application_name = 'leaks'";
my $to_remote = lit(conninfo($remote, application_name => 'leaks'));
my $closed_port = PostgreSQL::Test::Cluster::get_free_port();

# ---- descriptors ------------------------------------------------------

my $s = session($local);
my $plain = session($local, user => 'plain');
$s->run("SELECT dblink_connect('d', $to_remote)");
# what a first call opens and keeps is not a leak
repeat_sql($_, 1, "SELECT dblink_connect('d', 'host=127.0.0.1 port=$closed_port password=x')",
	$_ == $s ? '42710' : '08001') foreach $s, $plain;
my %fds = (super => fd_count($s->pid), plain => fd_count($plain->pid));

my @repeated = (
	[ 'super', 400, 'duplicate name', "SELECT dblink_connect('d', $to_remote)", '42710' ],
	[ 'super', 400, 'refused connection', "SELECT dblink_connect('x', 'host=127.0.0.1 port=$closed_port')", '08001' ],
	[ 'super', 400, 'broken string', "SELECT dblink_connect('x', 'nonsense')", '08001' ],
	[ 'super', 120, 'wrong password',
		"SELECT dblink_connect('x', " . lit(conninfo($remote, application_name => 'leaks', dbname => 'secured', user => 'plain', password => 'no')) . ')', '08001' ],
	[ 'super', 120, 'wrong password, dblink',
		"SELECT * FROM dblink(" . lit(conninfo($remote, application_name => 'leaks', dbname => 'secured', user => 'plain', password => 'no'))
		  . ", 'SELECT 1') AS t(x int)", '08001' ],
	[ 'plain', 400, 'no password', "SELECT dblink_connect('x', $to_remote)", '2F003' ],
	[ 'plain', 120, 'password not asked for',
		"SELECT dblink_connect('x', " . lit(conninfo($remote, application_name => 'leaks', user => 'plain', password => 'x')) . ')', '2F003' ],
	[ 'super', 120, 'connection string and a remote error', "SELECT * FROM dblink($to_remote, 'SELECT 1/0') AS t(x int)", '22012' ],
	[ 'super', 120, 'connection string and a local error', "SELECT * FROM dblink($to_remote, 'SELECT ''a''') AS t(x int)", '22P02' ],
	[ 'super', 120, 'connection string, dblink_exec and a remote error', "SELECT dblink_exec($to_remote, 'nonsense')", '42601' ],
	[ 'super', 120, 'connection string, success', "SELECT * FROM dblink($to_remote, 'SELECT 1') AS t(x int)", '' ],
	[ 'super', 120, 'unnamed connection replaced', "SELECT dblink_connect($to_remote)", '' ]);
foreach my $case (@repeated)
{
	my ($who, $times, $name, $sql, $state) = @$case;
	my $session = $who eq 'super' ? $s : $plain;
	# should end the same way each time
	my $r = repeat_sql($session, $times, $sql, $state);
	ok(!$r->{errors} && !$r->{hung}, "$times times: $name") or diag $r->{err};
	# should have as many descriptors as before
	my $extra = $name =~ /^unnamed/ ? 1 : 0;
	is(fd_count($session->pid), $fds{$who} + $extra, "$name: no descriptor is left");
}
$s->run('SELECT dblink_disconnect()');
rows_are($s, "SELECT x FROM dblink('d', 'SELECT 1') AS t(x int)", '1', 'the connection from the start is usable');
rows_are($s, "SELECT dblink_connect('e', $to_remote); SELECT dblink_disconnect('e'); SELECT dblink_disconnect('d')",
	"OK\nOK\nOK", 'and more can be opened');
$plain->quit;
remote_quiet($remote, $app, 'no session is left on the remote');

# ---- not enough descriptors ----------------------------------------------

{
	$local->append_conf('postgresql.conf', 'max_files_per_process = 64');
	$s->quit;
	unwatch($local);
	$local->restart;
	$s = session($local);
	my ($opened, $r) = (0);
	while ($opened < 60)
	{
		$r = $s->run("SELECT dblink_connect('n$opened', $to_remote)");
		last if $r->{errors};
		$opened++;
	}
	cmp_ok($opened, '>', 5, 'some connections can be opened');
	# should fail: with the reason and what to do
	fails_with($s, $r,
		{
			state => '08001',
			message => 'could not establish connection',
			detail => 'There are too many open files on the local server.',
			hint => 'Raise the server\'s '
			  . ($local->pg_version >= 17 ? '"max_files_per_process"' : 'max_files_per_process')
			  . ' and/or "ulimit -n" limits.'
		},
		'then there are too many open files');
	fails_with($s, "SELECT * FROM dblink($to_remote, 'SELECT 1') AS t(x int)",
		{ state => '08001', detail => 'There are too many open files on the local server.' },
		'for a connection string as well');
	repeat_sql($s, 50, "SELECT dblink_connect('more', $to_remote)", '08001');
	# should work: those that are open
	my $last = 'n' . ($opened - 1);
	rows_are($s, "SELECT x FROM dblink('n0', 'SELECT 1') AS t(x int); SELECT x FROM dblink('$last', 'SELECT 2') AS t(x int)",
		"1\n2", 'the open ones are usable');
	rows_are($s, "SELECT cardinality(dblink_get_connections())", $opened, 'and are the only ones');
	# should work: one goes, one comes
	rows_are($s, "SELECT dblink_disconnect('n0'); SELECT dblink_connect('more', $to_remote)", "OK\nOK", 'one goes, one comes');
	fails_with($s, "SELECT dblink_connect('n0', $to_remote)",
		{ state => '08001', detail => 'There are too many open files on the local server.' }, 'but not two');
	rows_are($s, "SELECT count(dblink_disconnect(n)) FROM unnest(dblink_get_connections()) n", $opened, 'all are disconnected');
	rows_are($s, "SELECT dblink_connect('n0', $to_remote); SELECT dblink_disconnect('n0')", "OK\nOK", 'and it starts over');
	# should work: kept connections make room
	$s->run('SET dblink.keep_connections = 100');
	foreach my $n (1 .. $opened)
	{
		my $kept = lit(conninfo($remote, application_name => 'leaks', options => "-c work_mem=${n}MB"));
		$s->run("SELECT * FROM dblink($kept, 'SELECT 1') AS t(x int)");
	}
	is(remote_count($remote, $app), $opened, 'as many are kept');
	rows_are($s, "SELECT dblink_connect('n$_', $to_remote)", 'OK', "a kept connection makes room for n$_") foreach 1 .. 3;
	$s->run('RESET dblink.keep_connections; SELECT dblink_disconnect(n) FROM unnest(dblink_get_connections()) n');
	remote_quiet($remote, $app, 'no session is left on the remote');
	$local->adjust_conf('postgresql.conf', 'max_files_per_process', '1000');
	$s->quit;
	unwatch($local);
	$local->restart;
}

# ---- a remote that holds cancel requests --------------------------------------

# Each statement that is cancelled makes two requests, and both stay: should not
# take more descriptors than a few requests have, and all should go with the remote.
{
	$s = session($local);
	my $fake = fake_server(sub { return { start => auth_ok(), answers => [], end => 'wait' } }, hold_cancels => 1);
	my $to_fake = lit('host=127.0.0.1 dbname=x user=x sslmode=disable gssencmode=disable port=' . $fake->port);
	my $ours = qr/^(?:socket|pipe):/;
	my @counts = fd_count($s->pid, $ours);
	foreach my $turn (1 .. 6)
	{
		$s->run("SELECT dblink_connect('h', $to_fake); SET statement_timeout = '50ms'");
		my $r = $s->run("SELECT * FROM dblink('h', 'SELECT 1') AS t(x int)", SLOW);
		push @counts, fd_count($s->pid, $ours);
		fails_with($s, $r, { state => '57014', within => SLOW }, "cancelled, turn $turn");
		ok((grep { $_->{message} eq 'dblink connection "h" was closed' } @{ $r->{messages} }), "turn $turn: the connection is said to be closed") or diag $r->{err};
		$s->run('RESET statement_timeout');
	}
	cmp_ok($counts[-1], '<=', $counts[0] + 8 * 3, "descriptors are bounded: @counts");
	rows_are($s, "SELECT x FROM dblink($to_remote, 'SELECT 1') AS t(x int)", '1', 'the session works');
	$fake->stop;
	is(poll_until(sub { fd_count($s->pid, $ours) == $counts[0] }, SLOW), 1, 'and all go with the remote');
	is(join('; ', open_objects($s)), '', 'no object is left');
	$s->quit;
}

# ---- memory of large results ------------------------------------------------

# 300,000 rows of 8 columns, 60 MB as text; kept in memory as a result they are
# about 200 MB.  DBLINK_LARGE_ROWS is another number.
my $count = amount('DBLINK_LARGE_ROWS', 300000);
query_value($remote, qq{CREATE TABLE wide AS SELECT g AS a, g * 2::bigint AS b, g / 3.0 AS c,
	'2024-01-01'::timestamp + g * interval '1 minute' AS d, md5(g::text) AS e, repeat('x', 40) AS f,
	g % 2 = 0 AS g, 'row ' || g AS h FROM generate_series(1, $count) g});
my $columns = 'a int, b bigint, c numeric, d timestamp, e text, f text, g bool, h text';
my $bound = 40 * 1024;
my %large = (
	'dblink' => [ '', "SELECT count(*) FROM dblink('m', 'SELECT * FROM wide') AS t($columns)" ],
	'dblink, connection string' => [ '', "SELECT count(*) FROM dblink($to_remote, 'SELECT * FROM wide') AS t($columns)" ],
	'dblink_get_result' => [ "SELECT dblink_send_query('m', 'SELECT * FROM wide')",
		"SELECT count(*) FROM dblink_get_result('m') AS t($columns)" ],
	'dblink_fetch' => [ "SELECT dblink_open('m', 'cur', 'SELECT * FROM wide')",
		"SELECT count(*) FROM dblink_fetch('m', 'cur', $count) AS t($columns)" ],
	'dblink_fetch in blocks' => [ "SELECT dblink_open('m', 'cur', 'SELECT * FROM wide')",
		"SELECT sum(n) FROM generate_series(1, $count / 10000) g, LATERAL (SELECT count(*) AS n FROM dblink_fetch('m', 'cur', 10000 + 0 * g) AS t($columns)) AS b" ],
	'dblink, an error at the end that is thrown' => [ '',
		"DO \$\$BEGIN PERFORM * FROM dblink('m', 'SELECT a, b, c, d, e, f, g, 1 / ($count - a) FROM wide') AS t($columns); EXCEPTION WHEN division_by_zero THEN NULL; END\$\$" ],
	'dblink, an error at the end' => [ '',
		"SELECT count(*) FROM dblink('m', 'SELECT a, b, c, d, e, f, g, 1 / ($count - a) FROM wide', false) AS t($columns)" ],
	'dblink, wrong number of columns' => [ '',
		"DO \$\$BEGIN PERFORM * FROM dblink('m', 'SELECT * FROM wide') AS t(x int); EXCEPTION WHEN datatype_mismatch THEN NULL; END\$\$" ],
	'dblink_exec, rows not wanted' => [ '',
		"DO \$\$BEGIN PERFORM dblink_exec('m', 'SELECT * FROM wide'); EXCEPTION WHEN OTHERS THEN NULL; END\$\$" ]);
foreach my $case (sort keys %large)
{
	my ($before, $sql) = @{ $large{$case} };
	my $session = session($local);
	$session->run("SELECT dblink_connect('m', $to_remote)");
	# what a first row needs is not the matter
	$session->run("SELECT count(*) FROM dblink('m', 'SELECT * FROM wide LIMIT 1') AS t($columns)");
	$session->run($before) if $before;
	reset_peak($session->pid);
	my $start = memory_kb($session->pid, 'VmHWM');
	my $r = $session->run($sql, 120);
	my $peak = memory_kb($session->pid, 'VmHWM') - $start;
	ok(!$r->{errors} && !$r->{hung}, "$case: $count rows") or diag $r->{err};
	is($r->{out}, $count, "$case: all of them") if $case =~ /^\S+$|string|blocks/;
	# a failed result gives no rows, not even those before the error
	is($r->{out}, 0, "$case: none of them") if $case eq 'dblink, an error at the end';
	# should take no more than the tuplestore's work_mem and buffers
	cmp_ok($peak, '<', $bound, "$case: memory grows by less than $bound kB ($peak)");
	$session->quit;
}

# ---- memory of many failures ----------------------------------------------

$s = session($local);
$s->run("SELECT dblink_connect('m', $to_remote); SELECT dblink_exec('m', 'SET datestyle = german')");
$s->run("SET datestyle = 'ISO, YMD'");
my %failing = (
	'remote error' => [ "SELECT * FROM dblink('m', 'SELECT 1/0') AS t(x int)", '22012' ],
	'remote error after rows' => [ "SELECT * FROM dblink('m', 'SELECT 1/(100-g) FROM generate_series(1,200) g') AS t(x int)", '22012' ],
	'local error' => [ "SELECT * FROM dblink('m', 'SELECT ''a'' FROM generate_series(1,100)') AS t(x date)", '22007' ],
	'wrong number of columns' => [ "SELECT * FROM dblink('m', 'SELECT 1, 2 FROM generate_series(1,100)') AS t(x int)", '42804' ],
	'unknown connection' => [ "SELECT dblink_disconnect('unknown')", '08003' ],
	'failing command' => [ "SELECT dblink_exec('m', 'nonsense')", '42601' ],
	'rows from a command' => [ "SELECT dblink_exec('m', 'SELECT 1')", '2F003' ],
	'value and command tag' => [ "SELECT x FROM dblink('m', 'SELECT now()') AS t(x timestamptz)", '' ]);
my $turns = 1500;
foreach my $case (sort keys %failing)
{
	my ($sql, $state) = @{ $failing{$case} };
	my $r = repeat_sql($s, 300, $sql, $state);
	my $before = memory_kb($s->pid, 'RssAnon');
	$r = repeat_sql($s, $turns, $sql, $state) unless $r->{errors};
	my $grown = memory_kb($s->pid, 'RssAnon') - $before;
	ok(!$r->{errors} && !$r->{hung}, "$case, $turns times in a subtransaction") or diag $r->{err};
	# 1 kB a turn would be 1500 kB
	cmp_ok($grown, '<', 1000, "$case: memory does not grow ($grown kB)");
}
rows_are($s, "SELECT x FROM dblink('m', 'SELECT 1') AS t(x int)", '1', 'the connection is usable');
rows_are($s, 'SHOW datestyle', 'ISO, YMD', 'and DateStyle is as it was');
rows_are($s, "SELECT dblink_disconnect('m')", 'OK', 'and it is disconnected');
is(local_fds($s), local_fds(watch($local)), 'no socket is left');
is(join('; ', open_objects($s)), '', 'no object is left');
remote_quiet($remote, $app, 'no session is left on the remote');
diag "SUMMARY rows of a large result: $count, memory grew by less than $bound kB each way";
$_->quit foreach $s, $admin;
done_testing();
