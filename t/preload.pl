# A server that loads dblink at its start, before its shared memory is there;
# and what a session that waits for a remote is seen to wait for: events with
# names of dblink's own from PostgreSQL 17 on, before that core's for all
# extensions.
# streaming: any

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;

my ($local, $remote) = make_pair(
	local => { conf => [ "shared_preload_libraries = 'dblink'" ] });
my $named = $local->pg_version->major >= 17;
my $silent = silent_listener();
my $s = session($local);
my $c = lit(conninfo($remote));
my $nowhere = lit('host=127.0.0.1 dbname=postgres sslmode=disable gssencmode=disable port=' . $silent->port);

# should be loaded before any of its functions is called
like($s->run('SHOW dblink.version')->{out}, qr/\d/, 'its settings are known at once');
$s->run('SET dblink.streaming = always');
like($s->run("EXPLAIN SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)")->{out},
	qr/Custom Scan/, 'and the first query is planned by it');

# Runs a statement that waits, and asks meanwhile for what; then ends it.
sub waits_for
{
	my ($sql, $event, $what) = @_;
	my $pid = $s->pid;

	$event = 'Extension' unless $named;
	$s->send($sql);
	is(poll_value($local, "SELECT wait_event_type || ' ' || wait_event FROM pg_stat_activity WHERE pid = $pid", "Extension $event"),
		"Extension $event", "$what: $event");
	query_value($local, "SELECT pg_cancel_backend($pid)");
	fails_with($s, $s->collect, { state => '57014' }, "$what: cancelled");
	return;
}

# should be seen with the name of what is waited for
waits_for("SELECT dblink_connect('n', $nowhere)", 'DblinkConnect', 'connecting by name');
waits_for("SELECT * FROM dblink($nowhere, 'SELECT 1') AS t(a int)", 'DblinkGetConnect', 'connecting for one call');
no_error($s, "SELECT dblink_connect('c', $c)", 'should work: a connection');
waits_for("SELECT * FROM dblink('c', 'SELECT pg_sleep(600)') AS t(a text)", 'DblinkGetResult', 'a query');
waits_for("SELECT dblink_exec('c', 'DO \$\$ BEGIN PERFORM pg_sleep(600); END \$\$')", 'DblinkGetResult', 'a command');

# should be the same names in a session that comes later
my $t = session($local);
($s, $t) = ($t, $s);
no_error($s, "SELECT dblink_connect('c', $c)", 'should work: another session');
waits_for("SELECT * FROM dblink('c', 'SELECT pg_sleep(600)') AS t(a text)", 'DblinkGetResult', 'its query');
healthy($t, 'the first session lives');

$_->quit foreach $s, $t;
remote_quiet($remote, 'true', 'no session is left on the remote');
$silent->close;
done_testing();
