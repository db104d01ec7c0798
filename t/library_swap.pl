# The library is exchanged under an existing extension: what was created with
# stock keeps working, with equal results, and so it does on the way back.
# Likewise what pg_dump takes from one and gives to the other.
# streaming: any

use strict;
use warnings;
use Test::More;
use File::Copy;
use PostgreSQL::Test::Utils;
use DblinkTest;

# A third tree, of which the library is changed.
my $dir = PostgreSQL::Test::Utils::tempdir();
my $stock = stock_prefix() || ours_prefix();
my $prefix = copy_tree($stock, "$dir/tree");
my %library = (stock => $stock, ours => ours_prefix());
foreach my $which (keys %library)
{
	my $lib = `$library{$which}/bin/pg_config --pkglibdir`;
	chomp $lib;
	$library{$which} = "$lib/dblink.so";
}
my $target = `$prefix/bin/pg_config --pkglibdir`;
chomp $target;
$target .= '/dblink.so';

# Puts the library of one tree into the third, as a package's update would.
sub install
{
	my $which = shift;
	copy($library{$which}, "$target.new") or die "could not copy: $!";
	rename "$target.new", $target or die "could not rename: $!";
	return;
}

my $remote = make_server('remote', tree => stock_prefix());
my $admin = session($remote);
$admin->run(q{CREATE TABLE data(a int PRIMARY KEY, b text, c numeric, d timestamptz, e int[]);
	INSERT INTO data SELECT g, 'row ' || g, g / 3.0, '2024-01-01 00:00:00+00'::timestamptz + g * interval '1 day',
		ARRAY[g, NULL, -g] FROM generate_series(1, 50) g});
install('stock');
my $local = make_server('local', tree => $prefix,
	conf => [ "timezone = 'UTC'" ]);
my $to_remote = lit(conninfo($remote, application_name => 'swap'));
my $port = $remote->port;
my $s = session($local);

# A database as people have it: views, functions on the C symbols, composite
# types, a foreign server, SQL and PL/pgSQL functions.
no_error($s, qq{
	CREATE EXTENSION dblink;
	CREATE TYPE data_row AS (a int, b text);
	CREATE DOMAIN data_domain AS data_row CHECK ((VALUE).a > 0);
	CREATE FUNCTION my_dblink(text, text) RETURNS SETOF data_row
		AS '\$libdir/dblink', 'dblink_record' LANGUAGE C STRICT;
	CREATE FUNCTION my_dblink_domain(text, text) RETURNS SETOF data_domain
		AS '\$libdir/dblink', 'dblink_record' LANGUAGE C STRICT;
	CREATE FUNCTION my_dblink_out(text, text, OUT a int, OUT b text) RETURNS SETOF record
		AS '\$libdir/dblink', 'dblink_record' LANGUAGE C STRICT;
	CREATE FUNCTION my_exec(text, text, bool) RETURNS text
		AS '\$libdir/dblink', 'dblink_exec' LANGUAGE C STRICT;
	CREATE FUNCTION my_connect(text, text) RETURNS text
		AS '\$libdir/dblink', 'dblink_connect' LANGUAGE C STRICT SECURITY DEFINER;
	CREATE FUNCTION my_result(text) RETURNS SETOF data_row
		AS '\$libdir/dblink', 'dblink_get_result' LANGUAGE C STRICT;
	CREATE FUNCTION my_fetch(text, text, int) RETURNS SETOF data_row
		AS '\$libdir/dblink', 'dblink_fetch' LANGUAGE C STRICT;
	CREATE VIEW by_string AS SELECT * FROM dblink($to_remote, 'SELECT * FROM data')
		AS t(a int, b text, c numeric, d timestamptz, e int[]);
	CREATE VIEW by_wrapper AS SELECT * FROM my_dblink('swap_server', 'SELECT a, b FROM data');
	CREATE SERVER swap_server FOREIGN DATA WRAPPER dblink_fdw
		OPTIONS (host '127.0.0.1', port '$port', dbname 'postgres', application_name 'swap');
	CREATE USER MAPPING FOR PUBLIC SERVER swap_server;
	CREATE MATERIALIZED VIEW kept AS SELECT * FROM by_string;
	CREATE TABLE keyed(id int, name text, PRIMARY KEY (name, id));
	INSERT INTO keyed VALUES (1, 'x');
	CREATE FUNCTION by_plpgsql() RETURNS bigint LANGUAGE plpgsql AS \$\$
	DECLARE r record; n bigint := 0;
	BEGIN
		PERFORM dblink_connect('p', 'swap_server');
		FOR r IN SELECT * FROM dblink('p', 'SELECT a FROM data') AS t(a int) LOOP
			n := n + r.a;
		END LOOP;
		BEGIN
			PERFORM dblink_exec('p', 'SELECT nonsense');
		EXCEPTION WHEN undefined_column THEN
			n := n + 10000;
		END;
		PERFORM dblink_disconnect('p');
		RETURN n;
	END \$\$;
	}, 'a database made with stock');

