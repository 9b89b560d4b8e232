# Jobs a second: one at a time, by batches, and out of a full queue.

package Bench::Case::Rates;

use strict;
use warnings FATAL => 'all';
use Bench::Peer;
use Bench::Pgbench;
use Bench::Table;

my @single = qw(enqueue claim complete);
my @batch  = qw(enqueue_many claim_many complete_many);

# What one kind of client does to one queue, and what it costs for each job.
# How: steps, jobs of one transaction, clients, backlog, and either seconds or
# transactions of each client.
sub measure
{
	my ($bench, $peer, %how) = @_;
	my $cluster = $bench->{cluster};

	my $session = $peer->ready($how{backlog});
	my %common  = (
		directory => "$bench->{work}/pgbench",
		variables => $peer->variables,
		settings  => $peer->settings,
		seconds   => $how{seconds});
	my $before    = $cluster->usage($session);
	my $alongside = $peer->alongside
	  && Bench::Pgbench->start(
		%common,
		script  => $peer->alongside,
		clients => 1);
	my $run = Bench::Pgbench->start(
		%common,
		script       => $peer->script(@{ $how{steps} }),
		clients      => $how{clients},
		transactions => $how{transactions})->finish;
	$alongside->finish if $alongside;
	$cluster->settle($session);
	my $spent = $cluster->spent($session, $before);
	my $jobs  = $run->{transactions} * $how{jobs};
	my ($does_enqueue, $does_complete) =
	  map {
		my $step = $_;
		scalar grep { /$step/ } @{ $how{steps} }
	  } qw(enqueue complete);

	$peer->check($peer->backlog($how{backlog}) + ($does_enqueue ? $jobs : 0),
		$does_complete ? $jobs : 0);
	return {
		rate    => $run->{rate} * $how{jobs},
		wal     => $spent->{wal} / $jobs,
		commits => $spent->{commits} / $jobs,
		cpu     => $spent->{cpu} * 1000 / $jobs };
}

# The lines of a table: each measured once in each run, by turns.
sub by_turns
{
	my ($bench, @lines) = @_;

	foreach my $run (1 .. $bench->{option}{runs})
	{
		push @{ $_->{runs} }, measure($bench, $_->{peer}, %{ $_->{how} })
		  foreach @lines;
	}
	return;
}

sub figures
{
	my ($line, $figure) = @_;

	return map { $_->{$figure} } @{ $line->{runs} };
}

