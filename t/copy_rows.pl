# dblink_copy between real servers: what arrives, and what does not when something goes
# wrong on either side or in between; that it ends then, and that rows stream.

use strict;
use warnings;
use Test::More;
use Time::HiRes qw(time);
use PostgreSQL::Test::Utils;
use DblinkTest;
use DblinkWire;
use DblinkFake;
use DblinkProxy;

my $dir = PostgreSQL::Test::Utils::tempdir();
my ($local, $remote) = make_pair(
	local => { conf => [ 'log_temp_files = 0', 'work_mem = 1MB', 'jit = off' ] },
	remote => { conf => [ tls_conf($dir), 'fsync = off' ] });
my $proxy = start_proxy($remote->port);
my $s = session($local);
my $there = session($remote);
no_error($s, 'CREATE EXTENSION dblink2', 'the extension');
no_error($there, q{
	CREATE TABLE t (b int, a int, "order" text);
	CREATE TABLE noisy (a int, note text);
	CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		RAISE NOTICE 'row % is here', NEW.a;
		RETURN NEW;
	END $$;
	CREATE TRIGGER shout BEFORE INSERT ON noisy FOR EACH ROW EXECUTE FUNCTION shout();
	CREATE TABLE waiting (a int, note text);
	CREATE FUNCTION wait_for_lock() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM pg_advisory_xact_lock(4711);
		RETURN NEW;
	END $$;
	CREATE TRIGGER wait BEFORE INSERT ON waiting FOR EACH ROW EXECUTE FUNCTION wait_for_lock();
}, 'tables');

# Opens a connection, and forgets what was there.
sub connected
{
	my ($name, %opt) = @_;
	$s->run("SELECT dblink_disconnect('$name')");
	no_error($s, "SELECT dblink_connect('$name', " . lit(conninfo($remote, application_name => 'copied', %opt)) . ')', "connected: $name");
	return;
}

# The connection is usable, and the table has so many rows.  On a busy machine a cancel
# may take too long: then a WARNING has said that the connection was closed.
sub still
{
	my ($table, $count, $name, $r) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	connected('c') if $r && $r->{err} =~ /^WARNING:  08006: dblink connection "c" was closed/m;
	rows_are($s, "SELECT n FROM dblink('c', 'SELECT count(*) FROM $table') AS t(n bigint)", $count, "$name: the connection is usable, $count rows are there");
	return;
}

# Rows without end, which do not need any memory.
sub endless
{
	my $expression = shift;
	return "SELECT $expression FROM (SELECT generate_series(1, 2000000000) AS i) AS endless";
}

connected('c');
connected('src');

# ---- what arrives -----------------------------------------------------------

# should be named, because the order there is another: a = 10 b
rows_are($s, q{SELECT dblink_copy('c', 't', 'SELECT i * 10 AS a, i AS b, ''x'' AS "order" FROM generate_series(1, 1000) i')}, '1000', 'rows are copied');
rows_are($there, 'SELECT count(*), bool_and(a = 10 * b AND "order" = \'x\') FROM t', '1000|t', 'each value in its column');
# should fail: two statements
$s->run('CREATE TABLE mine (a int); INSERT INTO mine VALUES (1)');
fails_with($s, "SELECT dblink_copy('c', 't', 'SELECT 1 AS a; DELETE FROM mine')", { state => '42601' }, 'two statements');
rows_are($s, 'SELECT count(*) FROM mine', '1', 'neither has run');
# should keep nothing of a connection for one call
rows_are($s, 'SELECT dblink_copy(' . lit(conninfo($remote, application_name => 'one call')) . ", 't', 'SELECT 1 AS a')", '1', 'by a connection string');
remote_quiet($remote, "application_name = 'one call'", 'whose connection is closed');
$there->run('TRUNCATE t');

