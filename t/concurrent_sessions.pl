# Two sessions at once: a dblink call that waits holds nobody up; a call back to
# this very server that waits for a lock of our own ends by lock_timeout and
# statement_timeout; in parallel workers and background workers the functions
# work, or fail cleanly.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;

my ($local, $remote) = make_pair(
	remote => { conf => [ 'wal_level = logical', 'max_wal_senders = 5' ] },
	local => { conf => ['max_logical_replication_workers = 4'] });
my $s = session($local);
my $other = session($local);
my $to_remote = lit(conninfo($remote, application_name => 'sessions'));
my $to_self = lit(conninfo($local, application_name => 'loop'));
my $quiet = silent_listener();
my $full = full_listener();

# ---- DROP DATABASE elsewhere ------------------------------------------------------

# It waits until each backend has heard of it: should not be held up by one
# that waits for a remote, however it waits.
my %waits = (
	'connecting to a server that says nothing' => "SELECT dblink_connect('w', 'host=127.0.0.1 port=" . $quiet->port . "')",
	'connecting to a server that does not accept' => "SELECT dblink_connect('w', 'host=127.0.0.1 port=" . $full->port . "')",
	'a query' => "SELECT * FROM dblink($to_remote, 'SELECT pg_sleep(20)') AS t(x text)",
	'a stream' => "SET dblink.streaming = always; SELECT * FROM dblink($to_remote, 'SELECT pg_sleep(20)') AS t(x text)",
	'a command' => "SELECT dblink_exec($to_remote, 'DO ''BEGIN PERFORM pg_sleep(20); END''')");
foreach my $wait (sort keys %waits)
{
	$other->run('CREATE DATABASE doomed');
	$s->send($waits{$wait});
	poll_value($local, 'SELECT count(*) FROM pg_stat_activity WHERE pid = ' . $s->pid . " AND state = 'active' AND wait_event_type = 'Extension'", 1);
	my $r = $other->run('DROP DATABASE doomed', SLOW);
	ok(!$r->{errors} && !$r->{hung} && $r->{secs} < 4, "DROP DATABASE is not held up by $wait") or diag sprintf '%.1f s %s', $r->{secs}, $r->{err};
	query_value($local, 'SELECT pg_cancel_backend(' . $s->pid . ')');
	fails_with($s, $s->collect(SLOW), { state => '57014' }, "$wait is ended");
	$s->run('RESET dblink.streaming');
}

# ---- a lock of our own, through a call back to this server ---------------------------

$s->run('CREATE TABLE looped(x int PRIMARY KEY, y int); INSERT INTO looped VALUES (1, 1)');
foreach my $streaming (qw(off on always))
{
	$s->run("SET dblink.streaming = $streaming");
	foreach my $way ([ statement_timeout => '57014' ], [ 'remote lock_timeout' => '55P03' ])
	{
		my ($name, $state) = @$way;
		foreach my $sql (
			"SELECT dblink_exec(TARGET, 'UPDATE looped SET y = 2')",
			"SELECT * FROM dblink(TARGET, 'UPDATE looped SET y = 2 RETURNING x') AS t(x int)",
			"SELECT * FROM dblink(TARGET, 'SELECT x FROM looped FOR UPDATE') AS t(x int)")
		{
			my $target = $name =~ /remote/ ? lit(conninfo($local, application_name => 'loop', options => '-c lock_timeout=300ms')) : $to_self;
			my $text = $sql =~ s/TARGET/$target/r;
			$s->run('BEGIN; UPDATE looped SET y = 3');
			$s->run("SET LOCAL statement_timeout = '300ms'") if $name !~ /remote/;
			# should wait for ourselves, unseen by the deadlock detector, and end
			fails_with($s, $text, { state => $state, within => SLOW }, "$name ends it, streaming $streaming: " . substr $sql, 0, 30);
			$s->run('ROLLBACK');
		}
	}
}
remote_quiet($local, "application_name = 'loop'", 'no session of a loop is left');
rows_are($s, 'SELECT * FROM looped', '1|1', 'nothing was changed');

