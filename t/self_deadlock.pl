# A call that waits for a statement on this very server, which waits for what the
# session holds, ends with 40P01: at once where the call is through a loopback server
# and the wait is direct, else when the same chain has stood for
# dblink.deadlock_patience.  And there is no false alarm: what others end by
# themselves, a lock_timeout most of all, ends as it does with stock.

use strict;
use warnings;
use Test::More;
use DblinkTest;
use DblinkFake;
use DblinkWire qw(auth_ok message);
use PostgreSQL::Test::Utils;

my $local = make_server('local',
	conf => [ "deadlock_timeout = '100ms'", 'max_prepared_transactions = 5', 'autovacuum = off', 'log_connections = on' ]);
$local->safe_psql('postgres', <<'SQL');
CREATE EXTENSION dblink;
CREATE SERVER here FOREIGN DATA WRAPPER dblink_fdw OPTIONS (loopback 'on');
CREATE TABLE t (id int PRIMARY KEY, x int);
INSERT INTO t SELECT i, i FROM generate_series(1, 1000) i;
SQL
my $s = session($local);
my $here = "'here'";
my $tcp = lit(conninfo($local));
my $unix = lit(conninfo($local, host => $local->host));

# What the session does first in a transaction, and what the other waits for.
sub call_after
{
	my ($first, $target, $sql) = @_;
	my $r = $s->run("BEGIN; $first; SELECT dblink_exec($target, " . lit($sql) . ')', SLOW * 2);
	$s->run('ROLLBACK; DEALLOCATE ALL; SELECT pg_advisory_unlock_all()');
	return $r;
}

# The backend of the session's second session, or of any other but ours.
my $others = 'SELECT pid FROM pg_stat_activity WHERE backend_type = '
  . "'client backend' AND application_name LIKE 'dblink loopback%'";

# ---- direct waits ------------------------------------------------------------

my %direct = (
	'a table lock' => [ 'LOCK TABLE t', 'INSERT INTO t VALUES (0, 0)', qr/waits for RowExclusiveLock on relation \d+ of database \d+; blocked by process \d+\./ ],
	'a lock of a read' => [ 'SELECT 1 FROM t LIMIT 1', 'TRUNCATE t', qr/waits for AccessExclusiveLock on relation/ ],
	'a row' => [ 'UPDATE t SET x = 0 WHERE id = 1', 'DELETE FROM t WHERE id = 1', qr/waits for ShareLock on transaction/ ],
	'a key' => [ 'INSERT INTO t VALUES (-1, 0)', 'INSERT INTO t VALUES (-1, 0)', qr/waits for ShareLock on transaction/ ],
	'a key, speculatively' => [ 'INSERT INTO t VALUES (-1, 0)', 'INSERT INTO t VALUES (-1, 0) ON CONFLICT DO NOTHING', qr/waits for ShareLock on transaction/ ],
	'an advisory lock' => [ 'SELECT pg_advisory_lock(1)', 'DO $$ BEGIN PERFORM pg_advisory_lock(1); END $$', qr/waits for ExclusiveLock on advisory lock/ ],
	'a snapshot' => [ 'SELECT 1 FROM t LIMIT 1', 'CREATE INDEX CONCURRENTLY later ON t (x)', qr/waits for ShareLock on virtual transaction/ ],
	'a snapshot, to reindex' => [ 'SELECT 1 FROM t LIMIT 1', 'REINDEX TABLE CONCURRENTLY t', qr/waits for ShareLock on virtual transaction/ ],
	'a safe snapshot' => [
		'SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; UPDATE t SET x = 1 WHERE id = 2',
		'BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE; SELECT FROM t; COMMIT', qr/waits for a safe snapshot/ ]);
