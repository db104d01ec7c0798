# Report.pm - results.md and summary.md: figures, tables and words.

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

# Median, least and greatest of a time, in ms, or microseconds for one call.
sub time_cell
{
	my ($item, $d) = @_;

	return sprintf '%s (%s to %s)',
	  map { $item->{per} ? digits($_ * 1e6) : ms($_) } @$d{qw(median min max)};
}

# The same of a ratio, and how well its median is known.
sub ratio_cell
{
	my ($d) = @_;

	return sprintf '%s (%s to %s) ± %.0f %%', map({ digits($_) } @$d{qw(median min max)}),
	  100 * $d->{spread};
}

# Peak memory in MB.
sub peak_cell
{
	my ($s) = @_;

	return $s ? group(sprintf '%.0f', $s->{peak}) : '';
}

# Temporary files in MB; reader has none.
sub temp_cell
{
	my ($s) = @_;

	return defined $s->{temp} ? sprintf('%.1f', $s->{temp} / 1e6) : '';
}

# The table of one item.
sub item_table
{
	my ($item) = @_;
	my $unit = $item->{per} ? 'µs' : 'ms';
	my $fdws = grep { /^fdw/ } @{ $item->{who} };
	my @rows;

	for my $id (@{ $item->{who} })
	{
		my $s = $item->{sum}{$id};
		my $best = $fdws > 1 && $item->{best_fdw} eq $id ? ' (best)' : '';

		push @rows,
		  [
			$contestant{$id}{label} . $best,
			time_cell($item, $s->{wall}),
			time_cell($item, $s->{cpu}),
			map({ $id eq 'stock' ? '1' : ratio_cell($s->{$_}) } qw(wall_ratio cpu_ratio)),
			$s->{turns}, peak_cell($s), temp_cell($s)
		  ];
	}
	return "### $item->{title}\n\n"
	  . ($item->{per} ? "Times are those of one of " . group($item->{per}) . " calls.\n\n" : '')
	  . table(
		[
			'', "wall $unit", "processor $unit", 'stock / this, wall', 'stock / this, processor',
			'turns', 'peak MB', 'temp MB'
		],
		@rows) . "\n";
}

# One line an item, for a reader in a hurry: ratios of wall and processor time.
sub overview
{
	my @items = @_;
	my @columns = (
		[ 'ours_read', 'streaming off' ],
		[ 'ours', 'dblink' ],
		[ 'ours_bin', 'dblink, binary' ],
		[ 'tuned', 'dblink, tuned' ],
		[ 'fdw', 'postgres_fdw' ],
		[ 'limit', 'libpq alone' ]);
	my @rows;

	@columns = grep {
		my $id = $_->[0];
		grep { result_of($_, $id) } @items
	} @columns;
	for my $item (@items)
	{
		my $stock = $item->{sum}{stock};
		my $ours = $item->{sum}{ours} // $item->{sum}{ours_read};
		my @cells;

		for (@columns)
		{
			my $s = result_of($item, $_->[0]);

			push @cells,
			  $s ? join ' / ', map { digits($s->{$_}{median}) } qw(wall_ratio cpu_ratio) : '';
		}
		push @rows,
		  [
			$item->{title},
			join(' / ',
				map { $item->{per} ? digits($_ * 1e6) . ' µs' : ms($_) . ' ms' }
				map { $stock->{$_}{median} } qw(wall cpu)),
			@cells,
			join(' / ', map { peak_cell($_) } $stock, $ours)
		  ];
	}
	return table(
		[ '', 'stock: wall / processor', map({ $_->[1] } @columns), 'peak MB: stock / dblink' ],
		@rows);
}

# The tables of growth: one for each way of obtaining rows.
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
					$contestant{$id}{label},
					group($item->{at}),
					map({ time_cell($item, $s->{$_}) } qw(wall cpu)),
					digits($s->{cpu}{median} / $item->{at} * 1e9),
					map({ $id eq 'stock' ? '1' : digits($s->{$_}{median}) } qw(wall_ratio cpu_ratio)),
					$s->{turns}, peak_cell($s), temp_cell($s)
				  ];
			}
		}
		$text .= "### $title{$how}\n\n"
		  . table(
				[
				'', 'rows', 'wall ms', 'processor ms', 'processor ns a row',
				'stock / this, wall', 'stock / this, processor', 'turns', 'peak MB', 'temp MB'
			],
			@rows)
		  . "\n";
	}
	return $text;
}

