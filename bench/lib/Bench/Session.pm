# One psql that stays: statements without the cost of a connection for each.
#
#   my $session = Bench::Session->new('bench');
#   my $n = $session->value('SELECT count(*) FROM t');

package Bench::Session;

use strict;
use warnings FATAL => 'all';
use IPC::Open2;

my $end = '-- the end of an answer --';

# Connects as the environment (PGHOST, PGPORT, PGUSER) says.
sub new
{
	my ($class, $database) = @_;
	my $pid =
	  open2(my $out, my $in, 'psql', '-X', '-q', '-A', '-t', '-F', "\t",
		'-v', 'ON_ERROR_STOP=1', '-d', $database);

	return bless { pid => $pid, in => $in, out => $out }, $class;
}

# The rows of the last statement, each a reference to its columns.
sub rows
{
	my ($self, $sql) = @_;

	$self->ask($sql);
	return $self->answer;
}

# The same in two steps, for a statement that waits.
sub ask
{
	my ($self, $sql) = @_;

	$self->{asked} = $sql;
	print { $self->{in} } "$sql\n;\n\\echo $end\n";
	$self->{in}->flush;
	return;
}

sub answer
{
	my ($self) = @_;
	my @rows;

	while (defined(my $line = readline $self->{out}))
	{
		chomp $line;
		return @rows if $line eq $end;
		push @rows, [ split /\t/, $line, -1 ];
	}
	die "psql ended; the statement was: $self->{asked}\n";
}

# Asks a question of yes or no until the answer is yes.
sub wait_until
{
	my ($self, $what, $sql) = @_;
	my $until = time + 60;

	while ($self->value($sql) ne 't')
	{
		die "it did not come about: $what\n" if time > $until;
		select undef, undef, undef, 0.01;
	}
	return;
}

sub row
{
	my ($self, $sql) = @_;
	my @rows = $self->rows($sql);

	return @rows > 0 ? @{ $rows[0] } : ();
}

sub value
{
	my ($self, $sql) = @_;

	return ($self->row($sql))[0];
}

sub close
{
	my ($self) = @_;

	CORE::close $self->{in};
	waitpid $self->{pid}, 0;
	return;
}

1;
