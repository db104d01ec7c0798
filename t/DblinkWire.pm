# DblinkWire - messages of PostgreSQL's protocol: those of a server, and damage to them.

package DblinkWire;

use strict;
use warnings;
use Exporter 'import';

our @EXPORT = qw(message error_message auth_ok row_description data_row
  command_complete ready parameter_status mutate);

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
