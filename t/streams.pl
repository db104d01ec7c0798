# The streaming scan between two servers: rows are used before the last is made,
# nothing is spilled and memory is flat; slow readers, time-outs, lost remotes,
# errors and early ends in mid-stream leave no remote statement behind and no
# connection that is silently wrong.  What a stream does is seen where a function
# of the plan stops it in one of its rows, until we let it go on; such a plan streams
# only if it is told to, so the setting is "always".
#
# streaming: any

use strict;
use warnings;
use Test::More;
use Time::HiRes qw(usleep);
use PostgreSQL::Test::Utils;
use DblinkTest;

my ($local, $remote) = make_pair(
	local => { conf => [ 'log_temp_files = 0', 'dblink.streaming = always' ] });
my $to_remote = lit(conninfo($remote, application_name => 'streams'));
my $to_self = lit(conninfo($local));
my $active = "application_name = 'streams' AND state <> 'idle'";
my $locker = session($remote);
my $keeper = session($local);

# A table of 20 MB, which no socket's buffers take whole, and rows that a session can hold
# back: the last row of "held" comes when nobody has advisory lock 1.
$locker->run(<<'SQL');
CREATE TABLE big AS SELECT g, repeat('x', 4000) AS filler FROM generate_series(1, 5000) AS g;
CREATE VIEW held AS SELECT g, filler FROM big UNION ALL SELECT 5001, pg_advisory_xact_lock_shared(1)::text;
CREATE VIEW asleep AS SELECT g, filler FROM big UNION ALL SELECT 5001, pg_sleep(600)::text;
CREATE VIEW bad_at_4000 AS SELECT 1 / (4000 - g) AS g, filler FROM (SELECT * FROM big ORDER BY g OFFSET 0) AS s;
CREATE SEQUENCE counted;
CREATE VIEW counting AS SELECT nextval('counted')::int AS g, filler FROM big;
SQL

