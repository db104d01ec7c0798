# COPY through any function is refused at once, and the connection stays
# usable: nothing waits for copy data that nobody sends or reads.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;

my ($local, $remote) = make_pair(
	remote => { conf => [ 'wal_level = replica', 'max_wal_senders = 2' ] });
my $to_remote = lit(conninfo($remote, application_name => 'copies'));
my $refusal = {
	state => '0A000',
	message => 'COPY is not supported through dblink',
	within => SLOW
};

my $admin = session($remote);
$admin->run(q{
	CREATE TABLE t(a int, b text);
	INSERT INTO t SELECT g, 'row ' || g FROM generate_series(1, 10) g;
	});

my %copy = (
	'COPY TO STDOUT' => 'COPY t TO STDOUT',
	'COPY TO STDOUT, binary' => 'COPY t TO STDOUT (FORMAT binary)',
	'COPY TO STDOUT, endless' =>
	  'COPY (SELECT generate_series(1, 1000000000)) TO STDOUT',
	'COPY TO STDOUT, empty' => 'COPY (SELECT 1 WHERE false) TO STDOUT',
	'COPY FROM STDIN' => 'COPY t FROM STDIN',
	'SELECT, then COPY' => 'SELECT 1; COPY t TO STDOUT',
	'COPY, then SELECT' => 'COPY t TO STDOUT; SELECT 1',
	'SELECT, COPY, COPY, SELECT' =>
	  'SELECT 1; COPY t FROM STDIN; COPY t TO STDOUT; SELECT 2');

# How a text gets to the remote; %s is the text.  The cursor's functions put
# it behind a statement of their own.
my %way = (
	'dblink, named' => "SELECT * FROM dblink('c', '%s') AS t(x int)",
	'dblink, unnamed' => "SELECT * FROM dblink('%s') AS t(x int)",
	'dblink, connection string' =>
	  "SELECT * FROM dblink($to_remote, '%s') AS t(x int)",
	'dblink_exec, named' => "SELECT dblink_exec('c', '%s')",
	'dblink_exec, unnamed' => "SELECT dblink_exec('%s')",
	'dblink_exec, connection string' => "SELECT dblink_exec($to_remote, '%s')",
	'dblink_open' => "SELECT dblink_open('c', 'cur', 'SELECT 1; %s')",
	'dblink_fetch' =>
	  "SELECT dblink_open('c', 'cur', 'SELECT 1'); "
	  . "SELECT * FROM dblink_fetch('c', 'cur; %s', 1) AS t(x int)",
	'dblink_close' =>
	  "SELECT dblink_open('c', 'cur', 'SELECT 1'); SELECT dblink_close('c', 'cur; %s')");

# The session's connections still serve, or a warning has said that one was
# closed and it is made anew.
sub usable
{
	my ($s, $r, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	foreach my $conn ('c', '')
	{
		my $what = $conn ? "dblink connection \"$conn\"" : 'unnamed dblink connection';
		my $arg = $conn ? "'$conn', " : '';
		if (grep { $_->{severity} eq 'WARNING' && $_->{message} eq "$what was closed" }
			@{ $r->{messages} })
		{
			note("$what was closed: $name");
			$s->run("SELECT dblink_connect($arg$to_remote)");
		}
		# a transaction that a cursor opened may have failed
		$s->run("SELECT dblink_exec(${arg}'ROLLBACK')");
		rows_are($s, "SELECT x FROM dblink(${arg}'SELECT 42') AS t(x int)",
			'42', "$name: $what is usable");
	}
	return;
}

my $s = session($local);
$s->run("SELECT dblink_connect('c', $to_remote); SELECT dblink_connect($to_remote)");
foreach my $way (sort keys %way)
{
	foreach my $copy (sort keys %copy)
	{
		my $sql = sprintf $way{$way}, $copy{$copy};
		# should fail at once
		my $r = fails_with($s, $s->run($sql, SLOW), $refusal, "$copy by $way");
		if ($r->{hung})
		{
			$s = session($local);
			$s->run("SELECT dblink_connect('c', $to_remote); SELECT dblink_connect($to_remote)");
			next;
		}
		usable($s, $r, "$copy by $way");
	}
}

# Asynchronously: should give the results before it, then fail, then be over.
foreach my $copy (sort keys %copy)
{
	no_error($s, "SELECT dblink_send_query('c', '$copy{$copy}')", "$copy is sent");
	my $r;
	for (1 .. 3)
	{
		$r = $s->run("SELECT * FROM dblink_get_result('c') AS t(x int)", SLOW);
		last if $r->{hung} || $r->{errors};
	}
	fails_with($s, $r, $refusal, "$copy by dblink_get_result");
	if ($r->{hung})
	{
		$s = session($local);
		$s->run("SELECT dblink_connect('c', $to_remote); SELECT dblink_connect($to_remote)");
		next;
	}
	for (1 .. 4)
	{
		$r = $s->run("SELECT count(*) FROM dblink_get_result('c') AS t(x int)", SLOW);
		last if $r->{out} eq '0' || $r->{hung};
	}
	usable($s, $r, "$copy by dblink_get_result");
}

# should end at once as well when errors are not to fail
foreach my $sql (
	"SELECT dblink_exec('c', 'COPY t TO STDOUT', false)",
	"SELECT * FROM dblink('c', 'COPY t FROM STDIN', false) AS t(x int)")
{
	my $r = $s->run($sql, SLOW);
	ok( !$r->{hung}
		  && (grep { $_->{state} eq '0A000' && $_->{message} eq $refusal->{message} }
			@{ $r->{messages} }),
		"fail_on_error false: $sql") or diag $r->{err};
	usable($s, $r, $sql);
}

# A replication connection's copy in both directions.
{
	my $replication = lit(conninfo($remote, replication => 'true', application_name => 'copies'));
	no_error($s, "SELECT dblink_connect('r', $replication)", 'a replication connection');
	my $lsn = query_value($remote, 'SELECT pg_current_wal_lsn()');
	# should fail at once
	my $r = fails_with($s,
		$s->run("SELECT dblink_exec('r', 'START_REPLICATION PHYSICAL $lsn')", SLOW),
		$refusal, 'START_REPLICATION');
	$s->run("SELECT dblink_disconnect('r')", SLOW);
}

# should be as before: nothing was copied in
rows_are($admin, 'SELECT count(*), sum(a) FROM t', '10|55', 'the table is unchanged');
healthy($s, 'the session lives');
$s->run("SELECT dblink_disconnect('c'); SELECT dblink_disconnect()");
remote_quiet($remote, "application_name = 'copies'", 'no session is left on the remote', SLOW);
$s->quit;
$admin->quit;
done_testing();
