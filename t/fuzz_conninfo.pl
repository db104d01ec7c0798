# Connection strings, URIs, connection names and options of foreign servers,
# damaged at random: stock's dblink, in a session of its own, says what must
# come of each, SQLSTATE, message, detail and hint.  DBLINK_FUZZ says how many
# strings, DBLINK_SEED repeats a run.  All that is damaged leads nowhere but to
# 127.0.0.1, as PGHOSTADDR in the servers' environment sees to it.
# streaming: any

use strict;
use warnings;
use utf8;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;

needs_stock();
my $strings = amount('DBLINK_FUZZ', 2000);
my $seed = amount('DBLINK_SEED', 1 + int rand 1_000_000);
srand $seed;
note "DBLINK_SEED=$seed";

my $closed = PostgreSQL::Test::Cluster::get_free_port();
my %env = (PGHOSTADDR => '127.0.0.1', PGPORT => $closed, PGUSER => 'nobody', PGDATABASE => 'nothing', PGPASSFILE => '/nonexistent', PGSYSCONFDIR => '/nonexistent');
my @hba = ('host all plain 127.0.0.1/32 scram-sha-256');
my $stock = make_server('stock', tree => stock_prefix(), env => \%env, hba => \@hba, conf => ["log_min_messages = fatal"]);
my $ours = make_server('ours', hba => \@hba, env => \%env, conf => ["log_min_messages = fatal"]);
my $port = $stock->port;

