# How soon the job of a session that was killed is claimed by another.

package Bench::Case::Reclaim;

use strict;
use warnings FATAL => 'all';
use Bench::Session;
use Bench::Table;
use List::Util  qw(max);
use Time::HiRes qw(time);

my $claim_now =
  q{SELECT job_id, token FROM workflow.claim('bench', 'worker')};
my $claim_soon =
  q{SELECT job_id, token FROM workflow.claim('bench', 'other', wait => '20 seconds')};

my %kill = (
	'its backend is terminated' => sub {
		my ($session, $victim) = @_;
		my $pid = $victim->value('SELECT pg_backend_pid()');

		return sub { $session->rows("SELECT pg_terminate_backend($pid)") };
	},
	'its client is killed' => sub {
		my ($session, $victim) = @_;

		return sub { kill 'KILL', $victim->{pid} };
	});

# Milliseconds from the kill to the claim.
sub measure
{
	my ($ours, $kind) = @_;
	my $session = $ours->{session};
	my $victim  = Bench::Session->new($ours->{database});
	my $other   = Bench::Session->new($ours->{database});
	my $kill    = $kill{$kind}->($session, $victim);
	my $sent    = $session->value(q{SELECT workflow.enqueue('bench', '{}')});
	my ($job)   = $victim->row($claim_now);

	die "reclaim: job $sent was not claimed\n"
	  if !defined $job || $job != $sent;
	$other->ask($claim_soon);
	$session->wait_until(
		'the other one waits',
		q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%20 seconds%'
		   AND state = 'active' AND wait_event_type IS NOT NULL AND pid <> pg_backend_pid()}
	);
	my $killed_at = time;
	$kill->();
	my @rows = $other->answer;
	my $ms   = (time - $killed_at) * 1000;

	die "reclaim: job $sent did not come back\n"
	  if @rows != 1 || $rows[0][0] != $sent;
	$other->rows("SELECT workflow.complete($sent, '$rows[0][1]')");
	$_->close foreach $victim, $other;
	return $ms;
}

sub run
{
	my ($bench) = @_;
	my $n       = int $bench->{option}{kills};
	my ($ours)  = grep { $_->name eq 'ours' } @{ $bench->{peers} };
	my @rows =
	  ([ 'the session of a worker ends', 'p50 ms', 'longest ms', 'bars' ]);

	return if !$ours;
	local $SIG{PIPE} = 'IGNORE';
	print "## A worker that is lost\n\n",
	  "Until another one that waits has claimed its job; $n times each.\n\n";
	$ours->ready(0);
	foreach my $kind (sort keys %kill)
	{
		my @ms = map { measure($ours, $kind) } 1 .. $n;

		push @rows,
		  [ $kind,
			sprintf('%.1f', median(@ms)),
			sprintf('%.1f', max(@ms)),
			$bench->{bars}
			  ->judge("reclaim ($kind), longest ms", '<=', 1000, max(@ms)) ];
	}
	$ours->check($n * keys %kill, $n * keys %kill);
	print_table(@rows);
	return;
}

1;
