# Work.pm - what is measured: the tables, the contestants, and the items of work.
#
# An item says what each contestant has to do; it does nothing itself. To add
# one, write a function below "Items of work" and call it in all_items; the
# comment there lists the fields. A new table goes into remote.sql and %table, a
# new setting to compare into @contestants.
#
# Where rows are only counted, postgres_fdw would let the remote server count
# them, and would ask for no column at all. Its statements therefore have a
# condition that is always true but cannot be sent, and that names every column;
# it costs one look at a constant a row. Likewise for LIMIT.

package Work;

use strict;
use warnings;

use Exporter 'import';
our @EXPORT = qw(all_items %contestant %local group result_of existing);

# Connection strings, in the environment because they have a password: of the
# remote server, and of the two local ones.
my $remote = $ENV{BENCH_REMOTE};
our %local = (stock => $ENV{BENCH_STOCK}, ours => $ENV{BENCH_OURS});

# Numbers of rows, and of calls, by the names that script/bench gives them. Set by
# all_items.
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
	wide_many => { columns => $wide_columns },
	long_text => { columns => 'id int, body text' },
	blob => { columns => 'id int, body text' },
	dates => { columns => 'a int, b date, c timestamptz, d interval' },
	growth => { columns => 'a int, b int' },
	small => { columns => 'id int, v int' },);
for my $t (values %table)
{
	$t->{names} = join ', ', map { (split)[0] } split /, /, $t->{columns};
}

# --------------------------------------------------------------------------
# Contestants
# --------------------------------------------------------------------------

# side: what does the work, one of the local servers or reader.
# set: settings of ours. A contestant whose setting does not exist is left out,
# unless "if_there" says that it does without.
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
		id => 'ours_drain',
		label => 'dblink, on_early_end = drain',
		side => 'ours',
		set => { 'dblink.streaming' => 'on', 'dblink.on_early_end' => 'drain' }
	},
	{
		id => 'ours_hold',
		label => 'dblink, stream_hold_time = 1 s',
		side => 'ours',
		set => { 'dblink.streaming' => 'on', 'dblink.stream_hold_time' => '1s' }
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
	{
		id => 'ours_gather',
		label => 'dblink_gather',
		side => 'ours',
		set => { 'dblink.streaming' => 'on', 'dblink.gather_failures' => 'error' },
		gather => 1
	},
	{
		id => 'ours_gather_bin',
		label => 'dblink_gather, binary',
		side => 'ours',
		set => { 'dblink.streaming' => 'on', 'dblink.gather_failures' => 'error', 'dblink.result_format' => 'binary' },
		gather => 1
	},
	{
		id => 'ours_wait',
		label => 'dblink_wait',
		side => 'ours',
		set => { 'dblink.gather_failures' => 'error' },
		wait => 1
	},
	(   map {
			{
				id => "fdw_$_",
				label => "postgres_fdw, fetch_size $_",
				side => 'stock',
				fdw => "fdw_$_"
			}
		} (100, 10000)),
	(   map {
			{
				id => "fdw_batch_$_",
				label => "postgres_fdw, batch_size $_",
				side => 'stock',
				fdw => "fdw_batch_$_"
			}
		} (100, 1000, 5000)),
	{ id => 'pipe', label => 'psql to psql', side => 'ours' },
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
	},
	# What dblink2 and loopback servers have beside the classic functions.
	{ id => 'execute', label => 'dblink_execute', side => 'ours' },
	{ id => 'execute_two', label => 'dblink_execute, two parameters', side => 'ours' },
	{ id => 'query_one', label => 'dblink_query, one parameter', side => 'ours' },
	{ id => 'query_as', label => 'dblink_query_as', side => 'ours' },
	{ id => 'loopback', label => 'dblink, loopback server', side => 'ours' },);
our %contestant = map { $_->{id} => $_ } @contestants;

my @fdw = grep { /^fdw_\d/ } map { $_->{id} } @contestants;
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

# What the remote server is asked for: the rows of a table, perhaps not all.
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

# The statements that a local session begins with: settings, then connections
# with these names. $options are added to the connection string.
sub prelude
{
	my ($c, $options, @names) = @_;

	return () if $c->{fdw};
	return (
		"LOAD 'dblink'",
		map({ "SET $_ = '$c->{set}{$_}'" } sort keys %{ $c->{set} }),
		map({ "SELECT dblink_connect('$_', " . literal($remote . $options) . ')' } @names));
}