# a lock that the session waits for itself while an asynchronous query of its own
# holds it: lock_timeout acts
$s->run("SELECT dblink_connect('l', $to_self)");
$s->run("SELECT dblink_exec('l', 'BEGIN'); SELECT dblink_exec('l', 'LOCK TABLE looped')");
$s->run("SET lock_timeout = '300ms'");
fails_with($s, 'UPDATE looped SET y = 5', { state => '55P03', within => SLOW }, 'lock_timeout acts on a lock that our own remote session holds');
$s->run("RESET lock_timeout; SELECT dblink_disconnect('l')");
rows_are($s, 'SELECT * FROM looped', '1|1', 'and the lock goes with the connection');

# ---- two sessions, each with the other's row -----------------------------------------

$s->run('INSERT INTO looped VALUES (2, 1)');
$s->run('RESET dblink.streaming; BEGIN; UPDATE looped SET y = 10 WHERE x = 1');
$other->run('BEGIN; UPDATE looped SET y = 20 WHERE x = 2');
$s->send("SET LOCAL statement_timeout = '2s'; SELECT dblink_exec($to_self, 'UPDATE looped SET y = 11 WHERE x = 2')");
$other->send("SET LOCAL statement_timeout = '1s'; SELECT dblink_exec($to_self, 'UPDATE looped SET y = 21 WHERE x = 1')");
fails_with($other, $other->collect(SLOW), { state => '57014' }, 'a deadlock across two sessions is ended by statement_timeout');
$other->run('ROLLBACK');
my $r = $s->collect(SLOW);
ok(!$r->{hung}, 'and the other session goes on');
$s->run('ROLLBACK');

# ---- parallel plans ------------------------------------------------------------------------

# The functions are parallel restricted: the leader runs them, next to workers
# that scan.
my ($force, $yes) = $local->pg_version >= 16 ? ('debug_parallel_query', 'on') : ('force_parallel_mode', 'on');
$s->run("CREATE TABLE large AS SELECT g AS x FROM generate_series(1, 20000) g; ANALYZE large");
$s->run("SET $force = $yes; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 2");
$s->run("SELECT dblink_connect('p', $to_remote)");
foreach my $streaming (qw(off always))
{
	$s->run("SET dblink.streaming = $streaming");
	rows_are($s, "SELECT count(*), sum(y) FROM large JOIN dblink('p', 'SELECT generate_series(1, 100)') AS t(y int) ON x = y", '100|5050', "joined with a parallel scan, streaming $streaming");
	rows_are($s, "SELECT count(*) FROM dblink($to_remote, 'SELECT 1 FROM generate_series(1, 1000)') AS t(y int)", '1000', "alone, streaming $streaming");
	rows_are($s, "SELECT sum(y) FROM (SELECT x, (SELECT y FROM dblink('p', 'SELECT 1') AS t(y int)) AS y FROM large) q", '20000', "in a subquery, streaming $streaming");
	rows_are($s, "SELECT max(dblink_is_busy('p')) FROM large WHERE x < 100", '0', "in an expression, streaming $streaming");
}

# A function that lies about being parallel safe runs in workers, which have
# connections of their own: should work or fail cleanly, and never crash.
$s->run(qq{CREATE FUNCTION lies(x int) RETURNS int LANGUAGE plpgsql PARALLEL SAFE AS \$\$
	DECLARE y int;
	BEGIN
		SELECT t.y INTO y FROM dblink($to_remote, 'SELECT ' || x) AS t(y int);
		RETURN y;
	END \$\$;
	CREATE FUNCTION names() RETURNS text LANGUAGE sql PARALLEL SAFE AS 'SELECT coalesce(dblink_get_connections()::text, ''none'')'});
$r = $s->run('SELECT sum(lies(x)) FROM large WHERE x <= 60', 60);
ok(!$r->{hung} && !$r->{gone} && ($r->{out} eq '1830' || $r->{errors}), 'in a parallel worker') or diag "$r->{out} $r->{err}";
$r = $s->run('SELECT count(names()) FROM large WHERE x <= 60');
ok(!$r->{hung} && !$r->{gone}, 'asking for names in a parallel worker');
# in mid-query a worker is told to end
$s->run("SET statement_timeout = '500ms'");
$r = $s->run('SELECT sum(lies(x)) FROM large', SLOW);
ok(!$r->{hung} && !$r->{gone}, 'cancelled with workers at it') or diag $r->{err};
$s->run("RESET statement_timeout; RESET $force");
rows_are($s, "SELECT y FROM dblink('p', 'SELECT 7') AS t(y int)", '7', 'the leader\'s connection is usable');

