# Workers and sessions die by kill -9, and the server by an immediate stop, at
# every labelled point of an effect's life: nothing is lost, nothing is done
# twice, and a person is asked only about what nobody can know.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use CrashMatrix;
use Test::More;

# the WAL writer comes rarely: what is flushed soon is flushed by the commit
my $matrix = CrashMatrix->new(conf => "synchronous_commit = off\nwal_writer_delay = 10s");
$matrix->workers(qw(kill immediate));
$matrix->sessions(qw(kill));
$matrix->finish;
done_testing();
