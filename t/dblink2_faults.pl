# dblink2 from the outside: what a hostile server makes of its new paths, cancel, what
# is left behind, and that its objects are dumped, restored and dropped.

use strict;
use warnings;
use Test::More;
use Time::HiRes qw(time);
use PostgreSQL::Test::Utils;
use DblinkTest;
use DblinkWire;
use DblinkFake;

# A locale in which money is written otherwise, made for this test.
my $locales = PostgreSQL::Test::Utils::tempdir();
system_or_bail('localedef', '-i', 'de_DE', '-f', 'UTF-8', "$locales/de_DE.UTF-8");

my ($local, $remote) = make_pair(local => { env => { LOCPATH => $locales } });
my $to_remote = lit(conninfo($remote, application_name => 'dblink2'));
my $s = session($local);
no_error($s, 'CREATE EXTENSION dblink2', 'the extension');
no_error($s, "SELECT dblink_connect('c', $to_remote)", 'connected');

# ---- a hostile server ---------------------------------------------------------

my @scenes;
my $parsed = message('1', '');
my $bound = message('2', '');
my $described = row_description(['x']);
my $nothing = message('n', '');
my $types = message('t', pack('n', 0));
my $execute = "SELECT dblink_execute('h', 'SELECT \$1', 1)";
my $query = "SELECT * FROM dblink_query('h', 'SELECT \$1', 1) AS t(x text)";
my $as = "SELECT * FROM dblink_query_as(NULL::pg_description, 'h', 'SELECT \$1', 1)";
my $describe = "SELECT * FROM dblink_describe('h', 'SELECT 1')";

# RowDescription of columns of any names, with a type and a modifier for each.
sub columns
{
	return message('T', pack('n', scalar @_) . join '', map { "$_->[0]\0" . pack('NnNnNn', 0, 0, $_->[1], 0xffff, $_->[2], 0) } @_);
}

