# Servers whose processes look some names up as the test wants it.
#
#   TestNames::start($node);          x.hang.test hangs, x.here.test is 127.0.0.1
#   TestNames::tell('x', '127.0.0.2 127.0.0.1');    what x.told.test is from now on

package TestNames;

use strict;
use warnings FATAL => 'all';
use Cwd qw(abs_path);
use File::Basename;
use PostgreSQL::Test::Utils;

my $root = abs_path(dirname(__FILE__) . '/../..');
my $dir;

sub prepare
{
	return if $dir;
	$dir = PostgreSQL::Test::Utils::tempdir();
	PostgreSQL::Test::Utils::system_or_bail($ENV{CC} // 'cc', '-shared', '-fPIC', '-o', "$dir/test_names.so",
		"$root/test/server/test_names.c");
	return;
}

sub start
{
	my ($node) = @_;

	prepare();
	local $ENV{LD_PRELOAD} = "$dir/test_names.so";
	local $ENV{TEST_NAMES} = $dir;
	$node->start;
	return;
}

sub tell
{
	my ($name, $addresses) = @_;

	prepare();
	unlink "$dir/$name";
	append_to_file("$dir/$name", "$addresses\n");
	return;
}

1;
