# The sweep: a dialogue that uses everything dblink can do with a connection is
# run through a proxy that strikes at one frame of it, once at each frame of
# both directions, cancel requests included.  Each time every statement ends
# within its bound, no answer is wrong, the backend lives (unless it was told to
# end), and nothing is left on either side.
#
# The quick run strikes at some of the frames, the full one (DBLINK_SWEEP=full,
# or PG_TEST_EXTRA=sweep) at each of them, in all combinations of streaming,
# fail_on_error and TLS; what waits for a deadline at each frame (the stalls), in
# three of them.  DBLINK_SWEEP=full:always,true,0 does one combination, and
# DBLINK_SWEEP=always,true,0,c,10,pause,INT (streaming, fail_on_error, TLS,
# direction, frame, deed, signal) tries one point only, as it is named where a
# point fails.
#
# streaming: any

use strict;
use warnings;
use Test::More;
use Time::HiRes qw(time);
use PostgreSQL::Test::Utils;
use DblinkTest;
use DblinkProxy;

my ($full, $variants) = ($ENV{DBLINK_SWEEP} || '') =~ /^(full)(?::(.+))?$/;
my @only = $full ? () : split /,/, $ENV{DBLINK_SWEEP} || '';
@only = () if @only != 7;

# Where the full run tries the stalls.
my %stalled = map { $_ => 1 } ('always,true,0', 'off,false,0', 'on,true,1');
my $password = 'swept-' . join '', map { chr 97 + rand 26 } 1 .. 12;

# The longest that one statement may take: a cancel request may be waited for,
# then its effect, then the effect of a second one.
my $bound = 6;

my ($local, $remote) = make_pair(
	remote => {
		hba => ['host all swept 127.0.0.1/32 scram-sha-256'],
		conf => ["password_encryption = 'scram-sha-256'", "log_min_messages = fatal"] },
	local => { conf => ["log_min_messages = log"] });
watch($remote)->run("CREATE ROLE swept LOGIN PASSWORD '$password'");
speak_tls($remote);

my $s = session($local);
$s->run('CREATE EXTENSION dblink2');
my $sockets = local_fds($s);
my $proxy = start_proxy($remote->port);
my ($points, $passed, $silent, $missed) = (0, 0, 0, 0);
my @bad;
my %by_deed;

# Makes the server speak TLS.
sub speak_tls
{
	my $node = shift;
	unwatch($node);
	$node->append_conf('postgresql.conf', "$_\n") foreach tls_conf($node->data_dir);
	$node->restart;
	return;
}

# Waits until the remote has begun to sleep, for a moment only: then a cancel request
# has an effect.  It asks the remote directly, so that the proxy sees nothing of it.
sub until_asleep
{
	my $direct = lit('host=127.0.0.1 dbname=postgres port=' . $remote->port . " user=swept password=$password application_name=watching");
	my $wait = lit(<<'SQL');
DO $$BEGIN
	FOR i IN 1 .. 40 LOOP
		PERFORM pg_stat_clear_snapshot();
		EXIT WHEN EXISTS (SELECT FROM pg_stat_activity
			WHERE application_name = 'swept' AND state = 'active' AND query LIKE '%pg_sleep(1.5)%');
		PERFORM pg_sleep(0.005);
	END LOOP;
END$$
SQL
	return "SELECT dblink_exec($direct, $wait)";
}