# A trigger there that raises a NOTICE for each row, with what comes back in pieces of
# one byte: with TLS, and without, where libpq gets to see parts of notices.
foreach my $sslmode (qw(require disable))
{
	$there->run('TRUNCATE noisy');
	$proxy->arm('s', 1, 'dribble');
	connected('c', port => $proxy->port, sslmode => $sslmode);
	# should arrive, all of them
	rows_are($s, "SELECT dblink_copy('c', 'noisy', 'SELECT i AS a, repeat(''x'', 300) AS note FROM generate_series(1, 1500) i')", '1500', "a notice a row, sslmode $sslmode: all rows were sent");
	rows_are($there, 'SELECT count(*), sum(a) FROM noisy', '1500|1125750', 'and are there');
}
$proxy->arm('s', -1, 'none');
connected('c');

# ---- dblink() in the query: it streams -----------------------------------------

# Temporary files that the local server has made since the last call.
my $seen = 0;
sub temporary_files
{
	my $log = slurp_file($local->logfile);
	my $count = () = $log =~ /temporary file: path/g;
	my $new = $count - $seen;
	$seen = $count;
	return $new;
}

$there->run("CREATE TABLE wide AS SELECT i, repeat(md5(i::text), 15) AS t FROM generate_series(1, 100000) i; CREATE TABLE copy (LIKE wide)");
my $stream = "SELECT dblink_copy('c', 'copy', 'SELECT * FROM dblink(''src'', ''SELECT * FROM wide'') AS t(i int, t text)')";
# should need a file if it may not stream: so we would see it
$s->run('SET dblink.streaming = off');
rows_are($s, $stream, '100000', 'a remote table to another, without streaming');
cmp_ok(temporary_files(), '>', 0, 'needs a temporary file');
$there->run('TRUNCATE copy');
# should need none, however long it takes; nor the memory
$s->run("SET dblink.streaming = on; SET dblink.stream_hold_time = '10ms'");
my $before = memory_kb($s->pid, 'VmRSS');
reset_peak($s->pid);
rows_are($s, $stream, '100000', 'a remote table to another, 50 MB');
is(temporary_files(), 0, 'needs no temporary file');
cmp_ok(memory_kb($s->pid, 'VmHWM') - $before, '<', 10_000, 'and no memory');
rows_are($there, 'SELECT count(*), count(DISTINCT copy.i) FROM copy JOIN wide USING (i, t)', '100000|100000', 'and is the same');
$s->run('RESET dblink.streaming; RESET dblink.stream_hold_time');

# The remote takes no rows, because it waits for what the stream holds: should be read
# ahead then.
$there->run(q{
	CREATE TABLE behind (i int, t text);
	CREATE FUNCTION lock_wide() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		LOCK TABLE wide IN ACCESS EXCLUSIVE MODE;
		RETURN NEW;
	END $$;
	CREATE TRIGGER lock_wide BEFORE INSERT ON behind FOR EACH ROW EXECUTE FUNCTION lock_wide();
});
rows_are($s, "SELECT dblink_copy('c', 'behind', 'SELECT * FROM dblink(''src'', ''SELECT * FROM wide'') AS t(i int, t text)')", '100000', 'the remote waits for the stream');

# ---- the remote fails -------------------------------------------------------------

# should fail soon, and say why: what the first row of 2,000,000,000 is about
$there->run('TRUNCATE t');
fails_with($s, "SELECT dblink_copy('c', 't', " . lit(endless("CASE i WHEN 1 THEN 'one' ELSE i::text END AS a")) . ')',
	{ state => '22P02', message => 'invalid input syntax for type integer: "one"', context => qr/\ACOPY t, line 1, column a: "one"\nwhile copying rows on dblink connection named "c"/, within => SLOW },
	'an error in the first of many rows');
still('t', 0, 'it failed');
# ... also with TLS, and in a transaction there
connected('c', sslmode => 'require');
no_error($s, "SELECT dblink_exec('c', 'BEGIN')", 'a transaction there');
fails_with($s, "SELECT dblink_copy('c', 't', " . lit(endless("CASE i WHEN 1 THEN 'one' ELSE i::text END AS a")) . ')',
	{ state => '22P02', within => SLOW }, 'the same with TLS');
no_error($s, "SELECT dblink_exec('c', 'ROLLBACK')", 'which is aborted');
still('t', 0, 'it failed');
connected('c');

