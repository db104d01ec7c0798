# Every wait can be ended: by statement_timeout, by pg_cancel_backend and by
# pg_terminate_backend, while connecting, sending, receiving, cancelling and
# draining.  The remote statement ends too, and the connection is usable next
# or is said to be closed.

use strict;
use warnings;
use Test::More;
use Time::HiRes qw(time usleep);
use PostgreSQL::Test::Utils;
use DblinkTest;

my ($local, $remote) = make_pair();
my $to_remote = lit(conninfo($remote, application_name => 'waits'));
my $our_sessions = "application_name = 'waits'";
my $number = 0;

# The session's error after each way to end a statement.
my %ending = (
	timeout => 'canceling statement due to statement timeout',
	cancel => 'canceling statement due to user request');

# A table that everybody on the remote waits for.
my $locker = session($remote);
$locker->run('CREATE TABLE locked(x int); BEGIN; LOCK TABLE locked');

# The longest time that an ordinary statement took to end, for the record.
my $longest = 0;

# Ends what the session is doing and collects the result.  $started says when
# the statement has come to where it is to be ended.
sub end_it
{
	my ($s, $how, $sql, $started, $timeout) = @_;
	if ($how eq 'timeout')
	{
		$s->run('SET statement_timeout = ' . lit($timeout || '400ms'));
		my $r = $s->run($sql, SLOW);
		$s->run('RESET statement_timeout') unless $r->{hung} || $r->{gone};
		$longest = $r->{secs} - 0.4 if !$timeout && $r->{secs} - 0.4 > $longest;
		return $r;
	}
	$s->send($sql);
	poll_until($started) or die "the statement never got to wait: $sql";
	my $begin = time();
	query_value($local, "SELECT pg_${how}_backend(" . $s->pid . ')');
	my $r = $s->collect(SLOW);
	$r->{secs} = time() - $begin;
	return $r;
}

# Whether the session's backend is in a statement and sleeps, seen three
# times.
sub asleep
{
	my $s = shift;
	return 0 unless query_value($local,
		'SELECT count(*) FROM pg_stat_activity WHERE pid = ' . $s->pid
		  . " AND state = 'active' AND query LIKE '%dblink%' AND now() - query_start > '100 ms'");
	for (1 .. 3)
	{
		return 0 unless slurp_file('/proc/' . $s->pid . '/stat') =~ /^\d+ \(.*\) S /s;
		usleep(5000);
	}
	return 1;
}

# What must be true of the result of end_it for the session.
sub ended
{
	my ($r, $how, $name, $s) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	if ($how eq 'terminate')
	{
		ok(poll_until(sub { !-d '/proc/' . $s->pid }, SLOW), "$name: the backend ends");
	}
	else
	{
		fails_with(undef, $r, { state => '57014', message => $ending{$how} }, "$name: ends");
	}
	return;
}

# Whether the result tells that the connection was closed.
sub said_closed
{
	my ($r, $what) = @_;
	return scalar grep {
		     $_->{severity} eq 'WARNING'
		  && $_->{state} eq '08006'
		  && $_->{message} eq "$what was closed"
		  && ($_->{detail} || '') eq
		  'The remote statement could not be brought to an end.'
	} @{ $r->{messages} };
}

# ---- statements that wait for the remote --------------------------------

