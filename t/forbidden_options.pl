# Connection options that are not allowed: refused for everybody, before
# anything is contacted.  This libpq may know none that is not allowed, and the
# server may have no list of its own; so both are faked, by a library that the
# server loads before all else.
# streaming: any

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $source = __FILE__ =~ s{[^/]*$}{option_fake.c}r;
my $include = `pg_config --includedir`;
chomp $include;
my $listener = silent_listener();
my $at = 'host=127.0.0.1 port=' . $listener->port . ' password=x';

# A server of an older minor release has no list: here a copy whose symbol for it
# cannot be found any more.
my $old_prefix = copy_tree(ours_prefix(), "$dir/old");
is(system('perl', '-pi', '-e', 's/is_valid_proxy_option\0/is_valid_proxy_nothin\0/g', "$old_prefix/bin/postgres"), 0, 'a server without a list');

# What is faked in which server, an option that is not allowed then, and how it is set.
my %fakes = (
	'a list' => [ 'FAKE_LIST', $old_prefix, 'application_name', 'application_name=x' ],
	'an option, server without a list' => [ 'FAKE_LIBPQ', $old_prefix, 'sslkeylogfile', 'sslsni=1' ],
	'an option' => [ 'FAKE_LIBPQ', undef, 'sslkeylogfile', 'sslsni=1' ]);

my $n = 0;
foreach my $fake (sort keys %fakes)
{
	my ($macro, $tree, $option, $setting) = @{ $fakes{$fake} };
	my $lists = $macro eq 'FAKE_LIST';
	my $name = 'fake' . ++$n;
	is(system("cc -O1 -fPIC -shared -D$macro -I'$include' -I'$include/postgresql' -o '$dir/$name.so' '$source' >'$dir/cc.out' 2>&1"), 0, "$fake: the fake compiles")
	  or diag slurp_file("$dir/cc.out");
	my $local = make_server($name, ($tree ? (tree => $tree) : ()), env => { LD_PRELOAD => "$dir/$name.so" });
	my $s = session($local);
	$s->run("CREATE EXTENSION dblink; CREATE ROLE plain LOGIN; CREATE SERVER s FOREIGN DATA WRAPPER dblink_fdw OPTIONS (host '127.0.0.1', port '" . $listener->port . "'"
		  . ($lists ? ", application_name 'x'" : '') . "); CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS (password 'x'); GRANT USAGE ON FOREIGN SERVER s TO PUBLIC");
	my $plain = session($local, user => 'plain');
	my $before = $listener->count;
	foreach my $who ([ 'superuser', $s ], [ 'plain role', $plain ])
	{
		my @targets = (lit("$at $setting"), $lists ? "'s'" : ());
		foreach my $target (@targets)
		{
			foreach my $call ("dblink_connect('m', $target)", "dblink_connect($target)", "dblink($target, 'SELECT 1') AS t(x int)", "dblink_exec($target, 'SELECT 1')")
			{
				# should fail at once, and say which option it is, but not its value
				fails_with($who->[1], "SELECT * FROM $call", { state => '42501', message => "permission denied to set connection option \"$option\"", detail => undef, within => SLOW },
					"$fake: $who->[0], $call" =~ s/port=\d+//r);
			}
		}
	}
	is($listener->count, $before, "$fake: nobody was contacted");
	# should be tried: without the option
	$s->run("SET statement_timeout = '300ms'");
	$s->run("SELECT dblink_connect('m', " . lit($at) . ')');
	is($listener->count, $before + 1, "$fake: without the option the remote is tried");
	$s->run('RESET statement_timeout');
	rows_are($s, 'SELECT dblink_get_connections() IS NULL', 't', "$fake: no name is registered");
	is(join('; ', unsound($_, local_fds(watch($local)))), '', "$fake: nothing is left") foreach $s, $plain;
	$_->quit foreach $s, $plain;
}
$listener->close;
done_testing();
