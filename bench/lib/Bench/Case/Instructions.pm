# Instructions of the server for a move, as valgrind counts them on a single-user
# server, which no neighbour on the machine changes.  A figure is the difference of
# two runs, one with more moves than the other: what a session costs is not in it.

package Bench::Case::Instructions;

use strict;
use warnings FATAL => 'all';
use Bench::Session;
use Bench::Side;
use Bench::Table;

my $count = 1000;    # rows of a statement in bulk

# So many statements in the two runs, and so many moves in each.
my %kinds = (
	lone => { runs => [ 100, 400 ], moves => 1 },
	bulk => { runs => [ 4,   9 ],   moves => $count });

# What the single-user server reads: a statement a line.
sub script
{
	my ($kind, $side, $runs) = @_;
	my $first = Bench::Side::first($side);
	my @lines;

	if ($kind eq 'bulk')
	{
		@lines = map { Bench::Side::bulk($side, $count, $_) } 0 .. $runs - 1;
	}
	else
	{
		my $change = $side->{call} // Bench::Side::change($side, Bench::Side::key($side) . ' = :id ');
		my $ids    = 7919;    # a prime: each time another row, far from the last one

		$change =~ s/:id /\$1/;
		@lines = ("PREPARE move(bigint) AS $change");
		push @lines, sprintf('EXECUTE move(%d)', $first + $_ * $ids % $Bench::Side::rows) foreach 1 .. $runs;
	}
	return join '', map { "$_;\n" } map { s/\n/ /gr } @lines;
}

# Instructions of one run, on a copy of the server as it was stopped.
sub counted
{
	my ($bench, $kind, $side, $runs) = @_;
	my $cluster = $bench->{cluster};
	my $single  = "$bench->{work}/single";

	open my $file, '>', "$single.sql" or die "$single.sql: $!\n";
	print $file script($kind, $side, $runs);
	close $file;
	$cluster->run("rm -rf $single && cp -a $cluster->{directory}/data $single");
	system( "valgrind --tool=callgrind --callgrind-out-file=/dev/null postgres --single -D $single"
		  . " -c shared_buffers=256MB -c fsync=off bench <$single.sql >$single.out 2>&1") == 0
	  or die "valgrind failed; see $single.out\n";

	my $out = Bench::Cluster::slurp("$single.out");
	die "an error in $single.out\n" if $out =~ /ERROR:/;
	my ($instructions) = $out =~ /Collected : (\d+)/ or die "no count in $single.out\n";

	$cluster->run("rm -rf $single");
	return $instructions;
}

sub each_move
{
	my ($bench, $kind, $side) = @_;
	my ($less, $more) = @{ $kinds{$kind}{runs} };

	return (counted($bench, $kind, $side, $more) - counted($bench, $kind, $side, $less)) /
	  (($more - $less) * $kinds{$kind}{moves});
}

sub lone
{
	my ($bench) = @_;
	my @rows = ([ 'one move, one commit', 'instructions', 'of bare' ]);
	my $bare;

	foreach my $side (Bench::Side::named(qw(bare triggers direct send enforced)))
	{
		my $n = each_move($bench, 'lone', $side);

		$bare //= $n;
		push @rows, [ $side->{title}, count_text($n), sprintf('%.2f', $n / $bare) ];
	}
	print_table(@rows);
	return;
}

sub bulk
{
	my ($bench) = @_;
	my @rows = ([ 'a row of a thousand', 'instructions', 'added', 'of two triggers' ]);
	my %base = (triggers => 'plain', enforced => 'plain', direct => 'plain_item');
	my (%n, $triggers);

	foreach my $side (Bench::Side::named(qw(plain triggers enforced plain_item direct)))
	{
		my $name = $side->{name};

		$n{$name} = each_move($bench, 'bulk', $side);
		my $added = $base{$name} ? $n{$name} - $n{ $base{$name} } : undef;

		$triggers = $added if $name eq 'triggers';
		push @rows,
		  [
			$side->{title}, count_text($n{$name}),
			defined $added ? (count_text($added), sprintf('%.2f', $added / $triggers)) : ('-', '-') ];
	}
	print_table(@rows);
	$bench->{bars}->judge('bulk: instructions added, of those of two triggers',
		'<=', 0.46, ($n{direct} - $n{plain_item}) / $triggers);
	return;
}

sub run
{
	my ($bench) = @_;
	my $cluster = $bench->{cluster};

	print "## Instructions\n\n";
	if (system('valgrind --version >/dev/null 2>&1') != 0)
	{
		print "There is no valgrind.\n\n";
		return;
	}
	$bench->{session}->rows('CHECKPOINT');
	$bench->{session}->close;
	$cluster->stop;
	lone($bench);
	bulk($bench);
	$cluster->restart_with(shared_buffers => '1GB', max_connections => 100);
	$bench->{session} = Bench::Session->new('bench');
	$bench->{session}->value('SELECT 1');    # it is there
	return;
}

1;
