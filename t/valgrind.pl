# The regression tests with every process of the server under Valgrind.  Reported
# are invalid accesses, uses of values that were never set, and memory definitely
# lost, in whose stack there is a frame of our library: the server itself is built
# without support for Valgrind, and has noise of its own.  That a hook of ours has
# called the server says nothing: it is in every stack.
#
# A test whose output differs is not a failure here, because time runs slower and
# some of them have bounds; but a process that crashes is.
#
# streaming: any
# Runs if PG_TEST_EXTRA has "valgrind".  DBLINK_SUBJECTS names the files of sql/,
# else it is all of them.

use strict;
use warnings;
use File::Basename qw(basename);
use IPC::Run ();
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;

plan skip_all => 'needs PG_TEST_EXTRA=valgrind' unless extra('valgrind');
alarm 2 * alarm 0;	# it may take longer than others
plan skip_all => 'needs the package valgrind' if system('valgrind --version >/dev/null 2>&1') != 0;

my @subjects = split ' ', $ENV{DBLINK_SUBJECTS} || join ' ', map { basename($_, '.sql') } sort glob 'sql/*.sql';
my $hooks = join '|', map { "\\b$_ \\(" } qw(executor_start executor_run process_utility);
my $files = join '|', map { basename($_, '.c') } 'dblink.c', glob 'src/*.c';
my $dir = PostgreSQL::Test::Utils::tempdir();
mkdir "$dir/reports";
my $node = make_server('server', start => 0,
	conf => [ 'shared_buffers = 16MB', 'max_connections = 50', 'jit = off', "session_preload_libraries = 'dblink'" ]);
my @at = (PGHOST => $node->host, PGPORT => $node->port);

# ---- the run -------------------------------------------------------------------

my $server;
{
	local %ENV = (%ENV, @at);
	delete $ENV{PGDATABASE};
	$server = IPC::Run::start([
		qw(valgrind --quiet --trace-children=yes --leak-check=full --show-leak-kinds=definite
		  --undef-value-errors=yes --num-callers=25 --error-limit=no), "--log-file=$dir/reports/%p",
		'postgres', '-D', $node->data_dir ], '<', \undef, '>&', "$dir/server.log");
}

# Its executable is Valgrind's, and nobody else stops it.
sub stop_it
{
	return unless $server;
	system 'pg_ctl', 'stop', '-s', '-w', '-t', 120, '-m', 'fast', '-D', $node->data_dir;
	$server->finish;
	undef $server;
	return;
}
END { local $?; stop_it() }

ok(poll_until(sub { system('pg_isready', '-q', '-h', $node->host, '-p', $node->port) == 0 }), 'the server starts');
my $output = '';
IPC::Run::run([ $ENV{PG_REGRESS}, '--inputdir=.', "--outputdir=$dir", '--bindir=', '--dbname=contrib_regression',
	'--host=' . $node->host, '--port=' . $node->port, @subjects ], '<', \undef, '>&', \$output);
my $ended = () = $output =~ /^(?:(?:not )?ok +\d+ +[-+] \S+|test \S+ +\.\.\. )/mg;
is($ended, scalar @subjects, 'every file of sql/ ran to its end') or diag $output;
stop_it();

# ---- what Valgrind says ----------------------------------------------------------

my @logs = glob "$dir/reports/*";
my @reports;
foreach my $log (@logs)
{
	my $text = slurp_file($log) =~ s/^==\d+== ?//mgr;
	foreach my $report (split /\n\n+/, $text)
	{
		# the padding in WAL records, which the server's own suppressions leave out, too
		next if $report =~ /^Syscall param pwrite64\(buf\)/m && $report =~ /\bXLog\w+ \(/;
		my @ours = grep { /\(in .*dblink\.so\)|\((?:$files)\.c:\d+\)/ } split /\n/, $report;
		push @reports, $report if grep { !/$hooks/ } @ours;
	}
}
is(scalar @reports, 0, 'no report has a frame of ours') or diag join "\n\n", @reports;
my @crashes = slurp_file("$dir/server.log") =~ /.*terminated by signal.*/g;
is(scalar @crashes, 0, 'no process crashed') or diag join "\n", @crashes;
diag 'SUMMARY valgrind: ' . @logs . ' processes, ' . @reports . ' reports';
done_testing();
