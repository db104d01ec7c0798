# Whose transaction is it: cursors open and close one on the remote, and leave
# none behind and end none of the user's.  The remote's own view decides.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;

my ($local, $remote) = make_pair();
my $to_remote = lit(conninfo($remote, application_name => 'cursors'));
my $s = session($local);
query_value($remote, 'CREATE TABLE marks(x int)');

# The remote's state of the connection: idle, idle in transaction, idle in
# transaction (aborted); and whether a transaction has a start.
sub state_is
{
	my ($wanted, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $sql = "SELECT state || CASE WHEN xact_start IS NULL THEN '' ELSE ', started' END"
	  . " FROM pg_stat_activity WHERE application_name = 'cursors'";
	return is(poll_value($remote, $sql, $wanted, 5), $wanted, $name);
}

my $open_xact = 'idle in transaction, started';
my $failed_xact = 'idle in transaction (aborted)';

foreach my $conn ("'c', ", '')
{
	my $which = $conn ? 'named' : 'unnamed';
	rows_are($s, "SELECT dblink_connect($conn$to_remote)", 'OK', "$which: connected");
	state_is('idle', 'idle at first');

	# one cursor
	rows_are($s, "SELECT dblink_open(${conn}'one', 'SELECT generate_series(1, 10)')", 'OK', 'open');
	state_is($open_xact, 'opening begins a transaction');
	rows_are($s, "SELECT * FROM dblink_fetch(${conn}'one', 3) AS t(x int)", "1\n2\n3", 'fetch');
	rows_are($s, "SELECT dblink_close(${conn}'one')", 'OK', 'close');
	state_is('idle', 'closing the last commits it');

	# two cursors, closed in the order they were opened
	rows_are($s, "SELECT dblink_open(${conn}'one', 'SELECT 1'); SELECT dblink_open(${conn}'two', 'SELECT 2')",
		"OK\nOK", 'two cursors');
	rows_are($s, "SELECT dblink_close(${conn}'one')", 'OK', 'the first is closed');
	state_is($open_xact, 'the transaction stays for the second');
	rows_are($s, "SELECT * FROM dblink_fetch(${conn}'two', 3) AS t(x int)", '2', 'which still gives rows');
	rows_are($s, "SELECT dblink_close(${conn}'two')", 'OK', 'the second is closed');
	state_is('idle', 'and the transaction has ended');

	# what happened in between is kept
	rows_are($s, "SELECT dblink_open(${conn}'one', 'SELECT 1'); SELECT dblink_exec(${conn}'INSERT INTO marks VALUES (1)');"
		  . "SELECT dblink_close(${conn}'one')", "OK\nINSERT 0 1\nOK", 'a command between open and close');
	is(query_value($remote, 'SELECT count(*) FROM marks'), 1, 'is committed');
	query_value($remote, 'TRUNCATE marks');

	# the user's own transaction
	rows_are($s, "SELECT dblink_exec(${conn}'BEGIN; INSERT INTO marks VALUES (2)')", 'INSERT 0 1', 'the user begins');
	rows_are($s, "SELECT dblink_open(${conn}'one', 'SELECT 1'); SELECT dblink_close(${conn}'one')", "OK\nOK", 'a cursor in it');
	state_is($open_xact, 'which closing does not commit');
	rows_are($s, "SELECT dblink_exec(${conn}'ROLLBACK')", 'ROLLBACK', 'the user rolls back');
	state_is('idle', 'and it is over');
	is(query_value($remote, 'SELECT count(*) FROM marks'), 0, 'without a trace');

	# a cursor that cannot be opened: COMPAT: it counts all the same
	fails_with($s, "SELECT dblink_open(${conn}'one', 'SELECT nonsense')",
		{ state => '42703', message => 'column "nonsense" does not exist',
		  context => $conn ? 'while opening cursor "one" on dblink connection named "c"'
			: 'while opening cursor "one" on unnamed dblink connection' },
		'a bad query');
	state_is($failed_xact, 'leaves the transaction failed');
	fails_with($s, "SELECT * FROM dblink_fetch(${conn}'one', 1) AS t(x int)",
		{ state => '25P02', message => 'current transaction is aborted, commands ignored until end of transaction block',
		  context => $conn ? 'while fetching from cursor "one" on dblink connection named "c"'
			: 'while fetching from cursor "one" on unnamed dblink connection' },
		'fetching in a failed transaction');
	fails_with($s, "SELECT dblink_close(${conn}'one')",
		{ state => '25P02',
		  context => $conn ? 'while closing cursor "one" on dblink connection named "c"'
			: 'while closing cursor "one" on unnamed dblink connection' },
		'closing in a failed transaction');
	rows_are($s, "SELECT dblink_exec(${conn}'ROLLBACK')", 'ROLLBACK', 'rolled back by hand');
	state_is('idle', 'and it is over');

	# the next one starts anew
	rows_are($s, "SELECT dblink_open(${conn}'one', 'SELECT 1'); SELECT dblink_close(${conn}'one')", "OK\nOK",
		'open and close after that');
	state_is('idle', 'end their own transaction');

	# with fail_on_error false: texts instead of errors
	rows_are($s, "SELECT dblink_open(${conn}'one', 'SELECT nonsense', false)", 'ERROR', 'a bad query, fail_on_error false');
	state_is($failed_xact, 'leaves the transaction failed');
	rows_are($s, "SELECT dblink_close(${conn}'one', false)", 'ERROR', 'as does closing');
	rows_are($s, "SELECT dblink_exec(${conn}'ABORT')", 'ROLLBACK', 'aborted by hand');
	rows_are($s, "SELECT dblink_open(${conn}'one', 'SELECT 1'); SELECT dblink_open(${conn}'two', 'SELECT 1');"
		  . "SELECT dblink_close(${conn}'two'); SELECT dblink_close(${conn}'one')", "OK\nOK\nOK\nOK", 'two more');
	state_is('idle', 'end their own transaction');

	# a wrong name
	rows_are($s, "SELECT dblink_open(${conn}'one', 'SELECT 1')", 'OK', 'open');
	fails_with($s, "SELECT dblink_close(${conn}'other')",
		{ state => '34000', message => 'cursor "other" does not exist' }, 'closing a cursor that is not there');
	state_is($failed_xact, 'leaves the transaction failed');
	rows_are($s, "SELECT dblink_exec(${conn}'ROLLBACK')", 'ROLLBACK', 'rolled back by hand');

	# COMMIT by hand, then close
	rows_are($s, "SELECT dblink_open(${conn}'one', 'SELECT 1'); SELECT dblink_exec(${conn}'COMMIT')", "OK\nCOMMIT",
		'open, and a COMMIT by hand');
	fails_with($s, "SELECT dblink_close(${conn}'one')", { state => '34000' }, 'closing what has gone');
	state_is('idle', 'no transaction is open');
	rows_are($s, "SELECT dblink_open(${conn}'one', 'SELECT 1'); SELECT dblink_close(${conn}'one')", "OK\nOK",
		'open and close after that');
	state_is('idle', 'end their own transaction');

	# the local transaction is none of its business
	$s->run('BEGIN');
	rows_are($s, "SELECT dblink_open(${conn}'one', 'SELECT generate_series(1, 3)')", 'OK', 'open in a local transaction');
	$s->run('ROLLBACK');
	rows_are($s, "SELECT * FROM dblink_fetch(${conn}'one', 5) AS t(x int); SELECT dblink_close(${conn}'one')", "1\n2\n3\nOK",
		'fetch and close after it was rolled back');
	state_is('idle', 'end the remote one');

	# a cancelled statement brings the remote transaction to nothing: a WARNING says so
	rows_are($s, "SELECT dblink_open(${conn}'one', 'SELECT 1')", 'OK', 'open again');
	$s->run("SET statement_timeout = '200ms'");
	my $r = $s->run("SELECT dblink_exec(${conn}'DO ''BEGIN PERFORM pg_sleep(60); END''')");
	$s->run('RESET statement_timeout');
	my @warnings = grep { $_->{message} =~ /^remote transaction on .* was aborted$/ } @{ $r->{messages} };
	is(scalar(@warnings), 1, 'a statement that was cancelled in it: one WARNING');
	state_is($failed_xact, 'and the transaction has failed');
	rows_are($s, "SELECT dblink_exec(${conn}'ROLLBACK')", 'ROLLBACK', 'rolled back by hand');

	# should not commit: the transaction of a cursor ended in a statement that was cut off, the next one is the user's
	rows_are($s, "SELECT dblink_open(${conn}'one', 'SELECT 1')", 'OK', 'open once more');
	$s->run("SET statement_timeout = '200ms'");
	fails_with($s, "SELECT dblink_exec(${conn}'COMMIT; SELECT pg_sleep(60)')", { state => '57014' }, 'a COMMIT, and a statement that is cut off');
	$s->run('RESET statement_timeout');
	state_is('idle', 'no transaction is open');
	rows_are($s, "SELECT dblink_exec(${conn}'BEGIN; DECLARE one CURSOR FOR SELECT 1'); SELECT dblink_close(${conn}'one')",
		"DECLARE CURSOR\nOK", 'the user\'s own transaction and cursor');
	state_is($open_xact, 'closing it does not commit');
	rows_are($s, "SELECT dblink_exec(${conn}'ROLLBACK')", 'ROLLBACK', 'the user rolls back');

	# a connection that ends takes its transaction along
	rows_are($s, "SELECT dblink_open(${conn}'one', 'SELECT 1'); SELECT dblink_disconnect("
		  . ($conn ? "'c'" : '') . ')', "OK\nOK", 'disconnecting with an open cursor');
	remote_quiet($remote, "application_name = 'cursors'", 'leaves nothing on the remote');
}

$s->quit;
done_testing();
