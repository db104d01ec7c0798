# Cancel requests that come late, get lost, or are not needed; and many
# connections at once to a remote that does not answer.

use strict;
use warnings;
use Test::More;
use Time::HiRes ();
use PostgreSQL::Test::Utils;
use DblinkTest;
use DblinkClient;
use DblinkProxy;

my ($local, $remote) = make_pair();
$remote->safe_psql('postgres', <<'SQL');
CREATE TABLE big AS SELECT g, repeat('x', 4000) AS filler FROM generate_series(1, 5000) AS g;
CREATE VIEW asleep AS SELECT g, filler FROM big UNION ALL SELECT 5001, pg_sleep(600)::text;
CREATE TABLE done (x int);
SQL
my $ours = "application_name = 'requests'";

# A connection string that leads through a relay.
sub through
{
	my $relay = shift;
	return lit(conninfo($remote, port => $relay->port, application_name => 'requests'));
}

# A session with the library loaded.
sub loaded
{
	my $s = session($local);
	$s->run("LOAD 'dblink'");
	return $s;
}

# ---- late requests ----------------------------------------------------------

# No statement of the session is hit by a request of an earlier one: neither on
# connection "c", if it is still there, nor on one that comes after it.
sub unhurt
{
	my ($s, $relay, $passed, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $there = $s->run('SELECT dblink_get_connections()')->{out} eq '{c}';
	no_error($s, "SELECT dblink_connect('c', " . through($relay) . ')', "$name: connected anew") unless $there;
	no_error($s, "SELECT dblink_exec('c', 'BEGIN'); SELECT dblink_exec('c', 'INSERT INTO done VALUES (1)')", "$name: a transaction begins");
	# the late request comes while this waits
	my $r = $s->run("SELECT x FROM dblink('c', 'SELECT 1 FROM pg_sleep(5)') AS t(x int)", 20);
	ok(!$r->{errors} && $r->{out} eq '1', "$name: a statement on " . ($there ? 'the' : 'a new') . ' connection is not cancelled') or diag($r->{err});
	is($relay->report->{passed}, $passed, "$name: all requests have come meanwhile");
	rows_are($s, "SELECT dblink_exec('c', 'COMMIT')", 'COMMIT', "$name: it commits");
	return;
}

foreach my $delays ([ 3, 0 ], [ 3, 3 ], [ 'drop', 0 ], [ 2.5, 'drop' ])
{
	my $name = "requests are late: @$delays";
	my $relay = start_proxy($remote->port, cancel_delay => $delays);
	my $s = loaded();
	no_error($s, "SELECT dblink_connect('c', " . through($relay) . ')', "$name: connected");
	$s->run("SET statement_timeout = '500ms'");
	# should end, and a request that may still come must not meet anything else
	fails_with($s, "SELECT * FROM dblink('c', 'SELECT pg_sleep(60)') AS t(x text)", { state => '57014', within => SLOW }, "$name: timed out");
	$s->run('RESET statement_timeout');
	unhurt($s, $relay, scalar(grep { $_ ne 'drop' } @$delays[ 0 .. ($relay->report->{cancels} || 1) - 1 ]), $name);
	$s->quit;
	$relay->stop;
}
foreach my $way (qw(timeout cancel))
{
	my $name = "dblink_cancel_query is interrupted by a $way";
	my $relay = start_proxy($remote->port, cancel_delay => [3]);
	my $s = loaded();
	no_error($s, "SELECT dblink_connect('c', " . through($relay) . ')', "$name: connected");
	$s->run("SELECT dblink_send_query('c', 'SELECT pg_sleep(1)')");
	$s->run("SET statement_timeout = '500ms'") if $way eq 'timeout';
	$s->send("SELECT dblink_cancel_query('c')");
	if ($way eq 'cancel')
	{
		poll_until(sub { $relay->report->{cancels} }, SLOW);
		query_value($local, 'SELECT pg_cancel_backend(' . $s->pid . ')');
	}
	# should end before its request gets through
	fails_with($s, $s->collect(SLOW), { state => '57014' }, "$name: ends");
	$s->run('RESET statement_timeout');
	$s->run("SELECT * FROM dblink_get_result('c', false) AS t(x text)") for 1 .. 2;
	unhurt($s, $relay, 1, $name);
	$s->quit;
	$relay->stop;
}

{
	my $name = 'the wait for a request is interrupted';
	my $relay = start_proxy($remote->port, cancel_delay => [0.7]);
	my $s = loaded();
	$s->run('SET dblink.on_early_end = cancel; SET dblink.streaming = on');
	no_error($s, "SELECT dblink_connect('c', " . through($relay) . ')', "$name: connected");
	$s->send("SELECT g FROM dblink('c', 'SELECT g, filler FROM asleep') AS t(g int, f text) LIMIT 1");
	poll_until(sub { $relay->report->{cancels} }, SLOW);
	query_value($local, 'SELECT pg_cancel_backend(' . $s->pid . ')');
	# should end with it, and make no other, which could hit what comes after it
	fails_with($s, $s->collect(SLOW), { state => '57014' }, "$name: ends");
	rows_are($s, 'SELECT dblink_get_connections()', '{c}', "$name: the connection is kept");
	is($relay->report->{cancels}, 1, "$name: there was one");
	unhurt($s, $relay, 1, $name);
	$s->quit;
	$relay->stop;
}

# ---- many at once ---------------------------------------------------------------

# A query that has a stream of so many connections open when its first row is there.
sub joined
{
	my ($number, $view) = @_;
	my $from = join ' JOIN ', map { "dblink('c$_', 'SELECT g, filler FROM $view') AS t$_(g int, f text)" . ($_ > 1 ? " ON t$_.g = t1.g" : '') } 1 .. $number;
	return "FROM $from";
}

# A session with so many connections.
sub connected
{
	my ($number, $info) = @_;
	my $s = loaded();
	$s->run('SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off; SET geqo = off; SET join_collapse_limit = 1');
	no_error($s, "SELECT count(dblink_connect('c' || g, $info)) FROM generate_series(1, $number) AS g", "$number connections");
	return $s;
}

foreach my $how (qw(timeout cancel terminate))
{
	my $name = "15 connections to a remote that is frozen, $how";
	my $s = connected(15, lit(conninfo($remote, application_name => 'requests')));
	my @pids = split /\n/, query_value($remote, "SELECT pid FROM pg_stat_activity WHERE $ours");
	is(scalar @pids, 15, "$name: all are there");
	$s->run("SET statement_timeout = '4s'") if $how eq 'timeout';
	$s->send('SELECT t1.g, pg_sleep(600) ' . joined(15, 'big'));
	poll_until(sub { query_value($local, 'SELECT wait_event FROM pg_stat_activity WHERE pid = ' . $s->pid) eq 'PgSleep' }, 4);
	kill 'STOP', @pids;
	my $begin = Time::HiRes::time();
	query_value($local, "SELECT pg_${how}_backend(" . $s->pid . ')') if $how ne 'timeout';
	# should end after the time that is given to one
	my $r = $s->collect(60);
	ok(!$r->{hung} && ($r->{errors} || $r->{gone}), "$name: ends");
	cmp_ok(Time::HiRes::time() - $begin, '<', SLOW + ($how eq 'timeout' ? 4 : 0), "$name: in the time that is given to one, not to each");
	kill 'CONT', @pids;
	if ($how ne 'terminate' && !$r->{hung})
	{
		healthy($s, "$name: the session lives");
		$s->run('RESET statement_timeout');
		no_error($s, "SELECT count(dblink_disconnect(n)) FROM unnest(dblink_get_connections()) AS n", "$name: the rest is disconnected");
	}
	$s->quit;
	remote_quiet($remote, $ours, "$name: no session is left", SLOW * 2);
}

{
	my $name = '5 connections in remote transactions, and a local error';
	my $s = connected(5, lit(conninfo($remote, application_name => 'requests')));
	$s->run("SELECT dblink_exec('c' || g, 'BEGIN') FROM generate_series(1, 5) AS g");
	# should go on, as the remote statements of the user's own transactions may not be
	# cut off; and end with all of them when it is cancelled. Where nothing streams,
	# the rows that never come would be waited for.
	my $streams = $s->run('SHOW dblink.streaming')->{out} ne 'off';
	$s->send('SELECT 1 / (t1.g - 1) ' . joined(5, $streams ? 'asleep' : 'big'));
	if ($streams)
	{
		poll_until(sub { query_value($local, "SELECT wait_event_type FROM pg_stat_activity WHERE state = 'active' AND pid = " . $s->pid) eq 'Extension' }, SLOW);
		Time::HiRes::usleep(500_000);
		query_value($local, 'SELECT pg_cancel_backend(' . $s->pid . ')');
	}
	my $r = $s->collect(60);
	fails_with($s, $r, { state => qr/22012|57014/, $streams ? (within => 6) : () }, $name);
	$s->quit;
	query_value($remote, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE $ours");
	remote_quiet($remote, $ours, "$name: no session is left", SLOW);
}

# ---- requests that get no answer do not keep others back ----------------------------

{
	my $relay = start_proxy($remote->port, cancel_delay => [ ('drop') x 40 ]);
	my $s = loaded();
	no_error($s, "SELECT dblink_connect('c', " . through($relay) . "), dblink_connect('other', " . lit(conninfo($remote, application_name => 'requests')) . ')', 'connected');
	my $cancels = 0;
	for (1 .. 8)
	{
		$s->run("SET statement_timeout = '200ms'");
		$s->run("SELECT * FROM dblink('c', 'SELECT pg_sleep(60)') AS t(x text)", 20);
		$s->run('RESET statement_timeout');
		$s->run("SELECT dblink_disconnect('c')");
		$s->run("SELECT dblink_connect('c', " . through($relay) . ')');
		last if ($cancels = $relay->report->{cancels}) >= 9;
	}
	cmp_ok($cancels, '>', 7, 'requests that get no answer');
	foreach my $try (1, 2)
	{
		$s->run("SET statement_timeout = '300ms'");
		# should be cancelled as ever
		my $r = fails_with($s, "SELECT * FROM dblink('other', 'SELECT pg_sleep(60)') AS t(x text)", { state => '57014', within => 2 }, 'a statement on another remote times out');
		is(scalar(grep { $_->{severity} eq 'WARNING' } @{ $r->{messages} }), 0, 'its connection is not closed');
		$s->run('RESET statement_timeout');
		rows_are($s, "SELECT x FROM dblink('other', 'SELECT 1') AS t(x int)", '1', 'and is usable');
	}
	$s->quit;
	$relay->stop;
	query_value($remote, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE $ours");
}

# ---- requests that are not needed -------------------------------------------------

{
	my $relay = start_proxy($remote->port);
	my $s = loaded();
	no_error($s, "SELECT dblink_connect('c', " . through($relay) . ')', 'connected');
	# should need no request: the whole result is there when the value is met
	foreach my $from ("dblink('c', 'SELECT ''x''') AS t(i int)", "dblink('c', 'SELECT g::text || ''x'' FROM generate_series(1, 10) AS g') AS t(i int)",
		"dblink('c', 'SELECT g::text FROM generate_series(1, 10) AS g') AS t(i bool)", "dblink('c', 'SELECT 1, 2') AS t(i int)")
	{
		foreach my $way ("PERFORM i FROM $from;", "FOR x IN SELECT i FROM $from LOOP NULL; END LOOP;", "SELECT i INTO x FROM $from WHERE i IS NULL;", "x := (SELECT count(i) FROM $from);")
		{
			my $r = $s->run("DO \$f\$ DECLARE n int := 0; x text; BEGIN FOR i IN 1 .. 20 LOOP BEGIN $way EXCEPTION WHEN OTHERS THEN n := n + 1; END; END LOOP; RAISE NOTICE '%', n; END \$f\$");
			like($r->{err}, qr/NOTICE:.* 20$/m, "$way: 20 errors");
		}
		fails_with($s, "SELECT i FROM $from", { state => qr/^(22P02|42804)$/ }, "$from: and one outside of a block");
		is($relay->report->{cancels}, 0, "$from: no cancel request") or $relay->delay_cancels;
	}
	# should need one: the rest is endless (a function in FROM would be run to its end first)
	fails_with($s, "SELECT count(*) FROM dblink('c', 'SELECT CASE WHEN g = 10 THEN ''x'' ELSE ''1'' END FROM (SELECT generate_series(1, 1000000000) AS g) AS s') AS t(i int)",
		{ state => '22P02', within => SLOW }, 'an endless result');
	cmp_ok($relay->report->{cancels}, '>', 0, 'is cancelled');
	$s->quit;
	$relay->stop;
}

# ---- a client that stops reading ----------------------------------------------------

{
	# a plain role, which may connect without a password
	$local->safe_psql('postgres', 'CREATE ROLE plain LOGIN; GRANT EXECUTE ON FUNCTION dblink_connect_u(text, text) TO plain');
	my $notices = "DO \$f\$ BEGIN FOR i IN 1 .. 4000 LOOP RAISE NOTICE ''%'', repeat(''x'', 8000); END LOOP; END \$f\$";
	foreach my $how (qw(timeout terminate))
	{
		foreach my $call ("SELECT dblink_exec('c', '$notices')", "SELECT * FROM dblink('c', '$notices; SELECT 1') AS t(x text)",
			"SELECT dblink_send_query('c', '$notices'); SELECT * FROM dblink_get_result('c') AS t(x text)")
		{
			my $client = DblinkClient->new($local, user => 'plain');
			like($client->simple("SELECT dblink_connect_u('c', " . lit(conninfo($remote, application_name => 'requests')) . ')'), qr/row OK/, "$how: connected");
			$client->simple('SET client_min_messages = log');
			$client->simple("SET statement_timeout = '2s'") if $how eq 'timeout';
			# nothing of the answer is read
			$client->send($call);
			poll_until(sub { query_value($local, 'SELECT coalesce(wait_event, state) FROM pg_stat_activity WHERE pid = ' . $client->pid) =~ /ClientWrite|idle|ClientRead/ }, 4);
			# should end, as any backend whose client does not read
			if ($how eq 'terminate')
			{
				query_value($local, 'SELECT pg_terminate_backend(' . $client->pid . ')');
				my $gone = poll_until(sub { !-d '/proc/' . $client->pid }, SLOW);
				ok($gone, "terminated while notices are sent to a client that does not read: " . substr($call, 0, 30));
			}
			else
			{
				# should be read to the end, once it reads
				like($client->answer(30), qr/ready/, 'a client that reads late: ' . substr($call, 0, 30));
			}
			$client->close;
			# a backend that is stuck would stay for ever: its client has gone
			ok(poll_until(sub { !-d '/proc/' . $client->pid }, SLOW), 'the backend ends with its client');
		}
	}
}

unwatch($_) foreach $local, $remote;
done_testing();
