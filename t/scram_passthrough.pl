# The session's SCRAM login passed on to a foreign server (PostgreSQL 18 and
# newer): whose keys are used, what may replace them, who gets in by them.
# Older majors do not know the option.
# streaming: any

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;

my $secret = 'Passed-0n-secret';

# The remote has databases that ask for SCRAM, for the password in the clear, and
# for nothing.  The local server asks for SCRAM over TCP, and trusts its socket.
my $remote = make_server(
	'remote',
	tree => stock_prefix(),
	hba => [
		'host d_trust all 127.0.0.1/32 trust',
		'host d_clear all 127.0.0.1/32 password',
		'host d_scram all 127.0.0.1/32 scram-sha-256'
	]);
my $local = make_server(
	'local',
	env => { PGPASSFILE => '/dev/null' },
	hba => [ 'host all all 127.0.0.1/32 scram-sha-256' ],
	conf => [ 'wal_level = logical', 'max_wal_senders = 4', 'max_replication_slots = 4', 'log_min_messages = debug5', 'log_min_error_statement = panic' ]);
my $admin = session($remote);
my $s = session($local);
no_error($s, q{CREATE EXTENSION dblink}, 'should work: the extension');

# Makes a server to a database of the remote, with a mapping for everybody.
sub passing_server
{
	my ($name, $database, $server_options, $mapping_options) = @_;
	my $port = $remote->port;
	return "CREATE SERVER $name FOREIGN DATA WRAPPER dblink_fdw OPTIONS (host '127.0.0.1', port '$port',"
	  . " dbname '$database'$server_options);"
	  . "CREATE USER MAPPING FOR PUBLIC SERVER $name OPTIONS (user 'passer'$mapping_options);"
	  . "GRANT USAGE ON FOREIGN SERVER $name TO PUBLIC;";
}

if ($local->pg_version->major < 18)
{
	# should fail: as any option that there is not
	foreach my $sql (passing_server('s', 'd_scram', ", use_scram_passthrough 'true'", ''),
		passing_server('s', 'd_scram', '', ", use_scram_passthrough 'true'"))
	{
		fails_with($s, "BEGIN; $sql; ROLLBACK",
			{ state => 'HV00J', message => 'invalid option "use_scram_passthrough"' },
			'before 18 there is no pass-through');
		$s->run('ROLLBACK');
	}
	done_testing();
	exit;
}

# ---- the bed ------------------------------------------------------------------

# Two roles with the same name and password, one of which has the local secret
# on the remote, too: the other's salt differs, so its keys do.
no_error($s, qq{
	CREATE ROLE passer LOGIN PASSWORD '$secret';
	CREATE ROLE passing_boss LOGIN SUPERUSER PASSWORD '$secret';
	CREATE ROLE salted LOGIN PASSWORD '$secret';
	GRANT passer TO salted;
	}, 'should work: roles on the local side');
my $copied = $s->run("SELECT rolname || ' ' || rolpassword FROM pg_authid WHERE rolname IN ('passer', 'passing_boss')");
foreach my $line (split /\n/, $copied->{out})
{
	my ($role, $stored) = split / /, $line, 2;
	die "no SCRAM secret: $stored" unless $stored =~ /^SCRAM-SHA-256\$/;
	no_error($admin, "CREATE ROLE $role LOGIN PASSWORD " . lit($stored), "should work: the secret of $role copied");
}
no_error($admin, "CREATE ROLE salted LOGIN PASSWORD '$secret'", 'should work: the same password, another secret');
$admin->run("CREATE DATABASE $_") foreach qw(d_trust d_clear d_scram);

