# Session.pm - one contestant's session: a process that takes turns, and what a
# turn costs.
#
# The process is psql on a local server, or reader (see reader.c), which reads
# from the remote server itself. It lives for all turns of one item and answers
# each on its standard output, with a line of its own at the end.
#
# A turn costs wall time, as its client sees it, and processor time: that of the
# local backend, or of reader, from /proc/PID/schedstat. The kernel counts there
# the nanoseconds that the process ran, so that time in which other programs had
# the processor is not in it. Neither is the work of the remote server.

package Session;

use strict;
use warnings;

use IPC::Open2;
use Time::HiRes qw(time sleep);

# The line that ends an answer.
my $END = '-- end of answer --';

# No statement takes longer than this many seconds.
my $BOUND = 900;

# Start psql on a local server, or reader with these arguments.
sub new_psql
{
	my ($class, $psql, $conninfo) = @_;
	my $self = $class->start($psql, qw(-X -A -t -v ON_ERROR_STOP=1 -d), $conninfo);

	$self->{sql} = 1;
	$self->{pid} = $self->run('SELECT pg_backend_pid()');
	return $self;
}

sub new_reader
{
	my ($class, $reader, @args) = @_;
	my $self = $class->start($reader, @args);

	$self->{pid} = $self->{child};
	return $self;
}

# Start a process with pipes to and from it.
sub start
{
	my ($class, @command) = @_;
	my $self = bless {}, $class;

	$self->{child} = open2($self->{out}, $self->{in}, @command);
	return $self;
}

# Run SQL, or one turn of reader. Returns the last line of the answer.
sub run
{
	my ($self, $sql) = @_;
	my ($answer, $last) = ('');

	local $SIG{ALRM} = sub { die "bench: no answer within $BOUND seconds\n" };
	alarm $BOUND;
	print { $self->{in} } $self->{sql} ? "$sql;\n\\echo '$END'\n" : "$END\n";
	$self->{in}->flush;
	while (defined($last = readline $self->{out}))
	{
		chomp $last;
		last if $last eq $END;
		$answer = $last;
	}
	alarm 0;
	die 'bench: failed: ' . ($sql // 'reader') . "\n" if !defined $last;
	return $answer;
}

# Take a turn: the statement is measured, "before" and "after" are not.
sub turn
{
	my ($self, $work) = @_;
	my ($cpu, $start, %got);

	$self->run($_) for @{ $work->{before} // [] };
	$cpu = $self->cpu;
	$start = time;
	$got{answer} = $self->run($work->{statement});
	$got{wall} = time - $start;
	$got{cpu} = $self->cpu - $cpu;
	$got{$_} *= $work->{scale} // 1 for qw(wall cpu);
	$self->run($_) for @{ $work->{after} // [] };
	return \%got;
}

# Seconds of processor time so far. The kernel brings the number up to date when
# the process goes to sleep, so we wait until it has.
sub cpu
{
	my ($self) = @_;

	sleep 0.0005 while $self->proc('stat', qr/^.*\) (\S)/) ne 'S';
	return $self->proc('schedstat', qr/^(\d+)/) / 1e9 + $self->commands_cpu;
}

# The same of commands that psql has run, in the kernel's coarser measure.
sub commands_cpu
{
	my ($self) = @_;

	open my $file, '<', "/proc/$self->{child}/stat" or return 0;
	my @fields = split / /, <$file> =~ s/^.*\) //r;
	return ($fields[13] + $fields[14]) / 100;
}

# Peak of resident memory since the process began, without the server's shared
# memory, in MB.
sub peak
{
	my ($self) = @_;

	return ($self->proc('status', qr/^VmHWM:\s*(\d+)/m) -
		  $self->proc('status', qr/^RssShmem:\s*(\d+)/m)) / 1024;
}

# Bytes that this database has written to temporary files. A session's own
# counts become visible when it is idle after it was asked to publish them.
sub temp_bytes
{
	my ($self) = @_;

	return undef if !$self->{sql};
	$self->run('SELECT pg_stat_force_next_flush()');
	return $self->run(
		'SELECT temp_bytes FROM pg_stat_database WHERE datname = current_database()');
}

# A part of a file of /proc about the process.
sub proc
{
	my ($self, $name, $regex) = @_;

	open my $file, '<', "/proc/$self->{pid}/$name"
	  or die "bench: /proc/$self->{pid}/$name: $!\n";
	local $/;
	return <$file> =~ $regex ? $1 : die "bench: /proc/$self->{pid}/$name is not understood\n";
}

# End the process.
sub close
{
	my ($self) = @_;

	close $self->{in};
	close $self->{out};
	waitpid $self->{child}, 0;
}

1;
