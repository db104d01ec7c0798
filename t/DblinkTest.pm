# DblinkTest - what the TAP tests share.
#
# The idea: every test has a *local* server, whose tree is the one under test
# and which carries the extension, and a *remote* server from the untouched
# tree.  A test talks to them through sessions: psql processes that stay open,
# take one piece of SQL at a time and give back rows, messages (with SQLSTATE,
# DETAIL, HINT, CONTEXT apart) and the seconds it took, or say that the time
# was not enough.  Nothing here sleeps for a fixed time: what must happen
# later is polled for, with a bound.
#
# Environment: PATH has the tree under test first, DBLINK_STOCK_BIN is the
# program directory of the untouched tree; if unset, both sides use PATH, and
# what compares with stock is skipped.  PG_TEST_EXTRA switches on what takes
# long: words of "sweep fuzz soak valgrind".

package DblinkTest;

use strict;
use warnings;

use Exporter 'import';
use File::Basename qw(dirname basename);
use IO::Socket::INET;
use POSIX ();
use Socket;
use Test::More;
use Time::HiRes qw(time);

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(
  make_server make_pair session watch unwatch query_value
  conninfo lit poll_until poll_value
  rows_are fails_with no_error healthy local_fds
  remote_count remote_quiet
  unsound open_objects settled amount repeat_sql
  fd_count memory_kb reset_peak
  silent_listener full_listener
  stock_prefix ours_prefix copy_tree needs_stock extra tls_conf
  SLOW
);

# Seconds after which something that should end at once is called hung: far
# beyond what a loaded machine needs, well below the remote statements (60 s
# and more) that a wrong implementation would wait for.
use constant SLOW => 8;

my %watchers;

# A test that hangs for half an hour, or is told to end, stops its servers and
# says so; its children just end.
{
	my $test = $$;
	$SIG{TERM} = $SIG{ALRM} = sub { $$ == $test ? die "ended by SIG$_[0]\n" : POSIX::_exit(1) };
	alarm($ENV{DBLINK_TAP_SECONDS} || 1800);
}

# How much is done in a long run, unless the environment has other figures.
my %long = (
	sweep => { DBLINK_SWEEP => 'full', DBLINK_OOM => 'full', DBLINK_HUGE => 1, DBLINK_LARGE_ROWS => 1_000_000 },
	fuzz => { DBLINK_HOSTILE => 20_000, DBLINK_FUZZ => 20_000, DBLINK_SESSION_STATEMENTS => 20_000 },
	soak => { DBLINK_ROUNDS => 100_000, DBLINK_CONNECTIONS => 1000, DBLINK_SUBXACTS => 10_000, DBLINK_SOAK_SECONDS => 300 });
foreach my $word (grep { extra($_) } keys %long)
{
	%ENV = (%{ $long{$word} }, %ENV);
}

# Whether PG_TEST_EXTRA has that word.
sub extra
{
	my $word = shift;
	return ($ENV{PG_TEST_EXTRA} || '') =~ /\b$word\b/;
}

# ---- servers ----------------------------------------------------------

# The installation prefix of the untouched tree; undef: the one on PATH.
sub stock_prefix
{
	return undef unless $ENV{DBLINK_STOCK_BIN};
	return dirname($ENV{DBLINK_STOCK_BIN});
}

# Skips the file where there is no untouched tree to compare with.
sub needs_stock
{
	plan skip_all => "needs stock's dblink: DBLINK_STOCK_BIN"
	  unless stock_prefix();
	return;
}

# The installation prefix of the tree under test, from the pg_config on PATH.
sub ours_prefix
{
	my $bin = `pg_config --bindir`;
	chomp $bin;
	return dirname($bin);
}

