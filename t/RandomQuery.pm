# RandomQuery - makes SQL at random, to be run on two servers and compared.
#
# The idea: a case is a few statements that belong together and leave nothing
# behind but rows in tables that later cases may look at.  Whoever runs the
# same cases on two servers that differ only in their dblink must see the same
# rows, in the same order, and the same errors.  So what is made here keeps
# clear of what may rightly differ:
#
# - at most one error a case, and one that comes whatever the plan: a remote
#   error in a query without a cursor, a conversion error only where every row
#   is read;
# - no remote write that an error to come would follow;
# - nothing that depends on time, process ids or the order of hashes.
#
# Sources of rows are typed: the first column, "k", is always an int that is
# unique or nearly so, and joins are over it, so results stay small.

package RandomQuery;

use strict;
use warnings;

# Open connections of the session: c1, c2 lead to the remote server, l1 to the
# very server, and the unnamed one to the remote.
my @NAMED = qw(c1 c1 c1 c2 l1);

# What a remote query can select, by the declared type, "g" being an int.
my %EXPR = (
	'int' => [ 'g % 7', '(g * 13) % 31', 'nullif(g % 5, 0)', '-g', 'g::int' ],
	'text' => [
		"'t' || g", "repeat('x', g % 9)", 'md5(g::text)',
		"nullif('k' || g % 4, 'k2')", "E'a\\nb' || g", "'é' || g" ],
	'numeric' => [ 'g / 7.0', 'round(g * 1.5, 2)', 'nullif(g, 3)::numeric' ],
	'numeric(10,1)' => [ 'g / 7.0', 'g::numeric' ],
	'bool' => [ 'g % 3 = 0', 'nullif(g % 2 = 0, g % 5 = 0)' ],
	'bigint' => [ 'g::bigint * 1000000007', 'g' ],
	'smallint' => [ '(g % 100)::smallint', 'g % 100' ],
	'float8' => [ 'g / 3.0::float8', "nullif(g % 2, 0)::float8", "'NaN'::float8" ],
	'date' => [ "date '2020-01-01' + g", "nullif(g % 4, 0) + date '1999-12-31'" ],
	'timestamp' => ["timestamp '2020-01-01 00:00:00.5' + g * interval '1 hour'"],
	'timestamptz' => ["timestamptz '2020-01-01 00:00:00+00' + g * interval '1 minute'"],
	'interval' => [ "make_interval(hours => g)", "make_interval(months => g, secs => 1.5)" ],
	'int[]' => [ 'ARRAY[g, NULL, g % 3]', "'{}'::int[]" ],
	'text[]' => ["ARRAY['a' || g, NULL]"],
	'uuid' => ["md5(g::text)::uuid"],
	'jsonb' => ["jsonb_build_object('a', g)"],
	'bytea' => ["decode(md5(g::text), 'hex')"],
	'varchar(40)' => [ "'v' || g", "'v' || g::varchar" ],
	'name' => ["('n' || g)::name"],
	'"char"' => ["chr(97 + g % 26)::\"char\""],
	'positive' => ['g'],
	'mood' => ["(ARRAY['sad', 'ok', 'happy'])[1 + g % 3]"],);
my @TYPES = sort keys %EXPR;

# Makes a generator; the seed says all.
sub new
{
	my ($class, $seed) = @_;
	srand($seed);
	return bless { n => 0 }, $class;
}

# ---- choosing ----------------------------------------------------------

# One of the arguments.
sub pick { return $_[ int rand @_ ] }

# True once in so many times.
sub once_in { return rand($_[0]) < 1 }

# A literal.
sub quote
{
	my $text = shift;
	$text =~ s/'/''/g;
	return ($text =~ s/\\/\\\\/g ? ' E' : '') . "'$text'";
}

# A name that this generator has not used.
sub name { my ($self, $prefix) = @_; return $prefix . ++$self->{n} }

# A connection argument for dblink(): a name mostly, else a foreign server, a
# connection string, or none.  With "named", a name only.
sub connection
{
	my ($self, $named) = @_;
	return quote(pick(@NAMED)) if $named || !once_in(7);
	return pick("'srv'", '(SELECT info)', '', '', '', '');
}

# ---- remote queries ----------------------------------------------------

# How many rows.
sub rows { return pick(0, 1, 2, 5, 12, 12, 40, 40, 150, 700) }

