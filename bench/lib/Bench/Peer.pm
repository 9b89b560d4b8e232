# A job queue that is measured: what all of them have in common.
#
# A peer is known by its name, its title, and its statements as pgbench runs
# them.  Their variables: claim sets :job_id (and what else complete needs),
# claim_many sets :job_ids; payloads are parameters.
#
#   enqueue  claim  complete  enqueue_many  claim_many  complete_many

package Bench::Peer;

use strict;
use warnings FATAL => 'all';
use Bench::Session;

our $batch        = 100;
our $payload_size = 200;
our $payload      = sprintf '{"text": "%s"}', 'x' x ($payload_size - 12);

# With the cluster, the directory for its files, and the options.
sub new
{
	my ($class, %context) = @_;

	return bless { database => 'bench', %context }, $class;
}

# Why it cannot be measured; undef when it can.
sub missing { return; }

# Whether it has what a case measures.
sub takes_part_in { return 1; }

# What pgbench is given with -D, and in PGOPTIONS.
sub variables { return { payload => $payload }; }
sub settings  { return ''; }

# How many jobs wait when its clients start, of those asked for.
sub backlog { return $_[1]; }

# A script that one more client runs while the others do; undef for none.
sub alongside { return; }

# Whether a template serves for each of its databases.
sub is_copied { return 1; }

# Its database, new, with an empty queue, and a session in it.
sub fresh
{
	my ($self)   = @_;
	my $cluster  = $self->{cluster};
	my $database = $self->{database};
	my $template = 'template_' . $self->name;

	if (!$self->is_copied)
	{
		$cluster->replace_database($database);
		$self->install($database);
	}
	else
	{
		if (!$self->{has_template}++)
		{
			$cluster->replace_database($template);
			$self->install($template);
		}
		$cluster->replace_database($database, $template);
	}
	$self->{session}->close if $self->{session};
	$self->{session} = Bench::Session->new($database);
	return $self->{session};
}

# Its database goes.
sub drop
{
	my ($self) = @_;

	$self->{session}->close;
	$self->{session} = undef;
	$self->{cluster}->run("dropdb --force $self->{database}");
	return;
}

# The same with ready jobs, as after a quiet night.
sub ready
{
	my ($self, $jobs) = @_;
	my $session = $self->fresh;

	$session->rows('CHECKPOINT');    # so that no page is logged as a whole
	$self->fill($jobs) if $jobs > 0;
	$session->rows('VACUUM ANALYZE');
	return $session;
}

# The statements named, as one script.
sub script
{
	my ($self, @steps) = @_;

	return join '', map { $self->$_ . "\n" } @steps;
}

# How many have been finished, where it remembers; undef where it forgets.
sub finished { return; }

# Each job that came in is either still there or was finished, once: dies when
# that is not so.  Claims and completions that got no job failed by themselves.
sub check
{
	my ($self, $came, $done) = @_;
	my $left     = $self->left;
	my $finished = $self->finished;

	die sprintf "%s: %d jobs came, %d were finished, but %d are left\n",
	  $self->name, $came, $done, $left
	  if $left != $came - $done;
	die sprintf "%s: %d jobs were finished, but it knows of %d\n",
	  $self->name, $done, $finished
	  if defined $finished && $finished != $done;
	return;
}

1;
