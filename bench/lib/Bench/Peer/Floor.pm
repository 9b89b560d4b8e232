# No queue: three calls of functions that do next to nothing, and the commits
# that any queue needs which loses nothing.  The first and the last store a row,
# and their commits wait for the disk; the second, the "claim", writes nothing.

package Bench::Peer::Floor;

use strict;
use warnings FATAL => 'all';
use parent 'Bench::Peer';
use Cwd qw(abs_path);

sub name  { return 'floor'; }
sub title { return 'three calls'; }

sub takes_part_in { return $_[1] eq 'single'; }

sub missing
{
	my ($self) = @_;

	return if -f "$self->{work}/floor.so";
	return "it could not be compiled, see $self->{work}/floor.log";
}

sub install
{
	my ($self, $database) = @_;
	my $session = Bench::Session->new($database);
	my $library = abs_path("$self->{work}/floor.so");

	$session->rows($_)
	  foreach 'CREATE TABLE stored (payload jsonb)',
	  'CREATE TABLE ended (payload jsonb)',
	  qq{CREATE FUNCTION bench_store(regclass, jsonb) RETURNS bigint LANGUAGE C AS '$library'},
	  qq{CREATE FUNCTION bench_nothing() RETURNS bigint LANGUAGE C AS '$library'};
	$session->close;
	return;
}

sub fill
{
	my ($self, $jobs) = @_;

	$self->{session}->rows(
		qq{INSERT INTO stored SELECT '$Bench::Peer::payload' FROM generate_series(1, $jobs)}
	);
	return;
}

sub enqueue  { return q{SELECT bench_store('stored', :payload);}; }
sub claim    { return 'SELECT bench_nothing() AS id \gset job_'; }
sub complete { return q{SELECT bench_store('ended', '{}');}; }

sub left
{
	my ($self) = @_;

	return $self->{session}->value(
		'SELECT (SELECT count(*) FROM stored) - (SELECT count(*) FROM ended)'
	);
}

sub finished
{
	my ($self) = @_;

	return $self->{session}->value('SELECT count(*) FROM ended');
}

1;
