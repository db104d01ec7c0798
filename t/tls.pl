# TLS to the remote: sslmode require, verify-ca and verify-full, with and
# without the authority's certificate, a wrong host name, a certificate of the
# client's.  All certificates are made here.
# streaming: any

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $secret = 'Tls-passw0rd';

# Runs openssl, or ends the test with what it said.
sub openssl
{
	my @cmd = @_;
	my $log = "$dir/openssl.log";
	system("cd '$dir' && openssl " . join(' ', map { "'$_'" } @cmd) . " >>'$log' 2>&1") == 0
	  or die "openssl @cmd failed: " . slurp_file($log);
	return;
}

# An authority of its own; certificates for localhost and for a role, signed
# by it; and an authority that signed nothing.
foreach my $ca (qw(ca stranger))
{
	openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '30',
		'-subj', "/CN=dblink test $ca", '-keyout', "$ca.key", '-out', "$ca.crt");
}
foreach my $who ([ 'server', 'localhost', 'DNS:localhost' ], [ 'client', 'certified', '' ])
{
	my ($file, $cn, $alt) = @$who;
	openssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj', "/CN=$cn",
		'-keyout', "$file.key", '-out', "$file.csr");
	append_to_file("$dir/$file.ext", $alt ? "subjectAltName=$alt\n" : "keyUsage=digitalSignature\n");
	openssl('x509', '-req', '-in', "$file.csr", '-CA', 'ca.crt', '-CAkey', 'ca.key',
		'-CAcreateserial', '-days', '30', '-extfile', "$file.ext", '-out', "$file.crt");
}
chmod 0600, map { "$dir/$_.key" } qw(server client);

my $remote = make_server(
	'remote',
	tree => stock_prefix(),
	conf => [
		'ssl = on',
		"ssl_cert_file = '$dir/server.crt'",
		"ssl_key_file = '$dir/server.key'",
		"ssl_ca_file = '$dir/ca.crt'"
	],
	hba => [
		'hostssl certs certified 127.0.0.1/32 cert',
		'host certs all 127.0.0.1/32 reject',
		'hostssl secured all 127.0.0.1/32 scram-sha-256',
		'host secured all 127.0.0.1/32 reject'
	]);
my $local = make_server('local', env => { HOME => $dir });
my $admin = session($remote);
$admin->run("CREATE DATABASE secured; CREATE DATABASE certs; CREATE EXTENSION sslinfo;"
	  . "CREATE ROLE plain LOGIN PASSWORD '$secret'; CREATE ROLE certified LOGIN");
my $s = session($local);
$s->run('CREATE EXTENSION dblink; CREATE ROLE plain LOGIN');
my $plain = session($local, user => 'plain');

# The remote's own view of this connection.
my $view = "'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()'";

# A connection string: TCP to 127.0.0.1 under the host name given.
sub tls
{
	my (%opt) = @_;
	return lit(conninfo($remote, host => 'localhost', hostaddr => '127.0.0.1',
			dbname => 'secured', user => 'plain', password => $secret, %opt));
}

my $ca = "$dir/ca.crt";
my $stranger = "$dir/stranger.crt";
my @good = (
	[ 'require', sslmode => 'require' ],
	[ 'prefer', sslmode => 'prefer' ],
	[ 'verify-ca with the authority', sslmode => 'verify-ca', sslrootcert => $ca ],
	[ 'verify-full with the authority', sslmode => 'verify-full', sslrootcert => $ca ],
	[ 'verify-ca, other host name', sslmode => 'verify-ca', sslrootcert => $ca, host => 'elsewhere.invalid' ],
	[ 'TLS 1.3 only', sslmode => 'require', ssl_min_protocol_version => 'TLSv1.3' ],
	[ 'channel binding', sslmode => 'require', channel_binding => 'require' ]);
foreach my $case (@good)
{
	my ($name, %opt) = @$case;
	foreach my $who ([ 'superuser', $s ], [ 'plain role', $plain ])
	{
		# should work, encrypted
		rows_are($who->[1],
			"SELECT dblink_connect('c', " . tls(%opt) . ");"
			  . "SELECT x FROM dblink('c', $view) AS t(x bool); SELECT dblink_disconnect('c')",
			"OK\nt\nOK", "$name, $who->[0]");
	}
}