# For each: what to run before, the statement, what to run to have the
# connection fresh, the name ('' the unnamed one, undef none).  MARK is a word
# that the remote's pg_stat_activity shows.
my %waiting = (
	'dblink, named' => [
		"SELECT dblink_connect('c', $to_remote)",
		"SELECT * FROM dblink('c', 'SELECT pg_sleep(60) /* MARK */') AS t(x text)",
		undef, 'c'
	],
	'dblink, unnamed' => [
		"SELECT dblink_connect($to_remote)",
		"SELECT * FROM dblink('SELECT pg_sleep(60) /* MARK */') AS t(x text)",
		undef, ''
	],
	'dblink, connection string' => [
		undef,
		"SELECT * FROM dblink($to_remote, 'SELECT pg_sleep(60) /* MARK */') AS t(x text)",
		undef, undef
	],
	'dblink_exec, named' => [
		"SELECT dblink_connect('c', $to_remote)",
		"SELECT dblink_exec('c', 'DO \$\$BEGIN PERFORM pg_sleep(60) /* MARK */; END\$\$')",
		undef, 'c'
	],
	'dblink_exec, unnamed' => [
		"SELECT dblink_connect($to_remote)",
		"SELECT dblink_exec('DO \$\$BEGIN PERFORM pg_sleep(60) /* MARK */; END\$\$')",
		undef, ''
	],
	'dblink_exec, connection string' => [
		undef,
		"SELECT dblink_exec($to_remote, 'DO \$\$BEGIN PERFORM pg_sleep(60) /* MARK */; END\$\$')",
		undef, undef
	],
	'dblink_exec, fail_on_error false' => [
		"SELECT dblink_connect('c', $to_remote)",
		"SELECT dblink_exec('c', 'DO \$\$BEGIN PERFORM pg_sleep(60) /* MARK */; END\$\$', false)",
		undef, 'c'
	],
	'dblink_open' => [
		"SELECT dblink_connect('c', $to_remote)",
		"SELECT dblink_open('c', 'MARK', 'SELECT * FROM locked')",
		'ROLLBACK', 'c'
	],
	'dblink_fetch' => [
		"SELECT dblink_connect('c', $to_remote); SELECT dblink_open('c', 'MARK', 'SELECT pg_sleep(60)')",
		"SELECT * FROM dblink_fetch('c', 'MARK', 1) AS t(x text)",
		'ROLLBACK', 'c'
	],
	'dblink_get_result' => [
		"SELECT dblink_connect('c', $to_remote); SELECT dblink_send_query('c', 'SELECT pg_sleep(60) /* MARK */')",
		"SELECT * FROM dblink_get_result('c') AS t(x text)",
		undef, 'c'
	],
	'dblink_get_result, second result' => [
		"SELECT dblink_connect('c', $to_remote);"
		  . " SELECT dblink_send_query('c', 'SELECT 1; SELECT pg_sleep(60) /* MARK */')",
		"SELECT * FROM dblink_get_result('c') AS t(x text);"
		  . " SELECT * FROM dblink_get_result('c') AS t(x text)",
		undef, 'c'
	],
	'dblink, in the middle of an endless result' => [
		"SELECT dblink_connect('c', $to_remote)",
		"SELECT count(*) FROM dblink('c', 'SELECT repeat(''x'', 1000), "
		  . "generate_series(1, 1000000000) /* MARK */') AS t(x text, g int)",
		undef, 'c'
	],);

foreach my $case (sort keys %waiting)
{
	foreach my $how (qw(timeout cancel terminate))
	{
		my ($before, $sql, $after, $conn) = @{ $waiting{$case} };
		my $mark = sprintf 'mark_%d_x', ++$number;
		my $name = "$case, $how";
		my $there = "state = 'active' AND query LIKE '%$mark%'";
		my $s = session($local);

		foreach ($before, $sql)
		{
			$_ && s/MARK/$mark/g;
		}
		$s->run($before) if $before;
		my $r = end_it($s, $how, $sql,
			sub { remote_count($remote, $there) > 0 && ($case =~ /endless/ || asleep($s)) });
		ended($r, $how, $name, $s);

		# should be over on the remote as well
		remote_quiet($remote, $there, "$name: the remote statement is gone", SLOW);
		next if $r->{hung};

		if ($how ne 'terminate')
		{
			healthy($s, "$name: the session lives");

			# should be usable without further ado
			$r = $s->run("SELECT dblink_exec('$conn', '$after')") if $after;
			my $arg = $conn ? "'$conn', " : '';
			rows_are($s, "SELECT x FROM dblink(${arg}'SELECT 1') AS t(x int)",
				'1', "$name: the connection is usable")
			  if defined $conn;
			is(local_fds($s) - local_fds(watch($local)),
				defined $conn ? 1 : 0, "$name: sockets as connections");
		}
		$s->quit;
	}
}
remote_quiet($remote, $our_sessions, 'all sessions on the remote have ended');
note(sprintf 'from statement_timeout to the prompt: at most %.0f ms', $longest * 1000);
$locker->run('ROLLBACK');
$locker->quit;

# ---- connecting to a server that does not answer -------------------------

my %connecting = (
	'dblink_connect, named' => sub { "SELECT dblink_connect('c', $_[0])" },
	'dblink_connect, unnamed' => sub { "SELECT dblink_connect($_[0])" },
	'dblink' => sub { "SELECT * FROM dblink($_[0], 'SELECT 1') AS t(x int)" },
	'dblink_exec' => sub { "SELECT dblink_exec($_[0], 'SELECT 1')" });