foreach my $name (sort keys %direct)
{
	my ($first, $sql, $detail) = @{ $direct{$name} };
	my $r = call_after($first, $here, $sql);
	# should fail: the other waits for what we hold
	fails_with($s, $r, { state => '40P01', message => 'deadlock detected', detail => $detail,
			hint => $name =~ /a snapshot/ ? qr/dblink_send_query/ : qr/Commit before the call/, within => 4 }, $name);
	like($r->{messages}[-1]{detail}, qr/Process (\d+) waits for .*\nProcess \d+ waits for the remote statement of process \1\.$/s, "$name: who");
}
$s->run('DROP INDEX CONCURRENTLY IF EXISTS later');
rows_are($s, 'SELECT count(*), sum(x) FROM t', '1000|500500', 'nothing of all that was done');
# should work: the second session is as good as before
rows_are($s, "SELECT * FROM dblink('here', 'SELECT count(*) FROM t') AS x (n int)", 1000, 'the next call');

# should fail: through TLS or not, by name, and when the answer is fetched
$s->run("SELECT dblink_connect('c', 'here')");
fails_with($s, "BEGIN; LOCK TABLE t; SELECT dblink_send_query('c', 'SELECT count(*) FROM t'); SELECT * FROM dblink_get_result('c') AS x (n int)",
	{ state => '40P01', within => 4 }, 'dblink_get_result() of a named connection');
$s->run("ROLLBACK; SELECT * FROM dblink_get_result('c') AS x (n int)");
rows_are($s, "SELECT * FROM dblink('c', 'SELECT 1') AS x (n int)", 1, 'the named connection can be used again');
# should fail: with fail_on_error off, too
fails_with($s, "BEGIN; LOCK TABLE t; SELECT * FROM dblink('c', 'SELECT count(*) FROM t', false) AS x (n int)",
	{ state => '40P01', within => 4 }, 'it is an error of ours');
$s->run("ROLLBACK; SELECT dblink_disconnect('c')");
# should fail: the leader of parallel workers holds the lock
$s->run('SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0');
fails_with($s, "SELECT id, dblink_exec('here', 'TRUNCATE t') FROM t WHERE x % 500 = 1", { state => '40P01', within => 4 }, 'a parallel leader');
$s->run('RESET ALL');

# ---- waits that others may end --------------------------------------------------

# Another session waits for what ours holds, and the remote stands in line behind it.
my $third = session($local);
sub behind_another
{
	my ($third_timeout, $target, $before) = @_;
	my $own = $before || '';
	$s->run("BEGIN; $own SELECT 1 FROM t LIMIT 1");
	$third->send("SET lock_timeout = '$third_timeout'; ALTER TABLE t ADD y int");
	poll_value($local, "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'", 1);
	my $r = $s->run("SELECT * FROM dblink($target, 'SELECT count(*) FROM t') AS x (n int)", SLOW * 2);
	$s->run('ROLLBACK');
	my $gave_up = $third->collect;
	$third->run('ALTER TABLE t DROP IF EXISTS y');
	return ($r, $gave_up);
}
foreach my $case ([ 'loopback', $here ], [ 'TCP', $tcp ], [ 'Unix-domain socket', $unix ])
{
	my ($name, $target) = @$case;
	# should work: the third gives up by itself
	my ($r, $gave_up) = behind_another('1500ms', $target);
	is($r->{out}, 1000, "$name: behind another that gives up") or diag $r->{err};
	fails_with($s, $gave_up, { state => '55P03' }, "$name: it is the other that gives up");
	# should fail: it stands for longer than we are patient
	($r, $gave_up) = behind_another('20s', $target, "SET LOCAL dblink.deadlock_patience = '700ms';");
	fails_with($s, $r, { state => '40P01', within => 5,
			detail => qr/\AProcess \d+ waits for AccessShareLock on .*; blocked by process (\d+)\.\nProcess \1 waits for AccessExclusiveLock on .*\nProcess \d+ waits for the remote/ },
		"$name: a chain that stands");
	is($gave_up->{errors}, 0, "$name: the other goes on");
}