# The dialogue: [ tag, SQL, pattern of the answers that are right when something
# went wrong ].  An answer in none of the forms is a silent error.  A statement
# that failed gives no answer, which is always right then.
sub dialogue
{
	my ($tls, $fail) = @_;
	my $target = lit("host=127.0.0.1 dbname=postgres user=swept password=$password gssencmode=disable"
		  . " application_name=swept port=" . $proxy->port . ' sslmode=' . ($tls ? 'require' : 'disable'));
	return (
		[ connect => "SELECT dblink_connect('w', $target)", qr/^$/ ],
		[ query => "SELECT count(*) || '/' || coalesce(sum(x), 0) FROM dblink('w', 'SELECT generate_series(1, 5)', $fail) AS t(x int)", qr{^0/0$} ],
		[ first => "SELECT x FROM dblink('w', 'SELECT * FROM (VALUES (7), (8)) AS v', $fail) AS t(x int) LIMIT 1", qr/^$/ ],
		[ failing => "SELECT count(*) FROM dblink('w', 'SELECT 1/(2-g) FROM generate_series(1,3) g', false) AS t(x int)", qr/^0$/ ],
		[ exec => "SELECT dblink_exec('w', 'LISTEN swept', $fail)", qr/^ERROR$/ ],
		[ send => "SELECT dblink_send_query('w', 'SELECT generate_series(1, 2); SELECT 3')", qr/^0$/ ],
		[ result => "SELECT count(*) FROM dblink_get_result('w', $fail) AS t(x int)", qr/^0$/ ],
		[ result2 => "SELECT sum(x) FROM dblink_get_result('w', $fail) AS t(x int)", qr/^$/ ],
		# an interrupt that came before a call began has left its result to the next
		[ result3 => "SELECT count(*) FROM dblink_get_result('w', $fail) AS t(x int)", qr/^[01]$/ ],
		[ busy => "SELECT dblink_is_busy('w')", qr/^[01]$/ ],
		[ open => "SELECT dblink_open('w', 'cur', 'SELECT generate_series(1, 3)', $fail)", qr/^ERROR$/ ],
		[ fetch => "SELECT count(*) FROM dblink_fetch('w', 'cur', 2, $fail) AS t(x int)", qr/^0$/ ],
		[ close => "SELECT dblink_close('w', 'cur', $fail)", qr/^ERROR$/ ],
		[ notify => "SELECT dblink_exec('w', 'NOTIFY swept, ''x''', $fail)", qr/^ERROR$/ ],
		[ notified => "SELECT count(*) FROM dblink_get_notify('w')", qr/^0$/ ],
		[ notify2 => "SELECT dblink_exec('w', 'NOTIFY swept, ''y''', $fail)", qr/^ERROR$/ ],
		[ awaited => "SELECT count(*) FROM dblink_get_notify('w', '1 s')", qr/^0$/ ],
		[ sleep => "SELECT dblink_send_query('w', 'SELECT pg_sleep(1.5)')", qr/^0$/ ],
		[ asleep => until_asleep(), qr/^DO$/ ],
		[ cancel => "SELECT dblink_cancel_query('w')", qr/./ ],
		[ cancelled => "SELECT count(*) FROM dblink_get_result('w', $fail) AS t(x text)", qr/^[01]$/ ],
		[ end => "SELECT count(*) FROM dblink_get_result('w', $fail) AS t(x text)", qr/^[01]$/ ],
		[ binary => "SET dblink.result_format = binary; SELECT sum(x) FROM dblink('w', 'SELECT g, g::text FROM generate_series(1, 3) g', $fail)"
			  . " AS t(x int, y text); RESET dblink.result_format", qr/^$/ ],
		[ execute => "SELECT dblink_execute('w', 'SELECT generate_series(1, \$1)', 3)", qr/^$/ ],
		[ params => "SELECT sum(x) FROM dblink_query('w', 'SELECT \$1 + g, \$2 FROM generate_series(1, 3) g', 10, 'y') AS t(x int, y text)", qr/^$/ ],
		[ as => "SELECT sum(x) FROM dblink_query_as(NULL::int, 'w', 'SELECT unnest(\$1)', ARRAY[1, 2]) x", qr/^$/ ],
		[ describe => "SELECT count(*) FROM dblink_describe('w', 'SELECT 1, now()')", qr/^$/ ],
		[ table => "SELECT dblink_exec('w', 'CREATE TEMP TABLE swept (a int, b text)', $fail)", qr/^ERROR$/ ],
		[ copy => "SELECT dblink_copy('w', 'swept', 'SELECT g AS a, repeat(''x'', 200) AS b FROM generate_series(1, 1000) g')", qr/^$/ ],
		# all or nothing
		[ copied => "SELECT x FROM dblink('w', 'SELECT count(*) FROM swept', $fail) AS t(x int)", qr/^0?$/ ],
		[ error => "SELECT count(*) <= 1 FROM dblink_error()", qr/^t$/ ],
		[ sent => "SELECT dblink_send_query('w', 'SELECT generate_series(1, 2); SELECT 4')", qr/^0$/ ],
		[ waited => "SELECT dblink_wait('{w}', '1 s')", qr/^$/ ],
		[ gathered => "SELECT sum(x) FROM dblink_gather('{w}') AS t(c text, x int)", qr/^$/ ],
		[ both => "SELECT sum(x) FROM dblink_gather(ARRAY['w', $target], 'SELECT generate_series(1, \$1)', 3) AS t(c text, x int)", qr/^$/ ],
		[ shown => "SELECT count(*) <= 1 FROM dblink_connections()", qr/^t$/ ],
		[ again => "SELECT dblink_connect('w', $target, true)", qr/^$/ ],
		# which of the answers are there depends on where it fails; t/follow.pl compares
		[ begin => "BEGIN; SELECT dblink_begin('w'); SAVEPOINT s; SELECT dblink_execute('w', 'SELECT 1'); ROLLBACK TO s;"
			  . " SELECT dblink_execute('w', 'SELECT 2'); RELEASE s; SELECT dblink_send_query('w', 'SELECT 3'); COMMIT", qr/./ ],
		[ disconnect => "SELECT dblink_disconnect('w')", qr/^$/ ],
		[ adhoc => "SELECT sum(x) FROM dblink($target, 'SELECT 4711', $fail) AS t(x int)", qr/^$/ ]);
}