# The median of the ratios to a line that was measured by turns with this one.
sub ratio
{
	my ($line, $to) = @_;
	my @rates  = figures($line, 'rate');
	my @others = figures($to,   'rate');

	return median(map { $rates[$_] / $others[$_] } 0 .. $#rates);
}

# A table of lines; each compares itself to the lines in its "to", and has a
# list of bars, [text, relation, bar, figure or line].
sub report
{
	my ($bench, $title, $references, @lines) = @_;
	my @rows = (
		[   'queue', 'clients',
			'jobs/s', (map { "of $_" } @$references),
			'WAL B',  'commits',
			'CPU ms', 'bars' ]);

	foreach my $line (@lines)
	{
		my @bars = map {
			my ($text, $relation, $bar, $of) = @$_;
			"$text "
			  . $bench->{bars}
			  ->judge("$title at $line->{how}{clients}, $text",
				$relation, $bar,
				ref $of ? ratio($line, $of) : median(figures($line, $of)))
		} @{ $line->{bars} // [] };

		push @rows, [
			$line->{title},
			$line->{how}{clients},
			range_text(figures($line, 'rate')),
			(   map {
					$line->{to}{$_}
					  ? sprintf('%.3f', ratio($line, $line->{to}{$_}))
					  : '-'
				} @$references),
			count_text(median(figures($line, 'wal'))),
			sprintf('%.3f', median(figures($line, 'commits'))),
			sprintf('%.3f', median(figures($line, 'cpu'))),
			join('; ', @bars) ];
	}
	print_table(@rows);
	return;
}

sub line
{
	my ($peer, %how) = @_;

	return { title => $peer->title, peer => $peer, how => \%how };
}

# Lines of our peers, by their names.
sub lines_of
{
	my ($bench, %how) = @_;

	return map { $_->name => line($_, %how) } @{ $bench->{peers} };
}

sub single
{
	my ($bench) = @_;
	my $option = $bench->{option};
	my @lines;

	print "## One job, three commits\n\n",
	  "Enqueue, claim, complete, each a commit; 1,000 jobs wait.\n\n";
	foreach my $clients (split /,/, $option->{clients})
	{
		my %line = lines_of(
			$bench,
			steps   => \@single,
			jobs    => 1,
			clients => $clients,
			backlog => 1000,
			seconds => $option->{seconds});

		$_->{to}{bare} = $line{bare} foreach values %line;
		push @{ $line{ours}{bars} }, [ 'of bare', '>=', 1.5, $line{bare} ]
		  if $line{ours} && $line{bare} && $clients >= 8;
		push @{ $line{ours}{bars} }, [ 'CPU ms', '<=', 0.17, 'cpu' ]
		  if $line{ours} && $clients == 8;
		push @lines, map { $line{ $_->name } } @{ $bench->{peers} };
	}
	by_turns($bench, @lines);
	report($bench, 'single', ['bare'], @lines);
	return;
}

# A hundred rows in one INSERT: what no queue can do faster.
sub bare_inserts
{
	my ($bench, %how) = @_;
	my ($bare) = grep { $_->name eq 'bare' } @{ $bench->{peers} };

	return if !$bare;
	my $line = line($bare, %how, steps => ['enqueue_many'], backlog => 0);
	$line->{title} = 'bare 100-row inserts';
	return $line;
}

sub batch
{
	my ($bench) = @_;
	my $option = $bench->{option};
	my @lines;

	print "## By the hundred\n\n",
	  "The same in batches of 100; 10,000 jobs wait.\n\n";
	foreach my $clients (split /,/, $option->{'batch-clients'})
	{
		my %how = (
			steps   => \@batch,
			jobs    => $Bench::Peer::batch,
			clients => $clients,
			backlog => 10_000,
			seconds => $option->{seconds});
		my %line    = lines_of($bench, %how);
		my $inserts = bare_inserts($bench, %how);
		my $ours    = $line{ours};

		$_->{to} = {
			'bare'    => $line{bare},
			'pgmq'    => $line{pgmq},
			'inserts' => $inserts }
		  foreach values %line;
		push @{ $ours->{bars} }, [ 'WAL B', '<=', 550, 'wal' ]
		  if $ours;
		push @{ $ours->{bars} }, [ 'of pgmq', '>=', 1.5, $line{pgmq} ]
		  if $ours && $line{pgmq} && $clients == 8;
		push @{ $ours->{bars} }, [ 'of inserts', '>=', 0.32, $inserts ]
		  if $ours && $inserts && $clients == 8;
		push @lines, $inserts if $inserts;
		push @lines, map { $line{ $_->name } } @{ $bench->{peers} };
	}
	by_turns($bench, @lines);
	report($bench, 'batch', [ 'bare', 'pgmq', 'inserts' ], @lines);
	return;
}

sub drain
{
	my ($bench) = @_;
	my $option  = $bench->{option};
	my $clients = 4;
	my $each =
	  int($option->{'drain-jobs'} / $clients / $Bench::Peer::batch) || 1;
	my %how     = (jobs => $Bench::Peer::batch, clients => $clients);
	my $inserts = bare_inserts($bench, %how, seconds => $option->{seconds});
	my @lines   = $inserts ? ($inserts) : ();

	# Some more than are taken, so that there is a full batch for all.
	foreach my $peer (grep { !$_->alongside } @{ $bench->{peers} })
	{
		my $line = line(
			$peer, %how,
			steps        => [qw(claim_many complete_many)],
			transactions => $each,
			backlog      => ($each + 2) * $clients * $Bench::Peer::batch);

		$line->{to}   = { inserts => $inserts };
		$line->{bars} = [
			[ 'of inserts', '>=', 0.4, $inserts ],
			[ 'WAL B',      '<=', 550, 'wal' ] ]
		  if $inserts && $peer->name eq 'ours';
		push @lines, $line;
	}

	printf "## Out of a full queue\n\n"
	  . "%s jobs that are ready, %d claimers, batches of %d.\n\n",
	  count_text($each * $clients * $Bench::Peer::batch), $clients,
	  $Bench::Peer::batch;
	by_turns($bench, @lines);
	report($bench, 'drain', ['inserts'], @lines);
	return;
}

1;
