# DblinkProxy - a proxy that strikes at one message.
#
# The proxy stands between dblink and a server and takes what passes apart into
# frames: protocol messages in both directions or, once TLS has begun, TLS
# records.  It counts the frames of each direction, over all the connections
# that came since it was armed, cancel requests included.  At the frame it was
# armed for it strikes once.
#
# What it can do there:
#   none       nothing; only count
#   cut        close both sides
#   reset      close the side of dblink with a reset
#   half       let pass half of the frame, then close
#   halfreset  let pass half of the frame, then reset
#   stall      let nothing pass any more, and send the signal to the process
#              every 0.2 s, until dblink closes
#   halfstall  the same, after half of the frame
#   pause      hold the frame, send the signal twice in 5 ms, go on after 60 ms
#   remote     end the server's process (SIGTERM), and let the frame pass
#   dribble    from this frame on, every byte is a packet of its own
#
# It never connects to anything but 127.0.0.1.

package DblinkProxy;

use strict;
use warnings;
use Exporter 'import';
use IO::Select;
use IO::Socket::INET;
use Socket qw(IPPROTO_TCP SOL_SOCKET SO_LINGER TCP_NODELAY);
use Time::HiRes qw(time);
use parent 'DblinkProcess';

our @EXPORT = qw(striking_proxy);

# ---- the handle that a test has ---------------------------------------------

# Starts a proxy to a port of 127.0.0.1.
sub striking_proxy
{
	my $port = shift;
	return __PACKAGE__->start(sub { _serve(@_, $port) });
}

# Forgets all connections and counts, and waits for frame number $at (from 0)
# of the direction: s (from the server) or c (from dblink).  $pid and $signal
# are for stall and pause.
sub arm
{
	my ($self, $direction, $at, $what, $pid, $signal) = @_;
	return $self->_order(join ' ', 'arm', $direction, $at, $what, $pid || 0, $signal || 'INT');
}

# Strikes at the next frame of the direction, without forgetting a connection.
sub arm_softly
{
	my ($self, $direction, $what) = @_;
	return $self->_order("next $direction $what");
}

# The same as arm, but waits for dblink's COMMIT, and strikes after $bytes bytes of the answer
# to it; -1: before the server gets it.
sub arm_commit
{
	my ($self, $bytes, $what, $pid, $signal) = @_;
	return $self->_order(join ' ', 'arm', 'commit', $bytes, $what, $pid || 0, $signal || 'INT');
}

# Strikes once in about $n frames, by a generator with this seed; 0 = never.
sub at_random
{
	my ($self, $n, $seed) = @_;
	return $self->_order("random $n $seed");
}

# Strikes no more, gives back what happened: s, c (frames counted), fired (how
# often it struck), open (connections that are open), cancels (requests seen).
sub report { return $_[0]->_order('report') }

# ---- the process --------------------------------------------------------------

# State of the process: pairs by file number of either socket; what to do.
my (%pairs, %count, %order);

# Serves orders and connections until the test closes its side.
sub _serve
{
	my ($listener, $control, $port) = @_;
	_reset_counts();
	while (1)
	{
		my $select = IO::Select->new($listener, $control);
		my $wake = 0.5;
		my %seen;
		foreach my $pair (values %pairs)
		{
			next if $seen{$pair}++;
			# a held pair is only watched for its end on dblink's side
			$select->add($pair->{c});
			$select->add($pair->{s}) unless $pair->{held};
			$wake = 0.01 if $pair->{held};
		}
		my @ready = $select->can_read($wake);
		_held();
		foreach my $socket (@ready)
		{
			if ($socket == $control)
			{
				my $line = readline $control;
				return unless defined $line;
				print $control _obey($line), "\n";
			}
			elsif ($socket == $listener)
			{
				_accept($listener, $port);
			}
			elsif ($pairs{ fileno($socket) || -1 })
			{
				_read($pairs{ fileno $socket }, $socket);
			}
		}
	}
}

