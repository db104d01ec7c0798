# Credentials that a client delegates with GSSAPI (PostgreSQL 16 and newer): they
# let a plain role in without a password, where it is they that were used.  A
# Kerberos server is made here, on 127.0.0.1.  On older majors: a login with
# GSSAPI counts for nothing.
#
# Its programs are fetched as Debian's packages, and unpacked, not installed,
# if the machine has not got them: krb5-kdc, krb5-admin-server, krb5-user.
# streaming: any

use strict;
use warnings;
use IO::Socket::INET;
use IPC::Run ();
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $realm = 'TEST.DBLINK';
my $secret = 'Kerb3ros-secret';

# ---- Kerberos ----------------------------------------------------------------

# Where the programs are: an environment for them, or nothing.
sub kerberos_env
{
	my %env = (PATH => "$ENV{PATH}:/usr/sbin:/sbin");
	my @needed = qw(krb5kdc kdb5_util kadmin.local kinit);
	my $missing = sub {
		grep { my $name = $_; !grep { -x "$_/$name" } split /:/, $env{PATH} } @needed;
	};
	return \%env unless $missing->();

	# all that are not installed, and a cache of its own, or else apt leaves out
	# what is in the system's
	my $root = "$dir/kerberos";
	system("mkdir -p '$root/partial'") == 0 or return;
	my @uris = `apt-get -qq -o Debug::NoLocking=true -o Dir::Cache::archives='$root' --print-uris --no-install-recommends -y install krb5-kdc krb5-admin-server krb5-user 2>/dev/null`;
	my @packages = map { s/%3a/:/ir }
	  map { /^'\S+' ((?:krb5-(?:kdc|admin-server|user)|lib)[^_ ]*)_(\S+)_\w+\.deb / ? "$1=$2" : () } @uris;
	return unless @packages;
	system("cd '$root' && apt-get -q download @packages >fetch.log 2>&1 && for d in *.deb; do dpkg-deb -x \$d . || exit 1; done") == 0
	  or return;
	symlink 'kinit.mit', "$root/usr/bin/kinit" unless -e "$root/usr/bin/kinit";
	$env{PATH} = "$root/usr/sbin:$root/usr/bin:$env{PATH}";
	$env{LD_LIBRARY_PATH} = join ':', glob "$root/usr/lib/*-linux-*";
	($env{DB_MODULES}) = glob "$root/usr/lib/*/krb5/plugins/kdb";
	return $missing->() ? undef : \%env;
}

my $tools = kerberos_env();
plan skip_all => 'needs the packages krb5-kdc, krb5-admin-server and krb5-user' unless $tools;

# Runs one of the programs, or ends the test with what it said.
sub kerberos
{
	my ($input, @cmd) = @_;
	local %ENV = (%ENV, %$tools);
	my $output = '';
	IPC::Run::run(\@cmd, '<', \$input, '>&', \$output) or die "@cmd failed: $output";
	return $output;
}

# A port that is free for both protocols, as far as one can know.
my $kdc_port = PostgreSQL::Test::Cluster::get_free_port();
my $modules = $tools->{DB_MODULES} ? "[dbmodules]\n db_module_dir = $tools->{DB_MODULES}\n" : '';
append_to_file("$dir/krb5.conf", <<"END");
[libdefaults]
 default_realm = $realm
 dns_lookup_realm = false
 dns_lookup_kdc = false
 dns_canonicalize_hostname = false
 rdns = false
 forwardable = true
[realms]
 $realm = {
  kdc = 127.0.0.1:$kdc_port
 }
$modules
END
append_to_file("$dir/kdc.conf", <<"END");
[kdcdefaults]
 kdc_listen = 127.0.0.1:$kdc_port
 kdc_tcp_listen = 127.0.0.1:$kdc_port
[realms]
 $realm = {
  database_name = $dir/principals
  key_stash_file = $dir/stash
  acl_file = $dir/acl
 }
[logging]
 kdc = FILE:$dir/kdc.log
