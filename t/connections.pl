# dblink2's functions on connections, with real servers: what is shown of them and to
# whom, which are used again, what wakes a wait for a notification and what it costs, and
# the messages of a server that are passed on, a hostile one's, too.

use strict;
use warnings;
use Test::More;
use IO::Select;
use IO::Socket::INET;
use IPC::Open2;
use Time::HiRes qw(time);
use PostgreSQL::Test::Utils;
use DblinkTest;
use DblinkWire;
use DblinkFake;

my $dir = PostgreSQL::Test::Utils::tempdir();
my ($local, $remote) = make_pair(
	local => { conf => ["deadlock_timeout = '100ms'"] },
	remote => {
		conf => [ tls_conf($dir), "password_encryption = 'scram-sha-256'" ],
		hba => [ 'host all asked 127.0.0.1/32 scram-sha-256', 'host all refused 127.0.0.1/32 reject' ] });
my $s = session($local);
no_error($s, 'CREATE EXTENSION dblink2; CREATE ROLE plain LOGIN; CREATE ROLE other LOGIN', 'the extension and roles');
query_value($remote, "CREATE ROLE asked LOGIN PASSWORD 'first-secret'");

# A connection string for the remote.
sub target { return lit(conninfo($remote, application_name => 'connections', sslmode => 'disable', gssencmode => 'disable', @_)) }
my $to_remote = target();

# A column of a connection's row.
sub column
{
	my ($column, $name, $session) = @_;
	return ($session || $s)->run("SELECT $column FROM dblink_connections() WHERE connname = '$name'")->{out};
}

# The remote ends the session of a connection; this waits until that shows here.
sub end_remote
{
	my $name = shift;
	query_value($remote, 'SELECT pg_terminate_backend(' . column('remote_backend_pid', $name) . ')');
	return poll_until(sub { column('closed', $name) eq 't' }, SLOW);
}

# ---- what is shown ------------------------------------------------------------------

no_error($s, "SELECT dblink_connect('c', $to_remote), dblink_connect('t', " . target(sslmode => 'require') . ')', 'connected, with TLS and without');
rows_are($s, 'SELECT connname, host, port, dbname, remote_user, user_name, closed FROM dblink_connections()',
	join("\n", map { join '|', $_, '127.0.0.1', $remote->port, 'postgres', (getpwuid $<)[0], (getpwuid $<)[0], 'f' } qw(c t)), 'where they lead');
rows_are($s, "SELECT remote_backend_pid = (SELECT p FROM dblink('t', 'SELECT pg_backend_pid()') AS t(p int)) FROM dblink_connections() WHERE connname = 't'", 't', 'the process there');

# should be f, and at once: a remote that does not answer is not asked
foreach my $name (qw(c t))
{
	my $pid = column('remote_backend_pid', $name);
	kill 'STOP', $pid;
	my $begun = time;
	is(column('closed', $name), 'f', "$name: a remote that is stopped has not closed");
	cmp_ok(time - $begun, '<', SLOW / 2, '... and is not waited for');
	kill 'CONT', $pid;

	# should be t: although what it has said before is not read
	end_remote($name);
	is(column('closed, state', $name), 't|idle', "$name: closed by the remote, which nothing here has noticed");
	rows_are($s, "SELECT dblink_disconnect('$name')", 'OK', '... and closed here');
}

# should be t: reset, and an end after unread data
foreach my $how (qw(reset data))
{
	my $fake = start_fake(auth_ok(), sub {
		my $client = shift;
		syswrite $client, command_complete('SET') . ready();
		if ($how eq 'data') { syswrite $client, error_message({ S => 'FATAL', C => '57P01', M => 'bye' }) . message('A', pack('N', 1) . "x\0y\0") }
		else                { setsockopt $client, Socket::SOL_SOCKET(), Socket::SO_LINGER(), pack('ii', 1, 0) }
		close $client;
		POSIX::_exit(0);
	});
	no_error($s, "SELECT dblink_connect('f', " . lit('host=127.0.0.1 dbname=x user=x sslmode=disable gssencmode=disable port=' . $fake->port) . ')', "a server that ends with $how");
	$s->run("SELECT dblink_exec('f', 'SET x')");
	poll_until(sub { column('closed', 'f') eq 't' }, SLOW);
	is(column('closed', 'f'), 't', 'it has closed');
	no_error($s, "SELECT dblink_disconnect('f')", 'closed here');
	$fake->stop;
}

