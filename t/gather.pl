# dblink_wait and dblink_gather between servers: nothing waits for what is late, memory
# is flat, a wait costs no processor time, and whatever fails, breaks or is cancelled
# leaves neither a remote statement nor a descriptor behind.

use strict;
use warnings;
use Test::More;
use Time::HiRes qw(time usleep);
use PostgreSQL::Test::Utils;
use DblinkTest;
use DblinkClient;
use DblinkWire;
use DblinkFake;
use DblinkProxy;

my ($local, $remote) = make_pair(
	remote => { conf => ['max_connections = 150'] },
	local => { conf => [ 'log_temp_files = 0', 'dblink.streaming = on', 'max_files_per_process = 1000' ] });
my $target = conninfo($remote, application_name => 'gathered');
my $to_remote = lit($target);
my $active = "application_name = 'gathered' AND state <> 'idle'";
my $s = session($local);
my $locker = session($remote);
no_error($s, 'CREATE EXTENSION dblink2', 'the extension');
my $four = "'{a,b,c,d}'::text[]";
no_error($s, "SELECT dblink_connect(c, $to_remote) FROM unnest($four) c", 'four connections');
$locker->run(<<'SQL');
CREATE TABLE big AS SELECT g, repeat('x', 200) AS filler FROM generate_series(1, 20000) AS g;
CREATE TABLE written (g int);
SQL

# The connections are free, and answer.
sub all_usable
{
	my $name = shift;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return rows_are($s, "SELECT string_agg(conn || x, ' ' ORDER BY conn) FROM dblink_gather($four, 'SELECT 1') AS t(conn text, x int)", 'a1 b1 c1 d1', $name);
}

# Nothing runs on the remote server any more.
sub remote_idle
{
	my $name = shift;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return remote_quiet($remote, $active, $name, SLOW);
}

# A process' time on a processor so far, in milliseconds.
sub on_cpu
{
	my $pid = shift;
	my ($ns) = split ' ', slurp_file("/proc/$pid/schedstat");
	return $ns / 1e6;
}

# ---- streaming ------------------------------------------------------------------

