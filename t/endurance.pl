# Endurance: many rounds of connecting, querying, failing and disconnecting, many
# connections in one session, many aborted subtransactions, and a random mix of
# all functions through a proxy that strikes now and then.  Memory does not grow
# with the rounds, descriptors and remote sessions stay what they were.
#
# The environment says how much: DBLINK_ROUNDS, DBLINK_CONNECTIONS,
# DBLINK_SUBXACTS, DBLINK_SOAK_SECONDS, DBLINK_SEED; DBLINK_ENDURANCE names the
# parts (rounds, connections, subxacts, mix).

use strict;
use warnings;
use Test::More;
use Time::HiRes qw(time);
use PostgreSQL::Test::Utils;
use DblinkTest;
use DblinkProxy;

my $rounds = amount('DBLINK_ROUNDS', 1500);
my $many = amount('DBLINK_CONNECTIONS', 150);
my $subxacts = amount('DBLINK_SUBXACTS', 5000);
my $soak = amount('DBLINK_SOAK_SECONDS', 5);
my $seed = amount('DBLINK_SEED', 1 + int rand 1_000_000);
my %parts = map { $_ => 1 } split /[ ,]+/, $ENV{DBLINK_ENDURANCE} || 'rounds connections subxacts mix';
my @summary;

my ($local, $remote) = make_pair(
	remote => { conf => [ 'max_connections = ' . ($many + 30), 'log_min_messages = fatal' ] },
	local => { conf => [ 'max_files_per_process = ' . (4 * $many + 1000), 'log_min_messages = error' ] });
my $target = lit(conninfo($remote, application_name => 'enduring', sslmode => 'disable', gssencmode => 'disable'));
my $s = session($local);
my $sockets = local_fds($s);

# What the memory of the session grew by over the turns, in bytes a turn: the
# slope after the first fifth, by least squares.
sub slope
{
	my @points = @_;
	splice @points, 0, @points / 5;
	my ($sx, $sy, $sxx, $sxy) = (0) x 4;
	foreach my $point (@points)
	{
		my ($x, $y) = @$point;
		$sx += $x;
		$sy += $y;
		$sxx += $x * $x;
		$sxy += $x * $y;
	}
	my $n = @points;
	my $below = $n * $sxx - $sx * $sx;
	return $below ? 1024 * ($n * $sxy - $sx * $sy) / $below : 0;
}

# Calls SQL with an argument %d, a number of turns, until so many are done;
# says how memory went.  Every turn counts itself.
sub endure
{
	my ($name, $total, $batch, $sql, $bound) = @_;
	my ($done, $bad, @points) = (0, 0);
	my $begun = time;
	my $told = $begun;
	while ($done < $total && !$bad)
	{
		my $r = $s->run(sprintf($sql, $batch), 120);
		$bad = 1 if $r->{errors} || $r->{hung} || $r->{gone} || $r->{out} ne $batch;
		diag "$name after $done: $r->{out} " . substr $r->{err}, 0, 1000 if $bad;
		$done += $batch;
		push @points, [ $done, memory_kb($s->pid, 'RssAnon') ] unless $bad;
		if (time - $told > 20)
		{
			$told = time;
			diag sprintf '%s: %d of %d, %d kB, %.0f s', $name, $done, $total, $points[-1][1], time - $begun;
		}
	}
	ok(!$bad, sprintf '%d %s in %.0f s', $done, $name, time - $begun);
	my $slope = slope(@points);
	cmp_ok($slope, '<', $bound, sprintf 'memory does not grow with %s: %.1f bytes a turn, %d kB to %d kB', $name, $slope, $points[0][1], $points[-1][1]) unless $bad;
	push @summary, sprintf '%s: %d (%.1f bytes each)', $name, $done, $slope;
	return;
}

# ---- rounds ---------------------------------------------------------------------

if ($parts{rounds})
{
	$s->run(qq{
		CREATE FUNCTION round() RETURNS void LANGUAGE plpgsql AS \$\$
		DECLARE n int; state text := 'none';
		BEGIN
			PERFORM dblink_connect('r', $target);
			SELECT count(*) INTO n FROM dblink('r', 'SELECT g, g::text FROM generate_series(1, 10) g') AS t(x int, y text);
			IF n <> 10 THEN RAISE EXCEPTION 'wrong count %', n; END IF;
			BEGIN
				PERFORM * FROM dblink('r', 'SELECT 1/0') AS t(x int);
			EXCEPTION WHEN division_by_zero THEN state := SQLSTATE;
			END;
			IF state <> '22012' THEN RAISE EXCEPTION 'wrong state %', state; END IF;
			BEGIN
				PERFORM dblink_connect('r', $target);
			EXCEPTION WHEN duplicate_object THEN state := SQLSTATE;
			END;
			IF state <> '42710' THEN RAISE EXCEPTION 'wrong state %', state; END IF;
			PERFORM dblink_disconnect('r');
		END \$\$});
	# should grow by less than 64 bytes a round; a leaked PGconn would be 20 kB
	endure('rounds', $rounds, 50, 'SELECT count(*) FROM (SELECT round() FROM generate_series(1, %d)) x', $rounds > 20000 ? 16 : 200);
	is(join('; ', unsound($s, $sockets)), '', 'and nothing is left');
	remote_quiet($remote, "application_name = 'enduring'", 'nor on the remote');
}

