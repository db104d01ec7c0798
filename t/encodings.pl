# Text between databases of different encodings, and bytes that are not text:
# what is stored is always valid here, and what is logged is one entry.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;
use DblinkFake;
use DblinkWire;

my $remote = make_server('remote', tree => stock_prefix());
my $local = make_server('local');
my %made = (UTF8 => 'utf8', LATIN1 => 'latin1', SQL_ASCII => 'ascii');
foreach my $node ($remote, $local)
{
	my $s = session($node);
	no_error($s, "CREATE DATABASE $made{$_} ENCODING '$_' LOCALE 'C' TEMPLATE template0", "database $made{$_} on " . $node->name)
	  foreach sort keys %made;
	$s->quit;
}
my %to = map { $_ => lit(conninfo($remote, dbname => $_, application_name => 'encodings')) } values %made;

# A session in a local database, whose psql speaks the given encoding.
sub local_session
{
	my ($db, $encoding) = @_;
	my $s = session($local, db => $db);
	$s->run("SET client_encoding = '$encoding'");
	$s->run('CREATE EXTENSION IF NOT EXISTS dblink');
	return $s;
}

my $e_utf8 = "\xc3\xa9";
my $e_latin1 = "\xe9";

# ---- conversion -------------------------------------------------------

foreach my $from (qw(utf8 latin1))
{
	foreach my $here (qw(utf8 latin1))
	{
		my $s = local_session($here, 'UTF8');
		my $name = "remote $from, local $here";
		# should speak this database's encoding
		rows_are($s, "SELECT dblink_connect('c', $to{$from}); SELECT * FROM dblink('c', 'SHOW client_encoding') AS t(x text)",
			"OK\n" . uc $here, "$name: client_encoding is the local database's");
		# should come through both ways
		rows_are($s, "SELECT x, octet_length(x), n FROM dblink('c', 'SELECT ''caf$e_utf8'', octet_length(''caf$e_utf8'')') AS t(x text, n int)",
			"caf$e_utf8|" . ($here eq 'utf8' ? 5 : 4) . '|' . ($from eq 'utf8' ? 5 : 4), "$name: text in both directions");
		rows_are($s, "SELECT dblink_open('c', 'cur', 'SELECT ''$e_utf8'''); SELECT * FROM dblink_fetch('c', 'cur', 1) AS t(x text); SELECT dblink_close('c', 'cur')",
			"OK\n$e_utf8\nOK", "$name: through a cursor");
		# should be converted in messages as well
		fails_with($s, "SELECT dblink_exec('c', 'SELECT \"$e_utf8\"')",
			{ state => '42703', message => "column \"$e_utf8\" does not exist" }, "$name: in an error");
		# a name of bytes beyond ASCII
		rows_are($s, "SELECT dblink_connect('$e_utf8', $to{$from}); SELECT 'cut'; SELECT dblink_disconnect('$e_utf8')",
			"OK\ncut\nOK", "$name: as a connection's name");
		$s->quit;
	}
}
{
	my $s = local_session('latin1', 'UTF8');
	# should fail on the remote: no such character here
	fails_with($s, "SELECT * FROM dblink($to{utf8}, 'SELECT chr(8364)') AS t(x text)",
		{ state => '22P05', message => qr/has no equivalent in encoding "LATIN1"/,
		  context => qr/while executing query on unnamed dblink connection/ },
		'a character that the local encoding lacks');
	$s->quit;
	$s = local_session('ascii', 'SQL_ASCII');
	# should come as it is: SQL_ASCII means no encoding
	rows_are($s, "SELECT x = E'\\xc3\\xa9' FROM dblink($to{utf8}, 'SELECT chr(233)') AS t(x text)", 't',
		'remote utf8, local ascii: bytes as they are');
	rows_are($s, "SELECT x = E'\\xe9' FROM dblink($to{latin1}, 'SELECT chr(233)') AS t(x text)", 't',
		'remote latin1, local ascii: bytes as they are');
	$s->quit;
}

# ---- a remote that refuses our encoding ------------------------------------------