# Makes and starts a server.  Options: tree (installation prefix, default the
# one on PATH), conf (lines for postgresql.conf), hba (lines put in front of
# pg_hba.conf; the rest is trust), initdb (arguments), env (hash put into the
# postmaster's environment), start => 0 to leave it stopped.  Listens on
# 127.0.0.1 and on a Unix socket.
sub make_server
{
	my ($name, %opt) = @_;
	my @tree = $opt{tree} ? (install_path => $opt{tree}) : ();
	my $node = PostgreSQL::Test::Cluster->new($name, @tree);

	$node->init(
		extra => $opt{initdb} || [ '--encoding=UTF8', '--locale=C' ]);
	$node->append_conf(
		'postgresql.conf',
		join("\n",
			"listen_addresses = '127.0.0.1'",
			"log_statement = none",
			"autovacuum = off",
			@{ $opt{conf} || [] },
			''));
	if ($opt{hba})
	{
		my $hba = $node->data_dir . '/pg_hba.conf';
		my $old = slurp_file($hba);
		open my $fh, '>', $hba or die "could not write $hba: $!";
		print $fh join("\n", @{ $opt{hba} }, ''), $old;
		close $fh;
	}
	{
		local %ENV = (%ENV, %{ $opt{env} || {} });
		$node->start unless defined $opt{start} && !$opt{start};
	}
	return $node;
}

# Makes the usual two servers: (local, remote), with the extension created in
# the local server's database postgres.  Options: local, remote (hashes of
# options of make_server).
sub make_pair
{
	my %opt = @_;
	my $remote = make_server('remote', tree => stock_prefix(),
		%{ $opt{remote} || {} });
	my $local = make_server('local', %{ $opt{local} || {} });
	my $s = session($local);
	my $r = $s->run('CREATE EXTENSION dblink');
	die "could not create the extension: $r->{err}" if $r->{errors};
	$s->quit;
	return ($local, $remote);
}

# Copies an installation (bin, lib, share) that lies in a relocatable tree to
# $dest and returns the new prefix.
sub copy_tree
{
	my ($prefix, $dest) = @_;
	my $config = "$prefix/bin/pg_config";
	my %dir;
	foreach my $what (qw(bindir pkglibdir sharedir))
	{
		$dir{$what} = `$config --$what`;
		chomp $dir{$what};
	}
	# the common part of the directories is the root of the tree
	my $root = $dir{bindir};
	$root = dirname($root)
	  until $dir{sharedir} =~ m{^\Q$root\E/} && $dir{pkglibdir} =~ m{^\Q$root\E/};
	foreach my $what (qw(bindir pkglibdir sharedir))
	{
		my $to = $dest . substr($dir{$what}, length $root);
		system_or_bail('mkdir', '-p', $to);
		system_or_bail('cp', '-R', "$dir{$what}/.", $to);
	}
	return $dest . substr(dirname($dir{bindir}), length $root);
}

# ---- sessions ---------------------------------------------------------

# Opens a session (see DblinkTest::Session) on a server.  Options: db, user,
# env (hash).
sub session
{
	my ($node, %opt) = @_;
	return DblinkTest::Session->new($node, %opt);
}

# The standing observer of a server: a superuser's session, made on first use.
sub watch
{
	my $node = shift;
	return $watchers{ $node->name } ||= session($node);
}

# Forgets the observer; needed before a server is stopped.
sub unwatch
{
	my $node = shift;
	my $s = delete $watchers{ $node->name };
	$s->quit if $s;
	return;
}

# One value from the server, through the observer.
sub query_value
{
	my ($node, $sql) = @_;
	my $r = watch($node)->run($sql);
	die "observer's query failed: $sql\n$r->{err}" if $r->{errors};
	return $r->{out};
}