# ---- many connections at a time ---------------------------------------------------

if ($parts{connections})
{
	my $begun = time;
	my $r = $s->run("SELECT count(dblink_connect('n' || g, $target)) FROM generate_series(1, $many) g", 300);
	is($r->{out}, $many, sprintf '%d connections in one session, %.1f s', $many, time - $begun) or diag substr $r->{err}, 0, 500;
	is(local_fds($s) - $sockets, $many, 'as many sockets');
	is(remote_count($remote, "application_name = 'enduring'"), $many, 'as many sessions');
	rows_are($s, "SELECT cardinality(dblink_get_connections())", $many, 'as many names');
	# each answers for itself: every one is asked for its own process
	rows_are($s, "SELECT count(DISTINCT p) FROM generate_series(1, $many) g, LATERAL dblink('n' || g, 'SELECT pg_backend_pid()') AS t(p int)", $many, 'each is another');
	# all at a time
	rows_are($s, "SELECT sum(dblink_send_query('n' || g, 'SELECT ' || g)) FROM generate_series(1, $many) g", $many, 'all are asked');
	rows_are($s, "SELECT sum(x) FROM generate_series(1, $many) g, LATERAL dblink_get_result('n' || g) AS t(x int)", $many * ($many + 1) / 2, 'all answer');
	rows_are($s, "SELECT count(dblink_disconnect(n)) FROM unnest(dblink_get_connections()) n", $many, 'all are disconnected');
	is(join('; ', unsound($s, $sockets)), '', 'and nothing is left');
	push @summary, "connections: $many";
}

# ---- subtransactions ------------------------------------------------------------

if ($parts{subxacts})
{
	$s->run("SELECT dblink_connect('x', $target); SELECT dblink_exec('x', 'SET DateStyle = German')");
	$s->run(q{
		CREATE FUNCTION aborts(n int) RETURNS int LANGUAGE plpgsql AS $$
		DECLARE done int := 0;
		BEGIN
			FOR i IN 1 .. n LOOP
				BEGIN
					CASE i % 5
						WHEN 0 THEN PERFORM * FROM dblink('x', 'SELECT 1/0') AS t(x int);
						WHEN 1 THEN PERFORM * FROM dblink('x', 'SELECT ''a'' FROM generate_series(1, 20)') AS t(x date);
						WHEN 2 THEN PERFORM dblink_exec('x', 'nonsense');
						WHEN 3 THEN PERFORM 1 / (x - 3) FROM dblink('x', 'SELECT generate_series(1, 5)') AS t(x int);
						WHEN 4 THEN PERFORM * FROM dblink('x', 'SELECT 1, 2') AS t(x int);
					END CASE;
				EXCEPTION WHEN OTHERS THEN done := done + 1;
				END;
			END LOOP;
			RETURN done;
		END $$});
	foreach my $streaming (qw(off always))
	{
		$s->run("SET dblink.streaming = $streaming");
		endure("aborted subtransactions (streaming $streaming)", $subxacts, 500, 'SELECT aborts(%d)', 100);
	}
	$s->run('RESET dblink.streaming');
	rows_are($s, "SELECT x FROM dblink('x', 'SELECT 1') AS t(x int)", '1', 'the connection is usable');
	is(join('; ', unsound($s, $sockets)), '', 'and nothing is left');
}

# ---- a random mix, with faults ------------------------------------------------------

