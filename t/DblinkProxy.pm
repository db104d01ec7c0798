# DblinkProxy - a proxy between dblink and a server, as a network or a pooler is.
#
# It lets everything pass, and never waits for one connection while another has
# something to say.  What passes it takes apart into frames: protocol messages
# in both directions or, once TLS has begun, TLS records.  It counts the frames
# of each direction, over all the connections that came since it was armed,
# cancel requests included.  At the frame it was armed for it strikes once:
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
# Options make it a pooler, or a slow network.  With any of them it refuses
# encryption, so that cancel requests can be read:
#   limit         let in only so many connections at a time; a further one waits
#                 for its turn, or with "refuse" is told what PostgreSQL says
#                 when it has too many.  Cancel requests do not count
#   cancel_delay  a list: how many seconds the first, the second, ... cancel
#                 request is held before it goes on to the server; "drop": it is
#                 never passed on
#   pooler        tell the client another process id and key than the server's
#
# It never connects to anything but 127.0.0.1.

package DblinkProxy;

use strict;
use warnings;
use Exporter 'import';
use IO::Socket::INET;
use Socket qw(IPPROTO_TCP SOL_SOCKET SO_LINGER TCP_NODELAY);
use Time::HiRes qw(time);
use DblinkWire;
use parent 'DblinkProcess';

our @EXPORT = qw(start_proxy);

# ---- the handle that a test has ---------------------------------------------

# Starts a proxy to a port of 127.0.0.1; options as above.
sub start_proxy
{
	my ($port, %opt) = @_;
	return __PACKAGE__->start(sub { _serve(@_, $port, %opt) });
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
	return $self->arm('commit', $bytes, $what, $pid, $signal);
}

# Strikes once in about $n frames, by a generator with this seed; 0 = never.
sub at_random
{
	my ($self, $n, $seed) = @_;
	return $self->_order("random $n $seed");
}

# Counts from zero, with other delays of cancel requests.
sub delay_cancels
{
	my ($self, @delays) = @_;
	return $self->_order(join ' ', 'delays', @delays);
}

# Strikes no more, gives back what happened: s, c (frames counted), fired (how
# often it struck), came and refused (connections), cancels (requests seen), passed
# (those that were passed on), open (connections that are open).
sub report { return $_[0]->_order('report') }

# ---- the process --------------------------------------------------------------

# Pairs of sockets: c and s (client, server; the latter once it is known what the
# former wants), for each side in_ (bytes that have come), to_ (bytes to be sent to it),
# mode_ (what comes next), end_ (it sends no more); kind (session or cancel), due (when a
# cancel request goes on), remote (the server's process), held (nothing passes; until, or
# for ever), over (how it is closed once all is sent).
my (@pairs, %count, %order, @delays, %keys, $port, %opt);

my $CANCEL = 80877102;
my %encryption = (80877103 => 'TLS', 80877104 => 'GSSAPI');

# Serves orders and connections until the test closes its side.
sub _serve
{
	my ($listener, $control, @target) = @_;
	($port, %opt) = @target;
	$listener->blocking(0);
	@delays = @{ $opt{cancel_delay} || [] };
	_reset_counts();
	while (1)
	{
		my ($read, $write) = ('', '');
		my $wake = 1;
		vec($read, fileno $_, 1) = 1 foreach $listener, $control;
		foreach my $p (@pairs)
		{
			# a held pair is only watched for its end on dblink's side
			vec($read, fileno $p->{c}, 1) = 1 if !$p->{end_c} && length $p->{to_s} < 65536;
			vec($write, fileno $p->{c}, 1) = 1 if length $p->{to_c};
			$wake = 0.01 if $p->{held} || $p->{due} || !$p->{s};
			next unless $p->{s};
			vec($read, fileno $p->{s}, 1) = 1 if !$p->{end_s} && !$p->{held} && length $p->{to_c} < 65536;
			vec($write, fileno $p->{s}, 1) = 1 if length $p->{to_s};
		}
		next if select($read, $write, undef, $wake) < 0;
		if (vec($read, fileno $control, 1))
		{
			my $line = readline $control;
			return unless defined $line;
			print $control _obey($line), "\n";
		}
		foreach my $p (@pairs)
		{
			_held($p) if $p->{held};
			foreach my $side (grep { $p->{$_} } qw(c s))
			{
				_read($p, $side) if vec($read, fileno $p->{$side}, 1);
				_write($p, $side) if vec($write, fileno $p->{$side}, 1);
			}
		}
		_accept($listener) if vec($read, fileno $listener, 1);
		_begin($_) foreach grep { !$_->{s} } @pairs;
		@pairs = grep { !_ended($_) } @pairs;
	}
}

# Counts from zero.
sub _reset_counts
{
	%count = map { $_ => 0 } qw(s c fired came refused cancels passed);
	%order = (what => 'none', direction => 's', at => -1, pid => 0, signal => 'INT', random => 0);
	return;
}

