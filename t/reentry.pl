# A conversion of a row that calls dblink on the very connection whose rows are
# being converted is refused; everything else goes on, and the connection is
# usable afterwards.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;

my ($local, $remote) = make_pair();
my $to_remote = lit(conninfo($remote, application_name => 'reentry'));
my $s = session($local);

# A domain whose CHECK runs the SQL that the setting my.call holds.
no_error($s, q{
	CREATE FUNCTION call_it() RETURNS bool LANGUAGE plpgsql AS $$
	BEGIN
		IF current_setting('my.call', true) <> '' THEN
			EXECUTE current_setting('my.call');
		END IF;
		RETURN true;
	END $$;
	CREATE DOMAIN calling AS text CHECK (VALUE IS NULL OR call_it());
	CREATE TYPE row_of_calling AS (a int, b calling);
	}, 'should work: a domain that calls');
$s->run("SELECT dblink_connect('c', $to_remote); SELECT dblink_connect('other', $to_remote);"
	  . "SELECT dblink_connect($to_remote)");

# The calls on a named connection and on the unnamed one.
my %call = (
	'dblink' => [ "SELECT * FROM dblink('c', 'SELECT 1') AS t(x int)",
		"SELECT * FROM dblink('SELECT 1') AS t(x int)" ],
	'dblink_exec' => [ "SELECT dblink_exec('c', 'SET geqo = on')", "SELECT dblink_exec('SET geqo = on')" ],
	'dblink_open' => [ "SELECT dblink_open('c', 'z', 'SELECT 1')", "SELECT dblink_open('z', 'SELECT 1')" ],
	'dblink_fetch' => [ "SELECT * FROM dblink_fetch('c', 'cur', 1) AS t(x int)",
		"SELECT * FROM dblink_fetch('cur', 1) AS t(x int)" ],
	'dblink_close' => [ "SELECT dblink_close('c', 'cur')", "SELECT dblink_close('cur')" ],
	'dblink_disconnect' => [ "SELECT dblink_disconnect('c')", "SELECT dblink_disconnect()" ],
	'dblink_connect, unnamed' => [ undef, "SELECT dblink_connect($to_remote)" ],
	'dblink_send_query' => [ "SELECT dblink_send_query('c', 'SELECT 1')", undef ],
	'dblink_get_result' => [ "SELECT * FROM dblink_get_result('c') AS t(x int)", undef ]);

# The ways rows come in, each with a column of the domain: before, statement,
# afterwards.
my $ask = q{'SELECT g::text FROM generate_series(1, 5) g'};
my %rows = (
	'dblink' => [
		[ '', "SELECT * FROM dblink('c', $ask) AS t(x calling)", '' ],
		[ '', "SELECT * FROM dblink($ask) AS t(x calling)", '' ] ],
	'dblink, array of the domain' => [
		[ '', "SELECT * FROM dblink('c', 'SELECT ''{a,b}''') AS t(x calling[])", '' ], undef ],
	'dblink, composite with the domain' => [
		[ '', "SELECT * FROM dblink('c', 'SELECT ''(1,b)''') AS t(x row_of_calling)", '' ], undef ],
	'dblink_fetch' => [
		[ "SELECT dblink_open('c', 'cur', $ask)",
			"SELECT * FROM dblink_fetch('c', 'cur', 5) AS t(x calling)",
			"SELECT dblink_close('c', 'cur')" ],
		[ "SELECT dblink_open('cur', $ask)",
			"SELECT * FROM dblink_fetch('cur', 5) AS t(x calling)",
			"SELECT dblink_close('cur')" ] ],
	'dblink_get_result' => [
		[ "SELECT dblink_send_query('c', $ask)",
			"SELECT * FROM dblink_get_result('c') AS t(x calling)",
			"SELECT count(*) FROM dblink_get_result('c') AS t(x text)" ], undef ]);

foreach my $rows (sort keys %rows)
{
	foreach my $call (sort keys %call)
	{
		foreach my $which (0, 1)
		{
			my ($case, $sql) = ($rows{$rows}[$which], $call{$call}[$which]);
			next unless $case && $sql;
			my ($before, $statement, $after) = @$case;
			my $arg = $which ? '' : "'c', ";
			my $name = "$call within $rows, " . ($which ? 'unnamed' : 'named');

			$s->run($before) if $before;
			$s->run('SET my.call = ' . lit($sql));
			# should fail: in use
			fails_with($s, $s->run($statement, SLOW),
				{
					state => '55006',
					message => $which ? 'connection is already in use' : 'connection "c" is already in use'
				},
				$name);
			$s->run("SET my.call = ''");
			# a second empty result ends an asynchronous query
			$s->run($after) if $after;
			$s->run($after) if $after =~ /get_result/;
			# should work as if nothing had been
			rows_are($s, "SELECT x FROM dblink(${arg}'SELECT 1') AS t(x int)", '1', "$name: usable afterwards");
		}
	}
	healthy($s, "$rows: the session lives");
}
is(remote_count($remote, "application_name = 'reentry' AND xact_start IS NOT NULL"), 0,
	'no transaction is left open on the remote');