# gate(a, n) is a, and waits in row n while we have advisory lock n here.
$keeper->run(<<'SQL');
CREATE FUNCTION gate(a int, n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	IF a = n THEN PERFORM pg_advisory_xact_lock_shared(n); END IF;
	RETURN a;
END $$;
SQL

# Closes gates, or opens them.
sub shut { $keeper->run("SELECT pg_advisory_lock($_)") foreach @_; return; }
sub open_gate { $keeper->run("SELECT pg_advisory_unlock($_)") foreach @_; return; }

# The session gets to this gate and waits there.
sub stops
{
	my ($s, $n, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is(poll_value($local, "SELECT string_agg(objid::text, ' ') FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND pid = " . $s->pid, $n, SLOW),
		$n, "$name: stops in row $n");
}

# What a session gets from a view of the remote.
sub from_remote
{
	my ($view, $conn) = @_;
	return "dblink(" . ($conn || "'c'") . ", 'SELECT g, filler FROM $view') AS t(a int, f text)";
}

# A query with this expression for each row.  It gives "t" if every row came once, in order.
sub all_rows
{
	my ($view, $expr) = @_;
	my $last = $view eq 'big' ? 5000 : 5001;
	return "SELECT array_agg(x) = ARRAY(SELECT generate_series(1, $last)) FROM (SELECT $expr AS x FROM " . from_remote($view) . ' OFFSET 0) AS s';
}

# Such a query, or another, that was sent ends with these rows.
sub ends_with
{
	my ($s, $expected, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $r = $s->collect;
	ok(!$r->{hung} && !$r->{errors} && $r->{out} eq $expected, "$name: ends with every row") or diag("$r->{out} $r->{err}");
	return;
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
	my $s = connected('dblink.streaming = on');
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

subtest 'into which tables rows stream' => sub {
	my $s = connected('dblink.streaming = on');
	$s->run('CREATE TABLE unlike (g int, filler text); CREATE INDEX ON unlike (g)');
	$s->run('CREATE TABLE unique_here (g int PRIMARY KEY, filler text); CREATE TEMP TABLE unique_temp (LIKE unique_here INCLUDING ALL)');
	# should stream where no row of another session can be waited for
	foreach my $case (
		[ 'unlike', 'streamed' ],
		[ 'unique_here', 'materialized' ],
		[ 'unique_temp', 'streamed' ],
		[ 'unique_here', 'streamed', 'TRUNCATE unique_here' ],
		[ 'unique_here', 'streamed', 'LOCK unique_here IN SHARE ROW EXCLUSIVE MODE' ],
		[ 'unique_here', 'materialized', 'LOCK unique_here IN SHARE UPDATE EXCLUSIVE MODE' ],
		[ 'unique_here', 'materialized', 'LOCK unique_here IN ROW EXCLUSIVE MODE' ],
		[ 'unique_now', 'streamed', 'CREATE TABLE unique_now (g int PRIMARY KEY, filler text)' ])
	{
		my ($table, $how, $first) = @$case;
		$s->run('BEGIN');
		$s->run($first) if $first;
		is(came($s, "INSERT INTO $table SELECT * FROM " . from_remote('big')), $how, "$table" . ($first ? ", after $first" : '') . ": $how");
		$s->run('ROLLBACK');
	}
	$s->quit;
};

subtest 'converting values is not the time of the plan' => sub {
	my $s = connected("dblink.stream_hold_time = '100ms'");
	$s->run("CREATE DOMAIN slow_to_read AS int CHECK (CASE WHEN VALUE <= 10 THEN pg_sleep(0.03)::text = '' ELSE true END)");
	# should stream: 300 ms are spent in conversions, for which stock holds the remote, too
	is(came($s, "SELECT count(*) FROM dblink('c', 'SELECT * FROM big') AS t(g slow_to_read, filler text)"), 'streamed', 'a type that is slow to read');
	# should be read ahead: the plan spends them
	is(came($s, "SELECT count(CASE WHEN g <= 10 THEN pg_sleep(0.03)::text END) FROM dblink('c', 'SELECT * FROM big') AS t(g int, filler text)"), 'read ahead', 'a plan that is slow');
	$s->quit;
};

subtest 'rows are used before the last is made' => sub {
	my $s = connected('dblink.stream_hold_time = -1');
	$s->run(<<'SQL');
CREATE TABLE taken (x int);
CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.x := gate(NEW.x, 4001); RETURN NEW; END $$;
CREATE TRIGGER gate BEFORE INSERT ON taken FOR EACH ROW EXECUTE FUNCTION gate();
SQL
	my %use = (
		'a select list' => all_rows('held', 'gate(a, 4001)'),
		'WHERE' => 'SELECT count(*) = 5001 FROM ' . from_remote('held') . ' WHERE gate(a, 4001) = a',
		'a trigger' => 'INSERT INTO taken SELECT a FROM ' . from_remote('held') . '; SELECT count(*) = 5001 FROM taken');
	foreach my $name (sort keys %use)
	{
		$locker->run('SELECT pg_advisory_lock(1)');
		shut(4001);
		$s->send($use{$name});
		# should get there, while the remote cannot make its last row
		stops($s, 4001, $name);
		is(remote_count($remote, $active), 1, "$name: the remote has not made the last");
		open_gate(4001);
		$locker->run('SELECT pg_advisory_unlock(1)');
		ends_with($s, 't', $name);
		usable($s, $name);
	}
	$s->quit;
};

subtest 'a slow reader does not hold the remote' => sub {
	foreach my $limit ('200ms', '1h', '-1')
	{
		my $s = connected("dblink.stream_hold_time = '$limit'");
		shut(1, 2);
		$s->send(all_rows('big', 'gate(gate(a, 1), 2)'));
		stops($s, 1, $limit);
		is(remote_count($remote, $active), 1, "$limit: the remote's statement goes on");
		usleep(300_000);		# the time that the reader takes
		is(remote_count($remote, $active), 1, "$limit: while nobody asks for the next row");
		open_gate(1);
		stops($s, 2, $limit);
		# should be over where that was too much time for one row
		if ($limit eq '200ms') { remote_quiet($remote, $active, "$limit: the rest was read ahead", 5) }
		else { is(remote_count($remote, $active), 1, "$limit: the remote's statement still goes on") }
		open_gate(2);
		ends_with($s, 't', $limit);
		usable($s, $limit);
		$s->quit;
	}

	# the time that the remote takes for its rows is not the reader's
	my $s = connected("dblink.stream_hold_time = '400ms'");
	is( came($s, "SELECT count(*) FROM dblink('c', 'SELECT g, filler, pg_sleep(0.004) FROM big LIMIT 300') AS t(a int, f text, s text)"),
		'streamed', 'time spent by the remote does not count');
	$s->quit;
};

subtest 'two streams' => sub {
	my $s = connected('dblink.stream_hold_time = -1');
	no_error($s, "SELECT dblink_connect('d', $to_remote)", 'a second connection');
	$s->run(<<'SQL');
CREATE FUNCTION reads(a int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	IF a = 2 THEN
		PERFORM count(gate(b, 3)) FROM dblink('d', 'SELECT g, filler FROM big') AS u(b int, f text);
	END IF;
	RETURN a;
END $$;
CREATE FUNCTION fails(a int, command text) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	IF a = 2 THEN
		BEGIN EXECUTE command; EXCEPTION WHEN division_by_zero THEN NULL; END;
	END IF;
	RETURN a;
END $$;
SQL
	# should be open both, as a read does not make another yield
	shut(3);
	$s->send(all_rows('big', 'reads(a)'));
	stops($s, 3, 'one in the other');
	is(remote_count($remote, $active), 2, 'one in the other: both are open');
	open_gate(3);
	ends_with($s, 't', 'one in the other');
	usable($s, 'one in the other');
	foreach my $join ('', ' ORDER BY a')
	{
		is(came($s, 'SELECT * FROM (SELECT a FROM ' . from_remote('big') . ' UNION ALL SELECT a FROM ' . from_remote('big', "'d'") . ") AS s$join"),
			'streamed streamed', "one after the other$join");
	}

	# a call within that fails is none of its business; an error that makes it lose rows is
	rows_are($s, all_rows('big', "fails(a, \$\$SELECT FROM dblink('d', 'SELECT 1 / 0') AS u(x int)\$\$)"), 't', "another's error that is caught");
	rows_are($s, "SELECT * FROM dblink('d', 'SELECT 1') AS t(x int)", '1', 'whose connection is usable');
	fails_with($s, 'SELECT count(fails(length(f) - 3998, $$SELECT dblink_exec(\'d\', \'SET work_mem = 65\')$$)) FROM ' . from_remote('bad_at_4000'),
		{ state => '22012' }, 'its own error that is caught is not lost');
	usable($s, 'errors that are caught');
	$s->quit;
};

subtest 'time-out and cancel in mid-stream' => sub {
	my %way = (
		'waiting for a row' => 'SELECT count(*) FROM ' . from_remote('asleep'),
		'between rows' => 'SELECT a, pg_sleep(0.05) FROM ' . from_remote('asleep'),
		'storing' => 'CREATE TABLE never AS SELECT * FROM ' . from_remote('asleep'),
		'draining' => 'SELECT a FROM ' . from_remote('asleep') . ' LIMIT 1',
		'reading ahead' => "SELECT dblink_exec('c', 'SET work_mem = ''4MB''') FROM " . from_remote('asleep'));
	my $s = connected('dblink.on_early_end = drain');
	foreach my $name (sort keys %way)
	{
		# should end at once, and not after the two seconds that a statement gets to complete
		$s->run("SET statement_timeout = '500ms'");
		my $r = $s->run($way{$name}, SLOW);
		$s->run('RESET statement_timeout');
		fails_with($s, $r, { state => '57014', message => 'canceling statement due to statement timeout', within => 2 },
			"$name: timed out");
		usable($s, $name);

		$s->send($way{$name});
		is(poll_value($remote, "SELECT count(*) FROM pg_stat_activity WHERE $active", 1), 1, "$name: runs");
		my $begin = Time::HiRes::time();
		query_value($local, 'SELECT pg_cancel_backend(' . $s->pid . ')');
		$r = $s->collect(SLOW);
		$r->{secs} = Time::HiRes::time() - $begin;
		fails_with($s, $r, { state => '57014', message => 'canceling statement due to user request', within => 1.5 },
			"$name: cancelled");
		usable($s, $name);
	}
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
	my %way = (
		'reading' => [ 'SELECT count(gate(a, 2)) FROM ' . from_remote('asleep'), qr/^(57P01|08006)$/ ],
		'draining' => [ 'SELECT gate(a, 2) FROM ' . from_remote('asleep') . ' WHERE a > 1 LIMIT 1', qr/^(57P01|08006)$/ ],
		'a local error' => [ 'SELECT 1 / (gate(a, 2) - 2) FROM ' . from_remote('asleep'), '22012' ]);
	my $s = connected('dblink.stream_hold_time = -1', 'dblink.on_early_end = drain');
	foreach my $name (sort keys %way)
	{
		my ($query, $state) = @{ $way{$name} };
		shut(2);
		$s->send($query);
		stops($s, 2, $name);
		is(query_value($remote, "SELECT bool_and(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE $active"), 't', "$name: killed");
		remote_quiet($remote, $active, "$name: and gone", 5);
		open_gate(2);
		# should end, with the remote's error or the local one
		fails_with($s, $s->collect(SLOW), { state => $state }, "$name: is an error");
		healthy($s, "$name: the session lives");
		fails_with($s, "SELECT * FROM dblink('c', 'SELECT 1') AS t(x int)", { state => qr/^(XX000|08001|08003|08006)$/ }, "$name: the connection is no more");
		$s->run("SELECT dblink_disconnect('c')");
		no_error($s, "SELECT dblink_connect('c', $to_remote)", "$name: connected anew");
		usable($s, $name);
	}
	$s->quit;
};

subtest 'a remote that stands still' => sub {
	my %way = (
		'a cancel' => [ 'SELECT count(gate(a, 2)) FROM ' . from_remote('asleep'), '57014' ],
		'a local error' => [ 'SELECT 1 / (gate(a, 2) - 2) FROM ' . from_remote('asleep'), '22012' ]);
	foreach my $name (sort keys %way)
	{
		my ($query, $state) = @{ $way{$name} };
		my $s = connected('dblink.stream_hold_time = -1');
		shut(2);
		$s->send($query);
		stops($s, 2, $name);
		my $pid = query_value($remote, "SELECT pid FROM pg_stat_activity WHERE $active");
		kill 'STOP', $pid or die "could not stop $pid";
		open_gate(2);
		query_value($local, 'SELECT pg_cancel_backend(' . $s->pid . ')') if $name eq 'a cancel';
		# should end in bounded time, and say that the connection is closed
		my $r = $s->collect(SLOW * 2);
		kill 'CONT', $pid;
		fails_with($s, $r, { state => $state }, "$name: ends the statement");
		ok((grep { $_->{severity} eq 'WARNING' && $_->{state} eq '08006' } @{ $r->{messages} }), "$name: and the connection, with a warning") or diag($r->{err});
		rows_are($s, 'SELECT dblink_get_connections()', '', "$name: it is closed");
		healthy($s, "$name: the session lives");
		$s->quit;
		remote_quiet($remote, $active, "$name: no statement on the remote", SLOW);
	}
};

subtest 'a local error in mid-stream' => sub {
	# should end at once: the remote's rows would take long, or do not fit into work_mem, or an error is to come
	foreach my $query (
		"SELECT 1 / (500 - a) FROM " . from_remote('asleep'),
		"SELECT 1 / (500 - a) FROM " . from_remote('big'),
		"SELECT 1 / (length(f) % 2) FROM " . from_remote('bad_at_4000'))
	{
		my $s = connected('dblink.stream_hold_time = -1', "work_mem = '64kB'");
		fails_with($s, $query, { state => '22012', within => 2 }, $query);
		usable($s, 'after it');
		$s->quit;
	}

	# a statement that may have effects gets some time to complete, but not all the time
	my $s = connected('dblink.stream_hold_time = -1');
	query_value($remote, 'ALTER SEQUENCE counted RESTART; SELECT 1');
	fails_with($s, "SELECT 1 / (500 - a) FROM dblink('c', 'SELECT nextval(''counted''), filler FROM big') AS t(a int, f text)", { state => '22012' }, 'a function');
	is(query_value($remote, 'SELECT last_value FROM counted'), 5000, 'a function: called for every row');
	fails_with($s, "SELECT 1 / (500 - a) FROM dblink('c', 'SELECT g, filler FROM big UNION ALL SELECT 1, pg_sleep(600)::text') AS t(a int, f text)", { state => '22012', within => SLOW }, 'a function that takes too long');
	usable($s, 'a function');
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
	my $by_text = "dblink('c', 'SELECT nextval(''counted''), filler FROM big') AS t(a int, f text)";
	# on_early_end, in a transaction block of the remote's, FROM, does it come to its end
	foreach my $case (
		[ 'drain', 0, from_remote('counting'), 1 ],
		[ 'cancel', 0, from_remote('counting'), 0 ],
		[ 'cancel', 0, $by_text, 0 ],
		[ 'cancel', 1, from_remote('counting'), 1 ],
		[ 'auto', 0, $by_text, 1 ],
		[ 'auto', 1, from_remote('counting'), 1 ])
	{
		my ($setting, $in_block, $from, $ends) = @$case;
		my $name = "$setting, " . ($in_block ? 'in a block, ' : '') . ($from eq $by_text ? 'a function' : 'a view');
		query_value($remote, 'ALTER SEQUENCE counted RESTART; SELECT 1');
		$s->run("SET dblink.on_early_end = $setting");
		$s->run("SELECT dblink_exec('c', 'BEGIN')") if $in_block;
		rows_are($s, "SELECT a FROM $from LIMIT 1", '1', "$name: a row");
		rows_are($s, "SELECT dblink_exec('c', 'COMMIT')", 'COMMIT', "$name: the block is whole") if $in_block;
		usable($s, $name);
		cmp_ok(query_value($remote, 'SELECT last_value FROM counted'), $ends ? '==' : '<', 5000, "$name: " . ($ends ? 'came to its end' : 'did not'));
	}

	# should not wait for the rest, which calls no function as far as the text says
	foreach my $setting (qw(auto cancel))
	{
		$s->run("SET dblink.on_early_end = $setting");
		rows_are($s, 'SELECT a FROM ' . from_remote('asleep') . ' LIMIT 1', '1', "$setting: a row at once");
		usable($s, $setting);
		rows_are($s, 'SELECT a FROM ' . from_remote('asleep', $to_remote) . ' LIMIT 1', '1', "$setting, by connection string: a row at once");
		rows_are($s, 'SELECT EXISTS (SELECT FROM ' . from_remote('asleep') . ' WHERE a > 1)', 't', "$setting, in a subquery");
		usable($s, "$setting, in a subquery");
	}
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

subtest 'a connection to this server is no hang' => sub {
	my $s = connected("lock_timeout = '5s'", 'dblink.stream_hold_time = -1');
	$s->run("SELECT dblink_connect('self', $to_self)");
	$s->run(<<'SQL');
CREATE TABLE here AS SELECT g, repeat('x', 4000) AS filler FROM generate_series(1, 5000) AS g;
CREATE FUNCTION alters(a int) RETURNS int LANGUAGE plpgsql AS
	$$ BEGIN IF a = 10 THEN ALTER TABLE here ALTER filler SET DEFAULT 10; END IF; RETURN a; END $$;
SQL
	foreach my $streaming (qw(on always))
	{
		# should not wait for the lock that the other side of the same statement has
		$s->run("SET dblink.streaming = $streaming");
		rows_are($s, "SELECT count(alters(a)) FROM dblink('self', 'SELECT g, filler FROM here') AS t(a int, f text)", '5000',
			"$streaming: a table can be altered while it is read");
	}
	$s->quit;
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

# The same lock that a stream holds can be wanted by others.
subtest 'a stream yields to what waits behind somebody else' => sub {
	my $s = connected('dblink.stream_hold_time = -1', "statement_timeout = '20s'");
	no_error($s, "SELECT dblink_connect('d', $to_remote), dblink_exec('d', 'SET lock_timeout = ''5s''')", 'a second connection');
	$s->run(<<'SQL');
CREATE FUNCTION does(a int, command text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN IF a = 3 THEN EXECUTE command; END IF; RETURN a; END $$;
CREATE FUNCTION polls() RETURNS bool LANGUAGE plpgsql AS
	$$ BEGIN WHILE dblink_is_busy('d') = 1 LOOP PERFORM pg_sleep(0.02); END LOOP; RETURN true; END $$;
SQL
	my $waits = "SELECT count(*) FROM pg_locks WHERE relation = 'big'::regclass AND NOT granted";

	# should not hang: a read in line behind ALTER TABLE
	foreach my $format (qw(text binary))
	{
		$s->run("SET dblink.result_format = $format");
		shut(2);
		$s->send(all_rows('big', 'does(gate(a, 2), $$SELECT count(*) FROM dblink(\'d\', \'SELECT g FROM big\') AS u(b int)$$)'));
		stops($s, 2, "$format: a stream holds its lock");
		$locker->send('ALTER TABLE big ALTER filler SET DEFAULT 50');
		is(poll_value($remote, $waits, 1, SLOW), 1, "$format: somebody waits for it");
		open_gate(2);
		ends_with($s, 't', "$format: a read gets behind him");
		ok(!$locker->collect->{errors}, "$format: and so does he");
	}
	$s->run('RESET dblink.result_format');

	# should not hang: polling an asynchronous query that needs the lock
	$locker->run('SELECT pg_advisory_lock(2)');
	rows_are($s, "SELECT dblink_send_query('d', 'DO ''BEGIN PERFORM pg_advisory_lock(2); ALTER TABLE big ALTER filler SET DEFAULT 60; END''')", 1, 'sent before the stream begins');
	shut(2);
	$s->send(all_rows('big', 'does(gate(a, 2), $$SELECT polls()$$)'));
	stops($s, 2, 'polling: a stream holds its lock');
	$locker->run('SELECT pg_advisory_unlock(2)');
	is(poll_value($remote, $waits, 1, SLOW), 1, 'polling: the query waits for it');
	open_gate(2);
	ends_with($s, 't', 'polling');
	rows_are($s, "SELECT x FROM dblink_get_result('d') AS t(x text)", 'DO', 'polling: it comes to its end');
	no_error($s, "SELECT FROM dblink_get_result('d') AS t(x text)", 'and that is all');

	# should work: a connection by connection string is gone with what it has to say
	$locker->run('CREATE DATABASE gone');
	my $to_gone = lit(conninfo($remote, dbname => 'gone'));
	rows_are($s, "SELECT a, CASE a WHEN 1 THEN dblink_exec('c', 'DROP DATABASE gone') END FROM dblink($to_gone, 'SELECT g, filler FROM (SELECT g, repeat(''x'', 4000) FROM generate_series(1, 5000) AS g) AS s(g, filler)') AS t(a int, f text) WHERE a < 3",
		"1|DROP DATABASE\n2|", 'a database is dropped while its rows are read');
	usable($s, 'after it');
	$s->quit;
};

subtest 'an error of this server comes before the first row' => sub {
	my $s = connected('dblink.streaming = on');
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

$_->quit foreach $locker, $keeper;
unwatch($_) foreach $local, $remote;
done_testing();
