#!/usr/bin/perl
#
# run.pl - takes the measurements of script/bench, which starts it and has made
# the servers before. Writes results.md, summary.md (its first table alone), the
# plots, and every single measurement (samples.tsv) into the directory that it
# is told.
#
# The method. An item of work is done by several contestants, each in a session
# of its own that lives for the whole item. They alternate: in each turn, each
# executes the work once, so that whatever else the machine does affects all of
# them alike; the order moves on by one from turn to turn. Within a turn we
# divide stock's time by the contestant's: this ratio says how many times as
# fast, or as cheap in processor time, the contestant was. A contestant stops when
# the medians of its two ratios, of wall time and of processor time, are known to
# TOLERANCE, and all stop at a bound of turns or seconds.
#
# The first execution of each session is not timed: it loads libraries and fills
# caches. Its peak memory and temporary files are those that we report, because
# the backend is fresh then.
#
# Every answer is checked: a contestant that does not return all rows has not done
# the work.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Getopt::Long;
use POSIX qw(ceil);
use Time::HiRes qw(time);

use Work;
use Session;
use Plot;
use Report;

# A ratio is settled when the 95 % confidence interval of its median is narrower
# than that to both sides, after at least so many turns.
my $TOLERANCE = 0.05;
my $MIN_SETTLED = 5;

# The bound of seconds does not apply before so many turns.
my $MIN_TURNS = 3;

my %opt = (turns => 30, seconds => 60, only => '.');
GetOptions(\%opt, 'turns=i', 'seconds=i', 'only=s', 'called=s', 'out=s', 'reader=s',
	'psql=s', 'sizes=s')
  or die "run.pl: wrong options\n";

$ENV{BENCH_PSQL} = $opt{psql};

# Every single measurement goes here, too.
open my $samples, '>', "$opt{out}/samples.tsv" or die "run.pl: samples.tsv: $!\n";

# --------------------------------------------------------------------------
# Statistics
# --------------------------------------------------------------------------

# The value below which that part of the sorted numbers lies.
sub quantile
{
	my ($part, @sorted) = @_;
	my $at = $part * $#sorted;
	my ($low, $high) = @sorted[ int $at, ceil $at ];

	return $low + ($high - $low) * ($at - int $at);
}

# Median, least and greatest; and the spread: half the 95 % confidence interval
# of the median, 1.57 interquartile ranges by the root of the number of values
# (the notch of a box plot), as a part of the median.
sub describe
{
	my @sorted = sort { $a <=> $b } @_;
	my $median = quantile(0.5, @sorted);
	my $range = quantile(0.75, @sorted) - quantile(0.25, @sorted);

	return {
		median => $median,
		min => $sorted[0],
		max => $sorted[-1],
		spread => 1.57 * $range / sqrt(@sorted) / $median
	};
}