# The work of an item whose rows are read once, in one statement. $statement
# makes it from a contestant; @rest is more of what an item's work may have.
sub reads
{
	my ($table, $statement, @rest) = @_;

	return sub {
		my ($c) = @_;

		return { reader => [ 'read', $c->{format}, remote_query($table) ] }
		  if $c->{side} eq 'reader';
		return { setup => [ prelude($c, '', 'c') ], statement => $statement->($c), @rest };
	};
}

# The work of an item that is any one statement; $options are the connection's,
# @reader are reader's arguments.
sub runs
{
	my ($options, $statement, @reader) = @_;

	return sub {
		my ($c) = @_;

		return { reader => [@reader] } if $c->{side} eq 'reader';
		return { setup => [ prelude($c, $options, 'c') ], statement => $statement->($c) };
	};
}

# A block of PL/pgSQL that fails unless its variable "total" ends as that number.
sub plpgsql
{
	my ($declare, $body, $total) = @_;

	return "DO \$do\$
		DECLARE
			total bigint := 0;
			$declare
		BEGIN
			$body
			IF total IS DISTINCT FROM $total THEN
				RAISE 'wrong total: %', total;
			END IF;
		END \$do\$";
}

# --------------------------------------------------------------------------
# Items of work
# --------------------------------------------------------------------------

# id, title: what it is called. short: the same in a plot.
# who: its contestants, stock among them.
# work: a function that returns what a contestant does: "reader", the arguments
# of that program, or else "setup", statements that its session begins with;
# "statement", which is measured; "before" and "after", lists of statements
# around it that are not.
# scale: what its time is multiplied by, for one that does a part of the work.
# expect: what the statement's answer, as psql prints it, must match.
# told: the answer is the wall time, in seconds, as the statement has measured it.
# reader_rows: the number of rows that reader must answer with.
# per: the time is that of one of so many calls, and printed in microseconds.
# tuned: the contestant with the setting that is made for this item.
# growth, at: how rows are obtained, and how many, in the items on growth.

# All of them, for these sizes.
sub all_items
{
	%size = @_;

	return (
		count_items(), insert_items(), insert_long_item(), join_item(),
		rescan_item(), for_loop_item(), four_item(), gather_item(), wake_item(),
		limit1_item(), blob_item(), dates_items(), named_item(), errors_item(),
		string_item(), copy_item(), dblink2_items(), loopback_items(), growth_items());
}

# All rows are fetched and counted.
sub count_items
{
	my @items;

	for my $spec (
		[ 'narrow', 'narrow', '%s rows of 2 int' ],
		[ 'wide', 'wide', '%s rows of 8 mixed columns' ],
		[ 'text', 'long_text', '%s rows with a text of 1 kB' ])
	{
		my ($id, $table, $title) = @$spec;

		push @items,
		  {
			id => "count-$id",
			title => sprintf("count(*), $title", group($size{$id})),
			short => $id,
			who => [@who],
			expect => $size{$id},
			reader_rows => $size{$id},
			work => reads($table, sub { count_statement($_[0], $table) }),
		  };
	}
	return @items;
}

# Count the rows of a table.
sub count_statement
{
	my ($c, $table) = @_;

	return 'SELECT count(*) FROM ' . rows_from($c, $table) . all_columns($c, $table);
}

# All rows are inserted into a local table.
sub insert_items
{
	my @items;

	for my $spec ([ 'narrow', '%s rows of 2 int' ], [ 'wide', '%s rows of 8 mixed columns' ])
	{
		my ($table, $title) = @$spec;

		push @items,
		  {
			id => "insert-$table",
			title => sprintf("INSERT ... SELECT, $title", group($size{$table})),
			short => "insert $table",
			who => [@who],
			expect => "INSERT 0 $size{$table}",
			reader_rows => $size{$table},
			work => reads(
				$table,
				sub { "INSERT INTO into_$table SELECT * FROM " . rows_from($_[0], $table) },
				before => ["TRUNCATE into_$table"]),
		  };
	}
	return @items;
}

