# The reference: a table, SKIP LOCKED, and a commit for each of three
# statements.

package Bench::Peer::Bare;

use strict;
use warnings FATAL => 'all';
use parent 'Bench::Peer';

sub name  { return 'bare'; }
sub title { return 'bare table'; }

sub install
{
	my ($self, $database) = @_;
	my $session = Bench::Session->new($database);

	$session->rows(
		q{CREATE TABLE job (
			id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
			run_at timestamptz NOT NULL DEFAULT now(),
			locked_until timestamptz NOT NULL DEFAULT '-infinity',
			attempts int NOT NULL DEFAULT 0,
			payload jsonb NOT NULL)});
	$session->close;
	return;
}

sub fill
{
	my ($self, $jobs) = @_;

	$self->{session}->rows(
		qq{INSERT INTO job (payload) SELECT '$Bench::Peer::payload' FROM generate_series(1, $jobs)}
	);
	return;
}

# The jobs to take, once: a subselect with LIMIT that is joined instead may be
# planned to run again and again, or as a scan of the whole table.
sub taken
{
	my ($limit) = @_;

	return
	  qq{UPDATE job SET locked_until = now() + interval '1 minute', attempts = attempts + 1
WHERE id = ANY (ARRAY(SELECT id FROM job WHERE run_at <= now() AND locked_until < now()
  ORDER BY id LIMIT $limit FOR UPDATE SKIP LOCKED)) RETURNING id, payload};
}

sub enqueue { return 'INSERT INTO job (payload) VALUES (:payload);'; }
sub claim   { return taken(1) . ' \gset job_'; }

sub complete
{
	return 'DELETE FROM job WHERE id = :job_id RETURNING id AS done \gset';
}

sub enqueue_many
{
	return
	  "INSERT INTO job (payload) SELECT :payload ::jsonb FROM generate_series(1, $Bench::Peer::batch);";
}

sub claim_many
{
	return
		'WITH taken AS ('
	  . taken($Bench::Peer::batch)
	  . ") SELECT array_agg(id) AS ids FROM taken \\gset job_";
}

sub complete_many
{
	return
	  qq{WITH gone AS (DELETE FROM job WHERE id = ANY (:job_ids ::bigint[]) RETURNING id)
SELECT count(*) AS done FROM gone HAVING count(*) = $Bench::Peer::batch \\gset};
}

sub try_claim
{
	return
		'WITH taken AS ('
	  . taken(1)
	  . ') SELECT coalesce(max(id), 0) AS id, (array_agg(payload))[1] AS payload FROM taken \gset job_';
}

sub left
{
	my ($self) = @_;

	return $self->{session}->value('SELECT count(*) FROM job');
}

sub clutter
{
	my ($self, $delayed, $running, $dead) = @_;

	$self->{session}->rows(
		qq{INSERT INTO job (run_at, locked_until, payload)
		   SELECT CASE WHEN n <= $delayed THEN now() + interval '1 day' ELSE now() END,
			 CASE WHEN n > $delayed THEN now() + interval '1 day' ELSE '-infinity' END, '$Bench::Peer::payload'
		   FROM generate_series(1, $delayed + $running + $dead) AS n});
	return;
}

1;