# should fail: a classic call has the remote's own lock_timeout
foreach my $case ([ 'TCP', conninfo($local, options => '-c lock_timeout=1500') ],
	[ 'Unix-domain socket', conninfo($local, host => $local->host, options => '-c lock_timeout=1500') ])
{
	fails_with($s, call_after('LOCK TABLE t', lit($case->[1]), 'INSERT INTO t VALUES (0, 0)'),
		{ state => '55P03', message => 'canceling statement due to lock timeout' }, "$case->[0]: a direct wait with a lock_timeout there");
	fails_with($s, call_after("LOCK TABLE t; SET LOCAL dblink.deadlock_patience = '300ms'", lit($case->[1]), 'INSERT INTO t VALUES (0, 0)'),
		{ state => '40P01', within => 3 }, "$case->[0]: less patient than that");
}
# should fail: of our patience without limit, only by its own time limit
fails_with($s, call_after("LOCK TABLE t; SET LOCAL dblink.deadlock_patience = -1; SET LOCAL statement_timeout = '1500ms'", $tcp, 'INSERT INTO t VALUES (0, 0)'),
	{ state => '57014', message => qr/statement timeout/ }, 'never');

# should be cancelled again at the next looks only: it is stopped, and takes no notice
{
	my $start = -s $local->logfile;
	$s->run("SELECT dblink_connect('c', $tcp)");
	my ($pid) = $s->run("SELECT * FROM dblink('c', 'SELECT pg_backend_pid()') AS x (pid int)")->{out} =~ /(\d+)/;
	$s->run("BEGIN; LOCK TABLE t; SET LOCAL dblink.deadlock_patience = '1s'");
	$s->send("SELECT dblink_exec('c', 'INSERT INTO t VALUES (0, 0)')");
	poll_value($local, "SELECT wait_event_type FROM pg_stat_activity WHERE pid = $pid", 'Lock');
	kill 'STOP', $pid;
	my $requests = sub { scalar(() = slurp_file($local->logfile, $start) =~ /connection received: host=127\.0\.0\.1/g) - 1 };
	poll_until(sub { $requests->() > 0 });
	ok($s->collect(1.5)->{hung}, 'the remote session is stopped');
	cmp_ok($requests->(), '<=', 3, 'cancel requests in that time');
	kill 'CONT', $pid;
	# should fail: once it goes on
	fails_with($s, $s->collect, { state => '40P01' }, 'a session that was stopped');
	$s->run("ROLLBACK; SELECT dblink_disconnect('c')");
}

# ---- calls of dblink2 --------------------------------------------------------------

$s->run('CREATE EXTENSION dblink2; SELECT dblink_connect(' . "'c', " . lit(conninfo($local, options => '-c lock_timeout=3000')) . ')');
foreach my $call ([ 'dblink_execute()', "SELECT dblink_execute('c', 'INSERT INTO t VALUES (\$1, 0)', 0)" ],
	[ 'dblink_query()', "SELECT * FROM dblink_query('c', 'SELECT \$1 FROM t', 1) AS x (n int)" ],
	[ 'dblink_query() in a select list', "SELECT dblink_query('c', 'SELECT count(*) FROM t')" ],
	[ 'dblink_query_as()', "SELECT * FROM dblink_query_as(NULL::t, 'c', 'TABLE t')" ],
	[ 'dblink_describe()', "SELECT * FROM dblink_describe('c', 'TABLE t')" ])
{
	my ($name, $sql) = @$call;
	my $own = "BEGIN; LOCK TABLE t; SET LOCAL dblink.deadlock_patience = '1h'";
	# should fail: through a classic connection at once, too, before the remote's lock_timeout
	fails_with($s, "$own; $sql", { state => '40P01', message => 'deadlock detected' }, $name);
	$s->run('ROLLBACK');
	# should fail: but a call of dblink that follows has that time
	fails_with($s, "$own; SELECT dblink_exec('c', 'INSERT INTO t VALUES (0, 0)')", { state => '55P03' }, "$name: then dblink_exec()");
	$s->run('ROLLBACK');
}
$s->run("SELECT dblink_disconnect('c')");
# should fail: so it has on a connection that was kept after a call of dblink2
my $kept = lit(conninfo($local, options => '-c lock_timeout=3000'));
$s->run("SET dblink.keep_connections = 1; SELECT dblink_execute($kept, 'SELECT 1')");
fails_with($s, call_after("LOCK TABLE t; SET LOCAL dblink.deadlock_patience = '1h'", $kept, 'INSERT INTO t VALUES (0, 0)'),
	{ state => '55P03' }, 'a kept connection: dblink_exec()');
