# SideBySide - the same session on stock and on ours, compared.
#
# There are three servers: one with the dblink that comes with PostgreSQL, one
# with ours, and the remote of both, where each has a database of its own.  A
# session is a list of statements; each gives its rows and its messages
# (severity, SQLSTATE, text), and both sides must give the same.  Stock has to
# give what the test expects, too, or the test is not about what it says.
#
# In statements, {remote} stands for the connection string of the side's remote
# database as a literal, and so do other names that a test adds to a side's
# "words".

package SideBySide;

use strict;
use warnings;
use Exporter 'import';
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;

our @EXPORT = qw(PATIENCE topic both_sides same_session side_session fill_in told remote_sql default_conf);

# Seconds until a statement that hangs is ended.
use constant PATIENCE => 10;

# A subtest; with DBLINK_TOPIC, a pattern, only those whose name matches are run.
sub topic
{
	my ($name, $code) = @_;
	return if defined $ENV{DBLINK_TOPIC} && $name !~ /$ENV{DBLINK_TOPIC}/;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return subtest($name, $code);
}

# Lines for postgresql.conf with which rows stream as they do by default, unless
# this run of the tests is one without streaming.
sub default_conf
{
	my $given = $ENV{TEMP_CONFIG} && -e $ENV{TEMP_CONFIG} ? slurp_file($ENV{TEMP_CONFIG}) : '';
	return $given =~ /dblink\.streaming = off/ ? () : ('dblink.streaming = on');
}

# Makes the servers.  Options: conf and env for stock and ours, remote (options
# of make_server), setup (SQL for the remote's databases), local_setup (SQL for
# the sides).  Returns (remote, stock, ours); the latter are hashes: name, node,
# remote, info (connection string), db, app, words.
sub both_sides
{
	my %opt = @_;
	my %tree = (stock => stock_prefix(), ours => ours_prefix());
	needs_stock();
	my $remote = make_server('remote', tree => $tree{stock}, %{ $opt{remote} || {} });
	my @sides;
	foreach my $name (qw(stock ours))
	{
		my $db = "for_$name";
		$remote->safe_psql('postgres', "CREATE DATABASE $db");
		$remote->safe_psql($db, $opt{setup}) if $opt{setup};
		my $node = make_server($name, tree => $tree{$name}, conf => [ @{ $opt{conf} || [] }, default_conf() ], env => $opt{env});
		$node->safe_psql('postgres', 'CREATE EXTENSION dblink');
		$node->safe_psql('postgres', $opt{local_setup}) if $opt{local_setup};
		my $info = conninfo($remote, dbname => $db, application_name => "side_$name", options => '-c timezone=UTC');
		push @sides, { name => $name, node => $node, remote => $remote, db => $db, app => "side_$name", info => $info,
			words => { remote => lit($info), port => $remote->port, db => $db, self => lit(conninfo($node, application_name => "side_$name")) } };
	}
	return ($remote, @sides);
}

# The statement with the side's words in it.
sub fill_in
{
	my ($side, $sql) = @_;
	my $words = join '|', map { quotemeta } keys %{ $side->{words} };
	$sql =~ s/\{($words)\}/$side->{words}{$1}/g;
	return $sql;
}

# A session of a side, with dblink loaded and a connection "c".
sub side_session
{
	my ($side, %opt) = @_;
	my $s = session($side->{node}, %opt);
	$s->run(fill_in($side, "LOAD 'dblink'; SET TimeZone = 'UTC'; SET statement_timeout = '" . PATIENCE . "s';"
			  . " SELECT dblink_connect('c', {remote})"));
	return $s;
}

# What a result tells, as text.
sub told
{
	my $r = shift;
	return join "\n", ($r->{out} ne '' ? $r->{out} : ()),
	  (map { "$_->{severity} $_->{state} $_->{message}" } @{ $r->{messages} }),
	  ($r->{hung} ? 'hung' : ()), ($r->{gone} ? 'gone' : ());
}

# One value from a side's database on the remote.
sub remote_sql
{
	my ($side, $sql) = @_;
	my $s = $side->{watch} ||= session($side->{remote}, db => $side->{db});
	my $r = $s->run(fill_in($side, $sql));
	return told($r);
}

# Runs the statements on both sides and compares.  Options: want (a text or a
# pattern that the last statement, or "after", must give on stock), after (SQL
# whose result on the remote is compared, too), clean (true: no statement may fail
# on stock), same (a function that is given a
# text and returns it without what may differ), during (a function that is given
# both sessions while the statement number "at", by default the last, runs).
# Returns true if all is equal.
sub same_session
{
	my ($sides, $name, $statements, %opt) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @statements = @$statements;
	my $same = $opt{same} || sub { $_[0] };
	my @sessions = map { side_session($_) } @$sides;
	my (@got, @wrong);
	my $at = defined $opt{at} ? $opt{at} : $#statements;
	foreach my $i (0 .. $#statements)
	{
		$sessions[$_]->send(fill_in($sides->[$_], $statements[$i])) foreach 0, 1;
		push @wrong, $opt{during}->(@sessions) if $opt{during} && $i == $at;
		push @{ $got[$_] }, $same->(told($sessions[$_]->collect(PATIENCE + SLOW))) foreach 0, 1;
		last if $got[0][-1] =~ /^hung/m || $got[1][-1] =~ /^hung/m;
	}
	$_->quit foreach @sessions;
	if ($opt{after})
	{
		# what the session left running comes to its end first
		poll_until(sub { !remote_count($sides->[0]{remote}, "datname = '$sides->[$_]{db}' AND application_name = '$sides->[$_]{app}'") }, SLOW)
		  foreach 0, 1;
		push @{ $got[$_] }, $same->(remote_sql($sides->[$_], $opt{after})) foreach 0, 1;
		push @statements, $opt{after};
	}
	foreach my $i (0 .. $#statements)
	{
		my ($stock, $ours) = map { defined $got[$_][$i] ? $got[$_][$i] : 'not run' } 0, 1;
		next if $stock eq $ours;
		push @wrong, "statement: $statements[$i]\nstock: " . substr($stock, 0, 1000) . "\nours:  " . substr($ours, 0, 1000);
		last;
	}
	if (defined $opt{want})
	{
		my $last = $got[0][-1];
		push @wrong, "stock does not give what is expected, $opt{want}, but: " . substr($last, 0, 1000)
		  unless ref $opt{want} ? $last =~ $opt{want} : $last eq $opt{want};
	}
	if ($opt{clean})
	{
		foreach my $i (grep { $got[0][$_] =~ /^ERROR /m } 0 .. $#{ $got[0] })
		{
			push @wrong, "stock fails, which is not what is to be tested: $statements[$i]\n" . substr($got[0][$i], 0, 1000);
		}
	}
	my $ok = ok(!@wrong, $name);
	diag(join "\n", @wrong) unless $ok;
	return $ok;
}

1;
