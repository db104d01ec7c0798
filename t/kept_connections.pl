# Kept connections: calls by connection string or server name use one of an
# earlier call, if dblink.keep_connections says so; and nobody can tell it from
# a new one but by its speed.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;

my ($local, $remote) = make_pair(
	remote => { hba => [
			'host postgres trusted 127.0.0.1/32 trust',
			'host postgres guarded,keeper 127.0.0.1/32 scram-sha-256' ] });
my $to_remote = conninfo($remote, application_name => 'kept');
my $kept = "application_name = 'kept'";

$remote->safe_psql('postgres', <<'SQL');
SET password_encryption = 'scram-sha-256';
CREATE ROLE guarded LOGIN PASSWORD 'secret';
CREATE ROLE trusted LOGIN PASSWORD 'secret';
SQL
$local->safe_psql('postgres', 'CREATE ROLE plain LOGIN; CREATE ROLE other LOGIN;');

# A session that keeps so many connections.
sub keeping
{
	my ($number, %opt) = @_;
	my $s = session($local, %opt);
	$s->run("LOAD 'dblink'");
	no_error($s, "SET dblink.keep_connections = $number", "keep $number") if defined $number;
	return $s;
}

# The remote's process that a call by this string comes to; or the error.
sub pid_by
{
	my ($s, $conninfo) = @_;
	my $r = $s->run('SELECT pid FROM dblink(' . lit($conninfo) . ", 'SELECT pg_backend_pid()') AS t(pid int)");
	return $r->{errors} ? "$r->{messages}[0]{state}: $r->{messages}[0]{message}" : $r->{out};
}

# A call's one value.
sub value_by
{
	my ($s, $conninfo, $sql) = @_;
	my $r = $s->run('SELECT x FROM dblink(' . lit($conninfo) . ', ' . lit($sql) . ') AS t(x text)');
	return $r->{errors} ? "$r->{messages}[0]{state}: $r->{messages}[0]{message}" : $r->{out};
}

subtest 'off by default' => sub {
	my $s = keeping();
	rows_are($s, 'SHOW dblink.keep_connections', '0', 'the default');
	my @pids = map { pid_by($s, $to_remote) } 1 .. 2;
	isnt($pids[0], $pids[1], 'two calls, two sessions on the remote');
	remote_quiet($remote, $kept, 'and none stays');
	$s->quit;
};

subtest 'switched off again' => sub {
	my $s = keeping(2);
	like(pid_by($s, $to_remote), qr/^\d+$/, 'a call that is kept');
	# it is closed at the end of the transaction, not only when the next call comes
	no_error($s, 'SET dblink.keep_connections = 0', 'none may be kept any more');
	remote_quiet($remote, $kept, 'and none is');
	$s->quit;
};

subtest 'used again' => sub {
	my $s = keeping(2);
	my $pid = pid_by($s, $to_remote);
	is(pid_by($s, $to_remote), $pid, 'the second call has the session of the first');
	$s->run("SELECT dblink_exec(" . lit($to_remote) . ", 'SET work_mem = ''4MB''')");
	is(pid_by($s, $to_remote), $pid, 'and dblink_exec() too');
	rows_are($s, 'SELECT dblink_get_connections()', '', 'it is none of the named ones');
	rows_are($s, "BEGIN; SELECT pid = $pid FROM dblink(" . lit($to_remote) . ", 'SELECT pg_backend_pid()') AS t(pid int); ROLLBACK",
		't', 'in a transaction that is rolled back');
	is(pid_by($s, $to_remote), $pid, 'and after it');
	isnt(pid_by($s, "$to_remote connect_timeout=9"), $pid, 'not for another string');
	$s->run("SELECT dblink_connect('c', " . lit($to_remote) . ')');
	isnt($s->run("SELECT pid FROM dblink('c', 'SELECT pg_backend_pid()') AS t(pid int)")->{out}, $pid, 'a named connection is one of its own');
	$s->run("SELECT dblink_disconnect('c')");

	# Only two streams use connections at the same time.
	$s->run('SET dblink.streaming = on; SET enable_hashjoin = off; SET enable_mergejoin = off');
	my $rows = 'dblink(' . lit($to_remote) . ", 'SELECT g, pg_backend_pid(), repeat(''x'', 9000) FROM generate_series(1, 300) AS g')";
	my $r = $s->run("SELECT DISTINCT a.pid <> b.pid FROM $rows AS a(g int, pid int, f text) JOIN $rows AS b(g int, pid int, f text) USING (g)");
	is($r->{out}, 't', 'one that is in use is not used');
	like(pid_by($s, $to_remote), qr/^\d+$/, 'and then one is');
	$s->quit;
	remote_quiet($remote, $kept, 'they end with the session');
};

