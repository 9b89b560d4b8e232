# A psql that cannot connect may end before it has read its script.  IPC::Run then
# dies of the broken pipe, though the caller only wanted to know whether the server
# is up.  Here it is what psql says of a server that is down, and a poll goes on.
# tools/run_tap_test loads this into every test.

package BrokenPipe;

use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;

my $psql = \&PostgreSQL::Test::Cluster::psql;
my $poll_query_until = \&PostgreSQL::Test::Cluster::poll_query_until;
my $no_connection = 2;    # psql's exit status

sub is_broken_pipe { return $@ =~ /Broken pipe/ }

sub psql
{
	my ($node, $database, $sql, %params) = @_;
	my @answer = eval { wantarray ? $psql->(@_) : scalar $psql->(@_) };

	return wantarray ? @answer : $answer[0] if !$@;
	die $@ if !is_broken_pipe() || $params{on_error_die};
	return wantarray ? ($no_connection, '', 'Broken pipe') : $no_connection;
}

sub poll_query_until
{
	my @given = @_;

	foreach (1 .. 100)
	{
		my $answer = eval { $poll_query_until->(@given) };
		return $answer if !$@;
		die $@ if !is_broken_pipe();
	}
	return 0;
}

{
	no warnings 'redefine';
	*PostgreSQL::Test::Cluster::psql = \&psql;
	*PostgreSQL::Test::Cluster::poll_query_until = \&poll_query_until;
}

1;