END
$ENV{KRB5_CONFIG} = "$dir/krb5.conf";
$ENV{KRB5_KDC_PROFILE} = "$dir/kdc.conf";
$ENV{KRB5RCACHETYPE} = 'none';
kerberos('', 'kdb5_util', 'create', '-s', '-P', $secret);
kerberos('', 'kadmin.local', '-q', "addprinc -pw $secret $_") foreach qw(traveller boss);
kerberos('', 'kadmin.local', '-q', 'addprinc -randkey postgres/localhost');
kerberos('', 'kadmin.local', '-q', "ktadd -k $dir/keytab postgres/localhost");

# In the foreground, as a child of the test, which ends it.
my $kdc = fork;
die "could not fork: $!" unless defined $kdc;
if (!$kdc)
{
	%ENV = (%ENV, %$tools);
	open STDOUT, '>', "$dir/kdc.out";
	open STDERR, '>&', \*STDOUT;
	exec 'krb5kdc', '-n', '-P', "$dir/kdc.pid" or POSIX::_exit(1);
}
END { local $?; kill 'TERM', $kdc if $kdc }
ok(poll_until(sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $kdc_port) }), 'the Kerberos server listens')
  or diag(slurp_file("$dir/kdc.out"));
foreach my $who (qw(traveller boss))
{
	local $ENV{KRB5CCNAME} = "FILE:$dir/$who";
	kerberos("$secret\n", 'kinit', '-f', $who);
}

# ---- the servers ---------------------------------------------------------------

# Both know the principals by the key of postgres/localhost.  The local server
# has no credentials of its own, and a password file that a plain role must
# not be served with.
append_to_file("$dir/pass", "*:*:*:*:$secret\n");
chmod 0600, "$dir/pass";
my $remote = make_server(
	'remote',
	tree => stock_prefix(),
	hba => [
		'host d_gss all 127.0.0.1/32 gss include_realm=0',
		'host d_scram all 127.0.0.1/32 scram-sha-256',
		'host d_trust all 127.0.0.1/32 trust'
	],
	conf => ["krb_server_keyfile = 'FILE:$dir/keytab'"]);
my $delegates = $remote->pg_version->major >= 16;
my $local = make_server(
	'local',
	hba => ['host all all 127.0.0.1/32 gss include_realm=0'],
	conf => [ "krb_server_keyfile = 'FILE:$dir/keytab'", $delegates ? 'gss_accept_delegation = on' : () ],
	env => { KRB5CCNAME => "FILE:$dir/nobody", PGPASSFILE => "$dir/pass" });
my $there = session($remote);
my $here = session($local);
no_error($there, "CREATE ROLE traveller LOGIN PASSWORD '$secret'; CREATE ROLE boss LOGIN", 'should work: roles on the remote');
$there->run("CREATE DATABASE $_") foreach qw(d_gss d_scram d_trust);
no_error($here, 'CREATE EXTENSION dblink; CREATE ROLE traveller LOGIN; CREATE ROLE boss LOGIN SUPERUSER', 'should work: roles on the local side');

# A session that logged in with a principal; its credentials are delegated or not.
sub by_kerberos
{
	my ($who, $delegated) = @_;
	my $place = bless { node => $local }, 'Localhost';
	return session($place, user => $who,
		env => { KRB5CCNAME => "FILE:$dir/$who", PGHOSTADDR => '127.0.0.1', PGGSSDELEGATION => $delegated ? 1 : 0 });
}
my $delegating = by_kerberos('traveller', 1);
my $keeping = by_kerberos('traveller', 0);
my $boss = by_kerberos('boss', 1);
if ($delegates)
{
	my $view = 'SELECT gss_authenticated, credentials_delegated FROM pg_stat_gssapi WHERE pid = pg_backend_pid()';
	rows_are($delegating, $view, 't|t', 'a session that delegated its credentials');
	rows_are($keeping, $view, 't|f', 'one that did not');
}

# A connection string: to a database of the remote as the traveller.
sub to
{
	my ($database, %opt) = @_;
	return lit(conninfo($remote, host => 'localhost', hostaddr => '127.0.0.1', dbname => $database, user => 'traveller', %opt));
}

