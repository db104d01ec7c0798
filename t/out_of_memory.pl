# Out of memory: each allocation that libpq, or the library itself, makes while
# connecting, querying, meeting errors, cancelling and disconnecting fails once,
# alone and together with those after it.  The statement ends with an error or
# succeeds; the session lives; no name is half registered; nothing is left.
# DBLINK_OOM=full takes every allocation, the quick run one in a few, and
# DBLINK_OOM=325,1 the 325th only, 1 of them.
#
# Also the other bounds on memory: work_mem, temp_file_limit, the size of the
# address space.

use strict;
use warnings;
use Test::More;
use Time::HiRes qw(time);
use PostgreSQL::Test::Utils;
use DblinkTest;

my $full = ($ENV{DBLINK_OOM} || '') eq 'full';
my $dir = PostgreSQL::Test::Utils::tempdir();
my $source = __FILE__ =~ s{[^/]*$}{malloc_fail.c}r;
my $preload = "$dir/malloc_fail.so";
my $orders = "$dir/orders";

is(system("cc -O1 -fPIC -shared -fno-builtin -fno-optimize-sibling-calls -o '$preload' '$source' >'$dir/cc.out' 2>&1"), 0, 'the preload compiles')
  or diag slurp_file("$dir/cc.out");
order(0, 0, 0);

# Orders to the preload.
sub order
{
	my ($pid, $at, $many) = @_;
	my $fills = -e $orders ? '' : "\0" x 4064;
	open my $fh, $fills ? '+>' : '+<', $orders or die "$orders: $!";
	binmode $fh;
	print $fh pack('q4', $pid, $at, $many, 0), $fills;
	close $fh;
	return;
}

# How many allocations were counted.
sub counted
{
	open my $fh, '<', $orders or die "$orders: $!";
	binmode $fh;
	read $fh, my $bytes, 32;
	return (unpack 'q4', $bytes)[3];
}

my $password = 'oom-password';
my ($local, $remote) = make_pair(
	remote => { hba => ['host all secured 127.0.0.1/32 scram-sha-256'], conf => ["password_encryption = 'scram-sha-256'"] },
	local => { env => { LD_PRELOAD => $preload, MALLOC_FAIL_ORDERS => $orders }, conf => ["log_min_messages = error"] });
watch($remote)->run("CREATE ROLE secured LOGIN PASSWORD '$password'");
my $s = session($local);
$s->run('CREATE EXTENSION dblink2');
my $target = lit("host=127.0.0.1 dbname=postgres user=secured password=$password sslmode=disable gssencmode=disable application_name=oom port=" . $remote->port);