my $on = ", use_scram_passthrough 'true'";
my $off = ", use_scram_passthrough 'false'";
no_error($s, join("\n",
		passing_server('s_on', 'd_scram', $on, ''),
		passing_server('s_mapping_on', 'd_scram', '', $on),
		passing_server('s_mapping_off', 'd_scram', $on, $off),
		passing_server('s_server_off', 'd_scram', $off, $on),
		passing_server('s_nothing', 'd_scram', '', ''),
		passing_server('s_trust', 'd_trust', $on, ''),
		passing_server('s_clear', 'd_clear', $on, ", password '$secret'"),
		passing_server('s_wrong_password', 'd_scram', $on, ", password 'wrong'"),
		passing_server('s_require_other', 'd_scram', "$on, require_auth 'password'", ''),
		passing_server('s_require_none', 'd_trust', "$on, require_auth 'none'", ''),
		passing_server('s_require_same', 'd_scram', "$on, require_auth 'scram-sha-256'", ''),
		passing_server('s_boss', 'd_scram', $on, ''),
		passing_server('s_salted', 'd_scram', $on, ''),
		"ALTER USER MAPPING FOR PUBLIC SERVER s_boss OPTIONS (SET user 'passing_boss');",
		"ALTER USER MAPPING FOR PUBLIC SERVER s_salted OPTIONS (SET user 'salted')"),
	'should work: servers');

# A session that logged in by SCRAM: with keys to pass on.
sub by_scram
{
	my $user = shift;
	return session($local, user => $user, env => { PGPASSWORD => $secret, PGHOSTADDR => '127.0.0.1' });
}
my %session = (
	'plain role' => by_scram('passer'),
	'superuser' => by_scram('passing_boss'),
	'plain role, trusted' => session($local, user => 'passer'));
foreach my $who (sort keys %session)
{
	like($session{$who}->run("SELECT system_user")->{out}, $who =~ /trusted/ ? qr/^$/ : qr/^scram-sha-256:/, "$who: how it logged in");
}

# ---- who gets in where ----------------------------------------------------------

my $told = 'password or GSSAPI delegated credentials required';
my %not_given = (
	state => '2F003',
	message => $told,
	detail => 'Non-superusers must provide a password in the connection string or send delegated GSSAPI credentials.');
sub refused
{
	my $text = shift;
	return { state => '08001', message => 'could not establish connection', detail => qr/$text/ };
}
my $no_password = refused('fe_sendauth: no password supplied');
my $wrong = refused('FATAL:  password authentication failed for user "\w+"');
my $trusts = refused('authentication method requirement "scram-sha-256" failed: server did not complete authentication');
my $clear = refused('authentication method requirement "scram-sha-256" failed: server requested a cleartext password');
my $other = refused('authentication method requirement "password" failed: server requested SASL authentication');

# For each server: what a plain role gets, what a superuser, and what a plain
# role that did not log in by SCRAM.  A string is the remote's current_user.
my %case = (
	s_on => [ 'passer', $wrong, \%not_given ],
	s_mapping_on => [ 'passer', $wrong, \%not_given ],
	s_server_off => [ 'passer', $wrong, \%not_given ],
	s_mapping_off => [ \%not_given, $no_password, \%not_given ],
	s_nothing => [ \%not_given, $no_password, \%not_given ],

	# The remote must ask for the keys: libpq refuses any other way in.
	s_trust => [ $trusts, $trusts, \%not_given ],
	s_clear => [ $clear, $clear, 'passer' ],

	# The keys come before the mapping's password.
	s_wrong_password => [ 'passer', $wrong, $wrong ],

	# What the server requires replaces what pass-through requires; a plain
	# role has nothing to show then.
	s_require_other => [ \%not_given, $other, \%not_given ],
	s_require_none => [ \%not_given, 'passer', \%not_given ],
	s_require_same => [ 'passer', $wrong, \%not_given ],

	# Keys of another role, or of the same password with another salt.
	s_boss => [ $wrong, 'passing_boss', \%not_given ],
	s_salted => [ $wrong, $wrong, \%not_given ]);
