# Servers with the option "loopback": each way in that pg_hba.conf can have, and each
# way to be led elsewhere, or to more than the role has.

use strict;
use warnings;
use Test::More;
use File::Basename qw(dirname);
use IO::Socket::UNIX;
use PostgreSQL::Test::Utils;
use DblinkTest;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $me = getpwuid $>;

# Where a wrong turn would lead: another server, in which everything is trusted.
my $elsewhere = make_server('elsewhere', tree => stock_prefix());
$elsewhere->safe_psql('postgres', 'CREATE ROLE plain LOGIN SUPERUSER; CREATE ROLE peered LOGIN; CREATE ROLE scrammed LOGIN; CREATE DATABASE other');

# All that libpq takes from the environment and from a service file is wrong here.
append_to_file("$dir/service", join("\n", '[wrong]', 'host=127.0.0.1', 'hostaddr=127.0.0.1', 'port=' . $elsewhere->port,
		'dbname=other', "user=$me", 'password=from-service', "options=-c role=$me", 'requirepeer=nobody', 'sslmode=require', 'replication=database', ''));
append_to_file("$dir/passfile", "*:*:*:*:secret\n");
chmod 0600, "$dir/passfile";
my %environment = (
	PGSERVICEFILE => "$dir/service",
	PGSERVICE => 'wrong',
	PGHOSTADDR => '127.0.0.1',
	PGHOST => $elsewhere->host,
	PGPORT => $elsewhere->port,
	PGDATABASE => 'other',
	PGUSER => $me,
	PGPASSWORD => 'secret',
	PGPASSFILE => "$dir/passfile",
	PGOPTIONS => "-c role=$me -c search_path=evil",
	PGAPPNAME => 'of the environment',
	PGSSLMODE => 'require',
	PGGSSENCMODE => 'require',
	PGCHANNELBINDING => 'require',
	PGREQUIREPEER => 'nobody',
	PGTARGETSESSIONATTRS => 'standby',
	PGREQUIREAUTH => 'gss');

my $local = make_server('local', start => 0, conf => ['max_connections = 450'],
	hba => [ "local all peered peer map=here", 'local all scrammed,unmapped,keyed,keyed_boss scram-sha-256', 'local all refused reject', 'local all all trust' ]);
append_to_file($local->data_dir . '/pg_ident.conf', "here $me peered\n");

# Starts the server, as with pg_ctl, in an environment.
sub start_in
{
	my (%env) = @_;
	my @settings = map { "$_=$env{$_}" } sort keys %env;
	my $log = $local->logfile;
	unwatch($local);
	$local->stop if $local->{_pid};
	system_or_bail('env', @settings, 'pg_ctl', '-w', '-D', $local->data_dir, '-l', $log, 'start');
	$local->_update_pid(1);
	return;
}
start_in();

my $s = session($local);
$s->run(<<'SQL');
SET password_encryption = 'scram-sha-256';
CREATE EXTENSION dblink;
CREATE ROLE plain LOGIN;
CREATE ROLE peered LOGIN;
CREATE ROLE scrammed LOGIN PASSWORD 'secret';
CREATE ROLE unmapped LOGIN PASSWORD 'secret';
CREATE ROLE keyed LOGIN PASSWORD 'secret';
CREATE ROLE keyed_boss LOGIN SUPERUSER PASSWORD 'secret';
CREATE ROLE refused LOGIN;
CREATE SERVER here FOREIGN DATA WRAPPER dblink_fdw OPTIONS (loopback 'on');
GRANT USAGE ON FOREIGN SERVER here TO PUBLIC;
CREATE USER MAPPING FOR scrammed SERVER here OPTIONS (password 'secret');
SQL
my $who = 'current_user, session_user, current_database(), inet_server_addr() IS NULL';

# The other session's role and so on, as a role gets there.
sub as_role
{
	my ($session, $role) = @_;
	return $session->run("SET ROLE $role; SELECT * FROM dblink('here', 'SELECT pg_backend_pid() <> " . $session->pid
		  . ", $who') AS t (other bool, u name, s name, d name, local bool); RESET ROLE");
}

