# What a session takes, beside what stock takes for the same: memory and
# temporary blocks.  Nothing here is timed.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;
use SideBySide;

my ($remote, @sides) = both_sides();

# Peak memory in MB that a statement needs on each side, above what the session had.
sub peaks
{
	my ($sql, @before) = @_;
	my @peaks;
	foreach my $side (@sides)
	{
		my $s = side_session($side);
		$s->run("SET statement_timeout = 0");
		$s->run(fill_in($side, $_), 120) foreach @before;
		reset_peak($s->pid);
		my $begin = memory_kb($s->pid, 'VmRSS');
		my $r = $s->run(fill_in($side, $sql), 300);
		ok(!$r->{errors} && !$r->{hung}, "$side->{name}: runs") or diag(told($r));
		push @peaks, int((memory_kb($s->pid, 'VmHWM') - $begin) / 1024);
		$s->quit;
	}
	return @peaks;
}

# Ours takes no more than stock, but for a tenth and two MB.
sub no_more
{
	my ($name, $sql, @before) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($stock, $ours) = peaks($sql, @before);
	cmp_ok($ours, '<=', $stock * 1.1 + 2, "$name: $ours MB, stock $stock MB");
	return;
}

# should take no more: the text is stored in a table, and read once
topic 'a long remote text' => sub {
	no_more("a text of $_ MB",
		"SELECT x FROM dblink('c', (SELECT s FROM q)) AS t(x bigint)",
		"CREATE TEMP TABLE q AS SELECT 'SELECT count(*) FROM (VALUES (1)) AS v(x) WHERE x IN (' || string_agg(i::text, ',') || ')' AS s"
		  . " FROM generate_series(1000000000, 1000000000 + $_ * 90000) AS i") foreach 1, 11, 33;
};

topic 'many statements in one text' => sub {
	no_more('100,000 statements that return nothing', "SELECT dblink_exec('c', (SELECT s FROM q))", "CREATE TEMP TABLE q AS SELECT repeat('SET geqo = on; ', 100000) AS s");
	no_more('100,000 statements that return a row', "SELECT count(*) FROM dblink('c', (SELECT s FROM q)) AS t(x text)", "CREATE TEMP TABLE q AS SELECT repeat('SELECT 1; ', 100000) AS s");
};

topic 'many notifications' => sub {
	no_more('10 MB of them', "SELECT count(*) FROM dblink_get_notify('c')",
		"SELECT dblink_exec('c', 'LISTEN news')",
		"SELECT count(*) FROM dblink('c', 'SELECT pg_notify(''news'', g || repeat(''x'', 7000)) FROM generate_series(1, 1500) AS g') AS t(x text)");
};

topic 'many calls in one statement' => sub {
	foreach my $n (300, 1500)
	{
		no_more("$n calls", "DO \$f\$ DECLARE n int; BEGIN EXECUTE (SELECT 'SELECT count(*) FROM (' || string_agg(format('SELECT * FROM dblink(''c'', ''SELECT %s'') AS t(x int)', g), ' UNION ALL ') || ') AS u' FROM generate_series(1, $n) AS g) INTO n; END \$f\$");
	}
	# should take no more, either, where all rows are asked for at once
	no_more("$_ calls, a query", 'SELECT count(*) FROM (' . join(' UNION ALL ', map { "SELECT * FROM dblink('c', 'SELECT $_') AS t(x int)" } 1 .. $_) . ') AS u') foreach 300, 1000;
};

# Temporary blocks that the statement writes, and reads, on each side.
sub blocks
{
	my $sql = shift;
	my @blocks;
	foreach my $side (@sides)
	{
		my $s = side_session($side);
		$s->run("SET work_mem = '64kB'; SET jit = off");
		my $r = $s->run(fill_in($side, "EXPLAIN (ANALYZE, BUFFERS, COSTS off, TIMING off, SUMMARY off, FORMAT json) $sql"), 60);
		my ($written) = $r->{out} =~ /"Temp Written Blocks": (\d+)/;
		ok(defined $written, "$side->{name}: explained") or diag(told($r));
		push @blocks, $written || 0;
		$s->quit;
	}
	return @blocks;
}

topic 'rows are kept once' => sub {
	my $from = "dblink('c', 'SELECT g, repeat(''x'', 20) FROM generate_series(1, 20000) AS g') AS t(k int, f text)";
	my %query = (
		'NOT IN' => "SELECT count(*) FROM generate_series(1, 10) AS g WHERE g NOT IN (SELECT k FROM $from)",
		'IN' => "SELECT count(*) FROM generate_series(1, 10) AS g WHERE (g IN (SELECT k FROM $from)) IS NOT NULL",
		'> ALL' => "SELECT count(*) FROM generate_series(1, 10) AS g WHERE g > ALL (SELECT k FROM $from)",
		'< ALL, every row' => "SELECT count(*) FROM generate_series(1, 10) AS g WHERE -g < ALL (SELECT k FROM $from)",
		'NOT IN, no hash' => "SELECT count(*) FROM generate_series(1, 10) AS g WHERE g::text NOT IN (SELECT f FROM $from)",
		'NOT IN, no hash, two columns' => "SELECT count(*) FROM generate_series(1, 10) AS g WHERE (g, g::text) NOT IN (SELECT k, f FROM $from)",
		'IN, no hash' => "SELECT count(*) FROM generate_series(1, 10) AS g WHERE (g::text IN (SELECT f FROM $from)) IS NULL",
		'= ANY of text' => "SELECT count(*) FROM generate_series(1, 10) AS g WHERE g::text = ANY (SELECT f FROM $from)",
		'a scalar subquery' => "SELECT count(*) FROM generate_series(1, 10) AS g WHERE g < (SELECT max(k) FROM $from)",
		'EXISTS' => "SELECT count(*) FROM generate_series(1, 10) AS g WHERE EXISTS (SELECT FROM $from)",
		'a correlated subquery' => "SELECT sum((SELECT count(*) FROM $from WHERE k > g)) FROM generate_series(1, 10) AS g",
		'a CTE' => "WITH w AS MATERIALIZED (SELECT * FROM $from) SELECT count(*) FROM w AS a JOIN w AS b USING (k)",
		'a sort' => "SELECT k FROM $from ORDER BY f LIMIT 1",
		'a cross join' => "SELECT count(*) FROM generate_series(1, 3) AS g, $from",
		'a recursive term' => "WITH RECURSIVE r(k) AS (SELECT 1 UNION ALL SELECT r.k + 1 FROM r JOIN $from ON t.k = r.k WHERE r.k < 5) SELECT count(*) FROM r",
		'all rows' => "SELECT count(*) FROM $from");
	foreach my $name (sort keys %query)
	{
		# should write no more than stock
		my ($stock, $ours) = blocks($query{$name});
		cmp_ok($ours, '<=', $stock + 2, "$name: $ours blocks, stock $stock");
	}
};

done_testing();