# ---- to whom ------------------------------------------------------------------------

no_error($s, <<"SQL", 'a server with a mapping for a definer');
CREATE SERVER there FOREIGN DATA WRAPPER dblink_fdw OPTIONS (host '127.0.0.1', port '@{[ $remote->port ]}', dbname 'postgres', sslmode 'disable', gssencmode 'disable');
CREATE USER MAPPING FOR CURRENT_USER SERVER there OPTIONS (user 'asked', password 'first-secret');
GRANT USAGE ON FOREIGN SERVER there TO plain, other;
CREATE USER MAPPING FOR plain SERVER there OPTIONS (user 'asked', password 'first-secret');
CREATE USER MAPPING FOR other SERVER there OPTIONS (user 'asked', password 'first-secret');
CREATE FUNCTION call_there() RETURNS text LANGUAGE sql SECURITY DEFINER SET dblink.keep_connections = 1 AS
	\$\$ SELECT x FROM dblink('there', 'SELECT ''private''') AS t(x text) \$\$;
CREATE FUNCTION send_there() RETURNS int LANGUAGE sql SECURITY DEFINER AS
	\$\$ SELECT dblink_send_query('c', 'SELECT ''private''') \$\$;
SQL
my $plain = session($local, user => 'plain');
my $show = "SELECT kind, server_name, remote_user, user_name, query FROM dblink_connections()";
my $me = (getpwuid $<)[0];
no_error($plain, "SET dblink.keep_connections = 1; SELECT dblink_connect('c', 'there')", 'connected as a plain role');
rows_are($plain, 'SELECT call_there(); SELECT send_there()', "private\n1", 'a definer uses its own connection, and the named one');
rows_are($plain, $show, "named|there|asked|plain|\nkept|there||$me|", 'where the kept one of the definer leads is not shown, nor the queries');
rows_are($plain, "SELECT * FROM dblink_get_result('c') AS t(x text)", 'private', 'the result is not hidden');
rows_are($plain, "SELECT * FROM dblink_get_result('c') AS t(x text)", '', 'to its end');
rows_are($plain, "SELECT x FROM dblink('c', 'SELECT ''mine''') AS t(x text)", 'mine', 'a query of one\'s own');
rows_are($plain, $show, "named|there|asked|plain|SELECT 'mine'\nkept|there||$me|", '... is shown');
$plain->quit;
rows_are($s, "SET ROLE other; SELECT dblink_connect('c', 'there'); SELECT x FROM dblink('c', 'SELECT 1') AS t(x int); RESET ROLE", "OK\n1", 'after SET ROLE');
rows_are($s, $show, 'named|there|asked|other|SELECT 1', 'a superuser sees the query of another role');
rows_are($s, "SET ROLE plain; $show; RESET ROLE", 'named|there|asked|other|', 'a third role does not');
no_error($s, "SELECT dblink_disconnect('c')", 'closed');

# ---- which are used again -------------------------------------------------------------

