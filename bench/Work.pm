# Work.pm - what is measured: the tables, the contestants, and the items of work.
#
# An item knows what each contestant has to do, as arguments for reader (see
# reader.c); it does nothing itself. Whoever adds an item adds a function here,
# and its call in all_items.
#
# Where rows are only counted, postgres_fdw would let the remote count them,
# and would ask for no column at all. Its statements therefore have a
# condition that is always true but cannot be sent to the remote, and that
# names every column; it costs one look at a constant a row. Likewise for LIMIT.

package Work;

use strict;
use warnings;

use Exporter 'import';
our @EXPORT = qw(all_items %contestant %local group limit_of result_of existing);

# Connection strings, in the environment as they have a password: of the
# remote server, and of the two local ones.
my $remote = $ENV{BENCH_REMOTE};
our %local = (stock => $ENV{BENCH_STOCK}, ours => $ENV{BENCH_OURS});

# Numbers of rows: narrow, wide, text, growth, small; and calls, by connection
# string. Set by all_items.
my %size;

# --------------------------------------------------------------------------
# Tables
# --------------------------------------------------------------------------

# The columns as dblink must be told, and their names.
my $wide_columns = 'id int, big bigint, name text, amount numeric, at timestamptz, '
  . 'ratio double precision, good bool, code varchar';
my %table = (
	narrow => { columns => 'a int, b int' },
	wide => { columns => $wide_columns },
	long_text => { columns => 'id int, body text' },
	growth => { columns => 'a int, b int' },
	small => { columns => 'id int, v int' },);
for my $t (values %table)
{
	$t->{names} = join ', ', map { (split)[0] } split /, /, $t->{columns};
}

# --------------------------------------------------------------------------
# Contestants
# --------------------------------------------------------------------------


# side: who does the work: one of the local servers, or reader itself.
# set: settings of ours. Who needs one that does not exist is left out, unless
# "if_there" says that it is then to do without.
my @contestants = (
	{ id => 'stock', label => 'stock dblink', side => 'stock' },
	{
		id => 'ours_read',
		label => 'dblink, streaming off',
		side => 'ours',
		set => { 'dblink.streaming' => 'off' },
		if_there => 1
	},
	{
		id => 'ours_read_bin',
		label => 'dblink, streaming off, binary',
		side => 'ours',
		set => { 'dblink.streaming' => 'off', 'dblink.result_format' => 'binary' }
	},
	{
		id => 'ours',
		label => 'dblink',
		side => 'ours',
		set => { 'dblink.streaming' => 'on' }
	},
	{
		id => 'ours_bin',
		label => 'dblink, binary',
		side => 'ours',
		set => { 'dblink.streaming' => 'on', 'dblink.result_format' => 'binary' }
	},
	{
		id => 'ours_cancel',
		label => 'dblink, on_early_end = cancel',
		side => 'ours',
		set => { 'dblink.streaming' => 'on', 'dblink.on_early_end' => 'cancel' }
	},
	{
		id => 'ours_nohold',
		label => 'dblink, stream_hold_time = -1',
		side => 'ours',
		set => { 'dblink.streaming' => 'on', 'dblink.stream_hold_time' => '-1' }
	},
	{
		id => 'ours_keep',
		label => 'dblink, kept connections',
		side => 'ours',
		set => { 'dblink.keep_connections' => '4' }
	},
	(   map {
			{
				id => "fdw_$_",
				label => "postgres_fdw, fetch_size $_",
				side => 'stock',
				fdw => "fdw_$_"
			}
		} (100, 1000, 10000, 50000)),
	{ id => 'limit', label => 'libpq alone', side => 'reader', format => 'text' },
	{
		id => 'limit_bin',
		label => 'libpq alone, binary',
		side => 'reader',
		format => 'binary'
	},
	{
		id => 'limit_cancel',
		label => 'libpq alone, first row and cancel',
		side => 'reader',
		first => 1
	},
	{
		id => 'limit_reconnect',
		label => 'libpq alone, connecting each time',
		side => 'reader',
		reconnect => 1
	},);
our %contestant = map { $_->{id} => $_ } @contestants;

my @fdw = grep { /^fdw/ } map { $_->{id} } @contestants;
my @ours = qw(ours_read ours_read_bin ours ours_bin);
my @who = ('stock', @ours, @fdw, 'limit', 'limit_bin');

# --------------------------------------------------------------------------
# SQL
# --------------------------------------------------------------------------

# A string constant of SQL.
sub literal
{
	my ($text) = @_;

	$text =~ s/'/''/g;
	return "'$text'";
}

