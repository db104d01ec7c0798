# A password that occurs nowhere else goes through every path there is, with all
# logging on.  Should be found nowhere: not in a message, a log, a plan,
# pg_stat_activity or a process title, on either server; but in the statement of
# the user who wrote it there, and in what libpq says of a string that is none.
#
# streaming: any

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;
use DblinkWire;
use DblinkFake;

my $secret = 'S3cr' . join '', map { chr 97 + rand 26 } 1 .. 20;
my $wrong = 'Wr0ng' . join '', map { chr 97 + rand 26 } 1 .. 20;
my $pattern = qr/\Q$secret\E|\Q$wrong\E/;
my @verbose = ('log_min_messages = debug5', 'log_min_error_statement = panic', 'log_statement = none', 'log_error_verbosity = verbose',
	'log_connections = on', 'log_disconnections = on', 'log_duration = on', 'track_activities = on', 'track_activity_query_size = 20000');
my ($local, $remote) = make_pair(
	remote => { hba => [ 'host all holder 127.0.0.1/32 scram-sha-256', 'host all plainly 127.0.0.1/32 password', 'host all md5ly 127.0.0.1/32 md5' ], conf => [ @verbose, "password_encryption = 'scram-sha-256'" ] },
	local => { conf => \@verbose });

# on the remote, the roles get their password in a form that is not the secret
my $admin = session($remote);
$admin->run("SET log_min_messages = fatal; SET log_duration = off; CREATE ROLE holder LOGIN PASSWORD '$secret'; CREATE ROLE plainly LOGIN PASSWORD '$secret';"
	  . " SET password_encryption = md5; CREATE ROLE md5ly LOGIN PASSWORD '$secret'; CREATE DATABASE other");
$admin->quit;
my $base = 'host=127.0.0.1 dbname=postgres sslmode=disable gssencmode=disable application_name=secrets';
my $port = $remote->port;
my $fake = fake_server(sub {
	return (
		{ start => error_message({ S => 'FATAL', C => '28P01', M => 'no' }) },
		{ start => message('R', pack('N', 3)), answers => [ message('R', pack('N', 99)) ] },
		{ start => message('R', pack('N', 10) . "SCRAM-SHA-256\0\0"), answers => [ message('R', pack('N', 11) . 'r=x,s=QSXCR+Q6sek8bf92,i=4096') ] },
		{ start => auth_ok(), answers => [ substr error_message({ S => 'ERROR', C => '22012', M => 'half' }), 0, 12 ] },
		{ start => auth_ok(), answers => [ error_message({ S => 'NOTICE', C => '00000', M => 'hello' }, 'N') . message('@', 'x') ] })[ $_[0] % 5 ];
});

# On the local server: servers and mappings that hold the secret, for a
# superuser and for a plain role.
my $setup = session($local);
my @servers = (
	[ holder => "port '$port'", "user 'holder', password '$secret'" ],
	[ plainly => "port '$port'", "user 'plainly', password '$secret'" ],
	[ md5ly => "port '$port'", "user 'md5ly', password '$secret'" ],
	[ mistaken => "port '$port'", "user 'holder', password '$wrong'" ],
	[ elsewhere => "port '$port', dbname 'nonexistent'", "user 'holder', password '$secret'" ],
	[ nobody => "port '$port'", "user 'nobody_there', password '$secret'" ],
	[ closed => "port '1'", "user 'holder', password '$secret'" ],
	[ trusting => "port '$port'", "user '" . query_value($remote, 'SELECT current_user') . "', password '$secret'" ],
	[ faked => "port '" . $fake->port . "'", "user 'holder', password '$secret'" ],
	[ badport => "port 'abc'", "user 'holder', password '$secret'" ],
	[ badssl => "port '$port', sslmode 'nonsense'", "user 'holder', password '$secret'" ],
	[ badtime => "port '$port', connect_timeout 'soon'", "user 'holder', password '$secret'" ],
	[ quoted => "port '$port'", "user 'holder', password 'a''b\\c $secret'" ]);