my $reuse = "SELECT dblink_connect('c', $to_remote, true)";
my $pid;
sub is_reused
{
	my ($wanted, $name, $sql) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $before = column('remote_backend_pid', 'c');
	rows_are($s, $sql || $reuse, 'OK', $name);
	my $after = column('remote_backend_pid', 'c');
	return $wanted ? is($after, $before, '... it stands') : isnt($after, $before, '... it is another');
}
rows_are($s, $reuse, 'OK', 'made where there is none');
is_reused(1, 'alive');
$s->run("SELECT dblink_exec('c', 'BEGIN')");
is_reused(1, 'in a transaction');
$s->run("SELECT dblink_exec('c', 'nonsense')");
is_reused(0, 'in a transaction that has failed');
end_remote('c');
is_reused(0, 'ended by the remote');
$s->run("SELECT dblink_exec('c', 'SET idle_session_timeout = 50')");
poll_until(sub { column('closed', 'c') eq 't' }, SLOW);
is_reused(0, 'timed out there');
$s->run("SELECT dblink_send_query('c', 'SELECT pg_sleep(600)')");
fails_with($s, $reuse, { state => '55006', within => SLOW }, 'busy');
end_remote('c');
my $r = is_reused(0, 'ended in a query');
$s->run("SELECT dblink_send_query('c', 'SELECT pg_sleep(600)')");
end_remote('c');
like($s->run($reuse)->{err}, qr/WARNING:  08006: dblink connection "c" was lost/, '... which is told');
unwatch($remote);
$remote->stop('immediate');
$remote->start;
is_reused(0, 'the server was restarted');
unwatch($remote);
$remote->stop('fast');
fails_with($s, $reuse, { state => '08001', within => SLOW }, 'the server is not there');
rows_are($s, "SELECT count(*) FROM dblink_connections()", '0', '... nor is the connection');
$remote->start;
rows_are($s, $reuse, 'OK', 'made when it is there again');

# A stream reads from it: the rows are read ahead, and it stands.
rows_are($s, "SET dblink.streaming = always; SELECT max(dblink_connect('c', $to_remote, true)), count(*)"
	  . " FROM dblink('c', 'SELECT generate_series(1, 5000)') AS t(x int); RESET dblink.streaming", 'OK|5000', 'while its rows stream');

# should fail: the mapping has another password now, and the role is no superuser any more
no_error($s, "SELECT dblink_connect('m', 'there', true)", 'by a server');
rows_are($s, "SELECT dblink_connect('m', 'there', true)", 'OK', 'again');
no_error($s, "ALTER USER MAPPING FOR CURRENT_USER SERVER there OPTIONS (SET password 'second-secret')", 'another password');
fails_with($s, "SELECT dblink_connect('m', 'there', true)", { state => '42710', detail => 'Connection "m" was opened with other options.' }, '... is another place');
rows_are($s, "SELECT dblink_disconnect('m', true), dblink_disconnect('m', true)", 'OK|OK', 'closed, and closed again');
no_error($s, 'CREATE ROLE was_super SUPERUSER LOGIN', 'a superuser');
my $was_super = session($local, user => 'was_super');
my $with_password = target(password => 'given', user => $me);
rows_are($was_super, "SELECT dblink_connect('c', $with_password, true)", 'OK', 'connects where no password is asked for');
no_error($s, 'ALTER ROLE was_super NOSUPERUSER', 'is none any more');
fails_with($was_super, "SELECT dblink_connect('c', $with_password, true)", { state => '2F003' }, '... and may not use it again');
fails_with($was_super, "SELECT dblink_connect('c', " . target(user => $me) . ', true)', { state => '2F003' }, 'nor one without a password');
$was_super->quit;

# should be OK: u's connection is its owner's, and not the caller's
no_error($s, "GRANT EXECUTE ON FUNCTION dblink_connect_u(text, text) TO plain", 'dblink_connect_u');
fails_with($s, "SET ROLE plain; SELECT dblink_connect_u('u', $to_remote); SELECT dblink_connect('u', " . target(password => 'x') . ', true)',
	{ state => '42710', detail => 'Connection "u" was opened by another role.' }, 'is another role\'s');
no_error($s, "RESET ROLE; SELECT dblink_disconnect('u')", 'closed');

# Thousands of times: nothing is left behind.
sub lasting_memory
{
	return $s->run("SELECT sum(total_bytes) FROM pg_backend_memory_contexts WHERE name = 'TopMemoryContext'")->{out};
}
my $loop = "DO \$\$BEGIN FOR i IN 1 .. TIMES LOOP"
  . " PERFORM dblink_connect('c', $to_remote, true); PERFORM dblink_disconnect('none', true);"
  . " PERFORM count(*) FROM dblink_connections(); PERFORM * FROM dblink_get_notify('c', '0'); END LOOP; END\$\$";