# What somebody gets who asks the remote who he is.
sub asks
{
	my ($s, $string) = @_;
	my $r = $s->run("SELECT u FROM dblink($string, 'SELECT current_user') AS t(u text)");
	return $r->{out} unless $r->{errors};
	my ($e) = grep { $_->{severity} eq 'ERROR' } @{ $r->{messages} };
	return "$e->{state} " . ($e->{detail} || '');
}
my $not_given = qr/^2F003 Non-superusers must provide a password in the connection string/;
my $not_used = qr/^2F003 Non-superusers? (?:may only connect using credentials they provide|cannot connect if)/;

# ---- who gets in where -----------------------------------------------------------

foreach my $encryption (qw(prefer disable require))
{
	my %how = (gssencmode => $encryption);

	# should work: with delegated credentials, where they are asked for
	if ($delegates)
	{
		is(asks($delegating, to('d_gss', %how)), 'traveller', "delegated, gssencmode $encryption");
		rows_are($delegating, "SELECT dblink_connect('c', " . to('d_gss', %how) . ');'
			  . "SELECT x FROM dblink('c', 'SELECT gss_authenticated, encrypted FROM pg_stat_gssapi WHERE pid = pg_backend_pid()') AS t(x bool, e bool)"
			  . ' WHERE e = ' . ($encryption eq 'disable' ? 'false' : 'true'),
			"OK\nt", 'a named connection');

		# should work: the request to cancel goes the same way
		rows_are($delegating, "SELECT dblink_send_query('c', 'SELECT pg_sleep(120)')", '1', 'a long statement');
		is(poll_value($remote, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'", '1'), '1', 'runs');
		rows_are($delegating, "SELECT dblink_cancel_query('c')", 'OK', 'and is cancelled');
		fails_with($delegating, "SELECT * FROM dblink_get_result('c') AS t(x text)", { state => '57014' }, 'which ends it');
		rows_are($delegating, "SELECT dblink_disconnect('c')", 'OK', 'the connection is closed');
	}
	else
	{
		like(asks($delegating, to('d_gss', %how)), $not_given, "before 16 nothing is delegated, gssencmode $encryption");
	}

	# should fail: what the client kept for itself cannot be used
	like(asks($keeping, to('d_gss', %how)), $not_given, "not delegated, gssencmode $encryption");
}

# should fail: after connecting, for it was the server that was let in; or the
# password file, which is the server's
my %plain = (gssencmode => 'disable');
like(asks($delegating, to('d_trust', %plain)), $delegates ? $not_used : $not_given, 'delegated, and the remote trusts');
like(asks($delegating, to('d_scram', %plain)), $delegates ? $not_used : $not_given, 'delegated, and the server has a password');
rows_are($delegating, 'SELECT dblink_get_connections()', '', 'no name is registered');

# should work: with a password, as ever
is(asks($delegating, to('d_scram', %plain, password => $secret)), 'traveller', 'delegated, with a password of his own');
is(asks($keeping, to('d_scram', %plain, password => $secret)), 'traveller', 'not delegated, with a password of his own');
like(asks($keeping, to('d_trust', %plain, password => $secret)), $not_used, 'a password that nobody asked for');

# should fail: the credentials are of the session's principal
like(asks($boss, to('d_gss', %plain)), $delegates ? qr/^08001 .*GSSAPI authentication failed for user "traveller"/ : qr/^08001 /,
	'as somebody else');

# should work: the effective user counts, the credentials stay
if ($delegates)
{
	no_error($boss, 'SET ROLE traveller', 'a superuser sets his role');
	is(asks($boss, to('d_gss', %plain, user => 'boss')), 'boss', 'and has his own credentials');
	like(asks($boss, to('d_trust', %plain)), $not_used, 'under the rules for a plain role');
}

# should fail: a session without GSSAPI has none
my $other = session($local, user => 'traveller');
like(asks($other, to('d_gss')), $not_given, 'a session that logged in otherwise');

remote_quiet($remote, "usename IN ('traveller', 'boss')", 'no session is left on the remote');
$_->quit foreach $delegating, $keeping, $boss, $other, $here, $there;
kill 'TERM', $kdc;
waitpid $kdc, 0;
undef $kdc;
done_testing();

# A server as a session sees it, by the name that its principal has.
package Localhost;
sub host { return 'localhost' }
sub port { return $_[0]->{node}->port }
sub name { return $_[0]->{node}->name }