# A remote query and what it returns: { sql, cols => [[name, type]...], n }.
# Options: error ("remote" or "convert" or "columns"), n.
sub remote_query
{
	my ($self, %opt) = @_;
	my @types = map { pick(@TYPES) } 1 .. pick(0, 1, 1, 2, 3);
	my $n = defined $opt{n} ? $opt{n} : rows();
	my (@cols, @exprs);

	$n = pick(1, 5, 40, 700, 2500) if $opt{error};
	push @cols, [ 'k', 'int' ];
	push @exprs, 'g';
	foreach my $type (@types)
	{
		push @cols, [ 'a' . @cols, $type ];
		push @exprs, pick(@{ $EXPR{$type} });
	}
	if ($opt{error})
	{
		my $at = pick(1, 2, $n, int(rand $n) + 1);
		if ($opt{error} eq 'remote')
		{
			push @cols, [ 'a' . @cols, 'int' ];
			push @exprs, "1 / ($at - g)";
		}
		elsif ($opt{error} eq 'convert')
		{
			my ($type, $bad) = @{ pick(
					[ 'int', 'bad' ], [ 'date', '2020-02-31' ],
					[ 'varchar(2)', 'too long' ], [ 'positive', '-1' ],
					[ 'mood', 'angry' ], [ 'numeric(3,1)', '12345' ],
					[ 'smallint', '70000' ], [ 'uuid', 'x' ]) };
			my $good = $EXPR{$type} ? $EXPR{$type}[0] : '1';
			push @cols, [ 'a' . @cols, $type ];
			push @exprs, "CASE WHEN g = $at THEN '$bad' ELSE ($good)::text END";
		}
		else
		{
			push @exprs, 'g';
			pop @exprs, pop @exprs if once_in(3) && @exprs > 2;
		}
	}
	my $list = join ', ', @exprs;
	my $order = pick('', '', ' ORDER BY 1', ' ORDER BY 1 DESC');
	my $sql;
	my $kind = $opt{error} ? 1 : int rand 12;
	if ($kind < 6)
	{
		$sql = "SELECT $list FROM generate_series(1, $n) AS g";
		$sql .= ' WHERE ' . pick('g % 2 = 0', 'g > 3', 'g <> 1', 'false')
		  if once_in(5) && !$opt{error};
	}
	elsif ($kind < 9)
	{
		$sql = "SELECT $list FROM items AS i(g, grp, val, name)"
		  . " WHERE g <= $n" . pick('', ' AND grp = 3', ' AND name IS NOT NULL');
		$order ||= ' ORDER BY 1';
	}
	elsif ($kind == 9)
	{
		$sql = "WITH w(g) AS (SELECT generate_series(1, $n)) SELECT $list FROM w";
	}
	elsif ($kind == 10)
	{
		$sql = "SELECT 1, 2, 3, 4 WHERE false; SELECT $list FROM generate_series(1, $n) AS g"
		  if @cols == 4;
		$sql ||= "(SELECT $list FROM generate_series(1, $n) AS g)";
	}
	else
	{
		$sql = "SELECT * FROM (SELECT $list FROM generate_series(1, $n) AS g) AS s UNION ALL"
		  . " SELECT $list FROM generate_series(1, 0) AS g";
	}
	return { sql => $sql . $order, cols => \@cols, n => $n };
}

# An item of FROM: { from, alias, cols, n }.  Options as for remote_query, and
# kind ("dblink", "table"), named (only an open connection), param (an
# expression whose value, an int, is used in the remote query's text).
sub source
{
	my ($self, %opt) = @_;
	my $alias = $self->name('t');

	if (($opt{kind} || '') eq 'table' || (!$opt{kind} && !$opt{error} && once_in(4)))
	{
		return pick(
			{ from => "loc AS $alias(k, a1, a2)", alias => $alias, n => 120,
				cols => [ [ 'k', 'int' ], [ 'a1', 'int' ], [ 'a2', 'text' ] ] },
			{ from => "generate_series(1, 10) AS $alias(k)", alias => $alias, n => 10,
				cols => [ [ 'k', 'int' ] ] });
	}
	my $q = $self->remote_query(%opt);
	my $text = quote($q->{sql});
	my $conn = $self->connection($opt{named});

	$conn = '(SELECT info FROM conninfo)' if $conn eq '(SELECT info)';
	if ($opt{param})
	{
		$text = quote("SELECT * FROM ($q->{sql}) AS p(" . join(', ', map { $_->[0] } @{ $q->{cols} })
			  . ') WHERE k <= ') . " || $opt{param}";
		$text = quote($q->{sql}) if $q->{sql} =~ /;/;
	}
	my $flag = pick('', '', '', '', ', true', $opt{error} ? '' : ', false');
	$flag = '' if $flag eq ', false' && $opt{error};
	my $args = ($conn eq '' ? '' : "$conn, ") . $text . $flag;
	my $list = join ', ', map { "$_->[0] $_->[1]" } @{ $q->{cols} };
	return { from => "dblink($args) AS $alias($list)", alias => $alias,
		cols => $q->{cols}, n => $q->{n} };
}

# ---- local expressions ---------------------------------------------------

# A column of a source, of a type if given; undef if there is none.
sub column
{
	my ($self, $s, $type) = @_;
	my @cols = grep { !$type || $_->[1] eq $type } @{ $s->{cols} };
	return undef unless @cols;
	my $col = pick(@cols);
	return "$s->{alias}.$col->[0]";
}

# A condition on the columns of the sources.
sub condition
{
	my ($self, @s) = @_;
	my $s = pick(@s);
	my $k = "$s->{alias}.k";
	return pick(
		"$k > 2", "$k % 3 = 1", "$k < 30", "$k IS NOT NULL",
		"$k = 5", "$k BETWEEN 4 AND 20", $self->column($s) . ' IS NOT NULL',
		"$k IN (SELECT k FROM " . $self->source(named => 1, n => 12)->{from} . ')',
		"EXISTS (SELECT FROM " . $self->source(named => 1, n => 12)->{from} . " WHERE k = $k)",
		"EXISTS (SELECT FROM " . $self->source(named => 1, n => 12)->{from} . ')',
		"NOT EXISTS (SELECT FROM " . $self->source(named => 1, n => 5)->{from} . " WHERE k = $k + 1)",
		"$k <> ALL (SELECT k FROM " . $self->source(named => 1, n => 5)->{from} . ')',
		"$k <= (SELECT max(k) FROM " . $self->source(named => 1, n => 12)->{from} . ')',);
}

