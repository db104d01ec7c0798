# A hostile server: what it sends is wrong in ways that were thought of (the
# battery), and in ways that nobody thought of (answers damaged at random; the
# seed is printed, and DBLINK_SEED and DBLINK_HOSTILE, how many, change it).
# The session lives, ends each statement, believes nothing that is not so, and
# leaves nothing behind.  t/wire_faults.pl has the plain cases.
#
# streaming: any

use strict;
use warnings;
use Test::More;
use Time::HiRes qw(time);
use PostgreSQL::Test::Utils;
use DblinkTest;
use DblinkWire;
use DblinkFake;

my $trials = amount('DBLINK_HOSTILE', 1500);
my $seed = amount('DBLINK_SEED', 1 + int rand 1_000_000);
note "DBLINK_SEED=$seed";

my $local = make_server('local', conf => ["log_min_messages = error"]);
session($local)->run('CREATE EXTENSION dblink2 CASCADE');
my $s = session($local);
my $sockets = local_fds($s);
my $tried = 0;

# A connection string for a fake server.
sub target
{
	my $fake = shift;
	return lit('host=127.0.0.1 dbname=x user=x password=x sslmode=disable gssencmode=disable connect_timeout=3 port=' . $fake->port);
}

# ---- the battery ------------------------------------------------------------

# Does libpq hand out rows in chunks?  Then a setting that is told among them
# counts for those of its chunk that came before, too.
my $in_chunks = $local->pg_version->major >= 17;
my $rows = row_description(['x']) . data_row('1');
my $end = command_complete('SELECT 1') . ready();
my $one = $rows . $end;
my $ask = "SELECT * FROM dblink('h', 'SELECT 1', FAIL) AS t(x text)";
my $exec = "SELECT dblink_exec('h', 'SET x', FAIL)";

# RowDescription with a count of columns that is not that of its columns.
sub columns_said
{
	my ($count, $columns) = @_;
	return message('T', pack('n', $count) . join '', map { "c\0" . pack('NnNnNn', 0, 0, 25, 0xffff, 0xffffffff, 0) } 1 .. $columns);
}

# DataRow with a count of values and lengths of our choice.
sub values_said
{
	my ($count, @lengths) = @_;
	return message('D', pack('n', $count) . join '', map { pack('N', $_) . 'v' } @lengths);
}

# What libpq can make of an answer: the rows, all of them and no others, or an
# error that says why not.  Which of the two may depend on libpq's version.
my $whole = qr/\A1\z/;
my $refused = qr/ERROR:  08(?:006|P01): \S/;
my $either = qr/$whole|$refused/;