# Runs the dialogue in one go.  Returns the result, and the answers by tag.
sub converse
{
	my @dialogue = @_;
	my $r = $s->run(join('', map { "\\echo <$_->[0]>\n\\warn <$_->[0]>\n$_->[1];\n" } @dialogue), 60);
	my %answers;
	my $out = "$r->{out}\n";
	while ($out =~ /^<(\w+)>\n((?:(?!<\w+>$).*\n?)*)/mg)
	{
		my ($tag, $answer) = ($1, $2);
		$answer =~ s/\n\z//;
		$answers{$tag} = $answer;
	}
	# all that psql had to say, without what an undisturbed dialogue says
	my $trouble = $r->{err};
	$trouble =~ s/^<\w+>\n?//mg;
	return ($r, \%answers, $trouble);
}

# One point: strike, and look at everything.
sub strike
{
	my ($name, $dialogue, $clean, $direction, $at, $what, $signal) = @_;
	my @wrong;
	$proxy->arm($direction, $at, $what, $s->pid, $signal);
	my ($r, $answers, $trouble) = converse(@$dialogue);
	my $report = $proxy->report;
	my $troubled = $trouble ne $clean->{trouble};
	# How many TLS records there are depends on what libpq wrote at a time: the last
	# frames may not be there.  Such a point is not counted, but looked at.
	$missed++ if !$report->{fired};
	return if !$report->{fired} && !$r->{hung} && !$troubled;
	# a signal at the very last frames comes when the dialogue is over
	poll_until(sub { !-d '/proc/' . $s->pid }, $bound) if $signal eq 'TERM' && $report->{fired} && !$r->{hung};
	# psql's own words; libpq has some like them in a DETAIL of dblink's
	my $gone = $r->{err} =~ /^(connection to server was lost|FATAL:  57P01)/m
	  || $signal eq 'TERM' && !-d '/proc/' . $s->pid;
	$points++ if $report->{fired};
	$by_deed{ $what =~ /stall/ ? "$what $signal" : $what }++ if $report->{fired};
	$silent++ if !$troubled;

	push @wrong, sprintf 'hung for %.1f s', $r->{secs} if $r->{hung};
	# the statements together: one of them may have waited for its bound, or two
	push @wrong, sprintf 'took %.1f s', $r->{secs} if $r->{secs} > 2 * $bound;
	if ($gone && $signal eq 'TERM')
	{
		# what was told to end has ended, and its remote sessions with it
		my $pid = $s->pid;
		poll_until(sub { !-d "/proc/$pid" }, $bound);
		push @wrong, "backend $pid still runs" if -d "/proc/$pid";
		$s->quit;
		$s = session($local);
	}
	elsif ($gone)
	{
		push @wrong, 'the backend ended';
	}
	else
	{
		foreach my $step (@$dialogue)
		{
			my ($tag, undef, $allowed) = @$step;
			my $answer = $answers->{$tag};
			# what became of a cancel request is told by the function's own answer
			my $told = $troubled || $tag eq 'cancel';
			next if defined $answer && $answer eq $clean->{answers}{$tag};
			push @wrong, "$tag gave nothing" unless defined $answer;
			push @wrong, "$tag gave \"$answer\"" . ($told ? '' : ' without any message')
			  unless defined $answer && $told && ($answer eq '' || $answer =~ $allowed);
		}
		my @left = unsound($s, $sockets);
		# A thread that makes a cancel request, where libpq needs one, can only be
		# left to itself until the remote lets go of it; then nothing must be left.
		if ($what =~ /stall/ && "@left" =~ /cancel requests 1|^\d+ sockets, not \d+$/)
		{
			$proxy->arm('s', -1, 'none');
			@left = unsound($s, $sockets);
		}
		push @wrong, @left;
	}
	$proxy->arm('s', -1, 'none');
	push @wrong, settled($remote, 'swept') if $what !~ /^(half)?(cut|reset)/ || @wrong;
	if (@wrong)
	{
		push @bad, "$name, $direction,$at,$what,$signal: " . join('; ', @wrong) . "\n$r->{err}";
		diag $bad[-1];
	}
	elsif ($report->{fired})
	{
		$passed++;
	}
	return !@wrong;
}