# A connection string for a server as dblink's functions take it, through
# 127.0.0.1 unless host is given.  Further options are appended as they are
# named.
sub conninfo
{
	my ($node, %opt) = @_;
	my %all = (
		host => '127.0.0.1',
		port => $node->port,
		dbname => 'postgres',
		%opt);
	my @parts;
	foreach my $key (sort keys %all)
	{
		my $value = $all{$key};
		next unless defined $value;
		$value =~ s/([\\'])/\\$1/g;
		push @parts, "$key='$value'";
	}
	return join ' ', @parts;
}

# An SQL string literal.
sub lit
{
	my $text = shift;
	my $e = $text =~ /\\/ ? ' E' : '';
	$text =~ s/\\/\\\\/g;
	$text =~ s/'/''/g;
	return "$e'$text'";
}

# ---- waiting ----------------------------------------------------------

# Calls the code until it returns true, for at most the given seconds (default
# the test suite's own limit).  Returns what the code returned last.
sub poll_until
{
	my ($code, $timeout) = @_;
	my $end = time() + ($timeout || $PostgreSQL::Test::Utils::timeout_default);
	while (1)
	{
		my $value = $code->();
		return $value if $value || time() >= $end;
		select(undef, undef, undef, 0.02);
	}
}

# Polls a query on a server until it gives the wanted value; returns the last
# value seen, to be compared by the caller.
sub poll_value
{
	my ($node, $sql, $wanted, $timeout) = @_;
	my $value;
	poll_until(sub { $value = query_value($node, $sql); $value eq $wanted },
		$timeout);
	return $value;
}

# ---- assertions -------------------------------------------------------

# The SQL gives exactly these rows (psql's unaligned form) and no error.
sub rows_are
{
	my ($s, $sql, $expected, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $r = $s->run($sql);
	my $ok = ok(!$r->{hung} && !$r->{errors} && $r->{out} eq $expected, $name);
	diag("query: $sql\ngot: $r->{out}\nwanted: $expected\nmessages: $r->{err}"
		  . ($r->{hung} ? "\nthe session hung" : ''))
	  unless $ok;
	return $r;
}

# The SQL (or an already collected result) ends without an error.
sub no_error
{
	my ($s, $sql, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $r = ref $sql ? $sql : $s->run($sql);
	my $ok = ok(!$r->{hung} && !$r->{errors}, $name);
	diag((ref $sql ? '' : "query: $sql\n") . "messages: $r->{err}"
		  . ($r->{hung} ? "\nthe session hung" : ''))
	  unless $ok;
	return $r;
}

# The SQL (or an already collected result) ends with an error that has these
# fields: state, message, detail, hint, context, each a string, a pattern, or
# undef for "not there"; within: at most so many seconds.
sub fails_with
{
	my ($s, $sql, $want, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $r = ref $sql ? $sql : $s->run($sql);
	my %want = %$want;
	my $within = delete $want{within};
	my @wrong;
	my ($error) = grep { $_->{severity} =~ /^(ERROR|FATAL|PANIC)$/ }
	  @{ $r->{messages} };

	if ($r->{hung})
	{
		push @wrong, sprintf 'hung for %.1f s', $r->{secs};
	}
	elsif (!$error)
	{
		push @wrong, "no error; rows: $r->{out}";
	}
	foreach my $field ($error ? sort keys %want : ())
	{
		my ($got, $expected) = ($error->{$field}, $want{$field});
		my $same =
			!defined $expected ? !defined $got
		  : !defined $got ? 0
		  : ref $expected ? $got =~ $expected
		  :                 $got eq $expected;
		push @wrong, "$field is " . (defined $got ? "\"$got\"" : 'missing')
		  . ', wanted ' . (defined $expected ? "\"$expected\"" : 'none')
		  unless $same;
	}
	push @wrong, sprintf 'took %.2f s, limit %.2f s', $r->{secs}, $within
	  if defined $within && $r->{secs} > $within;
	my $ok = ok(!@wrong, $name);
	diag(join("\n", (ref $sql ? () : "query: $sql"), @wrong,
			"messages: $r->{err}"))
	  unless $ok;
	return $r;
}

# The backend of the session still lives and is the one it was.
sub healthy
{
	my ($s, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $was = $s->pid;
	my $r = $s->run('SELECT pg_backend_pid()');
	return is($r->{out}, $was, $name);
}

# ---- what the remote and the operating system see ----------------------

# Sessions of clients on a server that fulfil a condition, without observers.
sub remote_count
{
	my ($node, $where) = @_;
	$where = 'true' unless defined $where;
	return query_value($node,
		"SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client"
		  . " backend' AND pid <> pg_backend_pid() AND ($where)");
}

# The server ends up without sessions that fulfil the condition.
sub remote_quiet
{
	my ($node, $where, $name, $timeout) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $count;
	poll_until(sub { $count = remote_count($node, $where); $count == 0 },
		$timeout);
	return is($count, 0, $name);
}

# Open descriptors of a process; with a pattern, those whose target matches.
sub fd_count
{
	my ($pid, $pattern) = @_;
	my $count = 0;
	foreach my $fd (glob "/proc/$pid/fd/*")
	{
		my $target = readlink $fd;
		next unless defined $target;
		$count++ if !defined $pattern || $target =~ $pattern;
	}
	return $count;
}

# Sockets of a session's backend.
sub local_fds
{
	my $s = shift;
	return fd_count($s->pid, qr/^socket:/);
}

# One figure of /proc/PID/status in kB, say VmHWM or RssAnon.
sub memory_kb
{
	my ($pid, $field) = @_;
	my $status = slurp_file("/proc/$pid/status");
	return $status =~ /^\Q$field\E:\s+(\d+) kB/m ? $1 : undef;
}

# Starts the peak (VmHWM) of a process anew.
sub reset_peak
{
	my $pid = shift;
	open my $fh, '>', "/proc/$pid/clear_refs"
	  or die "could not reset the memory peak of $pid: $!";
	print $fh "5\n";
	close $fh;
	return;
}

# ---- what must hold after every fault -------------------------------------

# Makes a key and a certificate in a directory, which the key has signed itself; gives the
# lines of postgresql.conf that make a server use them. Further arguments go to openssl.
sub tls_conf
{
	my ($dir, @args) = @_;
	my $log = "$dir/openssl.log";
	@args = ('-subj', '/CN=localhost') unless @args;
	system("openssl req -x509 -newkey rsa:2048 -nodes -days 30 @args"
		  . " -keyout '$dir/server.key' -out '$dir/server.crt' >'$log' 2>&1") == 0
	  or die 'openssl failed: ' . slurp_file($log);
	chmod 0600, "$dir/server.key";
	return ('ssl = on', "ssl_cert_file = '$dir/server.crt'", "ssl_key_file = '$dir/server.key'");
}

# How many of something to do: the environment's figure, or the quick run's.
sub amount
{
	my ($variable, $quick) = @_;
	return defined $ENV{$variable} && $ENV{$variable} =~ /^\d+$/ ? $ENV{$variable} : $quick;
}

# What is wrong with a session after a fault; nothing if all is well.  The
# backend is the one it was, its settings are as they were, no connection is
# left, and it has no more sockets than $sockets.
sub unsound
{
	my ($s, $sockets) = @_;
	my @wrong;
	my $r = $s->run("SELECT count(dblink_disconnect(n)) FROM unnest(dblink_get_connections()) n", SLOW);
	push @wrong, "could not disconnect: $r->{err}" if $r->{errors} || $r->{hung};
	return @wrong, 'the session hangs' if $r->{hung};
	$r = $s->run("SELECT pg_backend_pid(), current_setting('datestyle'), current_setting('intervalstyle'),"
		  . ' dblink_get_connections() IS NULL', SLOW);
	push @wrong, "the session is not what it was: $r->{out} $r->{err}"
	  unless $r->{out} eq $s->pid . '|ISO, MDY|postgres|t';

	# a thread that makes a cancel request may hold its own for a moment
	my $fds;
	poll_until(sub { $fds = local_fds($s); $fds <= $sockets }, SLOW);
	push @wrong, "$fds sockets, not $sockets" if $fds != $sockets;
	return @wrong, open_objects($s);
}

# What the library still has open in a session that has no connection, if it was
# built to count that (script/test --build counted); nothing if all is well.
sub open_objects
{
	my $s = shift;
	my ($open, $r);
	poll_until(sub {
		$r = $s->run("SELECT current_setting('dblink.open_objects', true)", SLOW);
		$open = $r->{out};
		return $r->{errors} || $r->{hung} || $open !~ /[1-9]/;
	}, SLOW);
	return "objects are not counted: $r->{err}" if $ENV{DBLINK_COUNTED} && $open !~ /0/;
	return $open =~ /[1-9]/ ? "open objects: $open" : ();
}

# The server ends up without sessions of this application; else says so.
sub settled
{
	my ($node, $application, $seconds) = @_;
	my $count;
	poll_until(sub { $count = remote_count($node, "application_name = '$application'"); $count == 0 }, $seconds || SLOW);
	return $count ? "$count sessions are left on the remote" : ();
}

# Runs a statement so many times within the server, each time expecting the SQLSTATE (or
# none: '').
sub repeat_sql
{
	my ($s, $times, $sql, $state) = @_;
	return $s->run(qq{
		DO \$do\$
		DECLARE seen text;
		BEGIN
			FOR i IN 1 .. $times LOOP
				seen := '';
				BEGIN
					EXECUTE \$sql\$$sql\$sql\$;
				EXCEPTION WHEN OTHERS THEN
					seen := SQLSTATE;
				END;
				IF seen <> '$state' THEN
					RAISE EXCEPTION 'turn % ended with "%"', i, seen;
				END IF;
			END LOOP;
		END \$do\$}, 120);
}

# ---- servers that do not answer ----------------------------------------

# A socket on 127.0.0.1, or the address given, that accepts and never says a word.
# Methods port and count: how many clients ever came.
sub silent_listener
{
	my $address = shift;
	return DblinkTest::Listener->new(64, $address);
}

# A socket whose queue is full, so that a connection attempt is never even
# established.
sub full_listener
{
	my $l = DblinkTest::Listener->new(0);
	$l->fill;
	return $l;
}

# ---------------------------------------------------------------------
package DblinkTest::Listener;

use strict;
use warnings;
use IO::Socket::INET;
use Socket;

# Listens with the given queue length on a port of the system's choice; the address
# is 127.0.0.1 unless given.
sub new
{
	my ($class, $queue, $address) = @_;
	my $sock = IO::Socket::INET->new(
		LocalAddr => $address || '127.0.0.1',
		Proto => 'tcp',
		Listen => 64,
		Blocking => 0) or die "could not listen: $!";
	listen($sock, $queue) or die "could not listen: $!";
	return bless { sock => $sock, clients => [], count => 0 }, $class;
}

sub port { return $_[0]->{sock}->sockport }

# Takes in whoever came, keeps the sockets open, and tells how many ever came.
sub count
{
	my $self = shift;
	while (my $client = $self->{sock}->accept)
	{
		push @{ $self->{clients} }, $client;
		$self->{count}++;
	}
	return $self->{count};
}

# Fills the queue with connections of our own until no more is established.
sub fill
{
	my $self = shift;
	for (1 .. 16)
	{
		my $client = IO::Socket::INET->new(
			PeerAddr => '127.0.0.1',
			PeerPort => $self->port,
			Proto => 'tcp',
			Blocking => 0);
		push @{ $self->{fillers} }, $client if $client;
		my $write = '';
		vec($write, fileno $client, 1) = 1;
		last unless select(undef, $write, undef, 0.05);
	}
	return;
}

# Closes everything.
sub close
{
	my $self = shift;
	$_->close for grep { $_ } @{ $self->{clients} }, @{ $self->{fillers} || [] },
	  $self->{sock};
	return;
}

# ---------------------------------------------------------------------
# A psql process that stays open.  Fields: in, out, err (pipes), pid (psql's),
# backend (the server process, asked for once).
package DblinkTest::Session;

use strict;
use warnings;
use IPC::Open3;
use List::Util qw(max);
use Symbol 'gensym';
use Time::HiRes qw(time);

my $counter = 0;

# Starts psql on a server; options as in DblinkTest::session.
sub new
{
	my ($class, $node, %opt) = @_;
	my $self = bless { node => $node, out => '', err => '' }, $class;
	my @cmd = (
		'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-v',
		'SHOW_CONTEXT=always', '-h', $node->host, '-p', $node->port, '-d',
		$opt{db} || 'postgres',
		$opt{user} ? ('-U', $opt{user}) : ());
	$self->{err_fh} = gensym;
	{
		local %ENV = (%ENV, %{ $opt{env} || {} });
		$self->{psql} =
		  open3($self->{in_fh}, $self->{out_fh}, $self->{err_fh}, @cmd);
	}
	$self->{in_fh}->autoflush(1);
	$self->{backend} = $self->run('SELECT pg_backend_pid()')->{out};
	print '# session ', ($opt{user} || 'superuser'), ' on ', $node->name,
	  ", backend $self->{backend}\n";
	return $self;
}

# The process id of the server's side.
sub pid { return $_[0]->{backend} }

# Gives SQL to psql and returns at once; collect() gets the result.
sub send
{
	my ($self, $sql) = @_;
	$sql =~ s/\s+\z//;
	$sql .= ';' unless $sql =~ /(;|^\\[^\n]*)\z/m;
	my $mark = 'end_of_' . ++$counter;
	print "# backend ", ($self->{backend} || '?'), ': ',
	  (length $sql > 500 ? substr($sql, 0, 500) . '...' : $sql), "\n";
	$self->{mark} = $mark;
	$self->{started} = time();
	print { $self->{in_fh} } "$sql\n\\echo $mark\n\\warn $mark\n";
	return;
}

# Reads for at most so many seconds (default: DblinkTest::SLOW * 4) until the
# SQL sent last has ended.  Returns a hash: out, err (texts), messages (list
# of hashes: severity, state, message, detail, hint, context), errors (how
# many), secs, hung (true: not ended), gone (true: psql or its backend ended).
sub collect
{
	my ($self, $timeout) = @_;
	my $end = time() + ($timeout || DblinkTest::SLOW * 4);
	my %open = (out => 1, err => 1);
	my %sought = (out => 0, err => 0);
	my ($hung, $gone);

	# psql goes on after the loss of its server, so that both marks still come.
	# A mark is sought in what is new, not in all of a long result each time.
	while (1)
	{
		my @missing = grep { pos($self->{$_}) = $sought{$_}; $self->{$_} !~ /^$self->{mark}\n/mg } qw(out err);
		last unless @missing;
		if (!grep { $open{$_} } @missing)
		{
			$gone = 1;
			last;
		}
		my $read = '';
		vec($read, fileno $self->{"${_}_fh"}, 1) = 1 for grep { $open{$_} } @missing;
		my $left = $end - time();
		if ($left <= 0)
		{
			$hung = 1;
			last;
		}
		my $ready = $read;
		next unless select($ready, undef, undef, $left) > 0;
		foreach my $which (qw(out err))
		{
			next unless $open{$which}
			  && vec($ready, fileno $self->{"${which}_fh"}, 1);
			$sought{$which} = max(0, length($self->{$which}) - length $self->{mark});
			my $n = sysread $self->{"${which}_fh"}, $self->{$which}, 65536,
			  length $self->{$which};
			$open{$which} = 0 unless $n;
		}
	}

	my %r = (secs => time() - $self->{started}, hung => $hung, gone => $gone);
	foreach my $which (qw(out err))
	{
		if ($self->{$which} =~ s/\A(.*?)^$self->{mark}\n//ms)
		{
			$r{$which} = $1;
		}
		else
		{
			$r{$which} = $self->{$which};
		}
		$r{$which} =~ s/\n\z//;
	}
	$r{messages} = _messages($r{err});
	$r{errors} = grep { $_->{severity} =~ /^(ERROR|FATAL|PANIC)$/ }
	  @{ $r{messages} };
	$r{gone} = 1 if $r{err} =~ /^(server closed the connection|connection to server was lost)/m;
	print "$r{out}\n", ($r{err} ne '' ? "$r{err}\n" : ''),
	  sprintf "# %.3f s%s\n", $r{secs}, ($hung ? ', hung' : '');
	return \%r;
}

# send() and collect().
sub run
{
	my ($self, $sql, $timeout) = @_;
	$self->send($sql);
	return $self->collect($timeout);
}

# Splits psql's verbose messages.
sub _messages
{
	my $text = shift;
	my (@all, $field);
	foreach my $line (split /\n/, $text)
	{
		if ($line =~ /^([A-Z][A-Z0-9]+):  ([0-9A-Z]{5}): (.*)$/)
		{
			push @all, { severity => $1, state => $2, message => $3 };
			$field = 'message';
		}
		elsif (@all && $line =~ /^(DETAIL|HINT|QUERY|CONTEXT|LOCATION):  (.*)$/)
		{
			$field = lc $1;
			$all[-1]{$field} = $2;
		}
		elsif (@all && $line !~ /^(LINE \d+: |\s*\^$)/)
		{
			$all[-1]{$field} .= "\n$line";
		}
	}
	return \@all;
}

# Ends psql; it is killed if it does not go.
sub quit
{
	my $self = shift;
	return unless $self->{psql};
	close $self->{in_fh};
	my $end = time() + 5;
	my $done;
	until ($done = waitpid($self->{psql}, 1) != 0 or time() >= $end)
	{
		select(undef, undef, undef, 0.01);
	}
	if (!$done)
	{
		kill 'KILL', $self->{psql};
		waitpid($self->{psql}, 0);
	}
	close $self->{out_fh};
	close $self->{err_fh};
	delete $self->{psql};
	return;
}

# A session that goes out of sight ends its psql, without changing $?.
sub DESTROY
{
	my $self = shift;
	local ($?, $@, $!);
	if ($self->{psql})
	{
		kill 'KILL', $self->{psql};
		waitpid($self->{psql}, 0);
	}
	return;
}

1;
