# A remote with a hot standby: reading from it, choosing between the two by
# target_session_attrs, and going over to it when the primary stops.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use DblinkTest;
use Counterpart;

my $primary = make_server('primary', tree => stock_prefix(),
	conf => [ 'wal_level = replica', 'max_wal_senders = 4', 'max_standby_streaming_delay = 0' ],
	hba => ['local replication all trust']);
my $admin = session($primary);
$admin->run('CREATE TABLE number AS SELECT i, i::text AS t FROM generate_series(1, 5000) i; CREATE SEQUENCE seq; CREATE TABLE gone AS SELECT 1 AS i');
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby', stock_prefix() ? (install_path => stock_prefix()) : ());
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', "listen_addresses = '127.0.0.1'");
$standby->start;
my $local = make_server('local');
my $s = session($local);
$s->run('CREATE EXTENSION dblink; CREATE ROLE plain LOGIN');
my $user = query_value($primary, 'SELECT current_user');

# A connection string for the list of both hosts.
sub both
{
	my (%opt) = @_;
	return lit(conninfo($primary, host => '127.0.0.1,127.0.0.1', port => $primary->port . ',' . $standby->port, user => $user, %opt));
}

# ---- reading -----------------------------------------------------------

my $to = lit(conninfo($standby, user => $user));
rows_are($s, "SELECT dblink_connect('c', $to); SELECT x FROM dblink('c', 'SELECT pg_is_in_recovery()') AS t(x bool)", "OK\nt", 'connected to the standby');
foreach my $format ('text', 'binary')
{
	rows_are($s, "SET dblink.result_format = $format; SELECT count(*), sum(i) FROM dblink('c', 'SELECT * FROM number') AS t(i int, t text)",
		'5000|12502500', "many rows, $format");
}
$s->run('RESET dblink.result_format');
rows_are($s, "SELECT dblink_open('c', 'cur', 'SELECT i FROM number ORDER BY i'); SELECT sum(i) FROM dblink_fetch('c', 'cur', 10) AS t(i int); SELECT dblink_close('c', 'cur')",
	"OK\n55\nOK", 'a cursor');
rows_are($s, "SELECT dblink_send_query('c', 'SELECT count(*) FROM number'); SELECT * FROM dblink_get_result('c') AS t(i int); SELECT * FROM dblink_get_result('c') AS t(i int)",
	"1\n5000", 'asynchronous');

# ---- writing: should fail with the remote's error ------------------------

fails_with($s, "SELECT dblink_exec('c', 'INSERT INTO number VALUES (0)')",
	{ state => '25006', message => 'cannot execute INSERT in a read-only transaction', context => qr/while executing command on dblink connection named "c"/ }, 'INSERT');
fails_with($s, "SELECT * FROM dblink('c', 'SELECT nextval(''seq'')') AS t(i int)",
	{ state => '25006', message => 'cannot execute nextval() in a read-only transaction' }, 'nextval()');
fails_with($s, "SELECT dblink_exec('c', 'CREATE TABLE x (i int)')", { state => '25006' }, 'CREATE TABLE');
rows_are($s, "SELECT dblink_exec('c', 'DELETE FROM number', false)", 'ERROR', 'fail_on_error = false');
rows_are($s, "SELECT x FROM dblink('c', 'SELECT 1') AS t(x int)", '1', 'the connection is usable');

# ---- a conflict with recovery -------------------------------------------

