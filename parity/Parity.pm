# Parity - a corpus file as a script for psql, and the judgement of what two servers
# answered to it, statement by statement, against the list of differences.
#
# t/parity.pl runs the servers.  Core Perl only.

package Parity;

use strict;
use warnings;
use Exporter 'import';
use File::Basename qw(basename dirname);

our @EXPORT = qw(prepare compare unlisted totals);

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

# prepare FILE: the psql script, with a marker before each statement.
sub prepare
{
	my ($file) = @_;
	my $script = join '', map { "$_\n" } @prologue;

	for my $item (corpus($file))
	{
		$script .= "\\echo \@\@\@ $item->{key}\n" if defined $item->{key};
		$script .= "$item->{text}\n";
	}
	return $script;
}

# answers SIDE: what it said, by key, without what can't be equal: the source line
# in the server, directories, ports and the number of the transaction that a lock
# is waited for. SIDE is a hash: file (the answers), host, port, tree.
sub answers
{
	my ($side) = @_;
	my (%answer, $key);

	for my $line (split /\n/, read_text($side->{file}))
	{
		if ($line =~ /^\@\@\@ (.*)$/) { $key = $1; $answer{$key} = ''; next }
		next if !defined $key || $line =~ /^LOCATION:  /;
		$line =~ s/\Q$side->{host}\E/HOST/g;
		$line =~ s/\b$side->{port}\b/PORT/g;
		$line =~ s/\Q$side->{tree}\E\b/TREE/g;
		$line =~ s/ on transaction \d+/ on transaction XID/;
		$answer{$key} .= "$line\n";
	}
	return %answer;
}

# The lists of differences: one that always holds; for each major from which on
# something differs, one more; and, where even the corpus's connections back to
# the same server stream, one more. A later one goes before an earlier one.
my @lists;

sub lists
{
	my ($major) = @_;
	return grep { -e } "$here/differences", map({ "$here/differences.$_" } 16 .. $major),
	  ($ENV{DBLINK_STREAMING} || '') eq 'always' ? "$here/differences.always" : ();
}

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

# shown TITLE, ITEM, STOCK, OURS, EXPECTED: one difference, for people.
sub shown
{
	my ($title, $item, $stock, $ours, $expected) = @_;
	my $compared = defined $expected ? $expected : $stock;

	my $text = "--- $item->{key}: $title\n$item->{text}\n";
	for ([ 'stock', $stock, $ours ], [ 'ours', $ours, $compared ],
		[ 'expected of ours', $expected, $ours ])
	{
		next unless defined $_->[1];
		$text .= join '', "$_->[0]:\n", map { "    $_\n" } excerpt($_->[1], $_->[2]);
	}
	return $text;
}

my (%reason, %recorded, %unseen);
my %count = map { $_ => 0 } qw(statements equal expected unexpected);

# compare FLAGS, FILE, STOCK, OURS: judge every statement of a corpus file, whose answers
# the two sides have (see answers). Returns what is to be shown, and the number of
# unexpected differences. FLAGS is a hash: major (of the servers), self (no difference
# is expected), accept (take what ours answers), verbose (show expected differences, too).
sub compare
{
	my ($flag, $file, $stock, $ours) = @_;
	my %stock = answers($stock);
	my %ours = answers($ours);
	my ($shown, $before) = ('', $count{unexpected});

	if (!@lists)
	{
		@lists = lists($flag->{major});
		%reason = $flag->{self} ? () : read_differences();
		%recorded = read_recorded();
		%unseen = %reason;
	}
	for my $item (grep({ defined $_->{key} } corpus($file)), { key => 'sessions left behind', text => '-- after ' . basename($file) })
	{
		my $key = $item->{key};
		my ($s, $o) = ($stock{$key}, $ours{$key});
		my $why = $reason{$key};
		my $verdict = 'unexpected';

		$count{statements}++;
		delete $unseen{$key};
		if (!defined $s || !defined $o)
		{
			$shown .= shown((!defined $s ? 'stock' : 'ours') . ' gave no answer', $item, $s, $o);
		}
		elsif ($s eq $o && $why)
		{
			$shown .= shown("is listed ($why) but does not differ", $item, $s);
		}
		elsif ($s eq $o)
		{
			$verdict = 'equal';
		}
		elsif (!$why)
		{
			$shown .= shown('differs', $item, $s, $o);
		}
		elsif ($flag->{accept} || (defined $recorded{$key} && $recorded{$key} eq $o))
		{
			$shown .= shown("differs as expected ($why)", $item, $s, $o)
			  if $flag->{verbose} || $flag->{accept};
			$recorded{$key} = $o;
			$verdict = 'expected';
		}
		else
		{
			$shown .= shown("differs ($why), but not as recorded", $item, $s, $o,
				defined $recorded{$key} ? $recorded{$key} : "(nothing recorded)");
		}
		$count{$verdict}++;
	}
	if ($flag->{accept})
	{
		$reason{$_} or delete $recorded{$_} for keys %recorded;
		write_recorded(\%recorded);
	}
	return ($shown, $count{unexpected} - $before);
}

# unlisted: the keys that are listed, but were not in any file.
sub unlisted
{
	return sort keys %unseen;
}

# totals: the counts of all files, in words.
sub totals
{
	return "$count{statements} statements, $count{equal} equal, "
	  . "$count{expected} expected differences, $count{unexpected} unexpected";
}

1;