# Counts from zero.
sub _reset_counts
{
	%count = (s => 0, c => 0, fired => 0, cancels => 0);
	%order = (what => 'none', direction => 's', at => -1, pid => 0, signal => 'INT', random => 0);
	return;
}

# Follows an order of the test.
sub _obey
{
	my ($verb, @words) = split ' ', shift;
	if ($verb eq 'arm')
	{
		# A copy: _close takes pairs out of the hash, where each is twice.
		my %all = map { $_ => $_ } values %pairs;
		my @all = values %all;
		_close($_) foreach @all;
		_reset_counts();
		@order{qw(direction at what pid signal)} = @words;
	}
	elsif ($verb eq 'next')
	{
		_reset_counts();
		@order{qw(direction at what)} = ($words[0], 0, $words[1]);
	}
	elsif ($verb eq 'random')
	{
		_reset_counts();
		$order{random} = $words[0];
		srand $words[1];
	}
	else
	{
		$order{what} = 'none';
		$order{random} = 0;
		foreach my $pair (values %pairs) { $pair->{silent} = 1 }
	}
	my %open = map { $_ => 1 } values %pairs;
	return join ' ', (map { "$_=$count{$_}" } sort keys %count), 'open=' . keys %open;
}

# A new connection of dblink's, and the one to the server that goes with it.
sub _accept
{
	my ($listener, $port) = @_;
	my $client = $listener->accept or return;
	my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'tcp');
	if (!$server)
	{
		close $client;
		return;
	}
	setsockopt $_, IPPROTO_TCP, TCP_NODELAY, 1 foreach $client, $server;
	my $pair = { c => $client, s => $server, cbuf => '', sbuf => '', cmode => 'start', smode => 'message' };
	$pairs{ fileno $_ } = $pair foreach $client, $server;
	return;
}

# Closes both sides; with "reset", dblink's side so.
sub _close
{
	my ($pair, $reset) = @_;
	return if $pair->{closed}++;
	delete $pairs{ fileno $_ } foreach $pair->{c}, $pair->{s};
	setsockopt $pair->{c}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0) if $reset;
	close $pair->{c};
	close $pair->{s};
	return;
}

# Takes what has come on one side of a pair.
sub _read
{
	my ($pair, $socket) = @_;
	my $side = $socket == $pair->{c} ? 'c' : 's';
	my $n = sysread $socket, $pair->{"${side}buf"}, 65536, length $pair->{"${side}buf"};
	if (!$n)
	{
		_close($pair);
		return;
	}
	_forward($pair, $side);
	return;
}

# Lets pass the complete frames of one side.
sub _forward
{
	my ($pair, $side) = @_;
	while (!$pair->{closed} && !$pair->{held})
	{
		return _forward_bytes($pair) if $side eq 's' && defined $pair->{left};
		my $length = _frame_length($pair, $side);
		return if !$length || length $pair->{"${side}buf"} < $length;
		my $frame = substr $pair->{"${side}buf"}, 0, $length, '';
		_understand($pair, $side, $frame);
		my $at = $count{$side}++;
		if ($order{direction} eq 'commit' && $side eq 'c' && !$count{fired} && $frame =~ /\AQ....COMMIT\0/s)
		{
			return _strike($pair, $side, '', $order{what}) if $order{at} < 0;
			$pair->{left} = $order{at};
		}
		if ($order{random} && rand($order{random}) < 1)
		{
			my @deeds = qw(cut reset half halfreset remote dribble);
			_strike($pair, $side, $frame, $deeds[ rand @deeds ]);
		}
		elsif ($order{what} ne 'none' && !$count{fired} && $side eq $order{direction} && $at == $order{at})
		{
			_strike($pair, $side, $frame, $order{what});
		}
		else
		{
			_send($pair, $side, $frame);
		}
	}
	return;
}

# Lets pass so many of the server's bytes as are left, and strikes at the next.
sub _forward_bytes
{
	my $pair = shift;
	my $bytes = substr $pair->{sbuf}, 0, $pair->{left}, '';
	$pair->{left} -= length $bytes;
	_send($pair, 's', $bytes);
	return if $pair->{sbuf} eq '';
	$bytes = $pair->{sbuf};
	$pair->{sbuf} = '';
	undef $pair->{left};
	$pair->{smode} = 'byte';
	_strike($pair, 's', $bytes, $order{what});
	return;
}

