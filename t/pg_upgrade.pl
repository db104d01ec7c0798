# pg_upgrade from a server with stock's dblink to one with ours: a database that uses
# dblink in many ways gives the same before and after, dumped and restored, and with
# stock's library in the place of ours.
#
# DBLINK_OLD_BIN is the program directory of the older major; else it is the oldest
# that is installed beside this one, or if there is none stock's of this major.
# streaming: any

use strict;
use warnings;
use File::Copy;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;

needs_stock();

my $dir = PostgreSQL::Test::Utils::tempdir();

# The major of the programs in a directory.
sub major_of
{
	my $bin = shift;
	return `$bin/postgres -V` =~ /(\d+)/ ? $1 : 0;
}

# A tree of our own, in which the library can be exchanged.
my $new_prefix = copy_tree(ours_prefix(), "$dir/tree");
my $major = major_of("$new_prefix/bin");
my $old_bin = $ENV{DBLINK_OLD_BIN};
foreach my $bin (sort { major_of($a) <=> major_of($b) } glob '/usr/lib/postgresql/*/bin /usr/pgsql-*/bin')
{
	$old_bin ||= $bin if -x "$bin/initdb" && major_of($bin) >= 13 && major_of($bin) < $major;
}
$old_bin ||= stock_prefix() . '/bin';
my $old_prefix = $old_bin =~ s{/bin/?$}{}r;
note 'from PostgreSQL ' . major_of($old_bin) . " in $old_bin";

# The library of an installation.
sub library
{
	my $prefix = shift;
	my $lib = `$prefix/bin/pg_config --pkglibdir`;
	chomp $lib;
	return "$lib/dblink.so";
}

my $library = library($new_prefix);
my @initdb = (initdb => [ '--encoding=UTF8', '--locale=C', '-k' ]);
my $remote = make_server('remote', tree => $old_prefix, @initdb);
my $old = make_server('old', tree => $old_prefix, @initdb);
my $new = make_server('new', tree => $new_prefix, @initdb, start => 0);

$remote->safe_psql('postgres', <<'SQL');
CREATE TABLE data (a int PRIMARY KEY, b text, c numeric, d timestamptz, e int[]);
INSERT INTO data SELECT g, 'row ' || g, g / 3.0, '2024-01-01 00:00:00+00', ARRAY[g, NULL]
FROM generate_series(1, 50) g;
SQL

# A database as users have it, made with stock.
my ($host, $port) = ($remote->host, $remote->port);
my $far = "host=$host port=$port dbname=postgres";
$old->safe_psql('postgres', <<"SQL");
CREATE SCHEMA links;
CREATE EXTENSION dblink SCHEMA links;
SET search_path = public, links;
CREATE TYPE data_row AS (a int, b text);
CREATE FUNCTION my_dblink(text, text) RETURNS SETOF data_row
	AS '\$libdir/dblink', 'dblink_record' LANGUAGE C STRICT;
CREATE FUNCTION my_exec(text, text, bool) RETURNS text
	AS '\$libdir/dblink', 'dblink_exec' LANGUAGE C STRICT;
CREATE SERVER far FOREIGN DATA WRAPPER dblink_fdw
	OPTIONS (host '$host', port '$port', dbname 'postgres');
CREATE USER MAPPING FOR PUBLIC SERVER far;
CREATE VIEW by_string AS SELECT * FROM links.dblink('$far', 'SELECT * FROM data')
	AS t(a int, b text, c numeric, d timestamptz, e int[]);
CREATE VIEW by_server AS SELECT * FROM my_dblink('far', 'SELECT a, b FROM data');
CREATE MATERIALIZED VIEW kept AS SELECT * FROM by_string;
CREATE TABLE keyed (id int, name text, PRIMARY KEY (name, id));
INSERT INTO keyed VALUES (1, 'x');
CREATE FUNCTION by_plpgsql() RETURNS text LANGUAGE plpgsql SET search_path = public, links AS \$\$
DECLARE r record; n int := 0; tag text;
BEGIN
	PERFORM dblink_connect('p', 'far');
	FOR r IN SELECT * FROM dblink('p', 'SELECT a FROM data') AS t(a int) LOOP
		n := n + r.a;
	END LOOP;
	tag := dblink_exec('p', 'UPDATE data SET b = b WHERE a < 4');
	PERFORM dblink_send_query('p', 'SELECT 5');
	n := n + (SELECT a FROM dblink_get_result('p') AS t(a int));
	PERFORM dblink_disconnect('p');
	RETURN n || ' ' || tag;