$s->run('RESET dblink.keep_connections');

# ---- two connections of one session ------------------------------------------------

$s->run("SELECT dblink_connect('a', 'here'), dblink_connect('b', 'here'), dblink_exec('a', 'BEGIN; LOCK TABLE t')");
# should fail: the remote's own timeout is what the user gets
$s->run(q{SELECT dblink_exec('b', 'SET lock_timeout = ''1500ms''')});
fails_with($s, "SELECT * FROM dblink('b', 'SELECT count(*) FROM t') AS x (n int)", { state => '55P03' }, 'behind a connection of ours: its lock_timeout');
# should fail: for longer than we are patient
$s->run(q{SET dblink.deadlock_patience = '500ms'; SELECT dblink_exec('b', 'SET lock_timeout = 0')});
fails_with($s, "SELECT * FROM dblink('b', 'SELECT count(*) FROM t') AS x (n int)",
	{ state => '40P01', detail => qr/Process \d+ waits for AccessShareLock .*\nProcess (\d+) waits for the next command of process (\d+)\.\nProcess \2 waits for the remote/, within => 4 },
	'behind a connection of ours: patience');
$s->run("RESET dblink.deadlock_patience; SELECT dblink_disconnect('a'), dblink_disconnect('b')");

# ---- no false alarm -----------------------------------------------------------------

# should work: a third session that waits for nothing holds the lock
$third->run('BEGIN; LOCK TABLE t');
$s->send("SET dblink.deadlock_patience = 0; SELECT * FROM dblink('here', 'SELECT count(*) FROM t') AS x (n int)");
poll_value($local, "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 't'::regclass", 1);
is($s->collect(1.5)->{hung}, 1, 'a lock of another: no deadlock');
$third->run('ROLLBACK');
is($s->collect->{out}, 1000, 'the answer, after it is released');
$s->run('RESET dblink.deadlock_patience');

# should end by its time limit: a page of our cursor is no lock
$s->run('BEGIN; DECLARE c CURSOR FOR TABLE t; FETCH 1 FROM c');
$s->run("SET LOCAL statement_timeout = '1s'");
my $r = $s->run("SELECT dblink_exec('here', 'VACUUM (FREEZE) t')", SLOW);
ok(!$r->{hung}, 'VACUUM FREEZE against our cursor can be cancelled');
$s->run('ROLLBACK');

# should end by its time limit: a server that tells the process number of another
my $blocked = session($local);
my ($version) = split / /, query_value($local, 'SHOW server_version');
my $fake = fake_server(sub {
	my $start = auth_ok(server_version => $version);
	my $key = message('K', pack('NN', 4242, 4242));
	my $other = message('K', pack('NN', $blocked->pid, 1));
	$start =~ s/\Q$key\E/$other/;
	return { start => $start, answers => [], end => 'wait' };
});
$s->run('BEGIN; LOCK TABLE t');
$blocked->send('SELECT count(*) FROM t');
poll_value($local, 'SELECT wait_event_type FROM pg_stat_activity WHERE pid = ' . $blocked->pid, 'Lock');
$s->run("SET LOCAL dblink.deadlock_patience = 0; SET LOCAL statement_timeout = '1500ms'");
fails_with($s, 'SELECT * FROM dblink(' . lit('host=127.0.0.1 user=x password=x port=' . $fake->port) . ", 'SELECT 1') AS x (n int)",
	{ state => '57014', message => qr/statement timeout/ }, 'a server that lies');
