# Whether a text is well-formed XML, without a DTD: tags are closed in their
# order, attributes quoted and given once, and nothing is written that has to be
# a reference.

package WellFormed;

use strict;
use warnings FATAL => 'all';

my $name      = qr/[A-Za-z_][-\w:.]*/;
my $reference = qr/&(?:lt|gt|amp|quot|apos|#\d+|#x[0-9a-fA-F]+);/;

# What is wrong, or undef.
sub fault
{
	my ($text) = @_;
	my @open;
	my $roots = 0;

	$text =~ s/\A<!DOCTYPE html>\s*//;
	pos($text) = 0;
	while (pos $text < length $text)
	{
		if ($text =~ m{\G<($name)((?:\s+$name="(?:[^<&"]|$reference)*")*)\s*(/?)>}gc)
		{
			my ($tag, $attributes, $ends) = ($1, $2, $3);
			my %seen;

			foreach my $attribute ($attributes =~ /($name)="/g)
			{
				return "attribute $attribute twice in <$tag$attributes>" if $seen{$attribute}++;
			}
			return "a second root <$tag>" if !@open && $roots++;
			push @open, $tag if !$ends;
		}
		elsif ($text =~ m{\G</($name)>}gc)
		{
			my $expected = pop @open // 'nothing';
			return "</$1> where </$expected> was expected" if $1 ne $expected;
		}
		elsif ($text =~ m{\G((?:[^<&]|$reference)+)}gc)
		{
			my $run = $1;

			return ']]> in a text' if $run =~ /]]>/;
			return "a text outside of all: $run" if !@open && $run =~ /\S/;
		}
		else
		{
			return 'unexpected: ' . substr $text, pos $text, 60;
		}
	}
	return @open ? "not closed: @open" : $roots ? undef : 'nothing in it';
}

1;
