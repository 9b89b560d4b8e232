# The same calls through pg_net, where it is installed.

package Bench::PgNet;

use strict;
use warnings FATAL => 'all';
use Time::HiRes qw(time);

sub is_installed
{
	chomp(my $share = `pg_config --sharedir`);

	return -e "$share/extension/pg_net.control";
}

# Answers per second.  Its worker serves the database "postgres" by default.
sub measure
{
	my ($cluster, $url, $n, $body_bytes, $run) = @_;
	my $session = Bench::Session->new('postgres');

	$session->rows('CREATE EXTENSION IF NOT EXISTS pg_net');
	$session->rows('TRUNCATE net._http_response');
	my $started_at = time;
	$session->rows(
		qq{SELECT count(net.http_post('$url', jsonb_build_object('text', repeat('x', $body_bytes - 12), 'n', n)))
		   FROM generate_series(1, $n) AS n});
	while ($session->value('SELECT count(*) FROM net._http_response') < $n)
	{
		die "pg_net does not answer\n" if time - $started_at > 600;
		select undef, undef, undef, 0.05;
	}
	my $seconds  = time - $started_at;
	my $answered = $session->value(
		'SELECT count(*) FROM net._http_response WHERE status_code = 200');

	$session->close;
	print "pg_net: only $answered of $n calls were answered\n"
	  if $answered < $n;
	return $answered / $seconds;
}

1;
