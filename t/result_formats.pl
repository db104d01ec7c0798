# dblink.result_format: whatever is asked for, the values are the same, in
# binary where both sides have the same built-in types, in text everywhere
# else.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;
use TypeValues;

my ($local, $remote) = make_pair();
my $s = session($local);
$s->run("LOAD 'dblink'");
no_error($s, 'SELECT dblink_connect(' . lit('c') . ', ' . lit(conninfo($remote, application_name => 'formats')) . ')', 'connected');
rows_are($s, 'SHOW dblink.result_format', 'text', 'text is the default');

# The values by type.  NULL is added to each.
my %values = map { +($_ eq 'char' ? '"char"' : $_) => $type_values{$_} }
  split /\n/, $s->run('SELECT typname FROM pg_type WHERE typname IN (' . join(', ', map { lit($_) } keys %type_values) . ')')->{out};
%values = (
	%values,
	'numeric(10,2)' => [qw(0 1.005 -99999999.99 NaN)],
	'varchar(3)' => [ '', 'abc', 'éé' ],
	'char(5)' => [ '', 'abc', 'é' ],
	'time(2)' => [ '12:34:56.789', '23:59:59.999' ],
	'timestamp(0)' => [ '2000-01-01 00:00:00.5', '2000-01-01 00:00:01.5' ],
	'interval hour to minute' => ['1 day 02:03:04'],
	'bit(9)' => ['101010101'],
	'varbit(12)' => ['10101'],
	'"char"[]' => ['{a,b}'],
	'point[]' => ['{"(1,2)"}'],
	'mood' => [ 'sad', 'happy' ],
	'positive' => [ '1', '2147483647' ],
	'word' => ['abc'],
	'pair' => [ '(1,a)', '(,)' ],
	'mood[]' => ['{sad,NULL}'],
	'positive[]' => ['{1,2}'],
	'pair[]' => ['{"(1,a)"}']);
my %arrays = (
	'bool' => 'true,NULL,false',
	'int2' => '1,NULL,-32768',
	'int4' => '1,NULL,-2147483648',
	'int8' => '1,NULL,9223372036854775807',
	'oid' => '1,NULL,4294967295',
	'float4' => 'NaN,NULL,-Infinity,0.1',
	'float8' => 'NaN,NULL,-Infinity,0.1',
	'numeric' => 'NaN,NULL,-Infinity,0.10',
	'text' => 'a,NULL,"NULL","","a\\"b","{}"',
	'varchar' => 'a,NULL,""',
	'bpchar' => 'a,NULL,"b  "',
	'name' => 'a,NULL',
	'bytea' => '"\\\\x00ff",NULL',
	'date' => '"0001-01-01 BC",NULL,infinity',
	'time' => '24:00:00,NULL',
	'timetz' => '"12:00:00+02",NULL',
	'timestamp' => '"4713-01-01 00:00:00 BC",NULL,-infinity',
	'timestamptz' => '"2000-01-01 00:00:00+00",NULL,-infinity',
	'interval' => '"1 mon -1 day",NULL',
	'uuid' => 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,NULL',
	'json' => '"{\\"a\\" : 1}",NULL',
	'jsonb' => '"{\\"a\\" : 1}",NULL',
	'inet' => '10.0.0.1/8,NULL',
	'bit' => '1,NULL',
	'varbit' => '101,NULL');
foreach my $type (keys %arrays)
{
	$values{"$type\[]"} =
	  [ '{}', "{$arrays{$type}}", "{{$arrays{$type}},{$arrays{$type}}}", "[3:3]={" . (split /,/, $arrays{$type})[0] . '}' ];
}

my $types = <<'SQL';
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN word AS varchar(3);
CREATE TYPE pair AS (a int, b text);
SQL
foreach my $node ($local, $remote)
{
	# the remote gives other numbers to what users made
	$node->safe_psql('postgres', 'CREATE TYPE other AS (a int); DROP TYPE other') if $node == $remote;
	$node->safe_psql('postgres', $types);
}