# Each way in, and in no other.
sub check_ways
{
	my ($session, $name) = @_;
	foreach my $role (qw(plain peered scrammed))
	{
		my $r = as_role($session, $role);
		is($r->{out}, "t|$role|$role|postgres|t", "$name: $role") or diag $r->{err};
	}
	# should fail: no password but that of the mapping counts
	fails_with($session, as_role($session, 'unmapped'), { state => '08001', detail => qr/no password supplied/ }, "$name: no mapping");
	$session->run('RESET ROLE');
	fails_with($session, as_role($session, 'refused'), { state => '08001', detail => qr/pg_hba\.conf rejects/ }, "$name: refused");
	$session->run('RESET ROLE');
	return;
}

subtest 'each way in' => sub {
	check_ways($s, 'an ordinary environment');
	# should fail: a wrong password
	$s->run("ALTER USER MAPPING FOR scrammed SERVER here OPTIONS (SET password 'wrong')");
	fails_with($s, as_role($s, 'scrammed'), { state => '08001', detail => qr/password authentication failed/ }, 'a wrong password');
	$s->run("RESET ROLE; ALTER USER MAPPING FOR scrammed SERVER here OPTIONS (SET password 'secret')");
};

# The keys with which the session has logged in, from PostgreSQL 18 on.
sub check_keys
{
	my $name = shift;
	my $system_user = "SELECT * FROM dblink('here', 'SELECT system_user') AS t (u text)";
	my $keyed = session($local, user => 'keyed', env => { PGPASSWORD => 'secret' });
	# should work: for one call, kept for the next, and by name
	my $r = as_role($keyed, 'keyed');
	is($r->{out}, 't|keyed|keyed|postgres|t', "$name: the session's own keys") or diag $r->{err};
	rows_are($keyed, $system_user, 'scram-sha-256:keyed', "$name: it is a login by SCRAM");
	is(remote_count($local, "application_name = 'dblink loopback of " . $keyed->pid . "'"), 1, "$name: one connection for both calls");
	rows_are($keyed, "SELECT dblink_connect('c', 'here'); SELECT * FROM dblink('c', 'SELECT system_user') AS t (u text); SELECT dblink_disconnect('c')",
		"OK\nscram-sha-256:keyed\nOK", "$name: a named connection");
	$keyed->quit;

	# should fail: a session that has none, or those of another role
	fails_with($s, as_role($s, 'keyed'), { state => '08001', detail => qr/no password supplied/ }, "$name: a session without keys");
	$s->run('RESET ROLE');
	my $boss = session($local, user => 'keyed_boss', env => { PGPASSWORD => 'secret' });
	is(as_role($boss, 'keyed_boss')->{out}, 't|keyed_boss|keyed_boss|postgres|t', "$name: a superuser's own keys");
	fails_with($boss, as_role($boss, 'keyed'), { state => '08001', detail => qr/no password supplied/ }, "$name: the keys of another role");
	$boss->quit;
	return;
}

