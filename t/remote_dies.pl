# The remote goes away: idle, in the middle of a result, with open cursors and
# pending results, by timeouts of its own.  The error says why, the session
# lives, and a new connection under the same name works.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;

# The local server comes back by itself after one of its backends is killed.
my ($local, $remote) =
  make_pair(local => { conf => ['restart_after_crash = on'] });
my $ours = "application_name = 'dies'";
my $to_remote = lit(conninfo($remote, application_name => 'dies'));

# The server's last words come as its own error, or within libpq's report of
# the loss, as the wire happens to deliver them; they are never missing.
my $killed = qr/terminating connection due to administrator command/;
my $killed_state = qr/^(57P01|08006)$/;

my $s = session($local);
$s->run('CREATE TABLE target(x text)');

# Opens the named connection anew.
sub reconnect
{
	my $name = shift;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	rows_are($s,
		"SELECT dblink_disconnect('c'); SELECT dblink_connect('c', $to_remote); "
		  . "SELECT x FROM dblink('c', 'SELECT 1') AS t(x int)",
		"OK\nOK\n1", "$name: disconnecting and connecting again works");
	return;
}

# Terminates our sessions on the remote and waits until they are gone.
sub terminate
{
	query_value($remote, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE $ours");
	remote_quiet($remote, $ours, 'terminated');
	return;
}

# ---- idle -------------------------------------------------------------

$s->run("SELECT dblink_connect('c', $to_remote)");
my %use = (
	'dblink' => [
		"SELECT * FROM dblink('c', 'SELECT 1') AS t(x int)",
		'while executing query on dblink connection named "c"'
	],
	'dblink_exec' => [
		"SELECT dblink_exec('c', 'SET geqo = on')",
		'while executing command on dblink connection named "c"'
	],
	'dblink_open' => [
		"SELECT dblink_open('c', 'cur', 'SELECT 1')",
		# COMPAT: it dies at the BEGIN that dblink_open sends, for which stock
		# has an internal error without a context
		undef
	]);
foreach my $use (sort keys %use)
{
	terminate();
	rows_are($s, 'SELECT dblink_get_connections()', '{c}', "$use: a dead connection is listed");
	# should fail with the server's last words
	fails_with($s, $use{$use}[0],
		{
			state => $use{$use}[1] ? $killed_state : qr/^(57P01|08006|XX000)$/,
			message => $killed,
			$use{$use}[1] ? (context => $use{$use}[1]) : ()
		},
		"$use: terminated while idle");
	# should fail again, without words
	my $r = $s->run($use{$use}[0], SLOW);
	ok($r->{errors} && !$r->{hung}, "$use: fails again") or diag $r->{out};
	healthy($s, "$use: the session lives");
	reconnect($use);
}

# should answer at once, whatever they say
terminate();
foreach my $f (qw(is_busy error_message cancel_query get_notify send_query get_result))
{
	my $sql = $f eq 'get_result' ? "SELECT * FROM dblink_get_result('c') AS t(x int)"
	  : $f eq 'send_query' ? "SELECT dblink_send_query('c', 'SELECT 1')"
	  :                      "SELECT * FROM dblink_$f('c')";
	my $r = $s->run($sql, SLOW);
	ok(!$r->{hung} && !$r->{gone}, "$f on a dead connection returns");
	healthy($s, "$f: the session lives");
}
reconnect('after all functions on a dead connection');

# ---- at work ------------------------------------------------------------

# should fail with the server's words
$s->send("SELECT * FROM dblink('c', 'SELECT pg_sleep(60)') AS t(x text)");
poll_until(sub { remote_count($remote, "$ours AND state = 'active'") });
query_value($remote, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE $ours");
fails_with($s, $s->collect(SLOW),
	{ state => $killed_state, message => $killed,
	  context => 'while executing query on dblink connection named "c"' },
	'terminated while a statement runs');
reconnect('terminated while a statement runs');

# In the middle of a result: rows come, then the end.
foreach my $fail (qw(true false))
{
	$s->send("INSERT INTO target SELECT * FROM dblink('c', \$\$"
		  . "SELECT CASE WHEN g < 100000 THEN repeat('x', 100) ELSE pg_sleep(60)::text END"
		  . " FROM generate_series(1, 100000) g\$\$, $fail) AS t(x text)");
	poll_until(sub { remote_count($remote, "$ours AND wait_event = 'PgSleep'") });
	query_value($remote, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE $ours");
	my $r = $s->collect(SLOW);
	if ($fail eq 'true')
	{
		# should fail
		fails_with($s, $r,
			{ state => $killed_state, message => $killed,
			  context => 'while executing query on dblink connection named "c"' },
			'terminated in the middle of a result');
	}
	else
	{
		# should give a notice and no rows
		ok(!$r->{errors} && (grep { $_->{severity} eq 'NOTICE' && $_->{message} =~ $killed }
			@{ $r->{messages} }),
			'terminated in the middle of a result, fail_on_error false') or diag $r->{err};
	}
	rows_are($s, 'SELECT count(*) FROM target', '0', 'no row came of it');
	$s->run('TRUNCATE target');
	reconnect('terminated in the middle of a result');
}

# the same for an asynchronous result
$s->run("SELECT dblink_send_query('c', \$\$SELECT CASE WHEN g < 100000 THEN repeat('x', 100)"
	  . " ELSE pg_sleep(60)::text END FROM generate_series(1, 100000) g\$\$)");
$s->send("INSERT INTO target SELECT * FROM dblink_get_result('c') AS t(x text)");
poll_until(sub { remote_count($remote, "$ours AND wait_event = 'PgSleep'") });
query_value($remote, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE $ours");
# should fail
fails_with($s, $s->collect(SLOW), { state => $killed_state, message => $killed },
	'terminated in the middle of an asynchronous result');
rows_are($s, 'SELECT count(*) FROM target', '0', 'no row came of it');
reconnect('terminated in the middle of an asynchronous result');

# ---- timeouts of the remote ------------------------------------------------

$s->run("SELECT dblink_exec('c', 'SET idle_in_transaction_session_timeout = ''100ms''');"
	  . "SELECT dblink_exec('c', 'BEGIN')");
remote_quiet($remote, $ours, 'the remote ends an idle transaction');
# should fail with the server's words
fails_with($s, "SELECT dblink_exec('c', 'SET geqo = on')",
	{ state => '08006',
	  message => qr/terminating connection due to idle-in-transaction timeout/,
	  context => 'while executing command on dblink connection named "c"' },
	'idle_in_transaction_session_timeout');
reconnect('idle_in_transaction_session_timeout');

$s->run("SELECT dblink_exec('c', 'SET idle_session_timeout = ''100ms''')");
remote_quiet($remote, $ours, 'the remote ends an idle session');
# should fail with the server's words
fails_with($s, "SELECT * FROM dblink('c', 'SELECT 1') AS t(x int)",
	{ state => '08006',
	  message => qr/terminating connection due to idle-session timeout/ },
	'idle_session_timeout');
reconnect('idle_session_timeout');

# ---- the whole remote ------------------------------------------------------

# With an open cursor, a pending result, a remote transaction and one idle.
my @names = qw(c pending xact unused);
$s->run("SELECT dblink_connect('$_', $to_remote)") foreach @names[ 1 .. 3 ];
$s->run("SELECT dblink_open('c', 'cur', 'SELECT generate_series(1, 100)')");
$s->run("SELECT dblink_send_query('pending', 'SELECT pg_sleep(60)')");
$s->run("SELECT dblink_exec('xact', 'BEGIN; CREATE TABLE never(x int)')");
$s->run("SELECT dblink_connect($to_remote)");
unwatch($remote);
$s->send("SELECT * FROM dblink('SELECT pg_sleep(60)') AS t(x text)");
poll_until(sub { remote_count($remote, "$ours AND wait_event = 'PgSleep'") == 2 });
unwatch($remote);
$remote->stop('immediate');
# should fail
my $r = $s->collect(SLOW);
fails_with($s, $r,
	{ state => qr/^(08006|57P01|57P02)$/,
	  context => 'while executing query on unnamed dblink connection' },
	'immediate shutdown while a statement runs');
# should fail: nobody is there
fails_with($s, "SELECT dblink_connect('new', $to_remote)",
	{ state => '08001', message => 'could not establish connection',
	  detail => qr/Connection refused/ },
	'connecting to a server that is down');
$remote->start;
# each should fail
my %after = (
	'a fetch from the cursor' => [ "SELECT * FROM dblink_fetch('c', 'cur', 5) AS t(x int)",
		'while fetching from cursor "cur" on dblink connection named "c"' ],
	'the pending result' => [ "SELECT * FROM dblink_get_result('pending') AS t(x text)",
		'while executing query on dblink connection named "pending"' ],
	'the transaction' => [ "SELECT dblink_exec('xact', 'COMMIT')",
		'while executing command on dblink connection named "xact"' ],
	'the idle one' => [ "SELECT * FROM dblink('unused', 'SELECT 1') AS t(x int)",
		'while executing query on dblink connection named "unused"' ]);
foreach my $what (sort keys %after)
{
	fails_with($s, $s->run($after{$what}[0], SLOW),
		{ state => qr/^(08006|57P01|57P02)$/, message => qr/./, context => $after{$what}[1] },
		"after the restart: $what");
}
rows_are($s, 'SELECT n FROM unnest(dblink_get_connections()) n ORDER BY 1',
	"c\npending\nunused\nxact", 'the dead connections are still listed');
foreach my $name (@names)
{
	rows_are($s, "SELECT dblink_disconnect('$name')", 'OK', "$name can be disconnected");
}
# should work: connecting the unnamed slot replaces the dead one
rows_are($s, "SELECT dblink_connect($to_remote); SELECT dblink_connect('c', $to_remote);"
	  . "SELECT x FROM dblink('SELECT to_regclass(''never'') IS NULL') AS t(x bool)",
	"OK\nOK\nt", 'connecting again, and the transaction is rolled back');
# should work: a cursor on the new connection starts from nothing
rows_are($s, "SELECT dblink_open('c', 'cur', 'SELECT 7');"
	  . "SELECT * FROM dblink_fetch('c', 'cur', 5) AS t(x int); SELECT dblink_close('c', 'cur')",
	"OK\n7\nOK", 'a cursor after reconnecting');
is(remote_count($remote, "$ours AND xact_start IS NOT NULL"), 0, 'and its transaction was ended');
is(local_fds($s) - local_fds(watch($local)), 2, 'two connections, two sockets');

# ---- the local backend -----------------------------------------------------

$s->run("SELECT dblink_exec('c', 'CREATE TABLE kept(x int)');"
	  . "SELECT dblink_exec('c', 'BEGIN; INSERT INTO kept VALUES (1)')");
is(remote_count($remote, "$ours AND state = 'idle in transaction'"), 1, 'a remote transaction is open');
unwatch($local);
kill 'KILL', $s->pid;
remote_quiet($remote, $ours, 'a killed local backend leaves no session on the remote');
is(query_value($remote, 'SELECT count(*) FROM kept'), 0, 'and its transaction is rolled back');
$s->quit;
# should come back before the test ends, to be stopped like any server
ok(poll_until(sub { system('pg_isready', '-q', '-h', $local->host, '-p', $local->port) == 0 }),
	'the local server is up again');
unwatch($remote);
done_testing();
