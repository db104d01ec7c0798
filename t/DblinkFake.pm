# DblinkFake - a server that sends whatever a test wants, in one process.
#
# What a connection is answered is a scene: a hash with the keys
#   start    the answer to the start-up message
#   answers  a list: the answer to each later request (a Query, a Sync, a
#            Flush, a password); when it is used up, the last is given again
#            if "again" is true
#   end      what then happens: close (default), wait (say nothing), or flood
#            (send the last answer for ever)
#   split    send each answer in pieces of so many bytes
#   patience close when the client has been silent for so many seconds
# A function given at the start makes the scene for a number: the test says
# which number comes next, and each connection takes the next one.  So a scene
# can be made again from its number alone.  Cancel requests are taken and closed,
# or with hold_cancels never answered; requests for encryption are refused.  An
# answer can be a function: it is given the request, and makes the answer.

package DblinkFake;

use strict;
use warnings;
use Exporter 'import';
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Time::HiRes qw(time);
use Socket qw(AF_UNIX IPPROTO_TCP PF_UNSPEC SOCK_STREAM TCP_NODELAY);

our @EXPORT = qw(fake_server mutate);

my $hold_cancels;

# Starts a fake server; $maker->(number) gives a scene.  Options: hold_cancels.
sub fake_server
{
	my ($maker, %opt) = @_;
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Proto => 'tcp', Listen => 64)
	  or die "could not listen: $!";
	socketpair my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC or die "socketpair: $!";
	my $pid = fork;
	die "could not fork: $!" unless defined $pid;
	if (!$pid)
	{
		# _exit keeps the test's own clean-up from running here
		$hold_cancels = $opt{hold_cancels};
		eval { close $ours; _serve($listener, $theirs, $maker) };
		print STDERR "fake server: $@" if $@;
		POSIX::_exit(0);
	}
	my $self = bless { port => $listener->sockport, pid => $pid, control => $ours }, __PACKAGE__;
	close $theirs;
	close $listener;
	$ours->autoflush(1);
	return $self;
}

sub port { return $_[0]->{port} }

