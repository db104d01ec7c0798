# Who may connect where: authentication methods of the remote, callers of the
# local side, and the security rules.  The remote has one database for each
# method; a caller is judged by the effective user.
# streaming: any

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;

my $os_user = getpwuid($<);
my $secret = 'S3cr3t-word';
my $other = 'Oth3r-word';

# ---- the bed ----------------------------------------------------------

my $remote = make_server(
	'remote',
	tree => stock_prefix(),
	hba => [
		'local d_peer all peer',
		'host d_trust,d_readonly all 127.0.0.1/32 trust',
		'host d_scram all 127.0.0.1/32 scram-sha-256',
		'host d_md5 all 127.0.0.1/32 md5',
		'host d_pw all 127.0.0.1/32 password',
		'host d_rej all 127.0.0.1/32 reject'
	]);
my $admin = session($remote);
no_error(
	$admin, qq{
	CREATE ROLE r_scram LOGIN PASSWORD '$secret';
	SET password_encryption = 'md5';
	CREATE ROLE r_md5 LOGIN PASSWORD '$secret';
	RESET password_encryption;
	CREATE DATABASE d_trust;
	CREATE DATABASE d_peer;
	CREATE DATABASE d_scram;
	CREATE DATABASE d_md5;
	CREATE DATABASE d_pw;
	CREATE DATABASE d_rej;
	CREATE DATABASE d_readonly;
	ALTER DATABASE d_readonly SET default_transaction_read_only = on;
	CREATE DATABASE "it's \\ host=nowhere";
	CREATE ROLE r_limit LOGIN CONNECTION LIMIT 0;
	}, 'should work: databases and roles on the remote');

# A listener, and files and variables that hold the password: none of them may
# serve a plain role.
my $listener = silent_listener();
my $dir = PostgreSQL::Test::Utils::tempdir();
append_to_file("$dir/pass", "*:*:*:*:$secret\n");
chmod 0600, "$dir/pass";
append_to_file("$dir/service",
	    "[held]\nhost=127.0.0.1\nport="
	  . $listener->port
	  . "\nuser=r_scram\ndbname=d_scram\npassword=$secret\n");

# d_readonly exists on both sides: here writable and with a password wanted,
# there read only and trusted.
my $local = make_server(
	'local',
	hba => ['host d_readonly all 127.0.0.1/32 scram-sha-256'],
	conf => [
		'log_min_messages = debug5',
		'log_min_error_statement = panic',
		'max_connections = 40'
	],
	env => {
		PGPASSWORD => $secret,
		PGPASSFILE => "$dir/pass",
		PGSERVICEFILE => "$dir/service"
	});
my $log_start = -s $local->logfile;
my $s = session($local);
no_error(
	$s, qq{
	CREATE EXTENSION dblink;
	CREATE ROLE plain LOGIN;
	CREATE ROLE trusted LOGIN;
	GRANT EXECUTE ON FUNCTION dblink_connect_u(text) TO trusted;
	GRANT EXECUTE ON FUNCTION dblink_connect_u(text, text) TO trusted;
	CREATE ROLE r_scram LOGIN PASSWORD '$secret';
	CREATE DATABASE d_readonly;
	GRANT CREATE ON SCHEMA public TO plain;
	CREATE FUNCTION run_as_super(sql text) RETURNS text LANGUAGE plpgsql
		SECURITY DEFINER AS 'DECLARE r text; BEGIN EXECUTE sql INTO r; RETURN r; END';
	SET ROLE plain;
	CREATE FUNCTION run_as_plain(sql text) RETURNS text LANGUAGE plpgsql
		SECURITY DEFINER AS 'DECLARE r text; BEGIN EXECUTE sql INTO r; RETURN r; END';
	RESET ROLE;
	}, 'should work: extension and roles on the local side');

# ---- the matrix -------------------------------------------------------

# What each method answers to a right, a wrong and no password.
my %database = map { $_ => "d_$_" } qw(trust peer scram md5 pw rej);
my %password = (
	right => $secret,
	wrong => $other,
	empty => '',
	none => undef);

