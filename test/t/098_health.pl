# Each check of health() is broken, its hint is pasted into psql as it stands, and
# the check is ok; where a person has to decide, the hint shows what about.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
$node->start;
my $database = 'postgres';
sub query { return $node->safe_psql($database, $_[0]) }

sub row
{
	my ($check) = @_;
	return split /\|/, query(qq{SELECT ok, severity, detail, hint FROM workflow.health() WHERE "check" = '$check'}), 4;
}

sub is_broken
{
	my ($check) = @_;
	my ($ok, $severity, $detail, $hint) = row($check);

	is($ok, 'f', "$check: $detail") or return '';
	like($severity, qr/^(warning|error)$/, "$check has a severity");
	isnt($hint, '', "$check has a hint");
	return $hint;
}

# Pasted: psql reads it from its input, as one statement after the other.
sub paste
{
	my ($check, $hint) = @_;
	my ($status, $out, $err) = (0, '', '');
	my $ended = IPC::Run::run([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($database) ], '<', \"$hint\n", '>', \$out, '2>', \$err);

	ok($ended, "$check: $hint") or diag($err);
	return;
}

# The hint alone mends it.
sub is_mended
{
	my ($check, $break, %more) = @_;

	query($_) foreach ref $break ? @$break : $break;
	ok($node->poll_query_until($database, qq{SELECT NOT ok FROM workflow.health() WHERE "check" = '$check'}), "$check notices")
	  or return;
	paste($check, is_broken($check));
	$node->restart if $more{restart};
	ok($node->poll_query_until($database, qq{SELECT ok FROM workflow.health() WHERE "check" = '$check'}), "$check is ok then")
	  or diag(join '|', row($check));
	return;
}

# The hint only shows; a person mends it.
sub is_shown
{
	my ($check, $break, $mend) = @_;

	query($break);
	paste($check, is_broken($check));
	query($mend);
	is((row($check))[0], 't', "$check is ok again");
	return;
}

# a server that loads the library with the first call
my $plain = PostgreSQL::Test::Cluster->new('plain');
$plain->init;
$plain->start;
$plain->safe_psql('postgres', 'CREATE EXTENSION pg_workflow');
($node, my $main) = ($plain, $node);
is_mended('preloaded', 'SELECT 1', restart => 1);
$plain->stop;
$node = $main;

