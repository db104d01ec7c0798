# TLS as a certificate authority of one's own does it: verify-full, client
# certificates, and what is wrong, foreign, or revoked.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;
use Counterpart;

my $dir = certificates();
my $secret = 'Tls-passw0rd';
my @tls = ('ssl = on', "ssl_cert_file = '$dir/server.crt'", "ssl_key_file = '$dir/server.key'", "ssl_ca_file = '$dir/ca.crt'", "ssl_crl_file = '$dir/crl.pem'");
my @hba = ('hostssl certs certified 127.0.0.1/32 cert', 'hostssl twice certified 127.0.0.1/32 scram-sha-256 clientcert=verify-full', 'host all all 127.0.0.1/32 reject');
my $remote = make_server('remote', tree => stock_prefix(), conf => \@tls, hba => \@hba);
my $revoked = make_server('revoked', tree => stock_prefix(), hba => \@hba,
	conf => [ 'ssl = on', "ssl_cert_file = '$dir/revoked_server.crt'", "ssl_key_file = '$dir/revoked_server.key'", "ssl_ca_file = '$dir/ca.crt'" ]);
my $local = make_server('local', env => { HOME => $dir });
foreach my $node ($remote, $revoked)
{
	my $admin = session($node);
	$admin->run("CREATE DATABASE certs; CREATE DATABASE twice; CREATE ROLE certified LOGIN PASSWORD '$secret'");
	$admin->quit;
}
my $s = session($local);
$s->run('CREATE EXTENSION dblink; CREATE ROLE plain LOGIN');
my $plain = session($local, user => 'plain');

# A connection string to localhost with verify-full and the client's certificate.
sub tls
{
	my (%opt) = @_;
	my $node = delete $opt{node} || $remote;
	return lit(conninfo($node, host => 'localhost', hostaddr => '127.0.0.1', dbname => 'certs', user => 'certified', sslmode => 'verify-full',
			sslrootcert => "$dir/ca.crt", sslcert => "$dir/client.crt", sslkey => "$dir/client.key", %opt));
}

my $view = "'SELECT ssl, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()'";
foreach my $format ('text', 'binary')
{
	rows_are($s, "SET dblink.result_format = $format; SELECT * FROM dblink(" . tls() . ", $view) AS t(e bool, dn text)", 't|/CN=certified', "verify-full and a client certificate, $format");
	rows_are($s, 'SELECT count(*), sum(length(x)) FROM dblink(' . tls() . ", 'SELECT repeat(''x'', 1000) FROM generate_series(1, 20000)') AS t(x text)", '20000|20000000', "20 MB through TLS, $format");
}
$s->run('RESET dblink.result_format');
rows_are($s, "SELECT dblink_connect('c', " . tls() . "); SELECT dblink_send_query('c', 'SELECT pg_sleep(127)'); SELECT dblink_is_busy('c')", "OK\n1\n1", 'asynchronous');
ok(poll_until(sub { $s->run("SELECT dblink_cancel_query('c')"); $s->run("SELECT dblink_is_busy('c')")->{out} eq '0' }, SLOW), 'cancelled');
rows_are($s, "SELECT dblink_disconnect('c')", 'OK', 'disconnected');

# a password and a certificate: a plain role may do that
my %twice = (dbname => 'twice', password => $secret);
rows_are($s, 'SELECT * FROM dblink(' . tls(%twice) . ", $view) AS t(e bool, dn text)", 't|/CN=certified', 'a certificate and a password');
rows_are($plain, 'SELECT * FROM dblink(' . tls(%twice) . ", $view) AS t(e bool, dn text)", 't|/CN=certified', 'a plain role with a certificate and a password');
fails_with($plain, 'SELECT * FROM dblink(' . tls(password => $secret) . ", $view) AS t(e bool, dn text)", { state => '2F003' }, 'a plain role with a certificate alone is refused');
fails_with($s, "SELECT dblink_connect('c', " . tls(dbname => 'twice', password => 'wrong') . ')', { state => '08001', detail => qr/password authentication failed/ }, 'the wrong password');

# what must not connect, and libpq's reason
my @bad = (
	[ 'an authority that did not sign', qr/certificate verify failed/, sslrootcert => "$dir/stranger.crt" ],
	[ 'another host name', qr/server certificate for "localhost" does not match host name "other.invalid"/, host => 'other.invalid' ],
	[ 'an address that is not in the certificate', qr/does not match host name "127.0.0.1"/, host => '127.0.0.1' ],
	[ 'a missing file of the authority', qr/root certificate file ".*" does not exist/, sslrootcert => "$dir/none.crt" ],
	[ 'no client certificate', qr/connection requires a valid client certificate/, sslcert => "$dir/none.crt" ],
	[ 'a certificate without its key', qr/certificate present, but not private key file/, sslkey => "$dir/none.key" ],
	[ 'a key of another certificate', qr/does not match|key values mismatch/, sslkey => "$dir/server.key" ],
	[ 'a certificate for another name', qr/certificate authentication failed|FATAL/, sslcert => "$dir/server.crt", sslkey => "$dir/server.key" ],
	[ 'a client certificate that was revoked', qr/certificate revoked|revoked/, sslcert => "$dir/revoked_client.crt", sslkey => "$dir/revoked_client.key" ],
	[ 'a server certificate that was revoked', qr/certificate verify failed/, node => $revoked, sslcrl => "$dir/crl.pem" ],
	[ 'no TLS at all', qr/pg_hba.conf rejects connection.*no encryption/, sslmode => 'disable' ]);
foreach my $case (@bad)
{
	my ($name, $detail, %opt) = @$case;
	fails_with($s, "SELECT dblink_connect('c', " . tls(%opt) . ')', { state => '08001', message => 'could not establish connection', detail => $detail }, "refused: $name");
}
rows_are($s, "SELECT x FROM dblink(" . tls(node => $revoked) . ", 'SELECT 1') AS t(x int)", '1', 'without the list of revoked ones nobody notices');

# the same in a foreign server: the mapping takes user and password, and no files
$s->run("CREATE SERVER tls FOREIGN DATA WRAPPER dblink_fdw OPTIONS (host 'localhost', hostaddr '127.0.0.1', port '" . $remote->port
	  . "', dbname 'certs', sslmode 'verify-full', sslrootcert '$dir/ca.crt', sslcrl '$dir/crl.pem', sslcert '$dir/client.crt', sslkey '$dir/client.key');"
	  . "CREATE USER MAPPING FOR CURRENT_USER SERVER tls OPTIONS (user 'certified')");
rows_are($s, "SELECT * FROM dblink('tls', $view) AS t(e bool, dn text)", 't|/CN=certified', 'a foreign server with a client certificate');
rows_are($s, 'SELECT dblink_get_connections() IS NULL', 't', 'nothing that failed is registered');
is(local_fds($s), local_fds(watch($local)), 'no socket is left');
healthy($s, 'the local session lives');
$_->quit foreach $s, $plain;
done_testing();