# Follows an order of the test.
sub _obey
{
	my ($verb, @words) = split ' ', shift;
	if ($verb eq 'report')
	{
		@order{qw(what random)} = ('none', 0);
		$_->{silent} = 1 foreach @pairs;
	}
	else
	{
		_reset_counts();
	}
	if ($verb eq 'arm')
	{
		_close($_) foreach @pairs;
		@pairs = ();
		@order{qw(direction at what pid signal)} = @words;
	}
	elsif ($verb eq 'next')
	{
		@order{qw(direction at what)} = ($words[0], 0, $words[1]);
	}
	elsif ($verb eq 'random')
	{
		$order{random} = $words[0];
		srand $words[1];
	}
	elsif ($verb eq 'delays')
	{
		@delays = @words;
	}
	return join ' ', (map { "$_=$count{$_}" } sort keys %count), 'open=' . @pairs;
}

# ---- connections ------------------------------------------------------------------

# Takes in those that have come.
sub _accept
{
	my $listener = shift;
	while (my $client = $listener->accept)
	{
		$count{came}++;
		push @pairs, { c => _ready($client), kind => '', mode_c => 'start', mode_s => 'message',
			map { $_ => '' } qw(in_c in_s to_c to_s) };
	}
	return;
}

# A socket as it is used here.
sub _ready
{
	my $socket = shift;
	$socket->blocking(0);
	setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;
	return $socket;
}

# Looks at what a connection wants, and leads it to the server when it may.
sub _begin
{
	my $p = shift;
	if (!$p->{kind})
	{
		return if length $p->{in_c} < 8 || length $p->{in_c} < _frame_length($p, 'c');
		my $code = unpack 'N', substr $p->{in_c}, 4, 4;
		if ($encryption{$code} && %opt)
		{
			substr $p->{in_c}, 0, 8, '';
			$p->{to_c} .= 'N';
			return;
		}
		$p->{kind} = $code == $CANCEL ? 'cancel' : 'session';
		if ($p->{kind} eq 'cancel')
		{
			my $delay = $delays[ $count{cancels}++ ] || 0;
			$p->{due} = $delay eq 'drop' ? 'never' : time() + $delay;
		}
	}
	if ($p->{kind} eq 'cancel')
	{
		return if $p->{due} eq 'never' || time() < $p->{due};
		delete $p->{due};
		$count{passed}++;
		my $key = $keys{ substr $p->{in_c}, 8, 8 };
		substr $p->{in_c}, 8, 8, $key if $key;
	}
	elsif ($opt{limit} && $opt{limit} <= grep { $_->{s} && $_->{kind} eq 'session' } @pairs)
	{
		return if !$opt{refuse} || $p->{over};
		$count{refused}++;
		$p->{to_c} .= error_message({ S => 'FATAL', V => 'FATAL', C => '53300', M => 'sorry, too many clients already' });
		$p->{over} = 'cut';
		return;
	}
	my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'tcp');
	if (!$server)
	{
		$p->{over} = 'cut';
		return;
	}
	$p->{s} = _ready($server);
	_forward($p, 'c');
	return;
}

# Is the pair at its end, and all sent that can be?  Then its sockets are closed.
sub _ended
{
	my $p = shift;
	my %idle = map { $_ => !$p->{$_} || $p->{"end_$_"} || !length $p->{"to_$_"} } qw(c s);
	my $over = $p->{over} ? $idle{c} && $idle{s} : $p->{end_c} && $idle{s} || $p->{end_s} && $idle{c};
	# a request that is on its way is not lost if its sender goes away
	return 0 if !$over || $p->{due} && $p->{due} ne 'never';
	_close($p);
	return 1;
}

# Closes both sides; with "reset", dblink's side so.
sub _close
{
	my $p = shift;
	setsockopt $p->{c}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0) if ($p->{over} || '') eq 'reset';
	close $_ foreach grep { $_ } $p->{c}, $p->{s};
	return;
}

# Takes what has come on one side.
sub _read
{
	my ($p, $side) = @_;
	my $n = sysread $p->{$side}, $p->{"in_$side"}, 65536, length $p->{"in_$side"};
	$p->{"end_$side"} = 1 if defined $n ? !$n : !$!{EAGAIN};
	_forward($p, $side) if $p->{s};
	return;
}

# Sends what there is for one side; byte by byte if so ordered.
sub _write
{
	my ($p, $side) = @_;
	my $bytes = \$p->{"to_$side"};
	while (length $$bytes)
	{
		my $n = syswrite $p->{$side}, $$bytes, $p->{dribble} && length $$bytes < 4000 ? 1 : length $$bytes;
		if (!defined $n)
		{
			return if $!{EAGAIN};
			$p->{"end_$side"} = 1;
			$n = length $$bytes;
		}
		substr $$bytes, 0, $n, '';
	}
	return;
}

# ---- frames -----------------------------------------------------------------------

