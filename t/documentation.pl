# The documentation tells the truth: every SQL example of README.md and
# doc/*.md is run, in the order of its page, and what it prints is compared
# with the output that the page shows.  Links lead somewhere.
#
# A block ```sql is an example; a block without a language after it is its
# output, as psql prints it.  An example without an output block must not fail.
# In an output, "..." stands for any text, and a line that is nothing else for any
# number of lines.  A comment on the line before a block says what is special:
#
#	<!-- remote database -->		makes the remote database of all pages
#	<!-- local database -->			makes the local one
#	<!-- not run: REASON -->		an example that can't be run here
#	<!-- PostgreSQL 15 -->			an output of this major only
#	<!-- PostgreSQL 16 or newer -->	... of this one and those after it
#
# Each page has a session and two databases of its own, made as doc/README.md
# says.  The remote wants TLS and a password.  The addresses that the examples use
# are replaced by those of the servers here, and the other way round in what
# is printed.
#
# streaming: any

use strict;
use warnings;
use Test::More;
use File::Basename qw(basename dirname);
use IPC::Run;
use PostgreSQL::Test::Utils;
use DblinkTest;

my $dir = PostgreSQL::Test::Utils::tempdir();
my @pages = ('README.md', glob 'doc/*.md');
my ($major) = `pg_config --version` =~ /(\d+)/;

# ---- reading a page ----------------------------------------------------

