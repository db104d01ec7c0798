# PgBouncer in front of the remote, in session and in transaction mode; and in
# front of the local server.
#
# packages: pgbouncer

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use DblinkTest;
use Counterpart;

needs('pgbouncer');

my $dir = certificates();
my ($local, $remote) = make_pair();
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $secret = 'Pooled-passw0rd';
my $log = "$dir/pgbouncer.log";

# Two sessions on the remote in each pool, used in turns: so in transaction mode
# the second exchange of a client is not with the session of the first. That they are
# in turns depends on server_check_delay: a session that nobody used for so long is
# put aside, and taken only when no other is free. In "shared", our role is the client's.
write_file('users.txt', qq("app" "$secret"\n));
my $remote_at = 'host=' . $remote->host . ' port=' . $remote->port . ' dbname=postgres user=' . query_value($remote, 'SELECT current_user');
my $local_at = 'host=' . $local->host . ' port=' . $local->port . ' dbname=postgres user=' . query_value($local, 'SELECT current_user');
my $ini = write_file('pgbouncer.ini', <<"END");
[databases]
session = $remote_at pool_mode=session
transaction = $remote_at pool_mode=transaction
one = $remote_at pool_mode=transaction pool_size=1
behind = $local_at pool_mode=session pool_size=1
shared = host=@{[ $local->host ]} port=@{[ $local->port ]} dbname=postgres pool_mode=transaction
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = scram-sha-256
auth_file = $dir/users.txt
stats_users = app
default_pool_size = 2
min_pool_size = 2
server_round_robin = 1
server_check_delay = 86400
client_tls_sslmode = allow
client_tls_key_file = $dir/server.key
client_tls_cert_file = $dir/server.crt
log_connections = 1
END
my $pooler = start_program('pgbouncer', $port, 'pgbouncer', $ini);

# A connection string for one of the pooler's databases.
sub pooled
{
	my ($db, %opt) = @_;
	return lit(conninfo($remote, host => 'localhost', hostaddr => '127.0.0.1', port => $port, dbname => $db,
			user => 'app', password => $secret, sslmode => 'disable', %opt));
}

# Should find the pool's sessions free, all of them, although connections stand: what a
# call leaves taken is missing to others, up to the end of its connection.
my $front = Counterpart::Node->new('pooler', $port);
my %client = (env => { PGPASSWORD => $secret, PGUSER => 'app' });
my $console = session($front, %client, db => 'pgbouncer');

sub released
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $taken;
	poll_until(sub {
		my @pool = grep { /^S\|[^|]*\|transaction\|/ } split /\n/, $console->run('SHOW SERVERS')->{out};
		$taken = @pool ? grep({ !/\|idle\|/ } @pool) : 'no session at all';
		return $taken eq '0';
	}, SLOW);
	return is($taken, 0, "$name: no session of the pool is taken");
}