# A query's rows, or its error.
sub outcome
{
	my $sql = shift;
	my $r = $s->run($sql);
	return $r->{errors} ? "$r->{messages}[0]{state}: $r->{messages}[0]{message}" : $r->{out};
}

# The same query in every setting gives the same; returns what it gave.  With
# the settings of $also for both.
sub same
{
	my ($sql, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my (@got, @how);
	foreach my $streaming (qw(off on))
	{
		foreach my $format (qw(text binary))
		{
			$s->run("SET dblink.streaming = $streaming; SET dblink.result_format = $format");
			push @got, outcome($sql);
			push @how, "$format, streaming $streaming";
		}
	}
	my @wrong = grep { $got[$_] ne $got[0] } 1 .. $#got;
	ok(!@wrong, $name) or diag("$sql\n$how[0]: " . substr($got[0], 0, 1000) . join '', map { "\n$how[$_]: " . substr($got[$_], 0, 1000) } @wrong);
	return $got[0];
}

# What the remote was asked for: queries in binary are prepared first, and so
# run through the extended protocol.
sub asked_in_binary
{
	my $from = shift;
	my $at = -s $remote->logfile;
	$s->run("SET dblink.result_format = binary; SELECT * FROM $from; SET dblink.result_format = text");
	return slurp_file($remote->logfile, $at) =~ /LOG:  execute <unnamed>/ ? 1 : 0;
}

subtest 'every type' => sub {
	my @columns;
	foreach my $type (sort keys %values)
	{
		my $sql = 'VALUES ' . join ', ', map { "($_)" } 'NULL::' . $type, map { lit($_) . "::$type" } @{ $values{$type} };
		my $got = same("SELECT v, v::text, pg_typeof(v) FROM dblink('c', " . lit($sql) . ") AS t(v $type)", $type);
		unlike($got, qr/^[0-9A-Z]{5}: /, "$type: and no error");
		push @columns, [ $type, lit($values{$type}[-1]) . "::$type" ];
	}
	same("SELECT * FROM dblink('c', " . lit('SELECT ' . join ', ', map { $_->[1] } @columns) . ') AS t('
		  . join(', ', map { "c$_ $columns[$_][0]" } 0 .. $#columns) . ')', 'all in one row');
	my @plain = grep { $_->[0] =~ /^(bool|int[248]|float[48]|numeric|text|date|time|timestamp|timestamptz|interval|uuid|jsonb|bytea|inet|int4\[\])$/ } @columns;
	same("SELECT * FROM dblink('c', " . lit('SELECT ' . join(', ', map { $_->[1] } @plain) . ' FROM generate_series(1, 300)') . ') AS t('
		  . join(', ', map { "c$_ $plain[$_][0]" } 0 .. $#plain) . ')', 'many rows of those that come in binary');
};

subtest 'settings of either side' => sub {
	my $sql = "SELECT date '2001-02-03', timestamp '2001-02-03 04:05:06.7', timestamptz '2001-02-03 04:05:06+00', interval '1 year -2 days 3 hours', 0.1::float8, 1e15::float4, '\\x01ff'::bytea";
	my $from = "dblink('c', " . lit($sql) . ') AS t(a date, b timestamp, c timestamptz, d interval, e float8, f float4, g bytea)';
	foreach my $set ("SET TimeZone = 'Asia/Kolkata'", "SET DateStyle = 'German'", "SET DateStyle = 'SQL, DMY'",
		"SET IntervalStyle = 'sql_standard'", "SET IntervalStyle = 'iso_8601'", "SET bytea_output = 'escape'")
	{
		$s->run($set);
		same("SELECT * FROM $from", "here: $set");
		$s->run('RESET ALL');
		$s->run("SELECT dblink_exec('c', " . lit($set) . ')');
		same("SELECT * FROM $from", "there: $set");
		$s->run("SELECT dblink_exec('c', 'RESET ALL')");
	}
};

subtest 'when it is binary' => sub {
	$remote->append_conf('postgresql.conf', 'log_statement = all');
	$remote->reload;
	poll_value($remote, 'SHOW log_statement', 'all');
	$s->run("SELECT dblink_disconnect('c'); SELECT dblink_connect('c', " . lit(conninfo($remote)) . ')');
	foreach my $streaming (qw(on off))
	{
		$s->run("SET dblink.streaming = $streaming");
		is(asked_in_binary("dblink('c', 'SELECT 1, 2.5, now()') AS t(a int, b numeric, c timestamptz)"), 1, "streaming $streaming: built-in types");
		is(asked_in_binary("dblink('c', 'SELECT 1; SELECT 2') AS t(a int)"), 0, "streaming $streaming: several statements");
		is(asked_in_binary("dblink('c', 'SELECT ''sad''::mood') AS t(a mood)"), 0, "streaming $streaming: an enum");
		is(asked_in_binary("dblink('c', 'SELECT 1') AS t(a positive)"), 0, "streaming $streaming: a domain");
	}
	# text or binary, a write is done once
	$remote->safe_psql('postgres', 'CREATE TABLE written (a int)');
	foreach my $format (qw(text binary))
	{
		$s->run("SET dblink.result_format = $format");
		rows_are($s, "SELECT * FROM dblink('c', 'INSERT INTO written VALUES (1) RETURNING a') AS t(a int)", '1', "$format: a write");
	}
	is(query_value($remote, 'SELECT count(*) FROM written'), 2, 'is done once each');
	$s->run('RESET ALL');
};

subtest 'types that differ' => sub {
	same("SELECT * FROM dblink('c', 'SELECT $_->[0]') AS t(a $_->[1])", "$_->[0] as $_->[1]")
	  foreach (
		[ '1::int8', 'int4' ], [ '1::int4', 'int8' ], [ '1::int4', 'text' ], [ '1.5::numeric', 'float8' ], [ '1.5::float8', 'numeric' ],
		[ '70000::int4', 'int2' ], [ '5000000000::int8', 'int4' ], [ '1.5::float8', 'int4' ], [ 'true', 'int4' ], [ '1', 'bool' ],
		[ 'now()::date - now()::date', 'text' ], [ 'ARRAY[1,2]', 'int8[]' ], [ 'ARRAY[1,2]', 'text' ], [ 'ARRAY[]::int4[]', 'int4[]' ],
		[ '1', 'positive' ], [ '-1', 'positive' ], [ '12345.678::numeric', 'numeric(5,1)' ], [ '12345.678::numeric', 'numeric(3,1)' ],
		[ '1.25::numeric(5,2)', 'numeric' ], [ '1.25::numeric(5,2)', 'numeric(5,1)' ], [ 'now()::timestamptz(0) - now()::timestamptz(0)', 'interval(0)' ],
		[ "''toolong''::text", 'varchar(3)' ], [ "''toolong''::varchar", 'varchar(3)' ], [ "''abc   ''::varchar", 'varchar(3)' ],
		[ "''ab''::bpchar", 'char(5)' ], [ "''toolong''::bpchar", 'char(3)' ], [ "B''101''::varbit", 'varbit(2)' ], [ "B''101''", 'bit(3)' ], [ "B''101''", 'bit(4)' ],
		[ "timestamp ''2000-01-01 00:00:00.567''", 'timestamp(1)' ], [ "time ''00:00:00.567''", 'time(1)' ],
		[ "interval ''1 day 02:03:04.567''", 'interval(1)' ], [ "interval ''1 day 02:03:04''", 'interval hour' ],
		[ "ARRAY[1.25, 2.25]::numeric[]", 'numeric(5,1)[]' ], [ "ARRAY[''toolong'']::varchar[]", 'varchar(3)[]' ],
		[ "''abcdef''::varchar", 'word' ], [ "''{}''::json", 'jsonb' ], [ "''{}''::jsonb", 'json' ], [ "''x''::text", 'int' ], [ "NULL::int8", 'int4' ],
		[ 'NULL', 'int4' ], [ "''1''", 'int4' ], [ "''sad''::mood", 'text' ], [ "''sad''", 'mood' ], [ "''angry''", 'mood' ], [ "ROW(1, ''a'')::pair", 'pair' ], [ "ROW(1, ''a'')", 'pair' ]);
};

subtest 'errors' => sub {
	same("SELECT * FROM dblink('c', $_->[0]) AS t($_->[1])", "$_->[0] as $_->[1]")
	  foreach (
		[ "'SELECT 1, 2'", 'a int' ], [ "'SELECT 1'", 'a int, b int' ], [ "'SELECT FROM pg_class'", 'a int' ], [ "'SELECT 1 WHERE false'", 'a int, b int' ],
		[ "'SELECT 1 / (3 - g) FROM generate_series(1, 5) AS g'", 'a int' ], [ "'SELECT * FROM nosuch'", 'a int' ], [ "'SELEC'", 'a int' ], [ "''", 'a int' ],
		[ "'SELECT 1; SELECT 1 / 0'", 'a int' ], [ "'SELECT \$1'", 'a int' ], [ "'SELECT 1 / 0', false", 'a int' ], [ "'SELECT nosuch', false", 'a int' ],
		[ "'SET work_mem = 1000'", 'a text' ], [ "'BEGIN'", 'a text' ], [ "'SELECT 1'", 'a int' ], [ "'ROLLBACK'", 'a text' ],
		[ "'SHOW work_mem'", 'a text' ], [ "'COPY pg_class TO STDOUT'", 'a text' ], [ "'TABLE pg_am ORDER BY oid LIMIT 1'", 'a oid, b name, c regproc, d \"char\"' ]);
	# a remote that lies about its encoding
	$s->run("SELECT dblink_exec('c', 'SET client_encoding = LATIN1')");
	same("SELECT * FROM dblink('c', 'SELECT ''é''::text, ''é''::name, ''é''::varchar, 1') AS t(a text, b name, c varchar, d int)", 'bytes of another encoding');
	same("SELECT * FROM dblink('c', 'SELECT ARRAY[''é'']') AS t(a text[])", 'in an array');
	same("SELECT * FROM dblink('c', 'SELECT ''\"é\"''::jsonb') AS t(a jsonb)", 'in jsonb');
	$s->run("SELECT dblink_exec('c', 'RESET client_encoding')");
};

subtest 'the other functions' => sub {
	# the remote's cursors and asynchronous queries, and a plan's other ends
	my $list = 't(a int, b numeric, c timestamp)';
	my $sql = "SELECT g, g / 7.0, timestamp ''2000-01-01'' + g * interval ''1 hour'' FROM generate_series(1, 50) AS g";
	same("SELECT dblink_send_query('c', '$sql'); SELECT * FROM dblink_get_result('c') AS $list; SELECT * FROM dblink_get_result('c') AS $list", 'get_result');
	same("SELECT dblink_open('c', 'cur', '$sql'); SELECT * FROM dblink_fetch('c', 'cur', 20) AS $list; SELECT * FROM dblink_fetch('c', 'cur', 50) AS $list LIMIT 3; SELECT dblink_close('c', 'cur')", 'fetch');
	same("SELECT * FROM dblink('c', '$sql') AS $list LIMIT 3", 'LIMIT');
	same("SELECT a, (SELECT x FROM dblink('c', 'SELECT ' || a) AS u(x int)) FROM dblink('c', '$sql') AS $list", 'nested: values that are read ahead');
	same("BEGIN; DECLARE k SCROLL CURSOR FOR SELECT * FROM dblink('c', '$sql') AS $list; FETCH 3 FROM k; FETCH BACKWARD 2 FROM k; SELECT * FROM dblink('c', 'SELECT 1') AS u(x int); FETCH LAST FROM k; COMMIT", 'a cursor');
	same("SELECT * FROM dblink(" . lit(conninfo($remote)) . ", '$sql') AS $list WHERE a < 4", 'by connection string');
	same("SELECT t, t.a FROM dblink('c', '$sql') AS $list LIMIT 2", 'whole rows');
};

$s->quit;
unwatch($_) foreach $local, $remote;
done_testing();
