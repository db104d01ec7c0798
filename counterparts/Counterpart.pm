# Counterpart - what the counterparts share, beside t/DblinkTest.pm: programs
# that run for the time of a test, clients that tell their own checks, and
# servers of other majors.

package Counterpart;

use strict;
use warnings;

use Exporter 'import';
use File::Basename qw(basename);
use IO::Socket::INET;
use Test::More;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use DblinkTest;

our @EXPORT = qw(work_dir write_file run_program start_program stop_program
  client_checks port_open others certificates needs);

my %programs;

# Where npm has put its packages.
$ENV{DBLINK_NPM} ||= "npm";

# A directory for what a test writes, among the logs.
sub work_dir
{
	my $dir = "$PostgreSQL::Test::Utils::log_path/" . basename($0, '.pl');
	mkdir $dir;
	return $dir;
}

# Skips the file where one of these commands, or files, is not there. Its first lines
# name the packages that have them.
sub needs
{
	foreach my $what (@_)
	{
		plan skip_all => "needs $what" unless grep { -e } $what, map { "$_/$what" } split /:/, $ENV{PATH};
	}
	return;
}

# Writes a file there, and gives its path.
sub write_file
{
	my ($name, $text) = @_;
	my $path = work_dir() . "/$name";
	open my $fh, '>', $path or die "could not write $path: $!";
	print $fh $text;
	close $fh;
	return $path;
}

# Runs a program to its end, with its output in a log; ends the test if it fails.
sub run_program
{
	my @cmd = @_;
	my $log = work_dir() . '/programs.log';
	system('bash', '-c', 'exec >>"$0" 2>&1; exec "$@"', $log, @cmd) == 0
	  or die "@cmd failed: " . slurp_file($log);
	return;
}

# Starts a program that stays, with its output in NAME.log of the work
# directory, and waits until something listens on the port.
sub start_program
{
	my ($name, $port, @cmd) = @_;
	my $pid = fork();
	die "could not fork: $!" unless defined $pid;
	if ($pid == 0)
	{
		my $log = work_dir() . "/$name.log";
		open STDOUT, '>>', $log or die $!;
		open STDERR, '>&', \*STDOUT or die $!;
		open STDIN, '<', '/dev/null' or die $!;
		exec { $cmd[0] } @cmd or POSIX::_exit(127);
	}
	$programs{$pid} = $name;
	poll_until(sub { port_open($port) })
	  or die "$name does not listen: " . slurp_file(work_dir() . "/$name.log");
	return $pid;
}

# Ends such a program.
sub stop_program
{
	my $pid = shift;
	kill 'TERM', $pid;
	poll_until(sub { waitpid($pid, 1) != 0 }, 10) or kill 'KILL', $pid;
	delete $programs{$pid};
	return;
}

# Does something listen there?
sub port_open
{
	my $port = shift;
	return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) ? 1 : 0;
}

# Runs a client that prints a line "ok - what" or "not ok - what" for each of
# its checks, and makes them ours.
sub client_checks
{
	my ($wanted, @cmd) = @_;
	my $log = work_dir() . '/client.log';
	my $status = system('timeout', 800, 'bash', '-c', 'exec >"$0" 2>&1; exec "$@"', $log, @cmd);
	my $text = slurp_file($log);
	my $count = 0;
	while ($text =~ /^((?:not )?ok) - (.*)$/mg)
	{
		ok($1 eq 'ok', $2);
		$count++;
	}
	ok($status == 0 && $count == $wanted, "$wanted checks, and the client ended well")
	  or diag "status $status, $count checks\n$text";
	diag $text if $text =~ /^not ok/m;
	return;
}

