# Queries made at random give on ours, with streaming in all its settings, what
# they give on the dblink that comes with PostgreSQL: the same rows, in the same
# order unless the plan decides it, the same SQLSTATE and message.
#
# The seed is printed; DBLINK_RANDOM_SEED repeats a run, DBLINK_RANDOM_QUERIES
# says how many statements to make at least (default 5000).
#
# streaming: any

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;
use RandomQuery;

needs_stock();

my $seed = $ENV{DBLINK_RANDOM_SEED};
$seed = int(rand(1_000_000_000)) unless defined $seed && length $seed;
my $wanted = $ENV{DBLINK_RANDOM_QUERIES} || ($ENV{DBLINK_QUICK} ? 1000 : 5000);
diag("DBLINK_RANDOM_SEED=$seed");

my ($ours, $remote) = make_pair();
my $stock = make_server('stock', tree => stock_prefix());

# Every variant has databases of its own.  With early_cancel, errors that were
# to come are not met.
my @variants = (
	{ name => 'stock', node => $stock, set => {} },
	{ name => 'always', node => $ours, set => { streaming => 'always' } },
	{ name => 'on', node => $ours, set => { streaming => 'on', stream_hold_time => -1 } },
	{ name => 'impatient', node => $ours, set => { streaming => 'always', stream_hold_time => 0 } },
	{ name => 'cancel', node => $ours, cancel => 1,
		set => { streaming => 'always', on_early_end => 'cancel' } },);
{
	my $s = session($ours);
	my %known;
	$s->run("LOAD 'dblink'");
	$known{$_} = !$s->run("SHOW dblink.$_")->{errors} foreach qw(result_format keep_connections);
	push @variants, { name => 'binary', node => $ours,
		set => { streaming => 'always', result_format => 'binary', $known{keep_connections} ? (keep_connections => 3) : () } }
	  if $known{result_format};
	$s->quit;
}

# Makes the databases of a variant; returns the connection string of its
# sessions to the remote.
sub set_up
{
	my $v = shift;
	my $node = $v->{node};
	my $db = "random_$v->{name}";
	my $info = conninfo($remote, dbname => $db, options => '-c timezone=UTC');
	my $loop = conninfo($node, dbname => $db, options => '-c timezone=UTC');

	foreach my $n ($remote, $node)
	{
		$n->safe_psql('postgres', "CREATE DATABASE $db");
		$n->safe_psql($db, RandomQuery::tables());
	}
	my $parts = join ', ', "host '127.0.0.1'", "port '" . $remote->port . "'", "dbname '$db'";
	$node->safe_psql($db,
		"CREATE EXTENSION dblink;" . RandomQuery::functions()
		  . 'CREATE TABLE conninfo AS SELECT ' . lit($info) . '::text AS info, ' . lit($loop) . '::text AS loop;'
		  . "CREATE SERVER srv FOREIGN DATA WRAPPER dblink_fdw OPTIONS ($parts);"
		  . 'CREATE USER MAPPING FOR CURRENT_USER SERVER srv;'
		  . "ANALYZE");
	$v->{db} = $db;
	return;
}