# An expression for the select list that runs dblink itself; for few rows.
sub calling
{
	my ($self, $s) = @_;
	my $k = "$s->{alias}.k";
	my $conn = $self->connection(1);
	return pick(
		"nest($conn, $k)", "nest($conn, $k)", "few($conn, $k)", "caught($conn, $k)",
		"local_caught($conn, $k)", "async($conn, $k)", "written($conn, $k)",
		"reconnected($conn, $k)", "fetched($conn, $k)", "dblink_is_busy($conn)",
		"truncated($k)", "polled($conn, $k)",
		"(SELECT v FROM dblink($conn, 'SELECT ' || $k || ' * 2') AS n(v int))",
		"(SELECT sum(v) FROM dblink($conn, 'SELECT generate_series(1, 9)') AS n(v int) WHERE v <= $k)",
		"(SELECT v FROM dblink($conn, 'SELECT generate_series(1, 9)') AS n(v int) WHERE v >= $k LIMIT 1)",
		"dblink_exec($conn, 'SET application_name = ''r''')",
		"array_length(dblink_get_connections(), 1)");
}

# A select list over sources, and how long it is.
sub select_list
{
	my ($self, @s) = @_;
	my @list = map { "$_->{alias}.k" } @s;
	push @list, $self->column(pick(@s)) for 1 .. pick(0, 1, 2);
	my ($small) = sort { $a->{n} <=> $b->{n} } @s;
	push @list, $self->calling($small)
	  if once_in(4) && !grep { $_->{n} > 40 } @s;
	return (join(', ', @list), scalar @list);
}

