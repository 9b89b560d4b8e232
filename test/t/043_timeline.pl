# What a timeline says of calls: each visit's own, and only of what was sent that
# it was sent.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StandIn;
use Test::More;

my $stand_in = StandIn->new(open => 1);
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->append_conf('postgresql.conf', 'pg_workflow.workers = on');
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION pg_workflow');

sub sql { return $node->safe_psql('postgres', $_[0]) }

sub wait_for
{
	my ($condition, $name) = @_;
	ok($node->poll_query_until('postgres', "SELECT $condition"), $name)
	  or diag(sql('SELECT effect_id, key, state, attempts, reason FROM workflow.effects; TABLE workflow.job'));
	return;
}

sub timeline
{
	my ($item) = @_;
	return sql("SELECT concat_ws(' ', seq, what, CASE what WHEN 'attempt' THEN detail END)
		FROM workflow.timeline('$item') WHERE what ~ 'effect|attempt'");
}

# refused, replayed and done: the second visit takes nothing from the first
my %to_people = (state => { on => { ok => 'DONE', error => 'STUCK' } });
$stand_in->define($node, 'again', "dedup 'key'", %to_people);
$stand_in->misbehave(path => '/accounts/A-1', times => 1, status => 400);
$stand_in->submit($node, 'again', 1);
wait_for("state = 'STUCK' FROM workflow.items WHERE key = 'A-1'", 'a call is refused');
my $first = timeline('again:A-1');
is($first, <<'END' =~ s/\n\z//r, 'which the timeline tells');
1 effect reserved
1 effect sent
1 attempt http attempt 1: dead, validation
1 effect failed
END
sql("SELECT workflow.replay('again:A-1', 'mended')");
wait_for("outcome = 'success' FROM workflow.items WHERE key = 'A-1'", 'replayed, it goes through');
is(timeline('again:A-1'), $first . "\n" . <<'END' =~ s/\n\z//r, 'and the timeline tells both');
4 effect reserved
4 effect sent
4 attempt http attempt 2: ok
4 effect succeeded
END
is(sql("SELECT reason FROM workflow.timeline('again:A-1') WHERE what = 'effect failed'") ne '',
	1, 'with the reason of the first');

# what the address guard refuses was not sent, until it lets it pass
$stand_in->define($node, 'inside', "dedup 'key'");
sql("ALTER SERVER inside OPTIONS (DROP allow_private)");
$stand_in->submit($node, 'inside', 2);
wait_for("state = 'blocked' FROM workflow.effects WHERE key = 'A-2:inside'", 'an address is refused');
is(timeline('inside:A-2'), "1 effect reserved\n1 attempt http attempt 1: blocked, unauthorized",
	'nothing was sent');
is(sql("SELECT e.attempts, i.actions_attempted, f.first_sent_at IS NULL
		FROM workflow.effects AS e JOIN workflow.items AS i USING (item_id) JOIN workflow.effect AS f USING (effect_id)
		WHERE e.key = 'A-2:inside'"),
	'0|0|t', 'and nothing counts as sent');
sql("ALTER SERVER inside OPTIONS (ADD allow_private '127.0.0.0/8')");
wait_for("outcome = 'success' FROM workflow.items WHERE key = 'A-2'", 'allowed, it goes through');
is(sql("SELECT e.attempts, i.actions_attempted FROM workflow.effects AS e JOIN workflow.items AS i USING (item_id)
		WHERE e.key = 'A-2:inside'"),
	'1|1', 'and was sent once');

# an address where nobody listens was not reached either; the send was begun
$stand_in->define($node, 'nobody', "dedup 'none', owner 'tester'");
sql("ALTER SERVER nobody OPTIONS (SET url 'http://127.0.0.1:1')");
$stand_in->submit($node, 'nobody', 3);
wait_for("state = 'dead' FROM workflow.effects WHERE key = 'A-3:nobody'", 'nobody listens');
is(sql("SELECT e.attempts, i.actions_attempted FROM workflow.effects AS e JOIN workflow.items AS i USING (item_id)
		WHERE e.key = 'A-3:nobody'"),
	'5|0', 'five sends were begun, no action was attempted');

$node->stop;
$stand_in->stop;
done_testing();
