# Ours, by its public functions.

package Bench::Peer::Workflow;

use strict;
use warnings FATAL => 'all';
use parent 'Bench::Peer';

sub name  { return 'ours'; }
sub title { return 'pg_workflow'; }

# A copy would have to wait until the template's worker is gone.
sub is_copied { return 0; }

sub install
{
	my ($self, $database) = @_;
	my $session = Bench::Session->new($database);

	$session->rows('CREATE EXTENSION pg_workflow');
	my $options = $self->{options} // '';
	$session->rows(
		qq{SELECT workflow.create_queue('bench', 'bench', '1 hour', '{bench}'$options)}
	);
	$session->close;
	return;
}

# What a job is stored with that does not stand alone, is not due at once, has
# a priority or is somebody's.
my %arguments = (
	plain   => '',
	keyed   => q{, key => gen_random_uuid()::text},
	delayed =>
	  q{, run_at => clock_timestamp() + interval '100 milliseconds'},
	urgent => q{, priority => (random() * 4)::int - 2},
	fair   => q{, tenant => 'tenant ' || (random() * 19)::int},
	rated  => q{, units => 1 + (random() * 9)::int},
	tenant_rated => q{, tenant => 'tenant ' || (random() * 19)::int});

# And its queue; no limit holds anything back.
my %options = (
	fair  => q{, fair => true},
	rated => q{, rate_limit => '{"count": 1000000, "per": "1 second"}'},
	tenant_rated =>
	  q{, fair => true, rate_limit => '{"count": 1000000, "per": "1 second", "per_tenant": true}'}
);

# From here on its jobs are of that sort.
sub store_as
{
	my ($self, $jobs) = @_;

	die "no such jobs: $jobs\n" if !defined $arguments{$jobs};
	$self->{arguments} = $arguments{$jobs};
	$self->{options}   = $options{$jobs};
	return;
}

sub fill
{
	my ($self, $jobs) = @_;

	if ($self->{arguments})
	{
		$self->{session}->rows(
			qq{SELECT count(workflow.enqueue('bench', '$Bench::Peer::payload'$self->{arguments}))
			   FROM generate_series(1, $jobs)});
		return;
	}
	$self->{session}->rows(
		qq{SELECT count(workflow.enqueue_many('bench',
			 array_fill('$Bench::Peer::payload'::jsonb, ARRAY[least(1000, $jobs - first)])))
		   FROM generate_series(0, $jobs - 1, 1000) AS first});
	return;
}

sub enqueue
{
	my ($self) = @_;

	return
	  sprintf q{SELECT workflow.enqueue('bench', :payload%s);},
	  $self->{arguments} // '';
}

sub claim
{
	return
	  q{SELECT job_id AS id, token, payload FROM workflow.claim('bench', 'worker') \gset job_};
}

sub complete
{
	return q{SELECT workflow.complete(:job_id, :job_token);};
}

sub enqueue_many
{
	return
	  qq{SELECT workflow.enqueue_many('bench', array_fill(:payload ::jsonb, ARRAY[$Bench::Peer::batch]));};
}

sub claim_many
{
	return
	  qq{SELECT array_agg(job_id) AS ids, array_agg(token) AS tokens FROM workflow.claim('bench', 'worker', $Bench::Peer::batch) \\gset job_};
}

sub complete_many
{
	return
	  qq{SELECT n AS done FROM workflow.complete_many(:job_ids, :job_tokens) AS n WHERE n = $Bench::Peer::batch \\gset};
}

# A claim that may find nothing, then with :job_id 0.
sub try_claim
{
	return
	  q{SELECT coalesce(max(job_id), 0) AS id, max(token) AS token, (array_agg(payload))[1] AS payload FROM workflow.claim('bench', 'worker') \gset job_};
}

sub left
{
	my ($self) = @_;

	return $self->{session}->value(
		q{SELECT ready + delayed + running + waiting + dead FROM workflow.queues WHERE queue = 'bench'}
	);
}

sub finished
{
	my ($self) = @_;

	return $self->{session}->value(
		q{SELECT CASE WHEN count(*) = count(DISTINCT job_id) THEN count(*) ELSE -1 END
		   FROM workflow.attempts WHERE outcome = 'ok'});
}

# Jobs that no claim should have to look at.
sub clutter
{
	my ($self, $delayed, $running, $dead) = @_;
	my $session = $self->{session};

	$session->rows(
		qq{SELECT count(workflow.enqueue('bench', '$Bench::Peer::payload', run_at => now() + interval '1 day'))
		   FROM generate_series(1, $delayed)});
	$self->fill($running + $dead) if $running + $dead > 0;
	$session->rows(
		qq{SELECT count(*) FROM generate_series(0, $running - 1, 1000) AS first,
		   workflow.claim('bench', 'other', least(1000, $running - first)::int, lease => '1 day')}
	) if $running > 0;
	$session->rows(
		qq{SELECT count(workflow.fail(job_id, token, 'permanent', 'it will not do'))
		   FROM generate_series(0, $dead - 1, 1000) AS first,
		   workflow.claim('bench', 'other', least(1000, $dead - first)::int, lease => '1 day')}
	) if $dead > 0;
	return;
}

1;
