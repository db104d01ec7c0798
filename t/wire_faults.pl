# Faults on the wire: the connection is cut, reset, or stalls at every message
# of a dialogue, and a server that sends what no server should.  Each time the
# statement ends, the session lives, and nothing is left.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;
use DblinkFake;
use DblinkProxy;
use DblinkWire;

my ($local, $remote) = make_pair(local => { conf => ["log_min_messages = log"] });
my $s = session($local);
my $base = local_fds(watch($local));
my $login = "host=127.0.0.1 dbname=postgres sslmode=disable gssencmode=disable application_name=wired";

# ---- a fault at every message ---------------------------------------------

# Statements after connecting, run one by one; the rows of the last are known.
my %dialogue = (
	'query' => [ "SELECT count(*) FROM dblink('w', 'SELECT generate_series(1, 5)') AS t(x int)" ],
	'cursor' => [
		"SELECT dblink_open('w', 'cur', 'SELECT generate_series(1, 3)')",
		"SELECT count(*) FROM dblink_fetch('w', 'cur', 3) AS t(x int)",
		"SELECT dblink_close('w', 'cur')" ],
	'asynchronous' => [
		"SELECT dblink_send_query('w', 'SELECT generate_series(1, 2); SELECT 3')",
		"SELECT count(*) FROM dblink_get_result('w') AS t(x int)",
		"SELECT count(*) FROM dblink_get_result('w') AS t(x int)",
		"SELECT count(*) FROM dblink_get_result('w') AS t(x int)" ],
	'command' => [ "SELECT dblink_exec('w', 'SET geqo = off')" ]);
my %clean;
my $proxy = start_proxy($remote->port);
my $target = lit("$login port=" . $proxy->port);

# How many messages of the server the dialogue "query" has.
my $messages;
foreach my $what (qw(none cut reset half))
{
	foreach my $dialogue (sort keys %dialogue)
	{
		my (@bad, $faults);
		my $at = 0;
		while (1)
		{
			# without a fault first, to know the answers
			$proxy->arm('s', $at, $what);
			my @answers;
			my $failed = 0;
			foreach my $sql ("SELECT dblink_connect('w', $target)", @{ $dialogue{$dialogue} })
			{
				my $r = $s->run($sql, SLOW);
				push @answers, $r->{out};
				push @bad, "message $at: hung in $sql" if $r->{hung};
				push @bad, "message $at: the session ended in $sql" if $r->{gone};
				if ($r->{errors} || $r->{err} =~ /^NOTICE/m)
				{
					my ($e) = @{ $r->{messages} };
					push @bad, "message $at: $e->{state} $e->{message} in $sql"
					  unless $e->{state} =~ /^(08001|08006|08003|XX000)$/ && $e->{message} ne '';
					$failed = 1;
					last;
				}
				last if @bad;
			}
			push @bad, map { "message $at: $_" } unsound($s, $base) unless @bad;
			if ($what eq 'none')
			{
				is($failed, 0, "$dialogue through the proxy");
				$clean{$dialogue} = join '/', @answers;
				last;
			}
			$faults++ if $failed;
			last if @bad;
			# a dialogue that ran through gave the right answers, and there is
			# no later message
			if (!$failed)
			{
				push @bad, "message $at: wrong answers @answers" if join('/', @answers) ne $clean{$dialogue};
				last;
			}
			$at++;
			last if $at > 100;
		}
		next if $what eq 'none';
		$messages = $faults if $dialogue eq 'query';
		ok(!@bad, "$dialogue, $what at every message ($faults faults)") or diag @bad;
		cmp_ok($faults, '>', 10, "$dialogue, $what: it did happen");
		last if $s->run('SELECT 1', SLOW)->{hung};
	}
}