# The same for so long that a time limit of a second for the plan's own work
# takes effect.
sub insert_long_item
{
	return {
		id => 'insert-long',
		title => 'INSERT ... SELECT, ' . group($size{long}) . ' rows of 2 int',
		short => 'insert long',
		who => [qw(stock ours_read ours ours_hold ours_nohold)],
		tuned => 'ours_nohold',
		expect => "INSERT 0 $size{long}",
		work => reads(
			'growth',
			sub {
				'INSERT INTO into_narrow SELECT * FROM '
				  . rows_from($_[0], 'growth', " LIMIT $size{long}");
			},
			before => ['TRUNCATE into_narrow']),
	};
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
		expect => $size{narrow},
		reader_rows => $size{narrow},
		work => reads(
			'narrow',
			sub {
				my ($c) = @_;
				return 'SELECT count(kind) FROM '
				  . rows_from($c, 'narrow')
				  . ' JOIN kinds USING (b)'
				  . ($c->{fdw} ? ' WHERE now() IS NOT NULL OR a IS NULL' : '');
			}),
	};
}

# The same rows are read again for each of the 500 rows of a local table.
sub rescan_item
{
	return {
		id => 'rescan',
		title => 'Correlated subquery that reads ' . group($size{rescan}) . ' rows 500 times',
		short => 'rescan',
		who => [qw(stock ours_read ours ours_bin)],
		expect => 500 * $size{rescan},
		work => reads(
			'growth',
			sub {
				'SELECT sum((SELECT count(*) FROM '
				  . rows_from($_[0], 'growth', " LIMIT $size{rescan}")
				  . ' WHERE t.a > -kinds.b)) FROM kinds';
			}),
	};
}