# --------------------------------------------------------------------------
# The page
# --------------------------------------------------------------------------

# What the contestants and columns mean.
sub legend
{
	my ($facts) = @_;
	my $percent = 100 * $facts->{tolerance};

	return <<"END";
Contestants: "dblink" is this project with its default settings; other settings are named, and "tuned" is the one made
for the item: `dblink.on_early_end = cancel`, `dblink.stream_hold_time = -1`, or `dblink.keep_connections = 4`. "stock"
is the dblink that ships with PostgreSQL. postgres_fdw has the better of two values of `fetch_size`, 100 and 10000.
"libpq alone" is a small C client that reads the same rows from the remote server and throws them away: the limit of
what any of them can reach.

Times: "wall" is the time that the client of the statement waits; "processor" is the time that the local backend (or that
C client) ran, from `/proc/PID/schedstat`, without the work of the remote server. The machine is shared with other work,
so wall times vary; processor times vary less. Each is a median, with the least and the greatest value.

Ratios are stock's time by that of the contestant in the same turn: **above 1, the contestant is better than stock**.
Each is the median over all turns, with the least and the greatest value; ± is half the 95 % confidence interval of the
median, 1.57 interquartile ranges by the root of the number of turns.

Turns: each contestant has one session. In a turn, each executes the work once, and the order moves on by one from turn
to turn. A contestant stops when both of its ratios are known to ± $percent %; all stop after $facts->{turns} turns or
$facts->{seconds} seconds, whichever is first, but not before three turns.

Memory: "peak" is the peak of the resident memory (VmHWM) of a fresh backend after one execution, without the server's
shared memory; "temp" is what this execution wrote to temporary files.

The remote server and the local ones run on the same machine and talk over loopback TCP. The remote tables are in memory.
END
}

# One file of the directory.
sub write_file
{
	my ($path, @text) = @_;

	open my $file, '>', $path or die "$path: $!\n";
	print {$file} @text;
	close $file or die "$path: $!\n";
}

# write_results(OUT, FACTS, ITEM...): results.md and summary.md, in that directory.
sub write_results
{
	my ($out, $facts, @items) = @_;
	my @single = grep { !$_->{growth} } @items;
	my @growth = grep { $_->{growth} } @items;
	my $date = strftime('%Y-%m-%d', gmtime);
	my @turns = sort { $a <=> $b } map { $_->{sum}{stock}{turns} } @items;
	my @text;

	push @text, "# Benchmark\n\n", "Made by `$facts->{called}` on $date.\n\n",
	  "- machine: ", machine(), "; shared with other work\n",
	  "- PostgreSQL $facts->{server} on all servers, libpq $facts->{libpq}",
	  " (which returns a result in $facts->{portions})\n",
	  "- turns: $turns[0] to $turns[-1] an item; each table has them\n",
	  "- load average of the minute before: $facts->{load}\n\n",
	  legend($facts), "\n";
	if (@single)
	{
		push @text, "## At a glance\n\n", "Wall / processor; ratios are stock / contestant.\n\n",
		  overview(@single), "\n";
		push @text, "![Speed over many rows](rows.svg)\n\n" if -e "$out/rows.svg";
		push @text, "![Speed of the first row and of small queries](small.svg)\n\n"
		  if -e "$out/small.svg";
		push @text, "![Speed of dblink_gather and dblink_copy](dblink2.svg)\n\n"
		  if -e "$out/dblink2.svg";
		push @text, "## Item by item\n\n", map { item_table($_) } @single;
		write_file(
			"$out/summary.md",
			"PostgreSQL $facts->{server}, libpq $facts->{libpq}, `$facts->{called}` on $date, ",
			"on a machine shared with other work, $turns[0] to $turns[-1] turns an item:\n\n", overview(@single));
	}
	if (@growth)
	{
		push @text, "## Growth\n\nRows of 2 int.\n\n";
		push @text, "![Time and memory against the number of rows](growth.svg)\n\n"
		  if -e "$out/growth.svg";
		push @text, growth_tables(@growth);
	}
	write_file("$out/results.md", @text);
}

1;
