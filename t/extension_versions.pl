# The extension's upgrade path 1.0 to 1.1 to 1.2: what an old database becomes
# is what a new one is created with.  And dblink.version, which tells one library
# from another.
# streaming: any

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;

# A copy of the tree under test, into which a script for version 1.0 is put.
my $dir = PostgreSQL::Test::Utils::tempdir();
my $prefix = copy_tree(ours_prefix(), "$dir/tree");
my $share = `$prefix/bin/pg_config --sharedir`;
chomp $share;
my $ext = "$share/extension";

# Version 1.0 is 1.2 without its parallel markings, without the validator and
# the wrapper.
my $script = slurp_file("$ext/dblink--1.2.sql");
$script =~ s/\s+PARALLEL\s+(?:RESTRICTED|SAFE|UNSAFE)//gi;
my $cut = 0;
$cut += $script =~ s/CREATE\s+FUNCTION\s+dblink_fdw_validator\b.*?;//is;
$cut += $script =~ s/CREATE\s+FOREIGN\s+DATA\s+WRAPPER\s+dblink_fdw\b.*?;//is;
is($cut, 2, 'a script for 1.0 could be made');
append_to_file("$ext/dblink--1.0.sql", $script);

my $local = make_server('local', tree => $prefix);

# All that the catalogs say about the extension's objects, without OIDs.
my $catalog = q{
	SELECT format('%s %s', p.oid::regprocedure, to_jsonb(p)
			- 'oid' - 'proowner' - 'proacl' - 'prorettype' - 'proargtypes' - 'proallargtypes' - 'pronamespace' - 'prolang'),
		p.prorettype::regtype, p.pronamespace::regnamespace,
		(SELECT lanname FROM pg_language l WHERE l.oid = p.prolang),
		(SELECT string_agg(format('%s %s', a.grantee = 0, a.privilege_type), ',' ORDER BY 1)
			FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a),
		d.deptype
	FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
		AND d.refclassid = 'pg_extension'::regclass
	ORDER BY 1;
	SELECT f.fdwname, f.fdwhandler, f.fdwvalidator::regproc, f.fdwoptions
	FROM pg_foreign_data_wrapper f ORDER BY 1;
	SELECT attname, atttypid::regtype, attnum FROM pg_attribute
	WHERE attrelid = 'dblink_pkey_results'::regclass ORDER BY attnum;
	SELECT pg_describe_object(classid, objid, 0) FROM pg_depend
	WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
		AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'dblink') ORDER BY 1;
	SELECT extname, extversion, extrelocatable FROM pg_extension ORDER BY 1};

my $admin = session($local);
$admin->run('CREATE DATABASE fresh; CREATE DATABASE old; CREATE DATABASE two_steps');

my $fresh = session($local, db => 'fresh');
no_error($fresh, 'CREATE EXTENSION dblink', 'created as 1.2');
rows_are($fresh, q{SELECT extversion FROM pg_extension WHERE extname = 'dblink'}, '1.2',
	'which is the default version');
my $wanted = $fresh->run($catalog)->{out};

my $old = session($local, db => 'old');
no_error($old, q{CREATE EXTENSION dblink VERSION '1.0'}, 'created as 1.0');
rows_are($old, q{SELECT count(*), count(*) FILTER (WHERE proparallel <> 'u') FROM pg_proc WHERE proname LIKE 'dblink%'},
	'40|0', 'the old functions');
rows_are($old, q{SELECT count(*) FROM pg_foreign_data_wrapper}, '0', 'and no wrapper');

# a user's view of 1.0 lives on
$old->run('CREATE VIEW users_view AS SELECT * FROM dblink('
	  . lit(conninfo($local)) . ", 'SELECT 5') AS t(x int)");
rows_are($old, 'SELECT * FROM users_view', '5', 'a view on 1.0');

no_error($old, 'ALTER EXTENSION dblink UPDATE', 'upgraded to the default version');
is($old->run($catalog)->{out}, $wanted, 'the catalog is that of a new 1.2');
rows_are($old, 'SELECT * FROM users_view', '5', 'the view works');

my $two = session($local, db => 'two_steps');
no_error($two, q{CREATE EXTENSION dblink VERSION '1.0'; ALTER EXTENSION dblink UPDATE TO '1.1'}, 'upgraded to 1.1');
rows_are($two, q{SELECT fdwname, fdwvalidator::regproc, fdwhandler FROM pg_foreign_data_wrapper},
	'dblink_fdw|dblink_fdw_validator|0', 'which has the wrapper');
no_error($two, q{ALTER EXTENSION dblink UPDATE TO '1.2'}, 'and to 1.2');
is($two->run($catalog)->{out}, $wanted, 'the catalog is that of a new 1.2');

# Stock's new 1.2 has the same catalog.
SKIP:
{
	skip 'no untouched tree', 1 unless stock_prefix();
	my $stock = make_server('stock', tree => stock_prefix());
	my $s = session($stock);
	$s->run('CREATE EXTENSION dblink');
	is($s->run($catalog)->{out}, $wanted, 'stock\'s catalog is the same');
	$s->quit;
}

# should work: dropped, made in another schema, moved
no_error($old, 'DROP EXTENSION dblink CASCADE; CREATE SCHEMA elsewhere; CREATE EXTENSION dblink SCHEMA elsewhere;'
	  . 'ALTER EXTENSION dblink SET SCHEMA public; DROP EXTENSION dblink',
	'dropped, and created in another schema');
$_->quit foreach $admin, $fresh, $old, $two;

# The release is the same wherever it is written down.
my ($release) = slurp_file('META.json') =~ /^   "version": "([^"]+)"/m;
like($release, qr/^1\.2\.\d+$/, 'the release belongs to the extension\'s version');
my $s = session($local, env => { PGOPTIONS => '-c session_preload_libraries=' });
rows_are($s, q{SELECT current_setting('dblink.version', true) IS NULL}, 't', 'not known before the library is loaded');
rows_are($s, q{LOAD 'dblink'; SHOW dblink.version}, $release, 'and then what META.json says');
$s->quit;
like(slurp_file('CHANGELOG.md'), qr/\A# Changes\n\n## \Q$release\E\n/, 'as does the CHANGELOG');
like(slurp_file('debian/changelog'), qr/\A\S+ \(\Q$release\E-/, 'and the package');

# A placeholder of that name is not taken over.
$s = session($local, env => { PGOPTIONS => '-c session_preload_libraries= -c dblink.version=0' });
my $r = $s->run(q{LOAD 'dblink'});
is($r->{messages}[0]{message}, 'parameter "dblink.version" cannot be changed', 'a warning about a value set before');
rows_are($s, 'SHOW dblink.version', $release, 'which is not taken');
$s->quit;
done_testing();
