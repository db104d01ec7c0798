# DblinkClient - a client of the extended protocol, as drivers are: psql of older
# majors has only the simple one.  It connects to a server that trusts it, sends
# messages, and gives back what the server answered, in short.

package DblinkClient;

use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use Time::HiRes qw(time);
use DblinkWire qw(message);

# Connects to a node's database.
sub new
{
	my ($class, $node, %opt) = @_;
	my $self = bless { buffer => '' }, $class;
	$self->{socket} = IO::Socket::UNIX->new(Peer => $node->host . '/.s.PGSQL.' . $node->port)
	  or die "could not connect: $!";
	my $user = $opt{user} || getpwuid($<);
	my $start = pack('N', 196608) . join("\0", 'user', $user, 'database', $opt{db} || 'postgres', '') . "\0";
	$self->_put(pack('N', length($start) + 4) . $start);
	$self->answer;
	return $self;
}

sub _put
{
	my ($self, $bytes) = @_;
	while (length $bytes)
	{
		my $n = syswrite $self->{socket}, $bytes or die "the server is gone";
		substr $bytes, 0, $n, '';
	}
	return;
}

# The server's process.
sub pid { return $_[0]->{pid} }

# A statement in the simple protocol; the answer.
sub simple
{
	my ($self, $sql) = @_;
	$self->_put(message('Q', "$sql\0"));
	return $self->answer;
}

# A statement in the extended protocol, of which at most $rows rows are asked
# for at a time (0: all), so often as $times says; the answer.
sub extended
{
	my ($self, $sql, $rows, $times) = @_;
	$self->_put(message('P', "\0$sql\0" . pack('n', 0)) . message('B', "\0\0" . pack('nnn', 0, 0, 0))
		  . message('E', "\0" . pack('N', $rows || 0)) x ($times || 1) . message('S', ''));
	return $self->answer;
}

# Any messages, by type and body, and a Sync; the answer.
sub messages
{
	my ($self, @messages) = @_;
	my $bytes = '';
	while (my ($type, $body) = splice @messages, 0, 2) { $bytes .= message($type, $body) }
	$self->_put($bytes . message('S', ''));
	return $self->answer;
}

# Reads until the server is ready; one line for each message: a row by its
# values, an error by SQLSTATE and message, else its letter or command tag.
sub answer
{
	my ($self, $seconds) = @_;
	my $end = time() + ($seconds || 32);
	my $select = IO::Select->new($self->{socket});
	my @lines;
	while (1)
	{
		while (length $self->{buffer} >= 5 && length $self->{buffer} > unpack 'N', substr $self->{buffer}, 1, 4)
		{
			my $type = substr $self->{buffer}, 0, 1;
			my $body = substr $self->{buffer}, 5, unpack('N', substr $self->{buffer}, 1, 4) - 4;
			substr $self->{buffer}, 0, 5 + length $body, '';
			$self->{pid} = unpack 'N', $body if $type eq 'K';
			if ($type eq 'Z') { return join "\n", @lines, "ready $body" }
			elsif ($type =~ /[EN]/)
			{
				my %field = map { (substr($_, 0, 1), substr $_, 1) } grep { length } split /\0/, $body;
				push @lines, "$field{S} $field{C} $field{M}";
			}
			elsif ($type eq 'D')
			{
				my ($n, $at, @values) = (unpack('n', $body), 2);
				for (1 .. $n)
				{
					my $length = unpack 'l>', substr $body, $at, 4;
					push @values, $length < 0 ? 'null' : substr $body, $at + 4, $length;
					$at += 4 + ($length < 0 ? 0 : $length);
				}
				push @lines, 'row ' . join '|', @values;
			}
			elsif ($type eq 'C') { chop $body; push @lines, "done $body" }
			elsif ($type !~ /[RSKA]/) { push @lines, $type }
		}
		my $left = $end - time();
		return join "\n", @lines, 'hung' if $left <= 0 || !$select->can_read($left);
		my $n = sysread $self->{socket}, $self->{buffer}, 65536, length $self->{buffer};
		return join "\n", @lines, 'gone' unless $n;
	}
}

# Sends a statement of the simple protocol and does not wait.
sub send
{
	my ($self, $sql) = @_;
	$self->_put(message('Q', "$sql\0"));
	return;
}

sub close
{
	my $self = shift;
	my $socket = delete $self->{socket} or return;
	syswrite $socket, message('X', '');
	CORE::close $socket;
	return;
}

sub DESTROY { local $!; $_[0]->close; return }

1;