no_error($s, $loop =~ s/TIMES/100/r, 'a hundred times');
my ($sockets, $memory) = (local_fds($s), lasting_memory());
no_error($s, $loop =~ s/TIMES/3000/r, 'three thousand times');
is(local_fds($s), $sockets, 'no socket more');
cmp_ok(lasting_memory(), '<=', $memory + 16384, 'and no memory');

# ---- a wait for a notification ------------------------------------------------------------

no_error($s, "SELECT dblink_connect('t', " . target(sslmode => 'require') . ", true)", 'with TLS again');
my $notifier = session($remote);

# The figures of the scheduler: nanoseconds on a processor, and how often.
sub schedule
{
	my ($ran, undef, $slices) = split ' ', slurp_file('/proc/' . $s->pid . '/schedstat');
	return ($ran, $slices);
}

# The session sleeps in its wait: it was not on a processor between two looks.
sub until_asleep
{
	my (undef, $before) = schedule();
	return poll_until(sub {
		my (undef, $now) = schedule();
		my $same = $now == $before;
		$before = $now;
		return $same && query_value($local, "SELECT wait_event_type FROM pg_stat_activity WHERE pid = " . $s->pid) =~ /Extension/;
	}, SLOW);
}

foreach my $name (qw(c t))
{
	my $how = $name eq 't' ? 'with TLS' : 'without TLS';
	no_error($s, "SELECT dblink_exec('$name', 'LISTEN alarm')", "$how: listens");

	# should wake when it comes: the time is told with it
	my @late;
	foreach my $turn (1 .. 15)
	{
		$s->send("SELECT (extract(epoch FROM clock_timestamp()) - extra::numeric) * 1000 FROM dblink_get_notify('$name', '1 hour')");
		ok(until_asleep(), "$how: turn $turn, waits") if $turn == 1;
		until_asleep() if $turn > 1;
		$notifier->run("SELECT pg_notify('alarm', extract(epoch FROM clock_timestamp())::text)");
		push @late, $s->collect->{out};
	}
	@late = sort { $a <=> $b } @late;
	cmp_ok($late[7], '<', 40, sprintf '%s: woken after %.2f ms (median; %.2f to %.2f)', $how, @late[ 7, 0, 14 ]);

	# should be no work: what a wait of two seconds takes
	$s->send("SELECT count(*) FROM dblink_get_notify('$name', '1 hour')");
	until_asleep();
	my ($ran, $slices) = schedule();
	my $begun = time;
	poll_until(sub { time - $begun > 2 }, SLOW);
	my ($ran_then, $slices_then) = schedule();
	cmp_ok($slices_then - $slices, '<=', 3, "$how: it is not on a processor while it waits");
	cmp_ok($ran_then - $ran, '<', 10e6, '... nor for long');
	$notifier->run("NOTIFY alarm");
	is($s->collect->{out}, '1', '... and wakes');

	# should come: all of many, in order
	$notifier->run("SELECT count(pg_notify('alarm', lpad(g::text, 7900, '0'))) FROM generate_series(1, 600) g");
	$r = $s->run(<<"SQL");
DO \$\$
DECLARE n int := 0; e text;
BEGIN
	WHILE n < 600 LOOP
		FOR e IN SELECT extra FROM dblink_get_notify('$name', '20 s') LOOP
			n := n + 1;
			ASSERT e::int = n, format('%s is at place %s', e::int, n);
		END LOOP;
		ASSERT FOUND, n || ' have come';
	END LOOP;
END\$\$
SQL
	ok(!$r->{errors}, "$how: six hundred large ones") or diag $r->{err};

	# should end: by a cancel, by the timeout of a statement
	$s->send("SELECT * FROM dblink_get_notify('$name', NULL)");
	until_asleep();
	query_value($local, 'SELECT pg_cancel_backend(' . $s->pid . ')');
	fails_with($s, $s->collect, { state => '57014', within => SLOW }, "$how: cancelled");
	fails_with($s, "SET statement_timeout = '200ms'; SELECT * FROM dblink_get_notify('$name', '1 hour')", { state => '57014', within => SLOW }, "$how: timed out");
	no_error($s, 'RESET statement_timeout', '... and reset');
	$begun = time;
	rows_are($s, "SELECT * FROM dblink_get_notify('$name', '500 ms')", '', "$how: no rows when the time is up");
	cmp_ok(time - $begun, '>=', 0.5, '... and not before');
	rows_are($s, "SELECT x FROM dblink('$name', 'SELECT 1') AS t(x int)", '1', "$how: the connection is usable");

	# should end: the remote ends
	my $there = column('remote_backend_pid', $name);
	$s->send("SELECT * FROM dblink_get_notify('$name', NULL)");
	until_asleep();
	query_value($remote, "SELECT pg_terminate_backend($there)");
	fails_with($s, $s->collect, { state => '08006', context => qr/while waiting for a notification on dblink connection named "$name"/, within => SLOW }, "$how: lost");
	fails_with($s, "SELECT * FROM dblink_get_notify('$name', '0')", { state => '08006', within => SLOW }, '... which a look says, too');
	no_error($s, "SELECT dblink_disconnect('$name')", '... and closed');
}

