# Who may connect where, continued: lists of hosts, service files, and the
# environment of the local server; and remotes that are full, starting up,
# shutting down or rejecting; and hosts that do not answer, among others that do.
# Stock's dblink, with the same environment, says the same in every case, and
# beside that each case has its own expectation: a plain role is served only
# where it gave a password itself and the remote that was finally used asked for
# it.  t/auth.pl has the methods of one host.
# streaming: any

use strict;
use warnings;
use Test::More;
use PostgreSQL::Test::Utils;
use DblinkTest;

my $secret = 'for-one-of-many';
my $dir = PostgreSQL::Test::Utils::tempdir();

# Two remotes: one asks the role "filed" for its password, one trusts it.
my $asks = make_server('asks', tree => stock_prefix(), hba => ['host all filed 127.0.0.1/32 scram-sha-256'],
	conf => ["password_encryption = 'scram-sha-256'"]);
my $trusts = make_server('trusts', tree => stock_prefix());
foreach my $node ($asks, $trusts)
{
	watch($node)->run("CREATE ROLE filed LOGIN PASSWORD '$secret'");
}
my ($a, $b) = map { $_->port } $asks, $trusts;
my $c = PostgreSQL::Test::Cluster::get_free_port();

append_to_file("$dir/service", join "\n",
	'[asks]', 'host=127.0.0.1', "port=$a", 'dbname=postgres', 'user=filed', "password=$secret",
	'[trusts]', 'host=127.0.0.1', "port=$b", 'dbname=postgres', 'user=filed', "password=$secret",
	'[list]', 'host=127.0.0.1,127.0.0.1', "port=$c,$a", 'dbname=postgres',
	'[list_trusts]', 'host=127.0.0.1,127.0.0.1', "port=$c,$b", 'dbname=postgres', '');
append_to_file("$dir/pass", "*:*:*:filed:$secret\n");
chmod 0600, "$dir/pass";

# ---- the cases ----------------------------------------------------------------

