# Cancel requests on a connection with TLS: with libpq 17 and newer they are
# encrypted, too, which a proxy in between sees; they can be interrupted, and
# leave no socket behind.
# streaming: any

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;
use DblinkProxy;

my $dir = PostgreSQL::Test::Utils::tempdir();
my ($local, $remote) = make_pair(
	remote => {
		conf => [ tls_conf($dir) ] });
my $proxy = start_proxy($remote->port);
my $s = session($local);

# Which way the library makes them: that of libpq 17, or with a thread.
my $library = `pg_config --pkglibdir`;
chomp $library;
my $asynchronous = `nm -D --undefined-only '$library/dblink.so'` =~ /\bPQcancelPoll\b/ ? 1 : 0;
ok($asynchronous, 'built with cancel requests that do not block') if $local->pg_version->major >= 17;

# Connects and sends a statement that goes on for long; waits until it runs.
sub set_out
{
	my (%opt) = @_;
	no_error($s, "SELECT dblink_connect('c', "
		  . lit(conninfo($remote, port => $proxy->port, application_name => 'cancelled', %opt)) . ')',
		'a connection, ' . join ', ', map { "$_ $opt{$_}" } sort keys %opt);
	rows_are($s, "SELECT dblink_send_query('c', 'SELECT pg_sleep(120)')", '1', 'a long statement');
	is(poll_value($remote, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'", '1'), '1', 'runs');
	return;
}

# Is the connection usable?  It is closed then.
sub done
{
	my $how = shift;
	rows_are($s, "SELECT x FROM dblink('c', 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()') AS t(x bool)",
		$how, 'the connection is usable, ' . ($how eq 't' ? 'and encrypted' : 'and not encrypted'));
	rows_are($s, "SELECT dblink_disconnect('c')", 'OK', 'and is closed');
	return;
}

foreach my $case ([ disable => 'f', 1 ], [ require => 't', !$asynchronous ])
{
	my ($sslmode, $ssl, $seen) = @$case;

	# should work: asked for by the user
	$proxy->arm('s', -1, 'none');
	set_out(sslmode => $sslmode);
	rows_are($s, "SELECT dblink_cancel_query('c')", 'OK', 'dblink_cancel_query');
	fails_with($s, "SELECT * FROM dblink_get_result('c') AS t(x text)",
		{ state => '57014', message => 'canceling statement due to user request' }, 'cancels the statement');
	$s->run("SELECT * FROM dblink_get_result('c') AS t(x text)");
	done($ssl);
	is($proxy->report->{cancels}, $seen ? 1 : 0, "sslmode $sslmode: requests that the proxy could read");

	# should work: sent because the call was interrupted
	$proxy->arm('s', -1, 'none');
	set_out(sslmode => $sslmode);
	fails_with($s, "SET statement_timeout = '300ms'; SELECT * FROM dblink_get_result('c') AS t(x text)",
		{ state => '57014', message => 'canceling statement due to statement timeout', within => SLOW },
		'statement_timeout ends the wait');
	$s->run('RESET statement_timeout');
	remote_quiet($remote, "wait_event = 'PgSleep'", 'and the remote statement');
	done($ssl);
	is($proxy->report->{cancels}, $seen ? 1 : 0, "sslmode $sslmode: requests that the proxy could read");
}

# A remote whose postmaster does not react: its kernel takes in the request's
# connection, and that is all.
sub while_stopped
{
	my $code = shift;
	my ($postmaster) = slurp_file($remote->data_dir . '/postmaster.pid') =~ /\A(\d+)/;
	kill 'STOP', $postmaster;
	$code->();
	kill 'CONT', $postmaster;
	return;
}

foreach my $sslmode (qw(disable require))
{
	my $sockets = local_fds($s);
	$proxy->arm('s', -1, 'none');
	set_out(sslmode => $sslmode);
	while_stopped(
		sub {
			# should fail: at once, not when the request's own time is over
			fails_with($s, "SET statement_timeout = '300ms'; SELECT dblink_cancel_query('c')",
				{ state => '57014', message => 'canceling statement due to statement timeout', within => SLOW },
				"sslmode $sslmode: dblink_cancel_query is interrupted");
			is(local_fds($s), $sockets + 2, 'and the request, which may still arrive, stays with its connection') if $asynchronous;

			# should fail: the request does not get through, so the connection is closed
			my $r = fails_with($s, "SELECT * FROM dblink_get_result('c') AS t(x text)",
				{ state => '57014', message => 'canceling statement due to statement timeout', within => SLOW },
				'so does a call that is interrupted');
			is(scalar(grep { $_->{severity} eq 'WARNING' && $_->{message} eq 'dblink connection "c" was closed' } @{ $r->{messages} }),
				1, 'and says that the connection was closed');
			is(local_fds($s), $sockets, 'it leaves no socket either') if $asynchronous;
			$s->run('RESET statement_timeout');
		});
	ok(poll_until(sub { local_fds($s) == $sockets }, SLOW), 'all sockets are closed');
	rows_are($s, 'SELECT dblink_get_connections()', '', 'there is no connection');

	# a request in the clear was sent, and is found when the postmaster goes on;
	# nobody can encrypt one for a postmaster that does not answer
	query_value($remote, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
	  if $asynchronous && $sslmode eq 'require';
	remote_quiet($remote, "application_name = 'cancelled'", 'nor a session on the remote', 30);
	healthy($s, 'the session lives');
}

# should fail: the remote is gone, and libpq says so
$proxy->arm('s', -1, 'none');
set_out(sslmode => 'require');
$proxy->stop;
my $r = $s->run("SELECT dblink_cancel_query('c')");
like($r->{out}, qr/refused|connect\(\) failed: error \d+/, 'a request that finds nobody gives libpq\'s reason');
unlike($r->{out}, qr/\n\z/, 'without a newline at its end');
healthy($s, 'the session lives');
$s->run("SELECT dblink_disconnect('c')");

$s->quit;
done_testing();