foreach my $server (sort keys %case)
{
	my %wanted;
	@wanted{ 'plain role', 'superuser', 'plain role, trusted' } = @{ $case{$server} };
	foreach my $who (sort keys %wanted)
	{
		my $session = $session{$who};
		if (!ref $wanted{$who})
		{
			# should work: for one call, and by name
			rows_are($session, "SELECT u FROM dblink('$server', 'SELECT current_user') AS t(u text)",
				$wanted{$who}, "$server, $who: dblink");
			rows_are($session, "SELECT dblink_connect('c', '$server');"
				  . "SELECT u FROM dblink('c', 'SELECT system_user') AS t(u text); SELECT dblink_disconnect('c')",
				"OK\n" . ($server =~ /none$/ ? '' : $server eq 's_clear' ? 'password:passer' : "scram-sha-256:$wanted{$who}") . "\nOK",
				"$server, $who: dblink_connect");
			next;
		}

		# should fail, and register no name
		fails_with($session, "SELECT u FROM dblink('$server', 'SELECT current_user') AS t(u text)",
			$wanted{$who}, "$server, $who: dblink");
		fails_with($session, "SELECT dblink_connect('c', '$server')", $wanted{$who}, "$server, $who: dblink_connect");
		rows_are($session, 'SELECT dblink_get_connections()', '', "$server, $who: no name is registered");
	}
}

# should work: the keys are the session's, whoever is the effective user
no_error($session{superuser}, 'SET ROLE passer', 'a superuser sets his role');
rows_are($session{superuser}, "SELECT u FROM dblink('s_boss', 'SELECT current_user') AS t(u text)", 'passing_boss',
	'and has his own keys, under the rules for a plain role');
fails_with($session{superuser}, "SELECT dblink_connect('c', 's_require_none')", \%not_given, 'which hold');
$session{superuser}->run('RESET ROLE');

# should work: a kept connection is for the same keys
no_error($session{'plain role'}, 'SET dblink.keep_connections = 3', 'kept connections');
my $pid = "SELECT p FROM dblink('s_on', 'SELECT pg_backend_pid()') AS t(p int)";
my $first = $session{'plain role'}->run($pid)->{out};
rows_are($session{'plain role'}, $pid, $first, 'is used again');

# ---- strings --------------------------------------------------------------------

my $string = conninfo($remote, dbname => 'd_scram', user => 'passer');
# should fail: pass-through is for servers only
fails_with($session{'plain role'}, "SELECT dblink_connect('c', " . lit($string) . ')', \%not_given, 'a string passes nothing on');
# should fail: keys that are not the session's prove nothing
my $guess = 'A' x 43 . '=';
fails_with($session{'plain role'},
	"SELECT dblink_connect('c', " . lit("$string scram_client_key=$guess scram_server_key=$guess require_auth=scram-sha-256") . ')',
	\%not_given, 'nor do keys of somebody else serve');

# ---- values that are no Boolean ---------------------------------------------------

foreach my $value ('', 't', 'yes please')
{
	# should fail: when it is written
	fails_with($s, "ALTER SERVER s_on OPTIONS (SET use_scram_passthrough '$value')",
		{ state => '42601', message => 'use_scram_passthrough requires a Boolean value' }, "server: '$value'");
	fails_with($s, "ALTER USER MAPPING FOR PUBLIC SERVER s_mapping_on OPTIONS (SET use_scram_passthrough '$value')",
		{ state => '42601', message => 'use_scram_passthrough requires a Boolean value' }, "mapping: '$value'");
}
# should fail: a wrapper has no options; the hint does not know this one
fails_with($s, "ALTER FOREIGN DATA WRAPPER dblink_fdw OPTIONS (ADD use_scram_passthrough 'true')",
	{ state => 'HV00J', hint => 'There are no valid options in this context.' }, 'the wrapper');
fails_with($s, "ALTER SERVER s_nothing OPTIONS (ADD use_scram_passthroug 'true')",
	{ state => 'HV00J', hint => undef }, 'misspelt');
fails_with($s, "ALTER SERVER s_nothing OPTIONS (ADD scram_client_key 'x')",
	{ state => 'HV00J', message => 'invalid option "scram_client_key"' }, 'keys cannot be set there');

# ---- a background worker ------------------------------------------------------------

# It has no client and so no keys.  The worker is one that applies what this
# very database publishes; a trigger on the table tells what dblink said.  It
# runs as the table's owner.
no_error($s, q{
	GRANT CREATE ON SCHEMA public TO passer;
	CREATE TABLE source (id int PRIMARY KEY);
	CREATE PUBLICATION worker FOR TABLE source;
	CREATE SCHEMA applied AUTHORIZATION passer;
	}, 'should work: something to publish');