# The dialogue, and what is right for each answer; a failed statement gives none.
my @dialogue = (
	[ "SELECT dblink_connect('m', $target)", qr/^OK$/ ],
	[ "SELECT dblink_connect('m', $target, true)", qr/^OK$/ ],
	[ "SELECT count(*) FROM dblink_connections()", qr/^[01]$/ ],
	[ "SELECT count(*) FROM dblink('m', 'SELECT g, repeat(''x'', 100) FROM generate_series(1, 40) g') AS t(x int, y text)", qr/^40$/ ],
	[ "SELECT count(*) FROM dblink('m', 'SELECT 1/0', false) AS t(x int)", qr/^0$/ ],
	[ "SELECT count(*) FROM dblink('m', 'SELECT 1/(3-g) FROM generate_series(1,5) g') AS t(x int)", qr/^$/ ],
	[ "SELECT dblink_exec('m', 'LISTEN oom')", qr/^LISTEN$/ ],
	[ "SELECT dblink_exec('m', 'NOTIFY oom, ''load''')", qr/^NOTIFY$/ ],
	[ "SELECT count(*) FROM dblink_get_notify('m')", qr/^[01]$/ ],
	[ "SELECT dblink_exec('m', 'NOTIFY oom, ''more''')", qr/^NOTIFY$/ ],
	[ "SELECT count(*) FROM dblink_get_notify('m', '10 ms')", qr/^[012]$/ ],
	[ "SET dblink.forward_notices = on; SELECT dblink_exec('m', 'DO \$\$BEGIN RAISE NOTICE ''a notice'' USING DETAIL = ''d'', HINT = ''h''; END\$\$'); RESET dblink.forward_notices", qr/^DO$/ ],
	[ "SELECT dblink_open('m', 'c', 'SELECT generate_series(1, 3)')", qr/^OK$/ ],
	[ "SELECT count(*) FROM dblink_fetch('m', 'c', 3) AS t(x int)", qr/^3$/ ],
	[ "SELECT dblink_close('m', 'c')", qr/^OK$/ ],
	[ "SELECT dblink_send_query('m', 'SELECT pg_sleep(0.3)')", qr/^[01]$/ ],
	[ "SELECT dblink_cancel_query('m')", qr/./ ],
	[ "SELECT count(*) FROM dblink_get_result('m', false) AS t(x text)", qr/^[01]$/ ],
	[ "SELECT count(*) FROM dblink_get_result('m', false) AS t(x text)", qr/^[01]$/ ],
	[ "SET dblink.result_format = binary; SELECT sum(x) FROM dblink('m', 'SELECT g FROM generate_series(1, 3) g') AS t(x int); RESET dblink.result_format", qr/^6$/ ],
	[ "SELECT dblink_execute('m', 'SELECT generate_series(1, \$1)', 7)", qr/^7$/ ],
	[ "SELECT count(*) FROM dblink_query('m', 'SELECT g, \$1, \$2 FROM generate_series(1, 40) g', 'x', date '2024-02-29') AS t(x int, y text, z date)", qr/^40$/ ],
	[ "SELECT count(*) FROM dblink_query_as(NULL::pg_description, 'm', 'SELECT description, objsubid, objoid, classoid FROM pg_description LIMIT \$1', 9)", qr/^9$/ ],
	[ "SELECT string_agg(type_name, ' ') FROM dblink_describe('m', 'SELECT 1, now()')", qr/^integer timestamp with time zone$/ ],
	[ "SELECT dblink_exec('m', 'CREATE TEMP TABLE oom (a int, b text)')", qr/^CREATE TABLE$/ ],
	[ "SELECT dblink_copy('m', 'oom', 'SELECT g AS a, ''10.0.0.1''::inet AS b FROM generate_series(1, 7000) g')", qr/^7000$/ ],
	[ "SELECT x FROM dblink('m', 'SELECT count(*) FROM oom') AS t(x int)", qr/^(?:7000|0)$/ ],
	[ "SELECT count(*) FROM dblink_error()", qr/^1$/ ],
	[ "SELECT dblink_send_query('m', 'SELECT generate_series(1, 40); SELECT 1')", qr/^[01]$/ ],
	[ "SELECT dblink_wait('{m}', '1 s')", qr/^m$/ ],
	[ "SELECT count(*) FROM dblink_gather('{m}') AS t(c text, x int)", qr/^(41|0)$/ ],
	[ "SELECT count(*) FROM dblink_gather(ARRAY['m', $target], 'SELECT g, \$1 FROM generate_series(1, 40) g', 'x') AS t(c text, x int, y text)", qr/^80$/ ],
	[ "SET dblink.gather_failures = skip; SELECT count(*) BETWEEN 0 AND 80 FROM dblink_gather(ARRAY['m', $target], 'SELECT generate_series(1, 40)') AS t(c text, x int); RESET dblink.gather_failures", qr/^t$/ ],
	[ "SET dblink.keep_connections = 1; SELECT x FROM dblink($target, 'SELECT 5') AS t(x int); SET dblink.keep_connections = 0", qr/^5$/ ],
	[ "SELECT dblink_disconnect('m', true)", qr/^OK$/ ],
	[ "SELECT count(*) FROM dblink($target, 'SELECT 6') AS t(x int)", qr/^1$/ ]);