# A loop in PL/pgSQL over all rows, which fetches them from a cursor.
sub for_loop_item
{
	return {
		id => 'for-loop',
		title => 'FOR loop in PL/pgSQL over ' . group($size{loop}) . ' rows of 2 int',
		short => 'FOR loop',
		who => [qw(stock ours_read ours ours_bin)],
		expect => 'DO',
		work => reads(
			'growth',
			sub {
				plpgsql(
					'r record;',
					'FOR r IN SELECT * FROM '
					  . rows_from($_[0], 'growth', " LIMIT $size{loop}")
					  . ' LOOP total := total + r.a; END LOOP;',
					"$size{loop} * ($size{loop} + 1::bigint) / 2");
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
		expect => $size{wide},
		reader_rows => $size{wide},
		work => \&four_at_once,
	};
}

# The work of the item "four".
sub four_at_once
{
	my ($c) = @_;
	my @queries = map { "SELECT $table{wide}{names} FROM wide_$_" } 1 .. 4;
	my ($send, $get);

	return { reader => [ 'read', $c->{format}, @queries ] } if $c->{side} eq 'reader';
	return { statement => "SELECT count(*) FROM $c->{fdw}.wide_all" . all_columns($c, 'wide') }
	  if $c->{fdw};
	$send = join ";\n",
	  map { "SELECT dblink_send_query('c$_', " . literal($queries[ $_ - 1 ]) . ')' } 1 .. 4;
	$get = join ' UNION ALL ',
	  map { "SELECT * FROM dblink_get_result('c$_') AS t($wide_columns)" } 1 .. 4;
	return {
		setup => [ prelude($c, '', map { "c$_" } 1 .. 4) ],
		statement => "$send;\nSELECT count(*) FROM ($get) AS all_rows",
		# After its rows, each connection says that there are no more.
		after => [$get],
	};
}

# The same, with dblink_gather in place of four results one after the other.
sub gather_item
{
	my $four = four_item();

	return {
		%$four,
		id => 'gather-4',
		title => $four->{title} =~ s/send_query/dblink_gather/r,
		short => 'gather 4',
		who => [qw(stock ours ours_gather ours_gather_bin), @fdw, qw(limit limit_bin)],
		tuned => 'ours_gather',
		work => sub {
			my ($c) = @_;

			return four_at_once($c) if !$c->{gather};
			return {
				setup => [
					'CREATE EXTENSION IF NOT EXISTS dblink2',
					prelude($c, '', map { "c$_" } 1 .. 4),
					map({ "SELECT dblink_exec('c$_', 'CREATE TEMP VIEW part AS SELECT * FROM wide_$_')" } 1 .. 4)
				],
				statement => "SELECT count(*) FROM dblink_gather('{c1,c2,c3,c4}', 'SELECT $table{wide}{names} FROM part')"
				  . " AS t(conn text, $wide_columns)",
			};
		},
	};
}

# How soon a session knows that the answer of a query that takes 10 ms is there: by
# dblink_wait, or by asking every 10 ms, as scripts do.
sub wake_item
{
	my $query = 'SELECT pg_sleep(0.01)::text || @';
	my %loop = map {
		$_ => "FOR i IN 1..$size{wakes} LOOP
			PERFORM dblink_send_query('c', replace(" . literal($query) . ", '\@', i::text));
			" . ($_ eq 'wait' ? "PERFORM dblink_wait('{c}');" :
			  "WHILE dblink_is_busy('c') = 1 LOOP PERFORM pg_sleep(0.01); END LOOP;") . "
			PERFORM * FROM dblink_get_result('c') AS t(v text);
			PERFORM * FROM dblink_get_result('c') AS t(v text);
			total := total + 1;
		END LOOP;"
	} qw(wait ask);

	return {
		id => 'wait-wake',
		title => 'Waiting for a query of 10 ms',
		short => 'waiting',
		who => [qw(stock ours ours_wait limit)],
		tuned => 'ours_wait',
		reader_rows => $size{wakes},
		expect => 'DO',
		per => $size{wakes},
		work => sub {
			my ($c) = @_;

			return { reader => [ 'loop', $size{wakes}, $query ] } if $c->{side} eq 'reader';
			return {
				setup => [ $c->{wait} ? 'CREATE EXTENSION IF NOT EXISTS dblink2' : (), prelude($c, '', 'c') ],
				statement => plpgsql('', $loop{ $c->{wait} ? 'wait' : 'ask' }, $size{wakes}),
			};
		},
	};
}

# Only the first row is needed.
sub limit1_item
{
	my $read = reads(
		'wide_many',
		sub {
			'SELECT * FROM '
			  . rows_from($_[0], 'wide_many')
			  . all_columns($_[0], 'wide_many')
			  . ' LIMIT 1';
		});

	return {
		id => 'limit1',
		title => 'LIMIT 1 over ' . group($size{many}) . ' rows of 8 mixed columns',
		short => 'LIMIT 1',
		who =>
		  [ qw(stock ours_read ours ours_drain ours_cancel), @fdw, 'limit', 'limit_cancel' ],
		tuned => 'ours_cancel',
		expect => qr/^1\|/,
		work => sub {
			my ($c) = @_;

			return { reader => [ 'first', remote_query('wide_many') ] } if $c->{first};
			return $read->($c);
		},
	};
}

# Few rows, but long ones: a matter of memory.
sub blob_item
{
	return {
		id => 'blob',
		title => "count(*), $size{blob} rows with a text of 4 MB",
		short => '4 MB rows',
		who => [qw(stock ours_read ours ours_bin fdw_100 limit)],
		expect => $size{blob},
		reader_rows => $size{blob},
		work => reads('blob', sub { count_statement($_[0], 'blob') }),
	};
}

# Dates and intervals, from a remote session with the local session's styles and
# from one with others.
sub dates_items
{
	my @items;

	for my $spec (
		[ 'same', 'DateStyle and IntervalStyle alike', '' ],
		[
			'differ',
			'DateStyle and IntervalStyle differ',
			" options='-c datestyle=German -c intervalstyle=iso_8601'"
		])
	{
		my ($id, $title, $options) = @$spec;

		push @items,
		  {
			id => "dates-$id",
			title => 'count(*), ' . group($size{dates}) . " rows of dates, $title",
			short => "dates $id",
			who => [qw(stock ours_read ours ours_bin)],
			expect => $size{dates},
			work => runs($options, sub { count_statement($_[0], 'dates') }),
		  };
	}
	return @items;
}

# A loop of small queries on one connection.
sub named_item
{
	return {
		id => 'named',
		title => 'Small query on a named connection',
		short => 'named',
		who => [qw(stock ours_read ours ours_bin fdw_100 limit)],
		reader_rows => $size{small},
		expect => 'DO',
		per => $size{small},
		work => runs(
			'',
			sub { small_loop($_[0], "'c'", $size{small}) },
			'loop', $size{small}, small_query('@')),
	};
}

# The same, but each value cannot be converted, and the error is caught.
sub errors_item
{
	my $statement = plpgsql(
		'',
		"FOR i IN 1..$size{errors} LOOP
			BEGIN
				PERFORM * FROM dblink('c', 'SELECT ''x''') AS t(v int);
			EXCEPTION WHEN invalid_text_representation THEN
				total := total + 1;
			END;
		END LOOP;",
		$size{errors});

	return {
		id => 'errors',
		title => 'Conversion error in an EXCEPTION block, named connection',
		short => 'errors',
		who => [qw(stock ours_read ours)],
		expect => 'DO',
		per => $size{errors},
		work => runs('', sub { $statement }),
	};
}

# Small queries, each with a connection string.
sub string_item
{
	return {
		id => 'string',
		title => 'Small query by connection string',
		short => 'by string',
		who => [qw(stock ours_read ours ours_keep limit limit_reconnect)],
		tuned => 'ours_keep',
		reader_rows => $size{calls},
		expect => 'DO',
		per => $size{calls},
		work => sub {
			my ($c) = @_;

			return runs(
				'',
				sub { small_loop($_[0], literal($remote), $size{calls}) },
				$c->{reconnect} ? 'reconnect' : 'loop',
				$size{calls}, small_query('@'))->($c);
		},
	};
}

# Local rows into a remote table. The loop of single statements does so for a part of
# them only, and its time is multiplied.
sub copy_item
{
	my $part = 50;

	return {
		id => 'copy-wide',
		title => 'Push ' . group($size{many}) . ' rows of 8 mixed columns (stock: a loop of dblink_exec, a part of it)',
		short => 'push wide',
		who => [ qw(stock ours), grep({ /^fdw_batch/ } sort keys %contestant), 'pipe' ],
		expect => qr/^(?:$size{many}|INSERT 0 $size{many}|COPY $size{many}|DO)$/,
		work => sub {
			my ($c) = @_;
			my $psql = "'$ENV{BENCH_PSQL}' -X -d";

			return {
				setup => ["TRUNCATE $c->{fdw}.into_wide"],
				before => ["TRUNCATE $c->{fdw}.into_wide"],
				statement => "INSERT INTO $c->{fdw}.into_wide SELECT * FROM wide_here",
			} if $c->{fdw};
			return {
				setup => [ prelude($c, '', 'c'), $c->{id} eq 'ours' ? 'CREATE EXTENSION IF NOT EXISTS dblink2' : () ],
				before => ["SELECT dblink_exec('c', 'TRUNCATE into_wide')"],
				$c->{id} eq 'ours' ? (statement => "SELECT dblink_copy('c', 'into_wide', 'SELECT * FROM wide_here')") :
				$c->{id} eq 'stock' ? (statement => push_loop($size{many} / $part), scale => $part) :
				(statement => "\\! $psql '$local{ours}' -c 'COPY wide_here TO STDOUT' | $psql '$remote' -c 'COPY into_wide FROM STDIN' #"),
			};
		},
	};
}

# A loop in PL/pgSQL that inserts rows on the remote one by one.
sub push_loop
{
	my ($n) = @_;
	my $values = join ', ', ('%L') x split /, /, $table{wide}{names};

	return plpgsql(
		'r record;',
		"FOR r IN SELECT * FROM wide_here LIMIT $n LOOP
			PERFORM dblink_exec('c', format('INSERT INTO into_wide VALUES ($values)', "
		  . join(', ', map { "r.$_" } split /, /, $table{wide}{names}) . "));
			total := total + 1;
		END LOOP;",
		$n);
}

# A query that finds one row by its key.
sub small_query
{
	my ($id) = @_;

	return "SELECT v FROM small WHERE id = $id";
}

# A loop in PL/pgSQL over such queries.
sub small_loop
{
	my ($c, $connection, $n) = @_;
	my $from =
	  $c->{fdw}
	  ? "$c->{fdw}.small AS t WHERE id = i"
	  : "dblink($connection, 'SELECT v FROM small WHERE id = ' || i) AS t(v int)";

	return plpgsql(
		'got int;',
		"FOR i IN 1..$n LOOP
			SELECT t.v INTO got FROM $from;
			total := total + got;
		END LOOP;",
		"$n * ($n + 1::bigint) / 2");
}

# The functions of dblink2, against the classic way of doing the same.
sub dblink2_items
{
	my $n = $size{small};
	my %command = (
		execute => "dblink_execute('c', 'DELETE FROM scratch WHERE id = 7 AND v = 8')",
		execute_two => "dblink_execute('c', 'DELETE FROM scratch WHERE id = \$1 AND v = \$2', i, 8)");
	my $exec = "dblink_exec('c', 'DELETE FROM scratch WHERE id = 7 AND v = 8')";
	my $format = "dblink('c', format('SELECT v FROM small WHERE id = %L', i))";
	my $query = "dblink_query('c', 'SELECT v FROM small WHERE id = \$1', i)";
	my $all = remote_query('growth', " LIMIT $size{loop}");

	return (
		{
			id => 'execute',
			title => 'Command on a named connection: dblink_exec and dblink_execute',
			short => 'execute',
			who => [qw(stock ours execute execute_two)],
			tuned => 'execute_two',
			expect => 'DO',
			per => $n,
			work => dblink2_work(
				sub { plpgsql('', "FOR i IN 1..$n LOOP PERFORM " . ($command{ $_[0]{id} } // $exec) . '; END LOOP;', 0) },
				"SELECT dblink_exec('c', 'CREATE TEMP TABLE scratch (id int, v int)')"),
		},
		{
			id => 'parameter',
			title => 'Small query with a value: dblink() with format(), and dblink_query',
			short => 'parameter',
			who => [qw(stock ours query_one)],
			tuned => 'query_one',
			expect => 'DO',
			per => $n,
			work => dblink2_work(sub { loop_over($_[0]{id} eq 'query_one' ? $query : $format, $n) }),
		},
		{
			id => 'query-as',
			title => 'count(*), ' . group($size{loop}) . ' rows of 2 int: a column list, and a row type',
			short => 'row type',
			who => [qw(stock ours query_as)],
			tuned => 'query_as',
			expect => $size{loop},
			work => dblink2_work(
				sub {
					'SELECT count(*) FROM '
					  . ( $_[0]{id} eq 'query_as'
						? "dblink_query_as(NULL::into_narrow, 'c', " . literal($all) . ')'
						: rows_from($_[0], 'growth', " LIMIT $size{loop}"));
				}),
		});
}

# The work of one of them; @setup is more for its session to begin with.
sub dblink2_work
{
	my ($statement, @setup) = @_;

	return sub {
		my ($c) = @_;
		my @extension = $c->{side} eq 'ours' ? ('CREATE EXTENSION IF NOT EXISTS dblink2') : ();

		return { setup => [ @extension, prelude($c, '', 'c'), @setup ], statement => $statement->($c) };
	};
}

# Calls to the server that the session is on: by connection string, by an open
# connection, and by a loopback server.
sub loopback_items
{
	my ($n, $calls, $apart) = @size{qw(small calls errors)};
	my $named = sub { "'own'" };

	return (
		{
			id => 'loopback-string',
			title => 'Small query to the own server, by connection string and by loopback',
			short => 'loopback',
			who => [qw(stock ours ours_keep loopback)],
			tuned => 'loopback',
			expect => 'DO',
			per => $calls,
			work => loopback_work(
				sub { literal($local{ $_[0]{side} }) },
				sub { loop_over("dblink($_[0], 'SELECT ' || i)", $calls) }),
		},
		{
			id => 'loopback-named',
			title => 'Small query to the own server, by a named connection and by loopback',
			short => 'loopback named',
			who => [qw(stock ours loopback)],
			tuned => 'loopback',
			expect => 'DO',
			per => $n,
			work => loopback_work($named, sub { loop_over("dblink($_[0], 'SELECT ' || i)", $n) }),
		},
		{
			id => 'loopback-apart',
			title => 'The same, calls a millisecond apart',
			short => 'loopback apart',
			who => [qw(stock ours loopback)],
			tuned => 'loopback',
			expect => qr/^\d+\.\d+$/,
			told => 1,
			per => $apart,
			work => loopback_work($named, sub { loop_apart("dblink($_[0], 'SELECT ' || i)", $apart) }),
		});
}

# The work of one of them. $connection makes what stands for a connection from a
# contestant, and $statement makes the statement from that.
sub loopback_work
{
	my ($connection, $statement) = @_;

	return sub {
		my ($c) = @_;
		my $own = $local{ $c->{side} };
		my @setup = (prelude($c, ''), "SELECT dblink_connect('own', " . literal($own) . ')');

		return { setup => \@setup, statement => $statement->($connection->($c)) }
		  if $c->{id} ne 'loopback';
		return {
			setup => [
				@setup,
				"CREATE SERVER IF NOT EXISTS here FOREIGN DATA WRAPPER dblink_fdw OPTIONS (loopback 'on')"
			],
			statement => $statement->("'here'")
		};
	};
}

# A loop in PL/pgSQL over a function that returns one row, of one int: i.
sub loop_over
{
	my ($function, $n) = @_;

	return plpgsql(
		'got int;',
		"FOR i IN 1..$n LOOP
			SELECT t.v INTO got FROM $function AS t(v int);
			total := total + got;
		END LOOP;",
		"$n * ($n + 1::bigint) / 2");
}

# The same with a pause of a millisecond before each call. The time of the calls
# alone is the answer.
sub loop_apart
{
	my ($function, $n) = @_;

	return plpgsql(
		"got int; start timestamptz; spent interval := '0';",
		"FOR i IN 1..$n LOOP
			PERFORM pg_sleep(0.001);
			start := clock_timestamp();
			SELECT t.v INTO got FROM $function AS t(v int);
			spent := spent + (clock_timestamp() - start);
			total := total + got;
		END LOOP;
		PERFORM set_config('bench.spent', extract(epoch FROM spent)::text, false);",
		"$n * ($n + 1::bigint) / 2") . ";\nSELECT current_setting('bench.spent')";
}

# Growth: the same for ever more rows, each way of obtaining them.
sub growth_items
{
	my @items;

	for (my $rows = 10_000; $rows <= $size{growth}; $rows *= 10)
	{
		push @items, map { growth_item($_, $rows) } qw(dblink get_result fetch insert);
	}
	return @items;
}

# One of them.
sub growth_item
{
	my ($how, $rows) = @_;
	my $query = remote_query('growth', " LIMIT $rows");
	my $sql = literal($query);
	my %statement = (
		dblink => "SELECT count(*) FROM dblink('c', $sql) AS t(a int, b int)",
		get_result => "SELECT dblink_send_query('c', $sql);
			SELECT count(*) FROM dblink_get_result('c') AS t(a int, b int)",
		fetch => "SELECT dblink_open('c', 'cur', $sql);
			SELECT count(*) FROM dblink_fetch('c', 'cur', $rows) AS t(a int, b int)",
		insert => "INSERT INTO into_narrow SELECT * FROM dblink('c', $sql) AS t(a int, b int)",
	);
	my %before = (insert => ['TRUNCATE into_narrow']);
	my %after = (
		get_result => ["SELECT * FROM dblink_get_result('c') AS t(a int, b int)"],
		fetch => ["SELECT dblink_close('c', 'cur')"]);
	my %who = (
		dblink => [qw(stock ours_read ours limit)],
		insert => [qw(stock ours_read ours_nohold)]);

	return {
		id => "growth-$how-$rows",
		growth => $how,
		at => $rows,
		who => $who{$how} // [qw(stock ours_read ours)],
		expect => $how eq 'insert' ? "INSERT 0 $rows" : $rows,
		reader_rows => $rows,
		work => sub {
			my ($c) = @_;

			return { reader => [ 'read', 'text', $query ] } if $c->{side} eq 'reader';
			return {
				setup => [ prelude($c, '', 'c') ],
				before => $before{$how},
				statement => $statement{$how},
				after => $after{$how},
			};
		},
	};
}

# --------------------------------------------------------------------------
# For measuring and reporting
# --------------------------------------------------------------------------

# The contestants of an item that exist, where there are these settings.
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

# 2000000 as 2,000,000.
sub group
{
	my ($n) = @_;

	1 while $n =~ s/^(\d+)(\d{3})/$1,$2/;
	return $n;
}

1;
