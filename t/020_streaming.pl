# The streaming scan between two servers: rows are there before the last is
# made, nothing is spilled and memory is flat; slow readers, time-outs, lost
# remotes, errors and transactions in mid-stream leave no remote statement
# behind and no connection that is silently wrong.

use strict;
use warnings;
use Test::More;
use Time::HiRes qw(time usleep);
use PostgreSQL::Test::Utils;
use DblinkTest;

my ($local, $remote) = make_pair(
	local => { conf => [ 'log_temp_files = 0', 'dblink.streaming = on' ] });
my $to_remote = lit(conninfo($remote, application_name => 'streams'));
my $to_self = lit(conninfo($local));
my $active = "application_name = 'streams' AND state <> 'idle'";
my $locker = session($remote);

# A table of 20 MB, which no socket's buffers take whole, and rows that a session can hold
# back: the last row of "held" comes when nobody has advisory lock 1.
$locker->run(<<'SQL');
CREATE TABLE big AS SELECT g, repeat('x', 4000) AS filler FROM generate_series(1, 5000) AS g;
CREATE VIEW held AS SELECT g, filler FROM big UNION ALL SELECT 5001, pg_advisory_lock_shared(1)::text;
CREATE VIEW asleep AS SELECT g, filler FROM big UNION ALL SELECT 5001, pg_sleep(600)::text;
CREATE VIEW bad_at_4000 AS SELECT 1 / (4000 - g) AS g, filler FROM (SELECT * FROM big ORDER BY g OFFSET 0) AS s;
CREATE SEQUENCE counted;
CREATE VIEW counting AS SELECT nextval('counted')::int AS g, filler FROM big;
SQL

# What a session gets from a view of the remote.
sub from_remote
{
	my ($view, $conn) = @_;
	return "dblink(" . ($conn || "'c'") . ", 'SELECT g, filler FROM $view') AS t(a int, f text)";
}

# A session with a connection "c" to the remote; settings are set before.
sub connected
{
	my @set = @_;
	my $s = session($local);
	$s->run("LOAD 'dblink'");
	$s->run("SET $_") foreach @set;
	no_error($s, "SELECT dblink_connect('c', $to_remote)", 'connected');
	return $s;
}

