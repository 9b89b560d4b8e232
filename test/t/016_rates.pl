# What has been charged to rate limits, of a queue and of a tenant, is still
# charged after a crash.  Charges leave nothing behind, whatever snapshots are held,
# and what has rested is forgotten.

use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]) }
sql(q{
	CREATE EXTENSION pg_workflow;
	SELECT workflow.create_queue('rated', 'tester', '1 hour', '{boss}', rate_limit => '{"count": 10, "per": "1 day"}');
	SELECT workflow.create_queue('fair', 'tester', '1 hour', '{boss}', fair => true,
		rate_limit => '{"count": 10, "per": "1 day", "per_tenant": true}');
	SELECT workflow.enqueue('rated', '1', units => 6), workflow.enqueue('rated', '2', units => 6);
	SELECT workflow.enqueue('fair', to_jsonb(t || n), tenant => t, units => 6)
	FROM unnest('{ann,bob,cat}'::text[]) AS t, generate_series(1, 2) AS n});

sub claim
{
	my ($queue, $batch) = @_;
	return sql("SELECT string_agg(payload #>> '{}', ' ') FROM workflow.claim('$queue', 'w', $batch, '1 hour')");
}

is(claim('rated', 10), '1', 'what fits into the limit of a queue');
is(claim('fair', 2), 'ann1 bob1', 'whose turn it is');
$node->stop('immediate');
$node->start;
is(claim('rated', 10), '', 'the limit of the queue is spent after a crash');
is(claim('fair', 10), 'cat1', 'who is next is next, and the limits of the others are spent');


# ------------------------------------------------- charged where it stands

my $held = $node->background_psql('postgres');
$held->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM workflow.rate');
sql(q{
	SELECT workflow.create_queue('busy', 'tester', '1 hour', '{boss}', rate_limit => '{"count": 1000, "per": "1 day"}');
	SELECT workflow.create_queue('each', 'tester', '1 hour', '{boss}', fair => true,
		rate_limit => '{"count": 1000, "per": "1 day", "per_tenant": true}');
	SELECT workflow.enqueue_many('busy', array_fill('1'::jsonb, ARRAY[400]));
	SELECT workflow.enqueue_many('each', array_fill('1'::jsonb, ARRAY[600]), tenants => array_fill('ann'::text, ARRAY[300]) || array_fill('bob'::text, ARRAY[300]))});
my $rows = q{SELECT string_agg(concat_ws(' ', name, tenant, ctid), ', ' ORDER BY name, tenant) FROM workflow.rate WHERE name IN ('busy', 'each')};
my $charged = q{SELECT string_agg(round(extract(epoch FROM next_at - now()) / 86.4)::text, ' ' ORDER BY name, tenant) FROM workflow.rate WHERE name IN ('busy', 'each')};
my $claims = q{
	DO $$
	BEGIN
	  FOR i IN 1..100 LOOP
		PERFORM * FROM workflow.claim('busy', 'w', 1, '1 hour');
		PERFORM * FROM workflow.claim('each', 'w', 2, '1 hour');
		COMMIT;
	  END LOOP;
	END $$};
sql($claims);
my $before = sql($rows);
is(sql($charged), '100 100 100', 'each claim is charged');
sql("CHECKPOINT");
sql($claims);
is(sql($rows), $before, 'no charge makes a new version of a row');
is(sql("SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'rate'"), '0', 'nor updates one');
$held->quit;
$node->stop('immediate');
$node->start;
is(sql($charged), '200 200 200', 'which a crash does not undo');
is(sql('SELECT count(*) FROM workflow.rate'), '7', 'a limit has one row');

# ---------------------------------------------------- a row half inserted