subtest "the session's own SCRAM keys" => sub {
	my $on = "OPTIONS (use_scram_passthrough 'on')";
	if ($local->pg_version->major < 18)
	{
		# should fail: as any option that there is not
		fails_with($s, "CREATE USER MAPPING FOR keyed SERVER here $on", { state => 'HV00J' }, 'not before 18');
		return;
	}
	$s->run("CREATE USER MAPPING FOR keyed SERVER here $on; CREATE USER MAPPING FOR keyed_boss SERVER here $on");
	check_keys('an ordinary environment');
	$s->quit;
	start_in(%environment);
	$s = session($local);
	check_keys('everything wrong');
	$s->quit;
	start_in();
	$s = session($local);

	# should fail: not switched on; a server can't do that for all roles
	my $keyed = session($local, user => 'keyed', env => { PGPASSWORD => 'secret' });
	$s->run("ALTER USER MAPPING FOR keyed SERVER here OPTIONS (SET use_scram_passthrough 'off')");
	fails_with($keyed, as_role($keyed, 'keyed'), { state => '08001', detail => qr/no password supplied/ }, 'switched off');
	$s->run('ALTER SERVER here OPTIONS (ADD use_scram_passthrough \'on\')');
	fails_with($keyed, as_role($keyed, 'keyed'), { state => 'HV00D', message => qr/use_scram_passthrough/ }, 'not an option of the server');
	$s->run("ALTER SERVER here OPTIONS (DROP use_scram_passthrough); ALTER USER MAPPING FOR keyed SERVER here OPTIONS (SET use_scram_passthrough 'on')");
	is(as_role($keyed, 'keyed')->{out}, 't|keyed|keyed|postgres|t', 'switched on again');
	# should fail: the role has another password since
	$keyed->run("RESET ROLE; SET dblink.loopback_keep = 0");
	$s->run("ALTER ROLE keyed PASSWORD 'another'");
	fails_with($keyed, as_role($keyed, 'keyed'), { state => '08001', detail => qr/password authentication failed/ }, 'a password that has changed');
	$s->run("ALTER ROLE keyed PASSWORD 'secret'");
	$keyed->quit;
};

subtest 'environment and service file' => sub {
	$s->quit;
	start_in(%environment);
	$s = session($local);
	check_ways($s, 'everything wrong');
	rows_are($s, "SET search_path = pg_catalog, public; SELECT * FROM dblink('here', 'SELECT current_setting(''search_path''), current_setting(''application_name'')') AS t (a text, b text); RESET search_path",
		'pg_catalog, public|dblink loopback of ' . $s->pid, 'nor what is set');
	rows_are($s, "SELECT dblink_connect('c', 'here'); SELECT * FROM dblink('c', 'SELECT current_user, current_database()') AS t (u name, d name); SELECT dblink_disconnect('c')",
		"OK\n$me|postgres\nOK", 'a named connection');
	is(query_value($elsewhere, "SELECT count(*) FROM pg_stat_activity WHERE datname = 'other'"), 0, 'none came to the other server');
	$s->quit;
	start_in();
	$s = session($local);
};

subtest 'another process at the path of the socket' => sub {
	my $path = $local->host . '/.s.PGSQL.' . $local->port;
	rename $path, "$path.away" or die "could not move the socket: $!";
	# should fail: the socket is not there
	fails_with($s, "SELECT dblink_exec('here', 'SELECT 1')", { state => '08001', detail => qr/No such file/ }, 'no socket');

	my $fake = IO::Socket::UNIX->new(Type => SOCK_STREAM, Local => $path, Listen => 5) or die "could not listen: $!";
	$s->send("SET ROLE scrammed; SELECT * FROM dblink('here', 'SELECT 1') AS t (x int)");
	my $client = $fake->accept;
	# the client closes, or waits for an answer that it does not get
	my $sent = '';
	my $read = '';
	vec($read, fileno $client, 1) = 1;
	sysread $client, $sent, 1000 if select $read, undef, undef, 5;
	is($sent, '', 'a listener of ours that is not the postmaster sees no byte');
	fails_with($s, $s->collect, { state => '2F003', message => 'connection does not lead back to this server', detail => qr/process that listens/ }, 'and the call fails');
	$s->run('RESET ROLE');
	close $client;
	close $fake;
	unlink $path;
	rename "$path.away", $path or die "could not move the socket back: $!";
	is(as_role($s, 'scrammed')->{out}, 't|scrammed|scrammed|postgres|t', 'the socket is back');
};

