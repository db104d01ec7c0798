# Small things in which a session with ours must be as one with stock, or the
# statistics, plans and libraries of the server would say that it is not.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;
use DblinkProxy;
use SideBySide;

my ($remote, @sides) = both_sides(
	remote => { conf => [ 'wal_level = logical', 'max_wal_senders = 4' ] },
	conf => ["track_functions = 'all'"],
	setup => 'CREATE TABLE small AS SELECT g AS id, g * 7 AS v FROM generate_series(1, 20) AS g',
	local_setup => 'CREATE EXTENSION tablefunc; REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM public; CREATE ROLE plain LOGIN');
my ($stock, $ours) = @sides;
foreach my $side (@sides)
{
	$side->{node}->safe_psql('postgres', "CREATE SERVER shop FOREIGN DATA WRAPPER dblink_fdw OPTIONS (host '127.0.0.1', port '" . $remote->port . "', dbname '$side->{db}');"
		  . 'CREATE USER MAPPING FOR CURRENT_USER SERVER shop');
	$side->{words}{binary} = $side->{name} eq 'ours' ? 'SET dblink.result_format = binary' : 'SELECT';
	$side->{words}{walsender} = lit("$side->{info} replication='database'");
}

topic 'a result that cannot be taken' => sub {
	my %query = ('one' => "'SELECT ''x'' FROM generate_series(1, 3)'", 'two' => "'SELECT ''x'' FROM generate_series(1, 3); SELECT 2'", 'many rows' => "'SELECT ''x'' || g FROM generate_series(1, 20000) AS g'");
	foreach my $query (sort keys %query)
	{
		foreach my $bad ('a(n int)', 'a(n text, m text)', 'a(n bool)')
		{
			foreach my $next ("SELECT dblink_exec('c', 'SET work_mem = 100')", "SELECT * FROM dblink('c', 'SELECT 1') AS t(x int)", "SELECT dblink_send_query('c', 'SELECT 1')",
				"SELECT * FROM dblink_get_result('c') AS a(n text)")
			{
				# what a query that is refused leaves differs: parity/differences, pending-result-survives
				next if $query eq 'two' && $next =~ /dblink\(/;
				# should leave the connection as busy as it leaves it on stock
				same_session(\@sides, "$query, AS $bad, then $next",
					[ "SELECT dblink_send_query('c', $query{$query})", "SELECT * FROM dblink_get_result('c') AS $bad", $next, "SELECT * FROM dblink_get_result('c') AS a(n text)",
						"SELECT * FROM dblink_get_result('c') AS a(n text)", "SELECT * FROM dblink_get_result('c') AS a(n text)", "SELECT dblink_exec('c', 'SET work_mem = 100')" ],
					at => 99);
			}
		}
	}
};

topic 'a connection that knows the simple protocol only' => sub {
	# should be as text, as on stock
	same_session(\@sides, "binary: $_",
		[ '{binary}', "SELECT dblink_connect('w', {walsender})", $_, "SELECT * FROM dblink('w', 'SELECT 1') AS t(x int)", "SELECT dblink_exec('w', 'SET geqo = on')" ], at => 99)
	  foreach "SELECT * FROM dblink('w', 'SELECT id, v FROM small WHERE id < 3') AS t(id int, v int)",
	  "SELECT a > '', b FROM dblink('w', 'IDENTIFY_SYSTEM') AS t(a text, b int, c text, d text)",
	  "SELECT count(*) FROM dblink({walsender}, 'SELECT id, v FROM small') AS t(id int, v int)",
	  "SELECT * FROM dblink('w', 'SELECT id, 1 / (3 - id) FROM small') AS t(id int, v int)";
};

topic 'statistics of functions' => sub {
	# should be counted as on stock
	foreach my $query ("SELECT * FROM dblink('c', 'SELECT 1') AS t(x int)", "SELECT * FROM dblink({remote}, 'SELECT 1') AS t(x int)", "SELECT x FROM dblink('c', 'SELECT id FROM small') AS t(x int) LIMIT 1",
		"SELECT dblink_open('c', 'k', 'SELECT 1'); SELECT * FROM dblink_fetch('c', 'k', 1) AS t(x int)", "SELECT dblink_send_query('c', 'SELECT 1'); SELECT * FROM dblink_get_result('c') AS t(x int)",
		"SELECT count(*) FROM dblink('c', 'SELECT id FROM small') AS a(x int) JOIN dblink('c', 'SELECT id FROM small') AS b(x int) USING (x)",
		"SELECT g, (SELECT count(*) FROM dblink('c', 'SELECT 1') AS t(x int) WHERE x <= g) FROM generate_series(1, 3) AS g")
	{
		same_session(\@sides, $query,
			[ 'SELECT pg_stat_reset()', $query, 'SELECT pg_stat_force_next_flush()', "SELECT funcname, calls FROM pg_stat_user_functions WHERE calls > 0 ORDER BY 1" ], at => 99, want => qr/^dblink/);
	}
};

topic 'plans tell calls apart' => sub {
	my $s = side_session($ours);
	my $query = fill_in($ours, "SELECT * FROM dblink('c', 'SELECT id FROM small') AS first_call(id int) JOIN dblink('shop', 'SELECT id FROM small') AS second_call(id int) USING (id)"
		  . ' JOIN dblink({remote}, \'SELECT id FROM small\') AS third_call(id int) USING (id)');
	foreach my $option ('COSTS off', 'COSTS off, VERBOSE', 'COSTS off, FORMAT json', 'ANALYZE, COSTS off, TIMING off, SUMMARY off', 'ANALYZE, VERBOSE, COSTS off, TIMING off, SUMMARY off')
	{
		my $r = no_error($s, "EXPLAIN ($option) $query", "$option: explained");
		# should name each call as stock does: its function and its alias
		foreach my $call ('first_call', 'second_call', 'third_call')
		{
			like($r->{out}, $option =~ /json/ ? qr/"Alias": "$call"/ : qr/\bon (\w+\.)?dblink $call$|\bdblink\b.* $call\b/m, "$option: $call");
		}
		# should name the connection, if it has a name; a string only where stock shows the call
		like($r->{out}, qr/\bshop\b/, "$option: the connection's name") if $option =~ /VERBOSE/;
		(my $plan = $r->{out}) =~ s/^\s*Function Call: .*$//mg;
		unlike($plan, qr/host|dbname|port=|for_ours/, "$option: no connection string");
	}
	$s->quit;
};

topic 'no library is loaded before the right to call it was checked' => sub {
	foreach my $side (@sides)
	{
		$side->{node}->safe_psql('postgres', 'GRANT EXECUTE ON FUNCTION dblink_get_connections() TO plain');
		my $s = session($side->{node}, user => 'plain');
		no_error($s, 'SELECT dblink_get_connections()', "$side->{name}: dblink is loaded");
		foreach my $sql ("SELECT * FROM crosstab('SELECT 1, 2, 3') AS t(a int, b int)", "EXPLAIN SELECT * FROM crosstab('SELECT 1, 2, 3') AS t(a int, b int)", "SELECT * FROM normal_rand(1, 1, 1)",
			"PREPARE p AS SELECT * FROM normal_rand(1, 1, 1); EXECUTE p")
		{
			my $r = $s->run($sql);
			like(told($r), qr/42501/, "$side->{name}: $sql: refused") unless $sql =~ /^EXPLAIN/;
			unlike(slurp_file('/proc/' . $s->pid . '/maps'), qr/tablefunc/, "$side->{name}: $sql: and its library is not there");
		}
		$s->quit;
	}
};

topic 'a parallel worker' => sub {
	foreach my $side ($ours)
	{
		my $s = side_session($side);
		my $name = 'par';
		no_error($s, "CREATE FUNCTION par_exec(text, text) RETURNS text AS '\$libdir/dblink', 'dblink_exec' LANGUAGE C STRICT PARALLEL SAFE;"
			  . "CREATE FUNCTION par_rows(text, text) RETURNS SETOF record AS '\$libdir/dblink', 'dblink_record' LANGUAGE C STRICT PARALLEL SAFE", 'functions that may run in a worker');
		my $setting = $side->{node}->pg_version->major >= 16 ? 'debug_parallel_query' : 'force_parallel_mode';
		$s->run("SET $setting = on");
		my $there = "application_name = '$side->{app}' AND query LIKE '%slow_mark%'";
		foreach my $how ('the leader times out', 'the leader is cancelled', 'the worker is cancelled')
		{
			foreach my $call ("SELECT par_exec({remote}, 'DO \$d\$ BEGIN PERFORM pg_sleep(60) /* slow_mark */; END \$d\$')", "SELECT * FROM par_rows({remote}, 'SELECT pg_sleep(60) /* slow_mark */') AS t(x text)")
			{
				# should end on the remote, too
				$s->run("SET statement_timeout = '" . ($how =~ /times/ ? '2s' : '60s') . "'");
				$s->send(fill_in($side, $call));
				poll_until(sub { remote_count($remote, "$there AND state = 'active'") }, SLOW);
				my $worker = query_value($side->{node}, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'parallel worker'");
				query_value($side->{node}, 'SELECT pg_cancel_backend(' . ($how =~ /worker/ ? $worker || $s->pid : $s->pid) . ')') if $how =~ /cancelled/;
				my $r = $s->collect(SLOW);
				fails_with($s, $r, { state => '57014', within => SLOW }, "$how: ends");
				remote_quiet($remote, "$there AND state = 'active'", "$how: the remote statement is gone" . ($worker ? '' : ' (no worker)'), 4);
				query_value($remote, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE $there");
			}
		}
		$s->quit;
	}
};

topic 'notifications' => sub {
	# should be all in one call: 5,000 that the connection itself has sent
	same_session(\@sides, "$_ notifications",
		[ "SELECT dblink_exec('c', 'LISTEN news')", "SELECT count(*) FROM dblink('c', 'SELECT pg_notify(''news'', g::text) FROM generate_series(1, $_) AS g') AS t(x text)",
			"SELECT count(*), max(extra) FROM dblink_get_notify('c')", "SELECT count(*) FROM dblink_get_notify('c')" ], at => 99, want => '0')
	  foreach 100, 5000;
	# should be all in one call: those of another session, once they are there
	foreach my $side (@sides)
	{
		my $s = side_session($side);
		no_error($s, "SELECT dblink_exec('c', 'LISTEN others')", "$side->{name}: listens");
		remote_sql($side, "SELECT count(pg_notify('others', g || repeat('x', 100))) FROM generate_series(1, 5000) AS g");
		# the remote has read them from the queue, and waits again: they are sent
		poll_value($remote, 'SELECT pg_notification_queue_usage()', '0', SLOW);
		poll_value($remote, "SELECT wait_event FROM pg_stat_activity WHERE application_name = '$side->{app}'", 'ClientRead', SLOW);
		my $total = $s->run("SELECT count(*) FROM dblink_get_notify('c')")->{out};
		is($total, 5000, "$side->{name}: 5,000 in one call");
		rows_are($s, "SELECT count(*) FROM dblink_get_notify('c')", '0', "$side->{name}: and none in the next");
		$s->quit;
	}
};

topic 'a refusal in which an encoding is named' => sub {
	foreach my $side (@sides)
	{
		foreach my $encoding ('UTF8', 'LATIN1', 'SQL_ASCII')
		{
			my $relay = start_proxy($remote->port);
			my $s = side_session($side);
			# should be tried once
			my $r = $s->run('SELECT dblink_connect(\'n\', ' . lit(conninfo($remote, port => $relay->port, user => "svc_$encoding", sslmode => 'disable', gssencmode => 'disable', client_encoding => undef)) . ')');
			like(told($r), qr/^ERROR 08001/, "$side->{name}: svc_$encoding is refused");
			is($relay->report->{came}, 1, "$side->{name}: svc_$encoding: one attempt");
			$s->quit;
			$relay->stop;
		}
	}
};

unwatch($_) foreach $remote, map { $_->{node} } @sides;
done_testing();