$s->run('ROLLBACK');
is($blocked->collect->{out}, 1000, 'nothing was cancelled');
$fake->stop;

# ---- graphs at random ------------------------------------------------------------------

# Three sessions and the caller lock tables and wait for each other, all with time
# limits.  A call through the loopback server is a deadlock if, and only if, the caller
# holds what the other session needs; a classic one never is, in so short a time.  What
# the server itself finds, among those that wait for each other, is a deadlock with
# stock, too; it knows nothing of what waits for a remote statement.
srand($ENV{DBLINK_SEED} || 1);
my $rounds = $ENV{DBLINK_DEADLOCK_ROUNDS} || ($ENV{DBLINK_QUICK} ? 20 : 60);
my @modes = ('ACCESS SHARE', 'SHARE', 'EXCLUSIVE', 'ACCESS EXCLUSIVE');
my %conflicts = (
	'ACCESS SHARE' => { map { $_ => 1 } $modes[3] },
	'SHARE' => { map { $_ => 1 } @modes[ 2, 3 ] },
	'EXCLUSIVE' => { map { $_ => 1 } @modes[ 1, 2, 3 ] },
	'ACCESS EXCLUSIVE' => { map { $_ => 1 } @modes });
my @graph = ($s, $third, session($local), session($local));
my ($wrong, %seen) = (0);
$s->run('CREATE TABLE g0 (); CREATE TABLE g1 (); CREATE TABLE g2 ()');

# A lock of one of the tables: its name and the mode.
sub any_lock
{
	return ('g' . int rand 3, $modes[ rand @modes ]);
}
foreach my $round (1 .. $rounds)
{
	my (@story, %held, $others);
	foreach my $n (0 .. $#graph)
	{
		my ($table, $mode) = any_lock();
		my $r = $graph[$n]->run("BEGIN; LOCK TABLE $table IN $mode MODE NOWAIT");
		push @story, "$n has $table $mode" . ($r->{errors} ? ', not' : '');
		$held{$table} = $mode if $n == 0 && !$r->{errors};
		$graph[$n]->run('ROLLBACK; BEGIN') if $r->{errors};
	}
	my @waiting = grep { rand() < 0.6 } 1 .. $#graph;
	foreach my $n (@waiting)
	{
		my ($table, $mode) = any_lock();
		$graph[$n]->send('SET LOCAL lock_timeout = ' . (50 + int rand 200) . "; LOCK TABLE $table IN $mode MODE");
		push @story, "$n wants $table $mode";
	}
	my ($table, $mode) = any_lock();
	my ($name, $target) = rand() < 0.7 ? ('loopback', $here) : ('classic', $tcp);
	my $r = $s->run("SELECT dblink_exec($target, 'BEGIN; SET LOCAL lock_timeout = 1000; LOCK TABLE $table IN $mode MODE; COMMIT')");
	my $state = $r->{errors} ? $r->{messages}[-1]{state} : '00000';
	my $own = exists $held{$table} && $conflicts{$mode}{ $held{$table} };
	$state = "40P01 of the server" if $state eq '40P01' && $r->{messages}[-1]{detail} !~ /waits for the remote statement/;
	my $right = $state =~ /server/ ? @waiting > 1 : !$own ? $state =~ /^(00000|55P03)$/ : $name eq 'loopback' ? $state eq '40P01' : $state eq '55P03';
	$seen{ $name . ($own ? ', own lock: ' : ': ') . $state }++;
	if (!$right)
	{
		$wrong++;
		diag join("\n", "round $round:", @story, "$name wants $table $mode: $state", $r->{err});
	}
	$graph[$_]->collect foreach @waiting;
	$_->run('ROLLBACK') foreach @graph;
}
note "$_: $seen{$_}" foreach sort keys %seen;
is($wrong, 0, "$rounds graphs");

done_testing();