# The named connection can be used, and the remote does nothing for it.
sub usable
{
	my ($s, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	remote_quiet($remote, $active, "$name: no statement on the remote", 5);
	rows_are($s, "SELECT * FROM dblink('c', 'SELECT 1') AS t(x int)", '1', "$name: the connection is usable");
	return;
}

# How a query's rows came.
sub came
{
	my ($s, $query) = @_;
	my $r = $s->run("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) $query");
	return join ' ', $r->{errors} ? $r->{err} : (), $r->{out} =~ /Function Scan|Remote Rows: \K\w+(?: ahead)?/g;
}

subtest 'which connections stream' => sub {
	my $s = connected();
	is(came($s, "SELECT * FROM " . from_remote('big')), 'streamed', 'another server: streamed');
	no_error($s, "SELECT dblink_connect('self', $to_self)", 'a connection to this server');
	my $query = "SELECT * FROM dblink('self', 'SELECT 1') AS t(a int)";
	is(came($s, $query), 'materialized', 'this server: not streamed');
	$s->run('SET dblink.streaming = always');
	is(came($s, $query), 'streamed', 'this server, always: streamed');
	$s->run('SET dblink.streaming = off');
	is(came($s, "SELECT * FROM " . from_remote('big')), 'Function Scan', 'off: not streamed');
	$s->run('SET dblink.streaming = on');
	is(came($s, "SELECT * FROM " . from_remote('big', $to_remote)), 'streamed', 'by connection string: streamed');
	$s->quit;

	# before the library is loaded nobody is there to plan a scan
	$s = session($local, env => { PGOPTIONS => '-c session_preload_libraries=dblink' });
	is(came($s, "SELECT * FROM " . from_remote('big', $to_remote)), 'streamed',
		'the first statement of a session that preloads the library');
	$s->quit;
};

subtest 'the first row comes before the last is made' => sub {
	my $s = connected('dblink.stream_hold_time = -1');
	$locker->run('SELECT pg_advisory_lock(1)');
	$s->run('BEGIN');
	$s->run('DECLARE c CURSOR FOR SELECT a FROM ' . from_remote('held'));
	rows_are($s, 'FETCH 1 FROM c', '1', 'a row is there');
	rows_are($s, 'MOVE 4000 FROM c', '', 'and thousands');
	is(poll_value($remote, "SELECT wait_event FROM pg_stat_activity WHERE $active", 'advisory'),
		'advisory', 'while the remote has not made the last');
	$locker->run('SELECT pg_advisory_unlock(1)');
	rows_are($s, 'FETCH 1 FROM c', '4002', 'the next is in order');
	rows_are($s, 'MOVE 998 FROM c; FETCH 5 FROM c', '5001', 'up to the last');
	no_error($s, 'COMMIT', 'the end');
	usable($s, 'after it');
	$s->quit;
};

subtest 'a slow reader does not hold the remote' => sub {
	foreach my $limit ('200ms', '-1')
	{
		my $s = connected("dblink.stream_hold_time = '$limit'");
		$s->run('BEGIN');
		$s->run('DECLARE c CURSOR FOR SELECT a FROM ' . from_remote('big'));
		rows_are($s, 'FETCH 1 FROM c', '1', "$limit: the first row");
		is(remote_count($remote, $active), 1, "$limit: the remote's statement goes on");
		my ($begin, $next) = (time(), 2);
		my $over = poll_until(
			sub {
				usleep(20_000);
				my $got = $s->run('FETCH 1 FROM c')->{out};
				fail("row $next, not $got") unless $got eq $next++;
				return remote_count($remote, $active) == 0;
			},
			$limit eq '-1' ? 1.5 : SLOW);
		my $took = time() - $begin;
		if ($limit eq '-1')
		{
			ok(!$over, 'no limit: it goes on as long as the reader takes');
		}
		else
		{
			ok($over, "$limit: the rest was read ahead after a while");
			cmp_ok($took, '>', 0.15, "$limit: and not before");
		}
		my $left = $s->run('FETCH ALL FROM c')->{out};
		my @left = split /\n/, $left;
		is(scalar(@left) . " $left[0] $left[-1]", (5001 - $next) . " $next 5000", "$limit: every row came once, in order");
		no_error($s, 'COMMIT', "$limit: commit");
		usable($s, $limit);
		$s->quit;
	}

	# the time that the remote takes for its rows is not the reader's
	my $s = connected("dblink.stream_hold_time = '200ms'");
	is( came($s, "SELECT count(*) FROM dblink('c', 'SELECT g, filler, pg_sleep(0.002) FROM big LIMIT 300') AS t(a int, f text, s text)"),
		'streamed', 'time spent by the remote does not count');
	$s->quit;
};

subtest 'time-out and cancel in mid-stream' => sub {
	my %way = (
		'waiting for a row' => 'SELECT count(*) FROM ' . from_remote('asleep'),
		'between rows' => 'SELECT a, pg_sleep(0.05) FROM ' . from_remote('asleep'),
		'in a loop' => 'DO $$ DECLARE a int; BEGIN FOR a IN SELECT t.a FROM ' . from_remote('asleep')
		  . ' LOOP PERFORM pg_sleep(0.05); END LOOP; END $$',
		'storing' => 'CREATE TABLE never AS SELECT * FROM ' . from_remote('asleep'),
		'draining' => 'SELECT a FROM ' . from_remote('asleep') . ' LIMIT 1',
		'reading ahead' => "SELECT dblink_exec('c', 'SET work_mem = ''4MB''') FROM " . from_remote('asleep'));
	my $s = connected();
	foreach my $name (sort keys %way)
	{
		$s->run("SET statement_timeout = '500ms'");
		my $r = $s->run($way{$name}, SLOW);
		$s->run('RESET statement_timeout');
		fails_with($s, $r, { state => '57014', message => 'canceling statement due to statement timeout', within => 1.5 },
			"$name: timed out");
		usable($s, $name);

		$s->send($way{$name});
		is(poll_value($remote, "SELECT count(*) FROM pg_stat_activity WHERE $active", 1), 1, "$name: runs");
		my $begin = time();
		query_value($local, 'SELECT pg_cancel_backend(' . $s->pid . ')');
		$r = $s->collect(SLOW);
		$r->{secs} = time() - $begin;
		fails_with($s, $r, { state => '57014', message => 'canceling statement due to user request', within => 1 },
			"$name: cancelled");
		usable($s, $name);
	}

	# in a subtransaction that catches it, for the remote: the stream around it goes on
	$s->run("SET statement_timeout = '60s'");
	no_error($s, 'BEGIN', 'transaction');
	$s->run('DECLARE c CURSOR FOR SELECT a FROM ' . from_remote('big'));
	rows_are($s, 'FETCH 2 FROM c', "1\n2", 'rows');
	$s->run("SELECT dblink_connect('d', $to_remote)");
	$s->run('SAVEPOINT s');
	$s->run("SET LOCAL statement_timeout = '300ms'");
	fails_with($s, "SELECT count(*) FROM " . from_remote('asleep', "'d'"), { state => '57014' }, 'another stream times out');
	$s->run('ROLLBACK TO s');
	rows_are($s, 'FETCH 2 FROM c', "3\n4", 'the first one goes on');
	rows_are($s, "SELECT * FROM dblink('d', 'SELECT 1') AS t(x int)", '1', "and the other's connection is usable");
	no_error($s, 'COMMIT', 'commit');
	$s->quit;
};

subtest 'the local backend ends in mid-stream' => sub {
	foreach my $name ('waiting for a row', 'between rows')
	{
		my $s = connected();
		$s->send($name eq 'between rows'
			? 'SELECT pg_sleep(600) FROM ' . from_remote('big')
			: 'SELECT count(*) FROM ' . from_remote('asleep'));
		is(poll_value($remote, "SELECT count(*) FROM pg_stat_activity WHERE $active", 1), 1, "$name: runs");
		query_value($local, 'SELECT pg_terminate_backend(' . $s->pid . ')');
		$s->collect(SLOW);
		remote_quiet($remote, "application_name = 'streams'", "$name: the remote session is gone", SLOW);
		$s->quit;
	}
};

subtest 'the remote ends in mid-stream' => sub {
	my $s = connected('dblink.stream_hold_time = -1');
	$s->run('BEGIN');
	$s->run('DECLARE c CURSOR FOR SELECT a FROM ' . from_remote('asleep'));
	rows_are($s, 'FETCH 2 FROM c', "1\n2", 'rows');
	is(query_value($remote, "SELECT bool_and(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE $active"), 't', 'killed');
	remote_quiet($remote, $active, 'and gone', 5);
	fails_with($s, 'FETCH ALL FROM c', { state => qr/^(57P01|08006)$/, within => 2 }, 'the rest is an error');
	$s->run('ROLLBACK');
	fails_with($s, "SELECT * FROM dblink('c', 'SELECT 1') AS t(x int)", { state => qr/^(XX000|08003|08006)$/ }, 'the connection is no more')
	  if $s->run('SELECT dblink_get_connections()')->{out} eq '{c}';
	$s->run("SELECT dblink_disconnect('c')");
	no_error($s, "SELECT dblink_connect('c', $to_remote)", 'connected anew');
	usable($s, 'then');

	# the same with nobody reading: at the end of the transaction
	$s->run('BEGIN');
	$s->run('DECLARE c CURSOR FOR SELECT a FROM ' . from_remote('asleep'));
	rows_are($s, 'FETCH 1 FROM c', '1', 'a row');
	query_value($remote, "SELECT bool_and(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE $active");
	remote_quiet($remote, $active, 'gone', 5);
	my $r = $s->run('ROLLBACK', SLOW);
	ok(!$r->{hung} && !$r->{errors}, 'rollback ends and is no error');
	healthy($s, 'the session lives');
	$s->quit;
};

subtest 'a remote that stands still' => sub {
	my $s = connected('dblink.stream_hold_time = -1');
	$s->run('BEGIN');
	$s->run('DECLARE c CURSOR FOR SELECT a FROM ' . from_remote('asleep'));
	rows_are($s, 'FETCH 2 FROM c', "1\n2", 'rows');
	my $pid = query_value($remote, "SELECT pid FROM pg_stat_activity WHERE $active");
	kill 'STOP', $pid or die "could not stop $pid";
	my $r = $s->run('ROLLBACK', 60);
	kill 'CONT', $pid;
	ok(!$r->{hung}, 'rollback ends');
	note(sprintf 'after %.1f s', $r->{secs});
	cmp_ok($r->{secs}, '<', 45, 'in bounded time');
	ok((grep { $_->{severity} eq 'WARNING' && $_->{state} eq '08006' } @{ $r->{messages} }), 'and says that the connection was closed');
	rows_are($s, 'SELECT dblink_get_connections()', '', 'it is closed');
	healthy($s, 'the session lives');
	$s->quit;
};

subtest 'a remote error after many rows' => sub {
	my $s = connected();
	my $sql = "SELECT 1 / (100000 - g), repeat(''x'', 50) FROM generate_series(1, 200000) AS g";
	my $from = "dblink('c', '$sql') AS t(a int, f text)";
	my %error = (state => '22012', message => 'division by zero', context => qr/^while executing query on dblink connection named "c"$/m);
	fails_with($s, "SELECT count(*) FROM $from", \%error, 'counted');
	fails_with($s, "SELECT a FROM $from WHERE a > 0 LIMIT 1", \%error, 'met in a filter');
	fails_with($s, "SELECT a FROM $from LIMIT 1", \%error, 'still to come');
	$s->run('CREATE TABLE half (a int)');
	fails_with($s, "INSERT INTO half SELECT a FROM $from", \%error, 'inserted');
	rows_are($s, 'SELECT count(*) FROM half', '0', 'nothing of it stays');
	$s->run('SET dblink.on_early_end = cancel');
	rows_are($s, "SELECT f FROM $from LIMIT 1", 'x' x 50, 'with cancel it does not come');
	usable($s, 'after it');
	$s->quit;
};

subtest 'drain and cancel' => sub {
	my $s = connected();
	my $query = 'SELECT a FROM ' . from_remote('counting') . ' LIMIT 1';
	rows_are($s, $query, '1', 'drain: a row');
	is(query_value($remote, 'SELECT last_value FROM counted'), 5000, 'drain: the remote statement came to its end');
	query_value($remote, 'ALTER SEQUENCE counted RESTART; SELECT 1');
	$s->run('SET dblink.on_early_end = cancel');
	rows_are($s, $query, '1', 'cancel: a row');
	usable($s, 'cancel');
	cmp_ok(query_value($remote, 'SELECT last_value FROM counted'), '<', 5000, 'cancel: it did not');
	my $r = rows_are($s, 'SELECT a FROM ' . from_remote('asleep') . ' LIMIT 1', '1', 'cancel: no wait for the rest');
	cmp_ok($r->{secs}, '<', 2, 'at once');
	$r = rows_are($s, 'SELECT a FROM ' . from_remote('asleep', $to_remote) . ' LIMIT 1', '1', 'cancel, by connection string');
	cmp_ok($r->{secs}, '<', 2, 'at once');
	remote_quiet($remote, $active, 'and nothing goes on', 5);
	rows_are($s, 'SELECT count(*) FROM generate_series(1, 3) AS o WHERE EXISTS (SELECT FROM ' . from_remote('asleep') . ' WHERE a > o)',
		'3', 'cancel in a subquery');
	usable($s, 'a subquery');
	$s->quit;
};

# Lines about temporary files in the log of the local server.
sub temp_files
{
	return scalar(() = slurp_file($local->logfile) =~ /LOG:  temporary file: /g);
}

subtest 'no temporary files, and flat memory' => sub {
	my $rows = $ENV{DBLINK_QUICK} ? 100_000 : 500_000;
	my %use = (
		'count(*)' => "SELECT count(*) FROM %s",
		'INSERT ... SELECT' => "INSERT INTO taken SELECT * FROM %s",
		'CREATE TABLE AS' => "CREATE TABLE made AS SELECT * FROM %s; DROP TABLE made",
		'LIMIT 1' => "SELECT a FROM %s LIMIT 1",
		'a join' => "SELECT count(*) FROM %s JOIN generate_series(1, 100) AS l(id) ON a = id",);
	foreach my $how ('dblink', 'connection string', 'get_result', 'fetch', 'binary')
	{
		my $s = connected('dblink.stream_hold_time = -1', "work_mem = '64kB'");
		if ($how eq 'binary')
		{
			next if $s->run('SET dblink.result_format = binary')->{errors};
		}
		$s->run('CREATE TEMP TABLE taken (a int, f text)');
		foreach my $name ($how eq 'dblink' ? sort keys %use : 'count(*)')
		{
			my $before = temp_files();
			my @peak;
			foreach my $n (10_000, $rows)
			{
				my $sql = "SELECT g, repeat(''y'', 60) FROM generate_series(1, $n) AS g";
				my $list = 't(a int, f text)';
				my $from =
				    $how eq 'get_result' ? "dblink_get_result('c') AS $list"
				  : $how eq 'fetch' ? "dblink_fetch('c', 'cur', $n) AS $list"
				  : $how eq 'connection string' ? "dblink($to_remote, '$sql') AS $list"
				  : "dblink('c', '$sql') AS $list";
				$s->run("SELECT dblink_send_query('c', '$sql')") if $how eq 'get_result';
				$s->run("SELECT dblink_open('c', 'cur', '$sql')") if $how eq 'fetch';
				reset_peak($s->pid);
				my $r = $s->run(sprintf($use{$name}, $from), 120);
				ok(!$r->{errors} && !$r->{hung}, "$how, $name: $n rows") or diag($r->{err});
				is($r->{out}, $n, "$how, $name: as many as expected") if $name eq 'count(*)';
				push @peak, memory_kb($s->pid, 'VmHWM') - 0;
				$s->run("SELECT * FROM dblink_get_result('c') AS t(a int, f text)") if $how eq 'get_result';
				$s->run("SELECT dblink_close('c', 'cur')") if $how eq 'fetch';
			}
			cmp_ok($peak[1] - $peak[0], '<', 4000, "$how, $name: memory does not grow (@peak kB)")
			  unless $name eq 'INSERT ... SELECT' || $name eq 'CREATE TABLE AS';
			is(temp_files() - $before, 0, "$how, $name: no temporary file");
		}
		$s->quit;
	}

	# the log does tell: the function writes them
	my $s = connected('dblink.streaming = off', "work_mem = '64kB'");
	my $before = temp_files();
	$s->run("SELECT count(*) FROM dblink('c', 'SELECT g, repeat(''y'', 60) FROM generate_series(1, 10000) AS g') AS t(a int, f text)");
	cmp_ok(temp_files(), '>', $before, 'without streaming there is one');
	$s->quit;
};

subtest 'a local lock is no hang' => sub {
	my $s = connected("lock_timeout = '3s'", 'dblink.stream_hold_time = -1');
	$s->run("SELECT dblink_connect('self', $to_self)");
	$s->run("CREATE TABLE here AS SELECT g, repeat('x', 4000) AS filler FROM generate_series(1, 5000) AS g");
	my $loop = <<'SQL';
DO $$
DECLARE a int; n int := 0;
BEGIN
	FOR a IN SELECT t.a FROM dblink('self', 'SELECT g, filler FROM here') AS t(a int, f text) LOOP
		n := n + 1;
		IF n = 10 THEN
			ALTER TABLE here ALTER filler SET DEFAULT 10;
		END IF;
	END LOOP;
	RAISE NOTICE 'rows: %', n;
END $$
SQL
	my $r = no_error($s, $loop, 'a table that this server streams to itself can be altered meanwhile');
	is($r->{messages}[0]{message}, 'rows: 5000', 'and every row came');
	no_error($s, 'BEGIN; UPDATE here SET filler = NULL WHERE g = 1', 'a row is locked here');
	rows_are($s, "SELECT count(*) FROM dblink('self', 'SELECT g FROM here') AS t(a int)", '5000', 'a reader does not mind');
	$s->run("SELECT dblink_exec('self', 'SET lock_timeout = ''500ms''')");
	fails_with($s, "SELECT * FROM dblink('self', 'SELECT g FROM here WHERE g = 1 FOR UPDATE') AS t(a int)", { state => '55P03' },
		'who wants the lock gets the time-out');
	$s->run('ROLLBACK');

	# why it is so: streamed all the same, it waits for what nobody will do
	$s->run('SET dblink.streaming = always');
	fails_with($s, $loop, { state => '55P03' }, 'always: the lock is not to be had');
	remote_quiet($local, "query LIKE '%FROM here%' AND state = 'active' AND query NOT LIKE '%pg_stat%'", 'always: nothing stays', 5);
	rows_are($s, "SELECT * FROM dblink('self', 'SELECT 1') AS t(x int)", '1', 'always: the connection is usable');
	$s->quit;
};

subtest 'transactions within a loop over a stream' => sub {
	my $s = connected('dblink.stream_hold_time = -1');
	$s->run(<<'SQL');
CREATE TABLE done (a int);
CREATE PROCEDURE copy_rows(every int, undo bool) LANGUAGE plpgsql AS $$
DECLARE r record;
BEGIN
	FOR r IN SELECT a, f FROM dblink('c', 'SELECT g, filler FROM big') AS t(a int, f text) LOOP
		INSERT INTO done VALUES (r.a);
		IF r.a % every = 0 THEN
			COMMIT;
		ELSIF undo AND r.a % every = 1 THEN
			ROLLBACK;
		END IF;
	END LOOP;
	COMMIT;
END $$;
SQL
	no_error($s, 'CALL copy_rows(1000, false)', 'COMMIT in the loop');
	rows_are($s, 'SELECT count(*), count(DISTINCT a) FROM done', '5000|5000', 'every row once');
	usable($s, 'COMMIT');
	$s->run('TRUNCATE done');
	no_error($s, 'CALL copy_rows(1000, true)', 'ROLLBACK and COMMIT in the loop');
	rows_are($s, 'SELECT count(*), count(DISTINCT a) FROM done', '4995|4995', 'all rows but those that were rolled back');
	usable($s, 'ROLLBACK');

	# an error between the transactions
	$s->run('TRUNCATE done; ALTER TABLE done ADD CHECK (a <> 2500)');
	fails_with($s, 'CALL copy_rows(1000, false)', { state => '23514' }, 'an error in the loop');
	rows_are($s, 'SELECT count(*) FROM done', '2000', 'what was committed stays');
	usable($s, 'an error');

	# an error while the stream still reads, and one that comes with a row
	$s->run('TRUNCATE done');
	fails_with($s, 'CALL copy_rows(4000, false)', { state => '23514' }, 'an error in mid-stream');
	usable($s, 'an error in mid-stream');
	$s->quit;
};

subtest 'a cursor and its savepoints' => sub {
	my $s = connected('dblink.stream_hold_time = -1');
	$s->run('BEGIN');
	$s->run('DECLARE c CURSOR FOR SELECT a FROM ' . from_remote('big'));
	rows_are($s, 'FETCH 2 FROM c', "1\n2", 'rows before');
	$s->run('SAVEPOINT s');
	rows_are($s, 'MOVE 1998 FROM c; FETCH 1 FROM c', '2001', 'rows in it');
	$s->run('ROLLBACK TO s');
	is(remote_count($remote, $active), 1, 'the stream is open still');
	rows_are($s, 'FETCH 2 FROM c', "2002\n2003", 'rows after it was undone');
	$s->run('SAVEPOINT s');
	fails_with($s, 'SELECT 1 / 0', { state => '22012' }, 'an error');
	$s->run('ROLLBACK TO s');
	rows_are($s, 'FETCH 1 FROM c', '2004', 'a row after it');
	rows_are($s, 'MOVE FORWARD ALL FROM c; FETCH 1 FROM c', '', 'to the end');
	$s->run('COMMIT');
	usable($s, 'after it');

	# the error comes with a row of the stream: the cursor is no more, and its
	# stream neither, whose rows would take long, or do not fit into work_mem, or
	# have an error to come
	$s->quit;
	foreach my $query (
		"SELECT 1 / (500 - a) FROM " . from_remote('asleep'),
		"SELECT 1 / (500 - a) FROM " . from_remote('big'),
		"SELECT 1 / (length(f) % 2) FROM " . from_remote('bad_at_4000') . ' WHERE a < 1 OR a > 0',
		"SELECT a FROM " . from_remote('bad_at_4000'))
	{
		$s = connected('dblink.stream_hold_time = -1', "work_mem = '64kB'");
		$s->run('BEGIN');
		$s->run("DECLARE c CURSOR FOR $query");
		no_error($s, 'MOVE 2 FROM c', 'rows') unless $query =~ /length/;
		$s->run('SAVEPOINT s');
		fails_with($s, 'FETCH ALL FROM c', { state => '22012', within => 5 }, 'an error of its own');
		$s->run('ROLLBACK TO s');
		remote_quiet($remote, $active, 'no statement goes on', 5);
		$s->run("SET statement_timeout = '5s'");
		rows_are($s, "SELECT * FROM dblink('c', 'SELECT 1') AS t(x int)", '1', 'the connection is usable in the same transaction');
		fails_with($s, 'FETCH 1 FROM c', {}, 'the cursor is not');
		$s->run('ROLLBACK');
		healthy($s, 'the session lives');
		usable($s, 'after it');
		$s->quit;
	}
};

subtest 'a stream yields to what would wait for it' => sub {
	my $s = connected('dblink.stream_hold_time = -1');
	no_error($s, "SELECT dblink_connect('d', $to_remote), dblink_exec('d', 'SET lock_timeout = ''5s''')", 'a second connection');
	foreach my $command (
		"dblink_exec('d', 'ALTER TABLE big ALTER filler SET DEFAULT 10')",
		"(SELECT x FROM dblink('d', 'ALTER TABLE big ALTER filler SET DEFAULT 20') AS u(x text))",
		"(SELECT x FROM dblink('d', 'LOCK TABLE big; SELECT 1') AS u(x text))",
		"dblink_exec($to_remote, 'SET lock_timeout = ''5s''; ALTER TABLE big ALTER filler SET DEFAULT 30')",
		"dblink_disconnect('c') || dblink_connect('c', $to_remote)",
		"dblink_send_query('d', 'ALTER TABLE big ALTER filler SET DEFAULT 40')::text"
		  . " || (SELECT x FROM dblink_get_result('d') AS u(x text)) || coalesce((SELECT x FROM dblink_get_result('d') AS u(x text)), '')")
	{
		my $r = $s->run("SELECT count(*), count(x) FROM (SELECT a, CASE a WHEN 100 THEN $command END AS x FROM "
			  . from_remote('big') . ' OFFSET 0) AS s');
		ok(!$r->{errors} && $r->{out} eq '5000|1', "no wait: $command") or diag("$r->{out} $r->{err}");
	}
	usable($s, 'after it');
	$s->quit;
};

# A row of the local table is changed by another session before we get to it:
# our statement looks at its new version, and at the remote's rows once more.
subtest 'a row that was changed meanwhile' => sub {
	my $s = connected("lock_timeout = '20s'");
	my $other = session($local);
	$s->run('CREATE TABLE changed (id int, v text)');
	my $three = "dblink('c', 'SELECT g, ''new'' FROM generate_series(1, 3) AS g') AS d(id int, v text)";
	foreach my $update (
		"UPDATE changed SET v = u.v FROM (SELECT * FROM $three UNION ALL SELECT 99, 'none') AS u WHERE changed.id = u.id",
		"UPDATE changed SET v = u.v FROM $three JOIN LATERAL (SELECT d.v) AS u ON true WHERE changed.id = d.id",
		"UPDATE changed SET v = (SELECT d.v FROM $three WHERE d.id = changed.id)",
		"WITH u AS MATERIALIZED (SELECT * FROM $three) UPDATE changed SET v = u.v FROM u WHERE changed.id = u.id")
	{
		$s->run("TRUNCATE changed; INSERT INTO changed SELECT g, 'old' FROM generate_series(1, 3) AS g");
		$other->run("BEGIN; UPDATE changed SET v = 'other' WHERE id = 2");
		$s->send($update);
		is(poll_value($local, 'SELECT wait_event_type FROM pg_stat_activity WHERE pid = ' . $s->pid, 'Lock'), 'Lock', 'it waits');
		$other->run('COMMIT');
		my $r = $s->collect;
		diag($r->{err}) if $r->{errors};
		rows_are($s, "SELECT string_agg(id || v, ' ' ORDER BY id) FROM changed", '1new 2new 3new', "no row is lost: $update");
	}
	usable($s, 'after it');
	$_->quit foreach $s, $other;
};

# The same lock that a stream holds can be wanted by others, and reads wait behind those.
subtest 'a stream yields to what waits behind somebody else' => sub {
	my $s = connected('dblink.stream_hold_time = -1');
	no_error($s, "SELECT dblink_connect('d', $to_remote), dblink_exec('d', 'SET lock_timeout = ''5s''')", 'a second connection');
	my $waits = "SELECT wait_event_type FROM pg_stat_activity WHERE query LIKE 'ALTER TABLE big%' AND state = 'active'";

	# should not hang: a read in line behind ALTER TABLE
	foreach my $format (qw(text binary))
	{
		$s->run("SET dblink.result_format = $format");
		$s->run('BEGIN; DECLARE c CURSOR FOR SELECT a FROM ' . from_remote('big'));
		rows_are($s, 'FETCH 1 FROM c', '1', "$format: a stream holds its lock");
		$locker->send('ALTER TABLE big ALTER filler SET DEFAULT 50');
		is(poll_value($remote, $waits, 'Lock'), 'Lock', 'somebody waits for it');
		rows_are($s, "SELECT x FROM dblink('d', 'SELECT count(*)::int FROM big') AS t(x int)", '5000', 'a read gets behind him, and its answer');
		ok(!$locker->collect->{errors}, 'and so does he');
		rows_are($s, 'MOVE 4998 FROM c; FETCH 5 FROM c', '5000', 'the stream goes on');
		no_error($s, 'COMMIT', 'commit');
	}
	$s->run('RESET dblink.result_format');

	# should not hang: waiting for an asynchronous query that needs the lock
	$locker->run('SELECT pg_advisory_lock(2)');
	rows_are($s, "SELECT dblink_send_query('d', 'DO ''BEGIN PERFORM pg_advisory_lock(2); ALTER TABLE big ALTER filler SET DEFAULT 60; END''')", 1, 'sent before the stream begins');
	$s->run('BEGIN; DECLARE c CURSOR FOR SELECT a FROM ' . from_remote('big'));
	rows_are($s, 'FETCH 1 FROM c', '1', 'a stream holds its lock');
	$locker->run('SELECT pg_advisory_unlock(2)');
	ok(poll_until(sub { $s->run("SELECT dblink_is_busy('d')")->{out} eq '0' }, 4), 'it comes to its end while somebody asks for it');
	rows_are($s, "SELECT x FROM dblink_get_result('d') AS t(x text)", 'DO', 'well');
	rows_are($s, 'MOVE 4998 FROM c; FETCH 5 FROM c', '5000', 'the stream goes on');
	no_error($s, "COMMIT; SELECT FROM dblink_get_result('d') AS t(x text)", 'commit');

	# should work: a connection by connection string is gone with what it has to say
	$locker->run('CREATE DATABASE gone');
	my $to_gone = lit(conninfo($remote, dbname => 'gone'));
	my $r = no_error($s, <<"SQL", 'a database is dropped while its rows are looped over');
DO \$\$
DECLARE a int; n int := 0;
BEGIN
	FOR a IN SELECT t.a FROM dblink($to_gone, 'SELECT g FROM generate_series(1, 3) AS g') AS t(a int) LOOP
		n := n + a;
		IF a = 1 THEN PERFORM dblink_exec('c', 'DROP DATABASE gone'); END IF;
	END LOOP;
	RAISE NOTICE 'sum: %', n;
END \$\$
SQL
	is($r->{messages}[0]{message}, 'sum: 6', 'and all of them come');
	usable($s, 'after it');
	$s->quit;
};

subtest 'an error of this server comes before the first row' => sub {
	my $s = connected();
	$s->run("CREATE SEQUENCE used; SELECT dblink_connect('self', $to_self)");
	foreach my $conn ("'self'", $to_self)
	{
		fails_with($s, "SELECT nextval('used') FROM dblink($conn, 'SELECT 1 / (3 - g) FROM generate_series(1, 5) AS g') AS t(a int)",
			{ state => '22012' }, 'should fail: an error after two rows');
		rows_are($s, 'SELECT is_called FROM used', 'f', 'no row was used');
	}
	$s->quit;
};

# libpq holds all of it when nobody waits for the remote any more.
subtest 'rows that came at once can be cancelled' => sub {
	my $s = connected();
	foreach my $streaming (qw(on off))
	{
		$s->run("SET dblink.streaming = $streaming");
		rows_are($s, "SELECT dblink_send_query('c', 'SELECT g, g, g FROM generate_series(1, 1000000) AS g; SELECT 7, 8, 9')", 1, 'sent');
		ok(poll_until(sub { $s->run("SELECT dblink_is_busy('c')")->{out} eq '0' }, SLOW * 4), 'all has come');
		$s->run("SET statement_timeout = '20ms'");
		fails_with($s, "SELECT count(*) FROM dblink_get_result('c') AS t(a int, b int, c int)", { state => '57014' }, "streaming $streaming: cancelled");
		$s->run('RESET statement_timeout');
		my $next = "SELECT * FROM dblink_get_result('c') AS t(a int, b int, c int)";
		rows_are($s, $next, '7|8|9', 'the result after it is not touched');
		rows_are($s, $next, '', 'nor is the end');
		usable($s, "streaming $streaming");
	}
	$s->quit;
};

subtest 'parallel plans' => sub {
	my $s = connected();
	$s->run(<<'SQL');
CREATE TABLE shared AS SELECT g AS id, g % 10 AS grp FROM generate_series(1, 20000) AS g;
ANALYZE shared;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET enable_memoize = off;
SQL
	my $query = 'SELECT count(*), sum(id) FROM shared JOIN ' . from_remote('big') . ' ON a = id';
	my $plan = $s->run("EXPLAIN (COSTS OFF) $query")->{out};
	like($plan, qr/Gather/, 'the local table is read in parallel');
	my ($gather) = $plan =~ /^( *)(?:->  )?Gather/m;
	my ($scan) = $plan =~ /^( *)(?:->  )?Custom Scan \(dblink\)/m;
	ok(defined $scan && length $scan <= length $gather, 'the stream is read by the leader') or diag($plan);
	rows_are($s, $query, '5000|12502500', 'the right rows');
	$s->quit;
};

$locker->quit;
unwatch($_) foreach $local, $remote;
done_testing();
