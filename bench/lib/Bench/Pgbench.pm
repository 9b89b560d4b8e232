# Clients that run a script again and again.
#
#   my $run = Bench::Pgbench->start(script => $text, clients => 8, seconds => 4,
#       variables => {payload => '...'}, directory => "$work/pgbench");
#   my $result = $run->finish;     # {transactions, rate}
#   my @times = $run->times;       # with log => 1: [client, number, ms, epoch]
#
# Dies when a client failed: a script that asks for a row with \gset, and gets
# none, fails.

package Bench::Pgbench;

use strict;
use warnings FATAL => 'all';
use Bench::Cluster;
use File::Path qw(make_path);

my $started = 0;

sub start
{
	my ($class, %option) = @_;
	my $number = ++$started;
	my $self   = bless {
		base  => "$option{directory}/$number",
		owner => $$,
		%option }, $class;

	make_path($option{directory});
	unlink glob "$self->{base}.*";    # of an earlier run
	write_file("$self->{base}.sql", $option{script});
	$self->{pid} = fork // die "cannot fork: $!\n";
	if ($self->{pid} == 0)
	{
		open STDIN,  '<',  '/dev/null';
		open STDOUT, '>',  "$self->{base}.out";
		open STDERR, '>&', \*STDOUT;
		$ENV{PGOPTIONS} = $option{settings} if $option{settings};
		exec 'pgbench', $self->arguments or die "pgbench: $!\n";
	}
	return $self;
}

sub arguments
{
	my ($self) = @_;
	my %value = %{ $self->{variables} // {} };

	return (
		'-n', '-M', 'prepared',
		'-c' => $self->{clients},
		'-j' => $self->{clients} > 1 ? 2 : 1,
		defined $self->{seconds}
		? ('-T' => $self->{seconds})
		: ('-t' => $self->{transactions}),
		defined $self->{per_second} ? ('-R' => $self->{per_second}) : (),
		$self->{log} ? ('-l', "--log-prefix=$self->{base}.log")     : (),
		(map { ('-D' => "$_=$value{$_}") } sort keys %value),
		'-f' => "$self->{base}.sql",
		$self->{database} // 'bench');
}

sub write_file
{
	my ($name, $text) = @_;

	open my $file, '>', $name or die "$name: $!\n";
	print $file $text;
	close $file;
	return;
}

# Waits for its end.
sub finish
{
	my ($self) = @_;

	waitpid $self->{pid}, 0;
	my $status = $?;
	$self->{pid} = 0;
	my $output = Bench::Cluster::slurp("$self->{base}.out");
	my ($transactions) =
	  $output =~ /^number of transactions actually processed: (\d+)/m;
	my ($rate) = $output =~ /^tps = ([\d.]+)/m;

	die "pgbench failed: $output\nthe script was:\n$self->{script}\n"
	  if $status != 0 || !defined $rate || $output =~ /aborted/;
	return { transactions => $transactions, rate => $rate };
}

# Ends it before its time; it is no failure then.
sub stop
{
	my ($self) = @_;

	return if !$self->{pid};
	kill 'TERM', $self->{pid};
	waitpid $self->{pid}, 0;
	$self->{pid} = 0;
	return;
}

# Every transaction as [client, its number there, milliseconds without what it
# waited for its turn, time of its end], in no order.
sub times
{
	my ($self) = @_;
	my @times;

	foreach my $name (glob "$self->{base}.log.*")
	{
		open my $file, '<', $name or die "$name: $!\n";
		while (my $line = readline $file)
		{
			chomp $line;
			my ($client, $number, $us, undef, $epoch, $epoch_us, $lag) =
			  split ' ', $line;

			next if $us !~ /^\d+$/;    # skipped
			push @times,
			  [ $client,                    $number,
				($us - ($lag // 0)) / 1000, $epoch + $epoch_us / 1e6 ];
		}
		close $file;
		unlink $name;
	}
	return @times;
}

sub DESTROY
{
	my ($self) = @_;

	local $? = 0;
	$self->stop if $self->{owner} == $$;
	return;
}

1;