# A remote that lacks a conversion: refused once, and then connected to as it is.
{
	my $admin = session($remote);
	no_error($admin, "CREATE DATABASE euc ENCODING 'EUC_JP' LOCALE 'C' TEMPLATE template0", 'database euc on remote');
	$admin->quit;
	my $s = local_session('latin1', 'UTF8');
	my $euc = conninfo($remote, dbname => 'euc', application_name => 'encodings');
	# should keep its own encoding
	rows_are($s, 'SELECT x FROM dblink(' . lit($euc) . ", 'SHOW client_encoding') AS t(x text)", 'EUC_JP',
		'remote euc, local latin1: the remote keeps its encoding');
	# should fail: the user's choice is theirs
	fails_with($s, 'SELECT x FROM dblink(' . lit("$euc client_encoding=LATIN1") . ", 'SELECT 1') AS t(x int)",
		{ state => '08001', detail => qr/LATIN1 .* EUC_JP/ }, 'remote euc, client_encoding=LATIN1 in the string');
	$s->quit;
}

# What a refusal says tells whether another attempt without the encoding is made:
# two where it is about ours, and one where a name only has the encoding's in it.
my %refusals = (
	'conversion between UTF8 and EUC_JP is not supported' => 2,
	'Konvertierung zwischen UTF8 und MULE_INTERNAL wird nicht unterst' . "\xc3\xbc" . 'tzt' => 2,
	"UTF8\xe3\x81\xa8LATIN1\xe9\x96\x93\xe3\x81\xae\xe5\xa4\x89\xe6\x8f\x9b" => 2,
	'invalid value for parameter "client_encoding": "UTF8"' => 2,
	'role "svc_UTF8" does not exist' => 1,
	'password authentication failed for user "svc_UTF8"' => 1,
	'password authentication failed for user "UTF8"' => 1,
	'password authentication failed for user "LATIN1_to_UTF8x"' => 1,
	'database "UTF8" does not exist' => 1,
	'no pg_hba.conf entry for host "127.0.0.1", user "client_encoding", database "x", no encryption' => 1);
{
	my $s = local_session('utf8', 'UTF8');
	foreach my $text (sort keys %refusals)
	{
		my $fake = fake_server(sub { return { start => error_message({ S => 'FATAL', V => 'FATAL', C => '28000', M => $text }) } });
		my $target = lit('host=127.0.0.1 dbname=x user=x password=x sslmode=disable gssencmode=disable port=' . $fake->port);
		my $r = $s->run("SELECT dblink_connect('refused', $target)", SLOW);
		like($r->{err}, qr/ERROR:  08001: could not establish connection/, "refused: $text");
		is($fake->next_scene(0), $refusals{$text}, 'after as many attempts as it takes');
		$fake->stop;
	}
	$s->quit;
}

# ---- bytes that are not text -------------------------------------------------

my $s = local_session('utf8', 'UTF8');
my $invalid = 'invalid byte sequence for encoding "UTF8": 0xe9';
no_error($s, "SELECT dblink_connect('changed', $to{latin1}); SELECT dblink_exec('changed', 'SET client_encoding = LATIN1');"
	  . "SELECT dblink_connect('ascii', $to{ascii}); SELECT dblink_exec('ascii', 'SET client_encoding = SQL_ASCII');"
	  . 'CREATE TABLE stored(x text)',
	'a connection with another client_encoding, and one without an encoding');
