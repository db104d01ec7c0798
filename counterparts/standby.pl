# A remote with a hot standby: reading from it, choosing between the two by
# target_session_attrs, and going over to it when the primary stops. And a local server
# that is a hot standby.

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
my $local = make_server('local', conf => [ 'wal_level = replica', 'max_wal_senders = 4', 'max_standby_streaming_delay = 0' ], hba => ['local replication all trust']);
my $s = session($local);
$s->run('CREATE EXTENSION dblink2 CASCADE; CREATE ROLE plain LOGIN');
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
fails_with($s, "SELECT dblink_execute('c', 'DELETE FROM number WHERE i = \$1', 1)", { state => '25006', message => 'cannot execute DELETE in a read-only transaction' }, 'dblink_execute');
fails_with($s, "SELECT dblink_copy('c', 'number', 'SELECT 0 AS i, NULL AS t')", { state => '25006', message => 'cannot execute COPY during recovery' }, 'dblink_copy');
rows_are($s, "SELECT dblink_execute('c', 'SELECT \$1', 1)", '1', 'the connection is usable after both');

# what only reads should work, in a transaction that follows, too; the standby refuses
# what the primary would not: a serializable one
rows_are($s, "BEGIN; SELECT dblink_begin('c'); SELECT * FROM dblink_query('c', 'SELECT i, t FROM number WHERE i = \$1', 7) AS t(i int, t text); COMMIT", "OK\n7|7", 'dblink_begin');
fails_with($s, "BEGIN; SELECT dblink_begin('c'); SELECT dblink_execute('c', 'DELETE FROM number', false); COMMIT", { state => '25006' }, 'dblink_begin, and a DELETE');
fails_with($s, "ROLLBACK; BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT dblink_begin('c'); SELECT dblink_execute('c', 'SELECT 1')",
	{ state => '0A000', message => 'cannot use serializable mode in a hot standby' }, 'dblink_begin, serializable');
rows_are($s, "ROLLBACK; SELECT string_agg(column_name || ' ' || type_name, ' ') FROM dblink_describe('c', 'SELECT * FROM number')", 'i integer t text', 'dblink_describe');

# ---- the primary and the standby at once ---------------------------------

my $two = "'{p,c}'::text[]";
rows_are($s, "SELECT dblink_connect('p', " . lit(conninfo($primary, user => $user)) . ')', 'OK', 'connected to the primary, too');
poll_value($standby, "SELECT pg_last_wal_replay_lsn() >= " . lit(query_value($primary, 'SELECT pg_current_wal_lsn()')) . '::pg_lsn', 't');
rows_are($s, "SELECT conn, bool_and(standby), sum(i) FROM dblink_gather($two, 'SELECT pg_is_in_recovery(), i FROM number WHERE i > \$1', 10) AS t(conn text, standby bool, i int) GROUP BY 1 ORDER BY 1",
	"c|t|12502445\np|f|12502445", 'dblink_gather of both');
fails_with($s, "SELECT * FROM dblink_gather($two, 'INSERT INTO number VALUES (0)') AS t(conn text, x text)", { state => '25006', context => qr/named "c"/ }, 'dblink_gather of a command');
rows_are($s, "SET dblink.gather_failures = skip; SELECT * FROM dblink_gather($two, 'INSERT INTO number VALUES (\$1)', 0) AS t(conn text, x text); RESET dblink.gather_failures",
	'p|INSERT 0 1', 'dblink_gather, what failed is skipped');
rows_are($s, "SELECT dblink_execute('p', 'DELETE FROM number WHERE i = 0') > 0", 't', 'deleted');

# ---- a conflict with recovery -------------------------------------------