# should fail, and leave nothing there: the other session ends in the middle
connected('killer');
my ($pid) = $s->run("SELECT pid FROM dblink('c', 'SELECT pg_backend_pid()') AS t(pid int)")->{out};
fails_with($s, "SELECT dblink_copy('c', 't', " . lit("SELECT i AS a, CASE i WHEN 200000 THEN (SELECT x FROM dblink('killer', 'SELECT pg_terminate_backend($pid)::text') AS t(x text)) END AS \"order\" FROM (SELECT generate_series(1, 2000000000) AS i) AS endless") . ')',
	{ state => '57P01', within => SLOW }, 'the remote session is ended in the middle');
fails_with($s, "SELECT dblink_copy('c', 't', 'SELECT 1 AS a')", { state => qr/^(08|XX)/ }, 'it is gone');
connected('c');
still('t', 0, 'connected again');
# ... or the connection breaks
foreach my $deed (qw(cut reset half stall))
{
	$proxy->arm('c', -1, 'none');
	connected('c', port => $proxy->port, sslmode => 'disable');
	my $frames = $proxy->report->{c};
	$s->run("SELECT dblink_disconnect('c')");
	$proxy->arm('c', $frames + 20, $deed, $s->pid, 'INT');
	connected('c', port => $proxy->port, sslmode => 'disable');
	fails_with($s, "SELECT dblink_copy('c', 't', " . lit(endless("i AS a")) . ')',
		{ state => $deed eq 'stall' ? '57014' : qr/^08/, within => SLOW }, "$deed in the middle");
	$proxy->arm('c', -1, 'none');
	remote_quiet($remote, "application_name = 'copied' AND query LIKE 'COPY%' AND state = 'active'", "$deed: no session goes on");
	connected('c');
	still('t', 0, $deed);
}

# ---- the local side fails ------------------------------------------------------