# A connection string of the matrix.  It names an empty password file, so that
# the one of the postmaster's environment does not serve an empty password.
sub matrix_conninfo
{
	my ($method, $password) = @_;
	return conninfo(
		$remote,
		host => $method eq 'peer' ? $remote->host : '127.0.0.1',
		dbname => $database{$method},
		user => $method eq 'peer' ? $os_user
		: $method eq 'md5' ? 'r_md5'
		:                    'r_scram',
		password => $password{$password},
		passfile => '/dev/null');
}

# A foreign server and a mapping for a case of the matrix, for everybody.
my %server;
foreach my $method (sort keys %database)
{
	foreach my $password (sort keys %password)
	{
		my $name = $server{"$method/$password"} = "s_${method}_$password";
		my $host = $method eq 'peer' ? $remote->host : '127.0.0.1';
		my $user =
		    $method eq 'peer' ? $os_user
		  : $method eq 'md5'  ? 'r_md5'
		  :                     'r_scram';
		my $port = $remote->port;
		my $option =
		  defined $password{$password}
		  ? ", password '$password{$password}'"
		  : '';
		my $r = $s->run(
			qq{
			CREATE SERVER $name FOREIGN DATA WRAPPER dblink_fdw OPTIONS
				(host '$host', port '$port', dbname '$database{$method}',
				 passfile '/dev/null');
			CREATE USER MAPPING FOR PUBLIC SERVER $name OPTIONS (user '$user'$option);
			GRANT USAGE ON FOREIGN SERVER $name TO PUBLIC;
			});
		die $r->{err} if $r->{errors};
	}
}

# An answer in one line: 'ok', or SQLSTATE and what tells the answers apart.
sub outcome
{
	my $r = shift;
	return 'hung' if $r->{hung};
	return 'ok' unless $r->{errors};
	my ($e) = grep { $_->{severity} eq 'ERROR' } @{ $r->{messages} };
	my $detail = $e->{detail} || '';
	$detail =~ s/^.*failed: //s;
	$detail =~ s/ for user .*//s;
	$detail =~ s/ for host .*//s;
	my $hint = $e->{hint} ? " / $e->{hint}" : '';
	return "$e->{state} $e->{message}: $detail$hint";
}

# What a caller is told who has not proved who he is: before and after connecting.
my $major = $local->pg_version->major;
my $told = $major >= 16 ? 'password or GSSAPI delegated credentials required' : 'password is required';
my %not_given = (
	state => '2F003',
	message => $told,
	detail => 'Non-superusers must provide a password in the connection string'
	  . ($major >= 16 ? ' or send delegated GSSAPI credentials.' : '.'),
	hint => undef);
my %not_used = (
	state => '2F003',
	message => $told,
	detail => $major < 16
	? 'Non-superuser cannot connect if the server does not request a password.'
	: 'Non-superusers may only connect using credentials they provide, eg: password in connection string'
	  . ' or delegated GSSAPI credentials'
	  . ($major >= 19 ? '.' : ''),
	hint => $major < 16
	? 'Target server\'s authentication method must be changed.'
	: 'Ensure provided credentials match target server\'s authentication method.');
my $pre = "2F003 $told: $not_given{detail}";
my $post = "2F003 $told: $not_used{detail} / $not_used{hint}";
my $failed = '08001 could not establish connection: ';

# What the caller must see.  The postmaster's PGPASSWORD serves a superuser
# who gives none.
sub expected
{
	my ($super, $method, $password) = @_;
	return $pre if !$super && $password =~ /^(none|empty)$/;
	return $super ? 'ok' : $post if $method =~ /^(trust|peer)$/;
	return "${failed}FATAL:  pg_hba.conf rejects connection"
	  if $method eq 'rej';
	return "${failed}FATAL:  password authentication failed"
	  if $password eq 'wrong';
	return "${failed}fe_sendauth: no password supplied"
	  if $password eq 'empty';
	return 'ok';
}