$s->run("SELECT dblink_send_query('c', 'SELECT pg_sleep(125), i FROM gone')");
poll_value($standby, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(125)%' AND wait_event = 'PgSleep'", 1);
$admin->run('DROP TABLE gone');
fails_with($s, "SELECT * FROM dblink_get_result('c') AS t(x text, i int)",
	{ state => '40001', message => 'canceling statement due to conflict with recovery', within => SLOW }, 'a conflict with recovery');
$s->run("SELECT * FROM dblink_get_result('c') AS t(x text, i int)");
rows_are($s, "SELECT x FROM dblink('c', 'SELECT 1') AS t(x int)", '1', 'the connection is usable after it');

# While rows of both stream, of which the primary has only one, and the standby waits
# after the last: the error should name the connection.
$admin->run("CREATE TABLE gone AS SELECT i, repeat('x', 10000) AS f FROM generate_series(1, 5000) i");
poll_value($standby, "SELECT to_regclass('gone') IS NOT NULL", 't');
$s->send("SET dblink.streaming = on; SELECT count(*) FROM dblink_gather($two, 'SELECT i, f FROM gone WHERE pg_is_in_recovery() OR i = 1 UNION ALL SELECT 0, pg_sleep(117)::text WHERE pg_is_in_recovery()') AS t(conn text, i int, f text)");
poll_value($standby, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'", 1);
$admin->run('DROP TABLE gone');
fails_with($s, $s->collect, { state => '40001', context => qr/named "c"/, within => SLOW * 2 }, 'a conflict with recovery while rows stream');
rows_are($s, "SELECT conn, x FROM dblink_gather($two, 'SELECT 1') AS t(conn text, x int) ORDER BY 1", "c|1\np|1", 'both connections are usable after it');
rows_are($s, "SELECT dblink_disconnect(c) FROM unnest($two) c", "OK\nOK", 'disconnected');

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

# ---- a local server that is a standby -----------------------------------------

$s->run("CREATE TABLE mine AS SELECT i, i::text AS t FROM generate_series(6001, 7000) i; CREATE TABLE read AS SELECT 1 AS i; CREATE SERVER here FOREIGN DATA WRAPPER dblink_fdw OPTIONS (loopback 'on')");
$local->backup('base');
my $here = PostgreSQL::Test::Cluster->new('here');
$here->init_from_backup($local, 'base', has_streaming => 1);
$here->start;
my $h = session($here);
my $sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(118)' AND state = 'active'";
rows_are($h, "SELECT dblink_connect(c, " . lit(conninfo($primary, user => $user)) . ") FROM unnest('{p,q}'::text[]) c; SELECT connname, kind, state, closed FROM dblink_connections()",
	"OK\nOK\np|named|idle|f\nq|named|idle|f", 'here: dblink_connections');
rows_are($h, "SELECT dblink_execute('p', 'INSERT INTO number VALUES (\$1)', 6000); SELECT * FROM dblink_query_as(NULL::mine, 'p', 'SELECT i, t FROM number WHERE i = \$1', 6000)",
	"1\n6000|", 'here: the remote is written to');
rows_are($h, "SELECT conn, sum(i) FROM dblink_gather('{p,q}', 'SELECT i FROM number WHERE i <= 5000') AS t(conn text, i int) GROUP BY 1 ORDER BY 1", "p|12502500\nq|12502500", 'here: dblink_gather');
rows_are($h, "SELECT dblink_copy('p', 'number', 'SELECT i, t FROM mine')", '1000', 'here: dblink_copy to a primary');
fails_with($h, "SELECT dblink_copy('p', 'number', 'DELETE FROM mine RETURNING i, t')", { state => '25006' }, 'here: dblink_copy of what changes something here');
rows_are($h, "SELECT dblink_execute('p', 'DELETE FROM number WHERE i >= \$1', 6000)", '1001', 'here: it has left no rows');

# a transaction on a standby is read-only, and so is the one that follows it
rows_are($h, "BEGIN; SELECT dblink_begin('p'); SELECT * FROM dblink('p', 'SHOW transaction_read_only') AS t(x text); COMMIT", "OK\non", 'here: dblink_begin is READ ONLY');
fails_with($h, "BEGIN; SELECT dblink_begin('p'); SELECT dblink_execute('p', 'INSERT INTO number VALUES (6000)')", { state => '25006' }, 'here: dblink_begin, and an INSERT');
no_error($h, 'ROLLBACK', 'here: rolled back');

# loopback leads to the standby, whose sessions can read
rows_are($h, "SELECT x FROM dblink('here', 'SELECT pg_is_in_recovery()') AS t(x bool)", 't', 'here: loopback');
is($h->run("SELECT pid FROM dblink('here', 'SELECT pg_backend_pid()') AS t(pid int)")->{out}, $h->run("SELECT pid FROM dblink('here', 'SELECT pg_backend_pid()') AS t(pid int)")->{out}, 'here: loopback, the connection is kept');
fails_with($h, "SELECT dblink_execute('here', 'INSERT INTO mine VALUES (\$1)', 0)", { state => '25006' }, 'here: loopback, an INSERT');
fails_with($h, "BEGIN; SELECT pg_advisory_xact_lock(1); SELECT dblink_execute('here', 'SELECT pg_advisory_xact_lock(1)')", { state => '40P01', within => SLOW }, 'here: loopback, a deadlock with itself');

# a conflict of our session with recovery should end what it waits for
$h->send("ROLLBACK; BEGIN; SELECT i FROM read; SELECT * FROM dblink_gather('{p,q}', 'SELECT pg_sleep(118)') AS t(conn text, x text)");
poll_value($primary, $sleeping, 2);
$s->run('DROP TABLE read');
fails_with($h, $h->collect, { state => '40001', message => 'canceling statement due to conflict with recovery', within => SLOW * 2 }, 'here: a conflict with recovery in dblink_gather');
is(poll_value($primary, $sleeping, 0, SLOW), 0, 'here: the remote statements are cancelled');
rows_are($h, "ROLLBACK; SELECT conn, x FROM dblink_gather('{p,q}', 'SELECT 1') AS t(conn text, x int) ORDER BY 1", "p|1\nq|1", 'here: both connections are usable');

# promoted: the same session, and its kept connection, can write
$here->promote;
poll_until(sub { $h->run('SELECT pg_is_in_recovery()')->{out} eq 'f' });
rows_are($h, "SELECT dblink_execute('here', 'INSERT INTO mine VALUES (\$1)', 0)", '1', 'here: promoted, loopback');
rows_are($h, "BEGIN; SELECT dblink_begin('p'); SELECT dblink_execute('p', 'INSERT INTO number VALUES (6000)'); COMMIT; SELECT dblink_execute('p', 'DELETE FROM number WHERE i = 6000')", "OK\n1\n1", 'here: promoted, dblink_begin');
healthy($h, 'here: the session lives');
$h->quit;

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