query(q{
	CREATE EXTENSION pg_workflow;
	CREATE SERVER crm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://crm.example.com', dedup 'key', owner 'me');
	SELECT workflow.create_queue('q', 'me', '1 hour', '{you}');
	SELECT workflow.define('{"workflow": "nap", "owner": "me", "initial": "SLEEP", "key": ["$.id"],
	  "states": {"SLEEP": {"wait": {"for": "1 day"}, "on": {"ok": "DONE"}}, "DONE": {"final": "done"}}}')});
is(query('SELECT string_agg("check", \' \') FROM workflow.health() WHERE NOT ok'), 'workers', 'nothing else is wrong');
is(query('SELECT count(*) FROM workflow.health() WHERE ok AND severity <> \'ok\' OR ok AND hint IS NOT NULL'), '0', 'what is ok has no hint');

# processes
is_mended('workers', 'SELECT 1');
query('SELECT workflow.stop_workers()');
is_mended('leases', q{SELECT workflow.enqueue('q', '1', priority => 1) FROM workflow.claim('q', 'nobody', 1, '1 s');
	SELECT count(*) FROM workflow.claim('q', 'me', 1, '1 hour'); UPDATE workflow.job SET lease_until = now() - interval '2 minutes' WHERE status = 'running'})
  if query(q{SELECT workflow.enqueue('q', '1', priority => 1) > 0}) eq 't';
query('SELECT workflow.stop_workers()');
is_mended('timers_overdue', q{SELECT workflow.submit('nap', '{"id": 1}'); UPDATE workflow.timer SET due_at = now() - interval '2 minutes'});
query('SELECT workflow.stop_workers()');
$node->append_conf('postgresql.conf', 'max_worker_processes = 2');
$node->restart;
is_mended('worker_processes', 'SELECT 1', restart => 1);
query('SELECT workflow.stop_workers()');

# queues and what comes from outside
is_mended('queues_unowned', q{UPDATE workflow.queue SET owner = '' WHERE queue = 'q'});
is_mended('queues_unowned', q{UPDATE workflow.queue SET owner = ' ', escalate_to = '{}' WHERE queue = 'q'});
query(q{SELECT workflow.call('crm', 'POST', '/', '{}', 'k1')});
is_mended('endpoints_paused', q{UPDATE workflow.endpoint SET paused_at = now() - interval '2 hours', paused_by = 'me'});
is_shown("effects_$_", "UPDATE workflow.effect SET state = '$_'", "UPDATE workflow.effect SET state = 'pending'") foreach qw(held unknown blocked);
is_shown('breakers',
	q{UPDATE workflow.endpoint SET breaker = 'open', breaker_since = now(), breaker_until = now() + interval '1 hour', breaker_reason = 'so'},
	q{UPDATE workflow.endpoint SET breaker = 'closed'});
is_shown('retry_budget',
	q{UPDATE workflow.job SET waiting_on = 'retry' WHERE kind = 'http'}, q{UPDATE workflow.job SET waiting_on = NULL WHERE kind = 'http'});
is_shown('overdue_work', q{UPDATE workflow.job SET run_at = now() - interval '1 hour' WHERE kind = 'http'; SELECT workflow.pause_endpoint('crm', 'nothing is sent')},
	q{UPDATE workflow.job SET run_at = now() + interval '1 hour' WHERE kind = 'http'});
query('SELECT workflow.stop_workers(); UPDATE workflow.job SET run_at = now() WHERE kind = \'http\'');
is_mended('endpoints_refuted', q{INSERT INTO workflow.verification (effect_id, endpoint_id, profile, has_reading, step, verdict, detail, requested_by, requested_at)
	SELECT 1, p.endpoint_id, workflow._key_profile(s.srvoptions), false, NULL, 'refuted', 'two of them', 'me', now()
	FROM workflow.endpoint AS p JOIN pg_foreign_server AS s ON s.srvname = p.endpoint});
query(q{SELECT workflow.submit('nap', '{"id": 2}')});
is_shown('timers', q{UPDATE workflow.timer SET error_message = 'so', error_class = 'permanent'}, q{UPDATE workflow.timer SET error_message = NULL, error_class = NULL});
query(q{SELECT workflow.begin_effect('crm', 'guarded', '{}')});
is_shown('effects_in_doubt', q{UPDATE workflow.effect SET state = 'pending', unknown_attempts = 1, next_at = now() - interval '1 hour' WHERE kind = 'guard'},
	q{UPDATE workflow.effect SET state = 'cancelled', finished_at = now() WHERE kind = 'guard'});

# secrets: named and missing, and the directory not set
query(q{CREATE USER MAPPING FOR CURRENT_USER SERVER crm OPTIONS (bearer_secret 'crm-token')});
my $secrets = $node->data_dir . '/secrets';
my $hint = is_broken('secrets');
like($hint, qr/secrets\/crm-token/, 'which file');
paste('secrets', $hint);
mkdir $secrets;
append_to_file("$secrets/crm-token", "sesame\n");
is((row('secrets'))[0], 't', 'secrets: it is there');
query(q{ALTER SYSTEM SET pg_workflow.secrets_dir = ''});
$node->reload;
ok($node->poll_query_until($database, q{SELECT detail LIKE '%is not set%' FROM workflow.health() WHERE "check" = 'secrets'}), 'secrets: no directory');
like(is_broken('secrets'), qr/^ALTER SYSTEM SET pg_workflow.secrets_dir = .*pg_reload_conf/, 'secrets: where to set it');
query(q{ALTER SYSTEM RESET pg_workflow.secrets_dir});
$node->reload;

# triggers, of the extension and on users' tables; roles that are gone
is_mended('triggers', 'DROP TRIGGER follow_job ON workflow.job');
is_mended('triggers', 'ALTER TABLE workflow.item DISABLE TRIGGER USER');
is_mended('triggers', 'ALTER TABLE workflow.job ENABLE TRIGGER follow_job');
is_mended('triggers', 'CREATE OR REPLACE TRIGGER refuse_loss BEFORE DELETE ON workflow.journal FOR EACH STATEMENT EXECUTE FUNCTION workflow._guard(\'a\', \'b\')');
is(query('SELECT workflow._wrong_triggers()'), '', 'all triggers are as they were made');
query(q{CREATE TABLE cards (id int PRIMARY KEY, status text NOT NULL DEFAULT 'OPEN');
	SELECT workflow.define('{"workflow": "card", "owner": "me", "initial": "OPEN", "states": {"OPEN": {"on": {"close": "SHUT"}}, "SHUT": {"final": "shut"}}}');
	SELECT workflow.enforce('cards', 'status', 'card', 'id')});
is_mended('enforcements', 'ALTER TABLE cards DISABLE TRIGGER USER');
query('DROP TABLE cards');
is_mended('definers', [
	q{CREATE ROLE designer; SELECT workflow.grant_role('designer', 'designer');
		SET ROLE designer; SELECT workflow.define('{"workflow": "left", "owner": "me", "initial": "OPEN", "states": {"OPEN": {"on": {"close": "SHUT"}}, "SHUT": {"final": "shut"}}}');
		RESET ROLE; SELECT workflow.submit('left', '{}', key => '1'); DROP OWNED BY designer; DROP ROLE designer} ]);

# transactions that are open for long: what is long is told by the clock
sub is_mended_later { local $ENV{PGOPTIONS} = '-c pg_workflow.clock=2100-01-01'; return is_mended(@_) }
my $holder = $node->background_psql($database, on_error_stop => 0);
$holder->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM workflow.item');
is_mended_later('xmin_holders', 'SELECT 1');
eval { $holder->quit };
query(q{BEGIN; SELECT workflow.enqueue('q', '1'); PREPARE TRANSACTION 'left over'});
is_mended_later('prepared_transactions', 'SELECT 1');
query(q{BEGIN; SELECT workflow.enqueue('q', '1'); PREPARE TRANSACTION 'another'});
is_mended_later('xmin_holders', 'SELECT 1');

# what is kept, and cleaned
query(q{ALTER SYSTEM SET pg_workflow.effect_retention = '1d'});
$node->reload;
is_mended('retention', q{UPDATE workflow.effect SET finished_at = now() - interval '1 year' WHERE kind = 'guard'});
is_mended('autovacuum', 'ALTER TABLE workflow.item SET (autovacuum_enabled = off)');
is_mended('autovacuum', [ 'ALTER SYSTEM SET autovacuum = off', 'ALTER SYSTEM SET track_counts = off', 'SELECT pg_reload_conf()' ]);
is_shown('sequences', q{SELECT setval('workflow.enforcement_enforcement_id_seq', 2000000000)}, q{SELECT setval('workflow.enforcement_enforcement_id_seq', 10)});

# settings, wherever they come from
is_mended('track_activities', [ 'ALTER SYSTEM SET track_activities = off', 'SELECT pg_reload_conf()' ]);
is_mended('track_activities', 'ALTER DATABASE postgres SET track_activities = off');
is_mended('track_activities', 'DO $$ BEGIN EXECUTE format(\'ALTER ROLE %I SET track_activities = off\', session_user); END $$');
is_mended('timeouts', 'DO $$ BEGIN EXECUTE format(\'ALTER ROLE %I SET statement_timeout = 5000\', session_user); END $$');
is_mended('timeouts', q{ALTER DATABASE postgres SET statement_timeout = '20s'});
is_mended('timeouts', [ q{ALTER SYSTEM SET statement_timeout = '20s'}, 'SELECT pg_reload_conf()' ]);

# a copy
query('CREATE DATABASE shop TEMPLATE template0');
$database = 'shop';
query(q{CREATE EXTENSION pg_workflow; SELECT workflow.create_queue('q', 'me', '1 hour', '{you}')});
$database = 'postgres';
query('CREATE DATABASE copy TEMPLATE shop');
$database = 'copy';
is_mended('cluster', 'SELECT 1');

done_testing();