END \$\$;
CREATE FUNCTION by_trigger() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
	NEW.name := (SELECT b FROM links.dblink('far', 'SELECT b FROM data WHERE a = ' || NEW.id) AS t(b text));
	RETURN NEW;
END \$\$;
CREATE TRIGGER name_it BEFORE INSERT ON keyed FOR EACH ROW EXECUTE FUNCTION by_trigger();
SQL

# What the database gives.
sub answers
{
	my ($node, $database) = @_;
	my $s = session($node, db => $database || 'postgres');
	$s->run("SET search_path = public, links; SET timezone = 'UTC'");
	my @said = map { my $r = $s->run($_); "$r->{out}\n" . join "\n", map { "$_->{state} $_->{message}" } @{ $r->{messages} } } (
		'SELECT * FROM by_string ORDER BY a',
		'SELECT * FROM by_server ORDER BY a',
		q{SELECT (t).b FROM my_dblink('far', 'SELECT a, b FROM data WHERE a < 4 ORDER BY a') t},
		'SELECT by_plpgsql()',
		q{SELECT my_exec('far', 'SELECT nonsense', false)},
		'REFRESH MATERIALIZED VIEW kept',
		'SELECT count(*), sum(c), max(d) FROM kept',
		q{BEGIN; INSERT INTO keyed VALUES (7, ''); SELECT * FROM keyed ORDER BY id; ROLLBACK},
		q{SELECT * FROM dblink_get_pkey('keyed')},
		q{SELECT dblink_build_sql_insert('keyed', '2 1', 2::int, ARRAY['x', '1'], ARRAY['y', '2'])},
		q{SELECT extversion, extnamespace::regnamespace FROM pg_extension WHERE extname = 'dblink'},
		q{SELECT oid::regprocedure, prosrc, probin FROM pg_proc WHERE probin LIKE '%dblink%' ORDER BY oid::regprocedure::text COLLATE "C"});
	$s->quit;
	return join "\n", @said;
}

# Whether the library that the server loads is ours.
sub is_ours
{
	my $node = shift;
	my $s = session($node);
	my $r = $s->run("SELECT current_setting('dblink.version', true) FROM links.dblink_get_connections()");
	$s->quit;
	return $r->{out} =~ /^1\.2\./ ? 1 : 0;
}

my $before = answers($old);
like($before, qr/^50\|row 50\|/m, 'the old database gives rows');
is(is_ours($old), 0, "its library is stock's");

# A minor release of the old major may be younger than the new major's, and mark columns
# with an option that this does not know: then pg_upgrade fails for every table,
# with or without dblink.
if (slurp_file("$old_prefix/bin/postgres") =~ /pg_attver/ && slurp_file("$new_prefix/bin/postgres") !~ /pg_attver/)
{
	note 'the option pg_attver is cleared';
	$old->safe_psql($_, 'SET allow_system_table_mods = on;'
		  . "UPDATE pg_attribute SET attoptions = NULL WHERE attoptions::text LIKE '%pg_attver%'") foreach qw(postgres template1);
}
$old->stop;

my @upgrade = ("$new_prefix/bin/pg_upgrade", '-b', "$old_prefix/bin", '-B', "$new_prefix/bin", '-d', $old->data_dir, '-D', $new->data_dir,
	'-p', $old->port, '-P', $new->port, '-s', $new->host, '-o', '-c fsync=off', '-O', '-c fsync=off');
chdir $dir or die;
command_ok([ @upgrade, '--check' ], 'pg_upgrade --check');
command_ok(\@upgrade, 'pg_upgrade');

$new->start;
is(is_ours($new), 1, 'after it the library is ours');
is(answers($new), $before, 'the same rows and messages');
$new->safe_psql('postgres', 'CREATE DATABASE copy');
command_ok([ 'pg_dump', '-h', $new->host, '-p', $new->port, '-f', "$dir/dump", 'postgres' ], 'dumped');
command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-h', $new->host, '-p', $new->port, '-d', 'copy', '-f', "$dir/dump" ], 'and restored');
is(answers($new, 'copy'), $before, 'the same from that');

$new->stop;
copy(library(stock_prefix()), $library) or die "could not copy: $!";
$new->start;
is(is_ours($new), 0, "back to stock's library");
is(answers($new), $before, 'the same rows and messages again');
done_testing();
