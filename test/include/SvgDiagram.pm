# Reads a drawing of workflow.diagram() back from its SVG, and says what overlaps.
#
#   my $drawing = SvgDiagram->read($svg);
#   is_deeply([ $drawing->faults ], []);
#
# Nothing is taken from the layout but what is drawn: shapes by the points of
# their outlines, lines by points along them, texts by widths that are guessed
# here anew, on the wide side.

package SvgDiagram;

use strict;
use warnings FATAL => 'all';

use constant { EDGE => 1, STEP => 3 };

sub read
{
	my ($class, $svg) = @_;
	my $self = bless { boxes => [], texts => [], arrows => [] }, $class;

	@$self{qw(width height)} = $svg =~ /viewBox="0 0 (\d+) (\d+)"/ or die "no viewBox in: $svg";
	foreach my $group ($svg =~ m{(<g class=.*?</g>)}g)
	{
		if ($group =~ /^<g class="wf-arrow/) { $self->read_arrow($group) }
		else                                 { $self->read_box($group) }
	}
	return $self;
}

sub read_box
{
	my ($self, $group) = @_;
	my ($title)  = $group =~ m{<title>(.*?)</title>};
	my ($points) = $group =~ m{<path class="wf-shape" d="(.*?)"};
	my %box      = (bounds(numbers($points)), what => "box $title");

	push @{ $self->{boxes} }, \%box;
	while ($group =~ m{<text class="wf-(name|detail)" x="([\d.]+)" y="([\d.]+)">(.*?)</text>}g)
	{
		my $size  = $1 eq 'name' ? 12 : 10;
		my $width = width_of($4, $size);

		push @{ $box{texts} },
		  { what => "text $4", left => $2 - $width / 2, right => $2 + $width / 2, top => $3 - $size * 0.75, bottom => $3 + $size * 0.25 };
	}
	while ($group =~ m{<rect class="wf-badge" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"}g)
	{
		push @{ $box{texts} }, { what => "badge of $title", left => $1, right => $1 + $3, top => $2, bottom => $2 + $4 };
	}
	return;
}

sub read_arrow
{
	my ($self, $group) = @_;
	my ($title) = $group =~ m{<title>(.*?)</title>};
	my ($line)  = $group =~ m{<path class="wf-line" d="(.*?)"};
	my ($head)  = $group =~ m{<path class="wf-head" d="(.*?)"};
	my @tip     = (numbers($head))[ 0, 1 ];

	push @{ $self->{arrows} }, { what => "arrow $title", points => [ points_along($line) ], tip => \@tip };
	while ($group =~ m{<text class="wf-label" x="([\d.]+)" y="([\d.]+)">(.*?)</text>}g)
	{
		push @{ $self->{texts} },
		  { what => "text $3 of $title", left => $1, right => $1 + width_of($3, 10.5), top => $2 - 8, bottom => $2 + 2.5 };
	}
	return;
}

sub numbers { return $_[0] =~ /-?\d+(?:\.\d+)?/g }

# Capitals and figures are wide, small letters less, f, r and t more so, i and l narrow.
sub width_of
{
	my ($text, $size) = @_;
	my $width = 0;

	$text =~ s/&\w+;/&/g;
	foreach my $c (split //, $text)
	{
		$width +=
			$c =~ /[ijlI.,:;|!' ]/ ? 0.32
		  : $c =~ /[frt()-]/       ? 0.44
		  : $c =~ /[MWmw@]/        ? 0.99
		  : $c =~ /[A-Z]/          ? 0.68
		  :                          0.6;
	}
	return $width * $size;
}

sub bounds
{
	my @n = @_;
	my @x = sort { $a <=> $b } @n[ grep { $_ % 2 == 0 } 0 .. $#n ];
	my @y = sort { $a <=> $b } @n[ grep { $_ % 2 == 1 } 0 .. $#n ];

	return (left => $x[0], right => $x[-1], top => $y[0], bottom => $y[-1]);
}

# Points of a path of M, V and C, no further apart than STEP.
sub points_along
{
	my ($path) = @_;
	my ($x, $y);
	my @points;

	while ($path =~ /([MVC])([^MVC]*)/g)
	{
		my ($command, @n) = ($1, numbers($2));

		if ($command eq 'M') { ($x, $y) = @n; push @points, [ $x, $y ] }
		elsif ($command eq 'V')
		{
			my $steps = int(abs($n[0] - $y) / STEP) + 1;
			push @points, map { [ $x, $y + ($n[0] - $y) * $_ / $steps ] } 1 .. $steps;
			$y = $n[0];
		}
		else
		{
			my $steps = int((abs($n[4] - $x) + abs($n[5] - $y)) / STEP) + 1;
			foreach my $t (map { $_ / $steps } 1 .. $steps)
			{
				my @weights = ((1 - $t)**3, 3 * $t * (1 - $t)**2, 3 * $t**2 * (1 - $t), $t**3);
				push @points,
				  [ $weights[0] * $x + $weights[1] * $n[0] + $weights[2] * $n[2] + $weights[3] * $n[4],
					$weights[0] * $y + $weights[1] * $n[1] + $weights[2] * $n[3] + $weights[3] * $n[5] ];
			}
			($x, $y) = @n[ 4, 5 ];
		}
	}
	return @points;
}

sub overlap
{
	my ($one, $other) = @_;

	return
		 $one->{left} + EDGE < $other->{right}
	  && $other->{left} + EDGE < $one->{right}
	  && $one->{top} + EDGE < $other->{bottom}
	  && $other->{top} + EDGE < $one->{bottom};
}

sub contains
{
	my ($box, $x, $y) = @_;

	return
		 $x > $box->{left} + EDGE
	  && $x < $box->{right} - EDGE
	  && $y > $box->{top} + EDGE
	  && $y < $box->{bottom} - EDGE;
}

sub faults
{
	my ($self) = @_;
	my @things = (@{ $self->{boxes} }, @{ $self->{texts} });
	my @faults;

	foreach my $i (0 .. $#things)
	{
		my $one = $things[$i];

		push @faults, "$one->{what} leaves the drawing"
		  if $one->{left} < 0 || $one->{top} < 0 || $one->{right} > $self->{width} || $one->{bottom} > $self->{height};
		push @faults, map { "$one->{what} and $_->{what}" } grep { overlap($one, $_) } @things[ $i + 1 .. $#things ];
	}
	return (@faults, $self->faults_inside, $self->faults_of_arrows(@things));
}

# Texts that are wider than their box, or meet in it.
sub faults_inside
{
	my ($self) = @_;
	my @faults;

	foreach my $box (@{ $self->{boxes} })
	{
		my @texts = @{ $box->{texts} // [] };

		foreach my $i (0 .. $#texts)
		{
			my $text = $texts[$i];

			push @faults, "$text->{what} leaves its box"
			  if $text->{left} < $box->{left} || $text->{right} > $box->{right} || $text->{top} < $box->{top} || $text->{bottom} > $box->{bottom};
			push @faults, map { "$text->{what} and $_->{what}" } grep { overlap($text, $_) } @texts[ $i + 1 .. $#texts ];
		}
	}
	return @faults;
}

sub faults_of_arrows
{
	my ($self, @things) = @_;
	my @faults;

	foreach my $arrow (@{ $self->{arrows} })
	{
		my ($x, $y) = @{ $arrow->{tip} };
		my %bounds  = bounds(map { @$_ } @{ $arrow->{points} });

		$bounds{$_} -= 2 * EDGE foreach qw(left top);
		$bounds{$_} += 2 * EDGE foreach qw(right bottom);
		foreach my $thing (grep { overlap($_, \%bounds) } @things)
		{
			push @faults, "$arrow->{what} crosses $thing->{what}"
			  if grep { contains($thing, @$_) } @{ $arrow->{points} };
		}
		push @faults, "$arrow->{what} ends nowhere"
		  if !grep { !contains($_, $x, $y)
			  && contains({ left => $_->{left} - 2, right => $_->{right} + 2, top => $_->{top} - 2, bottom => $_->{bottom} + 2 }, $x, $y) } @{ $self->{boxes} };
	}
	return @faults;
}

1;