# What a case comes to: for a superuser, and for a plain role.
#   ok     connected
#   pre    2F003, no password was given; nothing was contacted
#   post   2F003, the remote did not ask for the password
#   fail   08001
my $two = 'host=127.0.0.1,127.0.0.1 dbname=postgres';
my $one = 'host=127.0.0.1 dbname=postgres';
my $pw = "password=$secret";
my %cases = (
	# what is in the files and variables serves a superuser only
	'files and PGPASSWORD' => {
		env => { PGSERVICEFILE => "$dir/service", PGPASSFILE => "$dir/pass", PGPASSWORD => $secret },
		strings => [
			[ "$two port=$c,$a user=filed $pw", 'ok', 'ok' ],
			[ "$two port=$c,$b user=filed $pw", 'ok', 'post' ],
			[ "$two port=$a,$b user=filed $pw", 'ok', 'ok' ],
			[ "$two port=$b,$a user=filed $pw", 'ok', 'post' ],
			[ "$two port=$a,$b user=filed password=wrong", 'fail', 'fail' ],
			[ "$two port=$b,$a user=filed password=wrong", 'ok', 'post' ],
			[ "$two port=$c,$a user=filed", 'ok', 'pre' ],
			[ "$two hostaddr=127.0.0.1,127.0.0.1 port=$c,$a user=filed $pw", 'ok', 'ok' ],
			[ "hostaddr=127.0.0.1,127.0.0.1 dbname=postgres port=$c,$b user=filed $pw", 'ok', 'post' ],
			[ "hostaddr=127.0.0.1,127.0.0.1 dbname=postgres port=$c,$a user=filed", 'ok', 'pre' ],
			[ "host=127.0.0.1,127.0.0.1,127.0.0.1 port=$c,$c,$a dbname=postgres user=filed $pw", 'ok', 'ok' ],
			[ "$two port=$c,$c user=filed $pw", 'fail', 'fail' ],
			[ "$two port=1,2,3 user=filed $pw", 'fail', 'fail' ],
			[ "$two port=$c,$a user=filed $pw target_session_attrs=read-write", 'ok', 'ok' ],
			[ "$two port=$a,$b user=filed $pw target_session_attrs=standby", 'fail', 'fail' ],
			[ "$two port=$c,$b user=filed $pw target_session_attrs=prefer-standby", 'ok', 'post' ],
			[ "postgresql://filed:$secret\@127.0.0.1:$c,127.0.0.1:$a/postgres", 'ok', 'ok' ],
			[ "postgresql://filed:$secret\@127.0.0.1:$c,127.0.0.1:$b/postgres", 'ok', 'post' ],
			[ "postgresql://filed\@127.0.0.1:$c,127.0.0.1:$a/postgres", 'ok', 'pre' ],
			[ "postgresql://filed:\@127.0.0.1:$a/postgres", 'ok', 'pre' ],
			[ "postgresql://127.0.0.1:$a/postgres?user=filed&$pw", 'ok', 'ok' ],
			[ 'postgresql:///?service=asks', 'ok', 'pre' ],
			[ "postgresql:///?service=asks&$pw", 'ok', 'ok' ],
			[ 'service=asks', 'ok', 'pre' ],
			[ "service=asks $pw", 'ok', 'ok' ],
			[ 'service=asks password=wrong', 'fail', 'fail' ],
			[ "service=asks password=''", 'ok', 'pre' ],
			[ "service=trusts $pw", 'ok', 'post' ],
			[ "service=list user=filed $pw", 'ok', 'ok' ],
			[ 'service=list user=filed', 'ok', 'pre' ],
			[ "service=list_trusts user=filed $pw", 'ok', 'post' ],
			[ "service=none $pw", 'fail', 'fail' ],
			[ "$one port=$a user=filed passfile=$dir/pass", 'ok', 'pre' ],
			[ "$one port=$a user=filed passfile=$dir/pass password=wrong", 'fail', 'fail' ],
			# the last of two counts
			[ "$one port=$a user=filed $pw password=''", 'ok', 'pre' ],
			[ "$one port=$a user=filed password='' $pw", 'ok', 'ok' ],
			# a string within a string is a database's name
			[ "dbname='$one port=$b user=filed $pw' host=127.0.0.1 port=$a user=filed", 'fail', 'pre' ],
			[ "dbname='$one port=$b user=filed' host=127.0.0.1 port=$a user=filed $pw", 'fail', 'fail' ],
			[ "PASSWORD=$secret $one port=$a user=filed", 'fail', 'pre' ] ],
		# server's options, mapping's options
		servers => [
			[ "host '127.0.0.1,127.0.0.1', port '$c,$a', dbname 'postgres'", "user 'filed', password '$secret'", 'ok', 'ok' ],
			[ "host '127.0.0.1,127.0.0.1', port '$c,$b', dbname 'postgres'", "user 'filed', password '$secret'", 'ok', 'post' ],
			[ "host '127.0.0.1,127.0.0.1', port '$c,$a', dbname 'postgres'", "user 'filed'", 'ok', 'pre' ],
			[ "service 'list'", "user 'filed', password '$secret'", 'ok', 'ok' ],
			[ "service 'list'", "user 'filed'", 'ok', 'pre' ],
			[ "service 'asks'", "password ''", 'ok', 'pre' ],
			[ "service 'trusts'", "password '$secret'", 'ok', 'post' ],
			[ "host '127.0.0.1', port '$a', dbname 'postgres', passfile '$dir/pass'", "user 'filed'", 'ok', 'pre' ] ]
	},
	'PGSERVICE' => {
		env => { PGSERVICEFILE => "$dir/service", PGSERVICE => 'asks', PGPASSFILE => '/nonexistent' },
		strings => [
			[ '', 'ok', 'pre' ],
			[ $pw, 'ok', 'ok' ],
			[ 'password=wrong', 'fail', 'fail' ],
			[ "password=''", 'fail', 'pre' ],
			[ 'user=filed', 'ok', 'pre' ],
			[ "service=trusts $pw", 'ok', 'post' ],
			[ "port=$b $pw", 'ok', 'post' ] ]
	},
	'variables' => {
		env => { PGHOST => '127.0.0.1', PGPORT => $a, PGUSER => 'filed', PGDATABASE => 'postgres', PGPASSWORD => $secret, PGPASSFILE => '/nonexistent' },
		strings => [
			[ '', 'ok', 'pre' ],
			[ 'application_name=x', 'ok', 'pre' ],
			[ $pw, 'ok', 'ok' ],
			[ 'password=wrong', 'fail', 'fail' ],
			[ "port=$b $pw", 'ok', 'post' ],
			[ "port=$c $pw", 'fail', 'fail' ] ]
	},
	'lists in variables' => {
		env => { PGHOST => '127.0.0.1,127.0.0.1', PGPORT => $b, PGUSER => 'filed', PGDATABASE => 'postgres', PGPASSFILE => "$dir/pass" },
		strings => [
			[ '', 'ok', 'pre' ],
			[ $pw, 'ok', 'post' ],
			[ "port=$c,$a $pw", 'ok', 'ok' ],
			[ "port=$c,$b $pw", 'ok', 'post' ],
			[ "host=127.0.0.1 port=$a", 'ok', 'pre' ] ]
	});

