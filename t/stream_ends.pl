# Streaming must never be worse than stock: a remote statement is over before
# anything else can meet it.  Each case is a session that runs on stock's dblink
# and on ours, with default settings, and both must give the same: rows, errors,
# and the state in which the remote is left.  A hang is ended after 10 s and is
# a failure.  DBLINK_TOPIC=PATTERN runs the topics of that name only.
#
# streaming: on

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;
use DblinkClient;
use DblinkProxy;
use SideBySide;

# "big" and "stage" have 20 MB: no socket's buffers take that whole.
my ($remote, @sides) = both_sides(
	conf => [ "shared_preload_libraries = 'pg_stat_statements,auto_explain'", 'max_prepared_transactions = 2' ],
	remote => { conf => [ 'max_connections = 60', 'wal_level = replica', 'max_wal_senders = 4', 'hot_standby = on' ] },
	setup => <<'SQL', local_setup => <<'SQL');
CREATE TABLE small AS SELECT g AS id FROM generate_series(1, 20) AS g;
CREATE TABLE big AS SELECT g AS id, repeat('x', 4000) AS filler FROM generate_series(1, 5000) AS g;
CREATE TABLE stage AS SELECT * FROM big;
CREATE TABLE held AS SELECT * FROM big;
CREATE TABLE log (id serial, what text);
CREATE TABLE ledger (x int);
CREATE FUNCTION logged(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log(what) VALUES (n); PERFORM pg_sleep(0.015); RETURN n; END $$;
SQL
CREATE EXTENSION postgres_fdw;
CREATE EXTENSION pg_stat_statements;
CREATE TABLE big AS SELECT g AS id, repeat('x', 4000) AS filler FROM generate_series(1, 5000) AS g;
CREATE TABLE target (id int PRIMARY KEY, note text);
CREATE SEQUENCE counted;
SQL
my ($stock, $ours) = @sides;

# The postmaster's user is not the one that libpq would take.
foreach my $side (@sides)
{
	my $parts = "host '127.0.0.1', port '" . $remote->port . "', dbname '$side->{db}'";
	$side->{node}->safe_psql('postgres', "CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS ($parts);"
		  . "CREATE USER MAPPING FOR CURRENT_USER SERVER far;"
		  . "CREATE SERVER srv FOREIGN DATA WRAPPER dblink_fdw OPTIONS ($parts);"
		  . "CREATE USER MAPPING FOR CURRENT_USER SERVER srv;"
		  . "CREATE FOREIGN TABLE stage (id int, filler text) SERVER far");
}

# A remote query of 10,000 rows that fails in the middle, or does not.
my $late = "'SELECT i, 1 / (5000 - i) FROM generate_series(1, 10000) AS i'";
my $good = "'SELECT i, 0 FROM generate_series(1, 10000) AS i'";
my $no_int = "'SELECT i, CASE i WHEN 5000 THEN ''x'' ELSE ''1'' END FROM generate_series(1, 10000) AS i'";
my $list = 'AS t(i int, z int)';

# ---- A1: rows of an attempt that failed --------------------------------------

topic 'rows of a failed attempt in a block that catches the error' => sub {
	my %first = (
		'by name' => "dblink('c', $late)",
		'by connection string' => "dblink({remote}, $late)",
		'by server' => "dblink('srv', $late)",
		'a value that cannot be converted' => "dblink('c', $no_int)");
	my %way = (
		'RETURN QUERY' => [ "RETURN QUERY SELECT i FROM %s $list;", '' ],
		'RETURN QUERY EXECUTE' => [ "RETURN QUERY EXECUTE \$q\$SELECT i FROM %s $list\$q\$;", '' ],
		'RETURN QUERY, a join' => [ "RETURN QUERY SELECT t.i FROM %s $list JOIN generate_series(1, 20000) AS g ON g = t.i;", '' ],
		'FOR and RETURN NEXT' => [ "FOR r IN SELECT * FROM %s $list LOOP RETURN NEXT r.i; END LOOP;", '' ],
		'FOR EXECUTE and RETURN NEXT' => [ "FOR r IN EXECUTE \$q\$SELECT * FROM %s $list\$q\$ LOOP RETURN NEXT r.i; END LOOP;", '' ],
		'a cursor and RETURN NEXT' => [ "OPEN k FOR SELECT i FROM %s $list; LOOP FETCH k INTO n; EXIT WHEN NOT FOUND; RETURN NEXT n; END LOOP; CLOSE k;", '' ]);
	foreach my $source (sort keys %first)
	{
		foreach my $way (sort keys %way)
		{
			next if $source ne 'by name' && $way !~ /^(RETURN QUERY|FOR and RETURN NEXT)$/;
			my ($failing, $fallback) = map { sprintf $way{$way}[0], $_ } $first{$source}, "dblink('c', $good)";

			# should be the 10,000 rows of the second attempt and nothing else
			same_session(\@sides, "$way, $source: a second attempt",
				[ "CREATE FUNCTION pg_temp.tries() RETURNS SETOF int LANGUAGE plpgsql AS \$f\$ DECLARE n int; r record; k refcursor; BEGIN"
					  . " BEGIN $failing EXCEPTION WHEN OTHERS THEN RAISE NOTICE 'failed: %', SQLSTATE; $fallback END; END \$f\$",
					'SELECT count(*), count(DISTINCT t), min(t), max(t) FROM pg_temp.tries() AS t' ],
				want => qr/^10000\|10000\|1\|10000$/m);
		}
	}

	# should be 10,000 rows: a loop that tries until it works
	same_session(\@sides, 'a loop of attempts',
		[ "CREATE FUNCTION pg_temp.tries() RETURNS SETOF int LANGUAGE plpgsql AS \$f\$ DECLARE try int := 0; BEGIN LOOP try := try + 1; BEGIN"
			  . " RETURN QUERY SELECT x FROM dblink('c', format('SELECT 10 / (%s - i) FROM generate_series(1, 10000) AS i', CASE WHEN try < 3 THEN 5000 ELSE 20000 END)) AS t(x int); RETURN;"
			  . " EXCEPTION WHEN division_by_zero THEN RAISE NOTICE 'attempt % failed', try; END; END LOOP; END \$f\$",
			'SELECT count(*) FROM pg_temp.tries()' ],
		want => qr/^10000$/m);

	# should be 20 rows: one of the inner blocks fails for each id but two
	same_session(\@sides, 'one block for each row of a loop',
		[ "CREATE FUNCTION pg_temp.tries() RETURNS SETOF int LANGUAGE plpgsql AS \$f\$ DECLARE n int; BEGIN"
			  . " FOR n IN SELECT id FROM dblink('c', 'SELECT id FROM small') AS t(id int) LOOP BEGIN"
			  . " RETURN QUERY SELECT i FROM dblink('c', format('SELECT i, 1 / (500 - i) FROM generate_series(1, %s) AS i', CASE WHEN n IN (3, 7) THEN 10 ELSE 1000 END)) $list;"
			  . ' EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; END $f$',
			'SELECT count(*) FROM pg_temp.tries()' ],
		want => '20');

	# should be 10,000: the block is a caller's, not the function's own
	same_session(\@sides, 'the block is in a caller',
		[ "CREATE FUNCTION pg_temp.inner_one(q text) RETURNS SETOF int LANGUAGE plpgsql AS \$f\$ BEGIN RETURN QUERY SELECT i FROM dblink('c', q) $list; END \$f\$",
			"CREATE FUNCTION pg_temp.tries() RETURNS SETOF int LANGUAGE plpgsql AS \$f\$ BEGIN RETURN QUERY SELECT * FROM pg_temp.inner_one($late);"
			  . " EXCEPTION WHEN OTHERS THEN RETURN QUERY SELECT * FROM pg_temp.inner_one($good); END \$f\$",
			'SELECT count(*) FROM pg_temp.tries()' ],
		want => '10000');

	# should be 10,000: the same with results that are fetched
	same_session(\@sides, 'dblink_get_result',
		[ "SELECT dblink_send_query('c', $late)",
			"CREATE FUNCTION pg_temp.tries() RETURNS SETOF int LANGUAGE plpgsql AS \$f\$ BEGIN BEGIN RETURN QUERY SELECT i FROM dblink_get_result('c') $list;"
			  . " EXCEPTION WHEN OTHERS THEN RAISE NOTICE '%', SQLERRM; END; PERFORM * FROM dblink_get_result('c') $list; RETURN QUERY SELECT i FROM dblink('c', $good) $list; END \$f\$",
			'SELECT count(*) FROM pg_temp.tries()' ],
		want => qr/^10000$/m);
	same_session(\@sides, 'dblink_fetch',
		[ "SELECT dblink_open('c', 'cur', $late)",
			"CREATE FUNCTION pg_temp.tries() RETURNS SETOF int LANGUAGE plpgsql AS \$f\$ BEGIN BEGIN RETURN QUERY SELECT i FROM dblink_fetch('c', 'cur', 9000) $list;"
			  . " EXCEPTION WHEN OTHERS THEN RAISE NOTICE '%', SQLERRM; END; PERFORM dblink_exec('c', 'ROLLBACK'); RETURN QUERY SELECT i FROM dblink('c', $good) $list; END \$f\$",
			'SELECT count(*) FROM pg_temp.tries()' ],
		want => qr/^10000$/m);

	# should be 1 and not called: what the failed attempt did to a sequence
	foreach my $sql ("PERFORM nextval('counted') FROM dblink('c', $late) $list;",
		"INSERT INTO target SELECT nextval('counted'), z FROM dblink('c', $late) $list;",
		"CREATE TEMP TABLE made AS SELECT nextval('counted'), z FROM dblink('c', $late) $list;")
	{
		same_session(\@sides, "a sequence: $sql",
			[ "ALTER SEQUENCE counted RESTART",
				"DO \$f\$ BEGIN $sql EXCEPTION WHEN OTHERS THEN RAISE NOTICE '%', SQLERRM; END \$f\$",
				'SELECT last_value, is_called FROM counted' ],
			want => '1|f');
		(my $plain = $sql) =~ s/^PERFORM/SELECT/;
		same_session(\@sides, "a sequence, in a savepoint: $plain",
			[ "ALTER SEQUENCE counted RESTART", 'BEGIN', 'SAVEPOINT s', $plain, 'ROLLBACK TO s',
				'SELECT last_value, is_called FROM counted', 'COMMIT' ],
			at => 99);
	}
};

# ---- A16: variables ------------------------------------------------------------

topic 'variables of a loop that fails late' => sub {
	foreach my $query ($late, $no_int)
	{
		my %body = (
			'a FOR loop' => "FOR r IN SELECT * FROM dblink('c', $query) $list LOOP n := n + 1; a := a || r.i; END LOOP;",
			'a FOR loop by connection string' => "FOR r IN SELECT * FROM dblink({remote}, $query) $list LOOP n := n + 1; END LOOP;",
			'a FOR loop with EXECUTE' => "FOR r IN EXECUTE \$q\$SELECT * FROM dblink('c', $query) $list\$q\$ LOOP n := n + 1; END LOOP;",
			'a cursor' => "OPEN k FOR SELECT i FROM dblink('c', $query) $list; LOOP FETCH k INTO m; EXIT WHEN NOT FOUND; n := n + 1; END LOOP;",
			'SELECT INTO' => "SELECT i INTO n FROM dblink('c', $query) $list WHERE i > 10;",
			'an assignment' => "n := (SELECT i FROM dblink('c', $query) $list LIMIT 1);",
			'messages' => "FOR r IN SELECT * FROM dblink('c', $query) $list LOOP IF r.i % 1000 = 0 THEN RAISE NOTICE 'row %', r.i; END IF; END LOOP;",
			'other blocks inside' => "FOR r IN SELECT * FROM dblink('c', $query) $list LOOP BEGIN n := n + 1; EXCEPTION WHEN OTHERS THEN NULL; END; EXIT WHEN n > 20; END LOOP;");
		foreach my $name (sort keys %body)
		{
			# should be as before: 0
			same_session(\@sides, "$name: " . ($query eq $late ? 'a remote error' : 'a value that cannot be converted'),
				[ "DO \$f\$ DECLARE n int := 0; m int; a int[]; r record; k refcursor; BEGIN BEGIN $body{$name} EXCEPTION WHEN OTHERS THEN"
					  . " RAISE NOTICE 'caught %', SQLERRM; END; RAISE NOTICE 'n = %, elements = %', n, cardinality(a); END \$f\$" ],
				want => qr/n = 0, elements = <NULL>/);
		}
	}
};

# ---- A2: a way back to this server ----------------------------------------------

my @relays;
foreach my $side (@sides)
{
	push @relays, my $relay = start_proxy($side->{node}->port, pooler => 1);
	$side->{words}{back} = lit(conninfo($side->{node}, port => $relay->port, application_name => 'back'));
}

topic 'a way back to this very server that does not look like it' => sub {
	my @fresh = ('CREATE TABLE here AS SELECT * FROM big', "SELECT dblink_connect('back', {back})");
	my $loop = "DO \$f\$ DECLARE r record; n int := 0; BEGIN FOR r IN SELECT id FROM dblink('back', 'SELECT id, filler FROM here') AS t(id int, filler text)"
	  . " LOOP n := n + 1; IF n = %d THEN %s END IF; %s END LOOP; %s RAISE NOTICE '%% rows', n; END \$f\$";
	my %deed = (
		'TRUNCATE' => 'TRUNCATE here;',
		'ALTER TABLE' => 'ALTER TABLE here ADD COLUMN more int;',
		'DROP TABLE' => 'DROP TABLE here;',
		'LOCK TABLE' => 'LOCK TABLE here;',
		'EXECUTE' => q{EXECUTE 'ALTER TABLE here RENAME TO there'; EXECUTE 'ALTER TABLE there RENAME TO here';});
	foreach my $name (sort keys %deed)
	{
		# should see the 5,000 rows and end at once
		same_session(\@sides, "$name in the body of a loop",
			[ @fresh, sprintf($loop, 1, $deed{$name}, '', ''), 'DROP TABLE IF EXISTS here' ], at => 99);
		# should see one row
		same_session(\@sides, "$name after a loop that was left",
			[ @fresh, sprintf($loop, 1, 'NULL;', 'EXIT;', $deed{$name}), 'DROP TABLE IF EXISTS here' ], at => 99);
		(my $sql = $deed{$name}) =~ s/EXECUTE '|'(?=;)//g;
		# should work: between two FETCHes
		same_session(\@sides, "$name while a cursor is open",
			[ @fresh, 'BEGIN', "DECLARE k CURSOR FOR SELECT id FROM dblink('back', 'SELECT id, filler FROM here') AS t(id int, filler text)",
				'FETCH 1 FROM k', $sql, 'FETCH 1 FROM k', 'MOVE ALL FROM k', 'COMMIT', 'DROP TABLE IF EXISTS here' ], at => 99);
	}
	# should work: by connection string, and in a function of the target list
	same_session(\@sides, 'by connection string',
		[ @fresh, do { (my $l = sprintf $loop, 1, 'TRUNCATE here;', '', '') =~ s/'back'/{back}/; $l }, 'DROP TABLE here' ], at => 99);
	same_session(\@sides, 'in a function of the target list',
		[ @fresh, "CREATE FUNCTION pg_temp.emptied(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN IF \$1 = 1 THEN EXECUTE ''TRUNCATE here''; END IF; RETURN \$1; END'",
			"SELECT count(pg_temp.emptied(id)) FROM dblink('back', 'SELECT id, filler FROM here') AS t(id int, filler text)", 'DROP TABLE here' ],
		at => 99);
};

# ---- A3: another road to the same remote ------------------------------------------

topic 'another road to the same remote' => sub {
	my $loop = "DO \$f\$ DECLARE r record; n int := 0; BEGIN FOR r IN SELECT id FROM dblink('c', 'SELECT id, filler FROM stage') AS t(id int, filler text)"
	  . " LOOP n := n + 1; IF n = 1 THEN %s END IF; END LOOP; RAISE NOTICE '%% rows', n; END \$f\$";
	my $again = "SELECT dblink_exec('c', 'TRUNCATE stage; INSERT INTO stage SELECT * FROM big')";
	my %deed = (
		'TRUNCATE of a foreign table' => 'TRUNCATE stage;',
		'dblink_exec by another connection' => "PERFORM dblink_exec({remote}, 'TRUNCATE stage');",
		'dblink_exec by the same connection' => "PERFORM dblink_exec('c', 'TRUNCATE stage');",
		'dblink with a function that writes' => "PERFORM * FROM dblink('d', 'SELECT emptied()') AS t(x text);");
	my @first = ("SELECT dblink_exec('c', 'CREATE OR REPLACE FUNCTION emptied() RETURNS int LANGUAGE plpgsql AS ''BEGIN TRUNCATE stage; RETURN 1; END''')",
		"SELECT dblink_connect('d', {remote})");
	foreach my $name (sort keys %deed)
	{
		# should see the 5,000 rows and end at once
		same_session(\@sides, "$name in the body of a loop", [ @first, sprintf($loop, $deed{$name}), $again ], at => 99, want => qr/^INSERT/);
		same_session(\@sides, "$name while a cursor is open",
			[ @first, 'BEGIN', "DECLARE k CURSOR FOR SELECT id FROM dblink('c', 'SELECT id, filler FROM stage') AS t(id int, filler text)",
				'FETCH 1 FROM k', "DO \$f\$ BEGIN $deed{$name} END \$f\$", 'FETCH 1 FROM k', 'MOVE ALL FROM k', 'COMMIT', $again ], at => 99);
		# should end: in a function of the target list
		same_session(\@sides, "$name in a function of the target list",
			[ @first, "CREATE FUNCTION pg_temp.does(int) RETURNS int LANGUAGE plpgsql AS \$f\$ BEGIN IF \$1 = 1 THEN $deed{$name} END IF; RETURN \$1; END \$f\$",
				"SELECT count(pg_temp.does(id)) FROM dblink('c', 'SELECT id, filler FROM stage') AS t(id int, filler text)", $again ],
			at => 99);
	}
	# should write 5,000 rows: into the foreign table that is read from
	same_session(\@sides, 'INSERT into a foreign table of what is read',
		[ "INSERT INTO stage SELECT id + 5000, filler FROM dblink('c', 'SELECT id, filler FROM stage') AS t(id int, filler text)",
			'SELECT count(*), max(id) FROM stage', $again ], at => 99);
	same_session(\@sides, 'DELETE of what is read',
		[ "DELETE FROM stage USING dblink('c', 'SELECT id, filler FROM stage') AS t(id int, filler text) WHERE t.id = stage.id", $again ], at => 99);
};

# ---- A4, A5: streams that wait for one another ------------------------------------

topic 'two streams and a session that queues' => sub {
	# "touches" waits, after rows have been sent, until ALTER TABLE has been done or waits for its lock
	my $touch = 'CREATE OR REPLACE FUNCTION touches() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1 .. 500 LOOP'
	  . " EXIT WHEN EXISTS (SELECT FROM pg_locks WHERE relation = 'held'::regclass AND NOT granted) OR EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'held'::regclass AND attname = 'more');"
	  . " PERFORM pg_sleep(0.02); END LOOP; RETURN (SELECT count(*) FROM held); END \$\$";
	my $queue = sub {
		my @wrong;
		my @queued;
		foreach my $side (@sides)
		{
			push @wrong, "$side->{name}: touches() is not reached"
			  unless poll_until(sub { query_value($remote, "SELECT count(*) FROM pg_stat_activity WHERE datname = '$side->{db}' AND wait_event = 'PgSleep'") }, SLOW);
			my $s = session($remote, db => $side->{db});
			$s->send('ALTER TABLE held ADD COLUMN more int');
			push @queued, $s;
		}
		foreach my $i (0, 1)
		{
			my $r = $queued[$i]->collect(PATIENCE() + SLOW);
			push @wrong, "$sides[$i]{name}: ALTER TABLE: " . told($r) if $r->{hung} || $r->{errors};
			$queued[$i]->quit;
		}
		return @wrong;
	};
	my $a = "dblink('c', 'SELECT id, filler FROM held') AS a(id int, filler text)";
	my $b = "dblink('d', 'SELECT g, CASE WHEN g = 20000 THEN touches() END FROM (SELECT generate_series(1, 20000) AS g OFFSET 0) AS s') AS b(g int, n bigint)";
	my %query = (
		'a nested loop' => "SELECT count(*), max(n) FROM $a JOIN $b ON id = g",
		'a subquery' => "SELECT count(*), max(x) FROM (SELECT id, (SELECT max(n) FROM $b) AS x FROM $a OFFSET 0) AS s",
		'a function' => 'SELECT count(*), max(pg_temp.reads(id)) FROM ' . $a);
	foreach my $name (sort keys %query)
	{
		remote_sql($_, $touch) foreach @sides;
		# should count what is there, and not wait for ever
		same_session(\@sides, "$name",
			[ 'SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off' . ($name eq 'a nested loop' ? '; SET enable_material = on' : ''),
				"SELECT dblink_connect('d', {remote})",
				"CREATE FUNCTION pg_temp.reads(int) RETURNS bigint LANGUAGE plpgsql AS \$f\$ BEGIN RETURN CASE WHEN \$1 = 1 THEN (SELECT max(n) FROM $b) END; END \$f\$",
				$query{$name} ],
			during => $queue, after => "ALTER TABLE held DROP COLUMN more; SELECT count(*) FROM pg_locks WHERE relation = 'held'::regclass", want => '0');
	}
};

topic 'two streams of which one waits for the other' => sub {
	# the last row of a comes when the statement that makes b is over
	my $a = "dblink('c', 'SELECT i, repeat(''x'', 200000), CASE WHEN i = 100 THEN pg_advisory_xact_lock(5)::text END FROM (SELECT generate_series(1, 100) AS i OFFSET 0) AS s') AS a(i int, f text, l text)";
	my $b = "dblink('d', 'SELECT i, repeat(''x'', 200000), CASE WHEN i = 1 THEN pg_advisory_xact_lock(5)::text END FROM (SELECT generate_series(1, 100) AS i OFFSET 0) AS s') AS b(i int, f text, l text)";
	my @first = ('SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off',
		"SELECT dblink_connect('d', {remote}), dblink_connect('e', {remote})",
		"CREATE FUNCTION pg_temp.does(int) RETURNS int LANGUAGE plpgsql AS \$f\$ BEGIN PERFORM dblink_exec('e', 'SET work_mem = ''4MB'''); RETURN \$1; END \$f\$");
	# should be 100: a call that needs the rows of both first
	same_session(\@sides, 'a call that makes both yield', [ @first, "SELECT count(pg_temp.does(a.i)) FROM $a JOIN $b ON a.i = b.i" ], want => '100');
	# should be 100: nobody makes them yield
	same_session(\@sides, 'the end of one', [ @first, "SELECT count(*) FROM $a JOIN $b ON a.i = b.i" ], want => '100');
	same_session(\@sides, 'the end of one, both ways', [ @first, "SELECT count(*) FROM $b JOIN $a ON a.i = b.i" ], want => '100');
	# should end as if the first had no limit: each row of the second comes in a moment, but all take seconds
	my %table = (
		limited => "dblink('c', 'SELECT id, filler FROM big') AS l(id int, f text)",
		slow => "dblink('d', 'SELECT g, pg_sleep(0.4)::text, repeat(''x'', 9000) FROM generate_series(1, 8) AS g') AS s(id int, z text, f text)");
	foreach my $join ('nestloop', 'hashjoin')
	{
		foreach my $order ([ 'limited', 'slow' ], [ 'slow', 'limited' ])
		{
			my $off = join '; ', map { "SET enable_$_ = off" } grep { $_ ne $join } qw(nestloop hashjoin mergejoin);
			same_session(\@sides, "one that trickles: a $join, @$order",
				[ $off, $first[1], "SELECT dblink_exec('c', 'SET statement_timeout = ''2s''')", "SELECT count(*) FROM $table{$order->[0]} JOIN $table{$order->[1]} ON l.id = s.id" ],
				want => '8', clean => 1);
		}
	}
	# should be 100: loops one in the other, and cursors
	same_session(\@sides, 'loops',
		[ @first, "DO \$f\$ DECLARE x int; y int; n int := 0; BEGIN FOR x IN SELECT a.i FROM $a LOOP n := n + 1;"
			  . " IF x = 1 THEN FOR y IN SELECT b.i FROM $b LOOP IF y = 1 THEN PERFORM pg_temp.does(1); END IF; END LOOP; END IF; END LOOP; RAISE NOTICE '%', n; END \$f\$" ],
		want => qr/100/);
	same_session(\@sides, 'cursors',
		[ @first, 'BEGIN', "DECLARE ka CURSOR FOR SELECT a.i FROM $a", "DECLARE kb CURSOR FOR SELECT b.i FROM $b", 'FETCH 1 FROM ka', 'FETCH 1 FROM kb',
			'SELECT pg_temp.does(1)', 'FETCH 1 FROM ka', 'MOVE ALL FROM ka', 'FETCH 1 FROM kb', 'COMMIT' ], at => 99);
};

# ---- A6: room for one connection ------------------------------------------------

topic 'room for one connection' => sub {
	my (@queue, @refuse);
	foreach my $side (@sides)
	{
		push @queue, start_proxy($remote->port, limit => 1);
		push @refuse, start_proxy($remote->port, limit => 1, refuse => 1);
		$side->{words}{$_->[0]} = lit(conninfo($remote, port => $_->[1], dbname => $side->{db}, application_name => "side_$side->{name}"))
		  foreach [ 'queue', $queue[-1]->port ], [ 'refuse', $refuse[-1]->port ];
		$remote->safe_psql('postgres', "CREATE ROLE alone_$side->{name} LOGIN CONNECTION LIMIT 1");
		$side->{words}{alone} = lit(conninfo($remote, dbname => $side->{db}, user => "alone_$side->{name}", application_name => "side_$side->{name}"));
	}
	# A session of before may not be quite gone when the next one comes: tried again for a while.
	my @first = (
		"CREATE FUNCTION pg_temp.one(conn text) RETURNS int LANGUAGE plpgsql AS \$f\$ BEGIN FOR i IN 1 .. 100 LOOP BEGIN RETURN x FROM dblink(conn, 'SELECT 1') AS t(x int);"
		  . ' EXCEPTION WHEN sqlclient_unable_to_establish_sqlconnection THEN IF i = 100 THEN RAISE; END IF; PERFORM pg_sleep(0.015); END; END LOOP; END $f$',
		"CREATE FUNCTION pg_temp.named(conn text) RETURNS int LANGUAGE plpgsql AS \$f\$ BEGIN PERFORM dblink_connect('n', conn);"
		  . " PERFORM dblink_exec('n', 'SET work_mem = ''4MB'''); PERFORM dblink_disconnect('n'); RETURN 1; END \$f\$");
	my $ids = "'SELECT i, repeat(''x'', 40000) FROM generate_series(1, 5) AS i'";
	foreach my $way (qw(queue refuse alone))
	{
		my $from = "dblink({$way}, $ids) AS t(id int, f text)";
		my $one = $way eq 'alone' ? "pg_temp.one({alone})" : "(SELECT x FROM dblink({$way}, 'SELECT 1') AS u(x int))";
		my %case = (
			'a call in a loop' => "DO \$f\$ DECLARE r record; n int := 0; BEGIN FOR r IN SELECT * FROM $from LOOP n := n + $one; END LOOP; RAISE NOTICE '%', n; END \$f\$",
			'a call in a function of the target list' => "SELECT sum(pg_temp.one({$way})) FROM $from",
			'a call in a block of a loop' => "DO \$f\$ DECLARE r record; n int := 0; BEGIN FOR r IN SELECT * FROM $from LOOP n := n + pg_temp.one({$way}); END LOOP; RAISE NOTICE '%', n; END \$f\$");
		%case = (%case,
			'a connection opened in a loop' => "DO \$f\$ DECLARE r record; n int := 0; BEGIN FOR r IN SELECT * FROM $from LOOP n := n + pg_temp.named({$way}); END LOOP; RAISE NOTICE '%', n; END \$f\$",
			'a connection opened in the target list' => "SELECT sum(pg_temp.named({$way})) FROM $from",
			'a join' => "SELECT count(*) FROM $from JOIN dblink({$way}, $ids) AS u(id int, f text) USING (id)",
			'a subquery' => "SELECT count(*) FROM (SELECT (SELECT x FROM dblink({$way}, 'SELECT 1') AS u(x int) WHERE x <= id) FROM $from OFFSET 0) AS s",
			'a cursor' => "BEGIN; DECLARE k CURSOR FOR SELECT id FROM $from; FETCH 1 FROM k; SELECT $one; FETCH 1 FROM k; MOVE ALL FROM k; COMMIT")
		  if $way ne 'alone';
		foreach my $name (sort keys %case)
		{
			# should work, as each connection is closed before the next one opens
			same_session(\@sides, "$way: $name",
				[ @first, 'SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off', $case{$name} ], want => qr/^(NOTICE 00000 )?[15]$/m);
			poll_until(sub { !remote_count($remote, "application_name LIKE 'side_%'") }, SLOW);
		}
	}
};

# ---- A7: what the remote allows ---------------------------------------------------

topic 'local time does not count on the remote' => sub {
	foreach my $limit (2, 3)
	{
		# should insert 5,000 rows, which takes longer than the remote's limit
		same_session(\@sides, "a statement_timeout of $limit s on the remote, a trigger",
			[ 'CREATE TEMP TABLE slow (id int, f text)',
				"SELECT dblink_exec('c', 'SET statement_timeout = ''${limit}s''')",
				"CREATE FUNCTION pg_temp.slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF new.id % 100 = 0 THEN PERFORM pg_sleep(0.08); END IF; RETURN new; END'",
				'CREATE TRIGGER slow BEFORE INSERT ON slow FOR EACH ROW EXECUTE FUNCTION pg_temp.slow()',
				"INSERT INTO slow SELECT id, filler FROM dblink('c', 'SELECT id, filler FROM big') AS t(id int, filler text)",
				'SELECT count(*) FROM slow' ],
			at => 99, want => '5000');
		# should count 5,000 rows
		foreach my $query (
			"SELECT count(CASE WHEN id % 100 = 0 THEN pg_sleep(0.08)::text ELSE '' END) FROM %s",
			"DO \$f\$ DECLARE r record; n int := 0; BEGIN FOR r IN SELECT * FROM %s LOOP n := n + 1; IF n = 3 THEN PERFORM pg_sleep($limit + 0.5); END IF; END LOOP; RAISE NOTICE '%%', n; END \$f\$",
			"BEGIN; DECLARE k CURSOR FOR SELECT id FROM %s; FETCH 1 FROM k; SELECT pg_sleep($limit + 0.5); MOVE ALL FROM k; COMMIT")
		{
			my $sql = sprintf $query, "dblink('c', 'SELECT id, filler FROM big') AS t(id int, filler text)";
			same_session(\@sides, "a statement_timeout of $limit s on the remote, $query",
				[ "SELECT dblink_exec('c', 'SET statement_timeout = ''${limit}s''')", $sql ]);
		}
	}
	foreach my $setting (qw(idle_in_transaction_session_timeout idle_session_timeout))
	{
		# should work: nothing is said to the remote for longer than it likes, but rows are there
		same_session(\@sides, "$setting on the remote",
			[ "SELECT dblink_connect('d', {remote}); SELECT dblink_exec('d', 'BEGIN')",
				"DO \$f\$ DECLARE r record; n int := 0; BEGIN FOR r IN SELECT * FROM dblink({remote}, 'SELECT id, filler FROM big') AS t(id int, filler text) LOOP n := n + 1;"
				  . " IF n = 3 THEN PERFORM pg_sleep(1); END IF; END LOOP; RAISE NOTICE '%', n; END \$f\$" ],
			want => qr/5000/);
	}
};

topic 'a plan that takes its time for one row' => sub {
	# sleeps in row 2; "grouped" takes some seconds to be made
	my @first = (
		"CREATE FUNCTION pg_temp.naps(i int) RETURNS int LANGUAGE plpgsql AS 'BEGIN IF i = 2 THEN PERFORM pg_sleep(2.5); END IF; RETURN i; END'",
		"CREATE FUNCTION pg_temp.naps_stable(i int) RETURNS int STABLE LANGUAGE plpgsql AS 'BEGIN RETURN pg_temp.naps(i); END'",
		"CREATE FUNCTION pg_temp.naps_always(i int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN pg_temp.naps(i); END'",
		"CREATE FUNCTION pg_temp.added(s int, i int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN s + pg_temp.naps(i) / i; END'",
		"CREATE AGGREGATE pg_temp.slow_count(int) (sfunc = pg_temp.added, stype = int, initcond = '0')",
		"CREATE FUNCTION pg_temp.naps_in_trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN new.id := pg_temp.naps(new.id); RETURN new; END'",
		"CREATE DOMAIN pg_temp.checked AS int CHECK (pg_temp.naps(VALUE) > 0)",
		"CREATE TEMP TABLE plain (id int, f text)",
		"SELECT dblink_exec('c', 'SET statement_timeout = ''1500ms''')");
	my $from = "dblink('c', 'SELECT id, filler FROM big') AS t(id int, f text)";
	my $insert = "INSERT INTO plain SELECT id, f FROM $from; SELECT count(*) FROM plain";
	my $grouped = '(SELECT g % 100 AS k, count(*) AS n FROM generate_series(1, 8000000) AS g GROUP BY 1) AS s';
	my %case = (
		'a volatile function' => ["SELECT count(pg_temp.naps(id)) FROM $from"],
		'a stable function' => ["SELECT count(*) FROM $from WHERE pg_temp.naps_stable(id) = id"],
		'an immutable function' => ["SELECT count(pg_temp.naps_always(id)) FROM $from"],
		'pg_sleep()' => ["SELECT count(CASE WHEN id = 2 THEN pg_sleep(2.5)::text ELSE '' END) FROM $from"],
		'an aggregate' => ["SELECT pg_temp.slow_count(id) FROM $from WHERE id < 3 OR id > 4997"],
		'a cast to a domain' => ["SELECT count(id::pg_temp.checked) FROM $from"],
		'a function in a subquery' => ["SELECT count(*) FROM $from WHERE id > (SELECT pg_temp.naps(2) - 2)"],
		'a trigger' => [ 'CREATE TRIGGER t BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION pg_temp.naps_in_trigger()', $insert ],
		'a check' => [ 'ALTER TABLE plain ADD CHECK (pg_temp.naps_always(id) = id)', $insert ],
		'a generated column' => [ 'ALTER TABLE plain ADD COLUMN g int GENERATED ALWAYS AS (pg_temp.naps_always(id)) STORED', $insert ],
		'an index' => [ 'CREATE INDEX ON plain (pg_temp.naps_always(id))', $insert ],
		'a hash join that begins with the other input' => [ 'SET enable_mergejoin = off; SET enable_nestloop = off', "SELECT count(*) FROM $from JOIN $grouped ON k = id" ],
		'a nested loop' => [ 'SET enable_mergejoin = off; SET enable_hashjoin = off', "SELECT count(*) FROM $from JOIN $grouped ON k = id WHERE id < 3 OR id > 4997" ],
		'a subquery' => ["SELECT count(*) FROM $from WHERE id > (SELECT max(k) FROM $grouped)"]);

	# What each kind of node computes, and what else is done for each row of an INSERT.
	my $naps = 'pg_temp.naps_always(t.id)';
	my $upsert = 'CREATE TEMP TABLE unique_ids (id int PRIMARY KEY, f text); INSERT INTO unique_ids VALUES (2)';
	my @types = ('CREATE TYPE pg_temp.pair AS (a pg_temp.checked, b int)');
	my @operators = (
		"CREATE TYPE pg_temp.number; CREATE FUNCTION pg_temp.number_in(cstring) RETURNS pg_temp.number IMMUTABLE STRICT LANGUAGE internal AS 'int4in';"
		  . " CREATE FUNCTION pg_temp.number_out(pg_temp.number) RETURNS cstring IMMUTABLE STRICT LANGUAGE internal AS 'int4out';"
		  . ' CREATE TYPE pg_temp.number (INPUT = pg_temp.number_in, OUTPUT = pg_temp.number_out, LIKE = int4); CREATE CAST (pg_temp.number AS int) WITHOUT FUNCTION',
		"CREATE FUNCTION pg_temp.number_eq(pg_temp.number, pg_temp.number) RETURNS bool IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN pg_temp.naps(\$1::int) = \$2::int; END';"
		  . " CREATE FUNCTION pg_temp.number_hash(pg_temp.number) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN pg_temp.naps(\$1::int); END';"
		  . ' CREATE OPERATOR pg_temp.= (LEFTARG = pg_temp.number, RIGHTARG = pg_temp.number, FUNCTION = pg_temp.number_eq, HASHES);'
		  . ' CREATE OPERATOR CLASS pg_temp.number_ops DEFAULT FOR TYPE pg_temp.number USING hash AS OPERATOR 1 pg_temp.=, FUNCTION 1 pg_temp.number_hash(pg_temp.number)');
	my @empty = ('CREATE TEMP TABLE none AS SELECT generate_series(1, 200) AS id; ANALYZE none; DELETE FROM none', 'SET enable_mergejoin = off; SET enable_nestloop = off');
	my $none = "dblink('c', 'SELECT abs(id), filler FROM big') AS t(id int, f text) JOIN none USING (id)";
	%case = (%case,
		'a key that is hashed' =>
		  [ 'SET enable_mergejoin = off; SET enable_nestloop = off', "SELECT count(f) FROM generate_series(1, 3) AS g LEFT JOIN $from ON $naps = g" ],
		'LIMIT' => ["SELECT count(*) FROM $from, LATERAL (SELECT FROM generate_series(1, 3) LIMIT $naps) AS l"],
		'TABLESAMPLE' => ["SELECT count(*) FROM $from, LATERAL (SELECT FROM plain TABLESAMPLE system ($naps % 100)) AS l"],
		'XMLTABLE' => ["SELECT count(*) FROM $from, XMLTABLE('/a' PASSING xmlelement(NAME a, $naps) COLUMNS x text PATH '.') AS x"],
		'generate_series() in FROM' => [ "SET statement_timeout = '60s'", "SELECT count(*) FROM $from, generate_series(1, CASE WHEN t.id = 2 THEN 20000000 ELSE 1 END)" ],
		'generate_series() in the select list' => [ "SET statement_timeout = '60s'", "SELECT count(g) FROM (SELECT generate_series(1, CASE WHEN t.id = 2 THEN 20000000 ELSE 1 END) AS g FROM $from) AS s" ],
		'a cast to a type with a domain in it' => [ @types, "SELECT count(x) FROM (SELECT ('(' || t.id || ',)')::pg_temp.pair AS x FROM $from OFFSET 0) AS s" ],
		'a function that makes such a type' => [ @types, "SELECT count(x) FROM (SELECT jsonb_populate_record(NULL::pg_temp.pair, jsonb_build_object('a', t.id)) AS x FROM $from OFFSET 0) AS s" ],
		'an operator for grouping' => [ @operators, "SELECT count(*) FROM (SELECT id FROM dblink('c', 'SELECT id, filler FROM big') AS t(id pg_temp.number, f text) GROUP BY 1) AS s" ],
		'an operator of a set operation' => [ @operators, "SELECT count(*) FROM (SELECT id FROM dblink('c', 'SELECT id, filler FROM big') AS t(id pg_temp.number, f text) EXCEPT SELECT '3'::pg_temp.number) AS s" ],
		'ON CONFLICT ... SET' => [ $upsert, "INSERT INTO unique_ids AS u SELECT id, f FROM $from ON CONFLICT (id) DO UPDATE SET f = pg_temp.naps(u.id)" ],
		'ON CONFLICT ... WHERE' => [ $upsert, "INSERT INTO unique_ids AS u SELECT id, f FROM $from ON CONFLICT (id) DO UPDATE SET f = '' WHERE pg_temp.naps(u.id) = 2" ],
		'a trigger of updates' =>
		  [ $upsert, 'CREATE TRIGGER t BEFORE UPDATE ON unique_ids FOR EACH ROW EXECUTE FUNCTION pg_temp.naps_in_trigger()', "INSERT INTO unique_ids SELECT id, f FROM $from ON CONFLICT (id) DO UPDATE SET f = ''" ],
		'the condition of a trigger' => [ 'CREATE TRIGGER t AFTER INSERT ON plain FOR EACH ROW WHEN (pg_temp.naps(new.id) = -1) EXECUTE FUNCTION pg_temp.naps_in_trigger()', $insert ],
		'a hash join without rows, and UNION ALL' => [ @empty, "SELECT sum(id) FROM (SELECT t.id FROM $none UNION ALL SELECT pg_temp.naps(2) FROM generate_series(1, 2)) AS s" ],
		'a hash join without rows that is aggregated' => [ @empty, "SELECT pg_temp.naps(2 + n::int) FROM (SELECT count(*) AS n FROM $none OFFSET 0) AS s" ],
		'a hash join without rows in a subquery' => [ @empty, "SELECT pg_temp.naps(2 + (SELECT count(*) FROM $none)::int), pg_temp.naps(2)" ],
		'rows that are locked' => [
			'SET enable_hashjoin = off; SET enable_mergejoin = off',
			'CREATE TABLE IF NOT EXISTS lockable (id int PRIMARY KEY); INSERT INTO lockable VALUES (2) ON CONFLICT DO NOTHING', "SELECT dblink_connect('l', {self})", "SELECT dblink_exec('l', 'BEGIN')",
			"SELECT dblink_exec('l', 'DO \$f\$ BEGIN PERFORM FROM lockable FOR UPDATE; END \$f\$')", "SELECT dblink_send_query('l', 'SELECT pg_sleep(2.5); COMMIT')",
			"SELECT length(s.f) FROM (SELECT * FROM $from OFFSET 0) AS s JOIN lockable USING (id) FOR UPDATE OF lockable" ]);
	foreach my $name (sort keys %case)
	{
		# should end as if the remote had no limit: its work takes no time
		same_session(\@sides, $name, [ @first, @{ $case{$name} } ], clean => 1);
	}
};

topic 'a row that waits for another session, which waits for the remote' => sub {
	my $from = "dblink('c', 'SELECT id, filler FROM held') AS t(id int, f text)";
	my $hold = "BEGIN; INSERT INTO target VALUES (3, 'other'); SELECT pg_advisory_xact_lock(77)";
	foreach my $side (@sides)
	{
		$side->{holder} = session($side->{node});
		$side->{holder}->run("TRUNCATE target; $hold");
	}
	my $during = sub {
		my @sessions = @_;
		my @wrong;
		foreach my $i (0, 1)
		{
			my ($side, $pid) = ($sides[$i], $sessions[$i]->pid);
			push @wrong, "$side->{name}: does not wait"
			  unless poll_until(sub { query_value($side->{node}, "SELECT wait_event_type FROM pg_stat_activity WHERE pid = $pid") eq 'Lock' }, SLOW);
			my $r = $side->{holder}->run(fill_in($side, "SELECT dblink_exec({remote}, 'BEGIN; LOCK TABLE held; COMMIT')"), PATIENCE());
			push @wrong, "$side->{name}: " . told($r) if told($r) ne 'COMMIT';
			$side->{holder}->run('ROLLBACK');
		}
		return @wrong;
	};
	foreach my $sql ("INSERT INTO target SELECT id, '' FROM $from", "INSERT INTO target SELECT id, '' FROM $from ON CONFLICT DO NOTHING",
		"INSERT INTO target SELECT id, '' FROM $from RETURNING id",
		"SELECT count(CASE WHEN id = 3 THEN pg_advisory_xact_lock(77)::text END) FROM $from")
	{
		# should end, as the remote statement is over before the first row is used
		same_session(\@sides, $sql, [ 'BEGIN', $sql, 'ROLLBACK' ], at => 1, during => $during);
		$_->{holder}->run($hold) foreach @sides;
	}
	$_->{holder}->quit foreach @sides;
};

topic 'a client that takes no rows' => sub {
	my $from = "dblink('c', 'SELECT id, filler FROM big') AS t(id int, f text)";
	foreach my $sql ("SELECT id, f FROM $from", "COPY (SELECT id, f FROM $from) TO STDOUT", 'EXECUTE prepared')
	{
		my @answers;
		foreach my $side (@sides)
		{
			my $client = DblinkClient->new($side->{node});
			$client->simple(fill_in($side, $_))
			  foreach "LOAD 'dblink'", "SELECT dblink_connect('c', {remote})", "SELECT dblink_exec('c', 'SET statement_timeout = ''3s''')",
			  "PREPARE prepared AS SELECT id, f FROM $from";
			$client->send($sql);
			# should be idle while the client waits, which gets all rows then
			ok(poll_until(sub { !remote_count($remote, "application_name = '$side->{app}' AND state <> 'idle'") }, SLOW), "$side->{name}, $sql: the remote is idle");
			my $answer = $client->answer;
			push @answers, $answer =~ /^ERROR.*/m ? $& : scalar split /\n/, $answer;
			$client->close;
		}
		is($answers[1], $answers[0], "$sql: as many messages");
		like($answers[0], qr/^\d+$/, "$sql: and no error");
	}
	# should not count on the remote: the time of a program
	same_session(\@sides, 'a program that takes no rows',
		[ "SELECT dblink_exec('c', 'SET statement_timeout = ''1500ms''')", "COPY (SELECT id, f FROM $from) TO PROGRAM 'sleep 3; cat >/dev/null'" ], clean => 1);
};

topic 'a standby that replays a conflict' => sub {
	$remote->backup('base');
	my $standby = PostgreSQL::Test::Cluster->new('standby', install_path => stock_prefix());
	$standby->init_from_backup($remote, 'base', has_streaming => 1);
	$standby->append_conf('postgresql.conf', "max_standby_streaming_delay = '1s'\nmax_standby_archive_delay = '1s'\nhot_standby = on");
	$standby->start;
	$_->{words}{standby} = lit(conninfo($standby, dbname => $_->{db}, application_name => 'standby')) foreach @sides;
	my $conflict = sub {
		my @sessions = @_;
		my @wrong;
		foreach my $i (0, 1)
		{
			push @wrong, "$sides[$i]{name}: does not sleep"
			  unless poll_until(sub { query_value($sides[$i]{node}, 'SELECT wait_event FROM pg_stat_activity WHERE pid = ' . $sessions[$i]->pid) eq 'PgSleep' }, SLOW);
			remote_sql($sides[$i], 'UPDATE held SET id = id');
			remote_sql($sides[$i], 'VACUUM held');
		}
		return @wrong;
	};
	my %query = (
		'a loop' => "DO \$f\$ DECLARE r record; n int := 0; BEGIN FOR r IN SELECT * FROM %s LOOP n := n + 1; IF n = 3 THEN PERFORM pg_sleep(5); END IF; END LOOP; RAISE NOTICE '%%', n; END \$f\$",
		'a slow function' => 'SELECT count(CASE WHEN id %% 100 = 0 THEN pg_sleep(0.08)::text ELSE \'\' END) FROM %s',
		'a cursor' => 'BEGIN; DECLARE k CURSOR FOR SELECT id FROM %s; FETCH 1 FROM k; SELECT pg_sleep(4); MOVE ALL FROM k; COMMIT');
	foreach my $name (sort keys %query)
	{
		my $fill = sub { poll_until(sub { query_value($standby, "SELECT pg_last_wal_replay_lsn() >= '" . query_value($remote, 'SELECT pg_current_wal_lsn()') . "'") eq 't' }, SLOW) };
		$fill->();
		# should see the 5,000 rows: they were read before the conflict
		same_session(\@sides, $name, [ sprintf $query{$name}, "dblink({standby}, 'SELECT id, filler FROM held') AS t(id int, filler text)" ], during => $conflict);
	}
	unwatch($standby);
	$standby->stop('fast');
};

# ---- A8: the remote is idle ---------------------------------------------------------

topic 'the remote is idle while something else goes on' => sub {
	my @lockers = map { session($_->{node}) } @sides;
	my $from = "dblink('c', 'SELECT id, filler FROM big') AS t(id int, filler text)";
	my $wait = 'pg_advisory_lock_shared(9)';
	my %case = (
		'an open cursor' => [ 'BEGIN', "DECLARE k CURSOR FOR SELECT id FROM $from", 'FETCH 1 FROM k', "SELECT $wait" ],
		'an open cursor without scroll' => [ 'BEGIN', "DECLARE k NO SCROLL CURSOR FOR SELECT id FROM $from", 'FETCH 1 FROM k', "SELECT $wait" ],
		'the body of a loop' => [ "DO \$f\$ DECLARE r record; BEGIN FOR r IN SELECT * FROM $from LOOP PERFORM $wait; EXIT; END LOOP; END \$f\$" ],
		'an open cursor of PL/pgSQL' => [ "DO \$f\$ DECLARE i int; k refcursor; BEGIN OPEN k FOR SELECT id FROM $from; FETCH k INTO i; PERFORM $wait; END \$f\$" ],
		'after a loop that was left' => [ "DO \$f\$ DECLARE r record; BEGIN FOR r IN SELECT * FROM $from LOOP EXIT; END LOOP; PERFORM $wait; END \$f\$" ],
		'after SELECT INTO' => [ "DO \$f\$ DECLARE i int; BEGIN SELECT id INTO i FROM $from; PERFORM $wait; END \$f\$" ],
		'after EXISTS' => ["SELECT $wait WHERE EXISTS (SELECT FROM $from)"],
		'after EXISTS in the target list' => ["SELECT EXISTS (SELECT FROM $from), $wait"],
		'after LIMIT in a subquery' => ["SELECT id, $wait FROM (SELECT id FROM $from LIMIT 1) AS s"],
		'after LIMIT in a scalar subquery' => ["SELECT (SELECT id FROM $from LIMIT 1), $wait"],
		'after LIMIT in a CTE' => ["WITH w AS MATERIALIZED (SELECT id FROM $from LIMIT 1) SELECT id, $wait FROM w"],
		'after an anti join' => ["SELECT $wait FROM generate_series(1, 2) AS g WHERE g <= 1 AND NOT EXISTS (SELECT FROM $from WHERE id > 1000000)"],
		'after a merge join' => ["SELECT $wait FROM (SELECT g FROM generate_series(1, 1) AS g) AS s WHERE g IN (SELECT id FROM $from WHERE id < 3)"]);
	foreach my $name (sort keys %case)
	{
		foreach my $i (0, 1) { $lockers[$i]->run('SELECT pg_advisory_lock(9)') }
		# should be seen while the local statement waits: an idle remote
		same_session(
			\@sides, $name,
			[ 'SET enable_hashjoin = off', @{ $case{$name} } ],
			during => sub {
				my @sessions = @_;
				my @wrong;
				foreach my $i (0, 1)
				{
					push @wrong, "$sides[$i]{name}: does not wait"
					  unless poll_until(sub { query_value($sides[$i]{node}, 'SELECT wait_event FROM pg_stat_activity WHERE pid = ' . $sessions[$i]->pid) eq 'advisory' }, SLOW);
					push @wrong, "$sides[$i]{name}: the remote is not idle"
					  unless poll_until(sub { !remote_count($remote, "application_name = '$sides[$i]{app}' AND state <> 'idle'") }, 4);
					$lockers[$i]->run('SELECT pg_advisory_unlock(9)');
				}
				return @wrong;
			});
	}
	# should be idle before all rows are used: many rows, each of which takes a while
	same_session(
		\@sides, 'many rows, and each takes a while',
		["SELECT count(pg_sleep(0.05)) FROM dblink('c', 'SELECT id, filler FROM big') AS t(id int, filler text) WHERE id % 50 = 0"],
		during => sub {
			my @sessions = @_;
			my @wrong;
			foreach my $i (0, 1)
			{
				poll_until(sub { query_value($sides[$i]{node}, "SELECT count(*) FROM pg_stat_activity WHERE pid = " . $sessions[$i]->pid . " AND wait_event = 'PgSleep'") }, 1);
				push @wrong, "$sides[$i]{name}: the remote is not idle"
				  unless poll_until(sub { !remote_count($remote, "application_name = '$sides[$i]{app}' AND state <> 'idle'") }, 3);
			}
			return @wrong;
		});
	$_->quit foreach @lockers;
};

# ---- A9: the extended protocol ---------------------------------------------------------

topic 'an error belongs to the statement that caused it' => sub {
	my $query = "'SELECT i, 1 / (90000 - i), repeat(''x'', 100) FROM generate_series(1, 100000) AS i'";
	my $from = "dblink('c', $query) AS t(i int, z int, f text)";
	my %statement = (
		'LIMIT' => [ "SELECT i FROM $from LIMIT 1", 0 ],
		'LIMIT in a subquery' => [ "SELECT i FROM (SELECT i FROM $from LIMIT 1) AS s", 0 ],
		'EXISTS' => [ "SELECT EXISTS (SELECT FROM $from)", 0 ],
		'a scalar subquery' => [ "SELECT (SELECT i FROM $from LIMIT 1)", 0 ],
		'all rows' => [ "SELECT i FROM $from WHERE i % 20000 = 0", 0 ],
		'INSERT' => [ "INSERT INTO target SELECT i, f FROM $from LIMIT 3", 0 ],
		'one row asked for' => [ "SELECT i FROM $from", 1 ],
		'one row asked for, twice' => [ "SELECT i FROM $from", 1, 2 ],
		'a function' => [ 'SELECT reads()', 0 ]);
	foreach my $name (sort keys %statement)
	{
		foreach my $block (0, 1)
		{
			foreach my $protocol (qw(extended simple))
			{
				next if $protocol eq 'simple' && $statement{$name}[1];
				my @answers;
				foreach my $side (@sides)
				{
					my $client = DblinkClient->new($side->{node});
					$client->simple(fill_in($side, $_))
					  foreach "LOAD 'dblink'", "SET statement_timeout = '10s'", "SELECT dblink_connect('c', {remote})",
					  "CREATE OR REPLACE FUNCTION reads() RETURNS int LANGUAGE sql AS \$\$ SELECT i FROM $from LIMIT 1 \$\$", 'TRUNCATE target';
					my @got = $block ? $client->simple('BEGIN') : ();
					my ($sql, $rows, $times) = @{ $statement{$name} };
					push @got, $protocol eq 'simple' ? $client->simple($sql) : $client->extended($sql, $rows, $times);
					push @got, $client->extended('SELECT 42');
					push @got, $client->simple('COMMIT') if $block;
					push @got, $client->simple("SELECT x FROM dblink('c', 'SELECT 1') AS t(x int)");
					# rows before an error are nothing to a client that gets it in the same answer
					push @answers, join "\n--\n", map { /^ERROR/m ? join "\n", grep { !/^(row .*|T|D)$/ } split /\n/ : $_ } @got;
					$client->close;
				}
				# should be an error of this statement, none of the next and none of COMMIT
				is($answers[1], $answers[0], "$name, $protocol" . ($block ? ', in a transaction' : ''));
				like($answers[0], qr/ERROR 22012 division by zero/, 'stock has the error');
			}
		}
	}

	# should complete: the portal is closed without having been read to its end
	foreach my $how ('close', 'another', 'commit')
	{
		my @answers;
		foreach my $side (@sides)
		{
			my $client = DblinkClient->new($side->{node});
			$client->simple(fill_in($side, $_)) foreach "LOAD 'dblink'", "SET statement_timeout = '10s'", "SELECT dblink_connect('c', {remote})";
			my $fine = "SELECT i FROM dblink('c', 'SELECT logged(i), repeat(''x'', 10000) FROM generate_series(1, 300) AS i') AS t(i int, f text)";
			my @got = $client->simple('BEGIN');
			push @got, $client->messages(P => "\0$fine\0" . pack('n', 0), B => "portal\0\0" . pack('nnn', 0, 0, 0), E => "portal\0" . pack('N', 2));
			push @got, $client->messages(C => "Pportal\0") if $how eq 'close';
			push @got, $client->extended('SELECT 42') if $how eq 'another';
			push @got, $client->simple('COMMIT');
			push @got, $client->simple("SELECT x FROM dblink('c', 'SELECT count(*) FROM log') AS t(x int)");
			push @got, $client->simple("SELECT dblink_exec('c', 'TRUNCATE log')");
			push @answers, join "\n--\n", @got;
			$client->close;
		}
		is($answers[1], $answers[0], "a portal that is not read to its end: $how");
		like($answers[0], qr/row 300/, 'on stock the remote has done all its work');
	}
};

# ---- A10: the end of a cursor --------------------------------------------------------

topic 'a cursor is closed later than in its own savepoint' => sub {
	# 30 MB, so that the remote cannot get to its end before it is read
	my $fine = "SELECT x FROM dblink('c', 'SELECT logged(g), repeat(''x'', 100000) FROM generate_series(1, 300) AS g') AS t(x int, f text)";
	my $bad = "SELECT x FROM dblink('c', 'SELECT 1 / (90000 - g) FROM generate_series(1, 100000) AS g') AS t(x int)";
	my %end = (
		'in a savepoint' => [ 'SAVEPOINT s', 'CLOSE k', 'COMMIT' ],
		'in a savepoint that is released' => [ 'SAVEPOINT s', 'CLOSE k', 'RELEASE s', 'COMMIT' ],
		'in a savepoint that is rolled back' => [ 'SAVEPOINT s', 'CLOSE k', 'ROLLBACK TO s', 'COMMIT' ],
		'in a savepoint of a savepoint' => [ 'SAVEPOINT s', 'SAVEPOINT t', 'FETCH 1 FROM k', 'CLOSE k', 'COMMIT' ],
		'with ON_ERROR_ROLLBACK' => [ '\set ON_ERROR_ROLLBACK on', 'CLOSE k', 'COMMIT', '\set ON_ERROR_ROLLBACK off' ],
		'in a block' => [ 'DO $f$ DECLARE k refcursor := \'k\'; BEGIN BEGIN CLOSE k; EXCEPTION WHEN division_by_zero THEN RAISE NOTICE \'caught\'; END; END $f$', 'COMMIT' ],
		'by COMMIT' => ['COMMIT'],
		'by ROLLBACK' => ['ROLLBACK'],
		'by CLOSE ALL' => [ 'SAVEPOINT s', 'CLOSE ALL', 'COMMIT' ],
		'by an error' => [ 'SAVEPOINT s', 'SELECT 1 / 0', 'ROLLBACK TO s', 'CLOSE k', 'COMMIT' ],
		'by PREPARE TRANSACTION' => [ "PREPARE TRANSACTION 'p'", "COMMIT PREPARED 'p'" ]);
	foreach my $scroll ('', 'NO SCROLL ')
	{
		foreach my $name (sort keys %end)
		{
			# should log 300 rows, which takes some seconds, whatever the end is
			next if $name !~ /savepoint|ERROR|block|by COMMIT/ || $scroll && $name !~ /savepoint$|ERROR/;
			same_session(\@sides, "${scroll}$name: the remote's work is complete",
				[ 'BEGIN', "DECLARE k ${scroll}CURSOR FOR $fine", 'FETCH 1 FROM k', @{ $end{$name} } ],
				at => 99, after => 'SELECT count(*) FROM log; TRUNCATE log', want => '300');
			# should fail where stock fails
			same_session(\@sides, "${scroll}$name: an error late in the result",
				[ 'BEGIN', "DECLARE k ${scroll}CURSOR FOR $bad", 'FETCH 1 FROM k', @{ $end{$name} } ], at => 99);
		}
		# should log 300 rows: the cursor was read on in a later savepoint
		same_session(\@sides, "${scroll}declared in a savepoint that is rolled back",
			[ 'BEGIN', 'SAVEPOINT s', "DECLARE k ${scroll}CURSOR FOR $fine", 'FETCH 1 FROM k', 'ROLLBACK TO s', 'FETCH 1 FROM k', 'COMMIT' ],
			at => 99, after => 'SELECT count(*) FROM log; TRUNCATE log', want => '300');
	}
	foreach my $query ($fine, $bad)
	{
		foreach my $open ("OPEN k FOR $query; FETCH k INTO n;", "SELECT x INTO n FROM ($query) AS s;", "FOR n IN $query LOOP EXIT; END LOOP;")
		{
			foreach my $close ($open =~ /^OPEN/ ? 'BEGIN CLOSE k; EXCEPTION WHEN OTHERS THEN RAISE NOTICE \'caught\'; END;' : '', '')
			{
				# should be the error of the query, or the whole of its work
				same_session(\@sides, "PL/pgSQL: $open $close",
					["DO \$f\$ DECLARE n int; k refcursor; BEGIN $open $close RAISE NOTICE 'done %', n; END \$f\$"],
					after => 'SELECT count(*) FROM log; TRUNCATE log');
			}
		}
	}
};

# ---- A11: settings and types that change ------------------------------------------------

topic 'rows are converted as things were at the beginning' => sub {
	# what is changed; the remote's value and its type here; what is told of it
	my %change = (
		'TimeZone' => [ "set_config('TimeZone', 'America/New_York', false)", "timestamp ''2024-07-01 12:00''", 'timestamptz', 'extract(epoch FROM t)' ],
		'TimeZone, as text' => [ "set_config('TimeZone', 'America/New_York', false)", "''2024-07-01 12:00''", 'timestamptz', 'extract(epoch FROM t)' ],
		'TimeZone, timetz' => [ "set_config('TimeZone', 'Asia/Tokyo', false)", "''12:00''", 'timetz', 't::text' ],
		'TimeZone, an array' => [ "set_config('TimeZone', 'Asia/Tokyo', false)", "ARRAY[timestamp ''2024-07-01 12:00'']", 'timestamptz[]', 'extract(epoch FROM t[1])' ],
		'TimeZone, a range' => [ "set_config('TimeZone', 'Asia/Tokyo', false)", "''[2024-07-01 12:00,)''", 'tstzrange', 'extract(epoch FROM lower(t))' ],
		'search_path' => [ "set_config('search_path', 's2,public', false)", "''x''", 'regclass', '(SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = t)' ],
		'xmloption' => [ "set_config('xmloption', 'document', false)", "''abc<b/>''", 'xml', 't::text' ],
		'DateStyle' => [ "set_config('DateStyle', 'German', false)", "date ''2024-02-03''", 'date', "t - date '2024-01-01'" ],
		'DateStyle, as text' => [ "set_config('DateStyle', 'ISO, DMY', false)", "''02/03/2024''", 'date', "t - date '2024-01-01'" ],
		'IntervalStyle' => [ "set_config('IntervalStyle', 'sql_standard', false)", "''-1 2:03:04''", 'interval', 'extract(epoch FROM t)' ],
		'array_nulls' => [ "set_config('array_nulls', 'off', false)", "''{NULL,a}''", 'text[]', 't[1] IS NULL' ],
		'role' => [ "set_config('role', 'somebody', false)", "i", 'as_who', 't' ],
		'a domain' => [ "changed('ALTER DOMAIN below ADD CHECK (VALUE < 100)')", 'i', 'below', 't' ],
		'an enum' => [ "changed('ALTER TYPE mood RENAME VALUE ''ok'' TO ''fine''')", "''ok''", 'mood', 'enum_range(t, t) IS NOT NULL' ],
		'a function of a domain' => [ "changed('CREATE OR REPLACE FUNCTION checks(int) RETURNS bool LANGUAGE plpgsql AS ''BEGIN RETURN \$1 < 100; END''')", 'i', 'checked', 't' ],
		'a table for regclass' => [ "changed('ALTER TABLE s1.x RENAME TO y')", "''s1.x''", 'regclass', 't::oid > 0' ],
		'a role for regrole' => [ "changed('ALTER ROLE somebody RENAME TO anybody')", "''somebody''", 'regrole', 't::oid > 0' ]);
	my @types = (
		'DROP SCHEMA IF EXISTS s1, s2 CASCADE; CREATE SCHEMA s1 CREATE TABLE x (); CREATE SCHEMA s2 CREATE TABLE x ()',
		'DROP TYPE IF EXISTS mood, below, as_who, checked CASCADE; DROP ROLE IF EXISTS somebody, anybody; CREATE ROLE somebody',
		"CREATE TYPE mood AS ENUM ('ok', 'bad'); CREATE DOMAIN below AS int",
		"CREATE OR REPLACE FUNCTION who(int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN current_user <> ''somebody''; END'; CREATE DOMAIN as_who AS int CHECK (who(VALUE))",
		"CREATE OR REPLACE FUNCTION checks(int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN true; END'; CREATE DOMAIN checked AS int CHECK (checks(VALUE))",
		"CREATE OR REPLACE FUNCTION changed(text) RETURNS text LANGUAGE plpgsql AS 'BEGIN EXECUTE \$1; RETURN \$1; END'",
		"SET search_path = s1, public; SELECT dblink_connect('d', {remote})");
	foreach my $name (sort keys %change)
	{
		my ($do, $value, $type, $tell) = @{ $change{$name} };
		my $from = "(SELECT i, t FROM dblink('c', 'SELECT i, $value, repeat(''x'', 4000) FROM generate_series(1, 3000) AS i') AS t(i int, t $type, f text)) AS t";
		my $end = 'RESET ALL';
		my %way = (
			# should tell the same for all rows: changed in the body of a loop
			'a loop' => [ "DO \$f\$ DECLARE r record; n int := 0; BEGIN FOR r IN SELECT * FROM $from LOOP n := n + 1; IF n = 5 THEN PERFORM $do; END IF;"
				  . " IF n IN (1, 10, 2999) THEN RAISE NOTICE '% %', n, (SELECT $tell FROM (SELECT r.t) AS s(t)); END IF; END LOOP; END \$f\$" ],
			# should tell the same for all rows: changed between two FETCHes
			'a cursor' => [ 'BEGIN', "DECLARE k CURSOR FOR SELECT i, $tell FROM $from", 'FETCH 2 FROM k', "SELECT length($do) > 0", 'MOVE 90 FROM k', 'FETCH 2 FROM k',
				'MOVE 2800 FROM k', 'FETCH 2 FROM k', 'ROLLBACK' ],
			# should be one value: changed by the statement itself
			'a function in the target list' =>
			  [ "SELECT count(*), count(DISTINCT v), min(v::text) FROM (SELECT CASE WHEN i = 5 THEN $do END, $tell AS v FROM $from OFFSET 0) AS s" ],
			'a function in WHERE' =>
			  [ "SELECT count(*), count(DISTINCT v), min(v::text) FROM (SELECT $tell AS v FROM $from WHERE CASE WHEN i = 5 THEN $do <> '' ELSE true END OFFSET 0) AS s" ]);
		foreach my $way (sort keys %way)
		{
			same_session(\@sides, "$name: $way", [ @types, @{ $way{$way} }, 'ROLLBACK', $end ], at => 99, clean => 1);
		}
	}

	# should be read as who opened it: a cursor of a definer, read on by another
	same_session(\@sides, 'a role that may not read what a domain reads',
		[ @types, 'CREATE TABLE IF NOT EXISTS secret AS SELECT 1 AS x',
			"CREATE OR REPLACE FUNCTION reads_secret(int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN EXISTS (SELECT FROM secret); END'; DROP DOMAIN IF EXISTS dsec; CREATE DOMAIN dsec AS int CHECK (reads_secret(VALUE))",
			'BEGIN', "DECLARE k NO SCROLL CURSOR FOR SELECT * FROM dblink('c', 'SELECT i FROM generate_series(1, 5000) AS i') AS t(t dsec)",
			'FETCH 1 FROM k', 'SET LOCAL ROLE somebody', 'FETCH 2 FROM k', 'MOVE ALL FROM k', 'ROLLBACK' ], at => 99);
};

# ---- A12, A13, A14: errors --------------------------------------------------------------

topic 'a copy whose source fails late' => sub {
	my %query = (
		'a remote error' => "'SELECT i, 1 / (5000 - i) FROM generate_series(1, 9000) AS i'",
		'a value that cannot be converted' => "'SELECT i, CASE i WHEN 5000 THEN ''x'' ELSE ''1'' END FROM generate_series(1, 9000) AS i'");
	foreach my $name (sort keys %query)
	{
		my $from = "dblink('c', $query{$name}) AS t(id int, z int)";
		my @first = ("SELECT dblink_connect('d', {remote}), dblink_connect({remote})");
		my $copy = "'INSERT INTO log(what) VALUES (' || r.id || ')'";
		foreach my $body ("PERFORM dblink_exec('d', $copy)", "PERFORM dblink_exec($copy)", "PERFORM dblink_exec('c', $copy)", "PERFORM dblink_exec({remote}, $copy)",
			"PERFORM * FROM dblink('d', $copy || ' RETURNING id') AS t(id int)", "PERFORM dblink_send_query('d', $copy), count(*) FROM dblink_get_result('d') AS t(x text)")
		{
			next if $body =~ /\{remote\}/ && $name ne 'a remote error';
			foreach my $block (0, 1)
			{
				my $loop = "FOR r IN SELECT * FROM $from LOOP $body; END LOOP;";
				$loop = "BEGIN $loop EXCEPTION WHEN OTHERS THEN RAISE NOTICE '%', SQLERRM; END;" if $block;
				# should have copied nothing
				same_session(\@sides, "$name, $body" . ($block ? ', in a block' : ''), [ @first, "DO \$f\$ DECLARE r record; BEGIN $loop END \$f\$" ],
					after => 'SELECT count(*) FROM log; TRUNCATE log', want => '0');
			}
		}
		# should have copied nothing: a cursor, copied row by row
		same_session(\@sides, "$name, a cursor",
			[ @first, 'BEGIN', "DECLARE k CURSOR FOR SELECT * FROM $from", 'FETCH 1 FROM k', "SELECT dblink_exec('d', 'INSERT INTO log(what) VALUES (1)')", 'ROLLBACK' ],
			at => 99, after => 'SELECT count(*) FROM log; TRUNCATE log', want => '0');
	}
};

topic 'the error of a remote transaction block' => sub {
	my $from = "dblink('c', 'SELECT 1 / (3 - id) FROM small') AS t(i int)";
	my %body = (
		'dblink_exec' => "PERFORM dblink_exec('c', 'SET work_mem = ''4MB''')",
		'dblink' => "PERFORM * FROM dblink('c', 'SELECT 1') AS t(i int)",
		'another connection' => "PERFORM dblink_exec('d', 'SET work_mem = ''4MB''')",
		'dblink_send_query' => "PERFORM dblink_send_query('c', 'SELECT 1'); PERFORM * FROM dblink_get_result('c') AS t(i int)",
		'dblink_open' => "PERFORM dblink_open('c', 'cur', 'SELECT 1'); PERFORM dblink_close('c', 'cur')",
		'dblink_disconnect' => "PERFORM dblink_disconnect('c'); PERFORM dblink_connect('c', {remote})");
	foreach my $name (sort keys %body)
	{
		my @first = ("SELECT dblink_connect('d', {remote}); SELECT dblink_exec('c', 'BEGIN')");
		# should be the division by zero, and nothing else
		same_session(\@sides, "$name in a loop",
			[ @first, "DO \$f\$ DECLARE r record; BEGIN FOR r IN SELECT * FROM $from LOOP $body{$name}; END LOOP; END \$f\$", "SELECT dblink_exec('c', 'ROLLBACK')" ], at => 99);
		same_session(\@sides, "$name in the target list",
			[ @first, "CREATE FUNCTION pg_temp.does(int) RETURNS int LANGUAGE plpgsql AS \$f\$ BEGIN $body{$name}; RETURN \$1; END \$f\$",
				"SELECT pg_temp.does(i) FROM $from", "SELECT dblink_exec('c', 'ROLLBACK')" ], at => 99);
		same_session(\@sides, "$name in a loop over dblink_fetch",
			[ @first, "SELECT dblink_open('c', 'cursor', 'SELECT 1 / (3 - id) FROM small')",
				"DO \$f\$ DECLARE r record; BEGIN FOR r IN SELECT * FROM dblink_fetch('c', 'cursor', 10) AS t(i int) LOOP $body{$name}; END LOOP; END \$f\$", "SELECT dblink_exec('c', 'ROLLBACK')" ],
			at => 99);
	}

	# should tell why: the remote ends while it sends rows.  Ours has the remote's own SQLSTATE.
	my $dies = "dblink('c', 'SELECT id, CASE WHEN id = 4900 THEN pg_terminate_backend(pg_backend_pid())::text ELSE filler END FROM big') AS t(i int, f text)";
	foreach my $body ("IF r.i = 1 THEN PERFORM dblink_exec('c', 'SET work_mem = ''4MB'''); END IF;", "IF r.i = 1 THEN PERFORM dblink_exec('d', 'SET work_mem = ''4MB'''); END IF;", '')
	{
		same_session(\@sides, "a remote that ends: $body",
			[ "SELECT dblink_connect('d', {remote})", "DO \$f\$ DECLARE r record; BEGIN FOR r IN SELECT * FROM $dies LOOP $body END LOOP; END \$f\$" ],
			same => sub { (my $t = shift) =~ s/^ERROR (08006|57P01) (?:FATAL:  )?(terminating connection due to administrator command|server closed the connection unexpectedly).*/ERROR the remote ended/ms; $t },
			want => qr/the remote ended/);
	}
};

topic "a local error in the user's own remote transaction" => sub {
	# a remote query that takes more than three seconds, and one that has 20 MB
	my %query = (
		'slow' => "'SELECT id, repeat(''x'', 10000) || CASE WHEN id % 5 = 0 THEN pg_sleep(1)::text ELSE '''' END FROM (SELECT id FROM small OFFSET 0) AS s'",
		'big' => "'SELECT id, filler FROM big'");
	foreach my $query (sort keys %query)
	{
		my $from = "dblink('c', $query{$query}) AS t(id int, f text)";
		my %failing = (
			'a duplicate' => "INSERT INTO target SELECT id, '' FROM $from",
			'a division' => "SELECT sum(1 / (3 - id)) FROM $from",
			'a raised exception' => "DO \$f\$ DECLARE r record; BEGIN FOR r IN SELECT * FROM $from LOOP RAISE EXCEPTION 'enough'; END LOOP; END \$f\$",
			'a value that cannot be converted' => "SELECT count(*) FROM dblink('c', $query{$query}) AS t(id bool, f text)",
			'too few columns' => "SELECT count(*) FROM dblink('c', $query{$query}) AS t(id int)",
			'a subquery with two rows' => "SELECT (SELECT id FROM $from)",
			'a loop that inserts' => "DO \$f\$ DECLARE r record; BEGIN FOR r IN SELECT * FROM $from LOOP INSERT INTO target VALUES (r.id, ''); END LOOP; END \$f\$");
		foreach my $name (sort keys %failing)
		{
			my %way = (
				'alone' => [ $failing{$name} ],
				'in a savepoint' => [ 'BEGIN', 'SAVEPOINT s', $failing{$name}, 'ROLLBACK TO s', 'COMMIT' ],
				'in a block' => [ "DO \$b\$ BEGIN EXECUTE " . lit($failing{$name}) . "; EXCEPTION WHEN OTHERS THEN RAISE NOTICE 'caught %', SQLERRM; END \$b\$" ]);
			foreach my $way (sort keys %way)
			{
				next if $query eq 'slow' && $way eq 'in a savepoint';
				# should be in the ledger: the block goes on and is committed
				same_session(\@sides, "$query, $name, $way",
					[ 'TRUNCATE target; INSERT INTO target VALUES (3)', "SELECT dblink_exec('c', 'BEGIN')", "SELECT dblink_exec('c', 'INSERT INTO ledger VALUES (42)')",
						@{ $way{$way} }, "SELECT dblink_exec('c', 'COMMIT')" ],
					at => 99, after => 'SELECT count(*) FROM ledger; TRUNCATE ledger', want => '1');
			}
		}
	}
};

# ---- A15: what is counted ----------------------------------------------------------------

topic 'the time of the remote is the time of the statement' => sub {
	# the first rows are sent a second before the last
	my $query = "'SELECT g, repeat(''x'', 10000) FROM generate_series(1, 5) AS g UNION ALL SELECT 6, pg_sleep(1)::text'";
	my %statement = (
		'LIMIT' => "SELECT i FROM dblink('c', $query) AS limited(i int, f text) LIMIT 1",
		'EXISTS' => "SELECT EXISTS (SELECT FROM dblink('c', $query) AS found(i int, f text))",
		'all rows' => "SELECT count(*) FROM dblink('c', $query) AS counted(i int, f text)");
	foreach my $name (sort keys %statement)
	{
		my ($alias) = $statement{$name} =~ / AS (\w+)\(/;
		# should be counted to this statement: the second that its remote query takes
		same_session(\@sides, $name,
			[ 'SELECT FROM pg_stat_statements_reset()', $statement{$name},
				"SELECT calls, rows, total_exec_time > 900 FROM pg_stat_statements WHERE query LIKE '% AS $alias(%'" ],
			at => 99, want => '1|1|t');
		# should be told by auto_explain, too
		same_session(\@sides, "$name, auto_explain",
			[ "SET auto_explain.log_min_duration = '900ms'; SET client_min_messages = log", $statement{$name} ],
			same => sub { return $_[0] =~ /^LOG \S+ duration: \d+\.\d+ ms  plan:/m ? 'told' : "not told: $_[0]" }, want => 'told');
	}
};

$_->stop foreach @relays;
done_testing();