# Waits until both sessions of a pool are used in turns. One may be missing: the pooler
# closes it with a client that goes before its answer is there, as a kept connection
# does, and opens another a moment later.
sub in_turns
{
	my ($client, $sql, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(poll_until(sub { $client->run($sql)->{out} ne $client->run($sql)->{out} }), $name);
}

# Which of the remote's sessions answers.
my $pid_sql = "SELECT pid FROM dblink('c', 'SELECT pg_backend_pid()') AS t(pid int)";

my $s = session($local);
$s->run('CREATE ROLE plain LOGIN; CREATE EXTENSION dblink2');
my $plain = session($local, user => 'plain');
my $admin = session($remote);
$admin->run('CREATE TABLE number AS SELECT i, i::text AS t, i * 1.5 AS n FROM generate_series(1, 2000) i');

# What dblink2 has beside parameters: several connections, rows to the remote, and
# transactions there that follow ours. The pool has as many sessions as we have
# connections.
sub dblink2_calls
{
	my ($mode, $to) = @_;
	my $two = "'{c,d}'::text[]";
	my $made = "SELECT count(*), sum(i) FROM dblink_query('c', 'SELECT i FROM made_$mode WHERE i >= \$1', 1000) AS t(i int)";
	my $sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(119)' AND state = 'active'";
	my $usable = "SELECT string_agg(conn || x, ' ' ORDER BY conn) FROM dblink_gather($two, 'SELECT \$1', 7) AS t(conn text, x int)";

	rows_are($s, "SELECT dblink_connect('d', $to)", 'OK', "$mode: a second connection");
	foreach my $format ('text', 'binary')
	{
		rows_are($s, "SET dblink.result_format = $format; SELECT conn, count(*), sum(i) FROM dblink_gather($two, 'SELECT i FROM number WHERE i > \$1', 10) AS t(conn text, i int)"
			  . ' GROUP BY 1 ORDER BY 1; RESET dblink.result_format', "c|1990|2000945\nd|1990|2000945", "$mode: dblink_gather, $format");
	}
	rows_are($s, "SELECT count(*) FROM (SELECT 1 FROM dblink_gather($two, 'SELECT i FROM number') AS t(conn text, i int) LIMIT 3) q; $usable", "3\nc7 d7", "$mode: dblink_gather ends early");
	fails_with($s, "SELECT * FROM dblink_gather($two, 'SELECT 1 / (1500 - i) FROM number') AS t(conn text, i int)", { state => '22012' }, "$mode: dblink_gather, an error in mid-result");
	fails_with($s, "BEGIN; SET LOCAL statement_timeout = '1s'; SELECT * FROM dblink_gather($two, 'SELECT pg_sleep(119)') AS t(conn text, x text)",
		{ state => '57014', within => SLOW }, "$mode: dblink_gather, statement_timeout");
	rows_are($s, "ROLLBACK; $usable", 'c7 d7', "$mode: both connections are usable");
	is(poll_value($remote, $sleeping, 0, SLOW), 0, "$mode: and nothing runs on the remote");

	# the answer that is there should be the first, though the other was asked before
	rows_are($s, "SELECT dblink_send_query('c', 'SELECT pg_sleep(119)'), dblink_send_query('d', 'SELECT \$1', 42); SELECT dblink_wait($two);"
		  . "SELECT * FROM dblink_gather('{d}') AS t(conn text, x int); SELECT dblink_wait('{c}', '10 ms') IS NULL", "1|1\nd\nd|42\nt", "$mode: dblink_wait");
	is(poll_value($remote, $sleeping, 1), 1, "$mode: the other runs");
	$s->run("SELECT dblink_cancel_query('c')");
	fails_with($s, "SELECT * FROM dblink_gather('{c}') AS t(conn text, x text)", { state => '57014', within => SLOW }, "$mode: it is cancelled, and gathered");


	# rows to the remote: all, or none
	rows_are($s, "SELECT dblink_copy('c', 'made_$mode', 'SELECT i FROM generate_series(1001, 4000) i'); $made", "3000\n3000|7501500", "$mode: dblink_copy");
	fails_with($s, "SELECT dblink_copy('c', 'made_$mode', 'SELECT 1000 / (3000 - i) AS i FROM generate_series(1, 4000) i')", { state => '22012' }, "$mode: dblink_copy, an error here");
	fails_with($s, "SELECT dblink_copy('c', 'made_$mode', 'SELECT CASE i WHEN 3000 THEN ''x'' ELSE ''5000'' END AS i FROM generate_series(1, 4000) i')", { state => '22P02' }, "$mode: dblink_copy, an error there");
	rows_are($s, $made, '3000|7501500', "$mode: neither has left rows");
	rows_are($s, "SELECT dblink_copy('c', 'made_$mode', \$\$SELECT i FROM dblink('d', 'SELECT i FROM number WHERE i > 1000') AS t(i int)\$\$); $made", "1000\n4000|9002000", "$mode: dblink_copy from one connection to another");

	released($mode) if $mode eq 'transaction';

	# with COMMIT and ROLLBACK here, both there
	rows_are($s, "BEGIN; SELECT dblink_begin(c) FROM unnest($two) c; SELECT dblink_execute(c, 'DELETE FROM made_$mode WHERE i = \$1', i) FROM unnest($two, ARRAY[2000, 3000]) v(c, i);"
		  . "SAVEPOINT one; SELECT dblink_execute('c', 'DELETE FROM made_$mode WHERE i BETWEEN 3500 AND 3600'); ROLLBACK TO one; SELECT dblink_copy('c', 'made_$mode', 'SELECT 9000 AS i'); COMMIT; $made",
		"OK\nOK\n2\n1\n101\n1\n3998|9004000", "$mode: dblink_begin, and COMMIT");
	rows_are($s, "BEGIN; SELECT dblink_begin(c) FROM unnest($two) c; SELECT dblink_execute('c', 'DELETE FROM made_$mode WHERE i = 1001'); ROLLBACK; $made", "OK\nOK\n2\n3998|9004000", "$mode: dblink_begin, and ROLLBACK");
	fails_with($s, "BEGIN; SELECT dblink_begin(c) FROM unnest($two) c; SELECT dblink_execute('c', 'DELETE FROM made_$mode WHERE i = 1001'); SELECT dblink_exec('d', 'SELECT 1/0', false); COMMIT",
		{ state => '25P02' }, "$mode: dblink_begin, and a transaction that has failed");
	rows_are($s, "ROLLBACK; $made; $usable", "3998|9004000\nc7 d7", "$mode: it has taken the other with it");
	rows_are($s, "SELECT dblink_execute('c', 'DELETE FROM made_$mode WHERE i >= 1000')", '3998', "$mode: all of them deleted");

	# a LISTEN is the session's of the pool: in transaction mode there is no error, and no notification
	$s->run("SELECT dblink_exec('c', 'LISTEN news')");
	$admin->run("NOTIFY news, 'here'");
	rows_are($s, "SELECT notify_name, extra FROM dblink_get_notify('c', '" . ($mode eq 'session' ? '1 min' : '100 ms') . "')", $mode eq 'session' ? 'news|here' : '', "$mode: dblink_get_notify");
	$s->run("SELECT dblink_exec(c, 'UNLISTEN *') FROM unnest($two) c");
	my $r = $s->run(q(SET dblink.forward_notices = on; SELECT dblink_execute('c', 'DO $$BEGIN RAISE NOTICE $m$half done$m$; END$$') IS NULL; RESET dblink.forward_notices));
	is($r->{messages}[0]{message}, 'half done', "$mode: a notice");
	like($r->{messages}[0]{context}, qr/received on dblink connection named "c"/, "$mode: and whose it is");
	rows_are($s, "SELECT dblink_connect('c', $to, reuse => true), dblink_connect('d', $to, reuse => true); SELECT connname, state, closed FROM dblink_connections()", "OK|OK\nc|idle|f\nd|idle|f", "$mode: both are usable again");
	released($mode) if $mode eq 'transaction';
	rows_are($s, "SELECT dblink_disconnect('d')", 'OK', "$mode: one disconnected");
	return;
}

foreach my $mode ('session', 'transaction')
{
	my $to = pooled($mode);

	# nothing that we send at the start is refused
	rows_are($s, "SELECT x FROM dblink($to, 'SELECT 42') AS t(x int)", '42', "$mode: one call");
	rows_are($plain, "SELECT x FROM dblink($to, 'SELECT 42') AS t(x int)", '42', "$mode: one call of a plain role, with the pooler's password");
	rows_are($s, "SELECT x FROM dblink(" . pooled($mode, sslmode => 'verify-full', sslrootcert => "$dir/ca.crt") . ", 'SELECT 42') AS t(x int)",
		'42', "$mode: TLS with verify-full, to the pooler");
	rows_are($s, "SELECT dblink_connect('c', $to)", 'OK', "$mode: a named connection");
	if ($mode eq 'session')
	{
		is($s->run($pid_sql)->{out}, $s->run($pid_sql)->{out}, 'session: one session on the remote');
	}
	else
	{
		in_turns($s, $pid_sql, 'transaction: sessions on the remote in turns');
	}
	rows_are($s, "SELECT count(*), sum(i), sum(n) FROM dblink('c', 'SELECT * FROM number') AS t(i int, t text, n numeric)",
		'2000|2001000|3001500.0', "$mode: many rows");
	rows_are($s, "SELECT x FROM dblink('c', 'SELECT ''\xc3\xa9\xe2\x82\xac''') AS t(x text)", "\xc3\xa9\xe2\x82\xac", "$mode: UTF8");
	fails_with($s, "SELECT * FROM dblink('c', 'SELECT 1/0') AS t(x int)",
		{ state => '22012', message => 'division by zero', context => qr/on dblink connection named "c"$/ }, "$mode: a remote error");
	rows_are($s, "SELECT * FROM dblink_query('c', 'SELECT \$1 + 1, \$2', 41, 'x') AS t(i int, t text)", '42|x', "$mode: parameters");
	rows_are($s, "SELECT dblink_execute('c', 'SELECT generate_series(1, \$1)', g) FROM generate_series(1, 5) g", "1\n2\n3\n4\n5", "$mode: commands with parameters, in turns");
	rows_are($s, "SELECT sum(i) FROM dblink_query_as(NULL::int, 'c', 'SELECT i FROM number WHERE i = ANY (\$1)', ARRAY[1, 2, 3]) i", '6', "$mode: rows of a type");
	rows_are($s, "SELECT string_agg(type_name, ' ') FROM dblink_describe('c', 'SELECT * FROM number')", 'integer text numeric', "$mode: a description");
	rows_are($s, "SELECT dblink_exec('c', 'CREATE TABLE made_$mode (i int)'); SELECT dblink_exec('c', 'INSERT INTO made_$mode SELECT 1')",
		"CREATE TABLE\nINSERT 0 1", "$mode: commands");

	dblink2_calls($mode, $to);

	# a block on the remote: the pooler leaves us its session up to the end
	rows_are($s, "SELECT dblink_exec('c', 'BEGIN'); SELECT dblink_exec('c', 'INSERT INTO made_$mode SELECT 2');"
		  . "SELECT n FROM dblink('c', 'SELECT count(*) FROM made_$mode') AS t(n int); SELECT dblink_exec('c', 'ROLLBACK');"
		  . "SELECT n FROM dblink('c', 'SELECT count(*) FROM made_$mode') AS t(n int)",
		"BEGIN\nINSERT 0 1\n2\nROLLBACK\n1", "$mode: a transaction block");
	rows_are($s, "SELECT dblink_open('c', 'cur', 'SELECT i FROM number ORDER BY i'); SELECT * FROM dblink_fetch('c', 'cur', 2) AS t(i int);"
		  . "SELECT sum(i) FROM dblink_fetch('c', 'cur', 1000) AS t(i int); SELECT dblink_close('c', 'cur')",
		"OK\n1\n2\n502500\nOK", "$mode: a cursor");
	rows_are($s, "SELECT dblink_send_query('c', 'SELECT i FROM number WHERE i < 3; SELECT 7');"
		  . "SELECT * FROM dblink_get_result('c') AS t(i int); SELECT * FROM dblink_get_result('c') AS t(i int);"
		  . "SELECT * FROM dblink_get_result('c') AS t(i int); SELECT dblink_is_busy('c')",
		"1\n1\n2\n7\n0", "$mode: asynchronous, two statements");
	# a stream, and commands on the same connection between its rows
	rows_are($s, "DO \$\$ DECLARE r record; n int := 0; BEGIN FOR r IN SELECT i FROM dblink('c', 'SELECT i FROM number') AS t(i int) LOOP"
		  . " IF r.i % 500 = 0 THEN PERFORM dblink_exec('c', 'INSERT INTO made_$mode VALUES (' || r.i || ')'); END IF; n := n + 1; END LOOP;"
		  . " RAISE NOTICE 'rows %', n; END \$\$; SELECT n FROM dblink('c', 'SELECT count(*) FROM made_$mode') AS t(n int)",
		'5', "$mode: commands while rows stream");

	# cancelling goes through the pooler
	rows_are($s, "SELECT dblink_send_query('c', 'SELECT pg_sleep(120)')", '1', "$mode: a long query");
	poll_value($remote, "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(120)' AND state = 'active'", 1);
	rows_are($s, "SELECT dblink_cancel_query('c')", 'OK', "$mode: dblink_cancel_query");
	fails_with($s, "SELECT * FROM dblink_get_result('c') AS t(x text)", { state => '57014', within => SLOW }, "$mode: it is cancelled");
	rows_are($s, "SELECT * FROM dblink_get_result('c') AS t(x text)", '', "$mode: and over");
	$s->run("SET statement_timeout = '1s'");
	fails_with($s, "SELECT * FROM dblink('c', 'SELECT pg_sleep(121)') AS t(x text)", { state => '57014', within => SLOW }, "$mode: statement_timeout");
	$s->run('RESET statement_timeout');
	is(poll_value($remote, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(121)' AND state = 'active'", 0, SLOW),
		0, "$mode: the remote statement is cancelled");
	rows_are($s, "SELECT x FROM dblink('c', 'SELECT 1') AS t(x int)", '1', "$mode: the connection is usable");

	# binary: a statement is described and run in two exchanges
	$s->run("SET dblink.result_format = 'binary'");
	rows_are($s, "SELECT count(*), sum(i), sum(n) FROM dblink('c', 'SELECT * FROM number') AS t(i int, t text, n numeric)",
		'2000|2001000|3001500.0', "$mode: binary, many rows");
	rows_are($s, "SELECT i, t FROM dblink('c', 'SELECT i, t FROM number WHERE i = 3') AS t(i int, t text)", '3|3', "$mode: binary, one row");
	rows_are($s, "SELECT x FROM dblink($to, 'SELECT 42') AS t(x int)", '42', "$mode: binary, one call");
	fails_with($s, "SELECT * FROM dblink('c', 'SELECT x FROM nowhere') AS t(x int)", { state => '42P01' }, "$mode: binary, an error of the description");
	fails_with($s, "SELECT * FROM dblink('c', 'SELECT 1/x FROM (VALUES (1), (0)) v(x)') AS t(x int)", { state => '22012' }, "$mode: binary, an error of the query");
	$s->run('RESET dblink.result_format');

	# kept connections; in transaction mode, a SET belongs to a session of the pool
	my $before = () = slurp_file($log) =~ /login attempt/g;
	rows_are($s, "SET dblink.keep_connections = 2; SELECT x FROM dblink($to, 'SELECT 1') AS t(x int); SELECT x FROM dblink($to, 'SELECT 2') AS t(x int)",
		"1\n2", "$mode: a kept connection");
	rows_are($s, "SELECT dblink_exec($to, 'SET work_mem = ''1MB'''); SELECT x FROM dblink($to, 'SHOW work_mem') AS t(x text)",
		"SET\n4MB", "$mode: clean after each call") if $mode eq 'session';
	rows_are($s, "SELECT x FROM dblink_gather(ARRAY[$to], 'SELECT \$1', 3) AS t(conn text, x int)", '3', "$mode: dblink_gather takes the kept connection");
	my $after = () = slurp_file($log) =~ /login attempt/g;
	is($after - $before, 1, "$mode: one login for all of these calls");
	$s->run('RESET dblink.keep_connections');

	released($mode) if $mode eq 'transaction';
	rows_are($s, "SELECT dblink_disconnect('c')", 'OK', "$mode: disconnected");
	fails_with($s, "SELECT * FROM dblink(" . pooled($mode, options => '-c geqo=off') . ", 'SELECT 1') AS t(x int)",
		{ state => '08001', detail => qr/unsupported startup parameter/ }, "$mode: the option \"options\" is refused by the pooler, and the error says so");
	healthy($s, "$mode: the local session lives");
}

# ---- what the sessions behind a pool share ------------------------------

# Two sessions read through one session of the remote, binary, at the same time:
# each should get its own rows.
my @both = map { session($local) } 1 .. 2;
foreach my $client (@both)
{
	$client->run("SET dblink.result_format = 'binary'; SELECT dblink_connect('c', " . pooled('one') . ')');
}
foreach my $i (0, 1)
{
	$both[$i]->send("DO \$\$ DECLARE x int; BEGIN FOR i IN 1 .. 1500 LOOP SELECT v INTO x FROM dblink('c', 'SELECT $i') AS t(v int);"
		  . " IF x <> $i THEN RAISE EXCEPTION 'the rows of somebody else'; END IF; END LOOP; END \$\$; SELECT 'all mine'");
}
foreach my $i (0, 1)
{
	my $r = $both[$i]->collect(120);
	is($r->{out}, 'all mine', "transaction, binary: client $i of two in one session gets its own rows") or diag $r->{err};
	$both[$i]->quit;
}

# The statement is described by one session of the remote, and run by the other,
# where its column is of another type: should fail, not misread the bytes.
$s->run("SELECT dblink_connect('c', " . pooled('transaction') . ')');
in_turns($s, $pid_sql, 'transaction: in turns again');
$s->run("SELECT dblink_exec('c', 'CREATE TEMP TABLE one AS SELECT 5 AS x'); SELECT dblink_exec('c', 'CREATE TEMP TABLE one AS SELECT 5::bigint AS x')");
rows_are($s, "SELECT string_agg(x, ' ' ORDER BY x) FROM (SELECT x FROM dblink('c', 'SELECT pg_typeof(x) FROM one') AS t(x text)"
	  . " UNION ALL SELECT x FROM dblink('c', 'SELECT pg_typeof(x) FROM one') AS t(x text)) q", 'bigint integer', 'transaction: a temporary table is that of one of the sessions on the remote');
$s->run("SET dblink.result_format = 'binary'");
my @got = map { $s->run("SELECT x FROM dblink('c', 'SELECT x FROM one') AS t(x int)") } 1 .. 4;
is(scalar(grep { $_->{out} ne '5' && !($_->{errors} && $_->{messages}[0]{state} eq '42804') } @got),
	0, 'transaction, binary: the right value, or an error');
cmp_ok(scalar(grep { $_->{errors} } @got), '>=', 1, 'transaction, binary: another type is noticed');
$s->run('RESET dblink.result_format');
rows_are($s, "SELECT x FROM dblink('c', 'SELECT x FROM one') AS t(x int)", '5', 'transaction: the connection is usable');
$s->run("SELECT dblink_exec('c', 'DISCARD TEMP'); SELECT dblink_exec('c', 'DISCARD TEMP'); SELECT dblink_disconnect('c')");

# Two connections through one session: a call should wait for it in the pooler, and for a
# transaction that follows ours only so long as we want.
$s->run("SELECT dblink_connect(n, " . pooled('one') . ") FROM unnest('{a,b}'::text[]) n");
rows_are($s, "SELECT conn, sum(i) FROM dblink_gather('{a,b}', 'SELECT i FROM number') AS t(conn text, i int) GROUP BY 1 ORDER BY 1", "a|2001000\nb|2001000", 'too small: dblink_gather');
my $limited = "ROLLBACK; BEGIN; SET LOCAL statement_timeout = '1s'";
fails_with($s, "$limited; SELECT dblink_copy('a', 'made_transaction', \$\$SELECT i FROM dblink('b', 'SELECT 70 AS i') AS t(i int)\$\$)", { state => '57014', within => SLOW }, 'too small: dblink_copy from one to the other');
fails_with($s, "ROLLBACK; SELECT dblink_connect('b', " . pooled('one') . ", reuse => true); $limited; SELECT dblink_begin('a'); SELECT dblink_execute('a', 'DELETE FROM made_transaction'); SELECT dblink_execute('b', 'SELECT 1')",
	{ state => '57014', within => SLOW }, 'too small: a transaction has the session, the other connection waits');
rows_are($s, "ROLLBACK; SELECT n > 0 FROM dblink('a', 'SELECT count(*) FROM made_transaction') AS t(n int)", 't', 'too small: rolled back, the one connection is usable');
rows_are($s, "SELECT dblink_connect('b', " . pooled('one') . ", reuse => true); SELECT dblink_execute('b', 'SELECT 1'); SELECT dblink_disconnect(n) FROM unnest('{a,b}'::text[]) n", "OK\n1\nOK\nOK", 'too small: so is the other');

# Two local databases of different encodings share a pool: the pooler sees to it
# that each gets its own.
$s->run("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
my $l = session($local, db => 'latin');
$l->run('SET client_encoding = UTF8; CREATE EXTENSION dblink');
$_->run("SELECT dblink_connect('c', " . pooled('transaction') . ')') foreach $s, $l;
foreach my $round (1 .. 2)
{
	rows_are($s, "SELECT x, octet_length(x) FROM dblink('c', 'SELECT chr(233)') AS t(x text)", "\xc3\xa9|2", "transaction: UTF8 here, round $round");
	rows_are($l, "SELECT x, octet_length(x) FROM dblink('c', 'SELECT chr(233)') AS t(x text)", "\xc3\xa9|1", "transaction: LATIN1 there, round $round");
}
$_->run("SELECT dblink_disconnect('c')") foreach $s, $l;
$l->quit;

# ---- a pooler in front of us --------------------------------------------

# COMPAT: connections belong to the server's session, as in stock, and no reset of the
# pooler's closes them: the next client finds the last one's.
my $first = session($front, %client, db => 'behind');
rows_are($first, "SELECT dblink_connect('left', " . lit(conninfo($remote)) . ')', 'OK', 'in front: a client connects');
$first->quit;
my $second = session($front, %client, db => 'behind');
rows_are($second, 'SELECT dblink_get_connections()', '{left}', 'in front: the next client finds its connection');
rows_are($second, "SELECT dblink_disconnect(c) FROM unnest(dblink_get_connections()) c", 'OK', 'in front: and can close it');
rows_are($second, 'SELECT dblink_get_connections() IS NULL', 't', 'in front: none is left');

# what the pooler resets should end what is kept, too
my $kept = lit(conninfo($remote, application_name => 'kept'));
rows_are($second, "SET dblink.keep_connections = 2; SELECT x FROM dblink($kept, 'SELECT 1') AS t(x int)", '1', 'in front: a client has a kept connection');
$second->quit;
remote_quiet($remote, "application_name = 'kept'", 'in front: it is closed when the client goes');

# A server with "loopback" does not lead through the pool, so one session is enough; the
# address of the pooler does, so that the session would wait for itself.
$s->run("CREATE ROLE app SUPERUSER LOGIN; CREATE SERVER here FOREIGN DATA WRAPPER dblink_fdw OPTIONS (loopback 'on'); CREATE TABLE log (i int)");
$first = session($front, %client, db => 'behind');
rows_are($first, "BEGIN; SELECT dblink_execute('here', 'INSERT INTO log VALUES (\$1)', 1); ROLLBACK; SELECT * FROM log", "1\n1", 'in front: loopback, with a pool of one session');
fails_with($first, "BEGIN; SET LOCAL statement_timeout = '1s'; SELECT * FROM dblink(" . pooled('behind') . ", 'SELECT 1') AS t(x int)", { state => '57014', within => SLOW }, 'in front: a session waits for itself, no longer than statement_timeout');
rows_are($first, 'ROLLBACK; SELECT 1', '1', 'in front: it is usable');
$first->quit;

# Transaction mode: a connection is that of one of two sessions, so each transaction has
# to make sure that it is there.
my $shared = session($front, %client, db => 'shared');
my $mine = "SELECT dblink_connect('mine', " . lit(conninfo($remote)) . ", reuse => true)";
in_turns($shared, 'SELECT pg_backend_pid()', 'shared: sessions in turns');
rows_are($shared, "$mine; SELECT dblink_get_connections() IS NULL; SELECT dblink_get_connections()", "OK\nt\n{mine}", 'shared: every other statement finds the connection');
rows_are($shared, "BEGIN; $mine; SELECT dblink_begin('mine'); SELECT dblink_execute('mine', 'INSERT INTO number VALUES (\$1)', $_); COMMIT", "OK\nOK\n1", "shared: transaction $_") foreach 5001 .. 5003;
rows_are($shared, "BEGIN; $mine; SELECT sum(i) FROM dblink('mine', 'SELECT i FROM number WHERE i > 5000') AS t(i int); COMMIT", "OK\n15006", 'shared: all of them are there');
rows_are($shared, "SELECT role FROM dblink('here', 'SELECT session_user') AS t(role name)", 'app', 'shared: loopback, as the role of the client') foreach 1 .. 2;
fails_with($shared, "BEGIN; DELETE FROM log; SELECT dblink_execute('here', 'DELETE FROM log')", { state => '40P01', within => SLOW }, 'shared: loopback, a deadlock with itself');
# of a deadlock through the pooler's address nothing is seen: its process numbers are its own
fails_with($shared, "ROLLBACK; BEGIN; LOCK log; SET LOCAL statement_timeout = '2s'; SET LOCAL dblink.deadlock_patience = '100ms'; SELECT * FROM dblink(" . pooled('shared') . ", 'SELECT i FROM log') AS t(i int)",
	{ state => '57014', within => SLOW }, 'shared: a deadlock through the pooler ends by statement_timeout');
rows_are($shared, "ROLLBACK; $mine; $mine", "OK\nOK", 'shared: both sessions have a connection');

# a client that goes in mid-transaction should leave nothing on the remote
rows_are($shared, "BEGIN; SELECT dblink_begin('mine'); SELECT dblink_execute('mine', 'INSERT INTO number VALUES (6000)')", "OK\n1", 'shared: a transaction that follows');
$shared->quit;
remote_quiet($remote, "state LIKE 'idle in transaction%'", 'shared: the client goes, and its transaction on the remote');
rows_are($admin, 'SELECT count(*) FROM number WHERE i = 6000', '0', 'shared: it was rolled back');

# ---- the pooler ends -----------------------------------------------------

$s->run("SELECT dblink_connect('c', " . pooled('transaction') . ')');
$s->send("SELECT * FROM dblink('c', 'SELECT pg_sleep(122)') AS t(x text)");
poll_value($remote, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(122)' AND state = 'active'", 1);
kill 'KILL', $pooler;
stop_program($pooler);
fails_with($s, $s->collect, { state => '08006' }, 'the pooler is gone: the call fails');
fails_with($s, "SELECT * FROM dblink('c', 'SELECT 1') AS t(x int)", { message => qr/^could not send query: no connection to the server/ },
	'the pooler is gone: so does the next');
healthy($s, 'the pooler is gone: the local session lives');
$pooler = start_program('pgbouncer', $port, 'pgbouncer', $ini);
rows_are($s, "SELECT dblink_connect('c', " . pooled('transaction') . ', reuse => true);'
	  . "SELECT x FROM dblink('c', 'SELECT 3') AS t(x int); SELECT dblink_disconnect('c')", "OK\n3\nOK", 'the pooler is back: connected again');

$_->quit foreach $s, $plain, $admin;
done_testing();
