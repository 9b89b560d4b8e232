# Fenced blocks of a Markdown file, and the transcripts of psql among them.
#
#   Markdown::blocks('README.md')      a list of {info, line, text}
#   Markdown::statements($text)        a list of {sql, output, line}
#   Markdown::normalise($text)         lines without what varies from run to run
#
# A block whose info string is "psql" is a transcript: statements, each followed
# by what psql prints, as far as it is shown.  A line "..." stands for any lines.

package Markdown;

use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Utils;

sub blocks
{
	my ($file) = @_;
	my ($line, $block, @blocks) = (0);

	foreach my $text (split /\n/, slurp_file($file), -1)
	{
		$line++;
		if (!$block)
		{
			$block = { info => $1, line => $line, text => '' } if $text =~ /^```(.*?)\s*$/;
		}
		elsif ($text =~ /^```\s*$/) { push @blocks, $block; $block = undef }
		else                        { $block->{text} .= "$text\n" }
	}
	die "$file: the block of line $block->{line} does not end" if $block;
	return @blocks;
}

# A statement ends with a line that ends with a semicolon, or with \gset, outside
# of quotes.
sub is_whole
{
	my ($sql) = @_;

	return 1 if $sql =~ /^\\/;
	$sql =~ s/\$\$.*?\$\$//gs;
	$sql =~ s/'(?:[^']|'')*'//gs;
	return 0 if $sql =~ /\$\$|'/;
	$sql =~ s/--.*$//gm;
	return $sql =~ /(?:;|\\gset)\s*$/;
}

# Output goes on until an empty line.
sub statements
{
	my ($text) = @_;
	my ($line, $sql, $is_open, @statements) = (0, '', 0);

	foreach my $next (split /\n/, $text)
	{
		$line++;
		if ($next eq '' && $sql eq '') { $is_open = 0 }
		elsif ($is_open) { $statements[-1]{output} .= "$next\n" }
		else
		{
			$sql .= "$next\n";
			next if !is_whole($sql);
			push @statements, { sql => $sql, output => '', line => $line };
			($sql, $is_open) = ('', 1);
		}
	}
	die "not a whole statement: $sql" if $sql ne '';
	return @statements;
}

sub normalise
{
	my ($text) = @_;
	my @lines = split /\n/, $text;

	foreach (@lines)
	{
		s/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?[+-]\d\d/TIME/g;
		s/\b(pg_workflow \w+) \d+/$1 PID/g;
		s/\b(upd|msg)_\d+/$1_ID/g;
		s/-{2,}/-/g;
		s/\s+/ /g;
		s/^ | $//g;
	}
	return grep { $_ ne '' } @lines;
}

# Whether lines match a pattern of lines; "..." in it stands for any number.
sub match
{
	my ($pattern, $lines) = @_;
	my $regex = join '', map { $_ eq '...' ? "(?:.*\n)*?" : quotemeta($_) . "\n" } @$pattern;

	return join('', map { "$_\n" } @$lines) =~ /\A$regex\z/;
}

1;