subtest 'so many and no more' => sub {
	my $s = keeping(2);
	my %pid = map { $_ => pid_by($s, "$to_remote connect_timeout=" . (10 + $_)) } 1 .. 4;
	is(poll_value($remote, "SELECT count(*) FROM pg_stat_activity WHERE $kept", 2), 2, 'two stay of four');
	is(pid_by($s, "$to_remote connect_timeout=14"), $pid{4}, 'the last');
	is(pid_by($s, "$to_remote connect_timeout=13"), $pid{3}, 'and the one before');
	isnt(pid_by($s, "$to_remote connect_timeout=11"), $pid{1}, 'not the first');
	is(pid_by($s, "$to_remote connect_timeout=13"), $pid{3}, 'the one that was used last stays');
	$s->run('SET dblink.keep_connections = 0');
	pid_by($s, $to_remote);
	remote_quiet($remote, $kept, 'switched off, none stays after the next call');
	fails_with($s, 'SET dblink.keep_connections = -1', { state => '22023' }, 'no less than none');
	$s->quit;
};

subtest 'clean as a new one' => sub {
	my $s = keeping(1);
	my $pid = pid_by($s, $to_remote);
	my %trace = (
		'a setting' => [ "SET work_mem = '77kB'", 'SHOW work_mem', '4MB' ],
		'a date style' => [ "SET DateStyle = 'German'", 'SHOW DateStyle', 'ISO, MDY' ],
		'an encoding' => [ "SET client_encoding = 'LATIN1'", 'SHOW client_encoding', 'UTF8' ],
		'a role' => [ 'SET ROLE guarded', 'SELECT current_user = session_user', 't' ],
		'a session user' => [ 'SET SESSION AUTHORIZATION guarded', "SELECT session_user <> 'guarded'", 't' ],
		'a temporary table' => [ 'CREATE TEMP TABLE tt (a int)', "SELECT to_regclass('tt') IS NULL", 't' ],
		'an advisory lock' => [ 'DO $$ BEGIN PERFORM pg_advisory_lock(5); END $$',
			"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'", '0' ],
		'LISTEN' => [ 'LISTEN news', 'SELECT count(*) FROM pg_listening_channels()', '0' ],
		'a prepared statement' => [ 'PREPARE p AS SELECT 1', 'SELECT count(*) FROM pg_prepared_statements', '0' ],
		'a cursor that holds' => [ 'DECLARE h CURSOR WITH HOLD FOR SELECT 1', "SELECT count(*) FROM pg_cursors WHERE name = 'h'", '0' ],
		'a sequence' => [ 'CREATE TEMP SEQUENCE q', "SELECT to_regclass('q') IS NULL", 't' ],
		'an isolation level' => [ 'SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE',
			'SHOW transaction_isolation', 'read committed' ],
		'an application name' => [ "SET application_name = 'somebody'", 'SHOW application_name', 'kept' ]);
	foreach my $name (sort keys %trace)
	{
		my ($do, $look, $clean) = @{ $trace{$name} };
		$s->run('SELECT dblink_exec(' . lit($to_remote) . ', ' . lit($do) . ')');
		is(value_by($s, $to_remote, $look), $clean, "$name is gone");
		is(pid_by($s, $to_remote), $pid, "and it is the same session");
	}
	$s->quit;
};