my @bad = (
	[ 'verify-full without the authority', qr/^root certificate file "[^"]*" does not exist\n/,
		sslmode => 'verify-full' ],
	[ 'verify-ca without the authority', qr/^root certificate file "[^"]*" does not exist\n/,
		sslmode => 'verify-ca' ],
	[ 'verify-full with another authority', qr/^SSL error: certificate verify failed$/,
		sslmode => 'verify-full', sslrootcert => $stranger ],
	[ 'require with another authority', qr/^SSL error: certificate verify failed$/,
		sslmode => 'require', sslrootcert => $stranger ],
	[ 'verify-full, other host name',
		qr/^server certificate for "localhost" does not match host name "elsewhere.invalid"$/,
		sslmode => 'verify-full', sslrootcert => $ca, host => 'elsewhere.invalid' ],
	[ 'no TLS', qr/^FATAL:  pg_hba.conf rejects connection for host "127.0.0.1", user "plain", database "secured", no encryption$/,
		sslmode => 'disable' ]);
foreach my $case (@bad)
{
	my ($name, $detail, %opt) = @$case;
	foreach my $who ([ 'superuser', $s ], [ 'plain role', $plain ])
	{
		# should fail, with libpq's reason
		my $r = fails_with($who->[1], "SELECT dblink_connect('c', " . tls(%opt) . ')',
			{ state => '08001', message => 'could not establish connection' },
			"$name, $who->[0]");
		my ($e) = grep { $_->{severity} eq 'ERROR' } @{ $r->{messages} };
		my $got = $e->{detail} || '';
		$got =~ s/^connection to server at [^,]*, port \d+ failed: //;
		like($got, $detail, "$name, $who->[0]: the reason");
	}
}

# A certificate of the client's: should work for a superuser, and is no
# password for a plain role.
my %cert = (dbname => 'certs', user => 'certified', sslmode => 'verify-full', sslrootcert => $ca);
my %own = (sslcert => "$dir/client.crt", sslkey => "$dir/client.key");
rows_are($s,
	'SELECT x FROM dblink(' . tls(%cert, %own, password => undef)
	  . ", 'SELECT client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()') AS t(x text)",
	'/CN=certified', 'a client certificate, superuser');
fails_with($plain, "SELECT dblink_connect('c', " . tls(%cert, %own) . ')',
	{ state => '2F003',
	  detail => qr/^Non-superusers? (?:cannot connect if the server does not request a password|may only connect using credentials)/ },
	'a client certificate, plain role with a password that nobody asks for');
fails_with($s, "SELECT dblink_connect('c', " . tls(%cert) . ')',
	{ state => '08001', detail => qr/FATAL:  connection requires a valid client certificate/ },
	'no client certificate');

# The same through a foreign server: the mapping may hold the client's files.
$s->run("CREATE SERVER tls FOREIGN DATA WRAPPER dblink_fdw OPTIONS (host 'localhost',"
	  . " hostaddr '127.0.0.1', port '" . $remote->port . "', dbname 'secured',"
	  . " sslmode 'verify-full', sslrootcert '$ca');"
	  . "CREATE USER MAPPING FOR plain SERVER tls OPTIONS (user 'plain', password '$secret');"
	  . 'GRANT USAGE ON FOREIGN SERVER tls TO plain');
rows_are($plain, "SELECT x FROM dblink('tls', $view) AS t(x bool)", 't', 'a foreign server with verify-full');
$s->run("ALTER SERVER tls OPTIONS (SET sslrootcert '$stranger')");
fails_with($plain, "SELECT dblink_connect('c', 'tls')",
	{ state => '08001', detail => qr/certificate verify failed/ },
	'a foreign server with another authority');

rows_are($s, 'SELECT dblink_get_connections() IS NULL', 't', 'nothing that failed is registered');
remote_quiet($remote, "datname IN ('secured', 'certs')", 'no session is left on the remote');
is(local_fds($s), local_fds(watch($local)), 'no socket is left');
$_->quit foreach $s, $plain, $admin;
done_testing();
