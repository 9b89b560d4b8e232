# pg-boss.  It keeps finished jobs, for seven days.

package Bench::Peer::PgBoss;

use strict;
use warnings FATAL => 'all';
use parent 'Bench::Peer::Npm';

sub name         { return 'pgboss'; }
sub title        { return 'pg-boss'; }
sub package_name { return 'pg-boss'; }

# Its own statement, for as many as are asked for.
sub fill
{
	my ($self, $jobs) = @_;
	my $statement = $self->{captured}{enqueue_many}{text} =~
	  s/\$1/(SELECT json_agg(json_build_object('data', '$Bench::Peer::payload'::json)) FROM generate_series(1, $jobs))/r;

	$self->{session}->rows('TRUNCATE pgboss.job_common');
	$self->{session}->rows($statement) if $jobs > 0;
	return;
}

sub left
{
	my ($self) = @_;

	return $self->{session}
	  ->value("SELECT count(*) FROM pgboss.job WHERE state < 'completed'");
}

sub finished
{
	my ($self) = @_;

	return $self->{session}
	  ->value("SELECT count(*) FROM pgboss.job WHERE state = 'completed'");
}

1;