subtest 'closed if it is not in order' => sub {
	my $s = keeping(1);
	my $lit = lit($to_remote);

	# in a transaction
	my $pid = pid_by($s, $to_remote);
	$s->run("SELECT dblink_exec($lit, 'BEGIN')");
	remote_quiet($remote, "$kept AND state LIKE 'idle in transaction%'", 'an open transaction is not kept');
	isnt(pid_by($s, $to_remote), $pid, 'another session comes');

	# after an error it is as good as before or gone, but right
	$pid = pid_by($s, $to_remote);
	is(value_by($s, $to_remote, 'SELECT 1 / 0'), '22012: division by zero', 'an error');
	is(value_by($s, $to_remote, 'SELECT 2'), '2', 'and the next call is right');
	is(value_by($s, $to_remote, 'SELECT 1, 2'), '42804: remote query result rowtype does not match the specified FROM clause rowtype', 'a wrong column count');
	is(value_by($s, $to_remote, 'SELECT 3'), '3', 'and the next call is right');
	$s->run("SELECT dblink_exec($lit, 'BEGIN; SELECT 1 / 0')");
	is(value_by($s, $to_remote, 'SELECT 4'), '4', 'an aborted transaction is not met');
	$s->run("SET dblink.on_early_end = cancel");
	rows_are($s, "SELECT 1 FROM dblink($lit, 'SELECT g, repeat(''x'', 1000) FROM generate_series(1, 100000) AS g') AS t(a int, b text) LIMIT 1", '1', 'a stream that ends early');
	is(value_by($s, $to_remote, 'SELECT 5'), '5', 'and the next call is right');
	$s->run("SET statement_timeout = '300ms'");
	fails_with($s, "SELECT * FROM dblink($lit, 'SELECT pg_sleep(60)') AS t(a text)", { state => '57014', within => 2 }, 'a time-out');
	$s->run('RESET statement_timeout');
	is(value_by($s, $to_remote, 'SELECT 6'), '6', 'and the next call is right');
	remote_quiet($remote, "$kept AND state = 'active'", 'nothing goes on');

	# broken
	$pid = pid_by($s, $to_remote);
	query_value($remote, "SELECT pg_terminate_backend($pid)");
	ok(poll_until(sub { !-d "/proc/$pid" }, SLOW), 'killed, and its socket closed');
	like(pid_by($s, $to_remote), qr/^\d+$/, 'a new one comes, without an error');
	$pid = pid_by($s, $to_remote);
	unwatch($remote);
	$remote->stop('immediate');
	$remote->start;
	like(pid_by($s, $to_remote), qr/^\d+$/, 'so after a restart of the remote');
	healthy($s, 'the session lives');
	$s->quit;
};

subtest 'not shared between users' => sub {
	my $s = keeping(5);
	my $guarded = conninfo($remote, application_name => 'kept', user => 'guarded', password => 'secret');
	my $trusted = conninfo($remote, application_name => 'kept', user => 'trusted', password => 'secret');
	my $bare = conninfo($remote, application_name => 'kept', user => 'trusted');
	my $mine = pid_by($s, $guarded);

	like($mine, qr/^\d+$/, 'with a password');
	like(pid_by($s, $trusted), qr/^\d+$/, 'a password that is not asked for');
	like(pid_by($s, $bare), qr/^\d+$/, 'without a password');
	no_error($s, 'SET ROLE plain', 'as another user');
	my $theirs = pid_by($s, $guarded);
	like($theirs, qr/^\d+$/, 'who may use the string with a password');
	isnt($theirs, $mine, "but not the first user's session");
	is(pid_by($s, $guarded), $theirs, 'his own he may');
	like(pid_by($s, $trusted), qr/^2F003: password .*required$/, 'what the first user may, he may not: a password that is not asked for');
	like(pid_by($s, $bare), qr/^2F003: password .*required$/, 'nor without one');
	$s->run('RESET ROLE');
	is(pid_by($s, $guarded), $mine, 'the first user has his again');

	# a wrong password does not come to a session that the right one opened
	(my $wrong = $guarded) =~ s/secret/guess/;
	like(pid_by($s, $wrong), qr/^08001/, 'a wrong password');

	# SECURITY DEFINER is another user, too
	$s->run('CREATE FUNCTION as_plain(text) RETURNS int LANGUAGE sql SECURITY DEFINER AS '
		  . q{$$ SELECT pid FROM dblink($1, 'SELECT pg_backend_pid()') AS t(pid int) $$; ALTER FUNCTION as_plain(text) OWNER TO plain});
	rows_are($s, 'SELECT as_plain(' . lit($guarded) . ')', $theirs, 'in a function of his it is his');
	fails_with($s, 'SELECT as_plain(' . lit($bare) . ')', { state => '2F003' }, 'and his rights');
	$s->quit;
};

