# Report.pm - results.md: figures, tables and words.

package Report;

use strict;
use warnings;

use Exporter 'import';
use POSIX qw(strftime uname);

use Work;

our @EXPORT = qw(ms grep_file write_results);

# --------------------------------------------------------------------------
# Figures
# --------------------------------------------------------------------------

# Three digits that count.
sub digits
{
	my ($x) = @_;

	return
		$x >= 99.95 ? group(sprintf '%.0f', $x)
	  : $x >= 9.995 ? sprintf('%.1f', $x)
	  : sprintf('%.2f', $x);
}

# Milliseconds.
sub ms
{
	my ($seconds) = @_;
	my $ms = $seconds * 1000;

	return $ms < 0.9995 ? sprintf('%.3f', $ms) : digits($ms);
}

# --------------------------------------------------------------------------
# The machine
# --------------------------------------------------------------------------

# The first line of a file that matches, or what is found there in brackets.
sub grep_file
{
	my ($path, $regex) = @_;

	open my $file, '<', $path or return undef;
	while (<$file>)
	{
		return $1 // $_ if /$regex/;
	}
	return undef;
}

# What it was measured on.
sub machine
{
	my $cpu = grep_file('/proc/cpuinfo', qr/^model name\s*: (.*)/) // (uname())[4];
	my $os = grep_file('/etc/os-release', qr/^PRETTY_NAME="?([^"\n]*)/) // (uname())[0];
	my $memory = grep_file('/proc/meminfo', qr/^MemTotal:\s*(\d+)/) // 0;
	my ($cores) = `getconf _NPROCESSORS_ONLN` =~ /(\d+)/;
	return sprintf '%s, %s cores, %.0f GB memory; %s, kernel %s', $cpu, $cores // '?',
	  $memory / 1024 / 1024, $os, (uname())[2] =~ s/^(\d+\.\d+).*/$1/r;
}

# --------------------------------------------------------------------------
# Tables
# --------------------------------------------------------------------------

