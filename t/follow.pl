# dblink_begin: what two servers have committed, whatever happens meanwhile.
#
# A fault strikes at every byte of the answer to COMMIT, and before the remote server
# gets it.  It must never be that one side has committed and the other has not, without
# an error or a WARNING that says so.  The rest is what comes between the remote's commit
# and ours, and what a broken remote makes of it.

use strict;
use warnings;
use Test::More;
use Time::HiRes qw(time);
use PostgreSQL::Test::Utils;
use DblinkTest;
use DblinkProxy;
use DblinkWire;
use DblinkFake;

my ($local, $remote) = make_pair(
	local => { conf => ['max_prepared_transactions = 2'] });
# A queue of notifications that can be filled.
if ($local->pg_version >= 17)
{
	$local->append_conf('postgresql.conf', 'max_notify_queue_pages = 64');
	$local->restart;
}
watch($remote)->run('CREATE TABLE there (x text); CREATE TABLE later (x int UNIQUE DEFERRABLE INITIALLY DEFERRED)');
watch($local)->run('CREATE EXTENSION dblink2; CREATE TABLE here (x text)');
my $proxy = start_proxy($remote->port);
my $direct = lit(conninfo($remote, application_name => 'followed'));
my $proxied = lit("host=127.0.0.1 dbname=postgres application_name=followed sslmode=disable gssencmode=disable port="
	  . $proxy->port . ' user=' . query_value($remote, 'SELECT session_user'));
my $s = session($local);
my $serial = 0;

# Has the row been committed, there and here?
sub committed
{
	my $x = shift;
	return (query_value($remote, "SELECT count(*) FROM there WHERE x = '$x'"),
		query_value($local, "SELECT count(*) FROM here WHERE x = '$x'"));
}

# ---- every byte of COMMIT's answer ----------------------------------------------

# The answer to COMMIT: the tag and the state.
my $answer = length command_complete('COMMIT') . ready();

# One fault.  Returns what is wrong; the session is another if it was told to end.
sub strike
{
	my ($bytes, $what, $signal) = @_;
	my $x = 'x' . ++$serial;
	my @wrong;
	$proxy->arm_commit($bytes, $what, $s->pid, $signal);
	my $r = $s->run("SELECT dblink_connect('c', $proxied)");
	return "could not connect: $r->{err}" if $r->{errors};
	$s->run("BEGIN; SELECT dblink_begin('c'); INSERT INTO here VALUES ('$x');"
		  . " SELECT dblink_execute('c', 'INSERT INTO there VALUES (''$x'')')");
	$r = $s->run('COMMIT', 20);
	my $fired = $proxy->report->{fired};
	push @wrong, 'the proxy did not strike' unless $fired;
	push @wrong, 'the commit hangs' if $r->{hung};
	push @wrong, "it took $r->{secs} s" if $r->{secs} > SLOW;
	my $ends = $signal && $signal eq 'TERM';
	if ($ends) { $s->quit; $s = session($local) }
	else { $s->run("SELECT dblink_disconnect('c')") }
	$proxy->arm('s', -1, 'none');
	push @wrong, settled($remote, 'followed');
	my ($there, $here) = committed($x);
	my $said = $r->{err} =~ /08007/;
	push @wrong, "there $there, here $here, and nothing says so: $r->{err}" if $there != $here && !$said;
	push @wrong, 'committed here and not there' if $here && !$there;
	push @wrong, "rolled back without an error: $r->{err}" if !$here && !$r->{errors} && !$r->{gone};
	push @wrong, "an interrupt came too late, and was not: $r->{err}" if $what eq 'pause' && (!$here || $r->{errors});
	push @wrong, unsound($s, 0 + local_fds($s)) unless $ends;
	return map { "byte $bytes, $what " . ($signal || '') . ": $_" } @wrong;
}