# What the remote is asked for: the rows of a table, perhaps not all.
sub remote_query
{
	my ($table, $tail) = @_;

	return "SELECT $table{$table}{names} FROM $table" . ($tail // '');
}

# The rows of a remote table in FROM: by dblink, or as a foreign table, in
# which case the caller adds the condition below.
sub rows_from
{
	my ($c, $table, $tail) = @_;

	return "$c->{fdw}.$table AS t" if $c->{fdw};
	return
		'dblink(\'c\', '
	  . literal(remote_query($table, $tail))
	  . ") AS t($table{$table}{columns})";
}

# The condition that makes postgres_fdw fetch all columns of all rows.
sub all_columns
{
	my ($c, $table) = @_;

	return '' if !$c->{fdw};
	return " WHERE now() IS NOT NULL OR num_nulls($table{$table}{names}) > 0";
}

# Statements that a local session starts with: settings, and its connection.
sub prelude
{
	my ($c, @names) = @_;
	my @sql;

	return ("SELECT v FROM $c->{fdw}.small WHERE id = 1") if $c->{fdw};
	push @sql, "LOAD 'dblink'";
	push @sql, map { "SET $_ = '$c->{set}{$_}'" } sort keys %{ $c->{set} };
	push @sql, map { "SELECT dblink_connect('$_', " . literal($remote) . ')' } @names;
	return @sql;
}

# A statement is prepared for by a small one of its kind: it loads what there
# is to load. postgres_fdw has no such small one, but explains.
sub warm_up
{
	my ($c, $statement, $table) = @_;

	return 'EXPLAIN ' . $statement->('') if $c->{fdw};
	return $statement->(' LIMIT 10');
}

# An item whose rows are read once, in one statement. $statement makes it from
# a contestant and an end for the remote query.
sub reads
{
	my ($table, $statement, @before) = @_;

	return sub {
		my ($c) = @_;

		return ('read', $remote, $c->{format}, remote_query($table))
		  if $c->{side} eq 'reader';
		return (
			'time', $local{ $c->{side} },
			prelude($c, 'c'), warm_up($c, sub { $statement->($c, @_) }),
			@before, $statement->($c, ''));
	};
}

# --------------------------------------------------------------------------
# Items of work
# --------------------------------------------------------------------------

# id, title: what it is called. short: the same in a plot. who: its contestants.
# work: from a contestant to reader's mode and arguments. expect: the field of
# its answer that must have that value (for reader's own turns, reader_rows).
# per: the time is given for one of so many. limit: with whom to compare, if not
# as usual. tuned: who has the setting that is made for it. cost: about how many
# seconds one round takes at full size. growth, at: how rows are got, and how
# many.

# All of them, for these numbers of rows.
sub all_items
{
	%size = @_;

	return (
		count_items(), insert_items(), join_item(), four_item(),
		limit1_item(), named_item(), string_item(), growth_items());
}

# All rows are fetched and counted.
sub count_items
{
	my @items;

	for my $spec (
		[ 'narrow', 'narrow', '%s rows of 2 int', 15 ],
		[ 'wide', 'wide', '%s rows of 8 mixed columns', 23 ],
		[ 'text', 'long_text', '%s rows with a text of 1 kB', 6 ])
	{
		my ($id, $table, $title, $cost) = @$spec;
		my $rows = $size{$id};

		push @items,
		  {
			id => "count-$id",
			title => sprintf("count(*), $title", group($rows)),
			short => $id,
			who => [@who],
			expect => { value => $rows },
			reader_rows => $rows,
			cost => $cost,
			work => reads(
				$table,
				sub {
					my ($c, $tail) = @_;
					return 'SELECT count(*) FROM '
					  . rows_from($c, $table, $tail)
					  . all_columns($c, $table);
				}),
		  };
	}
	return @items;
}

# All rows are inserted into a local table.
sub insert_items
{
	my @items;

	for my $spec (
		[ 'narrow', '%s rows of 2 int', 18 ],
		[ 'wide', '%s rows of 8 mixed columns', 26 ])
	{
		my ($table, $title, $cost) = @$spec;
		my $rows = $size{$table};

		push @items,
		  {
			id => "insert-$table",
			title => sprintf("INSERT ... SELECT, $title", group($rows)),
			short => "insert $table",
			who => [@who],
			expect => { rows => $rows },
			reader_rows => $rows,
			cost => $cost,
			work => reads(
				$table,
				sub {
					my ($c, $tail) = @_;
					return "INSERT INTO into_$table SELECT * FROM "
					  . rows_from($c, $table, $tail);
				},
				"TRUNCATE into_$table"),
		  };
	}
	return @items;
}

# All rows are joined with a small local table.
sub join_item
{
	return {
		id => 'join',
		title => 'Join of '
		  . group($size{narrow})
		  . ' rows of 2 int with a local table of 500',
		short => 'join',
		who => [@who],
		expect => { value => $size{narrow} },
		reader_rows => $size{narrow},
		cost => 17,
		work => reads(
			'narrow',
			sub {
				my ($c, $tail) = @_;
				return 'SELECT count(kind) FROM '
				  . rows_from($c, 'narrow', $tail)
				  . ' JOIN kinds USING (b)'
				  . ($c->{fdw} ? ' WHERE now() IS NOT NULL OR a IS NULL' : '');
			}),
	};
}

# Four connections, each with a quarter of the rows. postgres_fdw reads four
# foreign servers at the same time, too.
sub four_item
{
	return {
		id => 'four',
		title => 'Four remotes at once (send_query), '
		  . group($size{wide})
		  . ' rows of 8 mixed columns in all',
		short => 'four at once',
		who => [@who],
		expect => { value => $size{wide} },
		reader_rows => $size{wide},
		cost => 23,
		work => \&four_at_once,
	};
}

# Reader's arguments for the item "four".
sub four_at_once
{
	my ($c) = @_;
	my $query = "SELECT $table{wide}{names} FROM wide_%d";
	my ($warm, $measured);

	return ('read', $remote, $c->{format}, map { sprintf $query, $_ } 1 .. 4)
	  if $c->{side} eq 'reader';
	if ($c->{fdw})
	{
		$measured =
		  "SELECT count(*) FROM $c->{fdw}.wide_all" . all_columns($c, 'wide');
		$warm = "SELECT * FROM $c->{fdw}.wide_all WHERE id = 1";
	}
	else
	{
		my $send = join '; ',
		  map { "SELECT dblink_send_query('c$_', " . literal(sprintf($query, $_) . '%s') . ')' }
		  1 .. 4;
		my $get = join ' UNION ALL ',
		  map { "SELECT * FROM dblink_get_result('c$_') AS t($wide_columns)" } 1 .. 4;

		# After its rows, each connection says that there are no more.
		$warm = sprintf("$send; $get; $get", (' LIMIT 1') x 4);
		$measured = sprintf("$send; SELECT count(*) FROM ($get) AS all_rows", ('') x 4);
	}
	return ('time', $local{ $c->{side} },
		prelude($c, map { "c$_" } 1 .. 4), $warm, $measured);
}

# Only the first row is wanted.
sub limit1_item
{
	return {
		id => 'limit1',
		title => 'LIMIT 1 over ' . group($size{wide}) . ' rows of 8 mixed columns',
		short => 'LIMIT 1',
		who => [ 'stock', qw(ours_read ours ours_cancel), @fdw, 'limit', 'limit_cancel' ],
		limit => { map { $_ => 'limit_cancel' } 'ours_cancel', @fdw },
		tuned => 'ours_cancel',
		expect => { rows => 1 },
		cost => 10,
		work => sub {
			my ($c) = @_;

			return ('first', $remote, remote_query('wide')) if $c->{first};
			return reads(
				'wide',
				sub {
					my ($c, $tail) = @_;
					return 'SELECT * FROM '
					  . rows_from($c, 'wide', $tail)
					  . all_columns($c, 'wide')
					  . ' LIMIT 1';
				})->($c);
		},
	};
}

# A loop of small queries on one connection.
sub named_item
{
	return {
		id => 'named',
		title => group($size{small}) . ' small queries on a named connection, time for one',
		short => 'named',
		who => [qw(stock ours_read ours ours_bin fdw_100 limit)],
		reader_rows => $size{small},
		per => $size{small},
		cost => 14,
		work => sub {
			my ($c) = @_;

			return ('loop', $remote, $size{small}, small_query('@'))
			  if $c->{side} eq 'reader';
			return ('time', $local{ $c->{side} }, prelude($c, 'c'),
				small_loop($c, "'c'", 10), small_loop($c, "'c'", $size{small}));
		},
	};
}

# The same, but each query says where to connect to.
sub string_item
{
	return {
		id => 'string',
		title => group($size{calls}) . ' small queries by connection string, time for one',
		short => 'by string',
		who => [qw(stock ours_read ours ours_keep limit limit_reconnect)],
		limit => { map { $_ => 'limit_reconnect' } qw(stock ours_read ours) },
		tuned => 'ours_keep',
		reader_rows => $size{calls},
		per => $size{calls},
		cost => 9,
		work => sub {
			my ($c) = @_;

			return ($c->{reconnect} ? 'reconnect' : 'loop',
				$remote, $size{calls}, small_query('@'))
			  if $c->{side} eq 'reader';
			return ('time', $local{ $c->{side} }, prelude($c),
				small_loop($c, literal($remote), 3),
				small_loop($c, literal($remote), $size{calls}));
		},
	};
}

# A query that finds one row by its key.
sub small_query
{
	my ($id) = @_;

	return "SELECT v FROM small WHERE id = $id";
}

# A loop in PL/pgSQL over such queries, which checks what it gets.
sub small_loop
{
	my ($c, $connection, $n) = @_;
	my $from =
	  $c->{fdw}
	  ? "$c->{fdw}.small AS t WHERE id = i"
	  : "dblink($connection, 'SELECT v FROM small WHERE id = ' || i) AS t(v int)";

	return "DO \$do\$
		DECLARE
			got int;
			total bigint := 0;
		BEGIN
			FOR i IN 1..$n LOOP
				SELECT t.v INTO got FROM $from;
				total := total + got;
			END LOOP;
			IF total IS DISTINCT FROM $n * ($n + 1::bigint) / 2 THEN
				RAISE 'wrong total: %', total;
			END IF;
		END \$do\$";
}

# Growth: the same for ever more rows, each way of getting them.
sub growth_items
{
	my @items;

	for (my $rows = 10_000; $rows <= $size{growth}; $rows *= 10)
	{
		my $tail = " LIMIT $rows";
		my %from = (
			dblink => "dblink('c', " . literal(remote_query('growth', '%s')) . ')',
			get_result => "dblink_get_result('c')",
			fetch => "dblink_fetch('c', 'cur', $rows)",);
		my %before = (
			get_result => "SELECT dblink_send_query('c', "
			  . literal(remote_query('growth', '%s')) . ')',
			fetch => "SELECT dblink_open('c', 'cur', "
			  . literal(remote_query('growth', '%s')) . ')',);
		my %after = (
			get_result => "SELECT FROM dblink_get_result('c') AS t(a int, b int)",
			fetch => "SELECT dblink_close('c', 'cur')",);

		for my $how (qw(dblink get_result fetch))
		{
			my $make = sub {
				my ($end) = @_;
				my $count = "SELECT count(*) FROM $from{$how} AS t(a int, b int)";

				return map { s/%s/$end/r } grep { $_ } ($before{$how}, $count);
			};

			push @items,
			  {
				id => "growth-$how-$rows",
				growth => $how,
				at => $rows,
				who => [ qw(stock ours_read ours), $how eq 'dblink' ? 'limit' : () ],
				expect => { value => $rows },
				reader_rows => $rows,
				cost => 2.9e-6 * $rows,
				work => sub {
					my ($c) = @_;

					return ('read', $remote, 'text', remote_query('growth', $tail))
					  if $c->{side} eq 'reader';
					return (
						'time', $local{ $c->{side} },
						prelude($c, 'c'), $make->(' LIMIT 10'),
						grep({ $_ } $after{$how}), join('; ', $make->($tail)));
				},
			  };
		}
		push @items,
		  {
			id => "growth-insert-$rows",
			growth => 'insert',
			at => $rows,
			who => [qw(stock ours_read ours_nohold)],
			expect => { rows => $rows },
			cost => 4e-6 * $rows,
			work => sub {
				my ($c) = @_;
				my $insert = "INSERT INTO into_narrow SELECT * FROM $from{dblink} AS t(a int, b int)";

				return (
					'time', $local{ $c->{side} },
					prelude($c, 'c'), sprintf($insert, ' LIMIT 10'),
					'TRUNCATE into_narrow', sprintf($insert, $tail));
			},
		  };
	}
	return @items;
}

# --------------------------------------------------------------------------
# For those who measure and report
# --------------------------------------------------------------------------

# Who of an item's contestants exists, where there are these settings.
sub existing
{
	my ($item, $setting) = @_;
	my @ids;

	for my $id (@{ $item->{who} })
	{
		my $c = $contestant{$id};
		my $missing = grep { !$setting->{$_} } keys %{ $c->{set} // {} };

		next if $missing && !$c->{if_there};
		$c->{set} = {} if $missing;
		push @ids, $id;
	}
	return \@ids;
}

# A contestant's result, or none; "fdw" is postgres_fdw at its best fetch_size,
# "tuned" is ours with the setting that is made for this item.
sub result_of
{
	my ($item, $id) = @_;

	$id = $item->{best_fdw} // '' if $id eq 'fdw';
	$id = $item->{tuned} // '' if $id eq 'tuned';
	return $item->{sum}{$id};
}

# The contestant to whose figure another's is compared.
sub limit_of
{
	my ($item, $id) = @_;
	my $limit = ($item->{limit} // {})->{$id} // ($id =~ /_bin$/ ? 'limit_bin' : 'limit');

	return $item->{sum}{$limit} // $item->{sum}{limit};
}

# 2000000 as 2,000,000.
sub group
{
	my ($n) = @_;

	1 while $n =~ s/^(\d+)(\d{3})/$1,$2/;
	return $n;
}

1;
