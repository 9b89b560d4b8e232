#
# The stand-in model: extracts facts about a company from a text, by rules.
#
# It reads the text of the request and nothing else.  Every fact comes with the
# sentence it was taken from, and the confidence follows from how much evidence
# there is, how clearly it points to one industry, whether website and notes
# agree, and how much the writer hedges.  The same text gives the same answer.
#
#   {"model": "extractor-1", "text": "...", "max_tokens": 1000, "format": "object" | "string"}

package Extractor;

use strict;
use warnings;

use JSON::PP;

# Words that tell an industry, as patterns.
my %INDUSTRY = (
	'Logistics' => [qw(freight logistics warehous shipping haulage fleet customs parcel last-mile)],
	'Manufacturing' =>
	  [qw(manufactur factory machining assembly\s+line tooling castings injection\s+mould CNC plant)],
	'Software'   => [qw(software SaaS platform API developers? cloud integrations? app)],
	'Healthcare' => [qw(clinics? patients? hospitals? medical diagnostics? therap health)],
	'Retail' => [qw(stores? shops? retail(?:er)? e-commerce merchandis shoppers? checkout)],
	'Financial services' =>
	  [qw(lending loans? bank(?:ing)? insurance payments? mortgages? broker treasury)],
	'Energy' => [qw(solar wind\s+farms? grid turbines? batter(?:y|ies) megawatts? renewable)],
	'Agriculture' => [qw(farm(?:s|ers|ing)? crops? harvest dairy orchards? irrigation soil)],
	'Education'   => [qw(schools? students? courses? curriculum teachers? universit)],
	'Hospitality' => [qw(hotels? guests? restaurants? booking resorts? catering)],
	'Construction' =>
	  [qw(construction contractors? building\s+sites? concrete scaffold civil\s+engineering)],
);

my $HEDGE = qr/\b(?:unclear|rumou?r|not sure|apparently|maybe|conflicting|might be|outdated|unconfirmed)\b/i;
my $SIGNAL = qr/\b(?:budget|pilot|evaluating|tender|RFP|rollout|replac\w+|renewal|decision)\b/i;
my $REFUSE = qr/ignore\s+(?:all\s+|the\s+)?(?:previous|prior|above)\s+instructions/i;

sub new { return bless { requests => 0 }, shift }

sub requests { return $_[0]{requests} }

# Returns status and answer.
sub answer
{
	my ($self, $request) = @_;
	my ($facts, $stop, $content, $limit);

	return (400, { error => 'a request has a "text"' })
	  if ref $request ne 'HASH' || !defined $request->{text} || ref $request->{text};
	$self->{requests}++;
	$stop = 'end_turn';
	if ($request->{text} =~ $REFUSE)
	{
		($stop, $content) = ('refusal', undef);
	}
	else
	{
		$content = extract($request->{text});
		$content = JSON::PP->new->canonical->encode($content)
		  if ($request->{format} || 'object') eq 'string';
		$limit = ($request->{max_tokens} || 1000) * 4;
		if (tokens($content) * 4 > $limit)
		{
			$stop    = 'max_tokens';
			$content = substr(ref $content ? JSON::PP->new->canonical->encode($content) : $content,
				0, $limit);
		}
	}
	return (200, {
			id => sprintf('msg_%06d', $self->{requests}), type => 'message',
			model => $request->{model} || 'extractor-1', stop_reason => $stop, content => $content,
			usage => { input_tokens => tokens($request->{text}), output_tokens => tokens($content) } });
}

# About four characters make a token.
sub tokens
{
	my ($value) = @_;

	return 0 if !defined $value;
	$value = JSON::PP->new->canonical->encode($value) if ref $value;
	return int((length($value) + 3) / 4);
}