# A stall, at start-up and within the answer: should be ended by
# statement_timeout.
foreach my $at (0, $messages - 16, $messages - 5, $messages - 3, $messages - 1)
{
	my @bad;
	$proxy->arm('s', $at, 'stall');
	my $ended = 0;
	foreach my $sql ("SELECT dblink_connect('w', $target)", @{ $dialogue{query} })
	{
		$s->run("SET statement_timeout = '300ms'");
		my $r = $s->run($sql, SLOW);
		$s->run('RESET statement_timeout', SLOW);
		push @bad, 'hung' if $r->{hung};
		$ended = $r->{err} =~ /57014/;
		push @bad, $r->{err} if $r->{errors} && !$ended;
		last if $r->{errors} || $r->{hung};
	}
	push @bad, 'it did not end by the timeout' unless $ended || @bad;
	push @bad, unsound($s, $base) unless @bad;
	ok(!@bad, "stalled at message $at, ends by statement_timeout") or diag @bad;
}
remote_quiet($remote, "application_name = 'wired'", 'no session is left on the remote');

# ---- a server that sends what it should not ----------------------------------

# Runs SQL on a connection to a fake server; returns the result of the last.
sub with_fake
{
	my ($name, $script, @sql) = @_;
	my $fake = start_fake(@$script);
	my $r;
	$s->run("SET statement_timeout = '20s'");
	foreach my $sql ("SELECT dblink_connect('w', " . lit("$login port=" . $fake->port) . ')', @sql)
	{
		$r = $s->run($sql, SLOW);
		last if $r->{hung} || $r->{gone};
	}
	my @wrong = $r->{hung} ? 'hung' : $r->{gone} ? 'the session ended' : unsound($s, $base);
	ok(!@wrong, "$name: the session is sound") or diag @wrong, $r->{err};
	$fake->stop;
	return $r;
}

# dblink_connect sets the client's encoding only where it differs
my $ask = "SELECT * FROM dblink('w', 'SELECT 1') AS t(x text)";
my $r;

# an error without anything in it
$r = with_fake('an empty error', [ auth_ok(), error_message({}) . ready(), 'wait' ], $ask);
fails_with($s, $r, { state => '08006', message => qr/./ }, 'an empty error has a text');

# an error with directives of formats, newlines and escapes
$r = with_fake('an error with %n%s', [
	auth_ok(),
	error_message({ S => 'ERROR', C => '22012', M => '%n%s%p %m', D => "%s\nline", H => '%n', W => '%d' }) . ready(), 'wait' ], $ask);
fails_with($s, $r, { state => '22012', message => '%n%s%p %m', detail => "%s\nline", hint => '%n',
	context => "%d\nwhile executing query on dblink connection named \"w\"" }, 'is given as it is');

# a state that is none
$r = with_fake('a state of bad letters', [
	auth_ok(), error_message({ S => 'ERROR', C => "\x01\xff", M => 'odd' }) . ready(), 'wait' ], $ask);
fails_with($s, $r, { message => 'odd' }, 'still gives its message') if !$r->{hung};

# an error of a megabyte
$r = with_fake('an error of a megabyte', [
	auth_ok(), error_message({ S => 'ERROR', C => '22012', M => 'm' x 1_000_000 }) . ready(), 'wait' ], $ask);
fails_with($s, $r, { state => '22012', message => qr/^m{1000}/ }, 'is given');

# a message that is not text here
$r = with_fake('an error of bad bytes', [
	auth_ok(), error_message({ S => 'ERROR', C => '22012', M => "bad \xe9 byte", D => "\xff\xfe" }) . ready(), 'wait' ], $ask);
fails_with($s, $r, {}, 'is an error');

# text that is not text here
$r = with_fake('a row of bad bytes', [
	auth_ok(), row_description(['x']) . data_row("\xe9") . command_complete('SELECT 1') . ready(), 'wait' ], $ask);
fails_with($s, $r, { state => '22021', message => qr/^invalid byte sequence for encoding "UTF8": 0xe9/ }, 'is refused');

# a NUL in a value: ends the text, or is refused, but is not stored
$r = with_fake('a row with a NUL', [
	auth_ok(), row_description(['x']) . data_row("a\0b") . command_complete('SELECT 1') . ready(), 'wait' ], $ask);
ok($r->{errors} || $r->{out} eq 'a', 'a NUL does not get through') or diag $r->{out};