# Says which number the next connection gets; closes those that are open.
# Returns the number that would have been the next.
sub next_scene
{
	my ($self, $number) = @_;
	print { $self->{control} } "$number\n";
	my $answer = readline $self->{control};
	die "the fake server has ended" unless defined $answer;
	chomp $answer;
	return $answer;
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

# ---- the process -----------------------------------------------------------

# Serves until the test closes its side.
sub _serve
{
	my ($listener, $control, $maker) = @_;
	my $select = IO::Select->new($listener, $control);
	my (%clients, @flooding);
	my $number = 0;
	$SIG{PIPE} = 'IGNORE';
	$control->autoflush(1);
	while (1)
	{
		# a client may wait for the rest of a message that will never come
		foreach my $client (my @all = values %clients)
		{
			my $patience = $client->{scene} && $client->{scene}{patience};
			next if !$patience || time - $client->{heard} < $patience;
			$select->remove($client->{socket});
			close $client->{socket};
			delete $clients{ $client->{socket} };
		}
		foreach my $socket ($select->can_read(@flooding ? 0.001 : 0.02))
		{
			if ($socket == $control)
			{
				my $line = readline $control;
				return unless defined $line;
				print $control "$number\n";
				$number = $line + 0;
				foreach my $client (values %clients) { $select->remove($client->{socket}); close $client->{socket} }
				%clients = ();
				@flooding = ();
			}
			elsif ($socket == $listener)
			{
				my $client = $listener->accept or next;
				setsockopt $client, IPPROTO_TCP, TCP_NODELAY, 1;
				$clients{$client} = { socket => $client, buffer => '', step => 0 };
				$select->add($client);
			}
			elsif (my $client = $clients{$socket})
			{
				$client->{heard} = time;
				my $n = sysread $socket, $client->{buffer}, 65536, length $client->{buffer};
				my $goes_on = $n && _answer($client, $maker, \$number, \@flooding);
				next if $goes_on;
				$select->remove($socket);
				@flooding = grep { $_ != $client } @flooding;
				delete $clients{$socket};
				close $socket;
			}
		}
		foreach my $client (@flooding)
		{
			$client->{socket}->blocking(0);
			syswrite $client->{socket}, $client->{flood};
		}
	}
}

# Answers what has come; gives false if the connection is to be closed.
sub _answer
{
	my ($client, $maker, $number, $flooding) = @_;
	while (1)
	{
		if (!$client->{scene})
		{
			return 1 if length $client->{buffer} < 8;
			my ($length, $code) = unpack 'NN', $client->{buffer};
			return 1 if length $client->{buffer} < $length;
			substr $client->{buffer}, 0, $length, '';
			return $hold_cancels if $code == 80877102;
			if ($code != 196608)
			{
				syswrite $client->{socket}, 'N';
				next;
			}
			$client->{scene} = $maker->($$number++);
			_send($client, $client->{scene}{start});
		}
		else
		{
			return 1 if length $client->{buffer} < 5;
			my ($type, $length) = unpack 'aN', $client->{buffer};
			return 1 if length $client->{buffer} < $length + 1;
			my $request = substr $client->{buffer}, 0, $length + 1, '';
			return 0 if $type eq 'X';
			# what belongs to a request that ends with Sync is no request
			next unless $type =~ /[QSHp]/;
			my $scene = $client->{scene};
			my $answers = $scene->{answers} || [];
			my $step = $client->{step}++;
			$step = $#$answers if $step > $#$answers && $scene->{again};
			if ($step <= $#$answers)
			{
				my $answer = $answers->[$step];
				_send($client, ref $answer ? $answer->($request) : $answer);
			}
		}
		my $scene = $client->{scene};
		if ($client->{step} >= @{ $scene->{answers} || [] } && !$scene->{again})
		{
			my $end = $scene->{end} || 'close';
			return 0 if $end eq 'close';
			if ($end eq 'flood' && !$client->{flood})
			{
				$client->{flood} = $scene->{answers}[-1] x 20;
				push @$flooding, $client;
			}
		}
	}
}

# Sends an answer, in pieces if the scene says so.
sub _send
{
	my ($client, $bytes) = @_;
	my $piece = $client->{scene}{split} || 65536;
	while (length $bytes)
	{
		my $n = syswrite $client->{socket}, substr $bytes, 0, $piece;
		return unless $n;
		substr $bytes, 0, $n, '';
	}
	return;
}

# ---- damage -------------------------------------------------------------------

# Damages some bytes of a sequence of messages at random: bits, bytes, lengths,
# counts; messages doubled, dropped, swapped, cut.  Uses rand(), which the
# caller seeds.
sub mutate
{
	my $bytes = shift;
	my $times = 1 + int rand 3;
	foreach (1 .. $times)
	{
		my $length = length $bytes or last;
		my $at = int rand $length;
		my $kind = int rand 11;
		if    ($kind == 0) { vec($bytes, $at * 8 + int rand 8, 1) ^= 1 }
		elsif ($kind == 1) { substr $bytes, $at, 1, chr int rand 256 }
		elsif ($kind == 2) { substr $bytes, $at, 1 + int rand 4, '' }
		elsif ($kind == 3) { substr $bytes, $at, 0, join '', map { chr int rand 256 } 0 .. rand 6 }
		elsif ($kind == 4)
		{
			my @odd = (0, 1, 2, 3, 4, 5, 0x7f, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 0x3fffffff, 0x10000);
			substr $bytes, $at, 4, pack 'N', $odd[ rand @odd ];
		}
		elsif ($kind == 5) { substr $bytes, $at, 2, pack 'n', (0, 1, 2, 0x7fff, 0x8000, 0xffff, 1664, 1700)[ rand 8 ] }
		elsif ($kind == 6) { substr $bytes, $at, $length, '' }
		else
		{
			# whole messages
			my @messages = _messages($bytes);
			my $one = int rand @messages;
			my $other = int rand @messages;
			if    ($kind == 7) { splice @messages, $one, 1 }
			elsif ($kind == 8) { splice @messages, $other, 0, $messages[$one] }
			elsif ($kind == 9) { @messages[ $one, $other ] = @messages[ $other, $one ] }
			else { substr $messages[$one], 0, 1, (split //, 'RSKZTDCENAIGHWVnst123dcv@')[ rand 25 ] if length $messages[$one] }
			$bytes = join '', @messages;
		}
	}
	return $bytes;
}

# Takes a sequence of messages apart; what is no message is the last piece.
sub _messages
{
	my $bytes = shift;
	my @messages;
	while (length $bytes >= 5)
	{
		my $length = 1 + unpack 'N', substr $bytes, 1, 4;
		last if $length < 5 || $length > length $bytes;
		push @messages, substr $bytes, 0, $length, '';
	}
	push @messages, $bytes if length $bytes || !@messages;
	return @messages;
}

1;
