# Sessions made at random give on ours, with default settings, what they give on
# the dblink that comes with PostgreSQL: each statement the same rows, SQLSTATE
# and message, and at the end the same connections, transactions, and rows on
# both sides.  What differs is shown with as few statements as show it.
#
# The seed is printed; DBLINK_RANDOM_SEED repeats a run.
# DBLINK_SESSION_STATEMENTS says how many statements to make at least (default
# 1500); DBLINK_SESSION_SELF=1 compares stock with stock.

use strict;
use warnings;
use Test::More;
use POSIX ();
use PostgreSQL::Test::Utils;
use DblinkTest;
use RandomSession;
use SideBySide qw(default_conf);

needs_stock();

my $seed = $ENV{DBLINK_RANDOM_SEED};
$seed = int(rand(1_000_000_000)) unless defined $seed && length $seed;
my $wanted = $ENV{DBLINK_SESSION_STATEMENTS} || 1500;
diag("DBLINK_RANDOM_SEED=$seed");

my $remote = make_server('remote', tree => stock_prefix());
my @sides = map { { name => $_ } } qw(stock ours);
foreach my $side (@sides)
{
	my $node = $side->{node} = make_server($side->{name}, tree => $side->{name} eq 'stock' || $ENV{DBLINK_SESSION_SELF} ? stock_prefix() : ours_prefix(),
		conf => [ default_conf() ]);
	my $db = "sessions_$side->{name}";
	my $info = conninfo($remote, dbname => $db, options => '-c timezone=UTC');
	my $loop = conninfo($node, dbname => $db, options => '-c timezone=UTC');
	foreach my $n ($remote, $node)
	{
		$n->safe_psql('postgres', "CREATE DATABASE $db");
		$n->safe_psql($db, RandomQuery::tables() . RandomSession::remote_functions());
	}
	my $parts = join ', ', "host '127.0.0.1'", "port '" . $remote->port . "'", "dbname '$db'";
	$node->safe_psql($db,
		'CREATE EXTENSION dblink;' . RandomQuery::functions() . RandomSession::local_functions()
		  . 'CREATE TABLE conninfo AS SELECT ' . lit($info) . '::text AS info, ' . lit($loop) . '::text AS loop;'
		  . "CREATE SERVER srv FOREIGN DATA WRAPPER dblink_fdw OPTIONS ($parts);"
		  . 'CREATE USER MAPPING FOR CURRENT_USER SERVER srv; ANALYZE');
	$side->{db} = $db;
}