# ---- a background worker -----------------------------------------------------------------

# The worker that applies logical replication has no client and no port: a
# trigger that it fires calls dblink, as superuser and as a plain role.
query_value($remote, 'CREATE TABLE replicated(x int PRIMARY KEY)');
query_value($remote, 'CREATE PUBLICATION pub FOR TABLE replicated');
$s->run(qq{
	CREATE ROLE plain;
	GRANT CREATE, USAGE ON SCHEMA public TO plain;
	CREATE TABLE replicated(x int PRIMARY KEY);
	CREATE TABLE told(x int, what text);
	GRANT ALL ON told TO plain;
	CREATE FUNCTION as_super() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS \$\$
	BEGIN
		INSERT INTO told SELECT NEW.x, 'super ' || y FROM dblink($to_remote, 'SELECT ' || NEW.x) AS t(y int);
		PERFORM dblink_connect('kept', $to_remote) WHERE 'kept' <> ALL (coalesce(dblink_get_connections(), '{}'));
		INSERT INTO told SELECT NEW.x, 'kept ' || y FROM dblink('kept', 'SELECT ' || NEW.x) AS t(y int);
		BEGIN
			PERFORM * FROM dblink('kept', 'SELECT 1/0') AS t(y int);
		EXCEPTION WHEN division_by_zero THEN INSERT INTO told VALUES (NEW.x, SQLSTATE);
		END;
		RETURN NULL;
	END \$\$;
	CREATE FUNCTION as_plain() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS \$\$
	BEGIN
		INSERT INTO told SELECT NEW.x, 'plain ' || y FROM dblink($to_remote || ' password=unused', 'SELECT 1') AS t(y int);
		RETURN NULL;
	EXCEPTION WHEN OTHERS THEN
		INSERT INTO told VALUES (NEW.x, 'plain ' || SQLSTATE);
		RETURN NULL;
	END \$\$;
	ALTER FUNCTION as_plain OWNER TO plain;
	CREATE TRIGGER a AFTER INSERT ON replicated FOR EACH ROW EXECUTE FUNCTION as_super();
	CREATE TRIGGER b AFTER INSERT ON replicated FOR EACH ROW EXECUTE FUNCTION as_plain();
	ALTER TABLE replicated ENABLE ALWAYS TRIGGER a;
	ALTER TABLE replicated ENABLE ALWAYS TRIGGER b});
$r = $s->run("CREATE SUBSCRIPTION sub CONNECTION " . lit(conninfo($remote)) . ' PUBLICATION pub WITH (copy_data = false)', 60);
ok(!$r->{errors}, 'a subscription') or diag $r->{err};
query_value($remote, 'INSERT INTO replicated VALUES (1)');
is(poll_value($local, "SELECT string_agg(x || ' ' || what, ', ' ORDER BY what) FROM told", '1 22012, 1 kept 1, 1 plain 2F003, 1 super 1', 30),
	'1 22012, 1 kept 1, 1 plain 2F003, 1 super 1', 'in a background worker, each as it should be');
query_value($remote, 'INSERT INTO replicated VALUES (2)');
is(poll_value($local, 'SELECT count(*) FROM told', 8, 30), 8, 'and again, on the connection it has kept');
$s->run('DROP SUBSCRIPTION sub');

# nobody crashed: the postmaster has never restarted its processes
my $log = slurp_file($local->logfile);
unlike($log, qr/was terminated by signal|server process .* exited with exit code [2-9]|PANIC/, 'no process crashed');
healthy($s, 'the session is the one it was');
$s->run("SELECT dblink_disconnect(n) FROM unnest(dblink_get_connections()) n");
is(join('; ', open_objects($s)), '', 'no object is left');
$_->quit foreach $s, $other;
remote_quiet($remote, "application_name = 'sessions'", 'no session is left on the remote');
$_->close foreach $quiet, $full;
done_testing();