# The callers: a session, and how it has SQL run.
my $plain = session($local, user => 'plain');
my $set_role = session($local);
$set_role->run('SET ROLE plain');
my $trusted = session($local, user => 'trusted');
my $by = sub { my $f = shift; return sub { "SELECT $f(" . lit(shift) . ')' } };
my $direct = sub { $_[0] };
my %caller = (
	'superuser' => [ $s, $direct, 1 ],
	'plain role' => [ $plain, $direct, 0 ],
	'plain role in a superuser\'s SECURITY DEFINER' =>
	  [ $plain, $by->('run_as_super'), 1 ],
	'superuser in a plain role\'s SECURITY DEFINER' =>
	  [ $s, $by->('run_as_plain'), 0 ],
	'superuser after SET ROLE' => [ $set_role, $direct, 0 ],
	'role with EXECUTE on dblink_connect_u' => [ $trusted, $direct, 0 ]);

# The ways to a connection: each opens, uses and ends one.
my %form = (
	'dblink_connect, named' => sub {
		(   "SELECT dblink_connect('m', $_[0])",
			"SELECT dblink_disconnect('m')");
	},
	'dblink_connect, unnamed' =>
	  sub { ("SELECT dblink_connect($_[0])", 'SELECT dblink_disconnect()') },
	'dblink' =>
	  sub { ("SELECT x::text FROM dblink($_[0], 'SELECT 1') AS t(x int)") },
	'dblink_exec' =>
	  sub { ("SELECT dblink_exec($_[0], 'SET search_path = public')") });
my %form_u = (
	'dblink_connect_u, named' => sub {
		(   "SELECT dblink_connect_u('m', $_[0])",
			"SELECT dblink_disconnect('m')");
	},
	'dblink_connect_u, unnamed' =>
	  sub { ("SELECT dblink_connect_u($_[0])", 'SELECT dblink_disconnect()') });

# Runs all cases of one caller and one form; $target gives the argument.
sub matrix_of
{
	my ($session, $wrap, $form, $target) = @_;
	my %got;
	foreach my $method (sort keys %database)
	{
		foreach my $password (sort keys %password)
		{
			my ($connect, $end) = $form->($target->($method, $password));
			my $case = "$method/$password";
			$got{$case} = outcome($session->run($wrap->($connect)));

			# a connection that was refused must not have been kept
			my $known = $session->run('SELECT dblink_get_connections()');
			$got{$case} .= ' but the name is registered'
			  if $got{$case} ne 'ok' && $known->{out} ne '';
			$session->run($wrap->($end)) if $end && $got{$case} eq 'ok';
		}
	}
	return \%got;
}

sub matrix_expected
{
	my $super = shift;
	my %want;
	foreach my $method (keys %database)
	{
		$want{"$method/$_"} = expected($super, $method, $_)
		  foreach keys %password;
	}
	return \%want;
}

my $by_string = sub { lit(matrix_conninfo(@_)) };
my $by_server = sub { my ($m, $p) = @_; lit($server{"$m/$p"}) };
foreach my $caller (sort keys %caller)
{
	my ($session, $wrap, $super) = @{ $caller{$caller} };
	foreach my $form (sort keys %form)
	{
		# should be judged by the effective user
		is_deeply(matrix_of($session, $wrap, $form{$form}, $by_string),
			matrix_expected($super), "$caller, $form, connection string");
		is_deeply(matrix_of($session, $wrap, $form{$form}, $by_server),
			matrix_expected($super), "$caller, $form, foreign server");
	}
}
foreach my $form (sort keys %form_u)
{
	# should be judged as the owner of dblink_connect_u, a superuser
	is_deeply(matrix_of($trusted, $direct, $form_u{$form}, $by_string),
		matrix_expected(1), "role with EXECUTE, $form");
}
remote_quiet($remote, "usename IN ('r_scram', 'r_md5') OR datname LIKE 'd\\_%'",
	'no session is left on the remote after the matrix');

# ---- rule 1: refused before any socket is opened -------------------------

my $listening = 'host=127.0.0.1 port=' . $listener->port;
no_error(
	$s, qq{
	CREATE SERVER s_listener FOREIGN DATA WRAPPER dblink_fdw
		OPTIONS (host '127.0.0.1', port '@{[$listener->port]}');
	CREATE USER MAPPING FOR PUBLIC SERVER s_listener OPTIONS (user 'r_scram');
	GRANT USAGE ON FOREIGN SERVER s_listener TO PUBLIC;
	}, 'should work: a server on the listener');