# Cancelled waits leave no descriptor.
no_error($s, $reuse, 'connected again');
my $fds = fd_count($s->pid);
$s->run("SET statement_timeout = '10ms'; SELECT * FROM dblink_get_notify('c', NULL)") foreach 1 .. 30;
no_error($s, 'RESET statement_timeout', 'thirty were cancelled');
is(fd_count($s->pid), $fds, 'no descriptor more');

# A session that is told to end in a wait does.
my $waiter = session($local);
no_error($waiter, $reuse, 'another session');
$waiter->send("SELECT * FROM dblink_get_notify('c', NULL)");
is(poll_value($local, 'SELECT wait_event_type FROM pg_stat_activity WHERE pid = ' . $waiter->pid, 'Extension', SLOW), 'Extension', 'it waits');
query_value($local, 'SELECT pg_terminate_backend(' . $waiter->pid . ')');
ok(poll_until(sub { !-d '/proc/' . $waiter->pid }, SLOW), '... and ends');
$waiter->quit;

# should be no deadlock: another connection waits for a lock of this session, and no
# statement is waited for here
my $self = lit(conninfo($local, application_name => 'self'));
rows_are($s, <<"SQL", "OK|OK\nLISTEN\n1\n0\nt", 'no deadlock is seen where there is none');
SET dblink.deadlock_patience = '100ms';
CREATE TABLE locked ();
SELECT dblink_connect('n', $self), dblink_connect('l', $self);
SELECT dblink_exec('n', 'LISTEN alarm');
BEGIN;
LOCK locked;
SELECT dblink_send_query('l', 'TABLE locked');
SELECT count(*) FROM dblink_get_notify('n', '2 s');
SELECT pg_blocking_pids(remote_backend_pid) = ARRAY[pg_backend_pid()] FROM dblink_connections() WHERE connname = 'l';
COMMIT;
RESET dblink.deadlock_patience;
SQL
no_error($s, "SELECT dblink_disconnect('l'), dblink_disconnect('n')", 'closed');

# The rows of other streams are read ahead before the wait: nothing there stays open.
rows_are($s, "SET dblink.streaming = always; SELECT count(*), sum(n) FROM dblink('c', 'SELECT generate_series(1, 20000)') AS t(x int),"
	  . " LATERAL (SELECT count(*) AS n FROM dblink_get_notify('c', CASE WHEN x > 0 THEN interval '0' END)) AS w; RESET dblink.streaming",
	'20000|0', 'from the connection whose rows stream');

