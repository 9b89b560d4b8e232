# A queue from the npm registry: the statements that the package itself sends,
# captured by bench/peers/capture.mjs and run by pgbench as prepared ones.
#
# Only the ids of a claimed batch are made one array, since pgbench cannot hold
# a hundred rows.

package Bench::Peer::Npm;

use strict;
use warnings FATAL => 'all';
use parent 'Bench::Peer';
use JSON::PP qw(decode_json);

# bench/run has installed the packages here, or has not.
sub missing
{
	my ($self) = @_;

	my $package = $self->package_name;
	my $peers   = "$self->{work}/peers";

	return "npm could not install it, see $peers/npm.log"
	  if !-d "$peers/node_modules/$package";
	return
	  if system(
		"cd $peers && node --input-type=module -e 'await import(\"$package\")' >>npm.log 2>&1"
	  ) == 0;
	return "this node cannot load it, see $peers/npm.log";
}

sub install
{
	my ($self, $database) = @_;

	local $ENV{PGDATABASE} = $database;
	open my $node, '-|', 'node', "$self->{work}/peers/capture.mjs",
	  $self->name, $Bench::Peer::payload
	  or die "node: $!\n";
	local $/ = undef;
	my $answer = readline $node;
	close $node or die $self->name . ": capture.mjs failed\n";
	$self->{captured} = decode_json($answer);
	return;
}

# Joins of a subselect with LIMIT: planned over a small table these become
# hash joins that read all of it, and stay so.  Both run best without them.
sub settings { return '-c enable_hashjoin=off -c enable_mergejoin=off'; }

sub variables
{
	my ($self) = @_;
	my %value = (payload => $Bench::Peer::payload);

	foreach my $step (qw(enqueue enqueue_many))
	{
		foreach my $value (@{ $self->{captured}{$step}{values} })
		{
			$value{"${step}_payload"} = $value->{payloads}
			  if defined $value->{payloads};
		}
	}
	return \%value;
}

sub value_text
{
	my ($step, $value, $is_array) = @_;

	return ':payload'         if $value->{payload};
	return ":${step}_payload" if defined $value->{payloads};
	return ':job_id'          if $value->{id};
	return $step eq 'complete' ? 'ARRAY[:job_id]' : ':job_ids'
	  if $value->{ids};
	return 'NULL'                                  if !defined $value->{is};
	return "'" . ($value->{is} =~ s/'/''/gr) . "'" if !ref $value->{is};
	return "'{" . join(',', @{ $value->{is} }) . "}'";
}

# What was sent, with its values in their places.
sub sent
{
	my ($self, $step) = @_;
	my $statement = $self->{captured}{$step};
	my @values    = @{ $statement->{values} };

	return $statement->{text} =~
	  s/\$(\d+)/value_text($step, $values[$1 - 1]) . ' '/ger =~ s/;?\s*$//r;
}

sub enqueue       { return $_[0]->sent('enqueue') . ';'; }
sub claim         { return $_[0]->sent('claim') . ' \gset job_'; }
sub complete      { return $_[0]->sent('complete') . ';'; }
sub enqueue_many  { return $_[0]->sent('enqueue_many') . ';'; }
sub complete_many { return $_[0]->sent('complete_many') . ';'; }

# "WITH a AS (...) UPDATE ..." as "WITH a AS (...), taken AS (UPDATE ...)"; the
# first of the columns that it returns is the id.
sub claim_many
{
	my ($self) = @_;
	my $text   = $self->sent('claim_many');
	my $depth  = 0;
	my $at;

	while ($text =~ /([()])|\b(update)\b/gi)
	{
		$depth += $1 eq '(' ? 1 : -1 if defined $1;
		$at = $-[2]                  if defined $2 && $depth == 0;
	}
	die $self->name . ": no UPDATE in what it claims with: $text\n"
	  if !defined $at;
	return
		substr($text, 0, $at)
	  . ', taken (taken_id) AS ('
	  . substr($text, $at)
	  . ') SELECT array_agg(taken_id) AS ids FROM taken \gset job_';
}

1;
