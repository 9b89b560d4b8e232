# On an idle server: from the call of enqueue to the moment at which a worker
# that waited has the job and goes on.

package Bench::Case::Latency;

use strict;
use warnings FATAL => 'all';
use Bench::Pgbench;
use Bench::Table;

my $pause_ms = 15;

# The time of the call travels in the payload.
my $producer = <<"END";
SELECT workflow.enqueue('bench', jsonb_build_object(
  'at', extract(epoch FROM clock_timestamp()), 'text', repeat('x', 160)));
\\sleep $pause_ms ms
END

# The second statement is sent when the claim is committed and has arrived.
my $worker = <<'END';
SELECT coalesce(max(job_id), 0) AS id, max(token) AS token, coalesce(max(payload ->> 'at'), '0') AS at
  FROM workflow.claim('bench', 'worker', wait => '2 seconds') \gset job_
\if :job_id > 0
INSERT INTO started (ms) SELECT (extract(epoch FROM clock_timestamp()) - :job_at ::numeric) * 1000;
SELECT workflow.complete(:job_id, :job_token);
\endif
END

sub run
{
	my ($bench) = @_;
	my $n       = int $bench->{option}{lonely};
	my ($ours)  = grep { $_->name eq 'ours' } @{ $bench->{peers} };

	return if !$ours;
	my $session = $ours->ready(0);
	my %common  = (directory => "$bench->{work}/pgbench", clients => 1);

	$session->rows('CREATE TABLE started (ms float8 NOT NULL)');
	my $run =
	  Bench::Pgbench->start(%common, script => $worker, seconds => 3600);
	Bench::Pgbench->start(
		%common,
		script       => $producer,
		transactions => $n)->finish;
	$session->wait_until(
		'all jobs are done',
		q{SELECT ready + running = 0 FROM workflow.queues WHERE queue = 'bench'}
	);
	$run->stop;
	$ours->check($n, $n);
	my @ms    = map { $_->[0] } $session->rows('SELECT ms FROM started');
	my $bars  = $bench->{bars};
	my %value = (p50 => percentile(0.5, @ms), p99 => percentile(0.99, @ms));

	die sprintf "latency: %d jobs came, %d were started\n", $n, scalar @ms
	  if @ms != $n;
	printf
	  "## From enqueue to start\n\n%d jobs, one each %d ms, and a worker that waits: p50 %.2f ms (%s), p99 %.2f ms (%s)\n\n",
	  $n, $pause_ms, $value{p50},
	  $bars->judge('latency, p50 ms', '<=', 2, $value{p50}), $value{p99},
	  $bars->judge('latency, p99 ms', '<=', 10, $value{p99});
	return;
}

1;