my %withheld = (
	'no password at all' => $listening,
	'empty password' => "$listening password=''",
	'password file' => "$listening passfile=$dir/pass",
	'service with a password' => 'service=held',
	'service and an empty password' => "service=held password=''",
	'foreign server, mapping without password' => 's_listener',
	'password in a URI, empty' =>
	  'postgresql://r_scram:@127.0.0.1:' . $listener->port . '/d_scram');
foreach my $how (sort keys %withheld)
{
	my $arg = lit($withheld{$how});
	my %call = (
		'dblink_connect(name, )' => "SELECT dblink_connect('n', $arg)",
		'dblink_connect' => "SELECT dblink_connect($arg)",
		'dblink' => "SELECT * FROM dblink($arg, 'SELECT 1') AS t(x int)",
		'dblink_exec' => "SELECT dblink_exec($arg, 'SELECT 1')");
	foreach my $call (sort keys %call)
	{
		# should fail: what the server's environment and files hold is not
		# the caller's own
		fails_with(
			$plain,
			$call{$call},
			{ %not_given, within => SLOW },
			"plain role, $call, $how: refused before connecting");
	}
}
is($listener->count, 0, 'the listener was never contacted');

# should fail: a syntax error by a plain role without a password is about the
# password
fails_with(
	$plain,
	"SELECT dblink_connect('n', 'not a connection string')",
	{ %not_given },
	'plain role, broken string without password');

# should reach the listener: with a password it is tried (so that the zero
# above means something)
$plain->run("SET statement_timeout = '500ms'");
$plain->run("SELECT dblink_connect('n', '$listening password=x connect_timeout=2')");
$plain->run('RESET statement_timeout');
is($listener->count, 1, 'with a password the listener is contacted');

# should work: a superuser uses the service
$s->run("SET statement_timeout = '500ms'");
$s->run("SELECT dblink_connect('n', 'service=held connect_timeout=2')");
$s->run('RESET statement_timeout');
is($listener->count, 2, 'a superuser reaches the listener through the service');

# ---- rule 2: the connection finally used decides --------------------------

# The first host asks for the password and is writable, the second trusts and
# is read only; who is served by the second never proved anything.
my $two = sub {
	my ($attrs, @nodes) = @_;
	return lit("host=127.0.0.1,127.0.0.1 port="
		  . join(',', map { $_->port } @nodes)
		  . " dbname=d_readonly user=r_scram password=$secret"
		  . " target_session_attrs=$attrs");
};

# should fail: final host is the trusting one
fails_with(
	$plain,
	"SELECT dblink_connect('two', " . $two->('read-only', $local, $remote) . ')',
	{ %not_used },
	'two hosts, the first asked for the password, the final one did not');

# should work: final host is the one that asked
rows_are(
	$plain,
	"SELECT dblink_connect('two', " . $two->('read-write', $remote, $local) . ')',
	'OK',
	'two hosts, the final one asked for the password');
rows_are($plain, "SELECT dblink_disconnect('two')", 'OK', 'and is disconnected');

# should work: for a superuser any host will do
rows_are(
	$s,
	"SELECT dblink_connect('two', " . $two->('read-only', $local, $remote) . ')',
	'OK',
	'two hosts, superuser');
rows_are($s, "SELECT dblink_disconnect('two')", 'OK', 'and is disconnected');

# should work: a closed port is passed over
my $closed = PostgreSQL::Test::Cluster::get_free_port();
rows_are(
	$plain,
	"SELECT x FROM dblink('host=127.0.0.1,127.0.0.1 port=$closed,"
	  . $remote->port
	  . " dbname=d_scram user=r_scram password=$secret', 'SELECT 7') AS t(x int)",
	'7',
	'the first host refuses, the second serves');

# should fail: with the remote's own reason
fails_with(
	$s,
	"SELECT dblink_connect('x', "
	  . lit(conninfo($remote, user => 'r_limit', dbname => 'd_trust')) . ')',
	{
		state => '08001',
		message => 'could not establish connection',
		detail => 'connection to server at "127.0.0.1", port '
		  . $remote->port
		  . ' failed: FATAL:  too many connections for role "r_limit"'
	},
	'the remote is full for this role');