my $silent = silent_listener();
my $full = full_listener();
foreach my $case (sort keys %connecting)
{
	foreach my $how (qw(timeout cancel terminate))
	{
		my $name = "connecting by $case to a silent server, $how";
		my $s = session($local);
		my $fds = fd_count($s->pid);
		my $clients = $silent->count;
		my $sql = $connecting{$case}->(lit('host=127.0.0.1 port=' . $silent->port));
		my $r = end_it($s, $how, $sql, sub { $silent->count > $clients });
		ended($r, $how, $name, $s);
		next if $r->{hung} || $how eq 'terminate';
		healthy($s, "$name: the session lives");
		rows_are($s, 'SELECT dblink_get_connections() IS NULL', 't',
			"$name: nothing is registered");
		cmp_ok(fd_count($s->pid, qr/^socket:/), '==',
			local_fds(watch($local)), "$name: no socket is left");
		# should work: the name and the slot are free
		rows_are($s,
			"SELECT dblink_connect('c', $to_remote); SELECT dblink_connect($to_remote)",
			"OK\nOK", "$name: the name can be used next");
		$s->quit;
	}
}
foreach my $how (qw(timeout cancel terminate))
{
	my $name = "connecting to a server with a full queue, $how";
	my $s = session($local);
	my $sql = "SELECT dblink_connect('c', 'host=127.0.0.1 port=" . $full->port . "')";
	my $r = end_it($s, $how, $sql,
		sub { query_value($local,
			'SELECT count(*) FROM pg_stat_activity WHERE pid = ' . $s->pid
			  . " AND state = 'active' AND query LIKE '%dblink_connect%'") });
	ended($r, $how, $name, $s);
	healthy($s, "$name: the session lives") unless $r->{hung} || $how eq 'terminate';
	$s->quit;
}

# connect_timeout counts for each host
{
	my $s = session($local);
	my $p = $silent->port;
	my $q = $full->port;
	# should fail after two seconds
	my $r = fails_with(
		$s,
		"SELECT dblink_connect('c', 'host=127.0.0.1 port=$p connect_timeout=2')",
		{
			state => '08001',
			message => 'could not establish connection',
			detail => "connection to server at \"127.0.0.1\", port $p failed: timeout expired",
			within => SLOW
		},
		'connect_timeout, silent server');
	cmp_ok($r->{secs}, '>', 1, 'but not before its time');
	# should fail after two seconds for each
	$r = fails_with(
		$s,
		"SELECT dblink_connect('c', 'host=127.0.0.1,127.0.0.1 port=$p,$q connect_timeout=2')",
		{
			state => '08001',
			message => 'could not establish connection',
			detail => "connection to server at \"127.0.0.1\", port $p failed: timeout expired\n"
			  . "connection to server at \"127.0.0.1\", port $q failed: timeout expired",
			within => SLOW + 2
		},
		'connect_timeout, two silent servers');
	cmp_ok($r->{secs}, '>', 3, 'each host has its time');
	# should work: the second host answers
	rows_are(
		$s,
		"SELECT dblink_connect('c', 'host=127.0.0.1,127.0.0.1 port=$p,"
		  . $remote->port . " connect_timeout=2 dbname=postgres')",
		'OK',
		'connect_timeout passes on to a host that answers');
	$s->quit;
}

# ---- other sessions are not held up -------------------------------------

{
	my $waiter = session($local);
	my $connecter = session($local);
	my $other = session($local);
	my $clients = $silent->count;
	$waiter->send("SELECT * FROM dblink($to_remote, 'SELECT pg_sleep(60) /* barrier */') AS t(x text)");
	$connecter->send("SELECT dblink_connect('c', 'host=127.0.0.1 port=" . $silent->port . "')");
	poll_until(sub {
		$silent->count > $clients
		  && remote_count($remote, "state = 'active' AND query LIKE '%barrier%'"); });
	my $r = $other->run('CREATE DATABASE passing', SLOW * 4);
	$r = $other->run('DROP DATABASE passing', SLOW) unless $r->{hung};
	ok(!$r->{hung} && !$r->{errors}, 'DROP DATABASE elsewhere does not wait for dblink')
	  or diag $r->{err};
	foreach my $s ($waiter, $connecter)
	{
		kill 'INT', $s->pid;
		ended($s->collect(SLOW), 'cancel', 'the waiting session is still there');
		$s->quit;
	}
	$other->quit;
}