# Lets pass the complete frames of one side, and at its end what is left.
sub _forward
{
	my ($p, $side) = @_;
	my $in = \$p->{"in_$side"};
	my $to = $side eq 's' ? 'to_c' : 'to_s';
	while (!$p->{over} && !$p->{held})
	{
		return _forward_bytes($p) if $side eq 's' && defined $p->{left};
		my $length = _frame_length($p, $side);
		if (!$length || length $$in < $length)
		{
			$p->{$to} .= substr $$in, 0, length $$in, '' if $p->{"end_$side"};
			return;
		}
		my $frame = substr $$in, 0, $length, '';
		$frame = _understand($p, $side, $frame);
		my $at = $count{$side}++;
		if ($order{direction} eq 'commit' && $side eq 'c' && !$count{fired} && $frame =~ /\AQ....COMMIT\0/s)
		{
			return _strike($p, $side, '', $order{what}) if $order{at} < 0;
			$p->{left} = $order{at};
		}
		if ($order{random} && rand($order{random}) < 1)
		{
			my @deeds = qw(cut reset half halfreset remote dribble);
			_strike($p, $side, $frame, $deeds[ rand @deeds ]);
		}
		elsif ($order{what} ne 'none' && !$count{fired} && $side eq $order{direction} && $at == $order{at})
		{
			_strike($p, $side, $frame, $order{what});
		}
		else
		{
			$p->{$to} .= $frame;
		}
	}
	return;
}

# Lets pass so many of the server's bytes as are left, and strikes at the next.
sub _forward_bytes
{
	my $p = shift;
	my $bytes = substr $p->{in_s}, 0, $p->{left}, '';
	$p->{left} -= length $bytes;
	$p->{to_c} .= $bytes;
	return if $p->{in_s} eq '';
	$bytes = $p->{in_s};
	$p->{in_s} = '';
	undef $p->{left};
	$p->{mode_s} = 'byte';
	return _strike($p, 's', $bytes, $order{what});
}

# How long the frame at the buffer's begin is; 0 if that is not known yet.
sub _frame_length
{
	my ($p, $side) = @_;
	my $in = \$p->{"in_$side"};
	my $mode = $p->{"mode_$side"};
	return length $$in >= 1 ? 1 : 0 if $mode eq 'byte';
	return length $$in >= 4 ? unpack 'N', $$in : 0 if $mode eq 'start';
	return length $$in >= 5 ? 5 + unpack 'n', substr $$in, 3, 2 : 0 if $mode eq 'tls';
	return length $$in >= 5 ? 1 + unpack 'N', substr $$in, 1, 4 : 0;
}

# Notes what a frame says about those that follow; gives it back, with another key if we
# are a pooler.
sub _understand
{
	my ($p, $side, $frame) = @_;
	my $mode = $p->{"mode_$side"};
	if ($mode eq 'start')
	{
		my $code = unpack 'N', substr $frame, 4, 4;
		# requests for TLS and GSSAPI are answered with one byte
		if ($encryption{$code})  { $p->{mode_s} = 'byte' }
		elsif ($code != $CANCEL) { $p->{mode_c} = 'message' }
		elsif ($p->{kind} ne 'cancel') { $count{cancels}++ }
	}
	elsif ($mode eq 'byte')
	{
		$p->{mode_s} = 'message';
		@$p{qw(mode_s mode_c)} = qw(tls tls) if $frame eq 'S';
	}
	elsif ($mode eq 'message' && $side eq 's' && $frame =~ /\AK/)
	{
		$p->{remote} = unpack 'N', substr $frame, 5, 4;
		if ($opt{pooler})
		{
			my $key = pack 'NN', 1_000_000_000 + keys %keys, 7;
			$keys{$key} = substr $frame, 5, 8, $key;
		}
	}
	return $frame;
}

# Strikes at this frame.
sub _strike
{
	my ($p, $side, $frame, $what) = @_;
	my $to = $side eq 's' ? 'to_c' : 'to_s';
	$count{fired}++;
	$p->{$to} .= substr $frame, 0, int((length($frame) + 1) / 2) if $what =~ /^half/;
	if ($what =~ /^(cut|half)$/) { $p->{over} = 'cut' }
	elsif ($what =~ /reset$/)    { $p->{over} = 'reset' }
	elsif ($what =~ /stall$/)    { $p->{held} = 'for ever' }
	elsif ($what eq 'pause')
	{
		kill $order{signal}, $order{pid};
		select undef, undef, undef, 0.005;
		kill $order{signal}, $order{pid};
		@$p{qw(held until to frame)} = ('a while', time() + 0.06, $to, $frame);
	}
	else
	{
		kill 'TERM', $p->{remote} if $what eq 'remote' && $p->{remote};
		$p->{dribble} = 1 if $what eq 'dribble';
		$p->{$to} .= $frame;
	}
	return;
}

# Looks after a pair that is held.
sub _held
{
	my $p = shift;
	if ($p->{held} eq 'for ever')
	{
		return if time() < ($p->{next} || 0) || $p->{silent} || !$order{pid};
		$p->{next} = time() + 0.2;
		kill $order{signal}, $order{pid};
	}
	elsif (time() >= $p->{until})
	{
		delete $p->{held};
		$p->{ $p->{to} } .= $p->{frame};
		_forward($p, $_) foreach qw(c s);
	}
	return;
}

1;