# The plan node's own words about where its rows came from, with the first statement of a
# session.
sub rows_came
{
	my ($set, $query) = @_;
	my $fresh = session($local);
	$fresh->run("SELECT dblink_connect(c, $to_remote) FROM unnest($four) c; $set");
	my $out = $fresh->run("EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) $query")->{out};
	$fresh->quit;
	return join '; ', map { s/^\s+//r } grep { /Connections|Remote SQL|Parameters|Remote Rows|Function:|Function Scan/ } split /\n/, $out;
}
my $big = "dblink_gather($four, 'SELECT g, filler FROM big') AS t(conn text, g int, f text)";
is(rows_came('', "SELECT count(*) FROM $big"), 'Function: dblink_gather t; Connections: a, b, c, d; Remote SQL: SELECT g, filler FROM big; Remote Rows: streamed', 'a scan that streams');
is(rows_came('', "SELECT * FROM dblink_gather(ARRAY['a', $to_remote], 'SELECT \$1', 5) AS t(conn text, x int)"),
	'Function: dblink_gather t; Remote SQL: SELECT $1; Parameters: 5; Remote Rows: streamed', 'no connection string is shown');
is(rows_came("SELECT dblink_send_query(c, 'SELECT 1') FROM unnest($four) c", "SELECT * FROM dblink_gather($four) AS t(conn text, x int)"),
	'Function: dblink_gather t; Connections: a, b, c, d; Remote Rows: streamed', 'of what was sent');
is(rows_came("SELECT dblink_send_query(c, 'SELECT 1; SELECT 2') FROM unnest($four) c", "SELECT * FROM dblink_gather($four) AS t(conn text, x int)"),
	'Function: dblink_gather t; Connections: a, b, c, d; Remote Rows: materialized', 'several results are collected');
is(rows_came('', "SELECT * FROM dblink_gather($four, 'INSERT INTO written VALUES (0) RETURNING g') AS t(conn text, x int)"),
	'Function: dblink_gather t; Connections: a, b, c, d; Remote SQL: INSERT INTO written VALUES (0) RETURNING g; Remote Rows: materialized', 'a write is');
is(rows_came('BEGIN; SAVEPOINT s', "SELECT * FROM $big"), 'Function: dblink_gather t; Connections: a, b, c, d; Remote SQL: SELECT g, filler FROM big; Remote Rows: materialized', 'in a subtransaction all is collected');
like(rows_came('', "SELECT * FROM (VALUES (1)) v(x), LATERAL dblink_gather(CASE x WHEN 1 THEN $four END, 'SELECT 1') AS t(conn text, y int)"), qr/^$|Function Scan|materialized|streamed/, 'LATERAL');

# Converting the rows of one is not the time of the plan for the others either.
$s->run("CREATE DOMAIN slow_to_read AS int CHECK (CASE WHEN VALUE <= 10 THEN pg_sleep(0.03)::text = '' ELSE true END)");
my $hold = "SET dblink.stream_hold_time = '200ms'";
# should stream: 1,200 ms are spent in conversions
like(rows_came($hold, "SELECT count(*) FROM dblink_gather($four, 'SELECT g, filler FROM big') AS t(conn text, g slow_to_read, f text)"), qr/Remote Rows: streamed/, 'types that are slow to read');
# should be read ahead: the plan spends 300 ms with the rows of each, 1,200 in all
like(rows_came("$hold; SET dblink.streaming = always", "SELECT count(CASE WHEN g <= 10 THEN pg_sleep(0.03)::text END) FROM $big"), qr/Remote Rows: read ahead/, 'a plan that is slow');

# The first row of one is there while another's server is still at work.
$locker->run('SELECT pg_advisory_lock(1)');
foreach my $streaming ('on', 'off')
{
	$s->run("SET dblink.streaming = $streaming; SET dblink.stream_hold_time = -1");
	$s->run("SELECT dblink_execute(c, format('SET application_name = %L', 'gathered-' || c)) FROM unnest($four) c");
	my $gate = session($local);
	$gate->run('SELECT pg_advisory_lock(7)');
	$s->send("SELECT count(*) FROM (SELECT CASE WHEN g = 20000 THEN pg_advisory_xact_lock_shared(7)::text END FROM dblink_gather($four,"
		  . " \$\$SELECT g, CASE WHEN g = 1 AND current_setting('application_name') = 'gathered-b' THEN pg_advisory_xact_lock_shared(1)::text END FROM big ORDER BY g\$\$)"
		  . " AS t(conn text, g int, f text) OFFSET 0) s");
	my $stopped = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 7 AND NOT granted";
	my $waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'gathered-b' AND wait_event_type = 'Lock'";
	is(poll_value($remote, $waiting, '1', SLOW), '1', "streaming $streaming: one of the remotes waits");
	is(poll_value($local, $stopped, '1', SLOW), '1', 'another has sent its last row') if $streaming eq 'on';
	is(query_value($local, $stopped), '0', 'no row is used before all are there') if $streaming eq 'off';
	$gate->run('SELECT pg_advisory_unlock(7)');
	$locker->run('SELECT pg_advisory_unlock(1)');
	is($s->collect->{out}, '80000', 'all rows');
	$locker->run('SELECT pg_advisory_lock(1)');
	$gate->quit;
}
$locker->run('SELECT pg_advisory_unlock_all()');
$s->run("SELECT dblink_execute(c, 'SET application_name = gathered') FROM unnest($four) c; RESET ALL");
all_usable('... and all are free');

# Turns: where all have rows, none gets ahead of the others by more than what lies in
# buffers.
rows_are($s, <<"SQL", 't', 'rows of all come in turn');
SELECT max(n) - min(n) < 15000 FROM (SELECT conn, count(*) AS n FROM (SELECT conn FROM $big LIMIT 40000) s GROUP BY conn) s
SQL
all_usable('after a limit');

# Memory: 4 x 200,000 rows of 200 bytes.  (A plan that is slow would have them read ahead.)
$s->run("SET dblink.stream_hold_time = -1");
my $many = "'SELECT g, filler FROM big, generate_series(1, 10)'";
foreach my $case (
	[ 'a query', "SELECT count(*), sum(length(f)) FROM dblink_gather($four, $many) AS t(conn text, g int, f text)" ],
	[ 'what was sent', "SELECT dblink_send_query(c, $many) FROM unnest($four) c \\g /dev/null\nSELECT count(*), sum(length(f)) FROM dblink_gather($four) AS t(conn text, g int, f text)" ],
	[ 'what was sent and waited for', "SELECT dblink_send_query(c, $many) FROM unnest($four) c \\g /dev/null\nSELECT dblink_wait(ARRAY[c]) FROM unnest($four) c, generate_series(1, 3) \\g /dev/null\n"
		  . "SELECT count(*), sum(length(f)) FROM dblink_gather($four) AS t(conn text, g int, f text)" ],
	[ 'a result after a wait', "SELECT dblink_send_query('a', $many) \\g /dev/null\nSELECT dblink_wait('{a}') FROM generate_series(1, 50) \\g /dev/null\n"
		  . "SELECT 4 * count(*), 4 * sum(length(f)) FROM dblink_get_result('a') AS t(g int, f text)" ])
{
	my ($name, $sql) = @$case;
	reset_peak($s->pid);
	my $before = memory_kb($s->pid, 'VmHWM');
	rows_are($s, $sql, '800000|160000000', "$name: all rows");
	my $grown = memory_kb($s->pid, 'VmHWM') - $before;
	cmp_ok($grown, '<', 12 * 1024, "$name: memory is flat ($grown kB)");
	$s->run("SELECT count(*) FROM dblink_get_result('a') AS t(g int, f text)");
}
$s->run("RESET dblink.stream_hold_time");
all_usable('after many rows');

# A client that takes no rows: should be idle all the same, and have all rows then.
{
	my $client = DblinkClient->new($local);
	$client->simple($_) foreach "LOAD 'dblink'", "SELECT dblink_connect(c, $to_remote) FROM unnest($four) c";
	$client->send("SELECT * FROM dblink_gather($four, 'SELECT g, repeat(filler, 5) FROM big') AS t(conn text, g int, f text)");
	ok(poll_until(sub { remote_count($remote, $active) }, SLOW), 'a client that takes no rows: begins');
	remote_idle('a client that takes no rows');
	is(scalar(() = $client->answer =~ /^row /mg), 80000, 'a client that takes no rows: and then does');
	$client->close;
}

# ---- waiting --------------------------------------------------------------------

# It takes no processor time, and wakes at once.
$locker->run('SELECT pg_advisory_lock(1)');
$s->run("SELECT dblink_send_query(c, 'SELECT pg_advisory_xact_lock_shared(1)::text, clock_timestamp()') FROM unnest($four) c");
$s->send("SELECT dblink_wait($four) IS NOT NULL, clock_timestamp()");
my $in_wait = sub { query_value($local, 'SELECT wait_event IS NOT NULL FROM pg_stat_activity WHERE pid = ' . $s->pid) eq 't' };
poll_until($in_wait);
my $spent = on_cpu($s->pid);
my $switches = slurp_file('/proc/' . $s->pid . '/status') =~ /^voluntary_ctxt_switches:\s+(\d+)/m ? $1 : 0;
usleep(1_000_000);
$spent = on_cpu($s->pid) - $spent;
$switches = (slurp_file('/proc/' . $s->pid . '/status') =~ /^voluntary_ctxt_switches:\s+(\d+)/m ? $1 : 0) - $switches;
cmp_ok($spent, '<', 5, sprintf 'a second of waiting takes %.3f ms of a processor', $spent);
cmp_ok($switches, '<=', 2, "and the process wakes $switches times");
$locker->run('SELECT pg_advisory_unlock(1)');
my $woke = $s->collect->{out};
like($woke, qr/^t\|/, 'it ends when the answer is there');
my ($at) = $woke =~ /\|(.*)/;
my $late = $s->run("SELECT extract(epoch FROM timestamptz '$at' - min(at)) * 1000 FROM dblink_gather($four) AS t(conn text, x text, at timestamptz)")->{out};
cmp_ok($late, '<', 500, "it woke after $late ms");

# Interrupted, it loses nothing.
$s->run("SELECT dblink_send_query(c, 'SELECT pg_sleep(0.4), 5') FROM unnest($four) c");
fails_with($s, "SET statement_timeout = '50ms'; SELECT dblink_wait($four)", { state => '57014', within => SLOW }, 'a wait is interrupted');
rows_are($s, "RESET statement_timeout; SELECT sum(y) FROM dblink_gather($four) AS t(conn text, x text, y int)", '20', '... and the results are there');

# It does not cancel what waits for this session, on this very server.
my $to_self = lit(conninfo($local, application_name => 'self'));
$s->run("SELECT dblink_connect('self', $to_self); SET deadlock_timeout = '10ms'; CREATE TABLE held (a int)");
rows_are($s, "BEGIN; LOCK TABLE held; SELECT dblink_send_query('self', 'SELECT count(*) FROM held')", '1', 'a query that waits for this session');
rows_are($s, "SELECT dblink_wait('{self}', '300ms') IS NULL; COMMIT; SELECT dblink_wait('{self}'); SELECT * FROM dblink_gather('{self}') AS t(c text, n int)",
	"t\nself\nself|0", 'a wait does not cancel it');
# A gather does.
$s->run("BEGIN; LOCK TABLE held");
fails_with($s, "SELECT * FROM dblink_gather('{a,self}', 'SELECT count(*) FROM held') AS t(c text, n int)", { state => '42P01' }, 'an error of one comes first');
$s->run("ROLLBACK; BEGIN; LOCK TABLE held");
fails_with($s, "SELECT * FROM dblink_gather('{self}', 'SELECT count(*) FROM held') AS t(c text, n int)", { state => '40P01', within => SLOW }, 'a gather that waits for its own session');
$s->run("ROLLBACK; RESET ALL; SELECT dblink_disconnect('self')");

# ---- cancel and errors ------------------------------------------------------------

foreach my $streaming ('on', 'off')
{
	$s->run("SET dblink.streaming = $streaming");
	foreach my $query ("'SELECT g, pg_sleep(60)::text FROM big'", "'SELECT 1, pg_sleep(\$1)::text', 60")
	{
		fails_with($s, "SET statement_timeout = '300ms'; SELECT count(*) FROM dblink_gather($four, $query) AS t(conn text, g int, f text)",
			{ state => '57014', within => SLOW }, "streaming $streaming, cancelled: $query");
		$s->run('RESET statement_timeout');
		remote_idle('... on all servers');
		all_usable('... and all are usable');
	}
	$s->run("SELECT dblink_execute('c', 'SET gathered.fails = 1')");
	fails_with($s, "SELECT count(*) FROM dblink_gather($four || ${to_remote}::text, \$\$SELECT 1 / (current_setting('gathered.fails', true) IS DISTINCT FROM '1')::int + length(pg_sleep(60)::text)\$\$) AS t(conn text, g int)",
		{ state => '22012', context => qr/on dblink connection named "c"$/, within => SLOW }, "streaming $streaming: the error of one ends all");
	remote_idle('... on all servers');
	$s->run("SELECT dblink_execute('c', 'RESET gathered.fails')");
	all_usable('... and all are usable');
	# a local error
	fails_with($s, "SELECT 1 / (g - 5000) FROM $big", { state => '22012', within => SLOW }, "streaming $streaming: a local error");
	remote_idle('... ends all');
	all_usable('... and all are usable');
}
$s->run('RESET ALL');

# A row now and then from one does not hold up the others, nor they it.
foreach my $streaming ('on', 'off')
{
	$s->run("SET dblink.streaming = $streaming; SELECT dblink_send_query('a', \$\$SELECT g, repeat('x', 9000) || pg_sleep(0.2)::text FROM generate_series(1, 5) g\$\$),"
		  . " dblink_send_query('b', 'SELECT g, filler FROM big')");
	my $r = $s->run("SELECT conn, count(*), sum(g) FROM dblink_gather('{a,b}') AS t(conn text, g int, f text) GROUP BY 1 ORDER BY 1");
	is($r->{out}, "a|5|15\nb|20000|200010000", "streaming $streaming: a trickle") or diag $r->{err};
	cmp_ok($r->{secs}, '>', 0.9, '... takes its time');
}

# ---- TLS -------------------------------------------------------------------------------

# What libpq has decrypted does not show at a socket.
{
	my $tls = make_server('tls', tree => stock_prefix(), start => 0);
	$tls->append_conf('postgresql.conf', "$_\n") foreach tls_conf($tls->data_dir);
	$tls->start;
	my $to_tls = lit(conninfo($tls, sslmode => 'require'));
	no_error($s, "SELECT dblink_connect(c, $to_tls) FROM unnest('{t1,t2}'::text[]) c", 'TLS: connected');
	foreach my $streaming ('on', 'off')
	{
		$s->run("SET dblink.streaming = $streaming");
		rows_are($s, "SELECT count(*), sum(g) FROM dblink_gather('{a,t1,t2}', \$\$SELECT g, repeat('x', 100 + g % 20000) FROM generate_series(1, 3000) g\$\$) AS t(conn text, g int, f text)",
			'9000|13504500', "TLS, streaming $streaming: all rows");
	}
	rows_are($s, "SELECT dblink_send_query('t1', 'SELECT pg_sleep(60)'), dblink_send_query('t2', 'SELECT pg_sleep(0.2)')", '1|1', 'TLS: sent');
	my $waited = $s->run("SELECT dblink_wait('{t1,t2}')");
	is($waited->{out}, 't2', 'TLS: one is ready');
	cmp_ok($waited->{secs}, '<', SLOW, '... soon');
	fails_with($s, "SET statement_timeout = '300ms'; SELECT * FROM dblink_gather('{t1,t2}') AS t(conn text, x text)", { state => '57014', within => SLOW }, 'TLS: cancelled');
	$s->run('RESET ALL');
	rows_are($s, "SELECT sum(x) FROM dblink_gather('{t1,t2}', 'SELECT 1') AS t(conn text, x int)", '2', '... and usable');
	no_error($s, "SELECT dblink_disconnect(c) FROM unnest('{t1,t2}'::text[]) c", 'TLS: closed');
	$tls->stop;
}
$s->run('RESET ALL');

# ---- connections that die -----------------------------------------------------------

my $relay = start_proxy($remote->port);
my $through = "'host=127.0.0.1 dbname=postgres application_name=gathered user=' || current_user || ' port=" . $relay->port . "'";
my $hundred_more = "SELECT count(dblink_connect('n' || g, $through)) FROM generate_series(1, 100) g";
is($s->run($hundred_more, 120)->{out}, '100', '100 connections at once');
my $hundred = "(SELECT array_agg('n' || g) FROM generate_series(1, 100) g)";
my $fds = fd_count($s->pid);
foreach my $streaming ('on', 'off')
{
	$s->run("SET dblink.streaming = $streaming; SELECT dblink_disconnect(c) FROM unnest(dblink_get_connections()) c WHERE c LIKE 'n%'");
	$s->run($hundred_more, 120);
	rows_are($s, "SELECT count(DISTINCT conn), sum(x) FROM dblink_gather($hundred, 'SELECT generate_series(1, 10)') AS t(conn text, x int)", '100|5500', "streaming $streaming: 100 answer");
	$s->run("SELECT dblink_send_query('n' || g, CASE WHEN g <= 40 THEN 'SELECT pg_terminate_backend(pg_backend_pid()) AND pg_sleep(60) IS NULL' ELSE 'SELECT true' END) FROM generate_series(1, 100) g");
	my $r = $s->run("SET dblink.gather_failures = skip; SELECT count(*) FROM dblink_gather($hundred) AS t(conn text, x bool)", 30);
	is($r->{out}, '60', '40 die: the others have answered') or diag $r->{err};
	is(scalar(grep { $_->{severity} eq 'WARNING' && $_->{state} eq '57P01' } @{ $r->{messages} }), 40, '... with a warning for each');
	my $again = $s->run("SELECT count(*) FROM dblink_gather($hundred, 'SELECT 1') AS t(conn text, x int)", 30);
	is($again->{out}, '60', 'they are skipped again') or diag $again->{err};
	is(scalar(grep { $_->{severity} eq 'WARNING' } @{ $again->{messages} }), 40, '... with a warning for each');
	fails_with($s, "RESET dblink.gather_failures; SELECT count(*) FROM dblink_gather($hundred, 'SELECT 1') AS t(conn text, x int)", { severity => 'ERROR', state => qr/^08/ }, 'or end it all');
	rows_are($s, "SELECT dblink_wait((SELECT array_agg('n' || g ORDER BY g) FROM generate_series(30, 50) g))", 'n30', 'a dead one is ready');
}
no_error($s, "SELECT dblink_disconnect(c) FROM unnest(dblink_get_connections()) c WHERE c LIKE 'n%'", 'closed');
$relay->stop;

# Servers that can't be reached, or are slow to be.
my $gone = lit('host=127.0.0.1 port=1 dbname=x user=x');
my $r = $s->run("SET dblink.gather_failures = skip; SELECT count(*) FROM dblink_gather(ARRAY['a', $gone, $to_remote], 'SELECT 1') AS t(conn text, x int)");
is($r->{out}, '2', 'a server that refuses is skipped') or diag $r->{err};
is($r->{messages}[0]{state}, '08001', '... with a warning');
is($r->{messages}[0]{message}, 'element 2 of the array was skipped: could not establish connection', '... that says which');
unlike($r->{err}, qr/user=x/, '... without its connection string');
$s->run('RESET ALL');
all_usable('after dead connections');

# Connections are established at the same time: three servers that say nothing take the
# time of one.
my @silent = map { silent_listener() } 1 .. 3;
my $nowhere = join ', ', map { lit('host=127.0.0.1 dbname=x user=x sslmode=disable gssencmode=disable connect_timeout=2 port=' . $_->port) } @silent;
my $sockets = local_fds($s);
$r = $s->run("SET dblink.gather_failures = skip; SELECT sum(x) FROM dblink_gather(ARRAY[$nowhere, $to_remote, 'a'], 'SELECT 1') AS t(conn text, x int)", 20);
is($r->{out}, '2', 'silent servers are skipped') or diag $r->{err};
is(join(' ', map { "$_->{severity} $_->{state} " . ($_->{detail} =~ /timeout expired/ ? 'timeout' : 'other') } @{ $r->{messages} }), join(' ', ('WARNING 08001 timeout') x 3), '... with a warning for each');
cmp_ok($r->{secs}, '<', 5, '... all at the same time');
is(local_fds($s), $sockets, '... and no socket is left');
fails_with($s, "RESET dblink.gather_failures; SELECT sum(x) FROM dblink_gather(ARRAY['a', $nowhere], 'SELECT 1') AS t(conn text, x int)", { state => '08001', detail => qr/timeout expired/, within => SLOW }, 'silent servers are an error');
fails_with($s, "SET statement_timeout = '300ms'; SELECT sum(x) FROM dblink_gather(ARRAY['a', $nowhere], 'SELECT 1') AS t(conn text, x int)", { state => '57014', within => SLOW }, 'connecting to several is cancelled');
$s->run('RESET statement_timeout');
is(local_fds($s), $sockets, '... and no socket is left');
$_->close foreach @silent;
my $ten = join ', ', map { lit(conninfo($remote, application_name => "gathered $_")) } 1 .. 10;
rows_are($s, "SELECT count(DISTINCT conn), count(DISTINCT pid), sum(x) FROM dblink_gather(ARRAY[$ten], 'SELECT pg_backend_pid(), \$1', 3) AS t(conn text, pid int, x int)", '10|10|30', 'ten connections for one call');
remote_quiet($remote, "application_name LIKE 'gathered _%'", '... are closed', SLOW);
rows_are($s, "SET dblink.keep_connections = 20; CREATE TEMP TABLE kept AS SELECT * FROM dblink_gather(ARRAY[$ten], 'SELECT pg_backend_pid()') AS t(conn text, pid int);"
	  . " SELECT count(*) FROM kept JOIN dblink_gather(ARRAY[$ten], 'SELECT pg_backend_pid()') AS t(conn text, pid int) USING (conn, pid)", '10', 'or kept for the next');
$s->run('RESET ALL');

# ---- servers that are odd ---------------------------------------------------------------

my $notice = message('N', "SNOTICE\0C00000\0Mnothing yet\0\0");
my $rows = row_description(['x']);
my @scenes = (
	# a row a second or so, with a notice in front
	{ start => auth_ok(), answers => [ $rows . join('', map { $notice . data_row($_) } 1 .. 20) . command_complete('SELECT 20') . ready() ], split => 7 },
	# notices for ever
	{ start => auth_ok(), answers => [$notice], end => 'flood' },
	# nothing
	{ start => auth_ok(), answers => [], end => 'wait' },
	# half of a row
	{ start => auth_ok(), answers => [ $rows . substr data_row('12345'), 0, 8 ], end => 'wait' },
	# rows, and no end
	{ start => auth_ok(), answers => [ $rows . data_row('1') x 20 ], end => 'close' },
	# two results
	{ start => auth_ok(), answers => [ $rows . data_row('1') . command_complete('SELECT 1') . $rows . data_row('2') . command_complete('SELECT 1') . ready() ] },
	# a tag
	{ start => auth_ok(), answers => [ command_complete('SET') . ready() ] },
	# copy
	{ start => auth_ok(), answers => [ message('H', pack('Cn', 0, 0)) ], end => 'wait' },
	# no answer at all
	{ start => auth_ok(), answers => [ ready() ] });
my $fake = fake_server(sub { return $scenes[ $_[0] ] });
my $to_fake = lit('host=127.0.0.1 dbname=x user=x sslmode=disable gssencmode=disable port=' . $fake->port);

# Connects to the fake server, for a scene.
sub fake
{
	my $scene = shift;
	$fake->next_scene($scene);
	$s->run("SELECT dblink_disconnect('f')") if $s->run("SELECT 'f' = ANY (dblink_get_connections())")->{out} eq 't';
	return $s->run("SELECT dblink_connect('f', $to_fake)");
}
my $from_both = "SELECT count(*) FILTER (WHERE conn = 'a'), count(*) FILTER (WHERE conn = 'f') FROM dblink_gather('{a,f}', 'SELECT 1') AS t(conn text, x int)";

foreach my $streaming ('on', 'off')
{
	$s->run("SET dblink.streaming = $streaming");
	fake(0);
	rows_are($s, $from_both, '1|20', "streaming $streaming: rows in pieces, among notices");
	fake(1);
	$s->run("SELECT dblink_send_query('f', 'SELECT 1')");
	$r = $s->run("SELECT dblink_wait('{f}', '200ms') IS NULL");
	is($r->{out}, 't', 'notices are no answer');
	cmp_ok($r->{secs}, '<', SLOW, '... and do not hold up the end of the time');
	fails_with($s, "SET statement_timeout = '300ms'; SELECT * FROM dblink_gather('{a,f}') AS t(conn text, x int)", { state => '57014', within => SLOW }, 'a gather of notices is interrupted');
	$s->run('RESET statement_timeout');
	fake(2);
	fails_with($s, "SET statement_timeout = '300ms'; $from_both", { state => '57014', within => SLOW }, 'a server that is silent');
	$s->run('RESET statement_timeout');
	fake(3);
	fails_with($s, "SET statement_timeout = '300ms'; $from_both", { state => '57014', within => SLOW }, 'half of a row');
	$s->run('RESET statement_timeout');
	fake(4);
	fails_with($s, $from_both, { state => '08006', context => qr/named "f"/, within => SLOW }, 'rows without an end');
	fake(4);
	$r = $s->run("SET dblink.gather_failures = skip; $from_both; RESET dblink.gather_failures");
	like($r->{out}, qr/^1\|\d+$/, '... skipped') or diag $r->{err};
	is($r->{messages}[0]{severity}, 'WARNING', '... with a warning');
	fake(5);
	$r = $s->run($from_both);
	like("$r->{out}$r->{err}", qr/^1\|2$|ERROR:  08P01/, 'two results of one statement');
	fake(6);
	fails_with($s, $from_both, { state => qr/^(42804|08P01)$/ }, 'a tag instead of rows');
	fake(7);
	fails_with($s, $from_both, { state => '0A000', within => SLOW }, 'copy');
	fake(8);
	fails_with($s, $from_both, { state => '08006', within => SLOW }, 'no answer');
	fake(8);
	$s->run("SELECT dblink_send_query('f', 'SELECT 1')");
	rows_are($s, "SELECT dblink_wait('{f}'), count(*) FROM dblink_gather('{f}') AS t(conn text, x int)", 'f|0', 'no answer to what was sent');
	rows_are($s, "SELECT string_agg(x::text, '') FROM dblink_gather('{a,b}', 'SELECT 1') AS t(conn text, x int)", '11', 'and the others are usable');
}
$s->run("SELECT dblink_disconnect('f')");
$fake->stop;
$s->run('RESET ALL');

# ---- nothing is left behind ----------------------------------------------------------------

# Waits that are cancelled leave no descriptor.  (What makes the error is a time limit
# of one millisecond, again and again.)
$locker->run('SELECT pg_advisory_lock(1)');
$s->run("SELECT dblink_send_query(c, 'SELECT pg_advisory_xact_lock_shared(1)::text') FROM unnest($four) c");
$fds = fd_count($s->pid);
my $rounds = ($ENV{DBLINK_GATHER} || '') eq 'full' ? 10000 : 400;
my $storm = join '', map { "SELECT dblink_wait($four);\n" } 1 .. 100;
my $cancelled = 0;
for (1 .. $rounds / 100)
{
	my $out = $s->run("SET statement_timeout = '2ms'; $storm RESET statement_timeout", 60);
	$cancelled += $out->{errors};
}
is($cancelled, $rounds, "$rounds waits were cancelled");
is(fd_count($s->pid), $fds, '... and have left no descriptor');
$locker->run('SELECT pg_advisory_unlock(1)');
rows_are($s, "SELECT count(*) FROM dblink_gather($four) AS t(conn text, x text)", '4', '... nor lost a result');

# Nor do gathers that end in any way leave memory.
$s->run(<<"SQL");
CREATE FUNCTION many_times(n int) RETURNS void LANGUAGE plpgsql AS \$do\$
BEGIN
	FOR i IN 1 .. n LOOP
		PERFORM * FROM dblink_gather($four, 'SELECT generate_series(1, 100)') AS t(conn text, x int);
		PERFORM count(*) FROM dblink_gather($four, 'SELECT 1; SELECT 2') AS t(conn text, x int);
		PERFORM dblink_wait($four, '0');
		BEGIN
			PERFORM * FROM dblink_gather($four, 'SELECT 1/(i - 50) FROM generate_series(1, 100) i') AS t(conn text, x int);
		EXCEPTION WHEN division_by_zero THEN NULL;
		END;
		EXIT WHEN NOT EXISTS (SELECT FROM dblink_gather($four, 'SELECT generate_series(1, 10000)') AS t(conn text, x int));
	END LOOP;
END \$do\$
SQL
no_error($s, 'SELECT many_times(30)', 'once for the caches');
my $rss = memory_kb($s->pid, 'RssAnon');
no_error($s, 'SELECT many_times(100)', '100 times more');
my $grown = memory_kb($s->pid, 'RssAnon') - $rss;
cmp_ok($grown, '<', 1500, "memory has grown by $grown kB");
is(fd_count($s->pid), $fds, 'and no descriptor is left');
all_usable('at last');
$locker->quit;
$s->quit;
done_testing();
