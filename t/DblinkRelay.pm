# DblinkRelay - a relay between dblink and a server, as a pooler or a network is.
#
# It lets everything pass, and never waits for one connection while another has
# something to say.  What it can do besides:
#
#   limit         let in only so many connections at a time; a further one waits
#                 for its turn, or with "refuse" is told what PostgreSQL says
#                 when it has too many
#   cancel_delay  a list: how many seconds the first, the second, ... cancel
#                 request is held before it goes on to the server; "drop": it is
#                 never passed on
#
#   pooler        tell the client another process id and key than the server's, as
#                 poolers do
#
# Cancel requests do not count for the limit.  It never connects to anything but
# 127.0.0.1.

package DblinkRelay;

use strict;
use warnings;
use Exporter 'import';
use IO::Socket::INET;
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Time::HiRes qw(time);
use DblinkWire;
use parent 'DblinkProcess';

our @EXPORT = qw(start_relay);

# Starts a relay to a port of 127.0.0.1; options as above.
sub start_relay
{
	my ($port, %opt) = @_;
	return __PACKAGE__->start(sub { _serve(@_, $port, \%opt) });
}

# Gives back the counts: cancels (requests that came), passed (those that were passed
# on), came (connections that came), refused, open.
sub report { return $_[0]->_order('report') }

# Counts from zero, with other delays of cancel requests.
sub delay_cancels
{
	my ($self, @delays) = @_;
	return $self->_order(join ' ', 'delays', @delays);
}

# ---- the process --------------------------------------------------------------

# Pairs of sockets: c and s (client, server), to_c and to_s (bytes to be sent),
# kind ("" until the first packet is there, then session or cancel), due (when
# a cancel request goes on), end_c and end_s (that side sends no more).
my (@pairs, %count, @delays, %keys, $keys);

# Serves until the test closes its side.
sub _serve
{
	my ($listener, $control, $port, $opt) = @_;
	my @waiting;
	$listener->blocking(0);
	%count = map { $_ => 0 } qw(cancels passed came refused);
	@delays = @{ $opt->{cancel_delay} || [] };
	while (1)
	{
		my ($read, $write) = ('', '');
		my $wake = 1;
		vec($read, fileno $_, 1) = 1 foreach $listener, $control;
		foreach my $p (@pairs)
		{
			vec($read, fileno $p->{c}, 1) = 1 if !$p->{end_c} && length $p->{to_s} < 65536;
			next unless $p->{s};
			vec($read, fileno $p->{s}, 1) = 1 if !$p->{end_s} && length $p->{to_c} < 65536;
			vec($write, fileno $p->{c}, 1) = 1 if length $p->{to_c} && (!$opt->{pooler} || $p->{hidden} || $p->{kind} ne 'session');
			vec($write, fileno $p->{s}, 1) = 1 if length $p->{to_s};
		}
		$wake = 0.02 if grep { $_->{due} || !$_->{s} } @pairs;
		next if select($read, $write, undef, $wake) < 0;
		if (vec($read, fileno $control, 1))
		{
			my $line = readline $control;
			return unless defined $line;
			my ($verb, @words) = split ' ', $line;
			if ($verb eq 'delays')
			{
				@delays = @words;
				%count = map { $_ => 0 } qw(cancels passed came refused);
			}
			print $control join(' ', map({ "$_=$count{$_}" } sort keys %count), 'open=' . @pairs), "\n";
		}
		foreach my $p (@pairs)
		{
			_read($p, 'c') if vec($read, fileno $p->{c}, 1);
			next unless $p->{s};
			_read($p, 's') if vec($read, fileno $p->{s}, 1);
			_hide_key($p) if $opt->{pooler} && $p->{kind} eq 'session' && !$p->{hidden};
			_write($p, 'c') if vec($write, fileno $p->{c}, 1);
			_write($p, 's') if vec($write, fileno $p->{s}, 1);
		}
		if (vec($read, fileno $listener, 1))
		{
			while (my $client = $listener->accept)
			{
				$client->blocking(0);
				setsockopt $client, IPPROTO_TCP, TCP_NODELAY, 1;
				push @pairs, { c => $client, to_c => '', to_s => '', kind => '' };
				$count{came}++;
			}
		}
		@pairs = grep { !_ended($_) } @pairs;
		_connect($_, $port, $opt) foreach grep { !$_->{s} } @pairs;
		@pairs = grep { !_ended($_) } @pairs;
	}
	return;
}