subtest 'servers and user mappings' => sub {
	my $s = keeping(3);
	my $port = $remote->port;
	$s->run("CREATE SERVER far FOREIGN DATA WRAPPER dblink_fdw OPTIONS (host '127.0.0.1', port '$port', dbname 'postgres', application_name 'kept')");
	$s->run("CREATE USER MAPPING FOR CURRENT_USER SERVER far OPTIONS (user 'guarded', password 'secret')");
	my $pid = pid_by($s, 'far');
	like($pid, qr/^\d+$/, 'by server name');
	is(pid_by($s, 'far'), $pid, 'used again');
	$s->run("ALTER SERVER far OPTIONS (ADD connect_timeout '7')");
	my $next = pid_by($s, 'far');
	isnt($next, $pid, 'not after the server was altered');
	$s->run("ALTER USER MAPPING FOR CURRENT_USER SERVER far OPTIONS (SET password 'wrong')");
	like(pid_by($s, 'far'), qr/^08001/, 'nor after the mapping was');
	$s->run("ALTER USER MAPPING FOR CURRENT_USER SERVER far OPTIONS (SET password 'secret')");
	like(pid_by($s, 'far'), qr/^\d+$/, 'right again');
	$s->run('DROP USER MAPPING FOR CURRENT_USER SERVER far');
	is(pid_by($s, 'far') =~ /^(\d+):?/ ? $1 : '', '42704', 'without a mapping');
	$s->run('DROP SERVER far CASCADE');
	like(pid_by($s, 'far'), qr/^08001/, 'without a server');

	# altered by somebody else, and rights taken away
	$s->run("CREATE SERVER far FOREIGN DATA WRAPPER dblink_fdw OPTIONS (host '127.0.0.1', port '$port', dbname 'postgres', application_name 'kept')");
	$s->run("CREATE USER MAPPING FOR PUBLIC SERVER far OPTIONS (user 'guarded', password 'secret'); GRANT USAGE ON FOREIGN SERVER far TO plain");
	$s->run('SET ROLE plain');
	$pid = pid_by($s, 'far');
	is(pid_by($s, 'far'), $pid, 'a plain user keeps his');
	$local->safe_psql('postgres', "ALTER SERVER far OPTIONS (ADD connect_timeout '8')");
	isnt(pid_by($s, 'far'), $pid, 'not after another session altered the server');
	$local->safe_psql('postgres', 'REVOKE USAGE ON FOREIGN SERVER far FROM plain');
	is(pid_by($s, 'far'), '42501: permission denied for foreign server far', 'nor without the right to use it');
	$s->run('RESET ROLE');
	$s->quit;
};

