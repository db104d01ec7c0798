# Plot.pm - the plots, drawn by gnuplot with bars.gp and growth.gp.

package Plot;

use strict;
use warnings;

use Exporter 'import';

use Work;

our @EXPORT = qw(plot_all);

# Where the scripts are, and where the plots go. Set by plot_all.
my ($scripts, $out);

# Colours of the contestants, the same in every plot.
my %colour = (
	stock => '#9a9a9a',
	ours_read => '#a9cbe8',
	ours => '#2f78b7',
	ours_bin => '#123c69',
	ours_cancel => '#6a4c93',
	ours_keep => '#123c69',
	dblink2 => '#a9cbe8',
	ours_gather_bin => '#123c69',
	pipe => '#6a4c93',
	fdw => '#e0903a',
	limit => '#79a86b',
	limit_cancel => '#3f6b33',);

# gnuplot SCRIPT NAME=VALUE...: with the variables set, into a file of $out.
sub gnuplot
{
	my ($script, %variable) = @_;
	my $set = join '; ', map { "$_ = '" . $variable{$_} =~ s/'/''/gr . "'" } sort keys %variable;

	system('gnuplot', '-e', $set, "$scripts/$script") == 0
	  or die "run.pl: gnuplot $script failed\n";
}

# The result of a column's contestant in an item. One that is not the same in
# all items is named by the column's third value, from items to ids.
sub result_in
{
	my ($item, $column) = @_;
	my ($id, undef, $by_item) = @$column;

	return result_of($item, $by_item ? $by_item->{ $item->{id} } // '' : $id);
}

# Bars of speed against stock, a group an item. A contestant without a bar
# anywhere has no place. A column is a contestant's id and its name there. The
# data file has a block a contestant: x, height.
sub plot_bars
{
	my ($name, $title, $scale, $columns, @items) = @_;
	my ($x, @blocks, @tics) = (0);
	my @shown;

	@items = grep { $_->{sum}{stock} } @items or return;
	for my $column (@$columns)
	{
		push @shown, $column if grep { result_in($_, $column) } @items;
	}
	for my $item (@items)
	{
		my $from = $x;

		for my $i (0 .. $#shown)
		{
			my $s = result_in($item, $shown[$i]) or next;

			push @{ $blocks[$i] }, $x++ . ' ' . $s->{wall_ratio}{median};
		}
		push @tics, sprintf '"%s" %s', $item->{short}, ($from + $x - 1) / 2;
		$x++;
	}
	open my $data, '>', "$out/$name.dat" or die "run.pl: $name.dat: $!\n";
	for my $i (0 .. $#shown)
	{
		print {$data} "\"$shown[$i][1]\"\n", map({ "$_\n" } @{ $blocks[$i] }), "\n\n";
	}
	close $data;
	gnuplot(
		'bars.gp',
		data => "$out/$name.dat",
		svg => "$out/$name.svg",
		heading => $title,
		scale => $scale,
		series => scalar @shown,
		colours => join(' ', map { $colour{ $_->[0] } } @shown),
		places => join(', ', @tics),
		right => $x - 1);
}

# Lines of time and of memory against rows.
sub plot_growth
{
	my @items = @_;
	my @series;

	return if @items < 2;
	for my $id (qw(stock ours_read ours limit))
	{
		for my $how (qw(dblink get_result fetch))
		{
			my @points = grep { $_->{growth} eq $how && $_->{sum}{$id} } @items or next;
			# Where it streams, what does not is of no interest.
			next if $id eq 'ours_read' && grep { $_->{sum}{ours} } @points;
			push @series, [ $id, $how, @points ];
		}
	}
	return if !@series;
	open my $data, '>', "$out/growth.dat" or die "run.pl: growth.dat: $!\n";
	for (@series)
	{
		my ($id, $how, @points) = @$_;
		my $who = $id eq 'stock' ? 'stock ' : $id eq 'limit' ? 'libpq alone' : '';
		my $what = $id eq 'limit' ? '' : $how eq 'dblink' ? 'dblink()' : "dblink_$how()";

		print {$data} "\"$who$what\"\n";
		printf {$data} "%d %s %s\n", $_->{at}, $_->{sum}{$id}{wall}{median}, $_->{sum}{$id}{peak}
		  for @points;
		print {$data} "\n\n";
	}
	close $data;
	gnuplot(
		'growth.gp',
		data => "$out/growth.dat",
		svg => "$out/growth.svg",
		series => scalar @series,
		with_memory => scalar(grep { $_->[0] ne 'limit' } @series),
		colours => join(' ', map { $colour{ $_->[0] } } @series),
		dashes => join(' ', map { { dblink => 1, get_result => 2, fetch => 3 }->{ $_->[1] } } @series));
}

# plot_all(SCRIPTS, OUT, ITEM...): all plots of what was measured.
sub plot_all
{
	($scripts, $out, my @items) = @_;
	my %item = map { $_->{id} => $_ } grep { !$_->{growth} } @items;
	my @common = (
		[ 'stock', 'stock' ],
		[ 'ours_read', 'dblink, streaming off' ],
		[ 'ours', 'dblink' ]);
	my @rest = ([ 'fdw', 'postgres_fdw, best fetch_size' ], [ 'limit', 'libpq alone' ]);

	plot_bars(
		'rows',
		'Many rows: times as fast as stock dblink',
		'linear',
		[ @common, [ 'ours_bin', 'dblink, binary' ], @rest ],
		grep { $_ } @item{
			qw(count-narrow count-wide count-text insert-narrow insert-wide join rescan for-loop four)
		});
	plot_bars(
		'small',
		'First row and small queries: times as fast as stock dblink',
		'log',
		[
			@common,
			[ 'ours_cancel', 'dblink, on_early_end = cancel' ],
			[ 'ours_keep', 'dblink, keep_connections = 4' ],
			[ 'fdw', 'postgres_fdw' ],
			[ 'limit', 'libpq alone' ],
			[ 'limit_cancel', 'libpq alone, one row' ]
		],
		grep { $_ } @item{qw(limit1 named errors string)});
	plot_bars(
		'dblink2',
		'Several at once, and pushing rows: times as fast as stock dblink',
		'log',
		[
			[ 'stock', 'stock' ],
			[ 'ours', 'dblink, one after the other', { 'gather-4' => 'ours' } ],
			[ 'dblink2', 'dblink_gather, dblink_copy', { 'gather-4' => 'ours_gather', 'copy-wide' => 'ours' } ],
			[ 'ours_gather_bin', 'dblink_gather, binary' ],
			[ 'fdw', 'postgres_fdw, best fetch_size or batch_size' ],
			[ 'pipe', 'psql to psql' ],
			[ 'limit', 'libpq alone' ]
		],
		grep { $_ } @item{qw(gather-4 copy-wide)});
	plot_growth(grep { $_->{growth} } @items);
}

1;