subtest 'directories of the socket' => sub {
	my $first = PostgreSQL::Test::Utils::tempdir_short();
	my $path = "$first/.s.PGSQL." . $local->port;
	my $old = $local->host;

	# should work: the first directory is another server's
	my $taken = IO::Socket::UNIX->new(Type => SOCK_STREAM, Local => $path, Listen => 5) or die "could not listen: $!";
	append_to_file("$path.lock", "$$\n/nowhere\n0\n" . $local->port . "\n$first\n");
	chmod 0600, "$path.lock";
	$s->quit;
	$local->append_conf('postgresql.conf', "unix_socket_directories = '$first, $old'");
	start_in();
	$s = session($local);
	is(as_role($s, 'plain')->{out}, 't|plain|plain|postgres|t', 'the second of two');
	close $taken;
	unlink $path, "$path.lock";

	# should work: a name that needs quotes
	my $odd = "$first/it's \\ odd";
	mkdir $odd;
	$s->quit;
	$local->append_conf('postgresql.conf', "unix_socket_directories = '\"" . ($odd =~ s/(['\\])/$1$1/gr) . "\", $old'");
	start_in();
	$s = session($local);
	is(as_role($s, 'plain')->{out}, 't|plain|plain|postgres|t', 'an odd name');

	# should fail: none
	$s->quit;
	$local->append_conf('postgresql.conf', "unix_socket_directories = ''");
	start_in();
	my $tcp = IPC::Run::run([ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-h', '127.0.0.1', '-p', $local->port, '-d', 'postgres', '-c',
			"SELECT * FROM dblink('here', 'SELECT 1') AS t (x int)" ], '>', \my $out, '2>', \my $err);
	like($err, qr/^ERROR:  0A000: cannot connect back to this server\nDETAIL:  The server does not listen on a Unix-domain socket\.\nHINT:  Set "unix_socket_directories"/m, 'no directory');
	$local->append_conf('postgresql.conf', "unix_socket_directories = '$old'");
	start_in();
	$s = session($local);
};

subtest 'single-user mode' => sub {
	$s->quit;
	unwatch($local);
	$local->stop;
	my $in = "SELECT * FROM dblink('here', 'SELECT 1') AS t (x int)\n";
	IPC::Run::run([ 'postgres', '--single', '-D', $local->data_dir, 'postgres' ], '<', \$in, '>', \my $out, '2>', \my $err);
	like($err, qr/ERROR:  cannot connect back to this server.*\n.*The server runs in single-user mode/, 'refused');
	start_in();
	$s = session($local);
};

subtest 'the option elsewhere' => sub {
	# should fail: another wrapper's validator does not know it
	$s->run('CREATE EXTENSION file_fdw');
	fails_with($s, "CREATE SERVER files FOREIGN DATA WRAPPER file_fdw OPTIONS (loopback 'on')", { state => 'HV00D' }, 'a server of file_fdw')
	  if query_value($local, "SELECT count(*) FROM pg_extension WHERE extname = 'file_fdw'");
	# should fail: it means nothing there, so a password is required as ever
	$s->run("CREATE FOREIGN DATA WRAPPER bare; CREATE SERVER bare FOREIGN DATA WRAPPER bare OPTIONS (loopback 'on');"
		  . 'CREATE USER MAPPING FOR PUBLIC SERVER bare; GRANT USAGE ON FOREIGN SERVER bare TO PUBLIC');
	fails_with($s, "SET ROLE plain; SELECT * FROM dblink('bare', 'SELECT 1') AS t (x int)", { state => '2F003', message => qr/required/ }, 'a wrapper without a validator');
	$s->run('RESET ROLE');
	# should fail: nor does a connection string know it
	fails_with($s, "SET ROLE plain; SELECT * FROM dblink('loopback=on password=x', 'SELECT 1') AS t (x int)", { state => qr/08001|2F003/ }, 'a connection string');
	$s->run('RESET ROLE');
	# should fail: a string that is just that of a kept connection
	as_role($s, 'plain');
	fails_with($s, 'SET ROLE plain; SELECT * FROM dblink(' . lit("host='" . $local->host . "' port='" . $local->port . "' dbname='postgres' user='plain' ") . ", 'SELECT 1') AS t (x int)",
		{ state => '2F003' }, 'a string to the same place needs a password');
	$s->run('RESET ROLE');
};

subtest 'roles that change' => sub {
	# should fail: a role that may not log in any more
	is(as_role($s, 'plain')->{out}, 't|plain|plain|postgres|t', 'a connection is kept');
	$s->run('ALTER ROLE plain NOLOGIN');
	fails_with($s, as_role($s, 'plain'), { state => '28000', message => 'role "plain" is not permitted to log in' }, 'not even that is used then');
	$s->run('RESET ROLE; ALTER ROLE plain LOGIN');
	# should work: what the database or the role sets holds in the other session
	$s->run("ALTER ROLE plain SET work_mem = '123kB'; SET ROLE plain");
	rows_are($s, "SELECT dblink_connect('n', 'here'); SELECT * FROM dblink('n', 'SHOW work_mem') AS t (x text); SELECT dblink_disconnect('n')", "OK\n123kB\nOK", "the role's own settings");
	$s->run('RESET ROLE; ALTER ROLE plain RESET work_mem');
};

subtest 'kept until dblink.loopback_keep ends' => sub {
	my $kept = "application_name = 'dblink loopback of " . $s->pid . "'";
	$s->run("SET dblink.loopback_keep = '1500ms'");
	my $r = as_role($s, 'plain');
	is(remote_count($local, $kept), 1, 'one stays');
	remote_quiet($local, $kept, 'the other session ends itself');
	is(as_role($s, 'plain')->{out}, 't|plain|plain|postgres|t', 'the next call opens another');
	# should work: however close a call is to the end
	my $failed = 0;
	$s->run("SET dblink.loopback_keep = '240ms'");
	for my $ms (map { 200 + 3 * $_ } 0 .. 15)
	{
		$r = $s->run("SELECT pg_sleep($ms / 1000.0); SELECT * FROM dblink('here', 'SELECT 1') AS t (x int)");
		$failed++ if $r->{errors};
	}
	is($failed, 0, 'no call meets the end of the other session');
	$s->run('RESET dblink.loopback_keep');
	as_role($s, 'plain');
	$s->run('SET dblink.loopback_keep = 0');
	remote_quiet($local, $kept, 'closed at once when the setting is taken back');
	$s->run('RESET dblink.loopback_keep');
};

subtest 'a database that is a template' => sub {
	my $admin = session($local);
	$admin->run('CREATE DATABASE template_of');
	my $in = session($local, db => 'template_of');
	$in->run("CREATE EXTENSION dblink; CREATE SERVER here FOREIGN DATA WRAPPER dblink_fdw OPTIONS (loopback 'on')");
	$in->run("SELECT * FROM dblink('here', 'SELECT 1') AS t (x int)");
	is(remote_count($local, "datname = 'template_of' AND application_name LIKE 'dblink%'"), 1, 'a connection is kept');
	no_error($in, 'CREATE DATABASE copy TEMPLATE template_of', 'CREATE DATABASE with the own one as template');
	$in->quit;
	$admin->quit;
};

subtest 'many sessions' => sub {
	my $many = $ENV{DBLINK_QUICK} ? 20 : 200;
	my @sessions = map { session($local, user => 'plain') } 1 .. $many;
	my $call = "SELECT * FROM dblink('here', 'SELECT 1') AS t (x int)";
	# should work: each logs once, and keeps one connection
	$_->send("SET dblink.loopback_keep = '10min'; $call") foreach @sessions;
	is(join(' ', map { $_->collect(60)->{out} } @sessions), join(' ', (1) x $many), "$many sessions");
	is(remote_count($local, "application_name LIKE 'dblink loopback%'"), $many, 'one kept connection a session');
	# should work: kept for a second, it is gone in time
	$_->send("SET dblink.loopback_keep = '1s'; $call") foreach @sessions;
	is(join(' ', map { $_->collect(60)->{out} } @sessions), join(' ', (1) x $many), 'once more');
	remote_quiet($local, "application_name LIKE 'dblink loopback%'", 'none after that time');
	is(remote_count($local, "application_name = 'loopback.pl' AND usename = 'plain'"), $many, 'the sessions stay');
	$_->quit foreach @sessions;
};

done_testing();