# Bytes that were decrypted already: a server that sends records of 16 kB, of which some
# releases of libpq read half, so that a notification lies behind what the socket shows.
{
	my $fake = tls_server();
	no_error($s, "SELECT dblink_connect('hidden', " . lit("host=127.0.0.1 dbname=x user=x sslmode=require gssencmode=disable port=$fake->{port}") . ')', 'a server with large records');
	rows_are($s, "SELECT dblink_exec('hidden', 'LISTEN x')", 'LISTEN', 'listens');
	$s->send("SELECT notify_name, extra FROM dblink_get_notify('hidden', '20 s')");
	until_asleep();
	print { $fake->{control} } "\n";
	$r = $s->collect;
	is($r->{out}, 'x|behind', 'the notification in the rest of the record');
	cmp_ok($r->{secs}, '<', 15, '... in time');
	no_error($s, "SELECT dblink_disconnect('hidden')", 'closed');
	kill 'KILL', $fake->{pid};
	waitpid $fake->{pid}, 0;
}

# A server that speaks TLS with the records that it is told: answers the first query with
# a record that ends in the midst of a notice, and when it gets a line on its control
# socket, sends a full one, of which the last message is a notification.
sub tls_server
{
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Proto => 'tcp', Listen => 4) or die $!;
	my $inner = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Proto => 'tcp', Listen => 4) or die $!;
	my $inner_port = $inner->sockport;
	close $inner;
	socketpair my $ours, my $theirs, Socket::AF_UNIX(), Socket::SOCK_STREAM(), Socket::PF_UNSPEC() or die $!;
	my $pid = fork;
	die "could not fork: $!" unless defined $pid;
	if (!$pid)
	{
		eval { close $ours; _tls_serve($listener, $inner_port, $theirs) };
		print STDERR "TLS server: $@" if $@;
		POSIX::_exit(0);
	}
	close $theirs;
	$ours->autoflush(1);
	return { pid => $pid, port => $listener->sockport, control => $ours };
}

sub _tls_serve
{
	my ($listener, $inner_port, $control) = @_;
	# openssl does the encryption: what it reads at a time is one record
	my $openssl = open2(my $plain_out, my $plain_in, 'openssl', 's_server', '-quiet', '-accept', "127.0.0.1:$inner_port",
		'-cert', "$dir/server.crt", '-key', "$dir/server.key", '-naccept', 1);
	my $client = $listener->accept;
	sysread $client, my $request, 8;
	syswrite $client, 'S';
	my $crypted;
	select undef, undef, undef, 0.02 until $crypted = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $inner_port, Proto => 'tcp');
	my $select = IO::Select->new($client, $crypted, $plain_out, $control);
	my $notice = error_message({ S => 'NOTICE', V => 'NOTICE', C => '00000', M => 'x' x 16000 }, 'N');
	my $first = command_complete('LISTEN') . ready() . substr $notice, 0, 8190;
	my $rest = substr $notice, 8190;
	my $last = message('A', pack('N', 1) . "x\0behind\0");
	my $fill = 16384 - length($rest) - length $last;
	my $filler = error_message({ S => 'NOTICE', V => 'NOTICE', C => '00000', M => '' }, 'N');
	my $second = $rest . error_message({ S => 'NOTICE', V => 'NOTICE', C => '00000', M => 'y' x ($fill - length $filler) }, 'N') . $last;
	my @answers = (auth_ok(), $first);
	while (1)
	{
		foreach my $ready ($select->can_read)
		{
			my $n = sysread $ready, my $data, 65536;
			if (!$n)
			{
				kill 'KILL', $openssl;
				return;
			}
			if    ($ready == $client)    { syswrite $crypted, $data }
			elsif ($ready == $crypted)   { syswrite $client, $data }
			elsif ($ready == $plain_out) { syswrite $plain_in, shift @answers if @answers }
			else                         { syswrite $plain_in, $second }
		}
	}
}

# ---- messages that are passed on --------------------------------------------------------------