$setup->run("SET log_min_messages = fatal; SET log_duration = off; CREATE ROLE common LOGIN; GRANT USAGE ON FOREIGN DATA WRAPPER dblink_fdw TO common");
foreach my $server (@servers)
{
	my ($name, $options, $mapping) = @$server;
	$options .= ", dbname 'postgres'" if $options !~ /dbname/;
	my $r = $setup->run("SET log_min_messages = fatal; CREATE SERVER $name FOREIGN DATA WRAPPER dblink_fdw OPTIONS (host '127.0.0.1', sslmode 'disable', gssencmode 'disable', application_name 'secrets', $options)"
		  =~ s/sslmode 'disable', (?=.*sslmode)//r);
	diag $r->{err} if $r->{errors};
	$r = $setup->run(join '', map { "CREATE USER MAPPING FOR $_ SERVER $name OPTIONS ($mapping);" } 'current_user', 'common');
	diag $r->{err} if $r->{errors};
	$setup->run("GRANT USAGE ON FOREIGN SERVER $name TO common");
}
$setup->quit;

# Everything that anybody can see while and after a statement runs.
my @seen;
sub look
{
	my ($what, $text) = @_;
	push @seen, "$what: " . substr($text, $-[0] > 100 ? $-[0] - 100 : 0, 300) if defined $text && $text =~ $pattern;
	return;
}
my $paths = 0;
foreach my $user (undef, 'common')
{
	my $s = session($local, $user ? (user => $user) : ());
	$s->run("SET client_min_messages = debug5; SET statement_timeout = '5s'");
	foreach my $streaming (qw(off always))
	{
		look("set $streaming", $s->run("SET dblink.streaming = $streaming")->{err});
		foreach my $server (map { $_->[0] } @servers)
		{
			foreach my $n (0 .. ($server eq 'faked' ? 4 : 0))
			{
				$fake->next_scene($n);
				foreach my $sql (
					"SELECT dblink_connect('$server')",
					"SELECT dblink_disconnect()",
					"SELECT dblink_connect('c', '$server')",
					"SELECT dblink_connect('c', '$server')",
					"SELECT * FROM dblink('c', 'SELECT 1/0') AS t(x int)",
					"SELECT * FROM dblink('c', 'SELECT ''a''') AS t(x int)",
					"SELECT * FROM dblink('c', 'SELECT 1, 2') AS t(x int)",
					"SELECT dblink_exec('c', 'nonsense', false)",
					"SELECT dblink_error_message('c')",
					"SELECT dblink_send_query('c', 'SELECT 1')",
					"SELECT dblink_cancel_query('c')",
					"SELECT * FROM dblink_get_result('c', false) AS t(x int)",
					"SELECT dblink_get_connections()",
					"SELECT dblink_disconnect('c')",
					"SELECT * FROM dblink('$server', 'SELECT current_user') AS t(x name)",
					"SELECT * FROM dblink('$server', 'SELECT 1/0', false) AS t(x int)",
					"SELECT dblink_exec('$server', 'nonsense')",
					"EXPLAIN (VERBOSE, ANALYZE, SETTINGS) SELECT * FROM dblink('$server', 'SELECT 1') AS t(x int)",
					"DO \$\$BEGIN PERFORM dblink_exec('$server', 'nonsense'); EXCEPTION WHEN OTHERS THEN RAISE WARNING '% %', SQLERRM, SQLSTATE; END\$\$")
				{
					my $r = $s->run($sql);
					$paths++;
					look("what $sql says", "$r->{out}\n$r->{err}");
					push @seen, "$sql hung" if $r->{hung};
				}
			}
		}
	}
	look('pg_stat_activity of the local server', query_value($local, 'SELECT string_agg(query, E\'\n\') FROM pg_stat_activity'));
	look('pg_stat_activity of the remote', query_value($remote, 'SELECT string_agg(query || application_name, E\'\n\') FROM pg_stat_activity'));
	look('the process title', slurp_file('/proc/' . $s->pid . '/cmdline'));
	$s->run("SELECT dblink_disconnect(n) FROM unnest(dblink_get_connections()) n");
	is(join('; ', open_objects($s)), '', 'no object is left');
	$s->quit;
}

# that the search finds what is there: an error that names it, kept from the log
{
	my $s = session($local);
	my $r = $s->run("SET log_min_messages = panic; SELECT $secret");
	look('a try', $r->{err});
	is(scalar(@seen), 1, 'the search would find it') or diag @seen;
	pop @seen;
	$s->quit;
}

# The secret in the user's own statement: it is in the statement, and nowhere else.
my $s = session($local);
$s->run("SET client_min_messages = debug5; SET statement_timeout = '5s'");
foreach my $conninfo (
	"$base port=$port user=holder password=$secret",
	"$base port=$port user=holder password='$secret'",
	"$base port=$port user=holder password=$wrong",
	"$base port=1 user=holder password=$secret",
	"$base port=abc user=holder password=$secret",
	"$base port=$port user=holder password=$secret dbname=nonexistent",
	"$base port=$port user=holder password=$secret nonsense=1",
	"$base port=$port user=holder password=$secret connect_timeout=soon",
	"$base port=$port user=holder password=$secret sslmode=nonsense",
	"postgresql://holder:$secret\@127.0.0.1:$port/postgres?sslmode=disable&application_name=secrets",
	"postgresql://holder:$secret\@127.0.0.1:$port/postgres?nonsense=1",
	"postgresql://holder:$wrong\@127.0.0.1:$port/postgres?sslmode=disable")
{
	my $literal = lit($conninfo);
	foreach my $streaming (qw(off always))
	{
		$s->run("SET dblink.streaming = $streaming");
		foreach my $sql (
			"SELECT dblink_connect('c', $literal)",
			"SELECT dblink_connect('c', $literal)",
			"SELECT dblink_disconnect('c')",
			"SELECT * FROM dblink($literal, 'SELECT 1/0') AS t(x int)",
			"SELECT * FROM dblink($literal, 'SELECT 1', false) AS t(x int)",
			"SET dblink.keep_connections = 1; SELECT * FROM dblink($literal, 'SELECT 1') AS t(x int); SELECT * FROM dblink($literal, 'SELECT 2') AS t(x int); SET dblink.keep_connections = 0",
			"SELECT dblink_exec($literal, 'nonsense')",
			"EXPLAIN SELECT * FROM dblink($literal, 'SELECT 1') AS t(x int)")
		{
			my $r = $s->run($sql);
			$paths++;
			look('what a call with a string says', "$r->{out}\n$r->{err}");
		}
	}
}
# a NOTICE that comes while PL/pgSQL runs the statement: its context is not logged
$s->run('SET log_min_messages = log; DO $$BEGIN PERFORM dblink_exec(' . lit("$base port=$port user=holder password=$secret")
	  . ", 'DO ''BEGIN RAISE NOTICE ''''a word from afar''''; END'''); END\$\$; RESET log_min_messages");
# a scan that streams shows no string in its plan either
$s->run('SET dblink.streaming = always');
my $own = lit("$base port=$port user=holder password=$secret");
my $r = $s->run("EXPLAIN (VERBOSE) SELECT * FROM dblink($own, 'SELECT 1') AS t(x int)");
like($r->{out}, qr/Custom Scan/, 'a scan that streams');
look('EXPLAIN VERBOSE of a stream', $r->{out});

$s->quit;
unwatch($_) foreach $local, $remote;
$local->stop;
$remote->stop;
look('the log of the local server', slurp_file($local->logfile));
look('the log of the remote', slurp_file($remote->logfile));
cmp_ok(-s $local->logfile, '>', 100_000, 'the log was verbose');
like(slurp_file($local->logfile), qr/a word from afar/, 'and has the NOTICE of the remote');
is(scalar @seen, 0, "$paths statements with a secret, and it was found nowhere");
diag $_ foreach @seen[ 0 .. ($#seen < 9 ? $#seen : 9) ];
diag "SUMMARY paths tried with a secret: $paths, found: " . @seen;
$fake->stop;
done_testing();
