# graphile-worker.

package Bench::Peer::Graphile;

use strict;
use warnings FATAL => 'all';
use parent 'Bench::Peer::Npm';

sub name         { return 'graphile'; }
sub title        { return 'graphile-worker'; }
sub package_name { return 'graphile-worker'; }

sub fill
{
	my ($self, $jobs) = @_;

	$self->{session}->rows(
		qq{INSERT INTO graphile_worker._private_jobs (task_id, payload)
		   SELECT t.id, '$Bench::Peer::payload' FROM graphile_worker._private_tasks AS t, generate_series(1, $jobs)
		   WHERE t.identifier = 'bench'});
	return;
}

sub left
{
	my ($self) = @_;

	return $self->{session}
	  ->value('SELECT count(*) FROM graphile_worker._private_jobs');
}

1;