no_error($s, 'SET dblink.forward_notices = on', 'on');
my $done = command_complete('SET') . ready();
my $unit = "a\xc3\xa9";
my @notices = (
	[ 'nothing at all', {}, qr/^WARNING:  01000: / ],
	[ 'no SQLSTATE', { S => 'NOTICE', V => 'NOTICE', M => 'm' }, qr/^NOTICE:  00000: m$/m ],
	[ 'no severity', { C => '01004', M => 'm' }, qr/^WARNING:  01004: m$/m ],
	[ 'a severity of an old server', { S => 'NOTICE', C => '00000', M => 'm' }, qr/^NOTICE:  00000: m$/m ],
	[ 'a localized one', { S => 'HINWEIS', V => 'NOTICE', C => '00000', M => 'm' }, qr/^NOTICE:  00000: m$/m ],
	[ 'an INFO', { S => 'INFO', V => 'INFO', C => '00000', M => 'm' }, qr/^INFO:  00000: m$/m ],
	[ 'an ERROR', { S => 'ERROR', V => 'ERROR', C => '22012', M => 'm' }, qr/^WARNING:  22012: m$/m ],
	[ 'a FATAL', { S => 'FATAL', V => 'FATAL', C => '57P01', M => 'm' }, qr/^WARNING:  57P01: m$/m ],
	[ 'a PANIC', { S => 'PANIC', V => 'PANIC', C => 'XX000', M => 'm' }, qr/^WARNING:  XX000: m$/m ],
	[ 'a severity of 1 MB', { S => 'x' x 1e6, V => 'y' x 1e6, C => '00000', M => 'm' }, qr/^WARNING:  00000: m$/m ],
	[ 'a SQLSTATE of 1 MB', { S => 'NOTICE', V => 'NOTICE', C => '0' x 1e6, M => 'm' }, qr/^NOTICE:  00000: m$/m ],
	[ 'a SQLSTATE of bad bytes', { S => 'NOTICE', V => 'NOTICE', C => "\xff\xfe\x01%s", M => 'm' }, qr/^NOTICE:  /m ],
	[ 'a format', { S => 'NOTICE', V => 'NOTICE', C => '00000', M => '%n%s%s', D => '%n%s', H => '%n%s', W => '%n%s' },
		qr/^NOTICE:  00000: %n%s%s\nDETAIL:  %n%s\nHINT:  %n%s\nCONTEXT:  %n%s\nreceived on dblink connection named "h"$/m ],
	[ 'bad bytes', { S => 'NOTICE', V => 'NOTICE', C => '00000', M => "m\xe9\xff", D => "\xc3", H => "\xf0\x9f" }, qr/^NOTICE:  00000: m\?\?\nDETAIL:  \?\nHINT:  \?\?$/m ],
	[ 'a text of 1 MB', { S => 'NOTICE', V => 'NOTICE', C => '00000', M => $unit x 400000 }, qr/^NOTICE:  00000: ($unit){2730}a?\?*$/m ],
	[ 'all of 1 MB', { S => 'NOTICE', V => 'NOTICE', C => '00000', map { $_ => 'x' x 1e6 } qw(M D H W) }, qr/^NOTICE:  00000: x{8192}\nDETAIL:  x{8192}\nHINT:  x{8192}\nCONTEXT:  x{8192}\nreceived on/m ],
	[ 'only names', { S => 'NOTICE', V => 'NOTICE', C => '00000', s => 'a', t => 'b', c => 'c', n => 'd' }, qr/^NOTICE:  00000: /m ]);
