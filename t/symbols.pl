# What the library exports, and what it is linked with: its entry points and nothing
# else, all of its sources, no bitcode, the system's libpq.
# streaming: any

use strict;
use warnings;
use Cwd qw(getcwd);
use Test::More;
use PostgreSQL::Test::Utils;

# One of the directories of the installation on PATH.
sub directory
{
	my $what = shift;
	my $dir = `pg_config --$what`;
	chomp $dir;
	return $dir;
}

my $library = directory('pkglibdir') . '/dblink.so';
my $listed = `nm -D --defined-only '$library'`;
plan skip_all => 'needs nm: the package binutils' if $? != 0 && -e $library;

# The entry points that the SQL scripts name, each with its pg_finfo_ twin, the magic
# and _PG_init, which the server calls, should be exported, and nothing else:
# before PostgreSQL 16 nothing is hidden by default, and a symbol of ours could
# bind to another library's.
my %wanted = (Pg_magic_func => 1, _PG_init => 1);
foreach my $script (glob 'dblink*--*.sql')
{
	$wanted{$_} = $wanted{"pg_finfo_$_"} = 1 foreach slurp_file($script) =~ /'MODULE_PATHNAME' *, *'(\w+)'/g;
}
my @there = sort map { (split)[2] } split /\n/, $listed;
is(join("\n", @there), join("\n", sort keys %wanted), scalar(@there) . ' symbols are exported, the entry points');

# A build in another directory, as a package's is, should have all of the sources: a
# library links without what is missing.
my $here = getcwd();
my $make = 'make -n -C \'' . PostgreSQL::Test::Utils::tempdir() . "' -f '$here/Makefile' VPATH='$here' 2>&1";
my $said = `$make`;
my ($objects) = $said =~ /-o dblink\.so (.*)/;
my %linked = map { $_ => 1 } split ' ', $objects // '';
my @missing = grep { !$linked{s/c$/o/r} } 'dblink.c', glob 'src/*.c';
is("@missing", '', 'a build in another directory links all of the sources') or diag $said;

# JIT compilation would take code from it, without what that calls.
my @bitcode = glob directory('pkglibdir') . '/bitcode/dblink*';
is("@bitcode", '', 'no bitcode is installed');

my ($libpq) = `ldd '$library'` =~ /^\s*libpq\.so\S* => (\S+)/m;
my $libdir = directory('libdir');
like($libpq, qr{^(?:/usr)?/lib(?:64)?/|^\Q$libdir\E/}, "libpq is the system's");

done_testing();
