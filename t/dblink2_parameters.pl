# dblink2: a parameter is what the same value is as a literal, for every built-in
# type and its array, whatever the settings on both sides are.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;

my ($local, $remote) = make_pair();
my $s = session($local);
no_error($s, 'CREATE EXTENSION dblink2', 'the extension');
no_error($s, 'SELECT dblink_connect(' . lit('c') . ', ' . lit(conninfo($remote, application_name => 'parameters')) . ')', 'connected');

srand($ENV{DBLINK_RANDOM_SEED} || 1);

# The values by type; in the arrays with a NULL.
my %values = (
	'bool' => [qw(true false)],
	'int2' => [qw(0 1 -1 32767 -32768)],
	'int4' => [qw(0 1 -1 2147483647 -2147483648)],
	'int8' => [qw(0 -1 9223372036854775807 -9223372036854775808)],
	'oid' => [qw(0 1 4294967295)],
	'float4' => [qw(0 -0 1.5 1e38 -1e38 1e-45 3.4028235e38 1.17549435e-38 NaN Infinity -Infinity 0.1)],
	'float8' => [qw(0 -0 1.5 1e308 -1.7976931348623157e308 5e-324 NaN Infinity -Infinity 0.1 0.30000000000000004)],
	'numeric' => [qw(0 0.0 0.000 1 -1 1e100 -1e-100 NaN Infinity -Infinity 123456789012345678901234567890.123456789 1e130000 1e-16383 100.00)],
	'text' => [ '', 'a', "a\nb\tc\\d'e\"f{},", 'é€𝄞', 'NULL', 'null', ' ', '$1', '%s', '\\x00', 'x' x 100000 ],
	'varchar' => [ '', 'abc', 'é' ],
	'bpchar' => [ '', 'abc  ' ],
	'name' => [ '', 'a name', 'n' x 63 ],
	'char' => [ '', 'a' ],
	'bytea' => [ '', '\\x00', '\\x00ff27225c0a', '\\x' . '00ff' x 1000 ],
	'date' => [ '2000-01-01', '1999-12-31', '4713-01-01 BC', '0001-12-31 BC', '5874897-12-31', 'infinity', '-infinity', '2024-02-03' ],
	'time' => [ '00:00:00', '24:00:00', '23:59:59.999999' ],
	'timetz' => [ '00:00:00+00', '24:00:00-15:59', '12:34:56.5+05:30', '12:00:00+15:59:59' ],
	'timestamp' => [ '2000-01-01 00:00:00', '4713-01-01 00:00:00 BC', '294276-12-31 23:59:59.999999', 'infinity', '-infinity', '1999-02-03 23:59:59.999999' ],
	'timestamptz' => [ '2000-01-01 00:00:00+00', '4713-01-02 00:00:00+00 BC', '294276-12-30 23:59:59.999999+00', 'infinity', '-infinity', '1900-01-01 00:00:00+01', '2024-10-27 00:30:00+00', '2024-10-27 01:30:00+00' ],
	'interval' => [ '0', '+1 year +2 mons +3 days +04:05:06.789', '-1 year -2 mons +3 days -04:05:06.789', '178000000 years', '00:00:00.000001', '+1 mon -1 day', '-1 day +00:00:01' ],
	'uuid' => [ '00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff' ],
	'json' => [ '{}', '{"a" :  [1, 2.50, null, "é"], "a": 1}', '" "' ],
	'jsonb' => [ '{}', '{"a": [1, 2.50, null, "é"], "b": {"c": true}}', '"x"', '1e1000' ],
	'jsonpath' => [ '$', '$."a"[*]?(@ > 1)' ],
	'xml' => [ '<a/>', '<a>é</a>' ],
	'inet' => [ '0.0.0.0', '192.168.1.5/24', '::1', 'fe80::1/64' ],
	'cidr' => [ '10.0.0.0/8', '2001:db8::/32' ],
	'macaddr' => ['08:00:2b:01:02:03'],
	'macaddr8' => ['08:00:2b:01:02:03:04:05'],
	'bit' => [ '0', '1' ],
	'varbit' => [ '', '1', '1' x 77 ],
	'money' => [ '$0.00', '-$1,234.56', '92233720368547758.07' ],
	'point' => [ '(1,2)', '(-1e300,NaN)' ],
	'box' => ['(3,4),(1,2)'],
	'path' => [ '[(0,0),(1,1)]', '((0,0),(1,1))' ],
	'polygon' => ['((0,0),(1,1),(2,0))'],
	'circle' => ['<(1,2),3>'],
	'lseg' => ['[(0,0),(0.1,0.30000000000000004)]'],
	'line' => ['{1,2,3}'],
	'tsvector' => [ '', "'a':1A 'b':2" ],
	'tsquery' => [ "'a' & !'b'", "'a' <-> 'b'" ],
	'pg_lsn' => [ '0/0', 'FFFFFFFF/FFFFFFFF' ],
	'txid_snapshot' => ['10:20:10,14'],
	'pg_snapshot' => ['10:20:10,14'],
	'xid' => [ '0', '4294967295' ],
	'xid8' => [ '0', '18446744073709551615' ],
	'cid' => ['7'],
	'tid' => ['(1,2)'],
	'regclass' => [ 'pg_class', 'information_schema.tables', '0' ],
	'regtype' => [ 'integer', '"char"', 'information_schema.cardinal_number' ],
	'regproc' => ['now'],
	'regprocedure' => ['now()'],
	'regoper' => ['||/'],
	'regoperator' => ['+(integer,integer)'],
	'regcollation' => ['"C"'],
	'regconfig' => ['english'],
	'regdictionary' => ['simple'],
	'regnamespace' => ['pg_catalog'],
	'regrole' => ['pg_monitor'],
	'regdatabase' => ['postgres'],
	'aclitem' => ['pg_monitor=r/pg_monitor'],
	'refcursor' => [ 'a', '' ],
	'int2vector' => [ '', '1 2 3' ],
	'oidvector' => [ '', '1 2 3' ],
	'int4range' => [ 'empty', '[1,5)', '(,)', '[-2147483648,)' ],
	'int8range' => ['[1,9223372036854775807)'],
	'numrange' => ['[1.50,2.0]'],
	'daterange' => [ '[2024-02-03,2024-03-02)', '[,infinity)' ],
	'tsrange' => ['["2024-02-03 00:00:00",)'],
	'tstzrange' => ['["2024-02-03 00:00:00+00",infinity)'],
	'int4multirange' => [ '{}', '{[1,3),[5,9)}' ],
	'int8multirange' => ['{[1,3)}'],
	'nummultirange' => ['{[1.50,2.0]}'],
	'datemultirange' => ['{[2024-02-03,2024-03-02)}'],
	'tsmultirange' => ['{["2024-02-03 00:00:00",)}'],
	'tstzmultirange' => ['{["2024-02-03 00:00:00+00",)}'],
	'oid8' => [ '0', '18446744073709551615' ],
);