# What to do at the frames: [ deed, signal, one in so many frames (quick) ].
# Those that nothing ever releases wait for a deadline: few of them.
my @deeds = (
	[ 'cut', 'INT', 2 ],
	[ 'reset', 'INT', 5 ],
	[ 'half', 'INT', 3 ],
	[ 'halfreset', 'INT', 7 ],
	[ 'remote', 'INT', 5 ],
	[ 'pause', 'INT', 3 ],
	[ 'stall', 'TERM', 16 ],
	[ 'stall', 'INT', 24 ],
	[ 'halfstall', 'INT', 48 ],
	[ 'dribble', 'INT', 24 ]);

# Sweeps one variant: streaming, fail_on_error, TLS.
sub sweep
{
	my ($streaming, $fail, $tls, $share) = @_;
	my $name = "$streaming,$fail,$tls";
	my @dialogue = dialogue($tls, $fail);
	unshift @dialogue, [ 'set', "SET dblink.streaming = $streaming", qr/^$/ ];
	my $before = @bad;
	my ($points_before, $begun) = ($points, time);

	# without a fault, twice: the answers and messages are the same
	$proxy->arm('s', -1, 'none');
	converse(@dialogue);
	$proxy->arm('s', -1, 'none');
	my ($r, $answers, $trouble) = converse(@dialogue);
	my $counted = $proxy->report;
	my $clean = { answers => $answers, trouble => $trouble };
	is(join(' ', map { "$_->[0]=$answers->{$_->[0]}" } @dialogue[ 1 .. $#dialogue ]),
		'connect=OK query=5/15 first=7 failing=0 exec=LISTEN send=1 result=2 result2=3 result3=0 busy=0'
		  . ' open=OK fetch=2 close=OK notify=NOTIFY notified=1 notify2=NOTIFY awaited=1 sleep=1 asleep=DO cancel=OK cancelled='
		  . ($fail eq 'true' ? '' : 0)
		  . ' end=0 binary=6 execute=3 params=36 as=3 describe=2 table=CREATE TABLE copy=1000 copied=1000 error=t sent=1 waited=w gathered=7 both=12 shown=t again=OK'
		  . " begin=OK\n1\n1\n1 disconnect=OK adhoc=4711",
		"$name: undisturbed") or diag $r->{err};
	$sockets = local_fds($s);

	my $n = 0;
	strike($name, \@dialogue, $clean, @only[ 3 .. 6 ]) if @only;
	foreach my $deed (@only ? () : @deeds)
	{
		my ($what, $signal, $quick) = @$deed;
		next if $full && $what =~ /stall/ && !$stalled{$name};
		my $step = $full ? 1 : $quick * $share;
		foreach my $direction (qw(c s))
		{
			# each deed begins at a frame of its own
			for (my $at = $full ? 0 : $n++ % $step; $at < $counted->{$direction}; $at += $step)
			{
				strike($name, \@dialogue, $clean, $direction, $at, $what, $signal);
				last if @bad >= 10;
			}
		}
		print "# $name: $what ($signal) done, ", $points - $points_before, " points\n";
	}
	# cut connections are seen by the remote when it next reads
	push @bad, "$name: $_" foreach settled($remote, 'swept', 20);
	is(@bad - $before, 0, "$name: $counted->{c} + $counted->{s} frames, " . ($points - $points_before)
		  . sprintf(' points in %.0f s', time - $begun));
	return;
}

if (@only)
{
	sweep(@only[ 0 .. 2 ], 1);
}
elsif ($full)
{
	my @all;
	foreach my $tls (0, 1)
	{
		foreach my $streaming (qw(off on always))
		{
			push @all, "$streaming,$_,$tls" foreach qw(true false);
		}
	}
	sweep(split(/,/, $_), 1) foreach $variants ? split / /, $variants : @all;
}
else
{
	sweep('always', 'true', 0, 3);
	sweep('off', 'false', 0, 6);
	sweep('on', 'true', 1, 6);
}

cmp_ok($silent, '<', $points / 2, "most faults were noticed ($silent were not)") unless @only;
cmp_ok($missed, '<=', 2 + $points / 20, "the frame was there, but for $missed times");
diag "SUMMARY points swept: $points, passed: $passed";
diag 'SUMMARY points by fault: ' . join ', ', map { "$_ $by_deed{$_}" } sort keys %by_deed;
is($passed, $points, "$points points swept, $passed passed");
$proxy->stop;
$s->quit;
done_testing();