# ---- both sides ------------------------------------------------------------------

my %node = (
	stock => make_server('stock', tree => stock_prefix(), start => 0),
	ours => make_server('ours', start => 0));
my %s;

# Runs pg_ctl on a server by itself: the test suite's own start would put its
# PGHOST and PGPORT into the environment, and waits until a server can be used.
sub pg_ctl
{
	my ($node, $env, @words) = @_;
	my $prefix = $node != ($node{ours} || 0) && stock_prefix() || ours_prefix();
	local %ENV = (%ENV, %$env);
	delete @ENV{ grep { !exists $env->{$_} } qw(PGHOST PGPORT PGUSER PGDATABASE) };
	return system(($prefix ? "$prefix/bin/pg_ctl" : 'pg_ctl'), '-s', '-D', $node->data_dir, '-l', $node->logfile, @words);
}

# Whatever happens, none of them stays.
my @by_hand;
END
{
	local $?;
	foreach my $node (@by_hand)
	{
		pg_ctl($node, {}, 'stop', '-w', '-m', 'immediate') if -e $node->data_dir . '/postmaster.pid';
	}
}

# (Re)starts both with an environment, and makes sessions of every caller.
sub begin_with
{
	my $env = shift;
	foreach my $side (sort keys %node)
	{
		my $node = $node{$side};
		my $first = !$s{$side};
		$_->quit foreach values %{ $s{$side} || {} };
		unwatch($node);
		push @by_hand, $node if $first;
		pg_ctl($node, {}, 'stop', '-w', '-m', 'fast') if !$first;
		is(pg_ctl($node, $env, 'start', '-w'), 0, "$side starts");
		if ($first)
		{
			my $r = watch($node)->run(q{
				CREATE EXTENSION dblink;
				CREATE ROLE plain LOGIN;
				CREATE ROLE trusted LOGIN;
				GRANT EXECUTE ON FUNCTION dblink_connect_u(text, text) TO trusted;
				GRANT CREATE ON SCHEMA public TO plain;
				CREATE FUNCTION run_as_super(sql text) RETURNS text LANGUAGE plpgsql
					SECURITY DEFINER AS 'DECLARE r text; BEGIN EXECUTE sql INTO r; RETURN r; END';
				SET ROLE plain;
				CREATE FUNCTION run_as_plain(sql text) RETURNS text LANGUAGE plpgsql
					SECURITY DEFINER AS 'DECLARE r text; BEGIN EXECUTE sql INTO r; RETURN r; END'});
			die $r->{err} if $r->{errors};
			watch($node)->run('RESET ROLE');
		}
		$s{$side} = { map { $_ => session($node, $_ eq 'super' || $_ eq 'role' ? () : (user => $_)) } qw(super plain trusted role) };
		$s{$side}{role}->run('SET ROLE plain');
	}
	return;
}

# The callers: session, how it has SQL run, who it then is; by connect_u?
my @callers = (
	[ 'superuser', 'super', undef, 'super' ],
	[ 'plain role', 'plain', undef, 'plain' ],
	[ 'plain role in a superuser\'s function', 'plain', 'run_as_super', 'super' ],
	[ 'superuser in a plain role\'s function', 'super', 'run_as_plain', 'plain' ],
	[ 'superuser after SET ROLE', 'role', undef, 'plain' ],
	[ 'role with EXECUTE on dblink_connect_u', 'trusted', undef, 'super', 1 ]);
my $connect = "SELECT dblink_connect('m', %s)";
my $once = "SELECT x::text FROM dblink(%s, 'SELECT 1') AS t(x int)";

