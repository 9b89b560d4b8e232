# A blocked effect goes on when its cause has changed, also when that happened
# while the attempt was under way that was refused for it.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use FaultServer;
use PostgreSQL::Test::Utils;
use Test::More;
use WorkingNode;

my $faults = FaultServer->new;
my $node = start_working_node();

sub sql { return $node->safe_psql('postgres', $_[0]) }

sql("CREATE SERVER service FOREIGN DATA WRAPPER workflow_http OPTIONS (
	url '" . $faults->url . "', allow_private '127.0.0.0/8', allow_http 'true', dedup 'key')");

# refused, and mended later
sql(q{SELECT workflow.call('service', 'POST', '/401+ok/later', '{}', 'later')});
wait_for("state = 'blocked' FROM workflow.effects WHERE key = 'later'", 'a refusal blocks');
is($faults->requests('/401+ok/later'), 1, 'and is not repeated by time');
sql(q{ALTER SERVER service OPTIONS (ADD header_x_tenant 'acme')});
wait_for("state = 'succeeded' FROM workflow.effects WHERE key = 'later'",
	'it goes on when the endpoint has changed');

# mended while the refusal was on its way
sql(q{SELECT workflow.call('service', 'POST', '/late=1,401+ok/meanwhile', '{}', 'meanwhile')});
$node->poll_query_until('postgres',
	q{SELECT state = 'sending' FROM workflow.effects WHERE key = 'meanwhile'});
sql(q{ALTER SERVER service OPTIONS (SET header_x_tenant 'other')});
wait_for("state = 'succeeded' FROM workflow.effects WHERE key = 'meanwhile'",
	'what was refused for options that have changed since goes on');
is($faults->requests('/late=1,401+ok/meanwhile'), 2, 'with a second attempt');

$node->stop;
$faults->stop;
done_testing();