# Describe stock's time by that of a contestant, in the turns that both had.
sub ratio
{
	my ($what, $stock, $turns) = @_;

	return describe(map { $stock->[$_]{$what} / $turns->[$_]{$what} } 0 .. $#$turns);
}

# --------------------------------------------------------------------------
# Measuring
# --------------------------------------------------------------------------

# Open a contestant's session, with what it is to do in it.
sub open_session
{
	my ($item, $c) = @_;
	my $work = $item->{work}->($c);
	my $session;

	if ($work->{reader})
	{
		$session = Session->new_reader($opt{reader}, @{ $work->{reader} });
		$work->{expect} = $item->{reader_rows} // qr/^\d+$/;
	}
	else
	{
		$session = Session->new_psql($opt{psql}, $local{ $c->{side} });
		$work->{expect} = $item->{expect};
		$session->run($_) for @{ $work->{setup} // [] };
	}
	$session->{work} = $work;
	return $session;
}

# One turn of one contestant, with its answer checked.
sub take_turn
{
	my ($item, $id, $session) = @_;
	my $got = $session->turn($session->{work});
	my $expect = $session->{work}{expect};

	$expect = qr/^\Q$expect\E$/ if !ref $expect;
	die "run.pl: $item->{id}, $contestant{$id}{label}: wrong answer \"$got->{answer}\"\n"
	  if $got->{answer} !~ $expect;
	$got->{wall} = $got->{answer} if $item->{told};
	return $got;
}

# The first turn: memory and temporary files.
sub first_turn
{
	my ($item, $id, $session) = @_;
	my $temp = $session->temp_bytes;

	take_turn($item, $id, $session);
	$item->{sum}{$id} = { peak => $session->peak };
	$item->{sum}{$id}{temp} = $session->temp_bytes - $temp if defined $temp;
}

# Check whether both ratios of a contestant are known well enough.
sub settled
{
	my ($stock, $turns) = @_;

	return 0 if @$turns < $MIN_SETTLED;
	return !grep { ratio($_, $stock, $turns)->{spread} > $TOLERANCE } qw(wall cpu);
}

# All turns of one item.
sub measure
{
	my ($item) = @_;
	my @order = @{ $item->{who} };
	my %session = map { $_ => open_session($item, $contestant{$_}) } @order;
	my %turns;
	my $start;

	first_turn($item, $_, $session{$_}) for @order;
	$start = time;
	for my $n (1 .. $opt{turns})
	{
		for my $id (@order)
		{
			my $got = take_turn($item, $id, $session{$id});

			push @{ $turns{$id} }, $got;
			printf {$samples} "%s\t%s\t%d\t%.6f\t%.6f\n", $item->{id}, $id, $n,
			  $got->{wall}, $got->{cpu};
		}
		last if $n >= $MIN_TURNS && time - $start > $opt{seconds};
		push @order, shift @order;
		@order = grep { $_ eq 'stock' || !settled($turns{stock}, $turns{$_}) } @order;
		last if @order == 1;
	}
	$session{$_}->close for keys %session;
	summarize($item, \%turns);
}

# What is reported of each contestant; and the best fetch_size.
sub summarize
{
	my ($item, $turns) = @_;
	my $sum = $item->{sum};
	my @fdws;

	for my $id (@{ $item->{who} })
	{
		my $s = $sum->{$id};

		$s->{turns} = @{ $turns->{$id} };
		for my $what (qw(wall cpu))
		{
			$s->{$what} =
			  describe(map { $_->{$what} / ($item->{per} // 1) } @{ $turns->{$id} });
			$s->{"${what}_ratio"} = ratio($what, $turns->{stock}, $turns->{$id});
		}
	}
	@fdws = sort { $sum->{$a}{wall}{median} <=> $sum->{$b}{wall}{median} } grep { /^fdw/ } keys %$sum;
	$item->{best_fdw} = $fdws[0];
}

# --------------------------------------------------------------------------
# All of it
# --------------------------------------------------------------------------

# One line about an item that is done.
sub progress
{
	my ($item) = @_;

	return join ', ', map {
		my $s = $item->{sum}{$_};
		sprintf '%s %.2f/%.2f', $_, $s->{wall_ratio}{median}, $s->{cpu_ratio}{median}
	} grep { $_ ne 'stock' } @{ $item->{who} };
}

# Measure all items, with a line for each: the ratios of wall and processor time.
# The results are written after each, so that an interrupted run leaves them.
sub measure_all
{
	my ($facts, @items) = @_;
	my $n = 0;

	for my $item (@items)
	{
		my $start = time;

		measure($item);
		printf STDERR "[%2d/%d] %s, %d s, %d turns: %s\n", ++$n, scalar @items,
		  $item->{id}, time - $start, $item->{sum}{stock}{turns}, progress($item);
		write_results($opt{out}, $facts, @items[ 0 .. $n - 1 ]);
	}
}

# The items to measure, in what is installed.
sub items_to_measure
{
	my ($setting) = @_;
	my @all = all_items(split /[=,]/, $opt{sizes});
	my @todo = grep { $_->{id} =~ /$opt{only}/ } @all;

	die "run.pl: no item matches $opt{only}; there are: @{[ map { $_->{id} } @all ]}\n"
	  if !@todo;
	$_->{who} = existing($_, $setting) for @todo;
	return @todo;
}

# Under what circumstances we measure.
sub circumstances
{
	my $session = Session->new_psql($opt{psql}, $local{ours});
	my %versions = `$opt{reader} versions` =~ /(\w+)=(\S+)/g;
	my $facts;

	$session->run("LOAD 'dblink'");
	$facts = {
		called => $opt{called},
		setting => {
			map { $_ => 1 } split /,/, $session->run(
				"SELECT string_agg(name, ',') FROM pg_settings WHERE name LIKE 'dblink.%'")
		},
		server => $session->run('SHOW server_version') =~ s/ .*//r,
		libpq => $versions{libpq},
		portions => $versions{portions} eq 'chunks' ? 'chunks' : 'single rows',
		load => grep_file('/proc/loadavg', qr/^(\S+)/) // 'unknown',
		tolerance => $TOLERANCE,
		turns => $opt{turns},
		seconds => $opt{seconds},
	};
	$session->close;
	return $facts;
}

my $facts = circumstances();
my @todo = items_to_measure($facts->{setting});

print {$samples} "item\tcontestant\tturn\twall_seconds\tcpu_seconds\n";
measure_all($facts, @todo);
close $samples or die "run.pl: samples.tsv: $!\n";
plot_all($FindBin::RealBin, $opt{out}, @todo);
write_results($opt{out}, $facts, @todo);
