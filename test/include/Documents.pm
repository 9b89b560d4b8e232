# Workflow documents: those that stand in the repository, and broken ones.
#
#   Documents::of_file('README.md')     a list of {place, document}
#   Documents::needs($document)         SQL that makes what it refers to
#   Documents::mutant($document, $rand) the JSON text of a changed one
#   Documents::of_states($n)            one with about n states, of all kinds

package Documents;

use strict;
use warnings FATAL => 'all';
use JSON::PP;
use PostgreSQL::Test::Utils;
use Storable qw(dclone);

# Text that is cut anywhere is still of some encoding: ASCII.
my $json = JSON::PP->new->ascii->canonical->allow_nonref;

# ------------------------------------------------------------------- found

# Every object of a text that has "workflow", "initial" and "states"; inside an
# SQL literal quotes are doubled.
sub of_file
{
	my ($file) = @_;
	my $text = slurp_file($file);
	my @found;

	while ($text =~ /\{(?=\s*"workflow")/g)
	{
		my ($start, $rest) = (pos($text) - 1, substr($text, pos($text) - 1));
		my $line = 1 + (substr($text, 0, $start) =~ tr/\n//);
		my ($document) = eval { JSON::PP->new->utf8->decode_prefix($rest) };
		if (!$document)
		{
			$rest =~ s/''/'/g;
			($document) = eval { JSON::PP->new->utf8->decode_prefix($rest) };
		}
		push @found, { place => "$file:$line", document => $document }
		  if $document && $document->{states} && $document->{initial};
		push @found, { place => "$file:$line", document => undef }
		  if !$document && $rest =~ /\A[^`]*?"states"/ && $rest !~ /\A[^`]*?(?:\.\.\.|…)/;
	}
	return @found;
}

sub activities
{
	my ($document) = @_;
	return (values %{ $document->{states} }, values %{ $document->{activities} // {} });
}

sub quoted { my ($name) = @_; $name =~ s/"/""/g; return "\"$name\"" }

# The functions and endpoints that a document names, as their users make them.
sub needs
{
	my ($document) = @_;
	my $sql = '';

	foreach my $state (grep { ref eq 'HASH' } activities($document))
	{
		my $function = $state->{sql} && $state->{sql}{function};
		if (defined $function)
		{
			$sql .= "CREATE SCHEMA IF NOT EXISTS $1;\n" if $function =~ /^(\w+)\./;
			$sql .= "CREATE OR REPLACE FUNCTION $function(item_id bigint, data jsonb) RETURNS jsonb"
			  . " LANGUAGE sql AS 'SELECT data';\n";
		}
		foreach my $kind (qw(http model))
		{
			my $endpoint = $state->{$kind} && $state->{$kind}{endpoint};
			next if !defined $endpoint;
			$sql .= sprintf("CREATE SERVER IF NOT EXISTS %s FOREIGN DATA WRAPPER workflow_http"
				  . " OPTIONS (url 'https://there.example', dedup '%s');\n",
				quoted($endpoint), $kind eq 'model' ? 'pure' : 'key');
		}
	}
	return $sql;
}

# ------------------------------------------------------------------ changed

my @junk = (
	undef, 0, -1, 7, 1e300, 0.5, '', '$', '$.a', '$.a[', '{$.a', '{$.a}', '\\$', '@origin', 'S', 'CANCELLED', 'ok', 'error',
	'timeout', 'replay', '1 day', '-1 s', 'infinity', '294277 years', "\x{1}", "a\nb", 'x' x 300, '..', '/a/../b', '$.size()',
	'$.**', '$ ? (@.a > 1)', 'strict $.a', '$.a.b."c d"', '"', "'", '%s%n', "\x{10000}", [], {}, [ [] ], [ '$.a', 7 ],
	[ 'ok', 'ok' ], { a => 1 }, { on => { ok => 'S' } }, { '' => '' }, { type => 'object', '$ref' => '#' },
	{ at_least => 1, event => 'ok' }, { otherwise => 'ok' }, JSON::PP::true, JSON::PP::false);
my @keys = qw(workflow owner key initial states any on activities activity queues retry sql http model task review exception wait
  gate validate then final as timeout after event function queue endpoint method path key body headers before revert payload show
  editable decisions reason_required four_eyes on_overdue value tiers schema at_least otherwise for until max_attempts backoff
  retry_on sla escalate_to lease fair aging rate_limit input_schema spawn version output external_id content_type ok error cancel
  approvals reasons current instructions warn claim_for priority);

# All places of a value: [container, key].
sub places
{
	my ($value, @found) = @_;

	if (ref $value eq 'HASH') { push @found, map { ([ $value, $_ ], places($value->{$_})) } sort keys %$value }
	elsif (ref $value eq 'ARRAY') { push @found, map { ([ $value, $_ ], places($value->[$_])) } 0 .. $#$value }
	return @found;
}

sub get { my ($place) = @_; my ($in, $at) = @$place; return ref $in eq 'HASH' ? $in->{$at} : $in->[$at] }

sub set
{
	my ($place, $value) = @_;
	my ($in, $at) = @$place;

	if   (ref $in eq 'HASH') { $in->{$at} = $value }
	else                     { $in->[$at] = $value }
	return;
}

sub copy { my ($value) = @_; return ref $value ? dclone($value) : $value }

sub change
{
	my ($document, $rand) = @_;
	my @places = places($document);
	my $place  = $places[ $rand->(scalar @places) ] or return;
	my $other  = $places[ $rand->(scalar @places) ];
	my ($in, $at) = @$place;
	my $kind = $rand->(6);

	if ($kind == 0) { ref $in eq 'HASH' ? delete $in->{$at} : splice @$in, $at, 1 }
	elsif ($kind == 1) { set($place, copy($junk[ $rand->(scalar @junk) ])) }
	elsif ($kind == 2) { set($place, copy(get($other))) }
	elsif ($kind == 3 && ref $in eq 'HASH') { $in->{ $keys[ $rand->(scalar @keys) ] } = delete $in->{$at} }
	elsif ($kind == 4 && ref $in eq 'HASH') { $in->{ $keys[ $rand->(scalar @keys) ] } = copy($junk[ $rand->(scalar @junk) ]) }
	elsif (!ref get($place) && defined get($place))
	{
		my $text = '' . get($place);
		substr($text, $rand->(length($text) + 1), $rand->(2), chr(32 + $rand->(95)));
		set($place, $text);
	}
	return;
}

# Some changes of the value, and at times one of the text.
sub mutant
{
	my ($document, $rand) = @_;
	my $changed = copy($document);
	my $text;

	change($changed, $rand) foreach 0 .. $rand->(4);
	$text = $json->encode($changed);
	if ($rand->(10) == 0)
	{
		my $piece = ('{', '}', '[', ',', '"', ':', '\\', 'null', '{"a":1,"a":2}', '[' x 200)[ $rand->(10) ];
		substr($text, $rand->(length $text), $rand->(3), $piece);
	}
	return $text;
}

# -------------------------------------------------------------------- large

my @shapes = (
	sub { my ($next, $i) = @_; return { sql => { function => 'app.step', queue => 'q' }, as => "step$i", on => { ok => $next } } },
	sub {
		my ($next, $i) = @_;
		return { http => { endpoint => 'crm', queue => 'q', method => 'GET', path => '/{$.id}', key => [ '$.id', "read$i" ] },
			on => { ok => $next } };
	},
	sub {
		my ($next, $i) = @_;
		return { model => { endpoint => 'llm', queue => 'q', path => '/', body => { text => '$.id' } }, as => "model$i", on => { ok => $next } };
	},
	sub {
		my ($next, $i) = @_;
		my $before = $i - 1;
		return { validate => { value => "\$.model$before", schema => { type => 'object' } }, on => { valid => $next, invalid => 'STUCK' } };
	},
	sub {
		my ($next) = @_;
		return { gate => { value => '$.n', tiers => [ { at_least => 1, event => 'up' }, { otherwise => 'down' } ] },
			on => { up => $next, down => 'STUCK' } };
	},
	sub {
		my ($next) = @_;
		return { review => { queue => 'q', decisions => [ 'go', 'stop' ], on_overdue => 'escalate', editable => '$.n' },
			on => { go => $next, stop => 'END' } };
	},
	sub { my ($next) = @_; return { then => 'next', on => { next => $next } } });

sub of_states
{
	my ($n, %more) = @_;
	my %states = (
		END   => { final => 'done' },
		STUCK => { exception => { queue => 'q' }, on => { replay => 'AGAIN', give_up => 'END' } },
		AGAIN => { then => 'resume', on => { resume => '@origin' } });

	foreach my $i (1 .. $n)
	{
		my $next = $i < $n ? 'S' . ($i + 1) : 'END';
		$states{"S$i"} = $more{only} ? $shapes[ $more{only} ]->($next, $i) : $shapes[ ($i - 1) % @shapes ]->($next, $i);
	}
	return {
		workflow => "of$n", owner => 'me', initial => 'S1', key => ['$.id'], states => \%states,
		queues => { q => { sla => '1 hour', escalate_to => ['boss'] } },
		retry => { default => { max_attempts => 3, timeout => '5 seconds' } },
		any => { on => { error => 'STUCK' } }
	};
}

1;