# What an error says that a user can tell: '' if there was none.
my $own = join '|', map { $_->port } values %node;
sub told
{
	my $r = shift;
	return 'hung' if $r->{hung};
	my ($e) = grep { $_->{severity} eq 'ERROR' } @{ $r->{messages} } or return '';
	return join(' | ', map { $e->{$_} || '' } qw(state message detail hint)) =~ s/\.s\.PGSQL\.(?:$own)/.s.PGSQL.PORT/gr;
}

# The class of that.
sub class_of
{
	my $told = shift;
	return 'ok' if $told eq '';
	return 'pre' if $told =~ /^2F003 \| .* \| Non-superusers must provide a password/;
	return 'post' if $told =~ /^2F003 \| .* \| Non-superusers? (?:cannot connect if the server does not|may only connect using)/;
	return 'fail' if $told =~ /^08001 \| could not establish connection \| ./;
	return $told;
}

my ($tried, @wrong) = (0);
sub try_case
{
	my ($where, $argument, $super, $plain) = @_;
	foreach my $caller (@callers)
	{
		my ($name, $session, $wrap, $rights, $by_u) = @$caller;
		my $want = $rights eq 'super' ? $super : $plain;
		foreach my $form ($by_u ? $connect =~ s/connect/connect_u/r : $wrap ? $connect : ($connect, $once))
		{
			my $sql = sprintf $form, $argument;
			$sql = "SELECT $wrap(" . lit($sql) . ')' if $wrap;
			my %said;
			foreach my $side (sort keys %node)
			{
				# what was refused must not be registered
				my $r = $s{$side}{$session}->run("$sql; SELECT 'known: ' || dblink_get_connections()::text; SELECT dblink_disconnect('m') WHERE dblink_get_connections() IS NOT NULL");
				$said{$side} = told($r);
				my $should = $said{$side} eq '' && $form ne $once;
				push @wrong, "$where, $argument, $name, $sql on $side: $r->{out}" if $should != ($r->{out} =~ /^known: \{m\}$/m);
			}
			$tried++;
			push @wrong, "$where, $argument, $name, $form: " . class_of($said{ours}) . ", not $want" if class_of($said{ours}) ne $want;
			push @wrong, "$where, $argument, $name, $form:\nstock: $said{stock}\nours:  $said{ours}" if $said{ours} ne $said{stock};
		}
	}
	return;
}