my @described = grep { $dialogue[$_][0] =~ /binary|describe/ } 0 .. $#dialogue;
my @copied = grep { $dialogue[$_][0] =~ /dblink_copy/ } 0 .. $#dialogue;
my $waited = 0;
my $script = join '', map { "\\echo <$_>\n$dialogue[$_][0];\n" } 0 .. $#dialogue;
my @bad;

# Runs the dialogue with these orders; returns what is wrong.
sub dialogue_with
{
	my ($at, $many, $sockets) = @_;
	order($s->pid, $at, $many);
	my $r = $s->run('SET statement_timeout = ' . ($many > 100 ? 1000 : 10000) . ";\n$script", 60);
	my $count = counted();
	order(0, 0, 0);
	my @wrong;
	push @wrong, sprintf 'hung for %.1f s', $r->{secs} if $r->{hung};
	push @wrong, 'the backend ended' if !-d '/proc/' . $s->pid;
	if (!@wrong)
	{
		my @answers = split /^<\d+>\n?/m, "$r->{out}\n";
		shift @answers;
		foreach my $n (0 .. $#dialogue)
		{
			my $answer = $answers[$n];
			$answer = '' unless defined $answer;
			chomp $answer;
			push @wrong, "\"$answer\" from $dialogue[$n][0]" if $answer ne '' && $answer !~ $dialogue[$n][1];
		}
		push @wrong, "at $at nothing was said: $r->{err}" if $at == 0 && $r->{errors} != 1;
		# libpq takes a lack of memory for a message of which the rest has not come,
		# and waits; what lasts must be ended by whoever waits, and can be
		# One place has it with a single failure: libpq 15 forgets that the pipeline of
		# a statement's description has ended, if it can't allocate the result that
		# says so.  What waits there ends by the timeout, and the connection with it.
		# Another is the answer to COPY, after which the remote sends nothing by itself:
		# it ends by the timeout, whose cancel has libpq look again.
		if ($r->{err} =~ /statement timeout/ && $many < 100)
		{
			$waited++;
			push @wrong, 'timed out' unless
			  (grep { $answers[$_] =~ /^\s*$/ } @described) && $r->{err} =~ /57014: canceling statement due to statement timeout\n.*\nWARNING:  08006: dblink connection "m" was closed/
			  || (grep { $answers[$_] =~ /^\s*$/ } @copied) && $r->{err} =~ /57014: canceling statement due to statement timeout\n/;
		}
		# anything that is not one of these SQLSTATEs is not an answer to this; 22021 is the
		# one of dblink_copy() where libpq has lost what the remote's client_encoding is
		my %states = map { $_->{state} => 1 } grep { $_->{severity} ne 'WARNING' } @{ $r->{messages} };
		delete @states{qw(00000 55000 55006 08000 08001 08003 08006 22012 22021 53200 57014 XX000 25P02 34000 42P03 42710 HV00J)};
		push @wrong, 'odd SQLSTATE ' . join(' ', sort keys %states) . ": $r->{err}" if %states;
		push @wrong, unsound($s, $sockets);
	}
	return ($count, $r, @wrong);
}

my $sockets = local_fds($s);
$s->run("SELECT * FROM dblink($target, 'SELECT 1') AS t(x int)");
dialogue_with(0, 0, $sockets);
my ($total, $r, @wrong) = dialogue_with(0, 0, $sockets);
is(join('; ', @wrong), '', "the dialogue goes through, $total allocations are counted");
cmp_ok($total, '>', 200, 'the preload counts');

my ($failed, $begun) = (0, time);
my @one = ($ENV{DBLINK_OOM} || '') =~ /^(\d+),(\d+)$/;
if (@one)
{
	my (undef, $r, @wrong) = dialogue_with(@one, $sockets);
	diag "allocation $one[0], $one[1] of them: ", join('; ', @wrong), "\n$r->{err}";
	push @bad, @wrong;
}
foreach my $many (@one ? () : (1, 3, 1000))
{
	my $step = $full ? 1 : $many == 1 ? 11 : 61;
	for (my $at = 1 + int rand $step; $at <= $total && @bad < 10; $at += $step)
	{
		my (undef, $r, @wrong) = dialogue_with($at, $many, $sockets);
		$failed++;
		next if !@wrong;
		push @bad, "allocation $at, $many of them: " . join '; ', @wrong;
		diag substr $bad[-1], 0, 2000;
		diag substr $r->{err}, 0, 3000;
		next if -d '/proc/' . $s->pid && !$r->{hung};
		$s->quit;
		poll_until(sub { $s = eval { session($local) }; $s && $s->pid =~ /^\d+$/ }, 20);
	}
}
is(@bad, 0, sprintf '%d failing allocations in %.0f s', $failed, time - $begun);
push @bad, settled($remote, 'oom', 20);

# nothing is left when memory is there again
is(join('; ', (dialogue_with(0, 0, $sockets))[ 2 .. 9 ] // ''), '', 'and then the dialogue goes through again');
remote_quiet($remote, "application_name = 'oom'", 'no session is left on the remote');

# ---- other bounds -----------------------------------------------------------------

# temp_file_limit: should fail with 53400, and the connection should be usable
$s->run("SELECT dblink_connect('m', $target)");
$s->run("SET dblink.streaming = off; SET work_mem = '64kB'; SET temp_file_limit = '1MB'");
fails_with($s, "SELECT count(*) FROM dblink('m', 'SELECT g, repeat(''x'', 200) FROM generate_series(1, 50000) g') AS t(x int, y text)",
	{ state => '53400', within => SLOW }, 'temp_file_limit acts');
rows_are($s, "SELECT x FROM dblink('m', 'SELECT 1') AS t(x int)", '1', 'and the connection is usable');
$s->run('RESET temp_file_limit; RESET work_mem; RESET dblink.streaming');

# a small address space: should be 53200 or 08006, and the connection usable or
# reported as lost
SKIP:
{
	my $room = (slurp_file('/proc/' . $s->pid . '/status') =~ /^VmSize:\s+(\d+)/m)[0] * 1024 + 24 * 1024 * 1024;
	is(system('prlimit', '--pid', $s->pid, "--as=$room:unlimited"), 0, 'the address space is made small');
	$s->run("SET statement_timeout = '50s'");
	foreach my $streaming (qw(off always))
	{
		$s->run("SET dblink.streaming = $streaming");
		my $r = $s->run("SELECT max(length(x)) FROM dblink('m', 'SELECT repeat(''x'', 100000000)') AS t(x text)", 60);
		ok(!$r->{hung} && $r->{err} =~ /53200|08006|08000|XX000/, "a value of 100 MB where there is no room (streaming $streaming)") or diag substr "$r->{out} $r->{err}", 0, 800;
		$r = $s->run("SELECT x FROM dblink('m', 'SELECT 1') AS t(x int)");
		ok($r->{out} eq '1' || $r->{err} =~ /08003|08001|08006|no connection to the server/, 'then the connection is usable, or reported as lost') or diag "$r->{out} $r->{err}";
		$s->run("SELECT dblink_disconnect('m')");
		$s->run("SELECT dblink_connect('m', $target)");
	}
	is(system('prlimit', '--pid', $s->pid, '--as=unlimited:unlimited'), 0, 'and large again');
}
rows_are($s, "SELECT x FROM dblink('m', 'SELECT 1') AS t(x int)", '1', 'the session works');
is(join('; ', unsound($s, $sockets)), '', 'and nothing is left');

cmp_ok($waited, '<=', 6, "$waited of them wait for a timeout");
diag "SUMMARY allocations failed: $failed ($total there are, alone and with those after), wrong: " . @bad . ", ended by a timeout within libpq: $waited";
$s->quit;
done_testing();
