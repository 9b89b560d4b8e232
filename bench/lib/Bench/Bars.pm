# Bars, and where the measured stands to each: printed, never enforced.

package Bench::Bars;

use strict;
use warnings FATAL => 'all';
use Bench::Table;

sub new { return bless { judged => [] }, shift; }

# Notes a figure beside its bar; returns what to print in its line.
sub judge
{
	my ($self, $what, $relation, $bar, $value) = @_;
	my $is_met = $relation eq '>=' ? $value >= $bar : $value <= $bar;
	my $answer = $is_met           ? 'met'          : 'missed';

	push @{ $self->{judged} },
	  [ $what,
		"$relation $bar",
		$value < 100 ? sprintf('%.3g', $value) : count_text($value), $answer
	  ];
	return "$relation $bar: $answer";
}

sub report
{
	my ($self) = @_;

	return if !@{ $self->{judged} };
	print "### Where it stands to the bars\n\n";
	print_table([ 'of pg_workflow', 'bar', 'measured', '' ],
		@{ $self->{judged} });
	return;
}

1;