foreach my $where (sort keys %cases)
{
	begin_with($cases{$where}{env});
	my $before = @wrong;
	my $sockets = local_fds($s{ours}{plain});
	try_case($where, lit($_->[0]), @$_[ 1, 2 ]) foreach @{ $cases{$where}{strings} };
	foreach my $n (0 .. $#{ $cases{$where}{servers} || [] })
	{
		my ($options, $mapping, @expected) = @{ $cases{$where}{servers}[$n] };
		foreach my $side (sort keys %node)
		{
			my $r = $s{$side}{super}->run("CREATE SERVER s$n FOREIGN DATA WRAPPER dblink_fdw OPTIONS ($options);"
				  . "CREATE USER MAPPING FOR PUBLIC SERVER s$n OPTIONS ($mapping); GRANT USAGE ON FOREIGN SERVER s$n TO PUBLIC");
			die $r->{err} if $r->{errors};
		}
		try_case($where, "'s$n'", @expected);
	}
	# should be: every case as expected, and as on stock
	is(@wrong - $before, 0, 'who may connect: ' . $where) or diag map { "$_\n" } @wrong[ $before .. $#wrong ];
	is(local_fds($s{ours}{plain}), $sockets, "$where: no socket is left");
	is(join('; ', open_objects($s{ours}{plain}), open_objects($s{ours}{super})), '', "$where: no object is left");
}
remote_quiet($asks, "usename = 'filed'", 'no session is left on the remote that asks');
remote_quiet($trusts, "usename = 'filed'", 'nor on the one that trusts');

# ---- remotes that take nobody in -----------------------------------------------------

# Each is tried alone, which fails with its words, and as the first of two hosts,
# which ends as it does with stock.  The environment is bare.
begin_with({ PGPASSFILE => '/nonexistent' });

# Tries both; $words is what its refusal says.
sub refused
{
	my ($what, $port, $words) = @_;
	my $before = @wrong;
	foreach my $who (qw(super plain))
	{
		my %said;
		foreach my $side (sort keys %node)
		{
			foreach my $ports ($port, "$port,$a")
			{
				my $target = lit(($ports =~ /,/ ? $two : $one) . " port=$ports user=filed $pw application_name=refused");
				my $r = $s{$side}{$who}->run("SELECT dblink_connect('m', $target)");
				$said{$side} .= told($r) . "\n";
				push @wrong, "alone: " . told($r) if $ports !~ /,/ && told($r) !~ /^08001 \| could not establish connection \| connection to server at "127.0.0.1", port $port failed: FATAL:  $words/;
				$s{$side}{$who}->run("SELECT dblink_disconnect('m')") if !$r->{errors};
				$r = $s{$side}{$who}->run("SELECT x FROM dblink($target, 'SELECT 1') AS t(x int)");
				$said{$side} .= told($r) . " $r->{out}\n";
			}
		}
		push @wrong, "$who:\nstock: $said{stock}\nours: $said{ours}" if $said{stock} ne $said{ours};
	}
	is(@wrong - $before, 0, "a remote that $what says so, and a list of hosts goes on as with stock") or diag map { "$_\n" } @wrong[ $before .. $#wrong ];
	return;
}

# full: ordinary users have no place left
my $full = make_server('full', tree => stock_prefix(), conf => [ 'max_connections = 8', 'superuser_reserved_connections = 5' ]);
watch($full)->run("CREATE ROLE filed LOGIN PASSWORD '$secret'");
my @guests = map { session($full) } 1 .. 4;
refused('is full', $full->port, '(?:remaining connection slots are reserved|sorry, too many clients already)');
$_->quit foreach @guests;

# rejecting
my $rejects = make_server('rejects', tree => stock_prefix(), hba => ['host all filed 127.0.0.1/32 reject'],
	conf => ['wal_level = replica'], start => 0);
push @by_hand, $rejects;
pg_ctl($rejects, {}, 'start', '-w');
my $guest = session($rejects);
$guest->run("CREATE ROLE filed LOGIN PASSWORD '$secret'");
refused('rejects', $rejects->port, 'pg_hba.conf rejects connection for host "127.0.0.1"');

# Polls the log for a line.
sub logged
{
	my $pattern = shift;
	return ok(poll_until(sub { slurp_file($rejects->logfile) =~ $pattern }), "the log says: $pattern");
}

# shutting down: it waits for a session that stays
pg_ctl($rejects, {}, 'stop', '-m', 'smart', '-W');
logged(qr/received smart shutdown request/);
refused('is shutting down', $rejects->port, 'the database system is shutting down');
$guest->quit;
poll_until(sub { !-e $rejects->data_dir . '/postmaster.pid' });

# starting up: recovery waits for a file to go
append_to_file($rejects->data_dir . '/recovery.signal', '');
append_to_file("$dir/wait", '');
$rejects->append_conf('postgresql.conf', "restore_command = 'while test -e \"$dir/wait\"; do sleep 0.1; done; false'\n");
pg_ctl($rejects, {}, 'start', '-W');
poll_until(sub { (system('pg_isready', '-q', '-h', '127.0.0.1', '-p', $rejects->port) >> 8) == 1 });
refused('is starting up', $rejects->port, 'the database system is starting up');
unlink "$dir/wait";
logged(qr/archive recovery complete/);

# ---- remotes that do not answer in time --------------------------------------------------

# Names that have what addresses are wanted here, in another order each time.
my $source = __FILE__ =~ s{[^/]*$}{name_fake.c}r;
is(system("cc -O1 -fPIC -shared -o '$dir/name_fake.so' '$source' >'$dir/cc.out' 2>&1"), 0, 'the preload compiles')
  or diag slurp_file("$dir/cc.out");
my ($silent, $silent_too) = map { silent_listener($_) } qw(127.0.0.1 127.0.0.2);
my ($silent_once, $silent_first) = map { silent_listener('127.0.0.1') } 1, 2;
my ($d, $e, $f, $g) = map { $_->port } $silent, $silent_too, $silent_once, $silent_first;
begin_with({
	PGPASSFILE => '/nonexistent',
	LD_PRELOAD => "$dir/name_fake.so",
	FAKE_NAMES => "late.test=127.0.0.1:$d works.test=127.0.0.1:$b both.test=127.0.0.2:$e,127.0.0.1 no.test=127.0.0.3,127.0.0.2:$e gone.test=127.0.0.3" });

# The SQL that connects and says at which port, and with which error otherwise.
sub port_by
{
	my $target = shift;
	return 'SELECT x FROM dblink(' . lit("$target dbname=postgres user=filed connect_timeout=2 application_name=late")
	  . ", 'SELECT inet_server_port()') AS t(x int)";
}

# All cases at the same time, each in a session whose first lookup it is. Stock of 16
# and newer does not look at connect_timeout: there is nothing to compare with.
my @sides = $node{ours}->pg_version >= 16 ? 'ours' : qw(ours stock);
my @late = (
	[ 'another address of its name is tried', "host=both.test port=$b", $b ],
	[ 'but not one that has failed before', "host=no.test port=$b", qr/\(127\.0\.0\.3\), port $b failed: .*\n.*\n.*\(127\.0\.0\.2\), port $b failed: timeout expired \| $/ ],
	[ 'a primary is taken for want of a standby', "host=127.0.0.1,127.0.0.1 port=$b,$d target_session_attrs=prefer-standby", $b ],
	[ 'empty elements stand for defaults', "host=late.test,,works.test hostaddr=,127.0.0.1, port=,$d,", $b ],
	# an entry without an address that has failed, and one of the same name and port with one
	[ 'the entry that timed out is not tried again', "host=gone.test,gone.test,works.test hostaddr=,127.0.0.1, port=$f,$f,$b", $b ],
	[ 'nor if it stands before the one without', "host=gone.test,gone.test,works.test hostaddr=127.0.0.1,, port=$g,$g,$b", $b ],
	[ 'but no host is missed that stands between the two', "host=late.test,works.test,late.test hostaddr=,,127.0.0.1 port=$d,$b,$d", $b ],
	[ 'an empty port at the end is the default', "host=127.0.0.1,works.test port=$d,", $b ],
	[ 'an empty host there, too', "host=127.0.0.1, port=$d,$c", qr/port $d failed: timeout expired\nconnection to server on socket ".*\.$c" failed: / ]);
foreach my $case (@late)
{
	foreach my $side (@sides)
	{
		$case->[3]{$side} = session($node{$side});
		$case->[3]{$side}->send(port_by($case->[1]));
	}
}
foreach my $case (@late)
{
	my ($what, $target, $want, $of) = @$case;
	my %said = map { my $r = $of->{$_}->collect; ($_ => [ told($r) || $r->{out}, $r->{secs} ]) } keys %$of;
	like($said{ours}[0], ref $want ? $want : qr/^$want$/, "after a time-out, $what");
	is($said{ours}[0], $said{stock}[0], 'as with stock') if $said{stock};
	cmp_ok($said{ours}[1], '>', 1.5, 'and not before its time');
	is(join('; ', open_objects($of->{ours})), '', 'no object is left');
	$_->quit foreach values %$of;
}

# should be one attempt for each side
is($silent_once->count, scalar @sides, 'an entry that stands after one without an address was tried once');
is($silent_first->count, scalar @sides, 'an entry that stands before one without an address was tried once');

# The order of the hosts is random: until the silent one is the first.
SKIP:
{
	my $sql = port_by("host=127.0.0.1,127.0.0.1 port=$b,$d load_balance_hosts=random");
	my $r = $s{ours}{super}->run($sql);
	skip 'needs libpq 16', 1 if told($r) =~ /invalid connection option "load_balance_hosts"/;
	foreach (1 .. 50)
	{
		last if $r->{errors} || $r->{secs} > 1.5;
		$r = $s{ours}{super}->run($sql);
	}
	ok($r->{out} eq $b && $r->{secs} > 1.5, 'after a time-out, a host that stands before it is tried') or diag $r->{err};
}

is(local_fds($s{ours}{super}), local_fds($s{ours}{plain}), 'no socket is left');
is(join('; ', open_objects($s{ours}{super})), '', 'no object is left');
remote_quiet($trusts, "application_name = 'late'", 'no session is left on the remote that is taken');
remote_quiet($asks, "application_name = 'refused'", 'no session is left on the remote');
diag "SUMMARY cases of who may connect: $tried, wrong: " . @wrong;
foreach my $side (keys %s) { $_->quit foreach values %{ $s{$side} } }
done_testing();