# The text of a script: each session begins with everything as new, and its end
# shows what it has left.
sub script
{
	my @sessions = @_;
	my $text = <<'SQL';
\set VERBOSITY terse
LOAD 'dblink';
SELECT set_config('my.stop', '', false);
SQL
	foreach my $i (0 .. $#sessions)
	{
		$text .= <<'SQL';
\set ON_ERROR_ROLLBACK off
RESET ALL;
SET TimeZone = 'UTC';
SET statement_timeout = '15s';
CREATE TEMP TABLE IF NOT EXISTS kept (k int);
DROP TABLE kept;
TRUNCATE sink, log;
ALTER SEQUENCE counted RESTART;
SELECT fresh();
SELECT dblink_connect('a1', info), dblink_exec('c2', 'TRUNCATE log') FROM conninfo;
SQL
		my $n = 0;
		foreach my $sql (@{ $sessions[$i] })
		{
			$text .= "\\echo ==at $i $n\n" . ($sql =~ /^\\/ ? "$sql\n" : "$sql;\n\\if :ERROR\n\\echo ERROR :SQLSTATE :LAST_ERROR_MESSAGE\n\\endif\n");
			$n++;
		}

		# the end: what each connection says of itself, and then what is stored
		foreach my $sql (
			'ROLLBACK', 'CLOSE ALL', 'RESET ALL', "SET TimeZone = 'UTC'",
			'SELECT c FROM unnest(dblink_get_connections()) AS c ORDER BY 1',
			(map { "SELECT * FROM dblink_get_result('a1') AS t(k text)" } 1 .. 5), "SELECT dblink_exec('a1', 'SET geqo = on')",
			(map { "SELECT * FROM dblink('$_', 'SELECT now() = statement_timestamp(), current_setting(''DateStyle'')') AS t(at_rest bool, style text)" } qw(c1 c2 l1)),
			"SELECT * FROM dblink('SELECT now() = statement_timestamp()') AS t(at_rest bool)",
			"SELECT count(*), sum(hashtext(t)) FROM log",
			"SELECT count(*), sum(a), sum(hashtext(b)) FROM sink",
			'SELECT last_value, is_called FROM counted',
			'SELECT count(dblink_disconnect(c)) FROM unnest(dblink_get_connections()) AS c',
			"SELECT t.* FROM conninfo, dblink(info, 'SELECT count(*), sum(hashtext(t)), (SELECT count(*) FROM items) FROM log') AS t(n int, h bigint, i int)")
		{
			$text .= "\\echo ==at $i $n\n$sql;\n\\if :ERROR\n\\echo ERROR :SQLSTATE :LAST_ERROR_MESSAGE\n\\endif\n";
			$n++;
		}
	}
	return $text . "\\echo ==over\n";
}

# Runs sessions on a side, in the background; a handle for finish().
my $scripts = 0;
sub start
{
	my ($side, $file) = @_;
	my $out = "$file.$side->{name}";
	my $pid = fork;
	die "could not fork: $!" unless defined $pid;
	if (!$pid)
	{
		open STDOUT, '>', $out or die;
		open STDERR, '>', "$out.err" or die;
		exec 'timeout', $ENV{DBLINK_SESSION_STATEMENTS} ? 3000 : 600, 'psql', '-XAtq', '-h', $side->{node}->host, '-p', $side->{node}->port, '-d', $side->{db}, '-f', $file
		  or POSIX::_exit(127);
	}
	return { pid => $pid, out => $out };
}

# Runs sessions on both sides; for each side what came, by session and statement.
my $dir = $ENV{DBLINK_RANDOM_KEEP} || PostgreSQL::Test::Utils::tempdir();
sub run_sessions
{
	my @sessions = @_;
	my $file = "$dir/sessions_" . ++$scripts . '.sql';
	open my $fh, '>', $file or die "could not write $file: $!";
	print $fh script(@sessions);
	close $fh;
	my @runs = map { start($_, $file) } @sides;
	my @all;
	foreach my $run (@runs)
	{
		waitpid $run->{pid}, 0;
		my (%by, $at);
		foreach my $line (split /\n/, slurp_file($run->{out}))
		{
			if    ($line =~ /^==at (\d+ \d+)$/) { $at = $1; $by{$at} = '' }
			elsif ($line eq '==over')           { $by{over} = 1 }
			elsif (defined $at)                 { $by{$at} .= "$line\n" }
		}
		push @all, \%by;
	}
	return @all;
}

# Is the same there on both sides?
sub same { my ($a, $b) = @_; return defined $a && defined $b && $a eq $b }

# The first statement of session $i in which the sides differ; undef if none.
sub differs
{
	my ($i, $stock, $ours) = @_;
	my $n = 0;
	for (; exists $stock->{"$i $n"} || exists $ours->{"$i $n"}; $n++)
	{
		return $n unless same($stock->{"$i $n"}, $ours->{"$i $n"});
	}
	return undef;
}

# As few statements as still differ: leaves out each in turn.
sub minimal
{
	my @sql = @{ $_[0] };
	my $left_out = 1;
	while ($left_out)
	{
		$left_out = 0;
		for (my $i = $#sql; $i >= 0; $i--)
		{
			my @fewer = @sql[ grep { $_ != $i } 0 .. $#sql ];
			next unless defined differs(0, run_sessions(\@fewer));
			@sql = @fewer;
			$left_out = 1;
		}
	}
	return @sql;
}

# ---- the run ---------------------------------------------------------------

my $generator = RandomSession->new($seed);
my (@sessions, $statements);
while (($statements || 0) < $wanted)
{
	push @sessions, $generator->next_session;
	$statements += @{ $sessions[-1] };
}
diag(scalar(@sessions) . " sessions, $statements statements");
my ($stock, $ours) = run_sessions(@sessions);
ok($stock->{over}, 'stock came to the end');
ok($ours->{over}, 'ours came to the end');

# What the sessions say, so that a run without much in it is noticed.
my ($errors, $rows) = (0, 0);
foreach my $i (0 .. $#sessions)
{
	foreach my $n (0 .. $#{ $sessions[$i] })
	{
		my $got = $stock->{"$i $n"};
		next unless defined $got && $got ne '';
		$got =~ /^ERROR/m ? $errors++ : $rows++;
	}
}
diag("$rows statements with rows, $errors with an error");
cmp_ok($errors, '>', $statements / 20, 'there are errors to compare');
cmp_ok($rows, '>', $statements / 6, 'and rows');

my @different = grep { defined differs($_, $stock, $ours) } 0 .. $#sessions;
foreach my $i (@different[ 0 .. ($#different > 4 ? 4 : $#different) ])
{
	my @sql = @{ $sessions[$i] };
	my @both = run_sessions(\@sql);
	if (defined differs(0, @both))
	{
		@sql = minimal(\@sql);
		@both = run_sessions(\@sql);
	}
	else
	{
		diag("session $i differs only after the others");
		@both = ({ map { my $n = $_; $n =~ s/^$i /0 /; ($n => $stock->{$_}) } grep { /^$i / } keys %$stock },
			{ map { my $n = $_; $n =~ s/^$i /0 /; ($n => $ours->{$_}) } grep { /^$i / } keys %$ours });
	}
	my $n = differs(0, @both);
	$n = 0 unless defined $n;
	diag("session $i differs:\n" . join('', map { "$_;\n" } @sql) . "-- in " . ($n > $#sql ? 'its end, statement ' . ($n - $#sql) : "statement " . ($n + 1)) . "\n-- stock:\n"
		  . substr(defined $both[0]{"0 $n"} ? $both[0]{"0 $n"} : 'nothing', 0, 1000) . "-- ours:\n" . substr(defined $both[1]{"0 $n"} ? $both[1]{"0 $n"} : 'nothing', 0, 1000));
}
is(scalar @different, 0, scalar(@sessions) . ' sessions are on ours as they are on stock');

# What the server would say if something of ours had not been given back.
my @complaints = grep { /WARNING:.*(leak|not closed|still referenced|not owned)|PANIC:|was terminated by signal|was closed$/ }
  split /\n/, slurp_file($sides[1]{node}->logfile);
is(scalar(@complaints), 0, 'the server has nothing to complain of') or diag(join "\n", @complaints[ 0 .. ($#complaints > 9 ? 9 : $#complaints) ]);

done_testing();