# ---- rule 4: options --------------------------------------------------

# should fail: unknown to libpq
fails_with(
	$s,
	"SELECT dblink_connect('x', 'host=127.0.0.1 nonsense=1')",
	{
		state => '08001',
		message => 'could not establish connection',
		detail => 'invalid connection option "nonsense"'
	},
	'an option that does not exist');

# should work: every allowed option that this libpq knows is let through to it
my @allowed = split ' ', q{application_name channel_binding client_encoding
	connect_timeout dbname fallback_application_name gssencmode host keepalives
	keepalives_count keepalives_idle keepalives_interval krbsrvname options
	passfile password port requirepeer ssl_max_protocol_version
	ssl_min_protocol_version sslcert sslcompression sslcrl sslcrldir sslkey
	sslmode sslpassword sslrootcert sslsni target_session_attrs tcp_user_timeout
	user};
my %value = (
	channel_binding => 'prefer',
	connect_timeout => 30,
	dbname => 'd_scram',
	gssencmode => 'disable',
	host => '127.0.0.1',
	keepalives => 1,
	keepalives_count => 3,
	keepalives_idle => 30,
	keepalives_interval => 30,
	options => '-c geqo=off',
	passfile => '/dev/null',
	password => $secret,
	port => $remote->port,
	ssl_max_protocol_version => 'TLSv1.3',
	ssl_min_protocol_version => 'TLSv1.2',
	sslcompression => 0,
	sslmode => 'prefer',
	sslsni => 1,
	target_session_attrs => 'any',
	tcp_user_timeout => 0,
	user => 'r_scram');
rows_are(
	$plain,
	'SELECT x FROM dblink('
	  . lit(conninfo($remote,
			map { $_ => defined $value{$_} ? $value{$_} : "" } @allowed))
	  . ", 'SHOW geqo') AS t(x text)",
	'off',
	'all ordinary options at once');

# ---- rule 6: foreign servers -------------------------------------------

my $port = $remote->port;
no_error(
	$s, qq{
	CREATE SERVER s_none FOREIGN DATA WRAPPER dblink_fdw
		OPTIONS (host '127.0.0.1', port '$port', dbname 'd_scram');
	CREATE SERVER s_quote FOREIGN DATA WRAPPER dblink_fdw
		OPTIONS (host '127.0.0.1', port '$port', dbname 'it''s \\ host=nowhere');
	CREATE USER MAPPING FOR PUBLIC SERVER s_quote
		OPTIONS (user 'r_scram', password 'x'' user=$os_user \\');
	CREATE FOREIGN DATA WRAPPER careless;
	CREATE SERVER s_careless FOREIGN DATA WRAPPER careless OPTIONS
		(host '127.0.0.1', port '$port', dbname 'd_scram', user '$os_user',
		 password '$secret', client_encoding 'LATIN1', nonsense 'x');
	CREATE USER MAPPING FOR plain SERVER s_careless OPTIONS
		(user 'r_scram', host 'nowhere.invalid', nonsense 'y');
	CREATE USER MAPPING FOR CURRENT_USER SERVER s_careless OPTIONS
		(user 'r_scram', password '$secret', host 'nowhere.invalid', port '1');
	GRANT USAGE ON FOREIGN SERVER s_careless TO plain;
	}, 'should work: more servers');

# should fail: the mapping is looked for first
fails_with(
	$plain,
	"SELECT dblink_connect('x', 's_none')",
	{ state => '42704', message => qr/^user mapping not found for / },
	'no user mapping');
$s->run("CREATE USER MAPPING FOR PUBLIC SERVER s_none"
	  . " OPTIONS (user 'r_scram', password '$secret')");

# should fail: then the right to use the server
fails_with(
	$plain,
	"SELECT dblink_connect('x', 's_none')",
	{
		state => '42501',
		message => 'permission denied for foreign server s_none'
	},
	'no USAGE on the server');
$s->run('GRANT USAGE ON FOREIGN SERVER s_none TO plain');

# should work: a mapping for everybody serves
rows_are(
	$plain,
	"SELECT x FROM dblink('s_none', 'SELECT current_user') AS t(x text)",
	'r_scram',
	'a PUBLIC mapping');