# An index that is filled before the primary key fails, or waits, for one queue.
sql(q{
	CREATE TABLE trouble (what text);
	INSERT INTO trouble VALUES ('fail');
	CREATE FUNCTION fill(name text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$
	BEGIN
	  IF name <> 'half' THEN
		RETURN name;
	  ELSIF EXISTS (SELECT FROM public.trouble WHERE what = 'fail') THEN
		RAISE 'no';
	  END IF;
	  PERFORM pg_catalog.pg_advisory_xact_lock(1);
	  RETURN name;
	END $$;
	CREATE INDEX filled ON workflow.rate (fill(name));
	REINDEX INDEX CONCURRENTLY workflow.rate_pkey;
	SELECT workflow.create_queue('half', 'tester', '1 hour', '{boss}', rate_limit => '{"count": 10, "per": "1 day"}');
	SELECT workflow.enqueue_many('half', array_fill('1'::jsonb, ARRAY[20]))});
my ($ret, $out, $err) = $node->psql('postgres', q{SELECT count(*) FROM workflow.claim('half', 'w', 1, '1 hour')});
like($err, qr/ERROR:  no/, 'a row cannot be entered into all indexes');
sql(q{UPDATE trouble SET what = 'wait'});
my $holder = $node->background_psql('postgres');
$holder->query_safe('SELECT pg_advisory_lock(1)');
my $claimer = $node->background_psql('postgres', on_error_stop => 0);
$claimer->query_until(qr/begun/, qq{\\echo begun\nSELECT count(*) FROM workflow.claim('half', 'w', 1, '1 hour');\n});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND NOT granted}),
	'another one is not yet in all');
sql('UPDATE trouble SET what = what');
$node->stop('immediate');
eval { $_->quit } foreach ($holder, $claimer);
$node->start;
sql('DROP INDEX workflow.filled');
is(claim('half', 6), '1 1 1 1 1 1', 'neither has been charged');
is(claim('half', 6), '1 1 1 1', 'the next one is');
is(sql(q{SELECT count(*) FROM workflow.rate WHERE name = 'half'}), '1', 'and has one row');
sql('REINDEX TABLE workflow.rate');

# ------------------------------------------------------ columns of somebody

sql(q{ALTER TABLE workflow.rate ADD COLUMN note text, ADD COLUMN gone text;
	ALTER TABLE workflow.rate DROP COLUMN gone;
	SELECT workflow.create_queue('noted', 'tester', '1 hour', '{boss}', rate_limit => '{"count": 3, "per": "1 day"}');
	SELECT workflow.enqueue_many('noted', array_fill('1'::jsonb, ARRAY[9]))});
is(claim('noted', 2), '1 1', 'somebody may have added a column');
is(claim('noted', 2), '1', 'and what is charged is found');
is(sql(q{SELECT note IS NULL FROM workflow.rate WHERE name = 'noted'}), 't', 'the column is empty');
sql(q{ALTER TABLE workflow.rate DROP COLUMN note});

# ------------------------------------------------------------ and forgotten

sql(q{UPDATE workflow.rate SET next_at = now() - interval '2 minutes' WHERE name = 'each'});
$node->append_conf('postgresql.conf', 'pg_workflow.workers = on');
$node->restart;
ok($node->poll_query_until('postgres', q{SELECT string_agg(DISTINCT name, ' ' ORDER BY name) = 'busy fair half noted rated' FROM workflow.rate}),
	'what has rested is forgotten, the others are not');
is(sql(q{SELECT count(*) FROM workflow.claim('each', 'w', 2, '1 hour')}), '2', 'and charged anew');
is(sql($charged), '200 1 1', 'from the beginning');

# ----------------------------------------------------- beside who holds a row

$node->append_conf('postgresql.conf', 'pg_workflow.workers = off');
$node->restart;
sql(q{UPDATE workflow.rate SET next_at = now() - interval '2 minutes' WHERE name = 'busy'});
sql(q{UPDATE workflow.rate SET next_at = now() - interval '2 minutes' WHERE name = 'rated'});
$held = $node->background_psql('postgres');
$held->query_safe(q{BEGIN; SELECT FROM workflow.rate WHERE name = 'busy' FOR UPDATE});
$node->append_conf('postgresql.conf', 'pg_workflow.workers = on');
$node->reload;
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM workflow.rate WHERE name = 'rated'}), 'a row that is held does not hold up others');
is(sql(q{SET statement_timeout = '60 s'; SELECT count(*) FROM workflow.claim('busy', 'w', 2, '1 hour')}), '2', 'nor who charges it');
is(sql(q{SELECT next_at > now() FROM workflow.rate WHERE name = 'busy'}), 't', 'which stays');
$held->quit;

done_testing();
