# What an activity does to the session of its worker is over when it ends.

use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->append_conf('postgresql.conf', 'pg_workflow.workers = on');
$node->start;
$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION pg_workflow;
	CREATE ROLE tenant;
	SELECT workflow.grant_role('tenant', 'designer');
	CREATE SCHEMA app AUTHORIZATION tenant;
	SET ROLE tenant;
	CREATE FUNCTION app.act(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE plpgsql AS
	$$ BEGIN
	  EXECUTE data ->> 'sql';
	  RETURN jsonb_build_object('pid', pg_backend_pid());
	END $$;
	CREATE TABLE app.note (n int);
	CREATE TABLE app.fired (who name);
	CREATE FUNCTION app.tell() RETURNS trigger LANGUAGE plpgsql AS
	$$ BEGIN INSERT INTO app.fired VALUES (current_user); RETURN NULL; END $$;
	CREATE CONSTRAINT TRIGGER tell AFTER INSERT ON app.note DEFERRABLE INITIALLY DEFERRED
	  FOR EACH ROW EXECUTE FUNCTION app.tell();
	SELECT workflow.define('{"workflow": "w", "owner": "me", "initial": "ACT",
	  "retry": {"default": {"max_attempts": 1}},
	  "queues": {"q": {"owner": "me", "sla": "1 hour", "escalate_to": ["you"]}},
	  "states": {"ACT": {"sql": {"function": "app.act", "queue": "q"},
	                     "timeout": {"after": "1 hour", "event": "error"},
	                     "on": {"ok": "DONE", "error": "BAD"}},
	             "DONE": {"final": "done"}, "BAD": {"final": "bad"}}}')});

# Runs a statement as an activity of a background worker; returns the outcome.
sub act
{
	my ($sql) = @_;
	my $item = $node->safe_psql('postgres',
		"SELECT item_id FROM workflow.submit('w', jsonb_build_object('sql', \$sql\$$sql\$sql\$), key => gen_random_uuid()::text)"
	);
	$node->poll_query_until('postgres',
		"SELECT outcome IS NOT NULL FROM workflow.items WHERE item_id = $item")
	  or die "item $item has no outcome";
	return $node->safe_psql('postgres',
		"SELECT outcome FROM workflow.items WHERE item_id = $item");
}

my $locks = q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 77};
is(act('SELECT pg_advisory_lock(77)'), 'done', 'an activity may lock');
is($node->safe_psql('postgres', $locks), '0', 'the lock is given back');
is(act('DO $$ BEGIN PERFORM pg_advisory_lock(77); RAISE EXCEPTION $e$no$e$; END $$'),
	'bad', 'an activity may fail with a lock');
is($node->safe_psql('postgres', $locks), '0', 'the lock is given back too');

is(act('INSERT INTO app.note VALUES (1)'), 'done', 'an activity may defer');
is($node->safe_psql('postgres', 'SELECT who FROM app.fired'),
	'tenant', 'what it defers runs as the definer, not as the worker');

is(act('CREATE TEMP TABLE note (n int)'), 'bad', 'temporary tables are refused');
is(act('INSERT INTO app.note VALUES (2)'), 'done', 'the worker goes on');

$node->stop;
done_testing();