# ---- several cancels -----------------------------------------------------

{
	my $s = session($local);
	my ($usable, $closed, $wrong) = (0, 0, 0);
	foreach my $gap (0, 1, 2, 5, 10, 20, 50)
	{
		my $mark = sprintf 'twice_%d_x', ++$number;
		$s->run("SELECT dblink_connect('c', $to_remote)");
		$s->send("SELECT * FROM dblink('c', 'SELECT pg_sleep(60) /* $mark */') AS t(x text)");
		my $there = "state = 'active' AND query LIKE '%$mark%'";
		poll_until(sub { remote_count($remote, $there) });
		kill 'INT', $s->pid;
		usleep($gap * 1000);
		kill 'INT', $s->pid;
		my $r = $s->collect(SLOW);
		fails_with(undef, $r, { state => '57014', message => $ending{cancel} },
			"two cancels $gap ms apart: ends");
		remote_quiet($remote, $there, "two cancels $gap ms apart: the remote statement is gone", SLOW);
		last if $r->{hung};

		# the second signal may have come after the statement's end and hit
		# nothing; a harmless statement takes a late one
		$s->run('SELECT pg_sleep(0.01)');
		my $next = $s->run("SELECT x FROM dblink('c', 'SELECT 1') AS t(x int)");
		if    ($next->{out} eq '1')                              { $usable++; }
		elsif (said_closed($r, 'dblink connection "c"')
			&& $next->{err} =~ /could not establish connection/) { $closed++; }
		else                                                     { $wrong++; }
		$s->run("SELECT dblink_disconnect('c')");
		is(local_fds($s), local_fds(watch($local)), "two cancels $gap ms apart: no socket is left");
	}
	is($wrong, 0, "after two cancels the connection is usable or said to be closed ($usable, $closed)");
	healthy($s, 'the session lives');
	$s->quit;
}

# A remote that takes the first cancel for its own: the second try ends it.
{
	my $s = session($local);
	$s->run("SELECT dblink_connect('c', $to_remote)");
	my $r = end_it($s, 'timeout',
		"SELECT dblink_exec('c', 'DO \$\$ BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN "
		  . "query_canceled THEN PERFORM pg_sleep(60) /* stubborn */; END \$\$')");
	ended($r, 'timeout', 'a remote that ignores the first cancel');
	remote_quiet($remote, "state = 'active' AND query LIKE '%stubborn%'",
		'the retry cancels it', SLOW);
	rows_are($s, "SELECT x FROM dblink('c', 'SELECT 1') AS t(x int)", '1',
		'and the connection is usable');
	$s->quit;
}

# ---- a remote that does not answer the cancel ------------------------------

# The pid of the remote side of a session's connection.
sub remote_pid
{
	my ($s, $conn) = @_;
	my $arg = $conn ne '' ? "'$conn', " : '';
	return $s->run("SELECT x FROM dblink(${arg}'SELECT pg_backend_pid()') AS t(x int)")->{out};
}

my %stalled = (
	'dblink, named' =>
	  [ 'c', "SELECT * FROM dblink('c', 'SELECT 1') AS t(x int)" ],
	'sending a large statement by dblink_exec' =>
	  [ 'c', "SELECT dblink_exec('c', current_setting('my.large'))" ],
	'sending a large statement by dblink_send_query' =>
	  [ 'c', "SELECT dblink_send_query('c', current_setting('my.large'))" ],
	'dblink_open, unnamed' => [ '', "SELECT dblink_open('cur', 'SELECT 1')" ]);