# A Markdown table from a head and rows; the first column is text.
sub table
{
	my ($head, @rows) = @_;

	return join '', map { '| ' . join(' | ', @$_) . " |\n" } $head,
	  [ '---', ('--:') x $#$head ], @rows;
}

# The table of one item.
sub item_table
{
	my ($item) = @_;
	my $sum = $item->{sum};
	my $stock = $sum->{stock}{median};
	my @rows;

	for my $id (@{ $item->{who} })
	{
		my $s = $sum->{$id};
		my $limit = limit_of($item, $id);

		push @rows,
		  [
			$contestant{$id}{label}
			  . (($item->{best_fdw} // '') eq $id && $item->{who}->@* > 6 ? ' (best)' : ''),
			ms($s->{median}),
			ms($s->{min}),
			ms($s->{max}),
			$stock ? digits($stock / $s->{median}) : '',
			$limit && $id !~ /^limit/ ? digits($s->{median} / $limit->{median}) : '',
			defined $s->{peak} ? sprintf('%.0f', $s->{peak}) : '',
			defined $s->{temp} ? sprintf('%.1f', $s->{temp} / 1e6) : '',
		  ];
	}
	return "### $item->{title}\n\n"
	  . table(
		[
			'', 'median ms', 'min', 'max', 'times as fast as stock', 'times the limit',
			'peak MB', 'temp MB'
		],
		@rows) . "\n";
}

# One line an item: what a reader wants to know first.
sub overview
{
	my @items = @_;
	my @columns = (
		[ 'stock', 'stock' ],
		[ 'ours_read', 'streaming off' ],
		[ 'ours', 'dblink' ],
		[ 'ours_bin', 'dblink, binary' ],
		[ 'tuned', 'dblink, tuned (below)' ],
		[ 'fdw', 'postgres_fdw, best' ],
		[ 'limit', 'libpq alone' ]);
	my @rows;

	@columns = grep {
		my $id = $_->[0];
		grep { result_of($_, $id) } @items
	} @columns;
	for my $item (@items)
	{
		my $stock = ($item->{sum}{stock} // {})->{median};
		my @cells;

		for (@columns)
		{
			my $s = result_of($item, $_->[0]);

			push @cells,
				!$s ? ''
			  : $_->[0] eq 'stock' || !$stock ? ms($s->{median})
			  : sprintf('%s (%s)', ms($s->{median}), digits($stock / $s->{median}));
		}
		push @rows, [ $item->{title}, @cells ];
	}
	return table([ 'milliseconds (times as fast as stock)', map { $_->[1] } @columns ], @rows);
}

# The tables of growth: one for each way of getting rows.
sub growth_tables
{
	my @items = @_;
	my %title = (
		dblink => 'count(*) over dblink()',
		get_result => 'count(*) over dblink_get_result()',
		fetch => 'count(*) over one dblink_fetch() of all rows',
		insert => 'INSERT ... SELECT from dblink()');
	my $text = '';

	for my $how (qw(dblink get_result fetch insert))
	{
		my @points = grep { $_->{growth} eq $how } @items or next;
		my @rows;

		for my $id ($points[0]{who}->@*)
		{
			for my $item (@points)
			{
				my $s = $item->{sum}{$id};

				push @rows,
				  [
					$contestant{$id}{label}, group($item->{at}), ms($s->{median}),
					ms($s->{min}), ms($s->{max}),
					digits($s->{median} / $item->{at} * 1e9),
					defined $s->{peak} ? sprintf('%.0f', $s->{peak}) : '',
					defined $s->{temp} ? sprintf('%.1f', $s->{temp} / 1e6) : '',
				  ];
			}
		}
		$text .= "### $title{$how}\n\n"
		  . table(
			[ '', 'rows', 'median ms', 'min', 'max', 'ns a row', 'peak MB', 'temp MB' ], @rows)
		  . "\n";
	}
	return $text;
}

# --------------------------------------------------------------------------
# The page
# --------------------------------------------------------------------------

# What the contestants and columns mean, as far as they were measured.
sub legend
{
	my ($facts) = @_;
	my $streams =
	  $facts->{setting}{'dblink.streaming'}
	  ? '"dblink" is this project with its default settings; other settings are named.'
	  : '"dblink, streaming off" is this project; it has no streaming in this build.';

	return <<"END";
$streams
"stock" is the dblink that comes with PostgreSQL. "libpq alone" is a small C
client that reads the same rows from the remote and throws them away: the
limit of what any of them can reach.

All contestants take turns, one a round, each in a fresh session whose
connections and caches are warm. The time is that of the one statement, on a
monotonic clock, as its client sees it. "Peak" is the local backend's peak of
resident memory (VmHWM) during the statement, without the server's shared
buffers; "temp" is what it wrote to temporary files. Both are the largest of
all rounds. The remote server and the local ones run on the same machine and
talk over loopback TCP; all remote tables are in memory.
END
}

# write_results(OUT, FACTS, ITEM...): all of results.md, in that directory.
sub write_results
{
	my ($out, $facts, @items) = @_;
	my @single = grep { !$_->{growth} } @items;
	my @growth = grep { $_->{growth} } @items;

	open my $file, '>', "$out/results.md" or die "results.md: $!\n";
	print {$file} "# Benchmark\n\n", "Made by `$facts->{called}` on ",
	  strftime('%Y-%m-%d', gmtime), ".\n\n",
	  "- machine: ", machine(), "\n",
	  "- PostgreSQL $facts->{server} on all servers, libpq $facts->{libpq}",
	  " (which gives a result in $facts->{portions})\n",
	  "- rounds: $facts->{rounds}; growth: $facts->{growth_rounds}\n",
	  "- load average of the minute before: $facts->{load}\n\n",
	  legend($facts), "\n";
	if (@single)
	{
		print {$file} "## At a glance\n\n", overview(@single), "\n";
		print {$file} "![Speed over many rows](rows.svg)\n\n" if -e "$out/rows.svg";
		print {$file} "![Speed of the first row and of small queries](small.svg)\n\n"
		  if -e "$out/small.svg";
		print {$file} "## Item by item\n\n", map { item_table($_) } @single;
	}
	if (@growth)
	{
		print {$file} "## Growth\n\nRows of 2 int.\n\n";
		print {$file} "![Time and memory against the number of rows](growth.svg)\n\n"
		  if -e "$out/growth.svg";
		print {$file} growth_tables(@growth);
	}
	close $file or die "results.md: $!\n";
}

1;
