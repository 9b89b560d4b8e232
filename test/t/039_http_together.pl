# Calls are begun, recorded and ended together; one that cannot be costs itself
# only.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use StandIn;
use Test::More;
use WorkingNode;

my $stand_in = StandIn->new(open => 1);
my $node     = start_working_node();

sub sql
{
	return $node->safe_psql('postgres', @_);
}

# Makes so many calls, which all leave together once the code given has run.
sub call_and
{
	my ($endpoint, $label, $n, $code) = @_;
	sql("SELECT workflow.pause_queue('calls', 'not yet')");
	sql(qq{SELECT count(workflow.call('$endpoint', 'PATCH', '/accounts/A-$label' || n, '{"industry": "x"}', '$label:' || n))
		   FROM generate_series(1, $n) AS n});
	$code->();
	sql("SELECT workflow.resume_queue('calls')");
	return;
}

# A trigger of the user that raises for one key when a column takes a value.
sub refuse
{
	my ($table, $event, $condition) = @_;
	sql(qq{
		CREATE OR REPLACE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS
		  'BEGIN RAISE EXCEPTION ''not on my watch''; END';
		CREATE TRIGGER refuse BEFORE $event ON workflow.$table
		FOR EACH ROW WHEN ($condition) EXECUTE FUNCTION public.refuse()});
	return;
}

