# Servers for whose processes the look-up of some names never ends.
#
#   HangingNames::start($node);      x.hang.test hangs, x.here.test is 127.0.0.1

package HangingNames;

use strict;
use warnings FATAL => 'all';
use Cwd qw(abs_path);
use File::Basename;
use PostgreSQL::Test::Utils;

my $root = abs_path(dirname(__FILE__) . '/../..');
my $library;

sub start
{
	my ($node) = @_;

	if (!$library)
	{
		$library = PostgreSQL::Test::Utils::tempdir() . '/hanging_names.so';
		PostgreSQL::Test::Utils::system_or_bail($ENV{CC} // 'cc', '-shared', '-fPIC', '-o', $library,
			"$root/test/server/hanging_names.c");
	}
	local $ENV{LD_PRELOAD} = $library;
	$node->start;
	return;
}

1;
