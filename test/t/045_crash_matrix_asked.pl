# Workers and sessions are cancelled and terminated, and databases dropped, at
# every labelled point of an effect's life: see 044_crash_matrix.pl.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use CrashMatrix;
use Test::More;

my $matrix = CrashMatrix->new;
$matrix->workers(qw(cancel terminate drop));
$matrix->sessions(qw(cancel terminate));
$matrix->finish;
done_testing();