# [ name, scene, SQL after connecting, what the last must come to ]: a pattern
# for psql's output, rows and messages.  With fail_on_error false, NOTICE is
# taken for ERROR.
my @battery = (
	# lengths and counts
	[ 'fewer columns than said', { answers => [ columns_said(3, 1) . $end ] }, $ask, $refused ],
	[ 'more columns than said', { answers => [ columns_said(1, 3) . data_row('1') . $end ] }, $ask, $refused ],
	[ '65535 columns', { answers => [ columns_said(65535, 0) . $end ] }, $ask, $refused ],
	[ 'no column, a row', { answers => [ columns_said(0, 0) . values_said(0) . $end ] }, $ask, qr/ERROR:  42804/ ],
	[ '1664 columns', { answers => [ columns_said(1664, 1664) . $end ] }, $ask, qr/ERROR:  42804/ ],
	[ '1700 columns', { answers => [ columns_said(1700, 1700) . $end ] }, $ask, qr/ERROR:  42804/ ],
	[ 'a value longer than its message', { answers => [ columns_said(1, 1) . values_said(1, 1000) . $end ] }, $ask, $refused ],
	[ 'a value of 1 GB said', { answers => [ columns_said(1, 1) . values_said(1, 0x3fffffff) . $end ] }, $ask, $refused ],
	[ 'a value of -2 said', { answers => [ columns_said(1, 1) . values_said(1, 0xfffffffe) . $end ] }, $ask, $refused ],
	[ 'a row without a description', { answers => [ data_row('1') . $end ] }, $ask, $refused ],
	[ 'a description without rows or end', { answers => [ columns_said(1, 1) . ready() ] }, $ask, $refused ],
	[ 'two descriptions', { answers => [ $rows . $one ] }, $ask, $either ],
	[ 'descriptions of two widths', { answers => [ $rows . columns_said(2, 2) . data_row('1', '2') . $end ] }, $ask, qr/\AERROR:  (?:42804|08P01): / ],
	[ 'an end that is missing', { answers => [$rows] }, $ask, $refused ],
	[ 'a ready that comes too early', { answers => [ ready() . $one, $one ] }, $ask, $refused ],
	[ 'many readies', { answers => [ $one . ready() x 50 ], again => 1 }, $ask, $whole ],
	[ 'an unknown state of the transaction', { answers => [ $rows . command_complete('SELECT 1') . ready('?') ] }, $ask, $either ],
	[ 'half of an error', { answers => [ substr error_message({ S => 'ERROR', C => '22012', M => 'half' }), 0, 12 ] }, $ask, qr/ERROR:  08006/ ],
	# command tags
	[ 'a tag without end', { answers => [ message('C', 'SELECT 1') . ready() ] }, $exec, $refused ],
	[ 'an empty tag', { answers => [ command_complete('') . ready() ] }, $exec, qr/\A\z/ ],
	[ 'a tag of 100 kB', { answers => [ command_complete('x' x 100_000) . ready() ] }, $exec, qr/$refused|\Ax{50000}x{50000}\z/ ],
	[ 'a tag of bad bytes', { answers => [ command_complete("SET \xe9\xff") . ready() ] }, $exec, qr/ERROR:  22021|SET \?/ ],
	[ 'a tag of bad bytes as a row', { answers => [ command_complete("SET \xe9\xff") . ready() ] }, $ask, qr/ERROR:  22021|SET \?/ ],
	[ 'a tag %n%s', { answers => [ command_complete('%n%s%p') . ready() ] }, $exec, qr/\A%n%s%p\z/ ],
	[ 'no tag at all', { answers => [ ready() ] }, $exec, $refused ],
	# errors
	[ 'an error of nothing, then rows', { answers => [ error_message({}) . $one ] }, $ask, $refused ],
	[ 'an error of 300 fields', { answers => [ message('E', join('', map { "M$_\0" } 1 .. 300) . "\0") . ready() ] }, $ask, $refused ],
	[ 'an error whose fields do not end', { answers => [ message('E', 'SERROR') . ready() ] }, $ask, $refused ],
	[ 'a PANIC', { answers => [ error_message({ S => 'PANIC', C => '58000', M => 'p' }) ] }, $ask, qr/ERROR:  58000: p/ ],
	[ 'an error of success', { answers => [ error_message({ S => 'ERROR', C => '00000', M => 'fine' }) . ready() ] }, $ask, qr/ERROR.*fine/ ],
	[ 'an error of class warning', { answers => [ error_message({ S => 'ERROR', C => '01000', M => 'w' }) . ready() ] }, $ask, qr/ERROR:  01000: w$/m ],
	[ 'a state of 3 letters', { answers => [ error_message({ S => 'ERROR', C => 'abc', M => 'm' }) . ready() ] }, $ask, qr/ERROR.*m/ ],
	[ 'a state of 40 letters', { answers => [ error_message({ S => 'ERROR', C => 'a' x 40, M => 'm' }) . ready() ] }, $ask, qr/ERROR.*m/ ],
	[ 'colour and newlines', { answers => [ error_message({ S => 'ERROR', C => '22012', M => "\e[31mred\nLOG:  forged" }) . ready() ] }, $ask, qr/ERROR:  22012/ ],
	[ 'a query was cancelled that was not', { answers => [ error_message({ S => 'ERROR', C => '57014', M => 'c' }) . ready() ] }, $ask, qr/ERROR:  57014/ ],
	[ 'a hint of 1 MB', { answers => [ error_message({ S => 'ERROR', C => '22012', M => 'm', H => 'h' x 1_000_000 }) . ready() ] }, $ask, qr/ERROR:  22012/ ],
	# bytes
	[ 'a NUL in a tag', { answers => [ message('C', "SET\0more\0") . ready() ] }, $exec, $refused ],
	[ 'a name of a column of bad bytes', { answers => [ row_description(["\xe9"]) . data_row('1') . $end ] }, $ask, qr/\A1\z/ ],
	[ 'a surrogate', { answers => [ row_description(['x']) . data_row("\xed\xa0\x80") . $end ] }, $ask, qr/ERROR:  22021/ ],
	[ 'a character cut in two', { answers => [ row_description(['x']) . data_row("a\xe2\x82") . $end ] }, $ask, qr/ERROR:  22021/ ],
	[ 'an overlong form', { answers => [ row_description(['x']) . data_row("\xc0\xaf") . $end ] }, $ask, qr/ERROR:  22021/ ],
	[ 'a value of 5 MB', { answers => [ row_description(['x']) . data_row('v' x 5_000_000) . $end ] },
		"SELECT length(x) FROM dblink('h', 'SELECT 1', FAIL) AS t(x text)", qr/\A5000000\z/ ],
	# what was not asked for
	[ 'binary values', { answers => [ row_description(['x'], format => 1) . data_row("\0\0\0\1") . $end ] },
		"SELECT * FROM dblink('h', 'SELECT 1', FAIL) AS t(x int)", qr/ERROR:  22021/ ],
	[ 'format 7', { answers => [ row_description(['x'], format => 7) . data_row('1') . $end ] }, $ask, $refused ],
	[ 'a function call answer', { answers => [ message('V', pack('N', 0)) . $one ] }, $ask, $either ],
	[ 'answers of the extended protocol', { answers => [ message('1', '') . message('2', '') . message('n', '') . message('3', '') . message('s', '') . $one ] }, $ask, $either ],
	[ 'a second authentication', { answers => [ message('R', pack('N', 0)) . $one ] }, $ask, $either ],
	[ 'a new key', { answers => [ message('K', pack('NN', 0, 0)) . $one ] }, $ask, $either ],
	[ 'a request for a password, late', { answers => [ message('R', pack('N', 3)) . $one ] }, $ask, $either ],
	[ 'empty queries', { answers => [ message('I', '') x 1000 . ready() ] }, $ask, $refused ],
	[ 'copy out, with data', { answers => [ message('H', pack('Cn', 0, 0)) . message('d', 'x' x 1000) x 100 . message('c', '') . command_complete('COPY 1') . ready() ] }, $ask, qr/ERROR:  0A000/ ],
	[ 'copy data without copy', { answers => [ message('d', 'x') . $one ] }, $ask, $either ],
	[ 'copy both, for ever', { answers => [ message('W', pack('Cn', 0, 0)) . message('d', 'x') ], again => 1 }, $ask, qr/ERROR:  0A000/ ],
	[ 'copy in, again and again', { answers => [ message('G', pack('Cn', 0, 0)) ], again => 1 }, $ask, qr/ERROR:  0A000/ ],
	[ 'copy with 65535 columns', { answers => [ message('H', pack('Cn', 0, 65535)) ] }, $ask, qr/$refused|ERROR:  0A000/ ],
	[ 'rows without an end, and a second answer', { answers => [ $rows . ready() . $one, $one ] }, $ask, $refused ],
	# settings
	[ 'a client_encoding of nonsense', { start => auth_ok(client_encoding => "\xff"), answers => [ $one, $one ] }, $ask, $either ],
	[ 'a client_encoding LATIN1, kept', { start => auth_ok(client_encoding => 'LATIN1'),
			answers => [ command_complete('SET') . ready(), row_description(['x']) . data_row("\xe9") . $end ] }, $ask, qr/ERROR:  22021/ ],
	[ 'a refusal of client_encoding', { start => auth_ok(client_encoding => 'SQL_ASCII'),
			answers => [ error_message({ S => 'ERROR', C => '22023', M => 'no' }) . ready(), $one ] }, $ask, $either ],
	[ 'a DateStyle of 100 kB', { start => auth_ok(DateStyle => 'x' x 100_000), answers => [ row_description(['x']) . data_row('2024-01-01') . $end ] },
		"SELECT * FROM dblink('h', 'SELECT 1', FAIL) AS t(x date)", qr/ERROR:  08001|ERROR:  22023|\A2024-01-01\z/ ],
	[ 'a DateStyle that changes in mid-result', { answers => [ row_description(['x']) . data_row('01/02/2024') . parameter_status('DateStyle', 'German') . data_row('01.02.2024') . $end ] },
		"SELECT * FROM dblink('h', 'SELECT 1', FAIL) AS t(x date)", $in_chunks ? qr/\A2024-02-01\n2024-02-01\z/ : qr/\A2024-01-02\n2024-01-02\z/ ],
	[ 'a server version of 99999999999', { start => auth_ok(server_version => '99999999999.9'), answers => [$one] }, $ask, $whole ],
	[ 'no settings at all', { start => message('R', pack('N', 0)) . ready(), answers => [ $one, $one ] }, $ask, $whole ],
	[ 'a setting without an end', { start => message('R', pack('N', 0)) . message('S', 'abc') . ready(), answers => [$one] }, $ask, qr/ERROR:  08001/ ],
	[ 'standard_conforming_strings off', { start => auth_ok(standard_conforming_strings => 'off'), answers => [ $one, $one ] }, $ask, $whole ],
	# connecting
	map({ [ "authentication $_", { start => message('R', pack('N', $_)) }, undef, qr/ERROR:  08001/ ] } 1, 2, 4, 6, 7, 9, 13, 255),
	[ 'authentication md5, short', { start => message('R', pack('N', 5) . 'ab') }, undef, qr/ERROR:  08001/ ],
	[ 'SASL without mechanisms', { start => message('R', pack('N', 10) . "\0") }, undef, qr/ERROR:  08001/ ],
	[ 'SASL of an unknown mechanism', { start => message('R', pack('N', 10) . "NONE\0\0") }, undef, qr/ERROR:  08001/ ],
	[ 'SASL with noise', { start => message('R', pack('N', 10) . "SCRAM-SHA-256\0\0"), answers => [ message('R', pack('N', 11) . "r=\xff,s=,i=0") ] }, undef, qr/ERROR:  08001/ ],
	[ 'SASL that ends at once', { start => message('R', pack('N', 10) . "SCRAM-SHA-256\0\0"), answers => [ auth_ok() ] }, undef, qr/\Aconnected\z|ERROR:  08001/ ],
	[ 'SASL with another nonce', { start => message('R', pack('N', 10) . "SCRAM-SHA-256\0\0"), answers => [ message('R', pack('N', 11) . 'r=x,s=QSXCR+Q6sek8bf92,i=2147483647') ] }, undef, qr/ERROR:  08001/ ],
	[ 'negotiation of the version', { start => message('v', pack('NN', 0, 0)) . auth_ok(), answers => [$one] }, undef, qr/\Aconnected\z|ERROR:  08001/ ],
	[ 'rows instead of a welcome', { start => $one }, undef, qr/ERROR:  08001/ ],
	[ 'an error of nothing for a welcome', { start => error_message({}) }, undef, qr/ERROR:  08001/ ],
	[ 'a welcome that is HTTP', { start => "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n" }, undef, qr/ERROR:  08001/ ],
	[ 'a notice of 1 MB for a welcome', { start => error_message({ S => 'NOTICE', C => '00000', M => "n\nFATAL:  forged" x 70_000 }, 'N') . auth_ok(), answers => [$one] }, $ask, qr/ERROR:  08001|\A1\z/ ],
	# notifications
	[ 'a notification of bad bytes', { answers => [ message('A', pack('N', 1) . "n\xff\0p\xfe\0") . $one ] }, "$ask; SELECT * FROM dblink_get_notify('h')", qr/ERROR:  22021|^n\?\|1\|p\?$/m ],
	[ 'a notification without an end', { answers => [ message('A', pack('N', 1) . 'n') . $one ] }, "$ask; SELECT * FROM dblink_get_notify('h')", $refused ],
	[ 'a name of 100 kB notifies', { answers => [ message('A', pack('N', 1) . 'n' x 100_000 . "\0\0") . $one ] }, "$ask; SELECT length(notify_name) FROM dblink_get_notify('h')", qr/100000\z/ ],
	[ 'waiting: a notification of bad bytes', { answers => [ $one . message('A', pack('N', 1) . "n\xff\0p\xfe\0") ], end => 'wait' }, "$ask; SELECT * FROM dblink_get_notify('h', '10 s')", qr/^n\?\|1\|p\?$/m ],
	[ 'waiting: half of a notification', { answers => [ $one . pack('aN', 'A', 100) ] }, "$ask; SELECT * FROM dblink_get_notify('h', '10 s')", qr/ERROR:  08006: \S/ ],
	[ 'waiting: a length of -1', { answers => [ $one . pack('aN', 'A', 0xffffffff) . 'x' x 50 ] }, "$ask; SELECT * FROM dblink_get_notify('h', '10 s')", qr/ERROR:  08006: \S/ ],
	[ 'waiting: rows that nothing has asked for', { answers => [ $one . $one x 100 . message('A', pack('N', 1) . "n\0p\0") ], end => 'wait' }, "$ask; SELECT * FROM dblink_get_notify('h', '10 s')", qr/^n\|1\|p$|ERROR:  08006: \S/m ],
	[ 'waiting: settings and notices only', { answers => [ $one . (parameter_status('a', 'b') . error_message({ S => 'NOTICE', C => '00000', M => 'm' }, 'N')) x 100 ] },
		"$ask; SELECT * FROM dblink_get_notify('h', '10 s')", qr/ERROR:  08006: \S/ ],
	[ 'waiting: an error that nothing has caused', { answers => [ $one . error_message({ S => 'ERROR', C => '22012', M => 'm' }) ] }, "$ask; SELECT * FROM dblink_get_notify('h', '10 s')", qr/ERROR:  08006: \S/ ],
	# cursors and asynchronous calls
	[ 'rows for a BEGIN', { answers => [$one], again => 1 }, "SELECT dblink_open('h', 'c', 'SELECT 1', FAIL)", qr/ERROR:  XX000: begin error: unexpected answer of the remote server \(PGRES_TUPLES_OK\)$/m ],
	[ 'a tag for a FETCH', { answers => [ command_complete('FETCH 0') . ready() ], again => 1 },
		"SELECT dblink_open('h', 'c', 'SELECT 1', FAIL); SELECT * FROM dblink_fetch('h', 'c', 1, FAIL) AS t(x text)", qr/ERROR:  34000/ ],
	[ 'results without end', { answers => [ $rows . command_complete('SELECT 1') ], end => 'flood' },
		"SELECT dblink_send_query('h', 'SELECT 1'); SELECT count(*) FROM dblink_get_result('h', FAIL) AS t(x text)", qr/\A1\n1\z/ ],
	# the exchange that asks what a result will be
	[ 'binary: no description', { answers => [ message('1', '') . message('t', pack('n', 0)) . ready(), $one ] }, 'BINARY', qr/$refused|ERROR:  XX000: could not send query: \S/ ],
	[ 'binary: a ready too early', { answers => [ message('1', '') . ready(), message('t', pack('n', 0)) . int4_column(1) . ready(), $one ] }, 'BINARY', qr/ERROR:  08006: remote query could not be described/ ],
	[ 'binary: two readies', { answers => [ message('1', '') . message('t', pack('n', 0)) . int4_column(1) . ready() x 2, $one ] }, 'BINARY', qr/$either|ERROR:  XX000: could not send query: \S|ERROR:  22P03/ ],
	[ 'binary: nothing but a ready', { answers => [ ready(), $one ] }, 'BINARY', qr/$refused|ERROR:  XX000: could not send query: \S/ ],
	[ 'binary: rows for a description', { answers => [ $one, $one ] }, 'BINARY', qr/$refused|ERROR:  XX000: could not send query: \S/ ],
	[ 'binary: an error at preparing', { answers => [ error_message({ S => 'ERROR', C => '42601', M => 'no' }) . ready(), $one ] }, 'BINARY', qr/\AERROR:  42601: no$/m ],
	[ 'binary: int said, 3 bytes come', { answers => [ message('1', '') . message('t', pack('n', 0)) . int4_column(1) . ready(),
				message('2', '') . int4_column(1) . data_row('abc') . $end ] }, 'BINARY', qr/ERROR:  (?:22P03|08P01)/ ],
	[ 'binary: int said, 5 bytes come', { answers => [ message('1', '') . message('t', pack('n', 0)) . int4_column(1) . ready(),
				message('2', '') . int4_column(1) . data_row('abcde') . $end ] }, 'BINARY', qr/ERROR:  22P03/ ],
	[ 'binary: int said, text comes', { answers => [ message('1', '') . message('t', pack('n', 0)) . int4_column(1) . ready(),
				message('2', '') . row_description(['x']) . data_row('1234') . $end ] }, 'BINARY', qr/ERROR|\A1234\z/ ],
	[ 'binary: described as int, two columns come', { answers => [ message('1', '') . message('t', pack('n', 0)) . int4_column(1) . ready(),
				message('2', '') . columns_said(2, 2) . data_row('1', '2') . $end ] }, 'BINARY', qr/ERROR:  42804/ ]);

