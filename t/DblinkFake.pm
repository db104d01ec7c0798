# DblinkFake - a server that sends whatever a test wants, in one process.
#
# What a connection is answered is a scene: a hash with the keys
#   start    the answer to the start-up message
#   answers  a list: the answer to each later request (a Query, a Sync, a
#            Flush, a password, the end of a copy); when it is used up, the last is
#            given again if "again" is true
#   data     the answer to the first data of a copy, besides
#   end      what then happens: close (default), wait (say nothing), or flood
#            (send the scene's "flood", or the last answer, for ever)
#   split    send each answer in pieces of so many bytes
#   patience close when the client has been silent for so many seconds
# A function given at the start makes the scene for a number: the test says
# which number comes next, and each connection takes the next one.  So a scene
# can be made again from its number alone.  Cancel requests are taken and closed,
# or with hold_cancels never answered; requests for encryption are refused.  An
# answer can be a function: it is given the request and the socket, to which it may
# write the first part of a long answer, and returns the answer.

package DblinkFake;

use strict;
use warnings;
use Exporter 'import';
use IO::Select;
use IO::Socket::INET;
use Time::HiRes qw(time);
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use parent 'DblinkProcess';

our @EXPORT = qw(fake_server start_fake);

my $hold_cancels;

# Starts a fake server; $maker->(number) gives a scene.  Options: hold_cancels.
sub fake_server
{
	my ($maker, %opt) = @_;
	return __PACKAGE__->start(sub {
		$hold_cancels = $opt{hold_cancels};
		_serve(@_, $maker);
	});
}

# The same scene for every connection, as a list: the answer to the start-up message, then
# those to each request.  It ends with "wait", or else the connection is closed.
sub start_fake
{
	my ($start, @answers) = @_;
	my %end = @answers && $answers[-1] eq 'wait' ? (end => pop @answers) : ();
	return fake_server(sub { return { start => $start, answers => \@answers, %end } });
}

# Says which number the next connection gets; closes those that are open.
# Returns the number that would have been the next.
sub next_scene
{
	my ($self, $number) = @_;
	return $self->_ask($number);
}

# ---- the process -----------------------------------------------------------

# Serves until the test closes its side.
sub _serve
{
	my ($listener, $control, $maker) = @_;
	my $select = IO::Select->new($listener, $control);
	my (%clients, @flooding);
	my $number = 0;
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
		_pour($_) foreach @flooding;
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
			_send($client, delete $client->{scene}{data}) if $type eq 'd' && $client->{scene}{data};
			# what belongs to a request that ends with Sync is no request
			next unless $type =~ /[QSHpcf]/;
			my $scene = $client->{scene};
			my $answers = $scene->{answers} || [];
			my $step = $client->{step}++;
			$step = $#$answers if $step > $#$answers && $scene->{again};
			if ($step <= $#$answers)
			{
				my $answer = $answers->[$step];
				_send($client, ref $answer ? $answer->($request, $client->{socket}) : $answer);
			}
		}
		my $scene = $client->{scene};
		if ($client->{step} >= @{ $scene->{answers} || [] } && !$scene->{again})
		{
			my $end = $scene->{end} || 'close';
			return 0 if $end eq 'close';
			if ($end eq 'flood' && !$client->{flood})
			{
				$client->{flood} = ($scene->{flood} || $scene->{answers}[-1]) x 20;
				push @$flooding, $client;
			}
		}
	}
}

# Sends more of a flood, as much as fits or so.
sub _pour
{
	my $client = shift;
	$client->{socket}->blocking(0);
	foreach (1 .. 50)
	{
		$client->{rest} = $client->{flood} unless length $client->{rest};
		my $n = syswrite $client->{socket}, $client->{rest} or return;
		substr $client->{rest}, 0, $n, '';
	}
	return;
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

1;