$s->run("SELECT dblink_send_query('c', 'SELECT pg_sleep(125), i FROM gone')");
poll_value($standby, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(125)%' AND wait_event = 'PgSleep'", 1);
$admin->run('DROP TABLE gone');
fails_with($s, "SELECT * FROM dblink_get_result('c') AS t(x text, i int)",
	{ state => '40001', message => 'canceling statement due to conflict with recovery', within => SLOW }, 'a conflict with recovery');
$s->run("SELECT * FROM dblink_get_result('c') AS t(x text, i int)");
rows_are($s, "SELECT x FROM dblink('c', 'SELECT 1') AS t(x int)", '1', 'the connection is usable after it');
rows_are($s, "SELECT dblink_disconnect('c')", 'OK', 'disconnected');

# ---- which of the two ------------------------------------------------------

my %standby_wanted = ('any' => 'f', 'read-write' => 'f', 'primary' => 'f', 'read-only' => 't', 'standby' => 't', 'prefer-standby' => 't');
foreach my $attrs (sort keys %standby_wanted)
{
	rows_are($s, 'SELECT x FROM dblink(' . both(target_session_attrs => $attrs) . ", 'SELECT pg_is_in_recovery()') AS t(x bool)",
		$standby_wanted{$attrs}, "target_session_attrs = $attrs");
}
fails_with($s, "SELECT dblink_connect('c', " . lit(conninfo($standby, user => $user, target_session_attrs => 'read-write')) . ')',
	{ state => '08001', detail => qr/session is read-only/ }, 'read-write, but there is only the standby');
fails_with($s, "SELECT dblink_connect('c', " . lit(conninfo($primary, user => $user, target_session_attrs => 'standby')) . ')',
	{ state => '08001', detail => qr/server is not in hot standby mode/ }, 'standby, but there is only the primary');

# the same in a foreign server
$s->run("CREATE SERVER pair FOREIGN DATA WRAPPER dblink_fdw OPTIONS (host '127.0.0.1,127.0.0.1', port '"
	  . $primary->port . ',' . $standby->port . "', dbname 'postgres', target_session_attrs 'prefer-standby');"
	  . "CREATE USER MAPPING FOR CURRENT_USER SERVER pair OPTIONS (user '$user')");
rows_are($s, "SELECT x FROM dblink('pair', 'SELECT pg_is_in_recovery()') AS t(x bool)", 't', 'a foreign server with prefer-standby');
$s->run("ALTER SERVER pair OPTIONS (SET target_session_attrs 'primary')");
rows_are($s, "SELECT x FROM dblink('pair', 'SELECT pg_is_in_recovery()') AS t(x bool)", 'f', 'a foreign server with primary');

# ---- the primary stops -------------------------------------------------------

rows_are($s, "SELECT dblink_connect('c', " . both() . '); SET dblink.keep_connections = 2;'
	  . 'SELECT x FROM dblink(' . both() . ", 'SELECT pg_is_in_recovery()') AS t(x bool)", "OK\nf", 'before: connected to the primary, one connection kept');
$s->run("SELECT dblink_send_query('c', 'SELECT pg_sleep(126)')");
poll_value($primary, "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(126)' AND state = 'active'", 1);
unwatch($primary);
$admin->quit;
$primary->stop('fast');
fails_with($s, "SELECT * FROM dblink_get_result('c') AS t(x text)",
	{ state => '57P01', message => 'terminating connection due to administrator command', within => SLOW }, 'stopped: the query ends with the reason');
rows_are($s, 'SELECT x FROM dblink(' . both() . ", 'SELECT pg_is_in_recovery()') AS t(x bool)", 't', 'stopped: the kept connection is not used, the standby answers');
fails_with($s, "SELECT * FROM dblink('pair', 'SELECT 1') AS t(x int)", { state => '08001', detail => qr/Connection refused.*session is read-only|Connection refused.*hot standby/s },
	'stopped: no primary, and both reasons are told');
rows_are($s, "SELECT dblink_disconnect('c'); SELECT dblink_connect('c', " . both() . "); SELECT x FROM dblink('c', 'SELECT count(*) FROM number') AS t(x int)",
	"OK\nOK\n5000", 'stopped: connected again, to the standby');

$standby->promote;
rows_are($s, "SELECT x FROM dblink('pair', 'SELECT pg_is_in_recovery()') AS t(x bool)", 'f', 'promoted: it is the primary');
rows_are($s, "SELECT dblink_exec('c', 'INSERT INTO number VALUES (0)')", 'INSERT 0 1', 'promoted: the connection that stands can write');
rows_are($s, "SET dblink.keep_connections = 0; SELECT dblink_disconnect('c')", 'OK', 'disconnected at the end');
healthy($s, 'the local session lives');
$s->quit;
done_testing();
