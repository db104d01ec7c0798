# RandomSession - makes sessions at random, to be run on two servers and compared.
#
# The idea: as RandomQuery, but a case is a session: cursors, savepoints, blocks
# that catch errors, loops with calls in their bodies, retries, transactions on
# the remote, asynchronous queries, and errors that come late.  What each of its
# statements gives (rows, SQLSTATE, message) and the state in which it leaves
# both sides must be the same, whichever dblink it is.
#
# There are two kinds of places for a query.  In a "calm" one - a cursor, a loop,
# a block that catches errors, a savepoint - all rows are read before the first
# is used, so anything may be in it.  In a "plain" one - a statement of its own -
# rows may stream, and the manual names what may then differ: so there is at most
# one error, which comes whatever the plan does, and nothing is done meanwhile
# that it would not undo.

package RandomSession;

use strict;
use warnings;
use RandomQuery;
our @ISA = ('RandomQuery');

*pick = \&RandomQuery::pick;
*once_in = \&RandomQuery::once_in;
*quote = \&RandomQuery::quote;

# SQL for the remote's databases besides RandomQuery's.
sub remote_functions
{
	return <<'SQL';
CREATE FUNCTION logged(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES (n); RETURN n; END $$;
SQL
}

# SQL for the sides besides RandomQuery's.
sub local_functions
{
	return <<'SQL';
CREATE FUNCTION lazy(conn text, q text) RETURNS SETOF int LANGUAGE sql AS $$ SELECT k FROM dblink(conn, q) AS t(k int) $$;
CREATE SEQUENCE counted;
SQL
}

# ---- sources ---------------------------------------------------------------

# The text of a remote query for one int column, "k", that is one of: fine,
# remote (fails at some row), convert (has a value that is no int), writes (logs
# each row), both (writes, then fails).
sub int_query
{
	my ($self, $kind) = @_;
	my $n = pick(0, 1, 3, 3, 10, 10, 30, 300, 2500);
	my $at = 1 + int rand($n || 1);
	my $pad = once_in(12) && $n < 2500 ? ", repeat('x', 4000)" : '';
	my $from = "FROM generate_series(1, $n) AS g";

	$n = 1, $from = 'FROM generate_series(1, 1) AS g' if !$n && $kind ne 'fine';
	return "SELECT g $from" . pick('', '', ' ORDER BY 1 DESC', ' WHERE g <> 2') if $kind eq 'fine' && !once_in(5);
	return pick('SELECT id FROM items WHERE id < 30 ORDER BY 1', 'VALUES (1), (2)',
		"INSERT INTO log VALUES ('r'), ('s') RETURNING 7", 'SELECT 1; SELECT 2') if $kind eq 'fine';
	return "SELECT g + 0 / ($at - g) $from" if $kind eq 'remote';
	return "SELECT CASE WHEN g = $at THEN 'bad' ELSE g::text END $from" if $kind eq 'convert';
	$n = 300, $from = 'FROM generate_series(1, 300) AS g' if $n > 300;
	return "SELECT logged(g) $from" if $kind eq 'writes';
	return "SELECT logged(g) + 0 / ($at - g) $from";
}

# A call for a query that only reads, on a given connection: two of them in a join
# may be run in either order, or one not at all, as the plan has it.
sub joined_source
{
	my ($self, $conn) = @_;
	my $n = pick(1, 3, 10, 30, 300);
	return "dblink($conn, 'SELECT g FROM generate_series(1, $n) AS g') AS " . $self->name('s') . '(k int)';
}

# A call for such a query, with an alias, for FROM.
sub int_source
{
	my ($self, $kind, %opt) = @_;
	my $alias = $self->name('s');
	my $conn = $self->connection($opt{named});
	my $list = "$alias(k int)";
	$conn = '(SELECT info FROM conninfo)' if $conn eq '(SELECT info)';
	return 'dblink(' . ($conn eq '' ? '' : "$conn, ") . quote($self->int_query($kind)) . ") AS $list";
}

# A connection by name.
sub named { my $self = shift; return $self->connection(1) }

# Any kind of source; in a plain place one that is right there.
sub any_kind { return pick(qw(fine fine fine remote remote convert convert writes both)) }

# The same without values that can't be converted.
sub convertible { return pick(qw(fine fine fine remote remote writes)) }

# A query for a calm place: one column k.
sub calm_query
{
	my ($self, %opt) = @_;
	my $s = $self->int_source($opt{kind} || any_kind());
	my $at = pick(1, 2, 3, 10, 200);
	return pick(
		"SELECT k FROM $s", "SELECT k FROM $s", "SELECT k FROM $s", "SELECT k FROM $s LIMIT 2",
		"SELECT k + 0 / ($at - k) AS k FROM $s",
		"SELECT k FROM $s WHERE k % 2 = 1", "SELECT count(*)::int AS k FROM $s",
		"SELECT k FROM $s ORDER BY k DESC", "SELECT k FROM $s JOIN loc ON id = k ORDER BY k LIMIT 20",
		"SELECT g AS k FROM generate_series(1, 3) AS g WHERE EXISTS (SELECT FROM $s WHERE k >= g)",
		"SELECT g AS k FROM generate_series(1, 3) AS g WHERE EXISTS (SELECT FROM $s)",
		"SELECT g AS k FROM generate_series(1, 3) AS g WHERE g NOT IN (SELECT k FROM $s WHERE k IS NOT NULL)",
		"SELECT (SELECT k FROM $s LIMIT 1) AS k",
		"SELECT k FROM $s UNION ALL SELECT k FROM " . $self->int_source('fine'),
		"SELECT k + 0 * length(" . $self->call('k % 5') . ") AS k FROM $s LIMIT 6",
		"SELECT nextval('counted')::int AS k FROM $s",
		"SELECT k FROM lazy(" . $self->named . ', ' . quote($self->int_query(any_kind())) . ') AS k');
}

# A query for a plain place.
sub plain_query
{
	my $self = shift;
	my $kind = pick(qw(fine fine fine remote convert writes));
	my $s = $self->int_source($kind);
	return pick("SELECT k FROM $s", "SELECT count(*), sum(k) FROM $s", "SELECT k FROM $s ORDER BY k DESC")
	  if $kind eq 'convert';
	return pick(
		"SELECT k FROM $s", "SELECT count(*) FROM $s", "SELECT k FROM $s LIMIT 1", "SELECT EXISTS (SELECT FROM $s)",
		"SELECT (SELECT k FROM $s LIMIT 1)", "SELECT k FROM $s ORDER BY k DESC LIMIT 2", "SELECT g FROM generate_series(1, 3) AS g WHERE EXISTS (SELECT FROM $s)",
		"SELECT k FROM (SELECT k FROM $s LIMIT 3) AS x ORDER BY 1")
	  if $kind ne 'fine';
	my $conn = $self->named;
	my ($a, $b) = map { $self->joined_source($conn) } 1, 2;
	return pick(
		"SELECT k FROM $s", "SELECT k FROM $s LIMIT 2", "SELECT k, " . $self->call('k') . " FROM $s LIMIT 4",
		"SELECT k, (SELECT sum(k) FROM " . $self->int_source('fine', named => 1) . ") FROM $s LIMIT 5",
		"SELECT count(*) FROM $a JOIN $b USING (k)", "SELECT EXISTS (SELECT FROM $s WHERE k > 2)", "SELECT k FROM $a WHERE k IN (SELECT k FROM $b) ORDER BY 1");
}

# A call of a function that uses dblink, for an int; text.
sub call
{
	my ($self, $i) = @_;
	my $conn = $self->named;
	return pick("nest($conn, $i)", "coalesce(few($conn, $i)::text, '-')", "written($conn, $i)", "written($conn, $i)", "caught($conn, $i)",
		"local_caught($conn, $i)", "fetched($conn, $i)", "async('a1', $i)", "polled('a1', $i)", "reconnected($conn, $i)",
		"dblink_exec($conn, 'SET application_name = ''r''')", "coalesce(dblink_error_message($conn), '')");
}

# ---- statements --------------------------------------------------------------

# What a loop does for each row: i is the row, n counts, r is the result.
sub body
{
	my $self = shift;
	my $conn = $self->named;
	return pick(
		'r := r || \' \' || coalesce(i, 0);', 'RETURN NEXT i;',
		'r := r || ' . $self->call('i') . ';', 'r := r || ' . $self->call('i') . ';', "r := r || written($conn, i);",
		'BEGIN r := r || ' . $self->call('i') . "; PERFORM 1 / (i % 3); EXCEPTION WHEN division_by_zero THEN r := r || '!'; END;",
		"BEGIN PERFORM 1 / (i % 3); EXCEPTION WHEN division_by_zero THEN r := r || written($conn, i); END;",
		'INSERT INTO sink VALUES (i + 1000, \'loop\');', "PERFORM set_config('TimeZone', 'Asia/Tokyo', true);",
		"IF n = 1 THEN PERFORM dblink_exec($conn, 'BEGIN'); ELSIF n = 3 THEN PERFORM dblink_exec($conn, " . pick("'COMMIT'", "'ROLLBACK'") . '); END IF;',
		'BEGIN FOR j IN ' . $self->calm_query . " LOOP r := r || '.' || coalesce(j, 0); " . pick('', 'EXIT;', 'EXIT WHEN j > 2;')
		  . " END LOOP; EXCEPTION WHEN OTHERS THEN r := r || SQLSTATE; END;",
		'FOR j IN ' . $self->calm_query(kind => 'fine') . ' LOOP r := r || coalesce(j, 0); EXIT WHEN j > 3; END LOOP;',
		# PL/pgSQL runs such expressions to their end, so they stream: a value that can't
		# be converted counts only if the plan gets to its row (doc/streaming.md)
		"r := r || CASE WHEN EXISTS (SELECT FROM " . $self->int_source(convertible()) . " WHERE k > i) THEN 't' ELSE 'f' END;",
		'j := (SELECT k FROM (' . $self->calm_query(kind => convertible()) . ') AS q LIMIT 1); r := r || coalesce(j, 0);',
		"PERFORM 1 / (i - 4);",
		"PERFORM nextval('counted');");
}

# The body of a function that returns texts.
sub program
{
	my $self = shift;
	my $conn = $self->named;
	my $what = int rand 10;

	# a loop, with an end that comes early perhaps
	my $query = $self->calm_query;
	my $body = join ' ', 'n := n + 1;', (map { $self->body } 1 .. pick(1, 1, 2)),
	  pick('', '', '', 'EXIT WHEN n >= 2;', "IF n = 3 THEN RETURN NEXT r; RETURN; END IF;", "IF n = 4 THEN RAISE EXCEPTION 'enough: %', n; END IF;"),
	  'EXIT WHEN n > 8;';
	my $loop = pick(
		"FOR i IN $query LOOP $body END LOOP;", "FOR i IN $query LOOP $body END LOOP;",
		'FOR i IN EXECUTE ' . quote($query) . " LOOP $body END LOOP;",
		"OPEN c FOR $query; LOOP FETCH c INTO i; EXIT WHEN NOT FOUND; $body END LOOP; " . pick('CLOSE c;', '', 'BEGIN CLOSE c; EXCEPTION WHEN OTHERS THEN r := r || SQLSTATE; END;'));
	return $loop if $what < 3;

	# what is done in a block that catches errors
	my $calm = pick($loop, $loop,
		'RETURN QUERY SELECT k::text FROM (' . $self->calm_query . ') AS q;', 'RETURN QUERY SELECT k::text FROM (' . $self->calm_query . ') AS q;',
		'RETURN QUERY EXECUTE ' . quote('SELECT k::text FROM (' . $self->calm_query . ') AS q') . ';',
		'INSERT INTO sink SELECT k, \'block\' FROM (' . $self->calm_query . ') AS q;',
		'PERFORM k FROM (' . $self->calm_query . ') AS q;', 'PERFORM ' . $self->call('k') . ' FROM (' . $self->calm_query . ') AS q LIMIT 5;',
		'SELECT k INTO n FROM (' . $self->calm_query . ') AS q;',
		"CREATE TEMP TABLE made ON COMMIT DROP AS SELECT k FROM (" . $self->calm_query . ') AS q; DROP TABLE made;');
	my $block = "BEGIN $calm EXCEPTION WHEN OTHERS THEN r := r || ' ' || SQLSTATE || ' ' || SQLERRM || ' at ' || coalesce(n, -1) || '/' || coalesce(i, -1) || '.';";
	return "$block END;" if $what < 6;
	return "$block " . pick('RETURN QUERY SELECT k::text FROM ' . $self->int_source('fine') . ';', 'r := r || ' . $self->call('1') . ';', $self->body) . ' END;' if $what < 8;

	# tried until it works
	my $fail = pick("format('SELECT g + 0 / (3 - g * %s) FROM generate_series(1, 500) AS g', try - 1)",
		"format('SELECT CASE WHEN g = 300 AND %s < 3 THEN ''x'' ELSE g::text END FROM generate_series(1, 500) AS g', try)",
		"format('SELECT logged(g) + 0 / (%s - 4 + g * 0) FROM generate_series(1, 50) AS g', 2 * try)");
	my $from = "dblink($conn, $fail) AS t(k int)";
	my $attempt = pick("RETURN QUERY SELECT k::text FROM $from;", "FOR i IN SELECT k FROM $from LOOP n := n + 1; RETURN NEXT n; END LOOP;",
		"FOR i IN SELECT k FROM $from LOOP n := n + 1; " . $self->body . ' EXIT WHEN n > 20; END LOOP;', "INSERT INTO sink SELECT k, 'try' FROM $from;",
		"SELECT sum(k) INTO n FROM $from;");
	return "FOR try IN 1 .. 3 LOOP BEGIN $attempt EXIT; EXCEPTION WHEN OTHERS THEN r := r || try || SQLSTATE || n; "
	  . pick('', '', "PERFORM dblink_exec($conn, 'ROLLBACK');", 'r := r || ' . $self->call('try') . ';') . ' END; END LOOP;';
}

# One or more statements that belong together.
sub statements
{
	my $self = shift;
	my $conn = $self->named;
	my $what = int rand 100;

	# psql says BEGIN again without an error; without a transaction there is no savepoint
	return pick('BEGIN', 'COMMIT', 'COMMIT', 'ROLLBACK') if $what < 9;
	return (pick('BEGIN', 'ROLLBACK TO a', 'SELECT 1'), pick('SAVEPOINT a', 'SAVEPOINT b', 'SAVEPOINT a', 'RELEASE a', 'RELEASE b', 'ROLLBACK TO a', 'ROLLBACK TO b'))
	  if $what < 18;
	if ($what < 30)
	{
		my $c = pick(qw(x x y z));
		my @before = pick([], ['BEGIN'], ['ROLLBACK TO a'], [ 'ROLLBACK', 'BEGIN' ], [ 'ROLLBACK', 'BEGIN', 'SAVEPOINT a' ]);
		return (@{ $before[0] }, "DECLARE $c " . pick('', '', 'SCROLL ', 'NO SCROLL ') . 'CURSOR FOR ' . $self->calm_query, "FETCH 2 FROM $c",
			pick('SAVEPOINT a', 'SAVEPOINT b', 'SELECT 1'), pick("FETCH 1 FROM $c", "CLOSE $c", 'SELECT 1 / 0', "SELECT dblink_exec($conn, 'INSERT INTO log VALUES (3)')"),
			pick('RELEASE a', 'ROLLBACK TO a', 'ROLLBACK TO b', "FETCH 2 FROM $c"), pick("MOVE ALL FROM $c", "CLOSE $c", "FETCH 1 FROM $c"), pick('COMMIT', 'SELECT 1', 'ROLLBACK'))
		  if once_in(2);
		return ('CLOSE ALL', "DECLARE $c CURSOR WITH HOLD FOR " . $self->plain_calm_query) if once_in(8);
		return "DECLARE $c " . pick('', '', 'SCROLL ', 'NO SCROLL ') . 'CURSOR FOR ' . $self->calm_query;
	}
	if ($what < 44)
	{
		my $c = pick(qw(x x y z));
		return pick("FETCH 1 FROM $c", "FETCH 3 FROM $c", "FETCH 3 FROM $c", "MOVE 2 FROM $c", "FETCH ALL FROM $c", "MOVE ALL FROM $c", "FETCH PRIOR FROM $c",
			"FETCH ABSOLUTE 2 FROM $c", "CLOSE $c", "CLOSE $c", 'CLOSE ALL');
	}
	return "SELECT dblink_exec($conn, " . quote(pick('BEGIN', 'BEGIN', 'COMMIT', 'COMMIT', 'ROLLBACK', 'SAVEPOINT r', 'ROLLBACK TO r',
				"INSERT INTO log VALUES ('direct')", 'INSERT INTO log SELECT 1 / 0', 'SELECT 1', "SET DateStyle = 'German'", 'SET DateStyle = ISO')) . pick('', ', false') . ')'
	  if $what < 54;
	return $self->plain_query if $what < 62;
	return ("CREATE OR REPLACE FUNCTION pg_temp.does() RETURNS SETOF text LANGUAGE plpgsql AS \$f\$ DECLARE i int; j int; n int := 0; r text := ''; c refcursor;"
		  . ' BEGIN ' . $self->program . ' RETURN NEXT r; END $f$', pick('SELECT * FROM pg_temp.does()', 'SELECT * FROM pg_temp.does()', 'SELECT pg_temp.does()', 'SELECT pg_temp.does() LIMIT 2'))
	  if $what < 82;
	if ($what < 90)
	{
		# on a connection of their own: what a query that is refused leaves there differs (parity/differences, pending-result-survives)
		$conn = "'a1'";
		my $get = "dblink_get_result($conn) AS t(k int)";
		my $empty = "SELECT k FROM $get";
		my $q = pick($self->int_query(any_kind()), $self->int_query(any_kind()), 'SELECT 1; SELECT 2; SELECT 3', 'SELECT 1; SELECT 1 / 0', "INSERT INTO log VALUES ('sent')");
		my @gets = map { pick("SELECT k FROM $get", "SELECT count(*) FROM $get", "SELECT * FROM dblink_get_result($conn) AS t(k text)", "SELECT k FROM dblink_get_result($conn, false) AS t(k int)") } 1 .. pick(0, 1, 1, 2, 4);
		@gets = map { /false/ && $q =~ /\// ? $empty : $_ } @gets;
		return ("SELECT dblink_send_query($conn, " . quote($q) . ')', @gets, once_in(3) ? () : ($empty, $empty), pick("SELECT dblink_error_message($conn)", "SELECT dblink_exec($conn, 'SET geqo = on')", "SELECT dblink_open($conn, 'ac', 'SELECT 1')", 'SELECT 1'));
	}
	if ($what < 94)
	{
		my $fetch = "dblink_fetch($conn, 'rc', " . pick(1, 5, 1000) . ') AS t(k int)';
		return (once_in(2) ? () : "SELECT dblink_open($conn, 'rc', " . quote($self->int_query(pick(qw(fine remote convert writes)))) . ')',
			(map { "SELECT k FROM $fetch" } 1 .. pick(0, 1, 2)), once_in(2) ? () : "SELECT dblink_close($conn, 'rc')");
	}
	return pick("INSERT INTO sink SELECT k, 'plain' FROM " . $self->int_source(pick(qw(fine remote convert))),
		"CREATE TEMP TABLE IF NOT EXISTS kept AS SELECT k FROM " . $self->int_source(pick(qw(fine remote convert))),
		"DELETE FROM sink WHERE a IN (SELECT k FROM " . $self->int_source(pick(qw(fine remote convert))) . ')') if $what < 97;
	return pick("SELECT dblink_disconnect($conn)", "SELECT dblink_connect($conn, (SELECT info FROM conninfo))",
		"SET TimeZone = 'Asia/Tokyo'", "SET TimeZone = 'UTC'", '\set ON_ERROR_ROLLBACK on', '\set ON_ERROR_ROLLBACK off', "SELECT nextval('counted')");
}

# A query for a cursor that holds: it may be run to its end by COMMIT.
sub plain_calm_query
{
	my $self = shift;
	my $kind = pick(qw(fine remote convert));
	my $s = $self->int_source($kind);
	return "SELECT k FROM $s";
}

# One case: a list of statements.
sub next_session
{
	my $self = shift;
	my @sql;
	push @sql, '\set ON_ERROR_ROLLBACK on' if once_in(4);
	push @sql, 'BEGIN' if once_in(4);
	push @sql, "SELECT dblink_exec('c1', 'BEGIN')" if once_in(5);
	# what is to follow an error in a transaction, mostly, is its end
	while (@sql < 14)
	{
		push @sql, $self->statements;
		push @sql, pick('ROLLBACK', 'COMMIT', 'ROLLBACK TO a', 'ROLLBACK TO b') if once_in(3);
	}
	return \@sql;
}

1;