# How long the frame at the buffer's begin is; 0 if that is not known yet.
sub _frame_length
{
	my ($pair, $side) = @_;
	my $buffer = \$pair->{"${side}buf"};
	my $mode = $pair->{"${side}mode"};
	return length $$buffer >= 1 ? 1 : 0 if $mode eq 'byte';
	return length $$buffer >= 4 ? unpack 'N', $$buffer : 0 if $mode eq 'start';
	return length $$buffer >= 5 ? 5 + unpack 'n', substr $$buffer, 3, 2 : 0 if $mode eq 'tls';
	return length $$buffer >= 5 ? 1 + unpack 'N', substr $$buffer, 1, 4 : 0;
}

# Notes what a frame says about those that follow.
sub _understand
{
	my ($pair, $side, $frame) = @_;
	my $mode = $pair->{"${side}mode"};
	if ($mode eq 'start')
	{
		my $code = unpack 'N', substr $frame, 4, 4;
		# requests for TLS and GSSAPI are answered with one byte
		if ($code == 80877103 || $code == 80877104) { $pair->{smode} = 'byte' }
		elsif ($code == 80877102)                   { $count{cancels}++ }
		else                                        { $pair->{cmode} = 'message' }
	}
	elsif ($mode eq 'byte')
	{
		$pair->{smode} = 'message';
		@$pair{qw(smode cmode)} = qw(tls tls) if $frame eq 'S';
	}
	elsif ($mode eq 'message' && $side eq 's' && $frame =~ /\AK/)
	{
		$pair->{remote} = unpack 'N', substr $frame, 5, 4;
	}
	return;
}

# Sends bytes on; byte by byte if so ordered.
sub _send
{
	my ($pair, $side, $bytes) = @_;
	my $to = $side eq 's' ? $pair->{c} : $pair->{s};
	if ($pair->{dribble} && length $bytes < 4000)
	{
		syswrite $to, $_ foreach split //, $bytes;
		return;
	}
	while (length $bytes)
	{
		my $n = syswrite $to, $bytes or return;
		substr $bytes, 0, $n, '';
	}
	return;
}

# Strikes at this frame.
sub _strike
{
	my ($pair, $side, $frame, $what) = @_;
	$count{fired}++;
	_send($pair, $side, substr $frame, 0, int((length($frame) + 1) / 2)) if $what =~ /^half/;
	if ($what =~ /^(cut|half)$/)              { _close($pair) }
	elsif ($what =~ /reset$/)                 { _close($pair, 1) }
	elsif ($what =~ /stall$/)                 { $pair->{held} = 'for ever' }
	elsif ($what eq 'pause')
	{
		kill $order{signal}, $order{pid};
		select undef, undef, undef, 0.005;
		kill $order{signal}, $order{pid};
		@$pair{qw(held until side frame)} = ('a while', time() + 0.06, $side, $frame);
	}
	else
	{
		kill 'TERM', $pair->{remote} if $what eq 'remote' && $pair->{remote};
		$pair->{dribble} = 1 if $what eq 'dribble';
		_send($pair, $side, $frame);
	}
	return;
}

# Looks after the pairs that are held.
sub _held
{
	# each pair is there twice, and what is done with it ends its being held
	foreach my $pair (values %pairs)
	{
		next if !$pair->{held};
		if ($pair->{held} eq 'for ever')
		{
			next if time() < ($pair->{next} || 0) || $pair->{silent} || !$order{pid};
			$pair->{next} = time() + 0.2;
			kill $order{signal}, $order{pid};
		}
		elsif (time() >= $pair->{until})
		{
			delete $pair->{held};
			_send($pair, $pair->{side}, $pair->{frame});
			_forward($pair, $_) foreach qw(c s);
		}
	}
	return;
}

1;
