# A server that has stock's dblink installed, and ours in a directory of its
# own.  From PostgreSQL 18 on dynamic_library_path chooses between them, for a
# database, a role or all; before, it makes no difference.
# streaming: any

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;

needs_stock();

my $ours = `pg_config --pkglibdir`;
chomp $ours;
my $server = make_server('server', tree => stock_prefix());
my $chooses = $server->pg_version->major >= 18;
my $admin = session($server);
no_error($admin, "CREATE DATABASE $_", "should work: database $_") foreach qw(with_stock with_ours);
$admin->run('CREATE ROLE chosen LOGIN SUPERUSER; CREATE ROLE plain LOGIN');

# Which library a new session has: ours has a setting that stock lacks.
sub library_of
{
	my ($database, %opt) = @_;
	my $s = session($server, db => $database, %opt);
	$s->run('SELECT dblink_get_connections()');
	my $r = $s->run('SHOW dblink.version');
	$s->quit;
	return 'ours' if !$r->{errors} && $r->{out} ne '';
	return $r->{err} =~ /unrecognized configuration parameter/ ? 'stock' : $r->{err};
}

# should be stock's, created by stock and used by it
foreach my $database (qw(with_stock with_ours))
{
	my $s = session($server, db => $database);
	no_error($s, 'CREATE EXTENSION dblink', "$database: the extension");
	$s->quit;
	is(library_of($database), 'stock', "$database: has stock's library");
}

# should be ours in one database only
my $path = lit("$ours:\$libdir");
no_error($admin, "ALTER DATABASE with_ours SET dynamic_library_path = $path", 'a database chooses');
is(library_of('with_ours'), $chooses ? 'ours' : 'stock', 'and has ours, if the major can');
is(library_of('with_stock'), 'stock', 'the other has stock\'s');

# should work as ever, with the objects that stock made
my $s = session($server, db => 'with_ours');
my $loop = lit('host=' . $server->host . ' port=' . $server->port . ' dbname=with_stock');
rows_are($s, "SELECT dblink_connect('c', $loop); SELECT x FROM dblink('c', 'SELECT current_database()') AS t(x text);"
	  . "SELECT dblink_disconnect('c')", "OK\nwith_stock\nOK", 'its functions work');
if ($chooses)
{
	# should be told: name and version of the library
	my $version = $s->run('SHOW dblink.version')->{out};
	rows_are($s, 'SELECT module_name, version FROM pg_get_loaded_modules() WHERE module_name = \'dblink\'',
		"dblink|$version", 'pg_get_loaded_modules() says which it is');
}
$s->quit;

# should be ours for one role
no_error($admin, "ALTER ROLE chosen SET dynamic_library_path = $path", 'a role chooses');
is(library_of('with_stock', user => 'chosen'), $chooses ? 'ours' : 'stock', 'and has ours, if the major can');
is(library_of('with_stock', user => 'plain'), 'stock', 'another has stock\'s');

# should fail: it is not for everybody to choose
$s = session($server, db => 'with_stock', user => 'plain');
fails_with($s, "SET dynamic_library_path = $path", { state => '42501' }, 'a plain role cannot choose');
$s->quit;

# should be stock's again
no_error($admin, 'ALTER DATABASE with_ours RESET dynamic_library_path', 'the database goes back');
is(library_of('with_ours'), 'stock', 'and has stock\'s');
$admin->quit;
done_testing();