my $many = 40000;
my @scenes = map { { start => auth_ok(), answers => [ error_message($_->[1], 'N') . $done ] } } @notices;
push @scenes, { start => auth_ok(), answers => [ error_message({ S => 'NOTICE', V => 'NOTICE', C => '00000', M => 'one of many' }, 'N') x $many . $done ] };
push @scenes, { start => auth_ok(), answers => [ error_message({ S => 'NOTICE', V => 'NOTICE', C => '00000', M => 'endless ' . 'x' x 1000 }, 'N') ], end => 'flood', again => 1 };
push @scenes, { start => auth_ok(), answers => [ $done . error_message({ S => 'FATAL', V => 'FATAL', C => '57P01', M => 'going down' }) ] };
my $fake = fake_server(sub { return $scenes[ $_[0] ] });
my $hostile = lit('host=127.0.0.1 dbname=x user=x sslmode=disable gssencmode=disable connect_timeout=3 port=' . $fake->port);
foreach my $i (0 .. $#notices)
{
	my ($name, undef, $pattern) = @{ $notices[$i] };
	$fake->next_scene($i);
	$r = $s->run("SELECT dblink_connect('h', $hostile); SELECT dblink_exec('h', 'SET x')", SLOW);
	like($r->{err}, $pattern, $name) or diag substr $r->{err}, 0, 300;
	is($r->{out}, "OK\nSET", '... and the call goes through');
	like($r->{err}, qr/received on dblink connection named "h"/, '... it tells where it is from');
	$s->run("SELECT dblink_disconnect('h')");
}

# should be bounded: what finds no room is counted, and none is reported twice
$fake->next_scene(scalar @notices);
my $start = -s $local->logfile;
$r = $s->run("SELECT dblink_connect('h', $hostile); SELECT dblink_exec('h', 'SET x')", 60);
my $seen = () = $r->{err} =~ /^NOTICE:  00000: one of many$/mg;
my $dropped = 0;
$dropped += $_ foreach slurp_file($local->logfile, $start) =~ /LOG:  (\d+) more messages? via remote connection w/g;
is($seen + $dropped, $many, "$many notices: $seen are shown, $dropped dropped");
cmp_ok($seen, '>', 100, 'many are shown');
$s->run("SELECT dblink_disconnect('h')");

# should be cancellable, and take no memory
$s->run("SELECT dblink_connect('h', $hostile)");
reset_peak($s->pid);
my $rss = memory_kb($s->pid, 'VmHWM');
fails_with($s, "SET client_min_messages = error; SET statement_timeout = '1s'; SELECT dblink_exec('h', 'SET x')", { state => '57014', within => SLOW * 2 }, 'an endless flood ends');
$s->run("RESET statement_timeout; RESET client_min_messages");
cmp_ok(memory_kb($s->pid, 'VmHWM'), '<', $rss + 30000, 'in little memory');
$s->run("SELECT dblink_disconnect('h', true)");

# should be a WARNING: a FATAL that no statement waits for; then the loss is an error
$fake->next_scene($#scenes);
$r = $s->run("SELECT dblink_connect('h', $hostile); SELECT dblink_exec('h', 'SET x'); SELECT * FROM dblink_get_notify('h', '10 s')", SLOW);
like($r->{err}, qr/^WARNING:  57P01: going down$/m, 'a FATAL while nothing runs is a warning');
fails_with($s, $r, { state => '08006' }, '... and the connection is lost');
$s->run("SELECT dblink_disconnect('h')");
$fake->stop;
healthy($s, 'the session lives');

# The log has no statement and no context with it: both may hold a connection string.
$start = -s $local->logfile;
no_error($s, "SET log_min_messages = notice; SELECT dblink_exec(" . target(password => 'log-secret') . ", 'DO \$\$BEGIN RAISE WARNING ''for the log''; END\$\$')", 'a warning for the log');
no_error($s, "SET log_min_error_statement = notice; DO \$do\$BEGIN PERFORM dblink_exec(" . target(password => 'log-secret') . ", 'DO \$\$BEGIN RAISE WARNING ''for the log''; END\$\$'); END\$do\$", 'another');
my $log = slurp_file($local->logfile, $start);
is(scalar(() = $log =~ /WARNING:  for the log/g), 2, 'they are in the log');
unlike($log, qr/log-secret/, 'and no password');
no_error($s, 'RESET ALL', 'off again');
$start = -s $local->logfile;
$r = $s->run("SELECT dblink_exec('c', 'DO \$\$BEGIN RAISE WARNING ''as ever''; END\$\$')");
is($r->{err}, '', 'off: nothing is shown');
like(slurp_file($local->logfile, $start), qr/LOG:  received message via remote connection: WARNING:  as ever/, '... it is in the log');

$s->run('SELECT dblink_disconnect(connname) FROM dblink_connections() WHERE kind = \'named\'');
remote_quiet($remote, "application_name = 'connections'", 'no session is left on the remote');
$s->quit;
done_testing();