# What must come out alike, whatever library is below.
my @calls = (
	'SELECT * FROM by_string ORDER BY a',
	'SELECT * FROM by_wrapper ORDER BY a LIMIT 3',
	"SELECT * FROM my_dblink_domain('swap_server', 'SELECT a, b FROM data WHERE a < 4 ORDER BY 1')",
	"SELECT a, b FROM my_dblink_out('swap_server', 'SELECT a, b FROM data WHERE a < 4 ORDER BY 1')",
	"SELECT (t).b FROM my_dblink('swap_server', 'SELECT a, b FROM data WHERE a < 4 ORDER BY 1') t",
	"SELECT * FROM my_dblink_domain('swap_server', 'SELECT -1, ''x''')",
	'REFRESH MATERIALIZED VIEW kept; SELECT count(*), sum(c), max(d) FROM kept',
	'SELECT by_plpgsql()',
	"SELECT my_connect('m', $to_remote)",
	"SELECT my_exec('m', 'SELECT nonsense', false)",
	"SELECT my_exec('m', 'SET geqo = on', true)",
	"SELECT dblink_send_query('m', 'SELECT a, b FROM data WHERE a < 3 ORDER BY 1')",
	"SELECT * FROM my_result('m')",
	"SELECT * FROM my_result('m')",
	"SELECT dblink_open('m', 'cur', 'SELECT a, b FROM data ORDER BY 1')",
	"SELECT * FROM my_fetch('m', 'cur', 2)",
	"SELECT * FROM dblink_fetch('m', 'cur', 1) AS t(a int, b text)",
	"SELECT dblink_close('m', 'cur')",
	"SELECT dblink_get_connections()",
	"SELECT dblink_disconnect('m')",
	"SELECT dblink_disconnect('m')",
	"SELECT * FROM dblink_get_pkey('keyed')",
	"SELECT dblink_build_sql_insert('keyed', '2 1', 2::int, ARRAY['x', '1'], ARRAY['y', '2'])",
	"SELECT dblink_current_query()",
	"CREATE SERVER broken FOREIGN DATA WRAPPER dblink_fdw OPTIONS (nonsense 'x')",
	"SELECT p.proname, p.probin, p.prosrc FROM pg_proc p WHERE probin LIKE '%dblink%'"
	  . " AND proname <> 'our_wrapper' ORDER BY p.oid::regprocedure::text COLLATE \"C\"");

# Rows and messages of all calls, in a session of its own on a server.
sub results
{
	my ($node, %opt) = @_;
	my $session = session($node, %opt);
	my @all;
	foreach my $call (@calls)
	{
		my $r = $session->run($call);
		my $messages = join "\n", map {
			my $m = $_;
			join ' | ', map { "$_: $m->{$_}" } grep { defined $m->{$_} } qw(severity state message detail hint context)
		} @{ $r->{messages} };
		push @all, "$call\n$r->{out}\n$messages";
	}
	$session->quit;
	return \@all;
}

