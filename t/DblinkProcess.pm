# DblinkProcess - a process that stands on a port of 127.0.0.1 and takes a test's orders.
#
# What DblinkFake and DblinkProxy have in common: each is one process for a
# whole test file, which serves a listening socket and takes orders, a line each, through
# another one, so that an order costs no fork.  It ends with the test.

package DblinkProcess;

use strict;
use warnings;
use IO::Socket::INET;
use POSIX ();
use Socket qw(AF_UNIX PF_UNSPEC SOCK_STREAM);

# Starts one.  In it $serve->(listener, control) runs, which should return when the
# control socket ends.
sub start
{
	my ($class, $serve) = @_;
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Proto => 'tcp', Listen => 64)
	  or die "could not listen: $!";
	socketpair my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC or die "socketpair: $!";
	my $pid = fork;
	die "could not fork: $!" unless defined $pid;
	if (!$pid)
	{
		# _exit keeps the test's own clean-up from running here
		eval {
			close $ours;
			$SIG{PIPE} = 'IGNORE';
			$theirs->autoflush(1);
			$serve->($listener, $theirs);
		};
		print STDERR "$class: $@" if $@;
		POSIX::_exit(0);
	}
	my $self = bless { port => $listener->sockport, pid => $pid, control => $ours }, $class;
	close $theirs;
	close $listener;
	$ours->autoflush(1);
	return $self;
}

sub port { return $_[0]->{port} }

# Gives an order and returns the answer, a line.
sub _ask
{
	my ($self, $order) = @_;
	print { $self->{control} } "$order\n";
	my $answer = readline $self->{control};
	die ref($self) . ': the process has ended' unless defined $answer;
	chomp $answer;
	return $answer;
}

# The same for an answer of the form "name=value ...": a hash.
sub _order
{
	my ($self, $order) = @_;
	return { $self->_ask($order) =~ /(\w+)=(\S+)/g };
}

# Ends it.
sub stop
{
	my $self = shift;
	my $pid = delete $self->{pid} or return;
	local ($?, $!);
	close $self->{control};
	kill 'KILL', $pid;
	waitpid $pid, 0;
	return;
}

sub DESTROY { $_[0]->stop; return }

1;