if ($parts{mix})
{
	srand $seed;
	note "DBLINK_SEED=$seed";
	my $proxy = start_proxy($remote->port);
	my $through = lit('host=127.0.0.1 dbname=postgres sslmode=disable gssencmode=disable application_name=enduring port=' . $proxy->port);
	$s->quit;
	$s = session($local);
	$s->run("SET statement_timeout = '5s'; SET client_min_messages = warning");
	my @names = qw(a b c);
	my $f = sub { rand(2) < 1 ? 'true' : 'false' };
	my @calls = (
		sub { "SELECT dblink_connect('$_[0]', $through)" },
		sub { "SELECT dblink_connect('$_[0]', $through)" },
		sub { "SELECT count(*) FROM dblink('$_[0]', 'SELECT generate_series(1, 100)', @{[ $f->() ]}) AS t(x int)" },
		sub { "SELECT x FROM dblink('$_[0]', 'SELECT generate_series(1, 1000)') AS t(x int) LIMIT 1" },
		sub { "SELECT count(*) FROM dblink($through, 'SELECT generate_series(1, 10)') AS t(x int)" },
		sub { "SELECT * FROM dblink('$_[0]', 'SELECT 1/0', @{[ $f->() ]}) AS t(x int)" },
		sub { "SELECT * FROM dblink('$_[0]', 'SELECT ''a'' FROM generate_series(1, 500)') AS t(x int)" },
		sub { "SELECT dblink_exec('$_[0]', 'SET geqo = off', @{[ $f->() ]})" },
		sub { "SELECT dblink_open('$_[0]', 'c1', 'SELECT generate_series(1, 9)', @{[ $f->() ]})" },
		sub { "SELECT count(*) FROM dblink_fetch('$_[0]', 'c1', 4, @{[ $f->() ]}) AS t(x int)" },
		sub { "SELECT dblink_close('$_[0]', 'c1', @{[ $f->() ]})" },
		sub { "SELECT dblink_send_query('$_[0]', 'SELECT generate_series(1, 50); SELECT 2')" },
		sub { "SELECT dblink_send_query('$_[0]', 'SELECT pg_sleep(0.05)')" },
		sub { "SELECT count(*) FROM dblink_get_result('$_[0]', @{[ $f->() ]}) AS t(x text)" },
		sub { "SELECT count(*) FROM dblink_get_result('$_[0]', @{[ $f->() ]}) AS t(x text)" },
		sub { "SELECT dblink_is_busy('$_[0]')" },
		sub { "SELECT dblink_cancel_query('$_[0]')" },
		sub { "SELECT dblink_error_message('$_[0]')" },
		sub { "SELECT dblink_exec('$_[0]', 'LISTEN mix'); SELECT dblink_exec('$_[0]', 'NOTIFY mix'); SELECT count(*) FROM dblink_get_notify('$_[0]')" },
		sub { "SELECT dblink_disconnect('$_[0]')" },
		sub { "BEGIN; SELECT count(*) FROM dblink('$_[0]', 'SELECT 1') AS t(x int); SAVEPOINT p; SELECT * FROM dblink('$_[0]', 'SELECT 1/0') AS t(x int); ROLLBACK TO p; SELECT dblink_exec('$_[0]', 'SELECT 1', false); COMMIT" },
		sub { 'SET dblink.streaming = ' . (qw(off on always))[ rand 3 ] },
		sub { 'SET dblink.result_format = ' . (qw(text binary))[ rand 2 ] },
		sub { 'SET dblink.keep_connections = ' . int rand 3 },
		sub { 'SET dblink.on_early_end = ' . (qw(drain cancel))[ rand 2 ] },
		sub { "SET statement_timeout = '30ms'; SELECT count(*) FROM dblink('$_[0]', 'SELECT pg_sleep(0.2)') AS t(x text); SET statement_timeout = '5s'" });
	my ($steps, $bad, $faults, $errors, @points) = (0, 0, 0, 0);
	my $begun = time;
	my $told = $begun;
	$proxy->at_random(100 * 4, $seed);
	while (time - $begun < $soak && !$bad)
	{
		# a hundred steps in one go, then a look at everything
		my $sql = join ";\n", map { $calls[ rand @calls ]->($names[ rand @names ]) } 1 .. 100;
		my $r = $s->run("$sql;\nRESET ALL; SET statement_timeout = '5s'; SET client_min_messages = warning", 200);
		my $report = $proxy->report;
		$faults += $report->{fired};
		$errors += $r->{errors};
		$steps += 100;
		my @wrong;
		push @wrong, 'hung' if $r->{hung};
		push @wrong, 'the backend ended' if !-d '/proc/' . $s->pid;
		push @wrong, "odd: $1" if $r->{err} =~ /^(ERROR:  (?=[0-9A-Z]{5}: )(?!08|22012|2202[0-9]|22P02|57014|57P01|XX000: (?:could not send|begin|commit)|42710|34000|42P03|25P0[12]|42804|42601|2F003|25001|3B001|42P0[0-9]).*)/m;
		push @wrong, unsound($s, $sockets) unless $r->{hung} || $r->{gone};
		$s->run("SET dblink.keep_connections = 0; SELECT * FROM dblink($through, 'SELECT 1') AS t(x int); SET dblink.keep_connections = 0", 20) unless @wrong;
		if (@wrong)
		{
			$bad++;
			diag "DBLINK_SEED=$seed, steps to $steps: " . join '; ', @wrong;
		}
		push @points, [ $steps, memory_kb($s->pid, 'RssAnon') ] unless $bad;
		if (time - $told > 20)
		{
			$told = time;
			diag sprintf 'mix: %d steps, %d faults, %d errors, %d kB, %.0f of %d s', $steps, $faults, $errors, $points[-1][1], time - $begun, $soak;
		}
		$proxy->at_random(100 * 4, $seed + $steps);
	}
	$proxy->report;
	ok(!$bad, "$steps steps of a random mix, $faults faults, $errors errors, seed $seed");
	if (@points > 50)
	{
		my $slope = slope(@points);
		cmp_ok($slope, '<', 50, sprintf 'memory does not grow with the steps: %.1f bytes each', $slope);
	}
	push @summary, "steps of the mix: $steps with $faults faults and $errors errors, seed $seed";
	$s->quit;
	remote_quiet($remote, "application_name = 'enduring'", 'no session is left on the remote', 20);
	$proxy->stop;
}

diag 'SUMMARY endured: ' . join ', ', @summary;
$s->quit;
done_testing();