foreach my $conn ('ascii', 'changed')
{
	my $sql = "'SELECT chr(233)'";
	# should fail: not valid in this database
	fails_with($s, "INSERT INTO stored SELECT * FROM dblink('$conn', $sql) AS t(x text)",
		{ state => '22021', message => qr/^\Q$invalid\E/ }, "$conn: dblink");
	fails_with($s, "INSERT INTO stored SELECT * FROM dblink('$conn', $sql) AS t(x varchar(10))",
		{ state => '22021', message => qr/^\Q$invalid\E/ }, "$conn: dblink, varchar");
	fails_with($s, "INSERT INTO stored SELECT x[1] FROM dblink('$conn', 'SELECT ARRAY[chr(233)]') AS t(x text[])",
		{ state => '22021', message => qr/^\Q$invalid\E/ }, "$conn: dblink, in an array");
	$s->run("SELECT dblink_open('$conn', 'cur', $sql)");
	fails_with($s, "INSERT INTO stored SELECT * FROM dblink_fetch('$conn', 'cur', 1) AS t(x text)",
		{ state => '22021', message => qr/^\Q$invalid\E/ }, "$conn: dblink_fetch");
	$s->run("SELECT dblink_exec('$conn', 'ROLLBACK')");
	$s->run("SELECT dblink_send_query('$conn', $sql)");
	fails_with($s, "INSERT INTO stored SELECT * FROM dblink_get_result('$conn') AS t(x text)",
		{ state => '22021', message => qr/^\Q$invalid\E/ }, "$conn: dblink_get_result");
	$s->run("SELECT * FROM dblink_get_result('$conn') AS t(x text)");

	# should be valid or refused: an error's text as a value
	$s->run("SELECT dblink_exec('$conn', 'DO \$\$BEGIN RAISE EXCEPTION ''%'', chr(233); END\$\$')");
	healthy($s, "$conn: the session survives an error with such bytes");
	$s->run("INSERT INTO stored SELECT dblink_error_message('$conn')");
	# should be valid or refused: a notification
	$s->run("SELECT dblink_exec('$conn', 'LISTEN l; SELECT pg_notify(''l'', chr(233))')");
	$s->run("SELECT dblink_exec('$conn', 'SET geqo = on')");
	$s->run("INSERT INTO stored SELECT extra FROM dblink_get_notify('$conn')");
	healthy($s, "$conn: the session survives a notification with such bytes");
	rows_are($s, "SELECT x FROM dblink('$conn', 'SELECT ''fine''') AS t(x text)", 'fine', "$conn: the connection is usable");
}
# should be valid: whatever got stored
no_error($s, "SELECT convert_from(convert_to(x, 'UTF8'), 'UTF8') FROM stored", 'nothing invalid is stored');

# should work: bytea and numbers have no encoding
rows_are($s, "SELECT * FROM dblink('changed', 'SELECT ''\\xe9''::bytea, 1') AS t(x bytea, n int)", '\xe9|1', 'bytea comes through');
# should work: set back
rows_are($s, "SELECT dblink_exec('changed', 'SET client_encoding = UTF8'); SELECT x FROM dblink('changed', 'SELECT chr(233)') AS t(x text)",
	"SET\n$e_utf8", 'set back, it is text again');

# ---- notices ----------------------------------------------------------

my $start = -s $local->logfile;
my $forged = '2024-01-01 00:00:00.000 UTC [1] LOG:  forged entry';
no_error($s, "SELECT dblink_exec('changed', 'DO \$\$BEGIN RAISE NOTICE E''first line\\n$forged''; RAISE WARNING ''a warning''; END\$\$')",
	'notices from the remote');
my $log = slurp_file($local->logfile, $start);
my @entries = $log =~ /^(.*received message via remote connection.*)$/mg;
is(scalar @entries, 2, 'each is one entry of the log') or diag $log;
like($log, qr/LOG:  received message via remote connection.*first line/, 'the text is in the log');
unlike($log, qr/^\Q$forged\E/m, 'a line of it is no entry of its own');
unlike($log, qr/^(NOTICE|WARNING):/m, 'nothing is written raw');

# a notice with bytes that are not text: should leave everything alive
$s->run("SELECT dblink_exec('ascii', 'DO \$\$BEGIN RAISE NOTICE ''%'', chr(233); END\$\$')");
healthy($s, 'the session survives a notice with such bytes');

rows_are($s, "SELECT dblink_disconnect('changed'); SELECT dblink_disconnect('ascii')", "OK\nOK", 'both are disconnected');
remote_quiet($remote, "application_name = 'encodings'", 'no session is left on the remote');
$s->quit;
done_testing();
