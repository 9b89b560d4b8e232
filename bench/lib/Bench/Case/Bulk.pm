# What a move adds to a row of an UPDATE of a thousand: time of the session's
# process on a processor, which others on the machine hardly change.

package Bench::Case::Bulk;

use strict;
use warnings FATAL => 'all';
use Bench::Cluster;
use Bench::Side;
use Bench::Table;

my $count = 1000;

# Nanoseconds that the process has been on a processor.
sub on_cpu
{
	my ($pid) = @_;
	my ($ns) = split ' ', Bench::Cluster::slurp("/proc/$pid/schedstat");

	return $ns;
}

# Microseconds a row, and WAL, of one statement.
sub measure
{
	my ($bench, $side, $pid, $number) = @_;
	my $session = $bench->{session};
	my $sql     = Bench::Side::bulk($side, $count, $number);
	my $wal     = q{SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')};
	my $before  = $session->value($wal);
	my $cpu     = on_cpu($pid);

	$session->rows($sql);
	return {
		us  => (on_cpu($pid) - $cpu) / 1000 / $count,
		wal => ($session->value($wal) - $before) / $count };
}

# The parts of the samples of a process that lie in the triggers, or in what they
# call: those that log, and the others; nothing where perf cannot tell.
sub parts
{
	my ($file) = @_;
	my ($samples, %within) = (0, check => 0, log => 0);

	open my $perf, '-|', "perf script -i $file -F comm,ip,sym 2>/dev/null" or return;
	local $/ = '';
	while (my $sample = readline $perf)
	{
		my @frames = $sample =~ /^\s*[0-9a-f]+\s+(\S+)/mg;

		$samples++;
		if (grep { /^(?:wf_item_log_|wf_enforced_log|write_kept)/ } @frames)
		{
			$within{log}++;
		}
		elsif (grep { /^wf_(?:item_stamp|item_judge|enforced_row)$/ } @frames)
		{
			$within{check}++;
		}
	}
	close $perf;
	return if $samples == 0;
	return map { $_ => $within{$_} / $samples } keys %within;
}

# Where the time of direct moves goes, as parts of it.
sub profile
{
	my ($bench, $side, $pid) = @_;
	my $file = "$bench->{work}/perf.data";
	my $perf = fork // die "cannot fork: $!\n";

	if ($perf == 0)
	{
		open STDOUT, '>', '/dev/null';
		open STDERR, '>&', \*STDOUT;
		exec 'perf', 'record', '-F', 2500, '--call-graph', 'fp', '-p', $pid, '-o', $file;
		exit 1;
	}
	select undef, undef, undef, 0.5;
	$bench->{session}->rows(Bench::Side::bulk($side, $count, $_)) foreach 1 .. $bench->{option}{rounds} * 3;
	kill 'INT', $perf;
	waitpid $perf, 0;
	return parts($file);
}

sub run
{
	my ($bench) = @_;
	my @sides   = Bench::Side::named(qw(plain triggers enforced plain_item direct states));
	my $session = $bench->{session};
	my $pid     = $session->value('SELECT pg_backend_pid()');
	my @rows    = ([ 'move', 'us a row', 'added', 'WAL B' ]);
	my (%us, %wal, %added);

	printf "## A thousand at once\n\nRounds: %d.\n\n", $bench->{option}{rounds};
	foreach my $round (0 .. $bench->{option}{rounds})
	{
		foreach my $side (@sides)
		{
			my $run = measure($bench, $side, $pid, $round);

			next if $round == 0;    # warms up
			push @{ $us{ $side->{name} } },  $run->{us};
			push @{ $wal{ $side->{name} } }, $run->{wal};
		}
	}
	my %base = (triggers => 'plain', enforced => 'plain', direct => 'plain_item', states => 'plain_item');
	foreach my $side (@sides)
	{
		my $name = $side->{name};
		my $base = $base{$name};

		$added{$name} = median(map { $us{$name}[$_] - $us{$base}[$_] } 0 .. $#{ $us{$name} }) if $base;
		push @rows,
		  [
			$side->{title},
			sprintf('%.2f', median(@{ $us{$name} })),
			$base ? sprintf('%.2f', $added{$name}) : '-',
			count_text(median(@{ $wal{$name} })) ];
	}
	print_table(@rows);
	$bench->{bars}->judge('bulk: check and log add, us a row', '<=', 3.5, $added{direct});
	$bench->{bars}->judge('bulk: the same of an enforced table', '<=', 3.5, $added{enforced});
	$bench->{bars}->judge('bulk: 200 states of 5', '<=', 1.05, median(@{ $us{states} }) / median(@{ $us{direct} }));
	report_check($bench, $_, $pid, median(@{ $us{ $_->{name} } })) foreach Bench::Side::named(qw(direct enforced));
	return;
}

# The check by itself is all that the triggers do but the log.
sub report_check
{
	my ($bench, $side, $pid, $us) = @_;
	my %part = profile($bench, $side, $pid);

	if (!%part)
	{
		print "The check by itself: perf cannot tell.\n\n";
		return;
	}
	my $log   = $part{log} * $us;
	my $check = $part{check} * $us;

	printf "%s, by perf, us a row: the check %.2f, the log %.2f.\n\n", $side->{title}, $check, $log;
	$bench->{bars}->judge("bulk: the check alone, $side->{name}, us a row", '<=', 1, $check);
	return;
}

1;