# should leave nothing there: an error here in the middle, after many rows were sent
fails_with($s, "SELECT dblink_copy('c', 't', 'SELECT 1000000 / (300000 - i) AS a FROM generate_series(1, 400000) i')", { state => '22012', within => SLOW }, 'an error here');
still('t', 0, 'an error here');
like(slurp_file($remote->logfile), qr/COPY from stdin failed: the local statement failed/, 'the remote was told');
# ... the session ends
{
	my $other = session($local);
	no_error($other, "SELECT dblink_connect('c', " . lit(conninfo($remote, application_name => 'ended')) . ')', 'another session');
	$other->send("SELECT dblink_copy('c', 't', " . lit(endless('i AS a')) . ')');
	is(poll_value($remote, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ended' AND query LIKE 'COPY%' AND state = 'active'", '1'), '1', 'copies');
	query_value($local, 'SELECT pg_terminate_backend(' . $other->pid . ')');
	my $r = $other->collect(SLOW);
	ok($r->{gone} && !$r->{hung}, 'is ended');
	remote_quiet($remote, "application_name = 'ended'", 'and its remote session');
	$other->quit;
}
still('t', 0, 'a session that was ended');

# ---- the remote takes no rows -----------------------------------------------------

my $holder = session($remote);
no_error($holder, 'SELECT pg_advisory_lock(4711)', 'a lock');
foreach my $in_xact (0, 1)
{
	my $where = $in_xact ? ', in a transaction' : '';
	# should be interrupted, while it is full
	$s->run("SELECT dblink_exec('c', 'BEGIN')") if $in_xact;
	my $r = fails_with($s, "SET statement_timeout = '500ms'; SELECT dblink_copy('c', 'waiting', " . lit(endless("i AS a, repeat('x', 100) AS note")) . ')',
		{ state => '57014', message => 'canceling statement due to statement timeout', within => SLOW }, "interrupted while the remote takes nothing$where");
	$s->run("RESET statement_timeout");
	$s->run("SELECT dblink_exec('c', 'ROLLBACK')") if $in_xact;
	still('waiting', 0, "interrupted$where", $r);
	# should be interrupted at its end, too
	$s->run("SELECT dblink_exec('c', 'BEGIN')") if $in_xact;
	$r = fails_with($s, "SET statement_timeout = '500ms'; SELECT dblink_copy('c', 'waiting', 'SELECT 1 AS a')",
		{ state => '57014', within => SLOW }, "interrupted while the remote completes$where");
	$s->run("RESET statement_timeout");
	$s->run("SELECT dblink_exec('c', 'ROLLBACK')") if $in_xact;
	still('waiting', 0, "interrupted at the end$where", $r);
	# should not wait for the remote: an error here after a few rows that it has not read
	$s->run("SELECT dblink_exec('c', 'BEGIN')") if $in_xact;
	$r = fails_with($s, "SELECT dblink_copy('c', 'waiting', 'SELECT 100 / (3000 - i) AS a, repeat(''x'', 100) AS note FROM generate_series(1, 4000) i')",
		{ state => '22012', within => SLOW }, "an error here while the remote takes nothing$where");
	is(scalar(grep { $_->{severity} eq 'WARNING' && $_->{message} =~ /^(?:remote transaction on )?dblink connection "c" was (?:aborted|closed)/ } @{ $r->{messages} }),
		$in_xact, "a warning about the transaction$where: $in_xact");
	$s->run("SELECT dblink_exec('c', 'ROLLBACK')") if $in_xact;
	still('waiting', 0, "an error here$where", $r);
}
# should be interrupted, and the connection closed: the remote does not react at all
($pid) = $s->run("SELECT pid FROM dblink('c', 'SELECT pg_backend_pid()') AS t(pid int)")->{out};
kill 'STOP', $pid;
my $r = fails_with($s, "SET statement_timeout = '500ms'; SELECT dblink_copy('c', 't', " . lit(endless('i AS a')) . ')',
	{ state => '57014', within => SLOW }, 'interrupted while the remote is stopped');
$s->run("RESET statement_timeout");
is(scalar(grep { $_->{message} =~ /^dblink connection "c" was closed/ } @{ $r->{messages} }), 1, 'the connection was closed');
kill 'CONT', $pid;
connected('c');
still('t', 0, 'a remote that was stopped');
$holder->quit;

# ---- a hostile server ----------------------------------------------------------------

my $copy_in = message('G', pack('Cnn', 0, 1, 0));
my $done = command_complete('COPY 1') . ready();
my $half = substr error_message({ S => 'NOTICE', C => '00000', M => 'half of a notice' }, 'N'), 0, 20;
my $few = "SELECT dblink_copy('h', 'x', 'SELECT 1 AS a')";
my $many = "SELECT dblink_copy('h', 'x', " . lit(endless('i AS a')) . ')';
my $requests = "$dir/requests";

# Notes the kind of a request, and answers.
sub noted
{
	my $answer = shift;
	return sub {
		open my $fh, '>>', $requests or die $!;
		print $fh substr $_[0], 0, 1;
		close $fh;
		return $answer;
	};
}

# [ name, answers, SQL, what it comes to, the requests that were seen, if they are noted,
# the answer to the first data ]
my @battery = (
	[ 'as it should be', [ noted($copy_in), noted($done) ], $few, qr/\A1\z/, 'Qc' ],
	[ 'a tag without a number', [ $copy_in, command_complete('COPY') . ready() ], $few, qr/\A\z/ ],
	[ 'a number of 30 digits', [ $copy_in, command_complete('COPY ' . '9' x 30) . ready() ], $few, qr/ERROR:  08P01/ ],
	[ 'rows for COPY', [ row_description(['x']) . data_row('1') . command_complete('SELECT 1') . ready() ], $few, qr/ERROR:  08006/ ],
	[ 'a tag for COPY', [ $done ], $few, qr/ERROR:  08006/ ],
	[ 'nothing for COPY', [ ready() ], $few, qr/ERROR:  08006/ ],
	[ 'COPY in the other direction', [ message('H', pack('Cn', 0, 0)) ], $few, qr/ERROR:  0A000/ ],
	[ 'COPY in both directions', [ message('W', pack('Cn', 0, 0)) ], $few, qr/ERROR:  0A000/ ],
	[ 'COPY with 65535 columns, then closed', [ message('G', pack('Cn', 0, 65535)) ], $few, qr/ERROR:  08006/ ],
	[ 'COPY again at its end', [ $copy_in, $copy_in, $done ], $few, qr/ERROR:  0A000/ ],
	[ 'rows at its end', [ $copy_in, row_description(['x']) . data_row('1') . $done ], $few, qr/\A1\z|ERROR:  08006/ ],
	[ 'nothing at its end', [ $copy_in, ready() ], $few, qr/ERROR:  08006/ ],
	[ 'closed at its end', [ $copy_in ], $few, qr/ERROR:  08006/ ],
	[ 'an error at its end', [ $copy_in, error_message({ S => 'ERROR', C => '23505', M => 'no' }) . ready() ], $few, qr/ERROR:  23505: no/ ],
	# should never be told that all rows have come
	[ 'half of a notice, then nothing, then closed', [ noted($copy_in), noted('') ], $many, qr/ERROR:  08/, 'Qf', $half ],
	[ 'an error in the middle, and COPY succeeds all the same', [ noted($copy_in), noted($done) ], $many, qr/ERROR:  22012: no/, 'Qf', error_message({ S => 'ERROR', C => '22012', M => 'no' }) ],
);
my @scenes = map { { start => auth_ok(server_version => '15.0'), answers => $_->[1], data => $_->[5], end => $_->[0] =~ /closed/ ? 'close' : 'wait' } } @battery;
my $fake = fake_server(sub { return $scenes[ $_[0] ] });
foreach my $i (0 .. $#battery)
{
	my ($name, undef, $sql, $pattern, $wanted) = @{ $battery[$i] };
	unlink $requests;
	$fake->next_scene($i);
	$s->run("SELECT dblink_connect('h', " . lit('host=127.0.0.1 dbname=x user=x password=x sslmode=disable gssencmode=disable connect_timeout=3 port=' . $fake->port) . ')');
	my $r = $s->run($sql, 2 * SLOW);
	my $got = $r->{out} . $r->{err};
	like($got, $pattern, "hostile: $name") or diag(substr $got, 0, 500);
	ok(!$r->{hung}, "$name: it ends");
	is(-e $requests ? slurp_file($requests) : '', $wanted, "$name: what it was told") if $wanted;
	$s->run("SELECT dblink_disconnect('h')");
}
$fake->stop;
healthy($s, 'the session lives');

# Floods while rows are copied: should end soon, and memory should not grow with them.  What
# is no notice is kept until 4 MB of it were seen; twice as much may have arrived by then,
# and libpq may double its buffer twice.
my %flood = (
	notices => error_message({ S => 'NOTICE', C => '00000', M => 'flood' x 20 }, 'N'),
	settings => parameter_status('flood', 'x' x 100),
	rows => data_row('x' x 100));
my @kinds = sort keys %flood;
$fake = fake_server(sub { return { start => auth_ok(server_version => '15.0'), answers => [ $copy_in . $flood{ $kinds[ $_[0] ] } x 50 ], end => 'flood' } });
foreach my $n (0 .. $#kinds)
{
	$s->quit;
	$s = session($local);
	$fake->next_scene($n);
	$s->run("SELECT dblink_connect('h', " . lit('host=127.0.0.1 dbname=x user=x password=x sslmode=disable gssencmode=disable connect_timeout=3 port=' . $fake->port) . ')');
	my $before = memory_kb($s->pid, 'VmHWM');
	my $r = $s->run("SET statement_timeout = '1s'; $many", 2 * SLOW);
	ok(!$r->{hung} && $r->{err} =~ /57014|ERROR:  (?:08|0A000)/ && $r->{secs} < SLOW, "a flood of $kinds[$n] ends") or diag substr $r->{err}, 0, 300;
	my $grown = memory_kb($s->pid, 'VmHWM') - $before;
	cmp_ok($grown, '<', 40 * 1024, "a flood of $kinds[$n]: memory is bounded ($grown kB)");
	healthy($s, "a flood of $kinds[$n]: the session lives");
}
$fake->stop;

$_->quit foreach $s, $there;
done_testing();