# The text of the script: every statement followed by its error, if any, and
# every case by its number.
sub script
{
	my @cases = @_;
	my $text = <<'SQL';
\set bad 0
LOAD 'dblink';
SET TimeZone = 'UTC';
SET statement_timeout = '30s';
SELECT fresh();
SQL
	foreach my $i (0 .. $#cases)
	{
		$text .= "\\echo ==case $i\n";
		foreach my $sql (@{ $cases[$i]{sql} })
		{
			$text .= "$sql;\n\\if :ERROR\n\\echo ERROR :SQLSTATE :LAST_ERROR_MESSAGE\n\\set bad 1\n\\endif\n";
		}
		$text .= "\\if :bad\nROLLBACK;\nCLOSE ALL;\nSELECT fresh();\n\\endif\n" if $cases[$i]{fresh};
		$text .= "\\set bad 0\n";
		if ($i % 50 == 49)
		{
			$text .= "\\echo ==rest $i\n"
			  . "SELECT c FROM unnest(dblink_get_connections()) AS c ORDER BY 1;\n"
			  . "SELECT * FROM dblink('c1', 'SELECT count(*), count(DISTINCT t) FROM log') AS t(a int, b int);\n"
			  . "SELECT current_setting('DateStyle'), current_setting('IntervalStyle');\n";
		}
	}
	return $text;
}

# Runs the script as a variant, in the background: a handle for finish().
sub start
{
	my ($v, $file) = @_;
	my $dir = $ENV{DBLINK_RANDOM_KEEP} || PostgreSQL::Test::Utils::tempdir();
	my $out = "$dir/$v->{name}.out";
	my @cmd = ('psql', '-XAtq', '-h', $v->{node}->host, '-p', $v->{node}->port, '-d', $v->{db}, '-f', $file);
	local $ENV{PGOPTIONS} = join ' ', map { "-c dblink.$_=$v->{set}{$_}" } sort keys %{ $v->{set} };
	my $pid = fork;
	die "could not fork: $!" unless defined $pid;
	if (!$pid)
	{
		open STDOUT, '>', $out or die;
		open STDERR, '>', "$out.err" or die;
		exec @cmd or POSIX::_exit(127);
	}
	return { v => $v, pid => $pid, out => $out, started => time() };
}

# Waits for its end; gives the output by case.
sub finish
{
	my $run = shift;
	waitpid $run->{pid}, 0;
	is($?, 0, "$run->{v}{name}: psql came to the end");
	my (%by, $at);
	foreach my $line (split /\n/, slurp_file($run->{out}))
	{
		if ($line =~ /^==(\w+ \d+)$/) { $at = $1; $by{$at} = '' }
		elsif (defined $at) { $by{$at} .= "$line\n" }
	}
	diag("$run->{v}{name}: " . (time() - $run->{started}) . ' s') if $ENV{DBLINK_RANDOM_VERBOSE};
	return \%by;
}

# The lines of a text in order.
sub sorted { return join "\n", sort split /\n/, shift }

# ---- the run ---------------------------------------------------------------

my $generator = RandomQuery->new($seed);
my (@cases, $statements);
while (($statements || 0) < $wanted)
{
	push @cases, $generator->next_case;
	$statements += @{ $cases[-1]{sql} };
}
my $file = ($ENV{DBLINK_RANDOM_KEEP} || PostgreSQL::Test::Utils::tempdir()) . "/script.sql";
open my $fh, '>', $file or die "could not write $file: $!";
print $fh script(@cases);
close $fh;
diag(scalar(@cases) . " cases, $statements statements, " . @variants . ' variants');

set_up($_) foreach @variants;
my %got;
my $reference = start($variants[0], $file);
$got{ $_->{name} } = finish(start($_, $file)) foreach @variants[ 1 .. $#variants ];
my $want = finish($reference);
is(scalar(grep { /^case/ } keys %$want), scalar @cases, 'stock ran every case');

# What the cases say, so that a run without much in it is noticed.
my $errors = grep { $want->{"case $_"} =~ /^ERROR/m } 0 .. $#cases;
diag("$errors cases with an error");
cmp_ok($errors, '>', @cases / 50, 'there are errors to compare');
cmp_ok($errors, '<', @cases / 3, 'and not too many');

foreach my $v (@variants[ 1 .. $#variants ])
{
	my ($differ, $compared) = (0, 0);
	foreach my $i (0 .. $#cases)
	{
		next if $v->{cancel} && ($cases[$i]{error} || '') eq 'remote';
		$compared++;
		my ($a, $b) = ($want->{"case $i"}, $got{ $v->{name} }{"case $i"});
		if ($cases[$i]{rough})
		{
			($a, $b) = map { (split /\n/, defined $_ ? $_ : '')[-1] } $a, $b;
		}
		next if defined $b
		  && ($a eq $b || $cases[$i]{unordered} && sorted($a) eq sorted($b));
		$b = 'nothing' unless defined $b;
		next if ++$differ > 5;
		my $text = join ";\n", @{ $cases[$i]{sql} };
		$text =~ s/\r/\\r/g;
		diag("case $i of $v->{name} differs:\n$text\n-- stock:\n"
			  . substr($a, 0, 2000) . "-- ours:\n" . substr($b, 0, 2000));
	}
	is($differ, 0, "$v->{name}: $compared cases give what they give on stock");
	my @rest = grep { /^rest/ && $want->{$_} ne ($got{ $v->{name} }{$_} || '') } sort keys %$want;
	@rest = () if $v->{cancel};
	is("@rest", '', "$v->{name}: connections, settings and remote tables are as on stock");
}

# What the server would say if something of ours had not been given back.
my @complaints = grep { /WARNING:.*(leak|not closed|still referenced|not owned)|PANIC:|was terminated by signal|was closed$/ }
  split /\n/, slurp_file($ours->logfile);
is(scalar(@complaints), 0, 'the server has nothing to complain of') or diag(join "\n", @complaints[ 0 .. ($#complaints > 9 ? 9 : $#complaints) ]);

done_testing();
