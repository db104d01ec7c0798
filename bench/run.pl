#!/usr/bin/perl
#
# run.pl - takes the measurements of script/bench, which starts it and has made
# the servers before. Writes results.md, the plots, and every single
# measurement (samples.tsv) into the directory that it is told.
#
# The method. An item of work is done by several contestants. Each round, each
# contestant has one turn, in a session of its own, and the order moves on by
# one from round to round: so whatever else the machine does hits all alike.
# One turn is one run of reader (see reader.c), which holds the clock and
# looks at memory and temporary files. Every turn's answer is checked: who does
# not count all the rows has not done the work.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;

use Getopt::Long;
use IPC::Open2;
use List::Util qw(max sum);
use Time::HiRes qw(time);

use Work;
use Plot;
use Report;

my %opt = (rounds => 0, only => '.', quick => 0);
GetOptions(\%opt, 'rounds=i', 'only=s', 'quick', 'called=s', 'out=s', 'reader=s', 'sizes=s')
  or die "run.pl: wrong options\n";

# Every single measurement goes here, too.
open my $samples, '>', "$opt{out}/samples.tsv" or die "run.pl: samples.tsv: $!\n";

# --------------------------------------------------------------------------
# Measuring
# --------------------------------------------------------------------------

# Run reader, give the fields of its answer.
sub reader
{
	my ($mode, @args) = @_;
	my ($answer, %field);
	my $pid = open2(my $out, my $in, $opt{reader}, $mode);

	print {$in} map { "$_\0" } @args;
	close $in;
	$answer = <$out>;
	close $out;
	waitpid $pid, 0;
	die "run.pl: reader $mode failed\n" if $? != 0 || !defined $answer;
	chomp $answer;
	while ($answer =~ /(\w+)=(\S*)/g)
	{
		$field{$1} = $2;
	}
	return \%field;
}

# One value from a server.
sub query
{
	my ($conninfo, @sql) = @_;

	return reader('time', $conninfo, @sql)->{value};
}

# One turn: check its answer and keep its figures.
sub take_turn
{
	my ($item, $c) = @_;
	my $got = reader($item->{work}->($c));
	my %expect = %{ $item->{expect} // {} };

	%expect = $item->{reader_rows} ? (rows => $item->{reader_rows}) : ()
	  if $c->{side} eq 'reader';
	for (keys %expect)
	{
		die "run.pl: $item->{id}, $c->{label}: $_ is $got->{$_}, should be $expect{$_}\n"
		  if ($got->{$_} // '') ne $expect{$_};
	}
	$got->{peak} = ($got->{peak_kb} - $got->{shared_kb}) / 1024
	  if ($got->{peak_kb} // -1) >= 0;
	push @{ $item->{samples}{ $c->{id} } }, $got;
	printf {$samples} "%s\t%s\t%s\t%s\t%s\n", $item->{id}, $c->{id},
	  $got->{seconds}, $got->{peak} // '', $got->{temp_bytes} // '';
}

# All rounds of one item.
sub measure
{
	my ($item) = @_;
	my @order = @{ $item->{who} };

	for (1 .. $item->{rounds})
	{
		take_turn($item, $contestant{$_}) for @order;
		push @order, shift @order;
	}
	summarize($item);
}

# Medians and the like, for each contestant; and the best fetch_size.
sub summarize
{
	my ($item) = @_;
	my $sum = $item->{sum} = {};
	my @fdws;

	for my $id (@{ $item->{who} })
	{
		my @samples = @{ $item->{samples}{$id} };
		my @seconds = sort { $a <=> $b } map { $_->{seconds} / ($item->{per} // 1) } @samples;

		$sum->{$id} = {
			median => ($seconds[ $#seconds / 2 ] + $seconds[ @seconds / 2 ]) / 2,
			min => $seconds[0],
			max => $seconds[-1],
			peak => max(grep { defined } map { $_->{peak} } @samples),
			temp => max(grep { defined } map { $_->{temp_bytes} } @samples),
		};
	}
	@fdws = sort { $sum->{$a}{median} <=> $sum->{$b}{median} } grep { /^fdw/ } keys %$sum;
	$item->{best_fdw} = $fdws[0];
}

# --------------------------------------------------------------------------
# All of it
# --------------------------------------------------------------------------

# How much is left, in words.
sub about
{
	my ($seconds) = @_;

	return $seconds < 90
	  ? sprintf('%d s', $seconds + 0.5)
	  : sprintf('%d min', $seconds / 60 + 0.5);
}

# One line about an item that is done.
sub progress
{
	my ($item) = @_;
	my $sum = $item->{sum};
	my @parts;

	for my $id (grep { $sum->{$_} } 'stock', 'ours_read', 'ours', 'ours_bin', 'ours_cancel', 'ours_nohold',
		'ours_keep', $item->{best_fdw} // '', 'limit')
	{
		push @parts, "$id " . ms($sum->{$id}{median});
	}
	return join(', ', @parts) . ' ms';
}

# Do the work, with a line an item, and an estimate of what is left that
# learns from what has been.
sub measure_all
{
	my ($items, $scale) = @_;
	my $todo = sum(map { $_->{cost} * $_->{rounds} } @$items) * $scale;
	my ($done, $n, $start) = (0, 0, time);

	printf STDERR "%d items, about %s\n", scalar @$items, about($todo);
	for my $item (@$items)
	{
		my $factor;

		printf STDERR "[%2d/%d] %-26s ", ++$n, scalar @$items, $item->{id};
		measure($item);
		$done += $item->{cost} * $item->{rounds} * $scale;
		# The first guess weighs as much as half a minute of experience.
		$factor = (time - $start + 30) / ($done + 30);
		printf STDERR "%s; about %s left\n", progress($item), about(($todo - $done) * $factor);
	}
}

# What there is to do, in what is installed.
sub items_to_measure
{
	my ($facts) = @_;
	my @all = all_items(split /[=,]/, $opt{sizes});
	my @todo = grep { $_->{id} =~ /$opt{only}/ } @all;

	die "run.pl: no item matches $opt{only}; there are: @{[ map { $_->{id} } @all ]}\n"
	  if !@todo;
	for my $item (@todo)
	{
		$item->{who} = existing($item, $facts->{setting});
		$item->{rounds} = $item->{growth} ? $facts->{growth_rounds} : $facts->{rounds};
	}
	return @todo;
}

# Under what circumstances it is measured.
sub circumstances
{
	my $versions = reader('versions');
	my $settings = query($local{ours}, "LOAD 'dblink'",
		"SELECT string_agg(name, ',') FROM pg_settings WHERE name LIKE 'dblink.%'");
	my $rounds = $opt{rounds} || ($opt{quick} ? 3 : 5);

	return {
		called => $opt{called},
		setting => { map { $_ => 1 } split /,/, $settings },
		server => query($local{ours}, 'SHOW server_version'),
		libpq => $versions->{libpq},
		portions => $versions->{portions} eq 'chunks' ? 'chunks' : 'single rows',
		load => grep_file('/proc/loadavg', qr/^(\S+)/) // 'unknown',
		rounds => $rounds,
		growth_rounds => $opt{quick} && !$opt{rounds} ? 1 : int(($rounds + 1) / 2),
	};
}

my $facts = circumstances();
my @todo = items_to_measure($facts);

print {$samples} "item\tcontestant\tseconds\tpeak_mb\ttemp_bytes\n";
measure_all(\@todo, $opt{quick} ? 0.1 : 1);
close $samples or die "run.pl: samples.tsv: $!\n";
plot_all($FindBin::RealBin, $opt{out}, @todo);
write_results($opt{out}, $facts, @todo);
