#!/usr/bin/perl
#
# faults.pl - t/FAULTS.md, from t/faults.rows and what the tests have printed.
#
#   script/faults.pl ROWS LOGDIR...
#
# script/faults --table calls it. A LOGDIR is a sandbox's log/: of script/test
# (tap-*.log, regress.log, parity.log, valgrind.log) and of script/faults
# (faults-*.log, asan-*.log), which go before those of script/test.

use strict;
use warnings;

my ($rows, @dirs) = @ARGV;
die "usage: $0 ROWS LOGDIR...\n" unless @dirs;

# All of a file; undef if it is not there.
sub slurp
{
	open my $fh, '<', shift or return undef;
	local $/;
	return scalar readline $fh;
}

# The logs of a test: those of script/faults or, if there are none, of script/test.
my %logs;
sub logs_of
{
	my $test = shift;
	return @{ $logs{$test} } if $logs{$test};
	my ($asan, $name) = $test =~ /^(asan:)?(.*)$/;
	my @found;
	foreach my $kind ($asan ? 'asan' : ('faults', 'tap'))
	{
		@found = grep { defined } map { slurp("$_/$kind-$name.log") } @dirs;
		last if @found;
	}
	$logs{$test} = \@found;
	return @found;
}

# What became of checks of one test: (passed, what is wrong).
sub judge
{
	my ($test, $pattern) = @_;
	if (my ($subject) = $test =~ m{^sql/(\w+)$})
	{
		my @all = map { /^(?:(?:ok|not ok) +\d+ +[-+] $subject |test $subject ).*/mg } map { slurp("$_/regress.log") // '' } @dirs;
		my @bad = grep { /^not ok|FAILED|failed/ } @all;
		return (@all - @bad, @bad ? 'differs' : @all ? () : 'not run');
	}
	if ($test =~ /^(?:parity|valgrind)$/)
	{
		my @last = map { (split /\n/)[-1] } grep { defined && length } map { slurp("$_/$test.log") } @dirs;
		my @bad = grep { !/\b0 (?:unexpected|reports)|\b0 failed/ } @last;
		return (@last - @bad, @bad ? @bad : @last ? () : 'not run');
	}
	my @texts = logs_of($test) or return (0, 'not run');
	my ($passed, @wrong) = (0);
	foreach my $text (@texts)
	{
		while ($text =~ /^(ok|not ok) \d+ - (.*)$/mg)
		{
			my ($ok, $name) = ($1, $2);
			next if defined $pattern && $name !~ $pattern;
			if ($ok eq 'ok') { $passed++ }
			else             { push @wrong, $name }
		}
		push @wrong, 'did not end' if $text !~ /^Result: /m;
	}
	push @wrong, 'no such check' if !$passed && !@wrong;
	return ($passed, @wrong);
}

# One row of the table.
my $failed = 0;
sub row
{
	my ($name, $fault, $checks) = @_;
	my (@tests, @wrong);
	my $passed = 0;
	foreach my $check (split / +; +/, $checks)
	{
		my ($test, $pattern) = $check =~ m{^(\S+)(?: +/(.*)/)?$} or die "$name: \"$check\" is no check\n";
		my ($count, @bad) = judge($test, $pattern);
		push @tests, "`$test`" . ($test =~ /^(?!sql/|parity$|valgrind$)/ ? " $count" : '');
		$passed += $count;
		push @wrong, map { "`$test`: $_" } @bad;
	}
	$failed++ if @wrong;
	return "| $name | $fault | " . join(', ', @tests) . ' | ' . (@wrong ? '**' . join('; ', @wrong) . '**' : 'passes') . " |\n";
}

# The counts: lines of one form are added up, but for the seeds.
my (%sums, @forms);
foreach my $test (qw(wire_sweep hostile_server fuzz_conninfo out_of_memory endurance secrets hosts leaks huge_values asan:wire_sweep asan:hostile_server))
{
	foreach my $text (logs_of($test))
	{
		while ($text =~ /^# SUMMARY (.*)$/mg)
		{
			my $line = $1;
			$line = "with AddressSanitizer: $line" if $test =~ /^asan/;
			$line =~ s/, seed \d+//;
			my @numbers = $line =~ /(?<![\w.])(\d+)(?![\w.]*\.\d)/g;
			my $form = $line =~ s/(?<![\w.])\d+(?![\w.]*\.\d)/N/gr;
			push @forms, $form unless $sums{$form};
			$sums{$form} ||= [];
			$sums{$form}[$_] += $numbers[$_] foreach 0 .. $#numbers;
		}
	}
}

print <<'END';
# Faults, and the tests that cover them

What can go wrong, what must hold then, and the checks that try it. This file is made by `script/faults --table` from `t/faults.rows` and
from what the tests have printed; the number beside a test is that of the checks that passed. `asan:` is a test with AddressSanitizer in the
library. "sql/" are the regression tests, "parity" the comparison with stock, "valgrind" the regression tests under Valgrind. Quick versions
of all of them run in `script/test`; what is counted here was done by `script/faults --full`, `script/faults --asan` and `script/test`.

END
my $table;
foreach my $line (split /\n/, slurp($rows) // die "$rows: $!\n")
{
	next if $line =~ /^#|^\s*$/;
	if ($line =~ /^== (.*)/)
	{
		$table .= "\n## $1\n\n| row | fault, and what must hold | tests and checks | result |\n|---|---|---|---|\n";
		next;
	}
	$table .= row(split / +\| +/, $line);
}
print "## Counts\n\n";
foreach my $form (@forms)
{
	my @numbers = @{ $sums{$form} };
	print '- ', $form =~ s/(?<![\w.])N(?![\w.])/shift @numbers/ger, "\n";
}
print $table;
exit($failed ? 1 : 0);
