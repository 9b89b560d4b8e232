# Ten thousand things go wrong, and are over: each is opened, escalated and cleared, and told of, once;
# a look changes a thousand at most, and what somebody is called for comes first.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use constant { MANY => 10_000, AT_ONCE => 1000 };

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->start;
sub query { return $node->safe_psql('postgres', $_[0]) }

# Whatever stands in the table is wrong, beside what really is.
query(q{
	CREATE EXTENSION pg_workflow;
	SELECT workflow.create_queue('mail', owner => 'ops', sla => '10 minutes', escalate_to => '{lead}');
	CREATE TABLE flood (n int, severity text);
	ALTER FUNCTION workflow._conditions_of_sequences() RENAME TO _true_conditions_of_sequences;
	CREATE FUNCTION workflow._conditions_of_sequences()
	RETURNS TABLE (kind text, subject text, severity text, owner text, detail text, hint text) LANGUAGE sql AS $$
	  SELECT 'sequence_headroom', 'sequence:' || n, f.severity, 'ops', 'it is so', NULL FROM public.flood AS f
	  UNION ALL SELECT * FROM workflow._true_conditions_of_sequences() $$});

my $listener = $node->background_psql('postgres');
$listener->query_safe('LISTEN workflow_alert');

my $began = query('SELECT clock_timestamp()');

# Looks, while the clock stands, until one has nothing left over; returns how many there were, and the most that one has changed.
sub looks
{
	my ($since, $changed) = @_;
	my ($n, $most, $before) = (0, 0, 0);
	my $clock = query("SELECT timestamptz '$began' + interval '$since'");

	while (1)
	{
		my $again = query(qq{SET pg_workflow.clock = '$clock';
			SELECT next_at <= workflow._now() FROM workflow._look_for_alerts()});
		my $now = query("SELECT count(*) FROM workflow.alert WHERE $changed");
		$n++;
		$most = $now - $before if $now - $before > $most;
		$before = $now;
		last if $again ne 't' || $n > 100;
	}
	return ($n, $most);
}

sub told
{
	my $out = $listener->query_safe('SELECT 1');
	my %n;
	$n{$1}++ while $out =~ /with payload ".*?"change": "(\w+)"/g;
	my %subjects = map { $_ => 1 } $out =~ /"subject": "([^"]+)"/g;
	return join ', ', (map { "$_ $n{$_}" } sort keys %n), 'of ' . keys %subjects;
}

# ------------------------------------------------------------------- opened
query(sprintf q{INSERT INTO flood SELECT n, 'ticket' FROM generate_series(1, %d) AS n; ANALYZE flood;
	SELECT workflow.enqueue('mail', '"late"', key => 'late')}, MANY);
my ($n, $most) = looks('11 minutes', "kind = 'sequence_headroom'");
is($n, MANY / AT_ONCE + 1, 'so many looks it takes');
cmp_ok($most, '<=', AT_ONCE, 'none opens more than a thousand');
is(query(sprintf q{SELECT count(*) FROM workflow.alerts WHERE cleared_at IS NULL}), MANY + 1, 'then all are open');
is(query(sprintf q{SELECT kind FROM workflow.alert WHERE severity = 'page' AND alert_id <= %d}, AT_ONCE), 'sla_breach', 'the first look had opened what somebody is called for');
is(told(), sprintf('opened %d, of %d', MANY + 1, MANY + 1), 'each was told of once');

# --------------------------------------------------------------- still open
is((looks('11 minutes 10 seconds', "last_seen_at > opened_at"))[0], 1, 'what has not changed is one look');
is(query('SELECT count(*) FROM workflow.alert WHERE last_seen_at > opened_at'), 0, 'which writes nothing');
is(told(), 'of 0', 'and tells nothing');
($n, $most) = looks('13 minutes', "last_seen_at > opened_at + interval '1 minute'");
cmp_ok($most, '<=', AT_ONCE + 1, 'each minute they are seen anew, a thousand in a look');
is(query(q{SELECT count(*) FROM workflow.alert WHERE last_seen_at < opened_at + interval '1 minute'}), 0, 'until all are');
is(told(), 'of 0', 'which is not told either');

# one more, and one that is over, in the midst of them
query(q{INSERT INTO flood VALUES (0, 'page'); SELECT count(*) FROM workflow.claim('mail', 'me', 1, '1 day')});
looks('13 minutes 20 seconds', 'true');
is(told(), 'cleared 1, opened 1, of 2', 'what changes is seen by the next look');

# ------------------------------------------------------------------- health
like(query(q{SELECT concat_ws(' ', ok, severity, detail) FROM workflow.health() WHERE "check" = 'alerts'}),
	qr/^f warning 10000 or more alerts are open, /, 'health() says that there are too many to read');

# ---------------------------------------------------------------- escalated
($n, $most) = looks('25 minutes', 'step = 1');
cmp_ok($most, '<=', AT_ONCE, 'a thousand are escalated in a look');
is(query(q{SELECT count(*) FROM workflow.alerts WHERE cleared_at IS NULL AND owner = 'lead' AND step = 1}), MANY + 1, 'until all are');
is(told(), sprintf('escalated %d, of %d', MANY + 1, MANY + 1), 'each was told of once');

# ------------------------------------------------------------------ cleared
query('TRUNCATE flood');
($n, $most) = looks('26 minutes', 'cleared_at IS NOT NULL');
cmp_ok($most, '<=', AT_ONCE + 1, 'a thousand are cleared in a look');
is(query('SELECT count(*) FROM workflow.alerts WHERE cleared_at IS NULL'), 0, 'until all are');
is(told(), sprintf('cleared %d, of %d', MANY + 1, MANY + 1), 'each was told of once');
is(query(q{SELECT ok, hint IS NULL FROM workflow.health() WHERE "check" = 'alerts'}), 't|t', 'and health() has nothing to say');

$listener->quit;
$node->stop;
done_testing();
