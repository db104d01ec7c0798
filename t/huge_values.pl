# Values near and beyond the size that any value can have: should be right, or a
# clean error that says so, and the connection usable after it.  The full sizes
# take minutes and some GB of memory: DBLINK_HUGE=1; else a
# fiftieth of them, which all go through.
#
# streaming: any

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;
use DblinkFake;
use DblinkWire;

my $huge = amount('DBLINK_HUGE', 0);
my ($local, $remote) = make_pair();
my $s = session($local);
my $sockets = local_fds($s);
my $to_remote = lit(conninfo($remote, application_name => 'huge'));
my $tried = 0;

# A size, or a fiftieth of it.
sub size { return $huge ? $_[0] : int $_[0] / 50 }

# One value: $length is what is right, undef if nothing is; $refusal what else is.
sub value
{
	my ($name, $length, $refusal, $sql) = @_;
	my $r = $s->run($sql, 170);
	my ($e) = grep { $_->{severity} =~ /^(?:ERROR|NOTICE)$/ } @{ $r->{messages} };
	my $ok = $e ? defined $refusal && "$e->{state} $e->{message}" =~ $refusal : defined $length && $r->{out} eq $length;
	ok($ok && !$r->{hung} && !$r->{gone}, "$name: " . ($e ? "$e->{state} $e->{message}" : "$r->{out} bytes")) or diag substr "$r->{out} $r->{err}", 0, 500;
	$tried++;
	return $e;
}

# From a true server.  600 MB as bytea are 1.2 GB as text: the remote refuses them
# in text, and can send them in binary.  A text of 1 GB less 124 bytes is a value.
my %sent = (bytea => size(600_000_000), text => size(1_073_741_700));
my %query = (
	bytea => "SELECT convert_to(repeat(''x'', $sent{bytea}), ''UTF8'')",
	text => "SELECT repeat(''x'', $sent{text})");
$s->run("SELECT dblink_connect('m', $to_remote)");
foreach my $way ([qw(off text true)], [qw(off text false)], [qw(always text true)], [qw(off binary true)], [qw(always binary true)])
{
	my ($streaming, $format, $fail) = @$way;
	$s->run("SET dblink.streaming = $streaming; SET dblink.result_format = $format");
	foreach my $type (sort keys %sent)
	{
		my $name = "$type of $sent{$type} bytes, streaming $streaming, $format, fail_on_error $fail";
		value($name, $sent{$type}, $huge && $type eq 'bytea' && $format eq 'text' ? qr/^(?:XX000 invalid memory alloc request size|54000 )/ : undef,
			"SELECT coalesce(max(length(x)), 0) FROM dblink('m', '$query{$type}', $fail) AS t(x $type)");
		rows_are($s, "SELECT x FROM dblink('m', 'SELECT 1') AS t(x int)", '1', "$name: then the connection is usable");
	}
}
$s->run("SELECT dblink_disconnect('m'); RESET dblink.result_format");

# From a server that says more than any value can have, and sends it.
my $length = size(1_100_000_000);
foreach my $streaming (qw(off always))
{
	my $fake = start_fake(auth_ok(), sub {
		my (undef, $client) = @_;
		print $client row_description(['x']), 'D', pack('NnN', $length + 10, 1, $length);
		my $piece = 'x' x 1_000_000;
		print $client $piece foreach 1 .. $length / length $piece;
		$client->flush;
		return command_complete('SELECT 1') . ready();
	}, 'wait');
	$s->run("SET dblink.streaming = $streaming; SELECT dblink_connect('m', "
		  . lit('host=127.0.0.1 dbname=x user=x password=x sslmode=disable gssencmode=disable port=' . $fake->port) . ')');
	my $e = value("a text of $length bytes, streaming $streaming", $huge ? undef : $length, $huge ? qr/^54000 value of $length bytes is too large$/ : undef,
		"SELECT max(length(x)) FROM dblink('m', 'SELECT 1') AS t(x text)");
	is($e->{context}, 'column "x" (1) of row 1 of the remote result', "and it is said where, streaming $streaming") if $huge;
	$s->run("SELECT dblink_disconnect('m')");
	$fake->stop;
}
is(join('; ', unsound($s, $sockets)), '', 'nothing is left');
diag "SUMMARY values of up to $length bytes: $tried";
$s->quit;
remote_quiet($remote, "application_name = 'huge'", 'no session is left on the remote');
done_testing();