# values in binary though text was asked for
$r = with_fake('binary values', [
	auth_ok(), row_description(['x'], format => 1) . data_row("\0\0\0\1") . command_complete('SELECT 1') . ready(), 'wait' ],
	"SELECT * FROM dblink('w', 'SELECT 1') AS t(x int)");
ok($r->{errors} || $r->{out} eq '', 'are not misread') or diag $r->{out};

# settings of nonsense
$r = with_fake('a DateStyle of nonsense', [
	auth_ok(DateStyle => 'nonsense', IntervalStyle => '%n'),
	row_description(['x']) . data_row('2024-01-01') . command_complete('SELECT 1') . ready(), 'wait' ],
	"SELECT * FROM dblink('w', 'SELECT 1') AS t(x date)");
fails_with($s, $r, { state => '22023', message => qr/^invalid value for parameter "(DateStyle|IntervalStyle)": / }, 'is a clean error');
$r = with_fake('a server version of nonsense', [
	auth_ok(server_version => "banana \xff", client_encoding => 'UTF8'),
	row_description(['x']) . data_row('1') . command_complete('SELECT 1') . ready(), 'wait' ], $ask);
is($r->{out}, '1', 'does no harm');

# more or fewer columns than described, in the middle
$r = with_fake('a row of another width', [
	auth_ok(), row_description(['x']) . data_row('1') . data_row('1', '2') . command_complete('SELECT 2') . ready(), 'wait' ], $ask);
fails_with($s, $r, { state => qr/^(08006|42804|08P01)$/ }, 'is an error');

# messages nobody knows, lengths that cannot be
foreach my $case ([ 'an unknown message', message('@', 'x') ], [ 'a length of 0', 'D' . pack('N', 0) ],
	[ 'a length of 2 GB', 'D' . pack('N', 0x7fffffff) ], [ 'bare noise', "\xff" x 100 ])
{
	$r = with_fake($case->[0], [ auth_ok(), row_description(['x']) . $case->[1] ], $ask);
	fails_with($s, $r, { state => '08006', message => qr/./ }, "$case->[0] is an error");
}

# copying both ways and in, out of nothing
foreach my $case ([ 'W', 'both' ], [ 'G', 'in' ], [ 'H', 'out' ])
{
	$r = with_fake("copy $case->[1]", [ auth_ok(), message($case->[0], pack('Cn', 0, 0)), ('') x 5, 'wait' ], $ask);
	fails_with($s, $r, { state => '0A000', message => 'COPY is not supported through dblink', within => SLOW }, "copy $case->[1] is refused");
}

# requests for a password of a kind that is none
$r = with_fake('an unknown authentication', [ message('R', pack('N', 4711)), 'wait' ]);
fails_with($s, $r, { state => '08001', message => 'could not establish connection', detail => qr/authentication/ }, 'is an error');

# floods: should end by the timeout
my %flood = (
	'notices' => error_message({ S => 'NOTICE', C => '00000', M => 'flood' }, 'N'),
	'settings' => parameter_status('flood', 'x' x 100),
	'notifications' => message('A', pack('N', 1) . "flood\0payload\0"),
	'empty queries' => message('I', ''));
foreach my $kind (sort keys %flood)
{
	my $water = $flood{$kind} x 10;
	my $start = -s $local->logfile;
	my $fake = fake_server(sub { return { start => auth_ok(), answers => [$water], end => 'flood' } });
	$s->run("SELECT dblink_connect('w', " . lit("$login port=" . $fake->port) . ')');
	$s->run("SET statement_timeout = '300ms'");
	my $r = $s->run($ask, SLOW);
	$s->run('RESET statement_timeout', SLOW) unless $r->{hung};
	ok(!$r->{hung} && $r->{errors} && $r->{err} =~ /57014|08006/, "a flood of $kind ends") or diag substr($r->{err}, 0, 500);
	my @wrong = unsound($s, $base) unless $r->{hung};
	ok(!@wrong, "a flood of $kind leaves the session sound") or diag @wrong;
	$fake->stop;
	last if $r->{hung};
}

$s->quit;
done_testing();