# Values of some types at random.
sub any { return $_[ int rand @_ ] }
my %random = (
	'int8' => sub { return int(rand(2**53)) - int(rand(2**53)) },
	'float4' => sub { return sprintf('%.9g', (rand() - 0.5) * 10**(int(rand 70) - 35)) },
	'float8' => sub { return sprintf('%.17g', (rand() - 0.5) * 10**(int(rand 600) - 300)) },
	'numeric' => sub { return sprintf('%d.%0*d', int(rand 1e9), 1 + int(rand 9), int(rand 9)) },
	'date' => sub { return sprintf('%04d-%02d-%02d', 1 + int(rand 9999), 1 + int(rand 12), 1 + int(rand 28)) },
	'timestamptz' => sub { return sprintf('%04d-%02d-%02d %02d:%02d:%02d.%06d+00', 1700 + int(rand 600), 1 + int(rand 12), 1 + int(rand 28), int(rand 24), int(rand 60), int(rand 60), int(rand 1e6)) },
	'interval' => sub { return sprintf('%+d years %+d mons %+d days %s%02d:%02d:%02d.%06d', int(rand 40) - 20, int(rand 24) - 12, int(rand 60) - 30, any('+', '-'), int(rand 100), int(rand 60), int(rand 60), int(rand 1e6)) },
	'text' => sub { return join '', map { any('a', 'é', '€', '𝄞', '"', "'", '\\', '{', '}', ',', ' ', "\n", 'N') } 1 .. int rand 12 },
	'bytea' => sub { return '\\x' . join '', map { sprintf '%02x', int rand 256 } 1 .. int rand 20 },
);
foreach my $type (sort keys %random)
{
	push @{ $values{$type} }, map { $random{$type}->() } 1 .. 12;
}

# Not values of a column's type, or without an input function that works.
my %without = map { $_ => 1 } qw(pg_node_tree pg_ndistinct pg_dependencies pg_mcv_list gtsvector
  pg_brin_bloom_summary pg_brin_minmax_multi_summary unknown);

my @types = split /\n/, $s->run(
	"SELECT typname FROM pg_type WHERE oid < 10000 AND typtype IN ('b', 'r', 'm') AND typcategory <> 'A' ORDER BY 1")->{out};
my %is_type = map { $_ => 1 } @types;
my @uncovered = grep { !$values{$_} && !$without{$_} && !/^int2vector$|^oidvector$/ } @types;
is("@uncovered", '', 'every built-in type has values here');
push @types, grep { /vector$/ && !$is_type{$_} } qw(int2vector oidvector);

my @strings = qw(text varchar bpchar name refcursor);
my %is_string = map { $_ => 1 } @strings;