# FROM and WHERE over sources.
sub from_where
{
	my ($self, @s) = @_;
	my $from = $s[0]{from};
	my @where;
	foreach my $i (1 .. $#s)
	{
		my $on = "$s[$i]{alias}.k = $s[pick(0 .. $i - 1)]{alias}.k";
		my $how = int rand 5;
		if ($how < 2) { $from .= " JOIN $s[$i]{from} ON $on" }
		elsif ($how == 2) { $from .= " LEFT JOIN $s[$i]{from} ON $on" }
		elsif ($how == 3) { $from .= " FULL JOIN $s[$i]{from} ON $on" }
		else { $from .= " CROSS JOIN $s[$i]{from}"; push @where, $on }
	}
	push @where, $self->condition(@s) for 1 .. pick(0, 0, 1, 1, 2);
	return $from . (@where ? ' WHERE ' . join(' AND ', @where) : '');
}

# LIMIT and OFFSET, mostly none.
sub limit
{
	return '' unless once_in(3);
	return pick(' LIMIT 1', ' LIMIT 3', ' LIMIT 10 OFFSET 2', ' OFFSET 5', ' LIMIT 0',
		' FETCH FIRST 2 ROWS ONLY');
}

# A query.  Options: error, plain (one scan without anything around it), ordered
# (the order of the rows must not depend on the plan).  Sets "joined": whether
# it depends on it else.
sub query
{
	my ($self, %opt) = @_;
	my @s = ($self->source(kind => 'dblink', error => $opt{error}));

	$self->{joined} = 0;
	return "SELECT * FROM $s[0]{from}" if $opt{plain};
	if ($opt{error})
	{
		# every row is read here, whatever the plan
		my ($k, $last) = map { "$s[0]{alias}.$_->[0]" } @{ $s[0]{cols} }[ 0, -1 ];
		return pick(
			"SELECT count(*), count($last) FROM $s[0]{from}",
			"SELECT * FROM $s[0]{from}",
			"SELECT $k FROM $s[0]{from} WHERE $k % 2 = 0",
			"SELECT $k FROM $s[0]{from} ORDER BY 1 DESC",
			"SELECT * FROM (SELECT * FROM $s[0]{from} OFFSET 0) AS x",
			"WITH w AS MATERIALIZED (SELECT * FROM $s[0]{from}) SELECT count(*) FROM w",
			"SELECT $k FROM $s[0]{from} UNION ALL SELECT 1",
			"SELECT $k, count(*) FROM $s[0]{from} GROUP BY 1 ORDER BY 1",
			"SELECT $k, row_number() OVER () FROM $s[0]{from}");
	}
	push @s, $self->source for 1 .. pick(0, 0, 1, 1, 2);
	@s = reverse @s if once_in(2);
	my ($list, $width) = $self->select_list(@s);
	my $rest = $self->from_where(@s);
	my $k = "$s[0]{alias}.k";
	my $kind = int rand 14;
	my $limit = limit();
	my $all = join ', ', 1 .. $width;
	my $order = pick('', ' ORDER BY 1', ' ORDER BY 1 DESC');

	# The planner may join in another order; where that shows, sort.
	$self->{joined} = @s > 1 || $rest =~ /\(SELECT/;
	my $fixed = $self->{joined} && ($limit || $opt{ordered});
	$order = " ORDER BY $all" if $fixed;
	my $by_k = $fixed ? ' ORDER BY 1' : '';

	return "SELECT $list FROM $rest$order$limit" if $kind < 5;
	return "SELECT count(*), min($k), max($k), sum($k) FROM $rest" if $kind == 5;
	return "SELECT $k % 4, count(*), sum($k) FROM $rest GROUP BY 1 ORDER BY 1$limit"
	  if $kind == 6;
	return "SELECT DISTINCT $k % 5 FROM $rest ORDER BY 1" if $kind == 7;
	return "SELECT $k, row_number() OVER (ORDER BY $k) FROM $rest$by_k$limit" if $kind == 8;
	return "SELECT $k FROM $rest"
	  . pick(' UNION ', ' UNION ALL ', ' INTERSECT ', ' EXCEPT ', ' EXCEPT ALL ')
	  . "SELECT k FROM " . $self->source->{from}
	  . " ORDER BY 1$limit"
	  if $kind == 9;
	return 'WITH w AS ' . pick('', 'MATERIALIZED ', 'NOT MATERIALIZED ')
	  . "(SELECT $k AS k FROM $rest) SELECT "
	  . pick('count(*) FROM w', 'a.k, b.k FROM w AS a JOIN w AS b ON a.k = b.k + 1',
		'k FROM w WHERE k < (SELECT max(k) FROM w)', '* FROM w') . ($fixed || $limit ? " ORDER BY 1$limit" : '')
	  if $kind == 10;
	return "SELECT * FROM (SELECT $k AS k, count(*) OVER () AS c FROM $rest"
	  . "$by_k$limit) AS x WHERE k > 1" . ($self->{joined} ? '' : limit())
	  if $kind == 11;
	return "SELECT o.k, x.* FROM generate_series(1, 6) AS o(k), LATERAL (SELECT s.k AS sk FROM "
	  . do { my $s = $self->source(param => 'o.k', n => 12, kind => 'dblink', named => 1);
		(my $f = $s->{from}) =~ s/ AS $s->{alias}\(/ AS s(/; $f }
	  . pick('', ' WHERE s.k > o.k', ' ORDER BY 1 DESC LIMIT 2', ' LIMIT 1') . ') AS x'
	  if $kind == 12;
	return "SELECT $k, (SELECT max(k) FROM "
	  . $self->source(param => "coalesce($k, 1)", n => 12, kind => 'dblink', named => 1)->{from}
	  . pick('', " WHERE k < $k") . ") FROM $s[0]{from}"
	  . pick('', " WHERE $k < 20") . ' LIMIT 30';
}

# ---- cases -----------------------------------------------------------------

# One case, a hash: sql, the statements (a list of strings without their
# semicolons); error, the kind of error to come, if any; unordered, whether
# rows may come in another order if another plan is chosen; rough, whether only
# the last line is to be compared; fresh, whether the
# connections should be made anew if there was one, because it may have left
# them in a transaction or with something pending.
sub next_case
{
	my $self = shift;
	my $kind = int rand 100;

	if ($kind < 44)
	{
		my $query = $self->query;
		return { sql => [$query], unordered => $self->{joined} };
	}
	return $self->error_case if $kind < 56;
	return $self->cursor_case if $kind < 68;
	return $self->loop_case if $kind < 80;
	return $self->write_case if $kind < 85;
	return $self->prepared_case if $kind < 89;
	return $self->async_case if $kind < 93;
	return $self->fetch_case if $kind < 96;
	return $self->rough_case if $kind < 97;
	return $self->odd_case if $kind < 98;
	return $self->settings_case;
}

# A query that fails, alone, in a transaction, or in a savepoint; and the
# connections are good after it.
sub error_case
{
	my $self = shift;
	my $error = pick('remote', 'remote', 'convert', 'columns');
	my $query = $self->query(error => $error);
	my $how = int rand 6;

	if ($error eq 'remote' && once_in(3))
	{
		# the error is still to come when the plan has all it wants
		my $s = $self->source(kind => 'dblink', error => 'remote');
		$query = pick(
			"SELECT $s->{alias}.k FROM $s->{from} LIMIT 1",
			"SELECT EXISTS (SELECT FROM $s->{from})",
			"SELECT 1 WHERE EXISTS (SELECT FROM $s->{from} WHERE k > 0)",
			"SELECT k FROM loc AS l(k) WHERE k <= 3 AND EXISTS (SELECT FROM $s->{from} WHERE k = l.k)",
			"SELECT (SELECT k FROM $s->{from} LIMIT 1)",
			"SELECT o, k FROM generate_series(1, 3) AS o LEFT JOIN $s->{from} ON true LIMIT 2");
	}
	my $after = 'SELECT * FROM dblink(' . $self->connection(1) . ", 'SELECT 1') AS t(k int)";
	return { error => $error, sql => [ 'BEGIN', $query, 'ROLLBACK', $after ] } if $how == 0;
	return { error => $error, sql => [ 'BEGIN', 'SAVEPOINT s', $query, 'ROLLBACK TO s', $after, 'COMMIT' ] }
	  if $how == 1;
	return { error => $error, sql => [ $query, $after ] };
}

# A cursor, moved about, with other things in between.
sub cursor_case
{
	my $self = shift;
	my $scroll = pick('', 'SCROLL ', 'SCROLL ', 'NO SCROLL ');
	my $hold = once_in(4);
	my $c = $self->name('cur');
	my @sql = ('BEGIN');
	my $savepoint;

	push @sql, "DECLARE $c ${scroll}CURSOR " . ($hold ? 'WITH HOLD ' : '') . 'FOR '
	  . $self->query(plain => once_in(2), ordered => 1);
	foreach (1 .. pick(2, 4, 6))
	{
		my $what = int rand 14;
		if ($what < 9)
		{
			my $where = pick('NEXT', '3', 'FORWARD 10', 'NEXT', 'ALL', 'FORWARD 100',
				$scroll eq 'SCROLL '
				? ('PRIOR', 'BACKWARD 4', 'FIRST', 'LAST', 'ABSOLUTE 3', 'ABSOLUTE -2',
					'RELATIVE -1', 'BACKWARD ALL', 'RELATIVE 0', 'FORWARD 0')
				: ());
			push @sql, (once_in(6) ? 'MOVE ' : 'FETCH ') . "$where FROM $c";
		}
		elsif ($what < 11)
		{
			push @sql, 'SELECT ' . $self->calling({ alias => 'o', n => 1 })
			  . ' FROM generate_series(1, 2) AS o(k)';
		}
		elsif ($what == 11)
		{
			push @sql, $self->query(ordered => 1);
		}
		elsif ($what == 12)
		{
			# an error within a savepoint, and the cursor lives on
			push @sql, 'SAVEPOINT s',
			  pick("SELECT 1 / 0", "SELECT * FROM dblink('c1', 'SELECT 1 / 0') AS t(k int)"),
			  'ROLLBACK TO s';
		}
		else
		{
			push @sql, 'SAVEPOINT s', pick("FETCH 2 FROM $c", "MOVE 5 FROM $c"),
			  pick('RELEASE s', "SELECT * FROM dblink('c1', 'SELECT 2') AS t(k int)");
		}
	}
	push @sql, pick("CLOSE $c", 'SELECT 1');
	push @sql, 'COMMIT', $hold && $sql[-1] !~ /^CLOSE/ ? ("FETCH 5 FROM $c", "CLOSE $c") : ()
	  if once_in(2) && ($sql[-1] !~ /^CLOSE/ || !$hold);
	push @sql, pick('COMMIT', 'ROLLBACK'), 'CLOSE ALL' if $sql[-1] ne 'COMMIT';
	return { fresh => 1, sql => \@sql };
}

# A PL/pgSQL function that loops over rows and does something for each.
sub loop_case
{
	my $self = shift;
	my $s = $self->source(kind => 'dblink');
	my $query = "SELECT k FROM $s->{from}";
	my $conn = $self->connection(1);
	my $body = pick(
		"r := r || nest($conn, i);",
		"r := r || coalesce(few($conn, i)::text, '-');",
		"r := r || written($conn, i);",
		"r := r || caught($conn, i);",
		"r := r || local_caught($conn, i);",
		"BEGIN r := r || i; PERFORM 1 / (i % 3); EXCEPTION WHEN division_by_zero THEN r := r || '!'; END;",
		"BEGIN r := r || nest($conn, i); PERFORM 1 / (i % 3); EXCEPTION WHEN division_by_zero THEN r := r || '!'; END;",
		"PERFORM reconnected($conn, i); r := r || i;",
		"PERFORM truncated(i); r := r || i;",
		"FOR j IN SELECT k FROM " . $self->source(kind => 'dblink', named => 1, n => 5)->{from}
		  . " LOOP r := r || '.' || coalesce(j, 0); " . pick('', 'EXIT WHEN j > 2;', 'CONTINUE;') . ' END LOOP;',
		"EXECUTE 'SELECT k FROM dblink(''c1'', ''SELECT ' || i || ''') AS t(k int)' INTO j; r := r || j;",
		"RETURN NEXT i; r := r || i;");
	my $ending = pick('', '', 'EXIT WHEN n >= 3;', 'IF n = 4 THEN RETURN; END IF;', 'EXIT;',
		"IF n = 5 THEN RAISE EXCEPTION 'enough: %', r; END IF;");
	my $limit = $s->{n} > 40 ? 'EXIT WHEN n > 40;' : '';
	my $loop = once_in(4)
	  ? "OPEN c FOR $query; LOOP FETCH c INTO i; EXIT WHEN NOT FOUND; n := n + 1; $body $ending $limit END LOOP; "
	  . pick('CLOSE c;', '')
	  : "FOR i IN $query LOOP n := n + 1; $body $ending $limit END LOOP;";
	$loop = "BEGIN $loop EXCEPTION WHEN raise_exception THEN r := r || ' caught ' || n; END;" if once_in(4);
	my $f = 'pg_temp.looping';
	my @sql = (
		"CREATE OR REPLACE FUNCTION $f() RETURNS SETOF text LANGUAGE plpgsql AS \$f\$"
		  . " DECLARE i int; j int; n int := 0; r text := ''; c refcursor;"
		  . " BEGIN $loop RETURN NEXT r || ' ' || n; END \$f\$",
		pick("SELECT * FROM $f()", "SELECT $f()", "SELECT $f() LIMIT 2"));
	@sql = ('BEGIN', @sql, pick('COMMIT', 'ROLLBACK')) if once_in(5);
	return { fresh => 1, sql => \@sql };
}

# Rows that go into a local table, or out of it.
sub write_case
{
	my $self = shift;
	my $s = $self->source(kind => 'dblink');
	my $from = $s->{from};
	my $a = $s->{alias};
	my $look = 'SELECT count(*), sum(a), min(b) FROM sink';
	my $table = $self->name('made');

	return { sql => ["CREATE TEMP TABLE $table AS SELECT $a.* FROM $from",
			"SELECT count(*), sum(k) FROM $table", "DROP TABLE $table"] } if once_in(3);
	return { sql => [ pick(
				"INSERT INTO sink SELECT k, 'x' || k FROM $from",
				"INSERT INTO sink SELECT k, 'x' || k FROM $from RETURNING a",
				"WITH w AS (INSERT INTO sink SELECT k, 'w' FROM $from RETURNING *) SELECT count(*), sum(a) FROM w",
				"UPDATE sink SET b = b || 'u' FROM $from WHERE a = $a.k",
				"UPDATE loc SET grp = loc.grp FROM $from WHERE loc.id = $a.k RETURNING loc.id, $a.k",
				"DELETE FROM sink USING $from WHERE a = $a.k",
				"DELETE FROM sink WHERE a IN (SELECT k FROM $from)",
				"MERGE INTO sink USING $from ON a = $a.k WHEN MATCHED THEN UPDATE SET b = 'm'"
				  . " WHEN NOT MATCHED AND $a.k % 10 = 0 THEN INSERT VALUES ($a.k, 'new')"),
			$look, 'DELETE FROM sink WHERE a > 300' ], unordered => 1 };
}

# Prepared statements, whose plans are kept.
sub prepared_case
{
	my $self = shift;
	my $p = $self->name('p');
	my $s = $self->source(kind => 'dblink', named => 1, param => '$1', n => 40);
	my $q = pick(
		"SELECT * FROM $s->{from}",
		"SELECT count(*) FROM $s->{from} WHERE k > \$1 / 2",
		"SELECT $s->{alias}.k FROM $s->{from} JOIN loc ON id = k WHERE k < \$1 ORDER BY 1 LIMIT 5",
		"SELECT nest('c1', k) FROM $s->{from} WHERE k < 5");
	return { sql => [ "PREPARE $p(int) AS $q",
			pick('SET plan_cache_mode = force_generic_plan', 'SET plan_cache_mode = force_custom_plan', 'SELECT 1'),
			(map { "EXECUTE $p(" . pick(0, 3, 10, 'NULL', 30) . ')' } 1 .. 3),
			pick('DISCARD PLANS', 'SELECT 1'),
			"EXECUTE $p(7)", 'RESET plan_cache_mode', "DEALLOCATE $p" ] };
}

# Asynchronous queries.
sub async_case
{
	my $self = shift;
	my $conn = $self->connection(1);
	my $error = once_in(4) ? 'remote' : undef;
	my $q = $self->remote_query(error => $error, n => rows());
	my $list = join ', ', map { "$_->[0] $_->[1]" } @{ $q->{cols} };
	my $get = "dblink_get_result($conn" . pick('', ', true') . ") AS t($list)";
	my @sql = ("SELECT dblink_send_query($conn, " . quote($q->{sql}) . ')');
	my $empty = "SELECT * FROM dblink_get_result($conn) AS t(k int)";

	push @sql, $error
	  ? pick("SELECT * FROM $get", "SELECT count(*) FROM $get", "SELECT k FROM $get LIMIT 1")
	  : pick("SELECT * FROM $get", "SELECT count(*) FROM $get", "SELECT k FROM $get LIMIT 1",
		"SELECT k, grp FROM $get JOIN loc ON id = k ORDER BY 1", "SELECT EXISTS (SELECT FROM $get)",
		"SELECT k, nest('c2', k) FROM $get WHERE k < 10", "SELECT k, nest($conn, k) FROM (SELECT k FROM $get ORDER BY 1) AS s WHERE k < 3",
		"INSERT INTO sink SELECT k, 'a' FROM $get");
	push @sql, $sql[1] if $q->{sql} =~ /;/;
	# what follows a result that was read is an empty one
	push @sql, $empty;
	push @sql, $empty if $sql[1] =~ /nest\('c1'|nest\(/;
	push @sql, "SELECT * FROM dblink($conn, 'SELECT 3') AS t(k int)";
	@sql = ('BEGIN', @sql, 'COMMIT') if !$error && once_in(4);
	return { error => $error, fresh => 1, sql => \@sql };
}

# Remote cursors.
sub fetch_case
{
	my $self = shift;
	my $conn = $self->connection(1);
	my $c = $self->name('rc');
	my $q = $self->remote_query(n => pick(0, 5, 40, 700));
	return { sql => ['SELECT 1'] } if $q->{sql} =~ /;/;
	my $list = join ', ', map { "$_->[0] $_->[1]" } @{ $q->{cols} };
	my @sql = ("SELECT dblink_open($conn, '$c', " . quote($q->{sql}) . ')');
	foreach (1 .. pick(1, 3, 4))
	{
		my $n = pick(0, 1, 7, 7, 1000, -1);
		$n = 3 if $n < 0;
		my $f = "dblink_fetch($conn, '$c', $n" . pick('', ', true', ', false') . ") AS t($list)";
		push @sql, pick("SELECT * FROM $f", "SELECT * FROM $f", "SELECT count(*) FROM $f", "SELECT k FROM $f LIMIT 2",
			"SELECT k, nest($conn, k) FROM $f WHERE k < 5", "SELECT k FROM $f JOIN loc ON id = k ORDER BY 1");
	}
	push @sql, "SELECT dblink_close($conn, '$c')";
	return { fresh => 1, sql => \@sql };
}

# Cursors, savepoints and errors in a heap.  What each statement gives depends
# on when an error comes; so only the end is to be compared, when all is over and
# each connection is asked something.
sub rough_case
{
	my $self = shift;
	my @sql = ('BEGIN');
	my @open;

	foreach (1 .. pick(6, 10, 16))
	{
		my $what = int rand 12;
		if ($what < 3)
		{
			my $s = $self->source(kind => 'dblink', error => pick('remote', 'remote', 'convert', undef));
			my $at = pick(1, 3, 30, 1000);
			my $c = $self->name('rough');
			push @open, $c;
			push @sql, "DECLARE $c " . pick('', '', 'SCROLL ', 'NO SCROLL ') . 'CURSOR ' . pick('', '', 'WITH HOLD ')
			  . "FOR SELECT k, 1 / ($at - k)" . pick('', ", nest('c1', k)", ", local_caught('c2', k)") . " FROM $s->{from}";
		}
		elsif ($what < 7 && @open) { push @sql, pick('FETCH 1 FROM ', 'FETCH 5 FROM ', 'MOVE ALL FROM ', 'MOVE 100 FROM ') . pick(@open) }
		elsif ($what == 7 && @open) { push @sql, 'CLOSE ' . pick(@open) }
		elsif ($what < 10) { push @sql, pick('SAVEPOINT s', 'SAVEPOINT s', 'ROLLBACK TO s', 'ROLLBACK TO s', 'RELEASE s') }
		else { push @sql, 'SELECT ' . $self->calling({ alias => 'o', n => 1 }) . ' FROM generate_series(4, 5) AS o(k)' }
	}
	push @sql, pick('COMMIT', 'ROLLBACK', 'ROLLBACK'), 'ROLLBACK', 'CLOSE ALL',
	  "SELECT a, b, c FROM dblink('c1', 'SELECT 1') AS t(a int), dblink('c2', 'SELECT 2') AS u(b int), dblink('l1', 'SELECT 3') AS v(c int)";
	return { rough => 1, fresh => 1, sql => \@sql };
}

# What is not streamed, next to what is.
sub odd_case
{
	my $self = shift;
	my $s = $self->source(kind => 'dblink', named => 1, n => 12);
	my $t = $self->source(kind => 'dblink', named => 1, n => 5);
	my ($call) = $s->{from} =~ /^(.*) AS t\d+\(/s;
	my ($list) = $s->{from} =~ / AS t\d+(\(.*\))$/s;
	my ($call2) = $t->{from} =~ /^(.*) AS t\d+\(/s;
	my ($list2) = $t->{from} =~ / AS t\d+(\(.*\))$/s;
	my $a = $s->{alias};
	return { sql => [ pick(
				"SELECT * FROM ROWS FROM ($call AS $list, generate_series(1, 3)) WITH ORDINALITY",
				"SELECT * FROM ROWS FROM ($call AS $list, $call2 AS $list2)",
				"SELECT $a FROM $s->{from}",
				"SELECT $a, $a.k FROM $s->{from} WHERE $a IS NOT NULL",
				"SELECT id, k FROM loc, $s->{from} WHERE id = k ORDER BY 1 FOR UPDATE OF loc",
				"SELECT count($a) FROM $s->{from}",
				"SELECT row_to_json($a) FROM $s->{from} WHERE k < 3",
				"WITH RECURSIVE r(k) AS (SELECT 1 UNION ALL SELECT r.k + 1 FROM r JOIN $s->{from} ON $a.k = r.k) SELECT * FROM r ORDER BY 1",
				"SELECT * FROM $s->{from} TABLESAMPLE SYSTEM (50)",
				"SELECT * FROM dblink('c1', 'INSERT INTO log(t) VALUES (''x''), (''y'') RETURNING t') AS t(t text) LIMIT 1",
				"SELECT * FROM dblink('c1', 'UPDATE items SET grp = grp WHERE id < 5 RETURNING id') AS t(k int) LIMIT 1",
				"SELECT * FROM dblink('c1', 'BEGIN; SELECT 1; COMMIT') AS t(k text)",
				"SELECT * FROM dblink('c1', 'SELECT id FROM items WHERE id < 4 ORDER BY id FOR UPDATE') AS t(k int)",
				"SELECT * FROM dblink('c2', 'SELECT count(*) FROM log') AS t(k int)",
				"SELECT * FROM dblink('c1', 'SELEC') AS t(k int)",
				"SELECT * FROM dblink('c1', '') AS t(k int)",
				"SELECT * FROM dblink('nosuch', 'SELECT 1') AS t(k int)",
				"SELECT * FROM dblink('c1', 'SET DateStyle = German') AS t(k text)",
				"SELECT * FROM dblink('c1', 'SET DateStyle = ISO') AS t(k text)",
				"SELECT * FROM dblink(NULL, 'SELECT 1') AS t(k int)",
				"SELECT * FROM dblink('c1', 'SELECT 1') AS t(k mood)",
				"SELECT * FROM dblink('c1', 'SELECT repeat(''x'', 100000)') AS t(k text)") ] };
}

# Settings of the planner, so that other plans come.
sub settings_case
{
	my $self = shift;
	return { sql => [ pick(
				(map { my $s = $_; map { "SET $s = $_" } 'on', 'off', 'off' }
					  qw(enable_hashjoin enable_mergejoin enable_nestloop enable_material enable_memoize
					  enable_hashagg enable_sort)),
				"SET work_mem = '64kB'", "SET work_mem = '4MB'", 'RESET ALL',
				"SET DateStyle = 'SQL, DMY'", "SET IntervalStyle = 'iso_8601'", 'RESET DateStyle',
				'SET cursor_tuple_fraction = 1', 'SET cursor_tuple_fraction = 0.01',
				'SET from_collapse_limit = 1', 'SET jit = off') ] };
}

# ---- what there is ---------------------------------------------------------

# SQL for the tables that a database has, on both sides.
sub tables
{
	return <<'SQL';
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE items (id int PRIMARY KEY, grp int, val numeric(10,2), name text);
CREATE FUNCTION fill() RETURNS void LANGUAGE sql AS $$
	INSERT INTO items SELECT i, nullif(i % 7, 6), i / 3.0, nullif('item ' || i % 11, 'item 4')
	FROM generate_series(1, 300) AS i $$;
SELECT fill();
CREATE TABLE log (t text);
CREATE TABLE loc (id int, grp int, name text);
INSERT INTO loc SELECT nullif(i, 77), i % 5, nullif('loc ' || i % 6, 'loc 3') FROM generate_series(1, 120) AS i;
CREATE TABLE sink (a int, b text);
INSERT INTO sink SELECT i, 'start' FROM generate_series(1, 30) AS i;
ANALYZE;
SQL
}

# SQL for the functions that queries call.
sub functions
{
	return <<'SQL';
CREATE FUNCTION fresh() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM dblink_disconnect(c) FROM unnest(dblink_get_connections()) AS c;
	PERFORM dblink_connect('c1', info), dblink_connect('c2', info), dblink_connect('l1', loop), dblink_connect(info)
	FROM conninfo;
END $$;
CREATE FUNCTION nest(conn text, x int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r text;
BEGIN
	SELECT v INTO r FROM dblink(conn, format('SELECT ''n'' || %L', x)) AS t(v text);
	RETURN r;
END $$;
CREATE FUNCTION few(conn text, x int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE n int := 0; i int;
BEGIN
	FOR i IN SELECT g FROM dblink(conn, format('SELECT generate_series(1, %s)', coalesce(x, 2))) AS t(g int) LOOP
		n := n + i;
		EXIT WHEN n > 3;
	END LOOP;
	RETURN n;
END $$;
CREATE FUNCTION caught(conn text, x int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM * FROM dblink(conn, format('SELECT 1 / (%s - 2)', coalesce(x % 4, 0))) AS t(i int);
	RETURN 'fine';
EXCEPTION WHEN division_by_zero THEN
	RETURN 'caught';
END $$;
CREATE FUNCTION local_caught(conn text, x int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE i int; r text := '';
BEGIN
	FOR i IN SELECT g FROM dblink(conn, 'SELECT generate_series(1, 5)') AS t(g int) LOOP
		r := 'caught at ' || i;
		PERFORM 1 / (i - x % 7);
	END LOOP;
	RETURN 'fine';
EXCEPTION WHEN division_by_zero THEN
	RETURN r;
END $$;
CREATE FUNCTION written(conn text, x int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN dblink_exec(conn, format('INSERT INTO log VALUES (%L)', x));
END $$;
CREATE FUNCTION truncated(x int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	IF x % 5 <> 0 THEN RETURN '-'; END IF;
	PERFORM dblink_exec('c2', 'BEGIN');
	PERFORM dblink_exec('c2', 'SET LOCAL lock_timeout = ''5s''');
	PERFORM dblink_exec('c2', 'TRUNCATE items');
	PERFORM * FROM dblink('c2', 'SELECT fill()') AS t(r text);
	RETURN dblink_exec('c2', 'COMMIT');
END $$;
CREATE FUNCTION reconnected(conn text, x int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	IF x % 5 <> 0 THEN RETURN '-'; END IF;
	RETURN dblink_disconnect(conn) || dblink_connect(conn, (SELECT CASE conn WHEN 'l1' THEN loop ELSE info END FROM conninfo));
END $$;
CREATE FUNCTION async(conn text, x int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r int := dblink_send_query(conn, 'SELECT generate_series(1, 4)');
BEGIN
	SELECT sum(g) + x INTO r FROM dblink_get_result(conn) AS t(g int);
	PERFORM * FROM dblink_get_result(conn) AS t(g int);
	RETURN r;
END $$;
CREATE FUNCTION polled(conn text, x int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r int := dblink_send_query(conn, 'SELECT generate_series(1, 4)');
BEGIN
	WHILE dblink_is_busy(conn) = 1 LOOP END LOOP;
	SELECT sum(g) + x INTO r FROM dblink_get_result(conn) AS t(g int);
	PERFORM * FROM dblink_get_result(conn) AS t(g int);
	RETURN r;
END $$;
CREATE FUNCTION fetched(conn text, x int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r text; s text := dblink_open(conn, 'inner_cursor', 'SELECT generate_series(1, 20)');
BEGIN
	SELECT string_agg(g::text, ' ') INTO r FROM dblink_fetch(conn, 'inner_cursor', 3) AS t(g int);
	SELECT r || g INTO r FROM dblink_fetch(conn, 'inner_cursor', 3) AS t(g int) LIMIT 1;
	RETURN r || dblink_close(conn, 'inner_cursor');
END $$;
SQL
}

1;