# should work: another connection is not in use
$s->run("SET my.call = 'SELECT * FROM dblink(''other'', ''SELECT 1'') AS t(x int)'");
rows_are($s, "SELECT * FROM dblink('c', $ask) AS t(x calling)", "1\n2\n3\n4\n5", 'another named connection');
$s->run("SET my.call = 'SELECT * FROM dblink(''SELECT 1'') AS t(x int)'");
rows_are($s, "SELECT * FROM dblink('c', $ask) AS t(x calling)", "1\n2\n3\n4\n5", 'the unnamed connection');
$s->run('SET my.call = ' . lit("SELECT * FROM dblink($to_remote, 'SELECT 1') AS t(x int)"));
rows_are($s, "SELECT * FROM dblink('c', $ask) AS t(x calling)", "1\n2\n3\n4\n5", 'a connection string');
$s->run("SET my.call = 'SELECT dblink_get_connections()'");
rows_are($s, "SELECT * FROM dblink('c', $ask) AS t(x calling)", "1\n2\n3\n4\n5", 'the list of connections');

# should work: the refusal is caught within the conversion
no_error($s, q{
	CREATE FUNCTION caught() RETURNS bool LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM * FROM dblink('c', 'SELECT 1') AS t(x int);
		RETURN false;
	EXCEPTION WHEN object_in_use THEN
		RETURN true;
	END $$;
	CREATE DOMAIN catching AS text CHECK (caught());
	}, 'should work: a domain that catches the refusal');
rows_are($s, "SELECT * FROM dblink('c', $ask) AS t(x catching)", "1\n2\n3\n4\n5", 'caught in the conversion');
rows_are($s, "SELECT x FROM dblink('c', 'SELECT 1') AS t(x int)", '1', 'the connection is usable');

# should work: an error of the conversion caught by a block around it, and the
# connection used in the handler
no_error($s, q{
	CREATE DOMAIN refusing AS text CHECK (VALUE <> '3');
	CREATE FUNCTION around() RETURNS int LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM * FROM dblink('c', 'SELECT g FROM generate_series(1, 100000) g') AS t(x refusing);
		RETURN 0;
	EXCEPTION WHEN check_violation THEN
		RETURN (SELECT x FROM dblink('c', 'SELECT 7') AS t(x int));
	END $$;
	}, 'should work: a function around a refusing domain');
rows_are($s, 'SELECT around()', '7', 'used in the handler of a failed conversion');

# should work: calls on the same connection outside the conversion - in the
# select list, in a cast, in the condition
no_error($s, q{
	CREATE FUNCTION via(text) RETURNS int LANGUAGE sql AS
		$$SELECT x FROM dblink('c', 'SELECT ' || $1 || ' * 10') AS t(x int)$$;
	CREATE TYPE wrapped AS (v int);
	CREATE FUNCTION to_wrapped(text) RETURNS wrapped LANGUAGE plpgsql AS
		$$BEGIN RETURN ROW(via($1))::wrapped; END$$;
	CREATE CAST (text AS wrapped) WITH FUNCTION to_wrapped(text);
	}, 'should work: functions that call');
rows_are($s, "SELECT via(x) FROM dblink('c', $ask) AS t(x text)", "10\n20\n30\n40\n50", 'in the select list');
rows_are($s, "SELECT (x::wrapped).v FROM dblink('c', $ask) AS t(x text)", "10\n20\n30\n40\n50", 'in a cast');
rows_are($s, "SELECT x FROM dblink('c', $ask) AS t(x text) WHERE via(x) > 30", "4\n5", 'in the condition');

rows_are($s, "SELECT dblink_disconnect('c'); SELECT dblink_disconnect('other'); SELECT dblink_disconnect()",
	"OK\nOK\nOK", 'everything can be disconnected');
remote_quiet($remote, "application_name = 'reentry'", 'no session is left on the remote');
$s->quit;
done_testing();