# RowDescription of one column of type integer.
sub int4_column
{
	my $format = shift;
	return message('T', pack('n', 1) . "x\0" . pack('NnNnNn', 0, 0, 23, 4, 0xffffffff, $format));
}

my $fake = fake_server(sub {
	my $scene = $battery[ $_[0] % @battery ][1];
	return { start => auth_ok(), %$scene };
});
my $battery_bad = 0;
foreach my $streaming (qw(off always))
{
	foreach my $fail (qw(true false))
	{
		$s->run("SET dblink.streaming = $streaming; SET statement_timeout = '10s'");
		foreach my $n (0 .. $#battery)
		{
			my ($name, undef, $sql, $pattern) = @{ $battery[$n] };
			$sql = 'SET dblink.result_format = binary; SELECT * FROM dblink(\'h\', \'SELECT 1\', FAIL) AS t(x int); RESET dblink.result_format'
			  if ($sql || '') eq 'BINARY';
			$fake->next_scene($n);
			my $r = $s->run("SELECT 'connected' FROM dblink_connect('h', " . target($fake) . ')', 30);
			my @wrong;
			if ($sql && !$r->{hung} && !$r->{gone})
			{
				push @wrong, 'could not connect' if $r->{errors} && $pattern && !$battery[$n][1]{start};
				$sql =~ s/FAIL/$fail/g;
				$r = $s->run($sql, 30) unless $r->{errors};
			}
			$tried++;
			push @wrong, 'hung' if $r->{hung};
			push @wrong, 'the session ended' if !-d '/proc/' . $s->pid;
			push @wrong, sprintf 'took %.1f s', $r->{secs} if $r->{secs} > SLOW;
			my $said = "$r->{out}\n$r->{err}";
			$said =~ s/\A\n|\n\z//g;
			$said =~ s/NOTICE/ERROR/g if $fail eq 'false';
			push @wrong, "a message without a text: $1" if $said =~ /^([A-Z]+:  [0-9A-Z]{5}:(?: (?:begin|commit) error:| could not send query:)?\s*)$/m;
			push @wrong, "not $pattern: " . substr $said, 0, 500 if $pattern && $said !~ $pattern && !$r->{hung};
			push @wrong, unsound($s, $sockets) unless $r->{hung} || $r->{gone};
			if (@wrong)
			{
				$battery_bad++;
				diag "$name (streaming $streaming, fail_on_error $fail): " . join '; ', @wrong;
				$s->quit;
				$s = session($local);
				$s->run("SET dblink.streaming = $streaming; SET statement_timeout = '10s'");
			}
		}
	}
}
is($battery_bad, 0, @battery . ' hostile answers, four ways');
$fake->stop;

# Floods: should end by the timeout, that of errors before it, and memory should not grow
# with them.
my %flood = (
	errors => error_message({ S => 'ERROR', C => '22012', M => 'flood' x 20 }),
	strays => data_row('x' x 100),
	notices => error_message({ S => 'NOTICE', C => '00000', M => 'flood' x 20 }, 'N'),
	settings => parameter_status('flood', 'x' x 100) . parameter_status('more', 'y'),
	notifications => message('A', pack('N', 1) . "flood\0payload\0"),
	rows => data_row('x' x 100));
my @kinds = sort keys %flood;
$fake = fake_server(sub {
	my $water = $flood{ $kinds[ $_[0] ] };
	return { start => auth_ok(), answers => [ ($kinds[ $_[0] ] eq 'rows' ? row_description(['x']) : '') . $water x 50 ], flood => $water x 50, end => 'flood' };
});
foreach my $n (0 .. $#kinds)
{
	my $kind = $kinds[$n];
	$s->quit;
	$s = session($local);
	$s->run('SET dblink.streaming = always');
	$fake->next_scene($n);
	$s->run("SELECT dblink_connect('h', " . target($fake) . ')');
	my $before = memory_kb($s->pid, 'VmHWM');
	$s->run("SET statement_timeout = '400ms'");
	my $r = $s->run("SELECT count(*) FROM dblink('h', 'SELECT 1') AS t(x text)", 30);
	$s->run('RESET statement_timeout') unless $r->{hung};
	$tried++;
	my $state = $kind eq 'errors' ? '08P01' : '57014';
	ok(!$r->{hung} && $r->{err} =~ /^ERROR:  $state/m && $r->{secs} < SLOW, "a flood of $kind ends with $state") or diag substr $r->{err}, 0, 300;
	my $grown = memory_kb($s->pid, 'VmHWM') - $before;
	note "a flood of $kind: memory grew by $grown kB";
	# notifications are kept by libpq until somebody asks for them
	cmp_ok($grown, '<', 32 * 1024, "a flood of $kind: memory is bounded") unless $kind eq 'notifications';
	is(join(' ', unsound($s, $sockets)), '', "a flood of $kind: the session is sound");
}
$fake->stop;

# Many notices that end: nothing is left of them, long before the call is over.
my $notices = 20_000;
my $long = error_message({ S => 'NOTICE', C => '00000', M => 'n' x 4000 }, 'N') x $notices
  . row_description(['x']) . data_row('1') . command_complete('SELECT 1') . ready();
$fake = fake_server(sub { return { start => auth_ok(), answers => [$long] } });
undef $long;
$s->quit;
$s = session($local);
$s->run("SELECT dblink_connect('h', " . target($fake) . ')');
my $peak = memory_kb($s->pid, 'VmHWM');
rows_are($s, "SELECT x FROM dblink('h', 'SELECT 1') AS t(x int)", 1, "$notices notices");
cmp_ok(memory_kb($s->pid, 'VmHWM') - $peak, '<', 32 * 1024, 'no memory grows with the notices');
$s->run("SELECT dblink_disconnect('h')");
$tried++;
$fake->stop;

# A long error whose end comes late: should be no flood for the call that meets the end.
my $long_error = error_message({ S => 'ERROR', C => '22012', M => 'e' x 3_000_000 });
$fake = fake_server(sub {
	return { start => auth_ok(), end => 'wait', answers => [ sub {
		my ($request, $socket) = @_;
		for (my $at = 0; $at < length $long_error; $at += 65536) { syswrite $socket, substr $long_error, $at, 65536 }
		sleep 1;
		return ready();
	} ] };
});
foreach my $end ("SELECT count(*) FROM dblink_get_result('h') AS t(x text)", "SELECT dblink_wait('{h}')")
{
	$s->run("SELECT dblink_connect('h', " . target($fake) . "); SELECT dblink_send_query('h', 'SELECT 1')");
	like($s->run("SELECT * FROM dblink_get_result('h') AS t(x text)")->{err}, qr/22012/, 'a long error');
	no_error($s, $end, "its end, by $end");
	$s->run("SELECT dblink_disconnect('h')");
	$tried++;
}
$fake->stop;

# ---- answers damaged at random ------------------------------------------------

# What a true server says to the requests of each kind of call.
my $begin = command_complete('BEGIN') . ready('T');
my $three = row_description([ 'x', 'y' ]) . data_row('1', '2024-01-01') . data_row('2', undef) . data_row('3', '2024-02-02')
  . command_complete('SELECT 3') . ready();
my $failure = error_message({ S => 'ERROR', V => 'ERROR', C => '22012', M => 'division by zero', D => 'detail', H => 'hint', W => 'context', F => 'f.c', L => '1', R => 'r' }) . ready();
my $noise = error_message({ S => 'NOTICE', C => '00000', M => 'hello' }, 'N') . message('A', pack('N', 7) . "chan\0load\0") . parameter_status('DateStyle', 'ISO, MDY');
my $described = message('T', pack('n', 2) . "x\0" . pack('NnNnNn', 0, 0, 23, 4, 0xffffffff, 0) . "y\0" . pack('NnNnNn', 0, 0, 1082, 4, 0xffffffff, 0));
my $binary = message('T', pack('n', 2) . "x\0" . pack('NnNnNn', 0, 0, 23, 4, 0xffffffff, 1) . "y\0" . pack('NnNnNn', 0, 0, 1082, 4, 0xffffffff, 1));
my @talks = (
	[ $noise . $three ],
	[ $failure ],
	[ row_description([ 'x', 'y' ]) . data_row('1', '2024-01-01') . $failure ],
	[ command_complete('SET') . ready() ],
	[ row_description(['x']) . data_row('1') . command_complete('SELECT 1') . $three ],
	[ $begin, command_complete('DECLARE CURSOR') . ready('T'), substr($three, 0, -6) . ready('T'), command_complete('CLOSE CURSOR') . ready('T'), command_complete('COMMIT') . ready() ],
	[ message('1', '') . message('t', pack('n', 0)) . $described . ready(),
		message('2', '') . $binary . data_row(pack('N', 7), pack('N', 5)) . data_row(pack('N', 8), undef) . command_complete('SELECT 2') . ready() ],
	[ message('H', pack('Cn', 0, 0)) . message('d', "1\n") . message('c', '') . command_complete('COPY 1') . ready() ],
	[ message('G', pack('Cnn', 0, 1, 0)), $noise . command_complete('COPY 100') . ready() ]);

# The scene of a number: which talk, and how it is damaged.
sub damaged
{
	my $number = shift;
	srand $seed * 1_000_003 + $number;
	my @answers = @{ $talks[ $number % @talks ] };
	my $start = auth_ok();
	if (rand(10) < 1) { $start = mutate($start) }
	else
	{
		my $which = int rand @answers;
		$answers[$which] = mutate($answers[$which]);
	}
	return { start => $start, answers => \@answers,
		end => 'close', patience => 0.1,
		rand(5) < 1 ? (split => 1 + int rand 40) : () };
}

# The calls that go with each talk; many in one statement, each in a
# subtransaction, so that a trial takes little time.  What a trial says is
# counted; whether it is right can't be known, but that it ends can.
my $target = target($fake = fake_server(\&damaged));
my $r = $s->run(qq{
	CREATE FUNCTION trial(n int, fail bool) RETURNS text LANGUAGE plpgsql AS \$\$
	BEGIN
		PERFORM dblink_connect('h', $target, true);
		CASE n % 9
			WHEN 0 THEN PERFORM count(*) FROM dblink_gather('{h}', 'SELECT 1') AS t(c text, x int, y date);
			WHEN 1, 2 THEN PERFORM count(*) FROM dblink('h', 'SELECT 1', fail) AS t(x int, y date);
			WHEN 3 THEN PERFORM dblink_exec('h', 'SET x', fail);
			WHEN 4 THEN
				PERFORM dblink_send_query('h', 'SELECT 1; SELECT 2');
				IF n % 16 = 4 THEN
					PERFORM dblink_wait('{h}', '5 s');
					PERFORM * FROM dblink_gather('{h}') AS t(c text, x int);
				END IF;
				PERFORM dblink_is_busy('h');
				PERFORM * FROM dblink_get_result('h', fail) AS t(x int);
				PERFORM * FROM dblink_get_result('h', fail) AS t(x int, y date);
				PERFORM * FROM dblink_get_result('h', fail) AS t(x int, y date);
			WHEN 5 THEN
				PERFORM dblink_open('h', 'c', 'SELECT 1', fail);
				PERFORM * FROM dblink_fetch('h', 'c', 3, fail) AS t(x int, y date);
				PERFORM dblink_close('h', 'c', fail);
			WHEN 6 THEN PERFORM count(*) FROM dblink('h', 'SELECT 1', fail) AS t(x int, y date);
			WHEN 7 THEN PERFORM * FROM dblink('h', 'SELECT 1', fail) AS t(x text);
			WHEN 8 THEN PERFORM dblink_copy('h', 'x', 'SELECT g AS a FROM generate_series(1, 100) g');
		END CASE;
		PERFORM * FROM dblink_get_notify('h');
		BEGIN
			PERFORM * FROM dblink_get_notify('h', '1 ms');
		EXCEPTION WHEN connection_failure OR object_in_use THEN
			NULL;
		END;
		PERFORM * FROM dblink_connections();
		PERFORM dblink_error_message('h');
		PERFORM dblink_disconnect('h');
		RETURN 'went through';
	EXCEPTION WHEN OTHERS THEN
		PERFORM dblink_disconnect('h', true);
		RETURN CASE SQLSTATE WHEN 'XX000' THEN 'XX000 ' || left(SQLERRM, 50) ELSE SQLSTATE END;
	END \$\$;
	CREATE FUNCTION trials(low int, high int, fail bool) RETURNS SETOF text LANGUAGE plpgsql AS \$\$
	BEGIN
		FOR n IN low .. high LOOP
			PERFORM set_config('dblink.gather_failures', CASE WHEN fail THEN 'error' ELSE 'skip' END, false);
			PERFORM set_config('dblink.result_format', CASE WHEN n % 9 = 6 THEN 'binary' ELSE 'text' END, false);
			RETURN NEXT trial(n, fail);
		END LOOP;
	END \$\$});
die $r->{err} if $r->{errors};

my %outcome;
my $damaged_bad = 0;
my $batch = 50;
my $slowest = 0;
for (my $low = 0; $low < $trials && $damaged_bad < 2; $low += $batch)
{
	my $high = $low + $batch - 1;
	my $streaming = $low / $batch % 2 ? 'always' : 'off';
	my $fail = $low / $batch % 4 < 2 ? 'true' : 'false';
	$fake->next_scene($low);
	my $forward = $low / $batch % 3 == 0 ? 'on' : 'off';
	$r = $s->run("SET client_min_messages = error; SET dblink.forward_notices = $forward; SET dblink.streaming = $streaming; SELECT o, count(*) FROM trials($low, $high, $fail) o GROUP BY 1", 60);
	$slowest = $r->{secs} if $r->{secs} > $slowest;
	my @wrong;
	my $count = 0;
	while ($r->{out} =~ /^(.*)\|(\d+)$/mg)
	{
		$outcome{$1} += $2;
		$count += $2;
	}
	push @wrong, "$count trials ended: $r->{err}" if $count != $batch;
	push @wrong, 'hung' if $r->{hung};
	push @wrong, 'the session ended' unless -d '/proc/' . $s->pid;
	my $next = $fake->next_scene(0);
	push @wrong, "the fake server was asked up to $next" if $count == $batch && $next != $high + 1;
	push @wrong, unsound($s, $sockets) unless $r->{hung} || $r->{gone};
	$tried += $batch;
	next if !@wrong;
	$damaged_bad++;
	diag "DBLINK_SEED=$seed, trials $low to $high (streaming $streaming, fail_on_error $fail), up to $next: ", join '; ', @wrong;
	$s->quit;
	$s = session($local);
}
is($damaged_bad, 0, "$trials damaged answers, seed $seed");
note join ', ', map { "$_: $outcome{$_}" } sort { $outcome{$b} <=> $outcome{$a} } keys %outcome;
note sprintf 'slowest batch %.1f s', $slowest;
cmp_ok($outcome{'went through'} || 0, '<', $trials * 0.8, 'most of them were noticed');
diag "SUMMARY hostile answers tried: $tried, seed $seed";
$fake->stop;
$s->quit;
done_testing();
