# Databases of other encodings on either side, and characters that one of them
# does not have.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;
use Counterpart;

my $remote = make_server('remote', tree => stock_prefix());
my $local = make_server('local');
my @encodings = qw(UTF8 LATIN1 EUC_JP SQL_ASCII);
foreach my $node ($remote, $local)
{
	my $s = session($node);
	$s->run("CREATE DATABASE $_ ENCODING '$_' LOCALE 'C' TEMPLATE template0") foreach @encodings;
	$s->quit;
}

# Characters that a database has, each as its bytes there and in UTF8.
my %text = (
	LATIN1 => [ "caf\xe9 \xfcber", "caf\xc3\xa9 \xc3\xbcber" ],
	EUC_JP => [ "\xc6\xfc\xcb\xdc\xb8\xec", "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e" ],
	UTF8 => [ "\xe6\x97\xa5 caf\xc3\xa9", "\xe6\x97\xa5 caf\xc3\xa9" ],
	SQL_ASCII => [ 'plain', 'plain' ]);

# hex(BYTES)
sub hex_of { return unpack 'H*', $_[0] }

# A session in a local database; the client speaks the database's encoding.
my %local = map { $_ => session($local, db => lc $_) } @encodings;
foreach my $e (@encodings)
{
	$local{$e}->run('CREATE EXTENSION dblink');
	my $r = session($remote, db => lc $e);
	$r->run("CREATE TABLE word (x text); INSERT INTO word VALUES (convert_from('\\x" . hex_of($text{$e}[0]) . "', '$e'))");
	$r->quit;
}

# From every encoding to every encoding, text and binary: should be the same
# characters; or an error of the remote that says which one is missing; or the
# bytes as they are, where one side has no encoding.
foreach my $from (@encodings)
{
	foreach my $to (@encodings)
	{
		my $s = $local{$to};
		my $name = "remote $from, local $to";
		my $conn = lit(conninfo($remote, dbname => lc $from));
		next if "$from $to" =~ /^(LATIN1 EUC_JP|EUC_JP LATIN1)$/;
		my $fits = $from eq $to || $to eq 'UTF8' || $from eq 'SQL_ASCII' || $to eq 'SQL_ASCII';
		my $bytes = $to eq 'UTF8' ? $text{$from}[1] : $text{$from}[0];
		rows_are($s, "SELECT dblink_connect('c', $conn); SELECT x FROM dblink('c', 'SHOW client_encoding') AS t(x text)", "OK\n$to", "$name: the client's encoding is ours");
		foreach my $format ('text', 'binary')
		{
			$s->run("SET dblink.result_format = $format");
			if ($fits)
			{
				rows_are($s, "SELECT encode(convert_to(x, '$to'), 'hex'), x = y FROM dblink('c', 'SELECT x, x::varchar FROM word') AS t(x text, y varchar)",
					hex_of($bytes) . '|t', "$name, $format: the same characters");
			}
			else
			{
				fails_with($s, "SELECT x FROM dblink('c', 'SELECT chr(8364)') AS t(x text)",
					{ state => '22P05', message => qr/0xe2 0x82 0xac in encoding "UTF8" has no equivalent in encoding "$to"/ }, "$name, $format: a character that is not there");
			}
		}
		$s->run('RESET dblink.result_format');
		# there and back, through a command, in an error, and as a name
		if ($fits && $to ne 'UTF8' || $to eq $from)
		{
			my $mine = $text{$to}[0];
			rows_are($s, "SELECT dblink_exec('c', 'CREATE TEMP TABLE \"$mine\" AS SELECT ''$mine''::text AS x');"
				  . "SELECT encode(convert_to(x, '$to'), 'hex') FROM dblink('c', 'SELECT x FROM \"$mine\"') AS t(x text)",
				'SELECT 1' . "\n" . hex_of($mine), "$name: there and back");
			fails_with($s, "SELECT dblink_exec('c', 'SELECT \"$mine\"')", { state => '42703', message => "column \"$mine\" does not exist" }, "$name: in an error");
		}
		elsif ($to eq 'UTF8' && $from ne 'SQL_ASCII')
		{
			# U+2603 is in neither
			fails_with($s, "SELECT dblink_exec('c', 'SELECT ''\xe2\x98\x83''')", { state => '22P05', message => qr/^character with byte sequence 0xe2 0x98 0x83 in encoding "UTF8" has no equivalent in encoding "$from"$/ },
				"$name: a character that the remote has not");
		}
		rows_are($s, "SELECT x FROM dblink('c', 'SELECT 1') AS t(x int); SELECT dblink_disconnect('c')", "1\nOK", "$name: the connection is usable");
		healthy($s, "$name: the session lives");
	}
}