foreach my $case (sort keys %stalled)
{
	# all ways for two of them; each takes the time that a cancel is given
	foreach my $how ($case =~ /named$|send_query/ && $case !~ /^dblink, named/ ? 'timeout' : qw(timeout cancel terminate))
	{
		my $name = "remote stopped, $case, $how";
		my ($conn, $sql) = @{ $stalled{$case} };
		my $arg = $conn ne '' ? "'$conn', " : '';
		my $s = session($local);
		$s->run("SELECT dblink_connect($arg$to_remote)");
		my $rpid = remote_pid($s, $conn);
		kill 'STOP', $rpid;
		# more than the sockets' buffers take
		$s->run("SELECT count(set_config('my.large', 'SELECT ''' || repeat('x', 24000000) || '''', false))")
		  if $sql =~ /my\.large/;
		my $r = end_it($s, $how, $sql, sub { asleep($s) }, '800ms');

		# should end within the time that is given to a cancel
		ended($r, $how, $name, $s);
		if ($how ne 'terminate' && !$r->{hung})
		{
			# should say that the connection had to be closed
			my $what = $conn ne '' ? "dblink connection \"$conn\"" : 'unnamed dblink connection';
			ok(said_closed($r, $what), "$name: a warning says that it was closed")
			  or diag $r->{err};
			my $next = $s->run("SELECT dblink_disconnect(" . ($conn ne '' ? "'$conn'" : '') . ')', SLOW);
			fails_with(undef, $next,
				{
					state => '08003',
					message => $conn ne '' ? "connection \"$conn\" not available" : 'connection not available'
				},
				"$name: it is gone");
			is(local_fds($s), local_fds(watch($local)), "$name: no socket is left");
			rows_are($s, "SELECT dblink_connect($arg$to_remote)", 'OK', "$name: a new one can be made");
		}
		kill 'CONT', $rpid;
		$s->quit;
		is(poll_value($remote, "SELECT count(*) FROM pg_stat_activity WHERE pid = $rpid", '0', SLOW),
			'0', "$name: the remote session ends");
	}
}

# A remote that takes no cancel request at all: its postmaster is stopped, and
# only the sessions go on.
{
	my ($postmaster) = split /\n/, slurp_file($remote->data_dir . '/postmaster.pid');
	my $s = session($local);
	$s->run("SELECT dblink_connect('c', $to_remote); SELECT dblink_connect('d', $to_remote)");
	$s->run("SELECT dblink_send_query('d', 'SELECT pg_sleep(60) /* uncancelled */')");
	kill 'STOP', $postmaster;

	# should end, though the request gets nowhere
	my $r = end_it($s, 'timeout', "SELECT dblink_cancel_query('d')");
	ended($r, 'timeout', 'dblink_cancel_query to a postmaster that is stopped');
	$r = end_it($s, 'timeout',
		"SELECT * FROM dblink('c', 'SELECT pg_sleep(60) /* uncancelled */') AS t(x text)", undef, '500ms');
	ended($r, 'timeout', 'a statement whose cancel request gets nowhere');
	ok(said_closed($r, 'dblink connection "c"'), 'a warning says that it was closed') or diag $r->{err};
	rows_are($s, 'SELECT dblink_get_connections()', '{d}', 'it is gone, the other is not');
	healthy($s, 'the session lives');
	kill 'CONT', $postmaster;
	query_value($remote, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
		  . " WHERE query LIKE '%/* uncancelled */%' AND pid <> pg_backend_pid()");
	$s->quit;
	remote_quiet($remote, $our_sessions, 'no session is left on the remote');
}

# While the cancel is waited for: should be ended by the next signal.
foreach my $how (qw(cancel terminate))
{
	my $s = session($local);
	$s->run("SELECT dblink_connect('c', $to_remote)");
	my $rpid = remote_pid($s, 'c');
	kill 'STOP', $rpid;
	$s->send("SELECT * FROM dblink('c', 'SELECT 1') AS t(x int)");
	poll_until(sub { asleep($s) });
	kill 'INT', $s->pid;
	usleep(300_000);
	query_value($local, "SELECT pg_${how}_backend(" . $s->pid . ')');
	my $r = $s->collect(SLOW);
	ended($r, $how, "remote stopped, and a $how while the cancel is waited for", $s);
	ok($how eq 'terminate' || said_closed($r, 'dblink connection "c"'), 'a warning says that it was closed')
	  or diag $r->{err};
	kill 'CONT', $rpid;
	$s->quit;
	is(poll_value($remote, "SELECT count(*) FROM pg_stat_activity WHERE pid = $rpid", '0', SLOW),
		'0', 'the remote session ends');
}