# [ name, answers, SQL, what it comes to ]
my @battery = (
	[ 'a number', [ $parsed . $bound . $nothing . command_complete('UPDATE 7') . ready() ], $execute, qr/\A7\z/ ],
	[ 'no number', [ $parsed . $bound . $nothing . command_complete('CREATE TABLE') . ready() ], $execute, qr/\A\z/ ],
	[ 'a number of 30 digits', [ $parsed . $bound . $nothing . command_complete('UPDATE ' . '9' x 30) . ready() ], $execute, qr/ERROR:  08P01: / ],
	[ 'a number with a letter', [ $parsed . $bound . $nothing . command_complete('UPDATE 7x') . ready() ], $execute, qr/ERROR:  08P01: |\A\z/ ],
	[ 'a negative number', [ $parsed . $bound . $nothing . command_complete('UPDATE -7') . ready() ], $execute, qr/ERROR:  08P01: |\A\z/ ],
	[ 'an empty query', [ $parsed . $bound . $nothing . message('I', '') . ready() ], $execute, qr/\A\z/ ],
	[ 'only a ready', [ ready() ], $execute, qr/ERROR:  08006: / ],
	[ 'an end in the middle', [ $parsed . $bound . $described . data_row('1') ], $execute, qr/ERROR:  08006: / ],
	[ 'copy', [ $parsed . $bound . message('H', pack('Cn', 0, 0)) ], $execute, qr/ERROR:  0A000: / ],
	[ 'rows', [ $parsed . $bound . $described . data_row('1') . command_complete('SELECT 1') . ready() ], $query, qr/\A1\z/ ],
	[ 'rows without a description', [ $parsed . $bound . data_row('1') . command_complete('SELECT 1') . ready() ], $query, qr/ERROR:  08/ ],
	[ 'two results of one statement', [ $parsed . $bound . $described . data_row('1') . command_complete('SELECT 1') . $described . data_row('2') . command_complete('SELECT 1') . ready() ], $query, qr/ERROR:  08|\A2\z/ ],
	[ 'a syntax error without a position', [ error_message({ S => 'ERROR', C => '42601', M => 'viele Befehle' }) . ready() ], $query, qr/ERROR:  42601: viele Befehle\nHINT:  Only a query/ ],
	[ 'a position that is none', [ error_message({ S => 'ERROR', C => '42601', M => 'm', P => 'x' x 10000 }) . ready() ], $query, qr/ERROR:  42601: m/ ],
	[ 'names of 1 MB', [ error_message({ S => 'ERROR', C => '23505', M => 'm', s => 's' x 1e6, t => "\xe9", c => 'c', d => '%n%s', n => 'n' }) . ready() ], $query, qr/ERROR:  23505: m/ ],
	[ 'the names of a row type twice', [ $parsed . $bound . row_description([qw(objoid classoid objsubid description objoid)]) . command_complete('SELECT 0') . ready() ], $as, qr/ERROR:  42702: / ],
	[ 'a name of bad bytes', [ $parsed . $bound . row_description(["objoid", "classoid", "objsubid", "description", "\xe9\xff"]) . command_complete('SELECT 0') . ready() ], $as, qr/ERROR:  42804: / ],
	[ 'an empty name', [ $parsed . $bound . row_description([ 'objoid', 'classoid', 'objsubid', 'description', '' ]) . command_complete('SELECT 0') . ready() ], $as, qr/ERROR:  42804: / ],
	[ 'too few names', [ $parsed . $bound . row_description(['objoid']) . command_complete('SELECT 0') . ready() ], $as, qr/ERROR:  42703: / ],
	[ 'a row with too few values', [ $parsed . $bound . row_description([qw(description objsubid classoid objoid)]) . data_row('1') . command_complete('SELECT 1') . ready() ], $as, qr/ERROR:  08/ ],
	[ 'a row in another order', [ $parsed . $bound . row_description([qw(description objsubid classoid objoid)]) . data_row('d', '3', '2', undef) . command_complete('SELECT 1') . ready() ], $as, qr/\A\|2\|3\|d\z/ ],
	[ '1600 columns', [ $parsed . $bound . row_description([ 1 .. 1600 ]) . command_complete('SELECT 0') . ready() ], $as, qr/ERROR:  42703: / ],
	[ 'a description, then nothing', [ $parsed . $types . $described . ready() ], $describe, qr/ERROR:  08006: / ],
	[ 'a description of bad bytes', [ $parsed . $types . columns([ "\xe9", 0xffffffff, 0x7fffffff ]) . ready(),
			$parsed . $bound . row_description([qw(ordinal name type)]) . data_row(1, "\xe9", 'x') . command_complete('SELECT 1') . ready() ], $describe, qr/ERROR:  22021: / ],
	[ 'a description that names no types', [ $parsed . $types . $described . ready(),
			$parsed . $bound . row_description(['type']) . data_row('x') . command_complete('SELECT 1') . ready() ], $describe, qr/ERROR:  42804: / ],
	[ 'no description', [ ready() ], $describe, qr/ERROR:  08006: / ],
);
foreach my $i (0 .. $#battery)
{
	$scenes[$i] = { start => auth_ok(), answers => $battery[$i][1] };
}
my $fake = fake_server(sub { return $scenes[ $_[0] ] });
my $target = lit('host=127.0.0.1 dbname=x user=x password=x sslmode=disable gssencmode=disable connect_timeout=3 port=' . $fake->port);
foreach my $i (0 .. $#battery)
{
	my ($name, $answers, $sql, $pattern) = @{ $battery[$i] };
	$fake->next_scene($i);
	$s->run("SELECT dblink_connect('h', $target)");
	my $r = $s->run($sql, SLOW);
	my $got = $r->{out} . $r->{err};
	like($got, $pattern, $name) or diag(substr $got, 0, 500);
	ok(!$r->{hung}, "$name: it ends");
	my $e = $s->run("SELECT max(octet_length(concat(message, schema_name))) < 20000 FROM dblink_error()");
	ok(!$e->{errors}, "$name: the error can be looked at") or diag($e->{err});
	$s->run("SELECT dblink_disconnect('h')");
}
$fake->stop;
healthy($s, 'the session lives');

# The same in binary results, where a description comes first.
# (The columns of the real server change between the two.)
rows_are($s, "SET dblink.result_format = binary; SELECT * FROM dblink_query_as(NULL::int, 'c', 'SELECT \$1', 5)", '5', 'binary');
$s->run('RESET dblink.result_format');

# ---- cancel ---------------------------------------------------------------------

foreach my $sql ("SELECT dblink_execute('c', 'SELECT pg_sleep(\$1)', 100)",
	"SELECT * FROM dblink_query('c', 'SELECT pg_sleep(\$1)', 100) AS t(x text)",
	"SELECT * FROM dblink_query_as(NULL::text, 'c', 'SELECT pg_sleep(\$1)::text', 100)",
	"SELECT dblink_execute('c', 'SELECT pg_sleep(100)')")
{
	fails_with($s, "SET statement_timeout = '300ms'; $sql", { state => '57014', within => SLOW }, "cancelled: $sql");
	$s->run('RESET statement_timeout');
	rows_are($s, "SELECT dblink_execute('c', 'SELECT 1')", '1', '... and the connection is usable');
}
is(poll_value($remote, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND state = 'active' AND pid <> pg_backend_pid()", '0'),
	'0', 'nothing runs on the remote');

# ---- nothing is left behind ------------------------------------------------------

# Bytes in all contexts below TopMemoryContext that do not belong to a statement.
sub lasting_memory
{
	return $s->run("SELECT sum(total_bytes) FROM pg_backend_memory_contexts WHERE name IN ('TopMemoryContext', 'dblink error')")->{out};
}

my $todo = 'CREATE TABLE todos (id int PRIMARY KEY, title text, due date)';
no_error($s, "SELECT dblink_execute('c', '$todo'); $todo", 'a table on both sides');
foreach my $case (
	[ 'an error with a parameter', "SELECT dblink_execute('c', 'SELECT 1 / \$1', 0)", '22012' ],
	[ 'a column that is missing', "SELECT * FROM dblink_query_as(NULL::todos, 'c', 'SELECT 1 AS id')", '42703' ],
	[ 'two statements', "SELECT * FROM dblink_query('c', 'SELECT 1; SELECT \$1', 1) AS t(a int)", '42601' ],
	[ 'a value that does not convert', "SELECT * FROM dblink_query_as(NULL::int, 'c', 'SELECT \$1', 'x'::text)", '22P02' ],
	[ 'a command', "SELECT * FROM dblink_query_as(NULL::int, 'c', 'SET a.b = 1')", '42804' ],
	[ 'a description that fails', "SELECT * FROM dblink_describe('c', 'nonsense')", '42601' ],
	[ 'a refused connection', "SELECT dblink_execute('host=/nowhere', 'SELECT 1')", '08001' ],
	[ 'a connection for one call', "SELECT dblink_execute($to_remote, 'SELECT 1 / \$1', 0)", '22012' ],
	[ 'success', "SELECT dblink_execute('c', 'SELECT \$1', 0)", '' ],
	[ 'a description', "SELECT * FROM dblink_describe('c', 'SELECT 1 AS a')", '' ])
{
	my ($name, $sql, $state) = @$case;
	no_error($s, repeat_sql($s, 20, $sql, $state), "$name: $state");
	my ($fds, $memory) = (fd_count($s->pid), lasting_memory());
	no_error($s, repeat_sql($s, 200, $sql, $state), "$name, 200 times");
	cmp_ok(fd_count($s->pid), '<', $fds + 20, '... no descriptor more');
	cmp_ok(lasting_memory(), '<=', $memory + 65536, '... and no memory');
}
no_error($s, "SELECT dblink_disconnect('c')", 'disconnected');
is(poll_value($remote, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dblink2'", '0'), '0', 'no session is left');

# ---- money, and the locale of another server -----------------------------------

no_error($s, "SELECT dblink_connect('c', $to_remote)", 'connected again');
rows_are($s, "SET lc_monetary = 'de_DE.UTF-8'; SELECT * FROM dblink_query('c', 'SELECT \$1 = ''\$1,234.56''::money', '1.234,56 €'::money) AS t(a bool)", 't', 'money');
$s->run('RESET lc_monetary');

# ---- dump, restore, drop ----------------------------------------------------------

no_error($s, <<'SQL', 'objects over the functions');
ALTER TABLE todos DROP COLUMN due;
ALTER TABLE todos ADD COLUMN due date;
CREATE VIEW remote_todos AS SELECT * FROM dblink_query_as(NULL::todos, 'c', 'SELECT * FROM todos WHERE id > $1', 0);
CREATE VIEW remote_text AS SELECT * FROM dblink_query('c', 'SELECT $1, $2', 'x', 1) AS t(a text, b int);
CREATE FUNCTION todo_title(int) RETURNS text LANGUAGE sql BEGIN ATOMIC
	SELECT dblink_query_as(NULL::text, 'c', 'SELECT title FROM todos WHERE id = $1', $1);
END;
SELECT dblink_execute('c', 'INSERT INTO todos VALUES ($1, $2, $3)', 1, 'write'::text, date '2024-02-29');
SQL
my $dump = $local->basedir . '/dump.sql';
$local->command_ok([ 'pg_dump', '-d', 'postgres', '-f', $dump ], 'dumped');
query_value($local, 'CREATE DATABASE restored');
$local->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'restored', '-f', $dump ], 'restored');
my $restored = session($local, db => 'restored');
rows_are($restored, "SELECT dblink_connect('c', $to_remote)", 'OK', 'connected from there');
rows_are($restored, 'SELECT id, title, due FROM remote_todos', '1|write|2024-02-29', 'the view, of a table whose columns have moved');
rows_are($restored, 'SELECT * FROM remote_text', 'x|1', 'the view with parameters');
rows_are($restored, 'SELECT todo_title(1)', 'write', 'the function');
rows_are($restored, "SELECT string_agg(extname || ' ' || extversion, ', ' ORDER BY extname) FROM pg_extension WHERE extname LIKE 'dblink%'", 'dblink 1.2, dblink2 1.0', 'both extensions');
fails_with($restored, 'DROP EXTENSION dblink2', { state => '2BP01' }, 'not dropped while they are needed');
no_error($restored, 'DROP EXTENSION dblink2 CASCADE', 'dropped');
rows_are($restored, "SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)", '1', 'dblink goes on');
rows_are($restored, "SELECT count(*) FROM pg_proc WHERE prosrc ~ '^dblink_(query|execute|describe|error|gather|wait|send_query_params|planner_support)'
	AND prosrc <> 'dblink_error_message'", '0', 'nothing is left of dblink2');
$restored->quit;

done_testing();
