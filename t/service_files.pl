# A superuser may rest on what libpq finds by itself: service file, password
# file, environment of the server.
# streaming: any

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $secret = 'from-a-file';
my $remote = make_server(
	'remote',
	tree => stock_prefix(),
	hba => ['host secured all 127.0.0.1/32 scram-sha-256']);
my $admin = session($remote);
$admin->run("CREATE DATABASE secured; CREATE ROLE filed LOGIN PASSWORD '$secret'");

my $port = $remote->port;
append_to_file("$dir/service", <<"END");
[complete]
host=127.0.0.1
port=$port
dbname=secured
user=filed
password=$secret
application_name=from_service
[partial]
host=127.0.0.1
port=$port
dbname=secured
user=filed
[misspelt]
host=127.0.0.1
nonsense=1
END
append_to_file("$dir/pass", "127.0.0.1:$port:secured:filed:$secret\n");
append_to_file("$dir/pass_wrong", "127.0.0.1:$port:secured:filed:not-it\n");
append_to_file("$dir/pass_open", "127.0.0.1:$port:secured:filed:$secret\n");
chmod 0600, "$dir/pass", "$dir/pass_wrong";
chmod 0644, "$dir/pass_open";

my $local = make_server('local', env => { PGSERVICEFILE => "$dir/service", HOME => $dir });
my $s = session($local);
$s->run('CREATE EXTENSION dblink');
my $who = "'SELECT current_user, current_database()'";
my $string = "host=127.0.0.1 port=$port dbname=secured user=filed";

# should work: everything comes from the service
rows_are($s, "SELECT dblink_connect('c', 'service=complete');"
	  . "SELECT * FROM dblink('c', $who) AS t(u name, d name);"
	  . "SELECT * FROM dblink('c', 'SHOW application_name') AS t(a text)",
	"OK\nfiled|secured\nfrom_service", 'a service with a password');
rows_are($s, "SELECT * FROM dblink('service=complete', $who) AS t(u name, d name)",
	'filed|secured', 'a service, for one call');
# should work: the string goes before the service
rows_are($s, "SELECT * FROM dblink('service=complete application_name=mine', 'SHOW application_name') AS t(a text)",
	'mine', 'an option of the string goes before that of the service');
# should work: the service says where, the file holds the password
rows_are($s, "SELECT * FROM dblink('service=partial passfile=$dir/pass', $who) AS t(u name, d name)",
	'filed|secured', 'a service and a password file');
rows_are($s, "SELECT * FROM dblink('$string passfile=$dir/pass', $who) AS t(u name, d name)",
	'filed|secured', 'a password file');

# should fail, with libpq's reasons
my $failed = "connection to server at \"127.0.0.1\", port $port failed: ";
my %bad = (
	"service=unheard" => 'definition of service "unheard" not found',
	"service=misspelt" => qr/^syntax error in service file "\Q$dir\E\/service", line \d+$/,
	"$string passfile=/dev/null" => "${failed}fe_sendauth: no password supplied",
	"$string passfile=$dir/pass_open" => "${failed}fe_sendauth: no password supplied",
	"$string passfile=$dir/pass_wrong" =>
	  qr/^\Q$failed\EFATAL:  password authentication failed for user "filed"\n.*\Q$dir\E\/pass_wrong/s,
	"service=partial passfile=/dev/null" => "${failed}fe_sendauth: no password supplied");
foreach my $bad (sort keys %bad)
{
	fails_with($s, "SELECT dblink_connect('d', '$bad')",
		{ state => '08001', message => 'could not establish connection', detail => $bad{$bad}, hint => undef },
		$bad =~ s/\Q$dir\E//r =~ s/\d+/N/gr);
}
rows_are($s, 'SELECT dblink_get_connections()', '{c}', 'none of them is registered');

# should work: a foreign server may name a service for a superuser, and the
# mapping's user goes before the service's
$s->run("CREATE SERVER served FOREIGN DATA WRAPPER dblink_fdw OPTIONS (service 'partial', passfile '$dir/pass');"
	  . "CREATE USER MAPPING FOR CURRENT_USER SERVER served OPTIONS (user 'filed')");
rows_are($s, "SELECT * FROM dblink('served', $who) AS t(u name, d name)", 'filed|secured',
	'a foreign server with a service');

# should work: the file in the home directory of the server
$s->quit;
append_to_file("$dir/.pgpass", "127.0.0.1:$port:secured:filed:$secret\n");
chmod 0600, "$dir/.pgpass";
$s = session($local);
rows_are($s, "SELECT * FROM dblink('$string', $who) AS t(u name, d name)", 'filed|secured',
	'the password file in the home directory');

# should work: the environment of the server; the string goes before it
unlink "$dir/.pgpass";
$s->quit;
unwatch($local);
$local->stop;
{
	local %ENV = (%ENV, PGPASSWORD => $secret, PGUSER => 'filed', HOME => $dir);
	$local->start;
}
my $os_user = getpwuid($<);
$s = session($local, user => $os_user);
rows_are($s, "SELECT * FROM dblink('host=127.0.0.1 port=$port dbname=secured', $who) AS t(u name, d name)",
	'filed|secured', 'user and password from the environment');
fails_with($s, "SELECT dblink_connect('d', '$string password=other')",
	{ state => '08001', detail => qr/password authentication failed/ }, 'the string goes before the environment');

# should work: an empty string is legal and means what libpq's defaults say:
# here, the server's own PGHOST and PGPORT, and the user of PGUSER, who does
# not exist on this side
fails_with($s, "SELECT dblink_connect('d', '')",
	{ state => '08001', detail => qr/FATAL:  role "filed" does not exist/ },
	'an empty string means libpq\'s defaults');

remote_quiet($remote, "datname = 'secured'", 'no session is left on the remote');
$_->quit foreach $s, $admin;
done_testing();