$s->run("SELECT pg_create_logical_replication_slot('worker', 'pgoutput')");
no_error($s, 'CREATE DATABASE applying', 'should work: a database that applies it');
my $there = session($local, db => 'applying');
my $socket = $local->host;
no_error($there, q{
	CREATE EXTENSION dblink;
	CREATE TABLE source (id int PRIMARY KEY);
	CREATE TABLE told (id int, who text, answer text);
	ALTER TABLE source OWNER TO passer;
	ALTER TABLE told OWNER TO passer;
	} . passing_server('s_on', 'd_scram', $on, '') . passing_server('s_password', 'd_scram', $on, ", password '$secret'") . qq{
	CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS \$\$
	DECLARE server text;
	BEGIN
		FOREACH server IN ARRAY ARRAY['s_on', 's_password'] LOOP
			BEGIN
				INSERT INTO public.told SELECT NEW.id, current_user, server || ' ' || u
					FROM public.dblink(server, 'SELECT current_user') AS t(u text);
			EXCEPTION WHEN OTHERS THEN
				INSERT INTO public.told VALUES (NEW.id, current_user, server || ' ' || SQLSTATE);
			END;
		END LOOP;
		RETURN NEW;
	END \$\$;
	CREATE TRIGGER tell BEFORE INSERT ON source FOR EACH ROW EXECUTE FUNCTION tell();
	ALTER TABLE source ENABLE ALWAYS TRIGGER tell;
	CREATE SUBSCRIPTION worker CONNECTION 'host=$socket port=@{[$local->port]} dbname=postgres' PUBLICATION worker
		WITH (create_slot = false, slot_name = 'worker', copy_data = false);
	}, 'should work: a subscription to it');
$s->run('INSERT INTO source VALUES (1)');
my $answer;
poll_until(sub { $answer = $there->run('SELECT who, answer FROM told ORDER BY answer')->{out} });
# should be refused without keys, and served with the mapping's password
is($answer, "passer|s_on 2F003\npasser|s_password passer", 'a background worker has no keys, and does not fall over');
$there->run('ALTER SUBSCRIPTION worker DISABLE; ALTER SUBSCRIPTION worker SET (slot_name = NONE); DROP SUBSCRIPTION worker');
$there->quit;

# ---- secrets ------------------------------------------------------------------------

# should not show: the keys, in messages or in the log at its most talkative
my ($client_key, $server_key) = ('scram_client_key', 'scram_server_key');
my $talkative = $session{'plain role'};
$talkative->run('SET client_min_messages = debug5; SET dblink.keep_connections = 0');
my $shown = '';
foreach my $sql (
	"SELECT u FROM dblink('s_on', 'SELECT current_user') AS t(u text)",
	"EXPLAIN (VERBOSE) SELECT u FROM dblink('s_on', 'SELECT current_user') AS t(u text)",
	"SELECT u FROM dblink('s_on', 'SELECT 1/0') AS t(u text)",
	"SELECT u FROM dblink('s_trust', 'SELECT 1') AS t(u text)",
	"SELECT u FROM dblink('s_boss', 'SELECT 1') AS t(u text)")
{
	my $r = $talkative->run($sql);
	$shown .= "$r->{out}\n$r->{err}\n";
}
like($shown, qr/DEBUG/, 'the session did show its debug messages');
my ($stored) = $s->run("SELECT split_part(rolpassword, ':', 3) FROM pg_authid WHERE rolname = 'passer'")->{out};
like($stored, qr/^[A-Za-z0-9+\/]{43}=$/, 'the server key as it is stored');
my $log = slurp_file($local->logfile);
foreach my $key ($stored, 'scram_client_key=', 'scram_server_key=')
{
	unlike($shown, qr/\Q$key\E/, 'nothing of it in a message');
	unlike($log, qr/\Q$key\E/, 'nor in the log');
}

$_->quit foreach values %session, $s, $admin;
done_testing();
