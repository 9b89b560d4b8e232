# Medians, ranges, ratios, and tables of them.

package Bench::Table;

use strict;
use warnings FATAL => 'all';
use Exporter   qw(import);
use List::Util qw(max min);

our @EXPORT =
  qw(median percentile range_text count_text print_table print_machine);

# The value below which that part of the values lies.
sub percentile
{
	my ($part, @values) = @_;
	my @sorted = sort { $a <=> $b } @values;

	return 0 if @sorted == 0;
	return $sorted[ min($#sorted, int($part * @sorted)) ];
}

sub median
{
	my @sorted = sort { $a <=> $b } @_;

	return 0 if @sorted == 0;
	return @sorted % 2
	  ? $sorted[ $#sorted / 2 ]
	  : ($sorted[ @sorted / 2 - 1 ] + $sorted[ @sorted / 2 ]) / 2;
}

# 12345.6 as 12,346
sub count_text
{
	my $text = sprintf '%.0f', $_[0];

	1 while $text =~ s/^(-?\d+)(\d{3})/$1,$2/;
	return $text;
}

# The median, and from where to where the values lie.
sub range_text
{
	return sprintf '%s [%s..%s]', count_text(median(@_)),
	  count_text(min(@_)), count_text(max(@_));
}

# A table as Markdown: the names of its columns, then its rows.
sub print_table
{
	my (@rows) = @_;
	my @widths = map {
		my $column = $_;
		max(map { length $_->[$column] } @rows)
	} 0 .. $#{ $rows[0] };
	my $n = 0;

	foreach my $row (@rows)
	{
		print '| ',
		  join(' | ',
			map { sprintf '%-*s', $widths[$_], $row->[$_] } 0 .. $#widths),
		  " |\n";
		print '|', join('|', map { '-' x ($_ + 2) } @widths), "|\n"
		  if $n++ == 0;
	}
	print "\n";
	return;
}

sub first_match
{
	my ($name, $pattern) = @_;

	open my $file, '<', $name or return;
	while (my $line = readline $file)
	{
		return $1 if $line =~ $pattern;
	}
	return;
}

# What it ran on: ratios of one run count, figures of two machines do not.
sub print_machine
{
	my ($session) = @_;
	my $cores = grep { /^processor\s/ } split /^/,
	  slurp_file('/proc/cpuinfo');

	printf
	  "%d cores (%s), PostgreSQL %s, fsync and synchronous_commit %s, load %s before\n\n",
	  $cores,
	  first_match('/proc/cpuinfo', qr/^model name\s*:\s*(.*\S)/) // 'unknown',
	  $session->value('SHOW server_version'),
	  $session->value(
		q{SELECT current_setting('fsync') || '/' || current_setting('synchronous_commit')}
	  ),
	  first_match('/proc/loadavg', qr/^(\S+)/);
	return;
}

sub slurp_file
{
	my ($name) = @_;

	open my $file, '<', $name or return '';
	local $/ = undef;
	return scalar readline $file;
}

1;