# should work for a superuser: quotes and backslashes are part of the values
rows_are(
	$s,
	"SELECT * FROM dblink('s_quote', 'SELECT current_database(), current_user')"
	  . ' AS t(d text, u text)',
	"it's \\ host=nowhere|r_scram",
	'quotes and backslashes in options are literal');

# should fail: a password in the server's options is not the user's
fails_with(
	$plain,
	"SELECT dblink_connect('x', 's_careless')",
	{ %not_given },
	'a password in the server\'s options does not count');

# should work: user and password come from the mapping, everything else from
# the server
rows_are(
	$s,
	"SELECT * FROM dblink('s_careless', \$\$SELECT current_user, "
	  . "current_database(), current_setting('client_encoding')\$\$)"
	  . ' AS t(u text, d text, e text)',
	'r_scram|d_scram|UTF8',
	'each option from its place only');

# ---- rule 7: dblink_connect_u ------------------------------------------

# should fail: not granted to everybody
fails_with(
	$plain,
	"SELECT dblink_connect_u('x', 'host=127.0.0.1')",
	{
		state => '42501',
		message => 'permission denied for function dblink_connect_u'
	},
	'dblink_connect_u is not for everybody');
rows_are(
	$s,
	q{SELECT prosecdef, NOT EXISTS (SELECT FROM aclexplode(proacl)
		WHERE grantee = 0) FROM pg_proc
		WHERE proname = 'dblink_connect_u' AND pronargs = 1},
	't|t',
	'it is SECURITY DEFINER and revoked from PUBLIC');

# ---- rule 8: secrets ---------------------------------------------------

# The local server has logged at debug5 all along, but no statements; what it
# wrote was never the secret.  Errors shown to users were looked at as well.
my $chatty = session($local, user => 'plain');
$chatty->run('SET client_min_messages = debug5');
my $shown = '';
foreach my $sql (
	"SELECT dblink_connect('y', 's_scram_right')",
	"SELECT * FROM dblink('y', 'SELECT nonsense') AS t(x int)",
	"SELECT dblink_connect('y', 's_scram_right')",
	"SELECT dblink_disconnect('y')",
	"SELECT dblink_connect('y', 's_scram_wrong')",
	"SELECT dblink_connect('y', 's_trust_right')",
	"EXPLAIN (VERBOSE) SELECT * FROM dblink('s_scram_right', 'SELECT 1') AS t(x int)",
	"SELECT * FROM dblink('s_scram_right', 'SELECT 1/0') AS t(x int)")
{
	my $r = $chatty->run($sql);
	$shown .= "$r->{out}\n$r->{err}\n";
}
like($shown, qr/DEBUG/, 'the session did show its debug messages');
unlike($shown, qr/\Q$secret\E|\Q$other\E/,
	'no password from a mapping in any message or plan');
# should fail: the error about a broken string does not repeat it
foreach my $broken ("host=h password=$secret nonsense=$other",
	"host=h password=''$secret", "password=$secret host")
{
	my $r = $s->run("SELECT dblink_connect('y', '$broken')");
	ok($r->{errors} && $r->{err} !~ /\Q$secret\E|\Q$other\E/,
		'no password in the error about a broken string') or diag($r->{err});
}
my $log = slurp_file($local->logfile, $log_start);
like($log, qr/DEBUG/, 'the log did have its debug messages');
# SQL that a user wrote into a PL/pgSQL EXECUTE is that user's own
$log =~ s/^.* CONTEXT:  SQL statement ".*\n//mg;
ok($log !~ /(.*(?:\Q$secret\E|\Q$other\E).*)/, 'no password in the server\'s log')
  or diag($1);

# ---- rules 10 and 11: built statements and builders ------------------------

no_error(
	$s, q{
	CREATE TABLE "odd 'name"(id int PRIMARY KEY, "co""l" text);
	INSERT INTO "odd 'name" VALUES (1, 'back\slash and ''quote''');
	CREATE TABLE hidden(id int PRIMARY KEY);
	}, 'should work: tables for the builders');

# should give a statement that means the same with either setting of
# standard_conforming_strings
my $built = $s->run(
	q{SELECT dblink_build_sql_insert('"odd ''name"', '1', 1::int, ARRAY['1'], ARRAY['2'])});