subtest 'nothing of a setting that was undone' => sub {
	# should be as it was before: a call in a transaction in which it was set
	foreach my $how ([ 'SET LOCAL', 'COMMIT' ], [ 'SET LOCAL', 'ROLLBACK' ], [ 'SET', 'ROLLBACK' ])
	{
		my $s = keeping();
		$s->run('BEGIN');
		no_error($s, "$how->[0] dblink.keep_connections = 4", "@$how: set");
		like(pid_by($s, $to_remote), qr/^\d+$/, "@$how: a call");
		no_error($s, $how->[1], "@$how: undone");
		rows_are($s, 'SHOW dblink.keep_connections', '0', "@$how: none may be kept");
		remote_quiet($remote, $kept, "@$how: and none is, while the session is idle", SLOW);
		$s->quit;
	}
	# should be the same for a savepoint, a function's own setting, and RESET
	my $s = keeping();
	$s->run('BEGIN; SAVEPOINT s; SET LOCAL dblink.keep_connections = 4');
	pid_by($s, $to_remote);
	$s->run('ROLLBACK TO s; COMMIT');
	remote_quiet($remote, $kept, 'a savepoint', SLOW);
	$s->run("CREATE FUNCTION pg_temp.keeps() RETURNS int LANGUAGE sql SET dblink.keep_connections = 4 AS \$f\$ SELECT pid FROM dblink(" . lit($to_remote) . ", 'SELECT 1') AS t(pid int) \$f\$");
	rows_are($s, 'SELECT pg_temp.keeps()', '1', 'a function');
	remote_quiet($remote, $kept, 'and none stays', SLOW);
	$s->run('SET dblink.keep_connections = 4');
	pid_by($s, $to_remote);
	$s->run('RESET dblink.keep_connections');
	remote_quiet($remote, $kept, 'RESET', SLOW);
	$s->run('SET dblink.keep_connections = 4');
	pid_by($s, $to_remote);
	$s->run('RESET ALL');
	remote_quiet($remote, $kept, 'RESET ALL', SLOW);
	$s->quit;
};

subtest 'what is idle is not in the way' => sub {
	my $s = keeping(4);
	$remote->safe_psql('postgres', 'CREATE ROLE limited LOGIN CONNECTION LIMIT 1');
	my $limited = conninfo($remote, application_name => 'kept', user => 'limited');
	# should work: a further connection of a role that may have one
	like(pid_by($s, $limited), qr/^\d+$/, 'a role that may have one connection');
	like(pid_by($s, "$limited connect_timeout=9"), qr/^\d+$/, 'another string of the same role');
	like(pid_by($s, "$limited connect_timeout=8"), qr/^\d+$/, 'and another');
	no_error($s, "SELECT dblink_connect('n', " . lit("$limited connect_timeout=7") . ')', 'a named connection');
	no_error($s, "SELECT dblink_disconnect('n')", 'that is closed');
	# should work: the database of an idle connection is dropped by the same session
	foreach my $how ('by string', 'by name', 'from another session')
	{
		no_error($s, 'SELECT dblink_exec(' . lit($to_remote) . ", 'CREATE DATABASE dropped')", "$how: a database");
		is(value_by($s, conninfo($remote, application_name => 'kept', dbname => 'dropped'), 'SELECT current_database()'), 'dropped', "$how: is used");
		$s->run("SELECT dblink_connect('n', " . lit($to_remote) . ')') if $how eq 'by name';
		$how eq 'from another session'
		  ? no_error(session($remote), 'DROP DATABASE dropped WITH (FORCE)', "$how: is dropped")
		  : no_error($s, 'SELECT dblink_exec(' . ($how eq 'by name' ? "'n'" : lit($to_remote)) . ", 'DROP DATABASE dropped')", "$how: is dropped");
		$s->run("SELECT dblink_disconnect('n')") if $how eq 'by name';
		$remote->safe_psql('postgres', 'DROP DATABASE IF EXISTS dropped WITH (FORCE)');
	}
	$s->quit;
};

subtest 'notifications that nobody asks for' => sub {
	my $s = keeping(1);
	my $send = lit("LISTEN news; DO \$f\$ BEGIN FOR i IN 1 .. 1000 LOOP PERFORM pg_notify('news', repeat('x', 7000) || i); END LOOP; END \$f\$");
	$s->run('SELECT dblink_exec(' . lit($to_remote) . ", $send)") for 1 .. 3;
	my $pid = pid_by($s, $to_remote);
	my $before = memory_kb($s->pid, 'RssAnon');
	# should not gather: 7 MB each time
	$s->run('SELECT dblink_exec(' . lit($to_remote) . ", $send)") for 1 .. 10;
	is(pid_by($s, $to_remote), $pid, 'one session all the time');
	cmp_ok(memory_kb($s->pid, 'RssAnon') - $before, '<', 20_000, 'memory stays as it was');
	$s->quit;
};

unwatch($_) foreach $local, $remote;
done_testing();