# No server converts between these two. COMPAT: as with stock, the remote keeps
# its encoding then. Should be right for ASCII; other bytes are refused where they
# are no text here.
foreach my $pair ([ 'LATIN1', 'EUC_JP' ], [ 'EUC_JP', 'LATIN1' ])
{
	my ($from, $to) = @$pair;
	my $s = $local{$to};
	my $name = "remote $from, local $to";
	rows_are($s, "SELECT dblink_connect('c', " . lit(conninfo($remote, dbname => lc $from)) . "); SELECT x FROM dblink('c', 'SHOW client_encoding') AS t(x text)",
		"OK\n$from", "$name: connected, in the remote's encoding");
	rows_are($s, "SELECT * FROM dblink('c', 'SELECT 1, ''plain''') AS t(i int, x text)", '1|plain', "$name: ASCII");
	fails_with($s, "SELECT * FROM dblink('c', 'SELECT chr(233)') AS t(x text)", { state => '22021', message => qr/^invalid byte sequence for encoding "EUC_JP": 0xe9/ },
		"$name: no text here") if $to eq 'EUC_JP';
	fails_with($s, "SELECT dblink_exec('c', 'SELECT 1/0')", { state => '22012' }, "$name: an error");
	rows_are($s, "SELECT x FROM dblink('c', 'SELECT 1') AS t(x int); SELECT dblink_disconnect('c')", "1\nOK", "$name: the connection is usable");
}
# Another reason that happens to name our encoding: should be told as it is.
fails_with($local{LATIN1}, "SELECT dblink_connect('c', " . lit(conninfo($remote, dbname => 'LATIN1')) . ')',
	{ state => '08001', detail => qr/database "LATIN1" does not exist/ }, 'no such database');

# Bytes that an SQL_ASCII remote holds and that are no text here: should be
# refused, and never stored.
my $r = session($remote, db => 'sql_ascii');
$r->run("CREATE TABLE bad (x text); INSERT INTO bad VALUES (E'ok \\xe9\\x28'), (E'\\x8e\\xff')");
foreach my $to ('UTF8', 'EUC_JP')
{
	my $s = $local{$to};
	my $conn = lit(conninfo($remote, dbname => 'sql_ascii'));
	$s->run("CREATE TABLE kept (x text); SELECT dblink_connect('c', $conn)");
	foreach my $format ('text', 'binary')
	{
		fails_with($s, "SET dblink.result_format = $format; INSERT INTO kept SELECT x FROM dblink('c', 'SELECT x FROM bad') AS t(x text)",
			{ state => '22021', message => qr/^invalid byte sequence for encoding "$to": 0x/ }, "remote SQL_ASCII, local $to, $format: bytes that are no text");
	}
	rows_are($s, 'SELECT count(*) FROM kept', '0', "remote SQL_ASCII, local $to: nothing is stored");
	rows_are($s, "SELECT x FROM dblink('c', 'SELECT x::bytea FROM bad') AS t(x bytea)", "\\x6f6b20e928\n\\x8eff", "remote SQL_ASCII, local $to: as bytea they come");
	healthy($s, "remote SQL_ASCII, local $to: the session lives");
}
$_->quit foreach values %local, $r;
done_testing();
