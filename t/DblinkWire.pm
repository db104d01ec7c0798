# DblinkWire - a remote that misbehaves, on the wire.
#
# Two tools.  A *proxy* stands between dblink and a real server, takes the
# server's answers apart into protocol messages and, at the n-th of them, cuts
# the connection, resets it, sends half of the message, or goes silent.  A
# *fake server* follows a script: what to send after each message that comes.
# Each runs in a process of its own and ends with stop() or with the test.

package DblinkWire;

use strict;
use warnings;
use Exporter 'import';
use IO::Socket::INET;
use IO::Select;
use Socket qw(SOL_SOCKET SO_LINGER);

our @EXPORT = qw(start_proxy start_fake message error_message auth_ok row_description data_row
  command_complete ready parameter_status);

# ---- messages of the server ---------------------------------------------

# A message of a type with a body.
sub message
{
	my ($type, $body) = @_;
	return $type . pack('N', length($body) + 4) . $body;
}

# ErrorResponse or, with the type N, NoticeResponse; fields by letter.
sub error_message
{
	my ($fields, $type) = @_;
	return message($type || 'E', join('', map { "$_$fields->{$_}\0" } sort keys %$fields) . "\0");
}

# What a server says when it trusts: settings, key, ready.
sub auth_ok
{
	my (%settings) = @_;
	%settings = (
		server_version => '15.0',
		client_encoding => 'UTF8',
		server_encoding => 'UTF8',
		DateStyle => 'ISO, MDY',
		IntervalStyle => 'postgres',
		TimeZone => 'UTC',
		integer_datetimes => 'on',
		standard_conforming_strings => 'on',
		%settings);
	return message('R', pack('N', 0))
	  . join('', map { parameter_status($_, $settings{$_}) } sort keys %settings)
	  . message('K', pack('NN', 4242, 4242))
	  . ready();
}

sub parameter_status { return message('S', "$_[0]\0$_[1]\0") }

# RowDescription: columns of type text; options: format (0 text, 1 binary).
sub row_description
{
	my ($names, %opt) = @_;
	return message('T',
		pack('n', scalar @$names)
		  . join('', map { "$_\0" . pack('NnNnNn', 0, 0, 25, 0xffff, 0xffffffff, $opt{format} || 0) } @$names));
}

sub data_row
{
	my @values = @_;
	return message('D',
		pack('n', scalar @values)
		  . join('', map { defined $_ ? pack('N', length $_) . $_ : pack('N', 0xffffffff) } @values));
}

sub command_complete { return message('C', "$_[0]\0") }
sub ready            { return message('Z', $_[0] || 'I') }

# ---- processes ----------------------------------------------------------

# Runs code in a child for each client of a listening socket; returns an
# object with port and stop.
sub _serve
{
	my $code = shift;
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Proto => 'tcp', Listen => 16)
	  or die "could not listen: $!";
	my $pid = fork;
	die "could not fork: $!" unless defined $pid;
	if (!$pid)
	{
		# _exit keeps the test's own clean-up from running here
		eval {
			setpgrp;
			$SIG{CHLD} = 'IGNORE';
			while (my $client = $listener->accept)
			{
				my $child = fork;
				next if $child;
				close $listener;
				eval { $code->($client) };
				print STDERR $@ if $@;
				last;
			}
		};
		require POSIX;
		POSIX::_exit(0);
	}
	my $self = bless { port => $listener->sockport, pid => $pid }, 'DblinkWire::Process';
	close $listener;
	return $self;
}

# Closes a socket with a reset.
sub _reset
{
	my $socket = shift;
	setsockopt $socket, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0);
	close $socket;
	return;
}

# A proxy to a port of 127.0.0.1 that lets pass $at messages of the server and
# then does $what: cut, reset, half, stall (keeps the sockets and says no more).
sub start_proxy
{
	my ($port, $at, $what) = @_;
	return _serve(sub {
		my $client = shift;
		my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'tcp') or die $!;
		my $select = IO::Select->new($client, $server);
		my ($buffer, $passed, $begun) = ('', 0, 0);
		while (1)
		{
			foreach my $ready ($select->can_read)
			{
				my $n = sysread $ready, my $data, 65536;
				return unless $n;
				if ($ready == $client)
				{
					syswrite $server, $data;
					next;
				}
				$buffer .= $data;

				# the answer to a request for encryption is one bare byte
				if (!$begun && $buffer =~ /\A[NSG](?![\0-\377]{4})/)
				{
					syswrite $client, substr($buffer, 0, 1, '');
				}
				while (length $buffer >= 5)
				{
					my $length = 1 + unpack 'N', substr $buffer, 1, 4;
					last if length $buffer < $length;
					$begun = 1;
					my $message = substr $buffer, 0, $length, '';
					if ($passed++ < $at)
					{
						syswrite $client, $message;
						next;
					}
					syswrite $client, substr($message, 0, 1 + int($length / 2)) if $what eq 'half';
					if ($what eq 'stall')
					{
						sysread $client, my $gone, 65536 or return;
						sleep 600;
					}
					_reset($client) if $what eq 'reset';
					return;
				}
			}
		}
	});
}

# A server that answers the start-up with the first string of the list and
# each further message of the client with the next; a reference to code is
# called with the socket.  At the list's end it closes, unless the last element
# is 'wait'.
sub start_fake
{
	my @script = @_;
	return _serve(sub {
		my $client = shift;
		my $buffer = '';
		my $read = sub {
			my $want = shift;
			while (length $buffer < $want)
			{
				sysread $client, $buffer, 65536, length $buffer or POSIX::_exit(0);
			}
			return substr $buffer, 0, $want, '';
		};
		require POSIX;
		my $started = 0;
		foreach my $answer (@script)
		{
			if (!ref $answer && $answer eq 'wait')
			{
				1 while sysread $client, my $more, 65536;
				return;
			}
			if (!$started)
			{
				while (1)
				{
					my $length = unpack 'N', $read->(4);
					my $code = unpack 'N', $read->($length - 4);
					# encryption is refused; a cancel request is taken and forgotten
					last if $code == 196608;
					return if $code == 80877102;
					syswrite $client, 'N';
				}
				$started = 1;
			}
			else
			{
				my $head = $read->(5);
				$read->(unpack('N', substr $head, 1) - 4);
			}
			if (ref $answer) { $answer->($client) }
			else             { syswrite $client, $answer }
		}
	});
}

package DblinkWire::Process;

sub port { return $_[0]->{port} }

# Ends the process and those that serve its clients.
sub stop
{
	my $self = shift;
	my $pid = delete $self->{pid} or return;
	local ($?, $!);
	kill 'KILL', -$pid or kill 'KILL', $pid;
	waitpid $pid, 0;
	return;
}

sub DESTROY { $_[0]->stop; return }

1;
