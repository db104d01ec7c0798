# dblink2: a parameter is what the same value is as a literal, for every built-in
# type and its array, whatever the settings on both sides are.

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;
use TypeValues;

my ($local, $remote) = make_pair();
my $s = session($local);
no_error($s, 'CREATE EXTENSION dblink2', 'the extension');
no_error($s, 'SELECT dblink_connect(' . lit('c') . ', ' . lit(conninfo($remote, application_name => 'parameters')) . ')', 'connected');

srand($ENV{DBLINK_RANDOM_SEED} || 1);

# The values by type; in the arrays with a NULL.
my %values = %type_values;

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
	$values{$type} = [ @{ $values{$type} }, map { $random{$type}->() } 1 .. 12 ];
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