# A remote that takes every cancel for its own, for ever: should be left alone.
{
	my $s = session($local);
	$s->run("SELECT dblink_connect('c', $to_remote)");
	my $rpid = remote_pid($s, 'c');
	my $r = end_it($s, 'timeout',
		"SELECT dblink_exec('c', 'DO \$\$ BEGIN LOOP BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN "
		  . "query_canceled THEN NULL; END; END LOOP; END \$\$')");
	ended($r, 'timeout', 'a remote that ignores all cancels');
	ok(said_closed($r, 'dblink connection "c"'), 'a warning says that it was closed') or diag $r->{err};
	rows_are($s, 'SELECT dblink_get_connections() IS NULL', 't', 'it is gone');
	query_value($remote, "SELECT pg_terminate_backend($rpid)");
	$s->quit;
}

# ---- notices, errors and locks ---------------------------------------------

{
	my $s = session($local);
	$s->run("SELECT dblink_connect('c', $to_remote)");

	# should end: notices keep coming
	my $r = end_it($s, 'timeout',
		"SELECT dblink_exec('c', 'DO \$\$ BEGIN FOR i IN 1..2000000000 LOOP "
		  . "RAISE NOTICE ''flood''; END LOOP; END \$\$')");
	ended($r, 'timeout', 'a flood of notices');
	remote_quiet($remote, "state = 'active' AND query LIKE '%flood%'", 'the flood has ended', SLOW);
	rows_are($s, "SELECT x FROM dblink('c', 'SELECT 1') AS t(x int)", '1', 'and the connection is usable');

	# should fail at the bad value and not read the rest of an endless result
	# (a function in the remote's FROM would be run to its end first)
	$r = $s->run("SELECT count(*) FROM dblink('c', 'SELECT CASE WHEN g = 1000 THEN ''bad'' ELSE ''1'' END"
		  . " FROM (SELECT generate_series(1, 1000000000) g) s /* rest */') AS t(x int)", SLOW);
	fails_with(undef, $r, { state => '22P02' }, 'a local error in the middle of an endless result');
	remote_quiet($remote, "state = 'active' AND query LIKE '%rest%'", 'the rest is cancelled', SLOW);
	rows_are($s, "SELECT x FROM dblink('c', 'SELECT 1') AS t(x int)", '1', 'and the connection is usable');

	# should end: a lock of this very transaction, waited for through a
	# connection back to this server
	$s->run("CREATE TABLE own(x int); INSERT INTO own VALUES (1)");
	$s->run("SELECT dblink_connect('back', " . lit(conninfo($local)) . ')');
	$s->run("BEGIN; SET LOCAL statement_timeout = '400ms'; UPDATE own SET x = 2");
	$r = $s->run("SELECT dblink_exec('back', 'UPDATE own SET x = 3')", SLOW);
	ended($r, 'timeout', 'waiting for one\'s own lock');
	$s->run('ROLLBACK', SLOW);
	rows_are($s, "SELECT dblink_exec('back', 'UPDATE own SET x = 4')", 'UPDATE 1', 'and the connection is usable');
	rows_are($s, "SELECT dblink_disconnect('back'); SELECT dblink_disconnect('c')", "OK\nOK", 'both are disconnected');
	$s->quit;
}

# ---- the local server ends --------------------------------------------------

{
	# fast shutdown: should not wait for the remote
	my $s = session($local);
	$s->send("SELECT * FROM dblink($to_remote, 'SELECT pg_sleep(60) /* shutdown */') AS t(x text)");
	my $there = "query LIKE '%pg_sleep(60) /* shutdown */%'";
	poll_until(sub { remote_count($remote, $there) });
	unwatch($local);
	my $begin = time();
	$local->stop('fast');
	cmp_ok(time() - $begin, '<', SLOW, 'a fast shutdown does not wait for the remote');
	remote_quiet($remote, $there, 'and the remote session ends', SLOW);
	$s->quit;
	$local->start;

	# death of the postmaster: should end the waiting backend
	$s = session($local);
	$s->send("SELECT * FROM dblink($to_remote, 'SELECT pg_sleep(60) /* shutdown */') AS t(x text)");
	poll_until(sub { remote_count($remote, $there) });
	unwatch($local);
	$local->kill9;
	ok(poll_until(sub { !kill 0, $s->pid }, SLOW), 'a waiting backend notices the death of the postmaster');
	remote_quiet($remote, $there, 'and its remote session ends', SLOW);
	kill 'QUIT', $s->pid;
	$s->quit;
}

unwatch($remote);
done_testing();