# Servers of the other majors that are installed on this machine: a list of hashes with
# major and node. "remote" is the major as distributed, from 13 on; "local" has our
# dblink, from 15 on, where its headers are installed, too.
sub others
{
	my $which = shift;
	my ($here) = `postgres -V` =~ /(\d+)/;
	my @all;
	foreach my $prefix (map { s{/bin/initdb$}{}r } glob '/usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb')
	{
		my ($major) = `$prefix/bin/postgres -V` =~ /(\d+)/;
		next if $major == $here || $major < ($which eq 'remote' ? 13 : 15);
		if ($which eq 'local')
		{
			my $includes = `$prefix/bin/pg_config --includedir-server`;
			chomp $includes;
			next unless -e "$includes/postgres.h";
			$prefix = with_ours($prefix, $major);
		}
		push @all, { major => $major, node => make_server("${which}_$major", tree => $prefix) };
	}
	return @all;
}

# A copy of an installation with our dblink in it.  (The copy takes its headers from
# where they are installed.)
sub with_ours
{
	my ($prefix, $major) = @_;
	my $copy = copy_tree($prefix, work_dir() . "/tree-$major");
	my $source = work_dir() . "/source-$major";
	run_program('sh', '-c', 'mkdir "$1" && cp -r Makefile *.[ch] *.sql *.control src t "$1" && rm -f "$1"/*.o "$1"/src/*.o', 'sh', $source);
	run_program('make', '-s', '-C', $source, "PG_CONFIG=$prefix/bin/pg_config", 'COPT=-Werror');
	my @to = map { my $dir = `$copy/bin/pg_config --$_`; chomp $dir; $dir } qw(pkglibdir sharedir);
	run_program('sh', '-c', 'cp "$1"/dblink.so "$2" && cp "$1"/*.sql "$1"/*.control "$3/extension"', 'sh', $source, @to);
	return $copy;
}

# An authority of its own, certificates for "server" (localhost) and "client"
# (the role certified) that it signed, one of each that it revoked, and an
# authority that nobody trusts. Files are in the work directory.
sub certificates
{
	my $dir = work_dir();
	my @sign = ('-CA', "$dir/ca.crt", '-CAkey', "$dir/ca.key", '-CAcreateserial', '-days', '30');
	write_file('ca.cnf', <<"END");
[ca]
default_ca = own
[own]
database = $dir/index.txt
crlnumber = $dir/crlnumber
default_md = sha256
default_crl_days = 30
certificate = $dir/ca.crt
private_key = $dir/ca.key
END
	write_file('index.txt', '');
	write_file('crlnumber', "01\n");
	foreach my $ca (qw(ca stranger))
	{
		run_program('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '30',
			'-subj', "/CN=counterparts $ca", '-keyout', "$dir/$ca.key", '-out', "$dir/$ca.crt");
	}
	foreach my $who ([ 'server', 'localhost' ], [ 'revoked_server', 'localhost' ],
		[ 'client', 'certified' ], [ 'revoked_client', 'certified' ])
	{
		my ($file, $cn) = @$who;
		my $ext = write_file("$file.ext", $cn eq 'localhost' ? "subjectAltName=DNS:localhost\n" : "keyUsage=digitalSignature\n");
		run_program('openssl', 'req', '-newkey', 'rsa:2048', '-nodes', '-subj', "/CN=$cn",
			'-keyout', "$dir/$file.key", '-out', "$dir/$file.csr");
		run_program('openssl', 'x509', '-req', '-in', "$dir/$file.csr", @sign,
			'-extfile', $ext, '-out', "$dir/$file.crt");
		run_program('openssl', 'ca', '-config', "$dir/ca.cnf", '-revoke', "$dir/$file.crt")
		  if $file =~ /^revoked/;
	}
	run_program('openssl', 'ca', '-config', "$dir/ca.cnf", '-gencrl', '-out', "$dir/crl.pem");
	chmod 0600, glob "$dir/*.key";
	return $dir;
}

END
{
	my $status = $?;
	stop_program($_) foreach keys %programs;
	$? = $status;
}

# ---------------------------------------------------------------------
# A server that something else has started, on 127.0.0.1.
package Counterpart::Node;

use strict;
use warnings;

sub new
{
	my ($class, $name, $port) = @_;
	return bless { name => $name, port => $port }, $class;
}

sub name { return $_[0]->{name} }
sub host { return '127.0.0.1' }
sub port { return $_[0]->{port} }

1;