foreach my $deed ([ 'cut' ], [ 'reset' ], [ 'remote' ], [ 'dribble' ], [ 'stall', 'INT' ], [ 'stall', 'TERM' ], [ 'pause', 'INT' ])
{
	my @bad;
	foreach my $bytes (-1 .. $answer - 1)
	{
		# nothing is known to come while COMMIT is held back
		next if $bytes < 0 && $deed->[0] =~ /^(remote|dribble|pause)$/;
		push @bad, strike($bytes, @$deed);
	}
	ok(!@bad, "@$deed at each of $answer bytes") or diag(join "\n", @bad);
}

my $sockets = local_fds($s);

# ---- what else can come of COMMIT ------------------------------------------------

# [ name, answer to COMMIT, what it comes to, does it commit here ]: a fake server, which
# says what it likes.
my $begun = command_complete('START TRANSACTION') . ready('T');
my $failed = error_message({ S => 'ERROR', C => '40001', M => 'no' });
my @battery = (
	[ 'COMMIT', command_complete('COMMIT') . ready(), qr/\A\z/, 1 ],
	[ 'ROLLBACK', command_complete('ROLLBACK') . ready(), qr/ERROR:  25P02: .*answered COMMIT with "ROLLBACK"/s, 0 ],
	[ 'an error', $failed . ready(), qr/ERROR:  40001: no\nCONTEXT:  while committing/, 0 ],
	[ 'another tag', command_complete('SELECT 1') . ready(), qr/ERROR:  08007: .*Unknown on connection "f"/s, 0 ],
	[ 'no tag', ready(), qr/ERROR:  08007: .*Unknown/s, 0 ],
	[ 'an empty query', message('I', '') . ready(), qr/ERROR:  08007: .*Unknown/s, 0 ],
	[ 'rows', row_description(['x']) . data_row('COMMIT') . command_complete('COMMIT') . ready(), qr/ERROR:  08007: .*Unknown/s, 0 ],
	[ 'copy', message('H', pack('Cn', 0, 0)), qr/ERROR:  08007: .*Unknown/s, 0 ],
	[ 'COMMIT, then an error', command_complete('COMMIT') . $failed . ready(), qr/\A\z/, 1 ],
	[ 'an error without a code', error_message({ S => 'ERROR', M => 'no' }) . ready(), qr/ERROR:  08007: .*Unknown on connection "f" \(no\)/s, 0 ],
	[ 'an error, still in a transaction', $failed . ready('E'), qr/ERROR:  08007: .*Unknown/s, 0 ],
	[ 'a fatal error', error_message({ S => 'FATAL', C => '57P01', M => 'down' }), qr/ERROR:  08007: .*Unknown on connection "f" \(down/s, 0 ],
	[ 'nonsense', "\xff" x 40, qr/ERROR:  08007: .*Unknown/s, 0 ],
	[ 'nothing', '', qr/ERROR:  08007: .*Unknown/s, 0 ]);
my $fake = fake_server(sub { return { start => auth_ok(), answers => [ $begun, $battery[ $_[0] ][1] ] } });
my $faked = lit('host=127.0.0.1 dbname=x user=x password=x sslmode=disable gssencmode=disable connect_timeout=3 port=' . $fake->port);
foreach my $i (0 .. $#battery)
{
	my ($name, undef, $pattern, $commits) = @{ $battery[$i] };
	$fake->next_scene($i);
	$s->run("SELECT dblink_connect('f', $faked)");
	my $r = $s->run("BEGIN; SELECT dblink_begin('f'); INSERT INTO here VALUES ('fake $i'); COMMIT", 20);
	like($r->{err}, $pattern, "COMMIT answered with $name");
	is((committed("fake $i"))[1], $commits, '... and here it is ' . ($commits ? 'committed' : 'rolled back'));
	$s->run("SELECT dblink_disconnect('f')");
}
$fake->stop;

# [ name, answers, SQL, what it comes to ]: something is wrong before COMMIT.
my $tx = command_complete('SELECT 1');
my @odd = (
	[ 'no transaction', [ command_complete('START TRANSACTION') . ready('I') ], 'SELECT 1', qr/ERROR:  08006: / ],
	[ 'a transaction that has failed', [ command_complete('START TRANSACTION') . ready('E') ], 'SELECT 1', qr/ERROR:  / ],
	[ 'the end of the transaction', [ $begun, command_complete('SAVEPOINT') . ready('T'), $tx . ready('I') ],
		"SAVEPOINT one; SELECT dblink_exec('f', 'x'); ROLLBACK TO one", qr/ERROR:  25000: .*\n.*ERROR:  25000: /s ],
	[ 'that a savepoint does not exist', [ $begun, command_complete('SAVEPOINT') . ready('T'), $tx . ready('T'), $failed . ready('E') ],
		"SAVEPOINT one; SELECT dblink_execute('f', 'x'); ROLLBACK TO one", qr/\AERROR:  25000: /s ]);
my $odd = fake_server(sub { return { start => auth_ok(), answers => $odd[ $_[0] ][1], end => 'wait' } });
$faked = lit('host=127.0.0.1 dbname=x user=x password=x sslmode=disable gssencmode=disable connect_timeout=3 port=' . $odd->port);
foreach my $i (0 .. $#odd)
{
	my ($name, undef, $sql, $pattern) = @{ $odd[$i] };
	$odd->next_scene($i);
	$s->run("SELECT dblink_connect('f', $faked)");
	my $r = $s->run("BEGIN; SELECT dblink_begin('f'); INSERT INTO here VALUES ('odd $i'); $sql; COMMIT", 20);
	like($r->{err}, $pattern, "a server that answers $name");
	is((committed("odd $i"))[1], 0, '... and nothing is committed here');
	$s->run("ROLLBACK; SELECT dblink_disconnect('f')");
}
$odd->stop;

# should commit nothing: one has released its savepoint, and the other could not
{
	my $answer = sub {
		my ($request) = @_;
		return $failed . ready('E') if $request =~ /^.{5}RELEASE/s;
		my ($tag) = $request =~ /^.{5}(START TRANSACTION|SAVEPOINT|ROLLBACK|SET CONSTRAINTS|COMMIT|INSERT)/s;
		return command_complete($tag) . ready($tag eq 'COMMIT' ? 'I' : 'T');
	};
	my $unreleased = fake_server(sub { return { start => auth_ok(), answers => [$answer], again => 1, end => 'wait' } });
	$faked = lit('host=127.0.0.1 dbname=x user=x password=x sslmode=disable gssencmode=disable connect_timeout=3 port=' . $unreleased->port);
	$s->run("SELECT dblink_connect('released', $direct), dblink_connect('unreleased', $faked)");
	my $r = $s->run("BEGIN; SELECT dblink_begin('released'), dblink_begin('unreleased'); DO \$\$ BEGIN BEGIN"
		  . " PERFORM dblink_exec('released', 'INSERT INTO there VALUES (''half'')'), dblink_exec('unreleased', 'INSERT');"
		  . " INSERT INTO here VALUES ('half'); EXCEPTION WHEN serialization_failure THEN RAISE NOTICE 'caught'; END; END \$\$; COMMIT");
	like($r->{err}, qr/NOTICE:  00000: caught.*ERROR:  25000: .*"released"/s, 'a savepoint that is not released');
	is(join(' ', committed('half')), '0 0', '... and nothing is committed');
	$s->run("ROLLBACK; SELECT dblink_disconnect('released'), dblink_disconnect('unreleased')");
	$unreleased->stop;
}

# should commit nothing: a query was sent in a subtransaction, which can't commit because of
# another connection
{
	$s->run("SELECT dblink_connect('sent', $direct), dblink_connect('failed', $direct)");
	my $r = $s->run("BEGIN; SELECT dblink_begin('sent'), dblink_begin('failed'); DO \$\$ BEGIN BEGIN"
		  . " PERFORM dblink_send_query('sent', 'INSERT INTO there VALUES (''sent'')'), dblink_exec('failed', 'SELECT 1 / 0', false);"
		  . " INSERT INTO here VALUES ('sent'); EXCEPTION WHEN in_failed_sql_transaction THEN RAISE NOTICE 'caught'; END; END \$\$; COMMIT");
	like($r->{err}, qr/\A(?!.*ERROR:).*NOTICE:  00000: caught/s, 'a query that was sent in a subtransaction');
	is(join(' ', committed('sent')), '0 0', '... is rolled back with it');
	$s->run("ROLLBACK; SELECT dblink_disconnect('sent'), dblink_disconnect('failed')");
}

# should roll back both: what would follow the end of a failure in one text has no savepoint
{
	$s->run("SELECT dblink_connect('f', $direct)");
	my $sub = sub {
		return " DO \$\$ BEGIN BEGIN $_[0] INSERT INTO here VALUES ('ended'); RAISE division_by_zero;"
		  . " EXCEPTION WHEN division_by_zero OR invalid_transaction_state THEN RAISE NOTICE 'caught %', SQLSTATE; END; END \$\$; COMMIT";
	};
	my $failed = "BEGIN; SELECT dblink_begin('f'); SELECT dblink_exec('f', 'SAVEPOINT u'); SELECT dblink_exec('f', 'SELECT 1 / 0', false);";
	my $r = $s->run($failed . $sub->("PERFORM dblink_exec('f', 'ROLLBACK TO u; INSERT INTO there VALUES (''ended'')');"));
	like($r->{err}, qr/caught 25000.*ERROR:  25P02: /s, 'a failure is ended, and more done, in one text');
	$r = $s->run('ROLLBACK;' . $failed . $sub->("PERFORM dblink_exec('f', 'ROLLBACK TO u'), dblink_exec('f', 'INSERT INTO there VALUES (''ended'')');"));
	like($r->{err}, qr/\A(?!.*ERROR:).*caught 22012/s, '... in two texts');
	is(join(' ', committed('ended')), '0 0', '... and nothing is committed');
	$s->run("ROLLBACK; SELECT dblink_disconnect('f')");
}

# ---- several connections ----------------------------------------------------------

# SQL that begins a transaction on several connections, and writes a row to each.
sub begin_on
{
	my ($x, @names) = @_;
	return "INSERT INTO here VALUES ('$x');" . join '', map {
		" SELECT dblink_begin('$_'); SELECT dblink_execute('$_', 'INSERT INTO there VALUES (\$1)', '$x $_'::text);" } @names;
}

# One is cut off before it gets COMMIT: the other has committed.
foreach my $case ([ 'cut' ], [ 'stall', 'INT' ])
{
	my ($what, $signal) = @$case;
	my $x = "several $what";
	$proxy->arm_commit(-1, $what, $s->pid, $signal);
	$s->run("SELECT dblink_connect('c', $proxied), dblink_connect('d', $direct); BEGIN;" . begin_on($x, 'c', 'd'));
	fails_with($s, 'COMMIT',
		{ state => '08007', message => 'transaction resolution unknown', within => SLOW,
			detail => qr/^The local transaction is rolled back\. Committed on connection "d"\. Unknown on connection "c"/ },
		"two connections, one $what");
	is((committed("$x d"))[0], 1, '... and so it is');
	is((committed($x))[1], 0, '... and here it is rolled back');
	rows_are($s, 'SELECT dblink_get_connections()', '{d}', '... the one that is unknown is closed');
	$s->run("SELECT dblink_disconnect('d')");
	$proxy->arm('s', -1, 'none');
}

# One fails in COMMIT for a reason that no constraint tells beforehand: the remote server
# finds a write skew.  The other has committed.
my $skewed = "SELECT dblink_execute('c', 'SELECT * FROM skew'), dblink_execute('c', 'INSERT INTO skew VALUES (''a'')')";
my $skewing = "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT * FROM skew WHERE x = 'a'";
$s->run("SELECT dblink_connect('c', $direct), dblink_connect('d', $direct)");
watch($_)->run("CREATE TABLE skew (x text); INSERT INTO skew VALUES ('a'), ('b')") foreach $local, $remote;
my $rival = session($remote);
$rival->run($skewing);
$s->run('BEGIN ISOLATION LEVEL SERIALIZABLE;' . begin_on('skewed', 'c', 'd') . $skewed);
$rival->run("INSERT INTO skew VALUES ('b'); COMMIT");
fails_with($s, 'COMMIT',
	{ state => '08007', detail => qr/Committed on connection "d"\. Not committed on connection "c" \(could not serialize access/ },
	'a serialization failure on one of two');
is(join(' ', (committed('skewed d'))[0], (committed('skewed c'))[0], (committed('skewed'))[1]), '1 0 0', '... and so it is');

# Alone it is an error like any other.
$rival->run($skewing);
$s->run('BEGIN ISOLATION LEVEL SERIALIZABLE;' . begin_on('alone', 'c') . $skewed);
$rival->run("INSERT INTO skew VALUES ('b'); COMMIT");
fails_with($s, 'COMMIT', { state => '40001', message => qr/^could not serialize/ }, 'a serialization failure there');
is(join(' ', (committed('alone c'))[0], (committed('alone'))[1]), '0 0', '... rolls back both');
$rival->quit;

# ---- the local commit fails after the remote one --------------------------------------

$rival = session($local);
$rival->run($skewing);
$s->run("BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT * FROM skew; INSERT INTO skew VALUES ('a');" . begin_on('late', 'c', 'd'));
$rival->run("INSERT INTO skew VALUES ('b'); COMMIT");
my $late = $s->run('COMMIT');
like($late->{err}, qr/WARNING:  08007: remote transaction on dblink connection "$_" was committed, but the local one was not/,
	"a serialization failure here: a WARNING names connection $_")
  foreach 'c', 'd';
like($late->{err}, qr/ERROR:  40001: /, '... with the error');
is(join(' ', (committed('late c'))[0], (committed('late d'))[0], (committed('late'))[1]), '1 1 0', '... and so it is');
rows_are($s, "SELECT dblink_execute('c', 'INSERT INTO there VALUES (''later'')')", '1', 'the connection is usable');
is((committed('later'))[0], 1, '... and commits by itself');
$rival->quit;

if ($local->pg_version >= 17)
{
	my $listener = session($local);
	$listener->run('LISTEN crowd; BEGIN; SELECT 1');
	fails_with($s, "SELECT pg_notify('crowd', g || repeat('x', 7000)) FROM generate_series(1, 100) AS g", { state => '54000' }, 'the queue of notifications is full');
	no_error($s, 'BEGIN;' . begin_on('notified', 'c') . 'NOTIFY crowd', 'a transaction with a notification');
	$late = $s->run('COMMIT');
	like($late->{err}, qr/WARNING:  08007: remote transaction on dblink connection "c" was committed, but the local one was not/, 'then it is the same');
	like($late->{err}, qr/ERROR:  54000: /, '... with that error');
	is(join(' ', (committed('notified c'))[0], (committed('notified'))[1]), '1 0', '... and so it is');
	$listener->quit;
}

# ---- an abort ends what runs there -----------------------------------------------------

# A transaction of the user's own would have to complete; one that follows is cancelled.
my $slow = "SELECT dblink_send_query('c', 'INSERT INTO there VALUES (''slow''); SELECT pg_sleep(600)')";
$s->run('BEGIN;' . begin_on('slow', 'c', 'd'));
fails_with($s, "SELECT 1 / (x - 2) FROM dblink('c', 'SELECT pg_sleep(CASE WHEN x > 5000 THEN 600 END), x FROM generate_series(1, 10000) x') AS t(s text, x int)",
	{ within => 4 * SLOW, state => qr/22012|57014/ }, 'an error here, with rows on their way')
  if query_value($local, "SELECT current_setting('dblink.streaming') <> 'off'") eq 't';
rows_are($s, "ROLLBACK; SELECT dblink_execute('c', 'SELECT 1'), dblink_execute('d', 'SELECT 1')", '1|1', '... and the connections are free');
is((committed('slow c'))[0], 0, '... and what they did is rolled back');
$s->run('BEGIN;' . begin_on('slow', 'c') . $slow);
my $r = $s->run('ROLLBACK');
ok($r->{secs} < SLOW && !$r->{errors} && $r->{err} !~ /WARNING/, 'an asynchronous query is cancelled by ROLLBACK') or diag($r->{err});
is((committed('slow'))[0], 0, '... and rolled back');
fails_with($s, "BEGIN; SET LOCAL statement_timeout = '300ms';" . begin_on('slow', 'c') . "SELECT dblink_execute('c', 'SELECT pg_sleep(600)')",
	{ state => '57014', within => SLOW }, 'a time-out');
rows_are($s, "ROLLBACK; SELECT state FROM dblink('c', 'SELECT ''usable''') AS t(state text)", 'usable', '... and the connection is usable');
is(poll_value($remote, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'followed' AND (xact_start IS NOT NULL OR state <> 'idle')", '0'),
	'0', 'no transaction is open there');

# ---- a remote that is lost ---------------------------------------------------------------

# Before the end:
$s->run('BEGIN;' . begin_on('lost', 'c'));
my $pid = query_value($remote, "SELECT pid FROM pg_stat_activity WHERE application_name = 'followed' AND state LIKE 'idle in%' AND pg_terminate_backend(pid)");
ok(poll_until(sub { !-d "/proc/$pid" }), 'a session there is ended');
fails_with($s, 'COMMIT', { state => '08006', detail => qr/terminating connection|closed the connection/ }, '... and COMMIT fails');
is((committed('lost'))[1], 0, '... and nothing is committed here');
$s->run("SELECT dblink_disconnect('c'), dblink_disconnect('d')");

# In a savepoint that can't be rolled back there in time: the connection is closed, and
# what it did before the savepoint is lost with it.
$s->run("SELECT dblink_connect('c', $proxied); BEGIN;" . begin_on('stalled', 'c') . "SAVEPOINT one; SELECT dblink_execute('c', 'SELECT 1')");
$proxy->arm_softly('s', 'stall');
$r = $s->run('SELECT 1/0; ROLLBACK TO one');
ok($r->{secs} < SLOW && $r->{err} =~ /WARNING:  08006: dblink connection "c" was closed/, 'a savepoint that is not rolled back in time')
  or diag($r->{err});
rows_are($s, 'SELECT dblink_get_connections() IS NULL', 't', '... closes the connection');
fails_with($s, "SELECT dblink_connect('c', $direct); COMMIT", { state => '25000', message => qr/"c" has not followed/ },
	'... and there is no commit, even if another has the name');
is(join(' ', (committed('stalled c'))[0], (committed('stalled'))[1]), '0 0', '... of anything');
$proxy->arm('s', -1, 'none');
rows_are($s, "SELECT dblink_disconnect('c')", 'OK', '... and the other stays');

# ---- what is left ------------------------------------------------------------------------

$s->run("SELECT dblink_connect('c', $direct)");
$s->run('BEGIN;' . begin_on('prepared', 'c'));
fails_with($s, "PREPARE TRANSACTION 'followed'", { state => '0A000', detail => qr/connection "c"/ }, 'PREPARE TRANSACTION');
is(join(' ', (committed('prepared c'))[0], (committed('prepared'))[1]), '0 0', '... rolls back');
$s->run("SELECT dblink_disconnect('c')");
is(join("\n", unsound($s, $sockets)), '', 'nothing is left of it');
is(join("\n", settled($remote, 'followed')), '', '... on the remote');
healthy($s, 'the session lives');
$proxy->stop;
$s->quit;
done_testing();