# Takes what has come on one side.
sub _read
{
	my ($p, $side) = @_;
	my $to = $side eq 'c' ? 'to_s' : 'to_c';
	my $n = sysread $p->{$side}, $p->{$to}, 65536, length $p->{$to};
	$p->{"end_$side"} = 1 if defined $n ? !$n : !$!{EAGAIN};
	return;
}

# Sends what there is for one side.
sub _write
{
	my ($p, $side) = @_;
	return unless length $p->{"to_$side"};
	my $n = syswrite $p->{$side}, $p->{"to_$side"};
	if (defined $n) { substr $p->{"to_$side"}, 0, $n, '' }
	elsif (!$!{EAGAIN}) { $p->{"end_$side"} = 1; $p->{"to_$side"} = '' }
	return;
}

# Puts another key in the place of the server's, once that has come; nothing is
# sent on before.
sub _hide_key
{
	my $p = shift;
	my $at = 0;
	while (length $p->{to_c} >= $at + 5)
	{
		my $type = substr $p->{to_c}, $at, 1;
		if ($type =~ /[KE]/)
		{
			return $p->{hidden} = 1 if $type eq 'E';
			return if length $p->{to_c} < $at + 13;
			my $key = pack 'NN', 1_000_000_000 + ++$keys, 7;
			$keys{$key} = substr $p->{to_c}, $at + 5, 8, $key;
			return $p->{hidden} = 1;
		}
		$at += 1 + unpack 'N', substr $p->{to_c}, $at + 1, 4;
	}
	return;
}

# Is the pair at its end?  Then its sockets are closed.
sub _ended
{
	my $p = shift;
	return 1 if $p->{gone};
	my $over = $p->{end_c} && (!$p->{s} || !length $p->{to_s} || $p->{end_s})
	  || $p->{end_s} && !length $p->{to_c};
	# a request that is on its way is not lost if its sender goes away
	return 0 if !$over || $p->{kind} eq 'cancel' && $p->{due} && $p->{due} ne 'never' && !$p->{s};
	close $p->{c};
	close $p->{s} if $p->{s};
	return $p->{gone} = 1;
}

# Looks at what a connection wants, and leads it to the server when it may.
sub _connect
{
	my ($p, $port, $opt) = @_;
	if (!$p->{kind})
	{
		return if length $p->{to_s} < 8;
		my $code = unpack 'N', substr $p->{to_s}, 4, 4;
		if ($code == 80877103 || $code == 80877104)
		{
			# no encryption: what follows, which may be a cancel request, is to be read here
			substr $p->{to_s}, 0, 8, '';
			syswrite $p->{c}, 'N';
			return;
		}
		$p->{kind} = $code == 80877102 ? 'cancel' : 'session';
		if ($p->{kind} eq 'cancel')
		{
			my $delay = $delays[ $count{cancels}++ ] || 0;
			$p->{due} = $delay eq 'drop' ? 'never' : time() + $delay;
		}
	}
	if ($p->{kind} eq 'cancel')
	{
		return if $p->{due} eq 'never' || time() < $p->{due};
		$count{passed}++;
		delete $p->{due};
		my $key = $keys{ substr $p->{to_s}, 8, 8 };
		substr $p->{to_s}, 8, 8, $key if $key;
	}
	elsif ($opt->{limit} && $opt->{limit} <= grep { $_->{s} && $_->{kind} eq 'session' } @pairs)
	{
		return unless $opt->{refuse};
		$count{refused}++;
		syswrite $p->{c}, error_message({ S => 'FATAL', V => 'FATAL', C => '53300', M => 'sorry, too many clients already' });
		$p->{end_c} = 1;
		return;
	}
	$p->{s} = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'tcp');
	if (!$p->{s})
	{
		$p->{end_c} = 1;
		return;
	}
	$p->{s}->blocking(0);
	setsockopt $p->{s}, IPPROTO_TCP, TCP_NODELAY, 1;
	return;
}

1;
