# Nothing overlaps on a drawing, whatever the document; and the drawings in
# docs/ and README.md are those of the examples as they are.

use strict;
use warnings FATAL => 'all';
use Cwd qw(abs_path);
use FindBin;
use lib "$FindBin::RealBin/../include";
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SvgDiagram;
use Test::More;

my $root = abs_path("$FindBin::RealBin/../..");
my $json = JSON::PP->new->canonical;
my $node = PostgreSQL::Test::Cluster->new('diagrams');
$node->init;
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION pg_workflow');

sub draw
{
	my ($document, $counts) = @_;
	$counts = defined $counts ? "'$counts'" : 'NULL';
	return $node->safe_psql('postgres', "SELECT workflow._draw_svg(workflow._picture(\$doc\$$document\$doc\$, 'x', $counts))");
}

sub is_clear
{
	my ($svg, $name) = @_;
	my $drawing = SvgDiagram->read($svg);
	my @faults = $drawing->faults;

	is_deeply([ @faults > 5 ? @faults[ 0 .. 4 ] : @faults ], [], "$name: nothing overlaps");
	return $drawing;
}

# --- that the test sees what it looks for

my $good = draw('{"workflow": "w", "initial": "A", "states": {"A": {"on": {"x": "B", "y": "C"}}, "B": {"on": {"z": "C"}}, "C": {"final": "done"}}}');
my $drawing = is_clear($good, 'three states');
is(scalar @{ $drawing->{boxes} },  4, 'all boxes are seen');
is(scalar @{ $drawing->{arrows} }, 4, 'all arrows are seen');
is(scalar @{ $drawing->{texts} },  3, 'all texts are seen');
unlike($good, qr/="\s/, 'no number begins with a blank: browsers would take it for zero');
foreach ([ 'texts', 'leaves the drawing' ], [ 'boxes', 'and' ], [ 'arrows', 'crosses' ])
{
	my ($part, $fault) = @$_;
	my $moved = SvgDiagram->read($good);
	my $other = $moved->{boxes}[2];

	if    ($part eq 'texts') { $moved->{texts}[0]{right} += 1000 }
	elsif ($part eq 'boxes') { $other->{top} -= 80 }
	else                     { $_->[0] = ($other->{left} + $other->{right}) / 2 foreach @{ $moved->{arrows}[2]{points} } }
	like(join("\n", $moved->faults), qr/$fault/, "a fault of $part is found");
}

# --- the examples

foreach my $file (sort glob "$root/examples/*/definition*.json")
{
	my ($name) = $file =~ m{examples/(.*)\.json$};
	my $document = slurp_file($file);
	my %counts = map { $_ => 1 + 7 * length $_ } keys %{ $json->decode($document)->{states} };

	is_clear(draw($document), $name);
	is_clear(draw($document, $json->encode(\%counts)), "$name, live");
}

# --- documents that nobody would write: random arrows, loops, many events

srand 86;
foreach my $states (2, 5, 12, 12, 25, 60)
{
	my %states;

	foreach my $i (1 .. $states)
	{
		my %on = map { ('event_' x rand 4) . $_ => 'S' . (1 + int rand $states) } 1 .. 1 + rand 3;
		$on{"e$_"} = "S$i" foreach 1 .. rand 3;
		$states{ 'S' . $i } = { on => \%on };
	}
	$states{S1}{description} = 'first';
	my $any = { on => { error => "S$states", cancel => 'CANCELLED', back => 'S1' } };
	is_clear(draw($json->encode({ workflow => 'w', initial => 'S1', states => \%states, any => $any })), "$states states at random");
}

# every state leads to every other one
my %all = map { my $from = $_; ("S$from" => { on => { map { ("to_$_" => "S$_") } 1 .. 9 } }) } 1 .. 9;
is_clear(draw($json->encode({ workflow => 'w', initial => 'S1', states => \%all })), 'all to all');

# a chain that is so long that its arrows to the end are cut
my %chain = map { ("S$_" => { on => { next => 'S' . ($_ + 1), stop => 'END', back => 'S1' } }) } 1 .. 150;
$chain{S151} = { final => 'success' };
$chain{END} = { final => 'failure' };
$drawing = is_clear(draw($json->encode({ workflow => 'w', initial => 'S1', states => \%chain })), 'a long chain');
cmp_ok(scalar(grep { $_->{what} =~ /is drawn elsewhere/ } @{ $drawing->{boxes} }), '>', 200, 'its far arrows end in notes');

# the same document is drawn the same each time
is(draw($json->encode({ workflow => 'w', initial => 'S1', states => \%all })),
	draw($json->encode({ workflow => 'w', initial => 'S1', states => \%all })), 'a drawing can be compared');

# --- the drawings that are shown

foreach my $file (sort glob "$root/docs/diagrams/*.svg")
{
	my ($name) = $file =~ m{([^/]+)\.svg$};
	my $document = slurp_file("$root/examples/$name/definition.json");

	is(slurp_file($file), $node->safe_psql('postgres',
			"SELECT workflow._draw_svg(workflow._picture(\$doc\$$document\$doc\$, '$name', NULL))"),
		"docs/diagrams/$name.svg is current (make diagrams)");
}
my ($mermaid) = slurp_file("$root/README.md") =~ /^```mermaid\n(.*?)^```$/ms;
is($mermaid, $node->safe_psql('postgres',
		"SELECT workflow._mermaid(\$doc\$" . slurp_file("$root/examples/crm_enrichment/definition.json") . "\$doc\$, NULL)"),
	'so is the diagram in README.md');

$node->stop;
done_testing();
