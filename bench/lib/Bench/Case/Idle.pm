# What goes on when there is nothing to do: workers on, one more that waits for
# a job, and nobody who brings one.

package Bench::Case::Idle;

use strict;
use warnings FATAL => 'all';
use Bench::Session;
use Bench::Table;
use List::Util qw(sum0);

# What the server writes of its own accord after work, it writes within that.
my $rest_seconds = 17;

# Everybody's statements but those that ask, each with how often it ran.
my $statements =
  q{SELECT calls, left(regexp_replace(query, '\s+', ' ', 'g'), 100)
    FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat_%' ORDER BY calls DESC, query};

sub rest
{
	my ($seconds) = @_;

	select undef, undef, undef, $seconds;
	return;
}

sub measure
{
	my ($bench, $session) = @_;
	my $cluster = $bench->{cluster};
	my $seconds = $bench->{option}{'idle-seconds'};

	$session->rows('CHECKPOINT');
	rest($rest_seconds < $seconds ? $rest_seconds : $seconds);
	$session->rows('SELECT pg_stat_statements_reset()');
	my $before = $cluster->usage($session);
	rest($seconds);
	my $spent = $cluster->spent($session, $before);

	return { %$spent, statements => [ $session->rows($statements) ] };
}

sub start
{
	my ($bench, @libraries) = @_;

	$bench->{cluster}->restart_with(
		%{ $bench->{normal} },
		autovacuum                 => 'off',
		'pg_stat_statements.track' => 'all',
		shared_preload_libraries   =>
		  join(',', 'pg_stat_statements', @libraries));
	return;
}

sub calls
{
	my ($figures) = @_;

	return sum0(map { $_->[0] } @{ $figures->{statements} });
}

sub row
{
	my ($title, $figures, $bars) = @_;

	return [
		$title,
		count_text(calls($figures)),
		count_text($figures->{wal}),
		sprintf('%.1f', $figures->{cpu} * 1000),
		$bars // '' ];
}

sub run
{
	my ($bench) = @_;
	my $bars    = $bench->{bars};
	my ($ours)  = grep { $_->name eq 'ours' } @{ $bench->{peers} };
	my @rows    = ([ 'idle', 'statements', 'WAL B', 'CPU ms', 'bars' ]);

	return if !$ours;
	printf "## Idle\n\nIn %g seconds, autovacuum off.\n\n",
	  $bench->{option}{'idle-seconds'};
	start($bench);
	$bench->{cluster}->replace_database('bench');
	my $session = Bench::Session->new('bench');
	$session->rows('CREATE EXTENSION pg_stat_statements');
	push @rows, row('the server alone', measure($bench, $session));
	$session->close;

	start($bench, 'pg_workflow');
	$session = $ours->ready(0);
	$session->rows('CREATE EXTENSION pg_stat_statements');
	$session->wait_until('there is a worker',
		'SELECT count(*) > 0 FROM workflow.workers');
	my $waiting = Bench::Session->new('bench');
	$waiting->ask(q{CALL workflow.wait_for_job('bench', '1 hour')});
	my $figures = measure($bench, $session);
	push @rows,
	  row(
		'pg_workflow, a worker waits',
		$figures,
		'statements '
		  . $bars->judge('idle, statements', '<=', 0, calls($figures))
		  . '; WAL '
		  . $bars->judge('idle, WAL B', '<=', 0, $figures->{wal}));
	$session->rows(q{SELECT workflow.enqueue('bench', '{}')});
	$waiting->answer;
	$waiting->close;
	$bench->{cluster}->restart_with(%{ $bench->{normal} });
	print_table(@rows);
	printf "- %d x `%s`\n", @$_ foreach @{ $figures->{statements} };
	print "\n" if @{ $figures->{statements} };
	return;
}

1;