# One parameter of a type, beside the same as a literal, as the other side has both.
# With the type that is seen there; for strings, that of a cast.  A "char", which the
# parser takes for text as gladly as for anything, stands beside an integer.
sub compare
{
	my ($type, $value) = @_;
	my $literal = defined $value ? lit($value) : 'NULL';
	my $cast = $type =~ /^(.*)\[\]$/ ? "pg_catalog.\"$1\"[]" : "pg_catalog.\"$type\"";
	my $r = $s->run("SELECT a IS NOT DISTINCT FROM b AND c FROM dblink_query('c', "
		  . lit('SELECT ' . ($is_string{$type} ? "\$1::$cast" : '$1') . "::text, ($literal\::$cast)::text, "
			  . ($is_string{$type} ? 'true' : "pg_typeof(\$1) = '$cast'::regtype"))
		  . ', ' . "$literal\::$cast" . ($type eq 'char' ? ', 1' : '')
		  . ') AS t(a text, b text, c bool)');
	return '' if !$r->{errors} && !$r->{hung} && $r->{out} eq 't';
	return "$type, " . (defined $value ? substr($value, 0, 60) : 'NULL') . ": $r->{out} $r->{err}\n";
}

# The text of an array.
sub array_of
{
	return '{' . join(',', map { my $v = $_; defined $v ? do { $v =~ s/(["\\])/\\$1/g; "\"$v\"" } : 'NULL' } @_) . '}';
}

# All types under the settings of both sides.
sub compare_all
{
	my ($name) = @_;
	my $wrong = '';
	my $count = 0;
	foreach my $type (grep { $values{$_} && $is_type{$_} } sort keys %values)
	{
		my @v = grep { length $_ < 5000 } @{ $values{$type} };
		my @arrays = ([], [undef], [ @v, undef ]);
		$wrong .= compare($type, $_) foreach @{ $values{$type} }, undef;
		next if $type =~ /vector$/ && $type ne 'tsvector';
		my $delimiter = $type eq 'box' ? ';' : ',';
		foreach my $array (@arrays)
		{
			my $text = array_of(@$array);
			$text =~ s/(?<=")([,])(?=")|(?<=[L"]),(?=[N"])/;/g if $type eq 'box';
			$wrong .= compare("$type\[]", $text);
			$count++;
		}
		$count += @{ $values{$type} } + 1;
	}
	is($wrong, '', "$name: $count parameters");
	return;
}

compare_all('default settings');

# Each of these on both sides, which need not agree.
my %settings = (
	DateStyle => [ 'ISO, MDY', 'ISO, DMY', 'SQL, DMY', 'SQL, MDY', 'German', 'Postgres, MDY', 'Postgres, DMY' ],
	IntervalStyle => [ 'postgres', 'postgres_verbose', 'sql_standard', 'iso_8601' ],
	TimeZone => [ 'UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kolkata' ],
	extra_float_digits => [ '1', '3', '0', '-15' ],
	bytea_output => [ 'hex', 'escape' ],
);
foreach my $round (1 .. ($ENV{DBLINK_QUICK} ? 1 : 3))
{
	my @here = map { "SET $_ = " . lit(any(@{ $settings{$_} })) } sort keys %settings;
	my @there = map { "SET $_ = " . lit(any(@{ $settings{$_} })) } grep { $_ ne 'extra_float_digits' } sort keys %settings;
	$s->run(join ';', @here);
	$s->run("SELECT dblink_execute('c', " . lit($_) . ')') foreach @there;
	compare_all("round $round");
	$s->run(join ';', map { "RESET $_" } sort keys %settings);
	$s->run("SELECT dblink_execute('c', 'RESET ALL')");
}

fails_with($s, "SELECT dblink_execute('c', 'SELECT \$1', 'a'::\"char\")", { state => '42725' }, 'a "char" by itself needs a cast');

# With rows in binary, what is sent is the same.
$s->run('SET dblink.result_format = binary');
compare_all('binary results');
$s->run('RESET dblink.result_format');

# Many parameters at once, to the limit of the protocol.
rows_are($s, "SELECT dblink_execute('c', 'SELECT ' || string_agg('\$' || g, '||'), VARIADIC array_agg(g::text)) FROM generate_series(1, 1500) g",
	'1', '1500 parameters');
rows_are($s, "SELECT * FROM dblink_query('c', 'SELECT \$65535', VARIADIC (SELECT array_agg(g) FROM generate_series(1, 65535) g)) AS t(a int)",
	'65535', '65535 parameters');
fails_with($s, "SELECT dblink_execute('c', 'SELECT \$1', VARIADIC array_agg(g)) FROM generate_series(1, 65536) g",
	{ state => '54023' }, 'and not one more');
healthy($s, 'the session lives');

done_testing();