foreach my $setting ($major >= 19 ? 'on' : qw(on off))
{
	no_error($s,
		"SET standard_conforming_strings = $setting; $built->{out}; "
		  . 'RESET standard_conforming_strings',
		"a built INSERT runs with standard_conforming_strings = $setting");
	rows_are(
		$s,
		q{WITH d AS (DELETE FROM "odd 'name" WHERE id = 2 RETURNING *) SELECT "co""l" FROM d},
		q{back\slash and 'quote'},
		'and stores what it read');
}

# should fail at once: the privilege is looked at before the lock is waited for
my $locker = session($local);
$locker->run('BEGIN; LOCK TABLE hidden IN ACCESS EXCLUSIVE MODE');
$plain->run("SET lock_timeout = '3s'");
fails_with(
	$plain,
	"SELECT * FROM dblink_get_pkey('hidden')",
	{ state => '42501', message => 'permission denied for table hidden' },
	'dblink_get_pkey without SELECT on a locked table');
fails_with(
	$plain,
	"SELECT dblink_build_sql_delete('hidden', '1', 1::int, ARRAY['1'])",
	{ state => '42501', message => 'permission denied for table hidden' },
	'dblink_build_sql_delete without SELECT on a locked table');
$locker->run('ROLLBACK');
$locker->quit;

# should fail, and not crash: vectors that are not a list of numbers
foreach my $vector (
	"'0:1={1}'::int2[]::int2vector", "'{{1,2}}'::int2[]::int2vector",
	"'{NULL,1}'::int2[]::int2vector", "'{}'::int2[]::int2vector",
	"''::int2vector")
{
	my $r = $s->run(
		qq{SELECT dblink_build_sql_delete('"odd ''name"', $vector, 1::int, ARRAY['1'])});
	ok($r->{errors} && !$r->{gone} && !$r->{hung}, "vector $vector is refused")
	  or diag($r->{out}, $r->{err});
}
healthy($s, 'the session survived them');

# ---- names ------------------------------------------------------------

# should work, with a notice about the cut in the middle of a character
my $ok_string = lit(matrix_conninfo('scram', 'right'));
my $long = 'n' . ("\x{c3}\x{a9}" x 40);
my $cut = 'n' . ("\x{c3}\x{a9}" x 31);
my $r = rows_are($plain, "SELECT dblink_connect('$long', $ok_string)",
	'OK', 'a name of 81 bytes');
is(
	scalar(
		grep {
			$_->{severity} eq 'NOTICE' && $_->{state} eq '42622'
			  && $_->{message} eq "identifier \"$long\" will be truncated to \"$cut\""
		} @{ $r->{messages} }),
	1,
	'gives one notice 42622');
rows_are($plain, 'SELECT dblink_get_connections()', "{$cut}",
	'and is kept with 63 bytes');
$r = rows_are($plain, "SELECT x FROM dblink('$long', 'SELECT 1') AS t(x int)",
	'1', 'the long name finds it');
is(scalar @{ $r->{messages} }, 0, 'without a notice');
rows_are($plain, "SELECT dblink_disconnect('$cut')", 'OK', 'as does the short one');

# should work: a name may equal a server's, or look like a string; the open
# connection is found first
rows_are($plain, "SELECT dblink_connect('s_none', $ok_string)", 'OK', 'a name equal to a server');
rows_are($plain, "SELECT dblink_connect('a=b', $ok_string)", 'OK', 'a name with an equals sign');
rows_are(
	$plain,
	"SELECT dblink_exec('a=b', 'SET application_name = marked');"
	  . "SELECT x FROM dblink('a=b', 'SHOW application_name') AS t(x text)",
	"SET\nmarked",
	'is used as a connection');
rows_are($plain, "SELECT dblink_disconnect('s_none'); SELECT dblink_disconnect('a=b')",
	"OK\nOK", 'and both are disconnected');

remote_quiet($remote, "usename IN ('r_scram', 'r_md5') OR datname LIKE 'd\\_%'",
	'no session is left on the remote at the end');
$_->quit foreach $s, $plain, $set_role, $trusted, $chatty, $admin;
done_testing();