# The facts of a text: industry, employees, summary, fit, evidence, confidence.
sub extract
{
	my ($text) = @_;
	my ($website, $notes) = split /^Sales notes:\s*$/m, $text, 2;
	my @evidence;
	my $industry = find_industry($text, \@evidence);
	my $employees = find_employees($text, \@evidence);
	my ($place) = quote($text, qr/\b(?:headquartered|based|offices?|founded) in [A-Z]/, 'location', \@evidence);
	my ($wants) = quote($notes || '', $SIGNAL, 'buying_signal', \@evidence);
	my $agrees = defined $notes && ($industry->{name} // '') eq (find_industry($notes, [])->{name} // '-');
	my $hedges = () = $text =~ /$HEDGE/g;
	my $score = 0.30 + 0.30 * $industry->{strength} * $industry->{clarity}
	  + ($employees ? 0.13 : 0) + ($place ? 0.07 : 0) + ($wants ? 0.08 : 0)
	  + ($agrees ? 0.10 : 0) - 0.09 * $hedges;

	$score = $score < 0.05 ? 0.05 : $score > 0.98 ? 0.98 : $score;
	return {
		industry   => $industry->{name},
		employees  => $employees,
		summary    => summary($website),
		icp_fit    => fit($industry->{name}, $employees, $wants),
		evidence   => \@evidence,
		confidence => 0 + sprintf('%.2f', $score) };
}

# The industry with the most of its words in the text: strength says how many
# (five are plenty), clarity how far ahead of the next.
sub find_industry
{
	my ($text, $evidence) = @_;
	my (%hits, %word);

	foreach my $name (sort keys %INDUSTRY)
	{
		foreach my $pattern (@{ $INDUSTRY{$name} })
		{
			next if $text !~ /\b($pattern)/i;
			$hits{$name}++;
			$word{$name} ||= quotemeta $1;
		}
	}
	my ($first, $second) = sort { $hits{$b} <=> $hits{$a} || $a cmp $b } keys %hits;
	return { name => undef, strength => 0, clarity => 0 } if !defined $first;

	quote($text, qr/\b$word{$first}/, 'industry', $evidence);
	return {
		name     => $first,
		strength => $hits{$first} > 5 ? 1 : $hits{$first} / 5,
		clarity  => $hits{$first} / ($hits{$first} + 0.3 * ($second ? $hits{$second} : 0)) };
}

sub find_employees
{
	my ($text, $evidence) = @_;
	my $pattern = qr/\b(\d[\d,]*)\s+(?:employees|people|staff|colleagues|specialists)\b/;

	return if $text !~ $pattern;
	(my $count = $1) =~ tr/,//d;
	quote($text, $pattern, 'employees', $evidence);
	return 0 + $count;
}

# Finds the sentence that a pattern is in and adds it to the evidence.
sub quote
{
	my ($text, $pattern, $about, $evidence) = @_;

	foreach my $sentence (sentences($text))
	{
		next if $sentence !~ $pattern;
		push @$evidence, { about => $about, quote => substr($sentence, 0, 200) };
		return $sentence;
	}
	return;
}

sub sentences
{
	my ($text) = @_;

	$text =~ s/^(?:Website|Sales notes):\s*$//mg;
	$text =~ s/\s+/ /g;
	return grep { /\w/ } map { s/^\s+//r } split /(?<=[.!?])\s+/, $text;
}

sub summary
{
	my ($website) = @_;
	my @sentences = sentences($website // '');

	return '' if !@sentences;
	return join ' ', @sentences[ 0 .. ($#sentences > 0 ? 1 : 0) ];
}

# The ideal customer has 50 to 5000 employees, sells goods or services that
# move, and is about to buy.
sub fit
{
	my ($industry, $employees, $wants) = @_;
	my $size = $employees && $employees >= 50 && $employees <= 5000;
	my $kind = ($industry // '') =~ /^(?:Logistics|Manufacturing|Retail|Energy|Construction)$/;

	return 'strong'  if $size && $kind && $wants;
	return 'partial' if $size || $kind;
	return 'weak';
}

1;
