# Parity: the same SQL on two servers, one with the dblink that comes with
# PostgreSQL ("stock") and one with ours; rows, SQLSTATE, message, detail, hint,
# context and notices are compared.  The corpus is parity/*.sql; parity/README
# says how it is written.
#
# A difference is a failure unless parity/differences lists the statement with a
# reason.  Then what ours answers should be, to the letter, what
# parity/differences.out has; and a listed statement that does not differ is a
# failure, too.
#
# DBLINK_PARITY has the arguments of script/parity.

use strict;
use warnings;
use lib 'parity';
use Config;
use Getopt::Long qw(GetOptionsFromString);
use IPC::Run ();
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;
use Parity;

needs_stock();
plan skip_all => 'needs PostgreSQL 15 or newer with 64 bits, of which parity/ was recorded' if $Config{ptrsize} < 8;
my %flag = (set => {});
my (undef, $files) = GetOptionsFromString($ENV{DBLINK_PARITY} || '', \%flag, qw(verbose accept self set=s%))
  or BAIL_OUT('DBLINK_PARITY');
my @files = @$files ? @$files : glob 'parity/*.sql';
my $user = 'parity_super';
my $dir = PostgreSQL::Test::Utils::tempdir();
($flag{major}) = `pg_config --version` =~ /(\d+)/;

# A server with the roles and databases of parity/setup.  Its superuser has a fixed
# name, and so have the defaults of the libpq inside it, so that both sides say the
# same.
sub side
{
	my ($name, $tree, @conf) = @_;
	my $node = make_server($name, tree => $tree, start => 0,
		initdb => [ '--encoding=UTF8', '--locale=C', "--username=$user", '--auth-host=scram-sha-256' ],
		conf => [ "timezone = 'UTC'", 'max_connections = 50', @conf ],
		hba => [ 'local parity_scram all scram-sha-256', 'local parity_md5 all md5', 'local parity_password all password',
			'local parity_reject all reject', 'host parity_reject all 127.0.0.1/32 reject', 'host parity_trust all 127.0.0.1/32 trust' ]);
	my %side = (node => $node, host => $node->host, port => $node->port, tree => $tree, name => $name);
	$side{env} = { %ENV, PGHOST => $node->host, PGPORT => $node->port, PGUSER => $user };
	delete $side{env}{PGDATABASE};
	local %ENV = %{ $side{env} };
	$node->start;
	command_ok([ qw(psql -Xq -v ON_ERROR_STOP=1 -d postgres -f parity/setup) ], "$name is set up");
	return \%side;
}

# Starts one corpus file, in a database of its own and one psql session; and waits
# at its end until the session's own connections are gone.
sub begin
{
	my ($side, $script) = @_;
	$side->{file} = "$script.$side->{name}";
	local %ENV = (%{ $side->{env} }, PGCLIENTENCODING => 'UTF8', PGDATABASE => 'postgres', OUT => $side->{file}, SCRIPT => $script);
	return IPC::Run::start([ 'sh', '-c', <<'END' ], '<', \undef);
psql -Xq -v ON_ERROR_STOP=1 <parity/fresh >"$OUT" 2>&1 || exit
timeout 240 psql -XqA -d parity <"$SCRIPT" >"$OUT" 2>&1
psql -XqAt <parity/leftover >>"$OUT" 2>&1
END
}

# Whether this stock refuses to use a connection while its rows are being converted.
# Minor releases of some age do not, and may crash at it.
sub refuses_reentry
{
	my $side = shift;
	my $s = session($side->{node}, user => $user);
	$s->run('BEGIN; CREATE EXTENSION dblink; CREATE DOMAIN asks AS text CHECK (dblink_is_busy(\'c\') >= 0)');
	$s->run("SELECT dblink_connect('c', 'dbname=postgres')");
	my $r = $s->run("SELECT * FROM dblink('c', 'SELECT 1') AS t(a asks)");
	$s->quit;
	return $r->{err} =~ /\b55006\b/;
}

my @conf = map { "$_ = '$flag{set}{$_}'" } sort keys %{ $flag{set} };
push @conf, "dblink.streaming = $ENV{DBLINK_STREAMING}", "session_preload_libraries = 'dblink'"
  if $ENV{DBLINK_STREAMING} && !$flag{self};
my $stock = side('stock', stock_prefix());
my $ours = side('ours', $flag{self} ? stock_prefix() : ours_prefix(), @conf);

my $all = !@$files;
if (!refuses_reentry($stock))
{
	diag 'reentrant.sql is left out: this stock lets a connection in use be used';
	@files = grep { !/reentrant/ } @files;
	$all = 0;
}
foreach my $file (@files)
{
	my ($name) = $file =~ m{(\w+)\.sql$};
	append_to_file("$dir/$name", prepare($file));
	my @running = map { begin($_, "$dir/$name") } $stock, $ours;
	$_->finish foreach @running;
	my ($shown, $unexpected) = compare(\%flag, $file, $stock, $ours);
	is($unexpected, 0, "parity/$name.sql");
	diag $shown if $shown ne '';
}
is(join(' ', $all && !$flag{self} ? unlisted() : ()), '', 'every listed difference is in the corpus');
diag 'SUMMARY parity: ' . totals();
done_testing();