sub is_once
{
	my ($name, $label, $n, @but) = @_;
	my $executions = $stand_in->executions;
	my %but        = map { $_ => 1 } @but;
	is_deeply(
		[   grep { ($executions->{"A-$label$_"} // 0) != ($but{$_} ? 0 : 1) }
			  1 .. $n ],
		[],
		$name);
	return;
}

sql(qq{
	CREATE SERVER crm FOREIGN DATA WRAPPER workflow_http OPTIONS (url '$stand_in->{url}',
	  dedup 'none', owner 'boss', max_in_flight '64', allow_http 'true', allow_private '127.0.0.0/8')}
);
sql(q{SELECT workflow.call('crm', 'PATCH', '/accounts/A-first', '{"industry": "x"}', 'first')}
);
wait_for("state = 'succeeded' FROM workflow.effects WHERE key = 'first'",
	'a call alone');

# a call that is alone waits for no other ones: 20 ms would be the time for that
foreach my $n (1 .. 20)
{
	sql(qq{SELECT workflow.call('crm', 'PATCH', '/accounts/A-lonely$n', '{"industry": "x"}', 'lonely:$n')}
	);
	$node->poll_query_until('postgres',
		"SELECT state = 'succeeded' FROM workflow.effects WHERE key = 'lonely:$n'"
	) or die "call $n did not succeed";
}
cmp_ok(
	sql(q{SELECT min(extract(epoch FROM a.finished_at - a.started_at) * 1000 - (a.detail ->> 'ms')::numeric)
		  FROM workflow.attempt AS a JOIN workflow.effect AS e USING (effect_id) WHERE e.key LIKE 'lonely:%'}
	),
	'<', 20,
	'the quickest of twenty is on record within 20 ms of its answer');

# how many rows one statement took: of effects, attempts and jobs
sql(q{
	CREATE TABLE public.taken (what text, n bigint);
	CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS
	  'BEGIN INSERT INTO public.taken SELECT tg_argv[0], count(*) FROM these; RETURN NULL; END';
	CREATE TRIGGER note AFTER UPDATE ON workflow.effect REFERENCING NEW TABLE AS these
	  FOR EACH STATEMENT EXECUTE FUNCTION public.note('effect updated');
	CREATE TRIGGER note AFTER INSERT ON workflow.attempt REFERENCING NEW TABLE AS these
	  FOR EACH STATEMENT EXECUTE FUNCTION public.note('attempt written');
	CREATE TRIGGER note AFTER UPDATE ON workflow.job REFERENCING NEW TABLE AS these
	  FOR EACH STATEMENT EXECUTE FUNCTION public.note('job claimed');
	CREATE TRIGGER note_end AFTER DELETE ON workflow.job REFERENCING OLD TABLE AS these
	  FOR EACH STATEMENT EXECUTE FUNCTION public.note('job ended')});
call_and('crm', '0', 40, sub { });
wait_for(
	"count(*) = 40 FROM workflow.effects WHERE state = 'succeeded' AND key LIKE '0:%'",
	'forty calls');
wait_for(
	"count(*) = 0 FROM workflow.job AS j JOIN workflow.effect AS e USING (effect_id) WHERE e.key LIKE '0:%'",
	'their jobs are done with');
is( sql(q{SELECT string_agg(what, ', ' ORDER BY what) FROM
		  (SELECT what FROM public.taken GROUP BY what HAVING max(n) >= 4) AS many}),
	'attempt written, effect updated, job claimed, job ended',
	'each step took many at once');
sql(q{
	DROP TRIGGER note ON workflow.effect;
	DROP TRIGGER note ON workflow.attempt;
	DROP TRIGGER note ON workflow.job;
	DROP TRIGGER note_end ON workflow.job});

# one of many may not begin
call_and(
	'crm', '1', 40,
	sub {
		refuse('effect', 'UPDATE',
			q{new.state = 'sending' AND old.key = '1:7'});
	});
wait_for(
	"count(*) = 39 FROM workflow.effects WHERE state = 'succeeded' AND key LIKE '1:%'",
	'all calls begin but the one that is refused');
wait_for(
	"error_message LIKE '%not on my watch%' FROM workflow.job AS j JOIN workflow.effect AS e USING (effect_id) WHERE e.key = '1:7'",
	'its job knows why');
is_once('it was not sent, and the others once', '1', 40, 7);
sql('DROP TRIGGER refuse ON workflow.effect');

# one of many cannot be recorded in one piece with the others
call_and(
	'crm', '2', 40,
	sub {
		refuse('effect', 'UPDATE',
			q{new.state = 'succeeded' AND old.key = '2:7' AND new.response ->> 'status' IS NOT NULL}
		);
	});
wait_for(
	"count(*) = 39 FROM workflow.effects WHERE state = 'succeeded' AND key LIKE '2:%'",
	'all results are on record but the one that is refused');
is(sql(q{SELECT state FROM workflow.effects WHERE key = '2:7'}),
	'sending', 'the evidence of that one is kept in the worker');
sql('DROP TRIGGER refuse ON workflow.effect');
wait_for(
	"count(*) = 40 FROM workflow.effects WHERE state = 'succeeded' AND attempts = 1 AND key LIKE '2:%'",
	'and recorded when it is let');
is_once('each was sent once', '2', 40);

# the job of one of many cannot be deleted
call_and(
	'crm', '3', 40,
	sub {
		refuse(
			'job', 'DELETE',
			"old.effect_id = (0 || '"
			  . sql(
				q{SELECT effect_id FROM workflow.effects WHERE key = '3:7'})
			  . "')::int8");
	});
wait_for(
	"count(*) = 40 FROM workflow.effects WHERE state = 'succeeded' AND key LIKE '3:%'",
	'all results are on record');
wait_for(
	"count(*) = 1 FROM workflow.job AS j JOIN workflow.effect AS e USING (effect_id) WHERE e.key LIKE '3:%'",
	'the jobs of the others are done with');
is( sql(q{SELECT waiting_on, error_message LIKE '%not on my watch%' FROM workflow.job WHERE effect_id =
         (SELECT effect_id FROM workflow.effect WHERE key = '3:7')}),
	'blocked|t',
	'that of this one waits and says why');
sql('DROP TRIGGER refuse ON workflow.job');

is_once('each was sent once', '3', 40);

# the same at the commit, which records what the calls came to as well
call_and(
	'crm', '5', 40,
	sub {
		my $effect =
		  sql(q{SELECT effect_id FROM workflow.effects WHERE key = '5:7'});
		sql(qq{
			CREATE CONSTRAINT TRIGGER refuse AFTER DELETE ON workflow.job DEFERRABLE INITIALLY DEFERRED
			FOR EACH ROW WHEN (old.effect_id = $effect) EXECUTE FUNCTION public.refuse()});
	});
wait_for(
	"count(*) = 40 FROM workflow.effects WHERE state = 'succeeded' AND attempts = 1 AND key LIKE '5:%'",
	'all results are on record');
wait_for(
	"count(*) = 1 AND min(waiting_on) = 'blocked' FROM workflow.job AS j JOIN workflow.effect AS e USING (effect_id) WHERE e.key LIKE '5:%'",
	'one job waits, the others are done with');
sql('DROP TRIGGER refuse ON workflow.job');
is_once('each was sent once', '5', 40);

# what is to begin in the transaction that records others may not: that those are
# recorded is seen in that one only
sql(qq{
	CREATE SERVER narrow FOREIGN DATA WRAPPER workflow_http OPTIONS (url '$stand_in->{url}',
	  dedup 'none', owner 'boss', max_in_flight '4', allow_http 'true', allow_private '127.0.0.0/8');
	CREATE SEQUENCE public.refusals;
	CREATE FUNCTION public.refuse_next() RETURNS trigger LANGUAGE plpgsql AS \$\$
	BEGIN
	  IF EXISTS (SELECT FROM workflow.effect WHERE key LIKE '6:%' AND state = 'succeeded'
	             AND xmin::text = pg_current_xact_id()::text)
	     AND nextval('public.refusals') <= 2 THEN
	    RAISE EXCEPTION 'not on my watch';
	  END IF;
	  RETURN new;
	END \$\$;
	CREATE TRIGGER refuse BEFORE UPDATE ON workflow.job
	FOR EACH ROW WHEN (new.status = 'running') EXECUTE FUNCTION public.refuse_next()});
call_and('narrow', '6', 400, sub { });
wait_for(
	"count(*) = 400 FROM workflow.effects WHERE state = 'succeeded' AND attempts = 1 AND key LIKE '6:%'",
	'all results are on record all the same');
cmp_ok(sql('SELECT last_value FROM public.refusals'),
	'>=', 2, 'something was refused meanwhile');
sql('DROP TRIGGER refuse ON workflow.job');
is_once('each was sent once', '6', 400);

# an item that wants the effect of a call that stands alone
$stand_in->define($node, 'crm_item', q{dedup 'key'});
sql(q{SELECT workflow.pause_queue('calls_of_test', 'not yet')});
$stand_in->submit($node, 'crm_item', 1001);
call_and(
	'crm', '4', 40,
	sub {
		sql(q{SELECT workflow.call('crm_item', 'PATCH', '/accounts/A-1001', '{"industry": "crm_item"}', 'A-1001:crm_item')}
		);
		is( sql(q{SELECT count(*) FROM workflow.job AS j JOIN workflow.effect AS e USING (effect_id) WHERE e.key = 'A-1001:crm_item'}
			),
			'2',
			'two jobs have one effect');
	});
wait_for(
	"count(*) = 41 FROM workflow.effects WHERE state = 'succeeded' AND (key LIKE '4:%' OR key = 'A-1001:crm_item')",
	'all results are on record');
wait_for(
	"outcome = 'success' FROM workflow.items WHERE key = 'A-1001'",
	'the item follows at once, though its own queue is paused');
wait_for(
	"count(*) = 0 FROM workflow.job AS j JOIN workflow.effect AS e USING (effect_id) WHERE e.key LIKE '4:%' OR e.key = 'A-1001:crm_item'",
	'no job is left');
is($stand_in->executions->{'A-1001'}, 1, 'it was sent once');

$node->stop;
done_testing();