# The function that tries one string: everything that a user is told of it.
my $probe = q{
	CREATE EXTENSION dblink;
	CREATE ROLE plain LOGIN PASSWORD 'pw';
	CREATE FUNCTION probe(name text, conninfo text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE state text; message text; detail text; hint text; context text;
	BEGIN
		PERFORM dblink_connect(name, conninfo);
		PERFORM dblink_disconnect(name);
		RETURN 'OK';
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
		RETURN concat_ws(' | ', state, message, detail, hint);
	END $$;
	CREATE FUNCTION try(sql text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE state text; message text; detail text; hint text;
	BEGIN
		EXECUTE sql;
		RETURN 'OK';
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
		RETURN concat_ws(' | ', state, message, detail, hint);
	END $$};
my %super = map { $_->name => session($_) } $stock, $ours;
foreach my $s (values %super)
{
	my $r = $s->run($probe);
	die $r->{err} if $r->{errors};
}
my %plain = map { $_->name => session($_, user => 'plain') } $stock, $ours;

# ---- making strings ---------------------------------------------------------

my @values = ('', 'x', '1', '0', '-1', '2147483648', 'a b', "it''s", 'prefer', 'disable', 'require', 'nosuch', 'any', 'read-write', 'on', 'off', 'abc',
	'é', '日本', '%20', '/', '@', ':', ',', 'x,y', '127.0.0.1', 'localhost', '=', '==', "\t", "\n", 'plain', 'postgres', 'pw', '5s', ' 3 ', '99999999999');
my @keywords = qw(host port dbname user password options application_name fallback_application_name sslmode connect_timeout keepalives keepalives_idle
  target_session_attrs gssencmode channel_binding sslsni ssl_min_protocol_version ssl_max_protocol_version krbsrvname requirepeer passfile service
  replication sslcert sslkey sslrootcert sslcrl sslcompression tcp_user_timeout nosuch HOST Port);

# One of a list.
sub any { return $_[ rand @_ ] }

# One "keyword = value" in one of the ways to write it.
sub setting
{
	my $value = any(@values);
	my $way = int rand 4;
	$value = "'" . ($value =~ s/([\\'])/\\$1/gr) . "'" if $way < 2;
	$value = ($value =~ s/([\\' \t\n])/\\$1/gr) if $way == 2;
	return any(@keywords) . any('=', '=', '=', ' = ', '= ', '') . $value;
}

# A connection string before it is damaged.
sub plain_string
{
	return join any(' ', ' ', '  ', "\n"), map { setting() } 1 .. 1 + rand 5;
}

# A URI before it is damaged.
sub uri
{
	my $user = any('', 'plain@', 'plain:pw@', 'pl%61in:p%77@', ':@', '@');
	my $host = any('', 'localhost', '127.0.0.1', '[::1]', '[127.0.0.1]', '%2ftmp', 'a,b', 'a:1,b:2');
	my $port_part = any('', '', ":$closed", ':', ':abc', ':0', ':65536');
	my $path = any('', '/', '/postgres', '/a%20b', '/%00', '/%zz', '/%c3%a9');
	my $query = any('', '', '?', '?sslmode=disable', '?connect_timeout=3', '?a=b', '?user=x&password=y', '?ssl=true', '?application_name=%C3%A9', '?host=b&port=1', '?=', '?&&');
	return any('postgresql://', 'postgres://', 'postgresql:/', 'Postgresql://') . $user . $host . $port_part . $path . $query;
}

# Damages a string: characters are doubled, dropped, swapped, put in.
sub damage
{
	my @chars = split //, shift;
	foreach (1 .. int rand 4)
	{
		my $at = int rand(@chars + 1);
		my $kind = int rand 5;
		if    ($kind == 0) { splice @chars, $at, 0, any(qw(' " \ = % & ? / @ : ; $ { } | < > é 字), ' ', "\t", "\n", '[', ']', ',', '#') }
		elsif ($kind == 1) { splice @chars, $at, 1 }
		elsif ($kind == 2 && @chars) { splice @chars, $at, 0, $chars[ rand @chars ] }
		elsif ($kind == 3 && @chars > 1) { @chars[ 0, 1 ] = @chars[ 1, 0 ] }
		elsif ($kind == 4) { splice @chars, $at, int rand 8 }
	}
	return join '', @chars;
}

# Is it certain that the string leads nowhere else?  PGHOSTADDR decides for all
# that do not name the address themselves.
sub harmless
{
	my $string = shift;
	my $decoded = $string =~ s/%([0-9a-fA-F]{2})/chr hex $1/ger;
	return $decoded !~ /addr|service|\0/i && $string !~ /\0/;
}

# An SQL literal of any text.
sub literal
{
	my $text = shift;
	$text =~ s/([\\'])/\\$1/g;
	$text =~ s/\n/\\n/g;
	return "E'$text'";
}

# ---- comparing ----------------------------------------------------------------

my ($compared, $connected, @differences) = (0, 0);

# Each server's default is a connection to itself: the ports may differ.
my $ports = join '|', $stock->port, $ours->port;
sub alike
{
	my $text = shift;
	$text =~ s/port (?:$ports)\b/port PORT/g;
	return $text;
}

# Runs an expression for many rows of arguments in one statement on both sides,
# and compares line by line.
sub compare
{
	my ($sessions, $call, @rows) = @_;
	my $sql = "SET client_min_messages = error; SELECT n, to_json($call) FROM (VALUES "
	  . join(', ', map { "($_, " . join(', ', map { literal($_) } @{ $rows[$_] }) . ')' } 0 .. $#rows)
	  . ') AS v(n' . join('', map { ", a$_" } 1 .. @{ $rows[0] }) . ') ORDER BY n';
	utf8::encode($sql);
	my %out;
	foreach my $side (qw(stock ours))
	{
		my $r = $sessions->{$side}->run($sql, 60);
		if ($r->{errors} || $r->{hung} || $r->{gone})
		{
			push @differences, "$side: " . ($r->{hung} ? 'hung ' : '') . substr $r->{err}, 0, 500;
			diag $differences[-1];
			return;
		}
		$out{$side} = [ split /\n/, $r->{out} ];
	}
	foreach my $n (0 .. $#rows)
	{
		$compared++;
		my ($theirs, $mine) = map { defined $out{$_}[$n] ? alike($out{$_}[$n]) : 'nothing' } qw(stock ours);
		$connected++ if $mine =~ /"OK"$/;
		next if $theirs eq $mine;
		my $string = join ' / ', @{ $rows[$n] };
		# a byte that is no text, as %a9 in a URI, is a question mark with us
		next if $string =~ /%[89a-f][0-9a-f]/i && $theirs =~ s/\?//gr eq $mine =~ s/\?//gr;
		utf8::encode($string);
		push @differences, "string $string\nstock: $theirs\nours:  $mine\n";
		diag $differences[-1] if @differences <= 10;
	}
	return;
}

my $made = 0;
my %sockets = (plain => local_fds($plain{ours}), super => local_fds($super{ours}));
while ($made < $strings && @differences < 50)
{
	my @rows;
	while (@rows < 100)
	{
		my $string = any(\&plain_string, \&plain_string, \&uri)->();
		$string .= " host=127.0.0.1 port=$port dbname=postgres user=plain password=pw" if rand(4) < 1 && $string !~ /^postgres/i;
		$string = damage($string) if rand(3) < 2;
		push @rows, [ rand(40) < 1 ? damage('name' x rand 30) : 'f', $string ] if harmless($string);
	}
	compare(rand(3) < 1 ? \%plain : \%super, 'probe(a1, a2)', @rows);
	$made += @rows;
}
is(@differences, 0, "$made damaged strings and URIs, seed $seed");
my $strings_made = $made;
cmp_ok($connected, '<', $compared / 2, "most of them are wrong ($connected connected)");

# single strings of unusual size or bytes
my $before = @differences;
compare(\%super, 'probe(a1, a2)', [ 'f', 'x' x 1_000_000 ]);
compare(\%super, 'probe(a1, a2)', [ 'f', "password='" . 'y' x 1_000_000 . "' port=0" ]);
compare(\%super, 'probe(a1, a2)', [ 'f', "\n\n\n" ], [ 'f', ' ' ], [ 'f', '' ], [ '', 'port=0' ], [ 'n' x 63, 'port=0' ], [ 'n' x 64, "port=$closed" ],
	[ "\x{65e5}" x 40, "port=$closed" ], [ 'a=b', 'a=b' ], [ 'f', 'postgresql://' ], [ 'f', "host=127.0.0.1\nport=$closed" ],
	[ 'f', "application_name='" . 'é' x 100 . "' port=$closed" ], [ 'f', "options='-c geqo=off' port=$port dbname=postgres user=plain password=wrong" ]);
is(@differences - $before, 0, 'strings of a megabyte, of nothing but space, long names');

# foreign servers: what the validator says, and what connecting by them says
$before = @differences;
$made = 0;
while ($made < $strings / 10 && @differences < 50)
{
	my @rows;
	foreach my $n (1 .. 50)
	{
		my $key = any('dbname', 'port', 'application_name', 'sslmode', 'user', 'password', 'nosuch', 'client_encoding', 'connect_timeout', 'options', 'service', 'replication', 'passfile', 'sslkey', 'debug', '');
		$key = damage($key) if rand(4) < 1;
		my $value = any(@values);
		next if !harmless("$key=$value") || $key =~ /addr|host/i || $key eq '';
		$key =~ s/"/""/g;
		$value =~ s/'/''/g;
		my $kind = any('SERVER', 'SERVER', 'MAPPING', 'WRAPPER');
		push @rows, [ $kind eq 'SERVER' ? qq{CREATE SERVER s FOREIGN DATA WRAPPER dblink_fdw OPTIONS ("$key" '$value')}
			: $kind eq 'MAPPING' ? qq{CREATE SERVER s FOREIGN DATA WRAPPER dblink_fdw; CREATE USER MAPPING FOR current_user SERVER s OPTIONS ("$key" '$value')}
			:                      qq{CREATE FOREIGN DATA WRAPPER w VALIDATOR dblink_fdw_validator OPTIONS ("$key" '$value')} ];
		$rows[-1][0] .= qq{; SELECT dblink_connect('f', 's'); SELECT dblink_disconnect('f')} if $kind eq 'MAPPING';
		$rows[-1][0] .= '; DROP ' . ($kind eq 'WRAPPER' ? 'FOREIGN DATA WRAPPER w' : 'SERVER s CASCADE');
	}
	compare(\%super, 'try(a1)', @rows);
	$made += @rows;
}
is(@differences - $before, 0, "$made options of foreign servers");

# nothing is left, and both ends are what they were
is(local_fds($plain{ours}), $sockets{plain}, 'no socket is left');
is(local_fds($super{ours}), $sockets{super}, 'nor in the superuser\'s session');
healthy($super{ours}, 'the session is the one it was');
rows_are($super{ours}, 'SELECT dblink_get_connections() IS NULL', 't', 'no connection is left');
is(join('; ', open_objects($super{ours}), open_objects($plain{ours})), '', 'no object is left');
diag "SUMMARY strings fuzzed: $compared ($strings_made strings and URIs, $made options), different from stock: " . @differences . ", seed $seed";
$_->quit foreach values %super, values %plain;
done_testing();