# Stops the server, exchanges the library, starts it again.
sub swap_to
{
	my $which = shift;
	unwatch($local);
	$local->stop;
	install($which);
	$local->start;
	return;
}

my $before = results($local);
like($before->[0], qr/^1\|row 1\|0\.33/m, 'stock gives rows');
$s->quit;
swap_to('ours');
is_deeply(results($local), $before, 'our library gives the same');

# made with ours
$s = session($local);
no_error($s, "CREATE FUNCTION our_wrapper(text, text) RETURNS SETOF data_row AS '\$libdir/dblink',"
	  . " 'dblink_record' LANGUAGE C STRICT; CREATE VIEW ours AS SELECT * FROM our_wrapper('swap_server', 'SELECT a, b FROM data');"
	  . "CREATE DATABASE made_with_ours", 'objects made with our library');
my $in_ours = session($local, db => 'made_with_ours');
no_error($in_ours, "CREATE EXTENSION dblink; CREATE VIEW v AS SELECT * FROM dblink($to_remote, 'SELECT count(*) FROM data') AS t(n int)",
	'the extension created with our library');
$_->quit foreach $s, $in_ours;

swap_to('stock');
push @calls, 'SELECT count(*) FROM ours';
my $back = results($local);
like(pop @$back, qr/^50$/m, 'stock runs what was made with ours');
is_deeply($back, $before, 'and gives the same as before');
$in_ours = session($local, db => 'made_with_ours');
rows_are($in_ours, 'SELECT n FROM v', '50', 'as in the database that was made with ours');
$in_ours->quit;

# What pg_dump writes of a database, as text, without the key of its run.
sub dump_of
{
	my ($node, $db) = @_;
	my ($out, $err) = run_command([ 'pg_dump', '-h', $node->host, '-p', $node->port, $db ]);
	$out =~ s/^\\(un)?restrict .*\n//mg;
	diag($err) if $err ne '';
	return $out;
}

# From stock to ours as text, and from there to stock in the archive format.
pop @calls;
my $ours = make_server('ours', tree => ours_prefix(), conf => [ "timezone = 'UTC'" ]);
foreach my $node ($ours, $remote)
{
	my $session = session($node);
	no_error($session, 'CREATE DATABASE restored', 'a database to restore into');
	$session->quit;
}
my $dir_of_dumps = PostgreSQL::Test::Utils::tempdir();
my @to_ours = ('-h', $ours->host, '-p', $ours->port);
my @to_stock = ('-h', $remote->host, '-p', $remote->port);
command_ok([ 'pg_dump', '-h', $local->host, '-p', $local->port, '-f', "$dir_of_dumps/stock.sql", 'postgres' ],
	'dumped with stock');
command_ok([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', @to_ours, '-f', "$dir_of_dumps/stock.sql", 'restored' ],
	'restored with ours');
is_deeply(results($ours, db => 'restored'), $before, 'and gives the same as where it came from');
is(dump_of($ours, 'restored'), dump_of($local, 'postgres'), 'a dump of it is the same');
command_ok([ 'pg_dump', '-Fc', @to_ours, '-f', "$dir_of_dumps/ours.dump", 'restored' ], 'dumped with ours');
command_ok([ 'pg_restore', '--exit-on-error', @to_stock, '-d', 'restored', "$dir_of_dumps/ours.dump" ],
	'restored with stock');
is_deeply(results($remote, db => 'restored'), $before, 'and gives the same');
is(dump_of($remote, 'restored'), dump_of($local, 'postgres'), 'a dump of it is the same');

# on a running server: a new session gets the new library, the old keeps its own
my $old = session($local);
rows_are($old, 'SELECT count(*) FROM by_string', '50', 'a session with stock loaded');
install('ours');
rows_are($old, 'SELECT count(*) FROM by_string', '50', 'goes on after the exchange');
my $new = session($local);
rows_are($new, 'SELECT count(*) FROM by_string', '50', 'and a new session works too');
$_->quit foreach $old, $new, $admin;
done_testing();