# The blocks of a page: hashes of lang, text, first (line number of the text),
# mark (the comment before it), and for an example outputs (list of blocks).
sub blocks
{
	my @lines = @_;
	my (@blocks, $block, $mark, $example);

	foreach my $n (0 .. $#lines)
	{
		my $line = $lines[$n];
		if ($block)
		{
			if ($line ne "```\n")
			{
				$block->{text} .= $line;
				next;
			}
			if ($block->{lang} eq '' && $example)
			{
				push @{ $example->{outputs} }, $block;
			}
			else
			{
				push @blocks, $block;
				$example = $block->{lang} eq 'sql' ? $block : undef;
			}
			undef $block;
		}
		elsif ($line =~ /^\s+```/)
		{
			die "a block must begin in the first column";
		}
		elsif ($line =~ /^```(\w*)$/)
		{
			$block = { lang => $1, text => '', first => $n + 2,
				mark => $mark || '', outputs => [] };
			undef $mark;
		}
		elsif ($line =~ /^<!-- (.*) -->$/)
		{
			$mark = $1;
		}
		elsif ($line =~ /\S/)
		{
			undef $mark;
			undef $example;
		}
	}
	die "a block is not closed" if $block;
	return @blocks;
}

# Is this output that of the PostgreSQL under test?
sub is_of_this_major
{
	my $mark = shift->{mark};
	return 1 if $mark eq '';
	return $major == $1 if $mark =~ /^PostgreSQL (\d+)$/;
	return $major >= $1 if $mark =~ /^PostgreSQL (\d+) or newer$/;
	return $major >= $1 && $major <= $2 if $mark =~ /^PostgreSQL (\d+) to (\d+)$/;
	die "unknown mark \"$mark\"";
}

# ---- the servers -------------------------------------------------------

my $remote = make_server(
	'remote',
	tree => stock_prefix(),
	# for all names that the examples use
	conf => [ tls_conf($dir, "-subj '/CN=*.example.com'", "-addext 'subjectAltName=DNS:*.example.com'") ],
	hba => [ 'hostssl all all 127.0.0.1/32 scram-sha-256', 'host all all 127.0.0.1/32 reject' ]);
# The documentation describes the default settings.
my $local = make_server(
	'local',
	conf => ['dblink.streaming = on'],
	hba => ['host all all 127.0.0.1/32 scram-sha-256']);

# A host of the examples, and what it stands for here.
my %port = ('localhost' => $local->port);
my $host = qr/(?:localhost|[\w.]+\.example\.com|,)+/;

# Where that is here: hosts and ports, each perhaps a list, to addresses and
# ports.
sub here
{
	my @hosts = split /,/, $_[0];
	my @ports = split /,/, $_[1];
	@ports = map { $ports[$_] != 5432 ? $ports[$_] : $port{ $hosts[$_] } || $remote->port } 0 .. $#hosts;
	return (join(',', ('127.0.0.1') x @hosts), join(',', @ports));
}

# An example as it can be run here.
sub localize
{
	my $sql = shift;

	$sql =~ s/\bhost=($host) port=([\d,]+)/sprintf "host=$1 hostaddr=%s port=%s", here($1, $2)/ge;
	$sql =~ s/\bhost '($host)', port '([\d,]+)'/sprintf "host '$1', hostaddr '%s', port '%s'", here($1, $2)/ge;
	$sql =~ s/\@($host):(\d+)\/(\w+)\?/sprintf "\@$1:%3\$s\/%1\$s?hostaddr=%2\$s&", $3, here($1, $2)/ge;
	$sql =~ s{/etc/ssl/shop-ca\.crt}{$dir/server.crt}g;
	return $sql;
}

# What was printed, as the documentation shows it.
sub globalize
{
	my $text = shift;
	my ($local_port, $remote_port) = ($local->port, $remote->port);

	$text =~ s/server at "127\.0\.0\.1", port $local_port/server at "localhost" (127.0.0.1), port $local_port/g;
	$text =~ s/server at "127\.0\.0\.1"/server at "db.example.com" (192.0.2.7)/g;
	$text =~ s/for host "127\.0\.0\.1"/for host "192.0.2.20"/g;
	$text =~ s/\b(?:$local_port|$remote_port)\b/5432/g;
	$text =~ s/ hostaddr=[\d.,]+//g;
	$text =~ s/[ \t]+$//mg;
	return $text;
}

# Run SQL in a database, or end the test.
sub prepare
{
	my ($node, $db, $sql) = @_;
	my $s = session($node, db => $db);
	my $r = $s->run($sql, 60);
	die "could not prepare the databases: $r->{err}" if $r->{errors} || $r->{hung};
	$s->quit;
	return;
}

# Make the databases that the examples run in, as doc/README.md says.
sub make_templates
{
	my %made;
	foreach my $block (blocks(split /^/, slurp_file('doc/README.md')))
	{
		next unless $block->{mark} =~ /^(local|remote) database$/;
		my ($node, $db) = $1 eq 'local' ? ($local, 'demo') : ($remote, 'shop');
		prepare($node, 'postgres', "CREATE DATABASE ${db}_template") unless $made{$db}++;
		prepare($node, "${db}_template", localize($block->{text}));
	}
	is(join(' ', sort keys %made), 'demo shop', 'doc/README.md says how to make the databases');
	return;
}

# Copies of them for a page.
sub fresh_databases
{
	prepare($local, 'postgres', 'DROP DATABASE IF EXISTS demo WITH (FORCE)');
	prepare($local, 'postgres', 'CREATE DATABASE demo TEMPLATE demo_template');
	prepare($remote, 'postgres', 'DROP DATABASE IF EXISTS shop WITH (FORCE)');
	prepare($remote, 'postgres', 'CREATE DATABASE shop TEMPLATE shop_template');
	return;
}

# ---- running a page ----------------------------------------------------

# Run the examples in one session; returns the output of each, and how psql
# ended.
sub run_examples
{
	my @examples = @_;
	my ($script, $out) = ('', '');
	my $mark = 'end of example';
	my @psql = ('psql', '-Xq', '-h', $local->host, '-p', $local->port, '-d', 'demo');

	$script .= localize($_->{text}) . "\n\\echo $mark\n" foreach @examples;
	my $run = IPC::Run::start(\@psql, '<', \$script, '>&', \$out,
		my $timer = IPC::Run::timeout(120));
	my $ended = eval { $run->finish; 1 };
	$run->kill_kill unless $ended;
	my @outputs = map { globalize($_) } split /^\Q$mark\E\n/m, $out, -1;
	pop @outputs;
	return ($ended && $run->result(0) == 0, @outputs);
}

# Is this what the page shows?  Empty lines at the end do not count.
sub is_as_shown
{
	my ($shown, $got) = @_;

	# A warning that follows an error overtakes it where libpq reads both at once.
	my $fields = qr/(?:(?:DETAIL|HINT|CONTEXT):.*\n)*/;
	foreach ($shown, $got) { s/\s+\z/\n/; s/^(WARNING:.*\n$fields)(ERROR:.*\n$fields)/$2$1/mg }
	my $pattern = join '', map {
		$_ eq "...\n" ? '(?:.*\n)*?' : join('.*?', map { quotemeta } split /\.\.\./, $_, -1)
	} split /^/, $shown;
	return $got =~ /\A$pattern\z/;
}

# Judge one example; returns the output block that is wrong and what it should
# be, or nothing if the page is right.
sub judge
{
	my ($page, $example, $got) = @_;
	my $name = "$page line $example->{first}";
	my ($shown) = grep { is_of_this_major($_) } @{ $example->{outputs} };

	if (!@{ $example->{outputs} })
	{
		my $ok = unlike($got, qr/^(ERROR|FATAL|PANIC|invalid command|server closed)/m, $name);
		diag("$example->{text}\nprints:\n$got") unless $ok;
		return;
	}
	if (!$shown)
	{
		pass("$name: nothing is said about PostgreSQL $major");
		return;
	}
	return if ok(is_as_shown($shown->{text}, $got), $name);
	$got =~ s/\s+\z/\n/;
	return [ $shown, $got ];
}

# Say what to change in the page, as a patch.
sub show_patch
{
	my ($page, $lines, @changes) = @_;
	my @lines = @$lines;
	my $file = "$dir/page.md";

	foreach my $change (reverse @changes)
	{
		my ($shown, $got) = @$change;
		my $length = () = $shown->{text} =~ /\n/g;
		splice @lines, $shown->{first} - 1, $length, $got;
	}
	unlink $file;
	append_to_file($file, join '', @lines);
	diag("what was printed differs from the page:\n"
		  . `diff -U1 --label $page --label $page $page $file`);
	return;
}

sub run_page
{
	my $page = shift;
	my @lines = split /^/, slurp_file($page);
	my @examples = grep { $_->{lang} eq 'sql' && $_->{mark} !~ / database$/ } blocks(@lines);
	my @changes;

	foreach my $skipped (grep { $_->{mark} =~ /^not run\b/ } @examples)
	{
		like($skipped->{mark}, qr/^not run: \w/, "$page line $skipped->{first} is not run, with a reason");
	}
	@examples = grep { $_->{mark} eq '' } @examples;
	return unless @examples;
	fresh_databases();
	my ($ok, @outputs) = run_examples(@examples);
	ok($ok, "$page: the session came to its end") or diag("after: " . ($outputs[-1] // 'nothing'));
	foreach my $n (0 .. $#outputs)
	{
		push @changes, judge($page, $examples[$n], $outputs[$n]);
	}
	show_patch($page, \@lines, @changes) if @changes;
	return;
}

# ---- links -------------------------------------------------------------

# The anchors of a page: its headings, as Markdown on the web makes them.
sub anchors
{
	my %anchors;
	my $code;
	foreach my $line (split /^/, slurp_file(shift))
	{
		$code = !$code if $line =~ /^```/;
		next unless !$code && $line =~ /^#+ (.*)$/;
		my $anchor = lc $1;
		$anchor =~ s/[^\w\s-]//g;
		$anchor =~ s/\s/-/g;
		$anchors{$anchor} = 1;
	}
	return \%anchors;
}

sub check_links
{
	my $page = shift;
	my $text = slurp_file($page);
	my @dead;

	$text =~ s/^```.*?^```$//msg;
	while ($text =~ /\]\(([^)\s]*)\)/g)
	{
		my $link = $1;
		next if $link =~ /^https?:/;
		my ($file, $anchor) = split /#/, $link, 2;
		my $target = $file eq '' ? $page : dirname($page) . "/$file";
		push @dead, $link
		  if !-e $target || (defined $anchor && !anchors($target)->{$anchor});
	}
	is(join(' ', @dead), '', "$page: links");
	return;
}

# ---- completeness ------------------------------------------------------

# The signatures on a page, as the catalog would have them.
sub signatures
{
	my @signatures;
	foreach my $line (split /^/, slurp_file(shift))
	{
		next unless $line =~ /^    (\w+)\((.*?)\) → (.*)$/;
		my ($name, $arguments, $result) = ($1, $2, $3);
		$arguments =~ s/ DEFAULT \w+//g;
		my @types = map { /(\S+)$/ ? $1 : () } split /, /, $arguments;
		$result =~ s/^(?:setof|TABLE) \(.*/TABLE/;
		$result =~ s/^setof (\w+).*/SETOF $1/;
		push @signatures, sprintf '%s(%s) -> %s', $name, join(',', @types), $result;
	}
	s/\bint\b/integer/g foreach @signatures;
	return join "\n", sort @signatures;
}

# Those of an extension; not of a function that SQL can't call.
sub functions_of
{
	my ($s, $extension) = @_;
	my $functions = $s->run("SELECT format('%s -> %s', p.oid::regprocedure, CASE WHEN proargmodes && '{o,t}'"
		  . " THEN 'TABLE' ELSE pg_get_function_result(p.oid) END) FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid"
		  . " AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e' JOIN pg_extension e ON e.oid = d.refobjid"
		  . " AND e.extname = '$extension' WHERE prorettype <> 'internal'::regtype")->{out};
	return join "\n", sort split /\n/, $functions;
}

# doc/functions.md and doc/dblink2.md have the signature of each function as the
# catalog has it, and doc/settings.md names each setting.
sub check_completeness
{
	my $s = session($local, db => 'demo_template');
	my $settings = $s->run("SELECT dblink_get_connections(); SELECT name FROM pg_settings WHERE name LIKE 'dblink.%'")->{out};

	is(signatures('doc/functions.md'), functions_of($s, 'dblink'), 'doc/functions.md has all functions');
	$s->run('BEGIN; CREATE EXTENSION dblink2');
	is(signatures('doc/dblink2.md'), functions_of($s, 'dblink2'), 'doc/dblink2.md has all functions');
	$s->run('ROLLBACK');
	$s->quit;

	my $page = slurp_file('doc/settings.md');
	is(join(' ', grep { $page !~ /`\Q$_\E`/ } grep { /\S/ } split /\n/, $settings), '', 'doc/settings.md has all settings');
	return;
}

make_templates();
check_completeness();
foreach my $page (@pages)
{
	run_page($page);
	check_links($page);
}

done_testing();
