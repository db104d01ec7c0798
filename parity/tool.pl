#!/usr/bin/perl
#
# parity/tool.pl - the two jobs of script/parity that need more than a shell.
#
#   tool.pl prepare FILE            the corpus file as a psql script, with a
#                                   marker before each statement
#   tool.pl compare [flags] SANDBOX FILE...
#                                   the answers of both sides, statement by
#                                   statement, against the list of differences
#
# Core Perl only.

use strict;
use warnings;
use File::Basename qw(basename dirname);

my $here = dirname(__FILE__);

# What both sides start with, and what is asked at the end of each file: the
# connections that are open and the settings that conversions must restore.
my @prologue = (
	'\set VERBOSITY verbose',
	'\set SHOW_CONTEXT always',
	'\pset null <NULL>',
	'\pset footer off');
my @epilogue = (
	[ 'open-connections',
		'SELECT array(SELECT unnest(dblink_get_connections()) ORDER BY 1) AS open_connections;' ],
	[ 'datestyle', 'SHOW datestyle;' ],
	[ 'intervalstyle', 'SHOW intervalstyle;' ],
	[ 'search-path', 'SHOW search_path;' ]);

# split_corpus TEXT: a list of { text, label, line, meta }, one for each SQL
# statement and each psql command. A statement ends with a semicolon outside
# of quotes, comments and parentheses, or with \gset, \gexec or \gdesc. A
# comment line "-- @label" before it names it.
sub split_corpus
{
	my ($text) = @_;
	my ($current, $label, $depth, $line, $start, @items) = ('', undef, 0, 1, 1);

	my $flush = sub {
		my ($meta) = @_;
		push @items, { text => $current, label => $label, line => $start, meta => $meta };
		($current, $label, $depth) = ('', undef, 0);
	};
	while ($text !~ /\G\z/gc)
	{
		my $blank = $current =~ /\A\s*\z/;
		($current, $start) = ('', $line) if $blank;
		if ($blank && $text =~ /\G--[ \t]*@(\S+)[^\n]*\n/gc)     { $label = $1 }
		elsif ($blank && $text =~ /\G--[^\n]*\n/gc)               { }
		elsif ($blank && $text =~ /\G(\\[^\n]*)\n/gc)             { $current = $1; $flush->(1) }
		elsif ($text =~ /\G(\\g(?:set|exec|desc)[^\n]*)/gc)       { $current .= $1; $flush->(0) }
		elsif ($text =~ /\G(--[^\n]*)/gc)                         { $current .= $1 }
		elsif ($text =~ m{\G(/\*.*?\*/)}gcs)                      { $current .= $1 }
		elsif ($text =~ /\G(\bE'(?:[^'\\]|\\.|'')*')/gcsi)        { $current .= $1 }
		elsif ($text =~ /\G('(?:[^']|'')*')/gcs)                  { $current .= $1 }
		elsif ($text =~ /\G("(?:[^"]|"")*")/gcs)                  { $current .= $1 }
		elsif ($text =~ /\G(\$(\w*)\$.*?\$\2\$)/gcs)              { $current .= $1 }
		elsif ($text =~ /\G([(\[])/gc)                            { $current .= $1; $depth++ }
		elsif ($text =~ /\G([)\]])/gc)                            { $current .= $1; $depth-- }
		elsif ($depth <= 0 && $text =~ /\G;/gc)                   { $current .= ';'; $flush->(0) }
		elsif ($text =~ /\G(\w+|.)/gcs)                           { $current .= $1 }
		$line = 1 + (substr($text, 0, pos($text)) =~ tr/\n//);
	}
	die "unfinished statement at the end: $current\n" if $current =~ /\S/;
	return @items;
}

# read_text FILE: all of it, empty if it is not there.
sub read_text
{
	my ($file) = @_;
	open(my $fh, '<', $file) or return '';
	local $/;
	my $text = <$fh>;
	close $fh;
	return defined $text ? $text : '';
}

# corpus FILE: the items of a corpus file, each with the key by which it is
# known: FILE/label, or FILE/number.
sub corpus
{
	my ($file) = @_;
	my $name = basename($file, '.sql');
	my ($number, %seen, @items) = (0);

	for my $item (split_corpus(read_text($file)))
	{
		$number++ unless $item->{meta};
		$item->{key} = "$name/" . (defined $item->{label} ? $item->{label} : $number)
		  unless $item->{meta};
		die "$file: the label $item->{key} is there twice\n"
		  if defined $item->{key} && $seen{ $item->{key} }++;
		push @items, $item;
	}
	push @items, { key => "$name/end-$_->[0]", text => $_->[1], line => 0, meta => 0 }
	  for @epilogue;
	return @items;
}

# prepare FILE: print the psql script.
sub prepare
{
	my ($file) = @_;

	print "$_\n" for @prologue;
	for my $item (corpus($file))
	{
		print "\\echo \@\@\@ $item->{key}\n" if defined $item->{key};
		print "$item->{text}\n";
	}
}

# answers FILE SANDBOX SIDE: what one side said, by key, without what can't
# be equal: the source line in the server, directories, ports and the number of
# the transaction that a lock is waited for.
sub answers
{
	my ($file, $sandbox, $side) = @_;
	my $host = "$sandbox/run/parity-$side";
	my $port = read_text("$sandbox/run/parity/$side.port");
	my (%answer, $key);

	chomp $port;
	for my $line (split /\n/, read_text($file))
	{
		if ($line =~ /^\@\@\@ (.*)$/) { $key = $1; $answer{$key} = ''; next }
		next if !defined $key || $line =~ /^LOCATION:  /;
		$line =~ s/\Q$host\E/HOST/g;
		$line =~ s/\b$port\b/PORT/g if $port ne '';
		$line =~ s/\Q$sandbox\E\/(?:ours|stock)\b/TREE/g;
		$line =~ s/ on transaction \d+/ on transaction XID/;
		$answer{$key} .= "$line\n";
	}
	return %answer;
}

# The lists of differences: one that always holds; for each major from which on
# something differs, one more; and, where even the corpus's connections back to
# the same server stream, one more. A later one goes before an earlier one.
my @lists = grep { -e } "$here/differences",
  map({ "$here/differences.$_" } 16 .. ($ENV{PG_MAJOR} || 15)),
  ($ENV{DBLINK_STREAMING} || '') eq 'always' ? "$here/differences.always" : ();

# read_differences: the listed keys, each with its reason.
sub read_differences
{
	my %reason;

	for my $list (@lists)
	{
		my ($reason, %here);

		for (split /\n/, read_text($list))
		{
			next if /^#/ || /^\s*$/;
			if (/^\[(.+)\]$/)         { $reason = $1 }
			elsif (m{^([\w-]+/\S+)$}) {
				die "$list: $1 is there twice\n" if $here{$1}++;
				$reason{$1} = $reason;
			}
		}
	}
	return %reason;
}

# read_recorded: what ours is to answer where it differs, by key.
sub read_recorded
{
	my ($key, %text);

	for (map { split /\n/, read_text("$_.out") } @lists)
	{
		if (/^=== (\S+)$/) { $key = $1; $text{$key} = '' }
		elsif (defined $key) { $text{$key} .= "$_\n" }
	}
	return %text;
}

# write_recorded TEXTS: the last of the files that read_recorded reads, with
# what its list names.
sub write_recorded
{
	my ($text) = @_;
	my $list = $lists[-1];
	my %named = map { $_ => 1 } grep { m{^[\w-]+/\S+$} } split /\n/, read_text($list);

	open(my $fh, '>', "$list.out") or die "$list.out: $!\n";
	print $fh "=== $_\n$text->{$_}" for grep { $named{$_} } sort keys %$text;
	close $fh or die "$list.out: $!\n";
}

# excerpt MINE, OTHER: the lines of MINE, or if both are long, of MINE only those
# that OTHER does not have.
sub excerpt
{
	my ($mine, $other) = @_;
	my @lines = split /\n/, $mine;
	my %other = map { $_ => 1 } split /\n/, defined $other ? $other : '';

	return @lines if @lines <= 40 || keys %other <= 40;
	return ('(only the lines that differ)', grep { !$other{$_} } @lines);
}

# show TITLE, ITEM, STOCK, OURS, EXPECTED: one difference, for people.
sub show
{
	my ($title, $item, $stock, $ours, $expected) = @_;
	my $compared = defined $expected ? $expected : $stock;

	print "--- $item->{key}: $title\n$item->{text}\n";
	for ([ 'stock', $stock, $ours ], [ 'ours', $ours, $compared ],
		[ 'expected of ours', $expected, $ours ])
	{
		next unless defined $_->[1];
		print "$_->[0]:\n", map { "    $_\n" } excerpt($_->[1], $_->[2]);
	}
}

# compare FLAGS, SANDBOX, FILES: judge every statement; 0 if all is as it
# should be.
sub compare
{
	my ($flag, $sandbox, @files) = @_;
	my %reason = $flag->{'--no-differences'} ? () : read_differences();
	my %recorded = read_recorded();
	my %unseen = %reason;
	my ($statements, $equal, $expected, $unexpected) = (0, 0, 0, 0);

	for my $file (@files)
	{
		my $name = basename($file, '.sql');
		my %stock = answers("$sandbox/run/parity/$name.stock", $sandbox, 'stock');
		my %ours = answers("$sandbox/run/parity/$name.ours", $sandbox, 'ours');
		my @items = grep { defined $_->{key} } corpus($file);

		push @items, { key => 'sessions left behind', text => "-- after $name" };
		for my $item (@items)
		{
			my $key = $item->{key};
			my ($s, $o) = ($stock{$key}, $ours{$key});

			$statements++;
			delete $unseen{$key};
			if (!defined $s || !defined $o)
			{
				show((!defined $s ? 'stock' : 'ours') . ' gave no answer', $item, $s, $o);
				$unexpected++;
			}
			elsif ($s eq $o)
			{
				if ($reason{$key})
				{
					show("is listed ($reason{$key}) but does not differ", $item, $s);
					$unexpected++;
				}
				else { $equal++ }
			}
			elsif (!$reason{$key})
			{
				show('differs', $item, $s, $o);
				$unexpected++;
			}
			elsif ($flag->{'--accept'} || (defined $recorded{$key} && $recorded{$key} eq $o))
			{
				show("differs as expected ($reason{$key})", $item, $s, $o)
				  if $flag->{'--verbose'} || $flag->{'--accept'};
				$recorded{$key} = $o;
				$expected++;
			}
			else
			{
				show("differs ($reason{$key}), but not as recorded", $item, $s, $o,
					defined $recorded{$key} ? $recorded{$key} : "(nothing recorded)");
				$unexpected++;
			}
		}
	}
	if (!$flag->{'--partial'})
	{
		for (sort keys %unseen)
		{
			print "--- $_: is listed ($unseen{$_}) but is not in the corpus\n";
			$unexpected++;
		}
	}
	if ($flag->{'--accept'})
	{
		$reason{$_} or delete $recorded{$_} for keys %recorded;
		write_recorded(\%recorded);
	}
	print "parity: $statements statements, $equal equal, "
	  . "$expected expected differences, $unexpected unexpected\n";
	return $unexpected ? 1 : 0;
}

my $job = shift @ARGV || '';
if ($job eq 'prepare' && @ARGV == 1) { prepare($ARGV[0]) }
elsif ($job eq 'compare')
{
	my %flag;
	$flag{ shift @ARGV } = 1 while @ARGV && $ARGV[0] =~ /^--/;
	exit compare(\%flag, @ARGV);
}
else { die "usage: tool.pl prepare FILE | tool.pl compare [flags] SANDBOX FILE...\n" }
