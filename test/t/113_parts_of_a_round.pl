# Of what the maintenance worker does something fails each time: a claim cannot be written
# down, for the file of its table cannot be opened; a function raises.  All else is done as
# ever, and health() says what fails.

use strict;
use warnings FATAL => 'all';
use lib 'test/include';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);
use WorkingNode;

my $node = start_working_node('autovacuum = off');
sub sql { return $node->safe_psql('postgres', $_[0]) }
my $failing = q{SELECT parts FROM workflow._failing_parts()};

sql(q{
	CREATE FUNCTION work(item_id bigint, data jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT NULL::jsonb';
	SELECT workflow.create_queue('mail', 'ops', '1 hour', '{lead}');
	SELECT workflow.define('{"workflow": "rest", "owner": "ops", "initial": "REST", "queues": {"q": {"owner": "ops", "sla": "1 hour", "escalate_to": ["lead"]}},
	  "states": {"REST": {"wait": {"for": "1 second"}, "on": {"ok": "RUN"}},
	    "RUN": {"sql": {"function": "work", "queue": "q"}, "on": {"ok": "END", "error": "END"}}, "END": {"final": "end"}}}');
	SELECT workflow.enqueue_many('mail', '{1,2,3}')});

# What goes on: a timer fires, an sql activity runs, a lost job comes back, alerts open.
sub all_goes_on
{
	my ($while) = @_;
	my $begin = time;
	sql(qq{SELECT workflow.submit('rest', '{}', key => '$while');
		SELECT workflow.enqueue('lost', '1', key => 'k'), workflow.enqueue('late', '1', key => 'k')});
	sql(q{SELECT count(*) FROM workflow.claim('lost', 'gone', 1, '100 ms')});
	ok($node->poll_query_until('postgres', "SELECT outcome = 'end' FROM workflow.items WHERE key = '$while'"), "items move while $while");
	ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM workflow.attempts WHERE queue = 'lost' AND outcome = 'lost'}), 'what was lost comes back');
	ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM workflow.alerts WHERE subject = 'queue:late'}), 'alerts open');
	cmp_ok(time - $begin, '<', 45, 'none of which waits for what fails');
	return;
}
sql(q{
	SELECT workflow.create_queue('lost', 'ops', '1 hour', '{lead}', priority => 1), workflow.create_queue('late', 'ops', '1 s', '{lead}', aging => '1 day')});

# A claim cannot be written: nobody can open the file who has not yet.
my $holder = $node->background_psql('postgres');
my $claim = q{SELECT count(*) FROM workflow.claim('mail', 'holder')};
is($holder->query_safe($claim), '1', 'somebody claims');
$holder->query_safe('SELECT count(*) FROM workflow.segment_1');    # and has its file open
my $file = $node->data_dir . '/' . sql(q{SELECT pg_relation_filepath('workflow.segment_1')});
my $restart = q{SELECT pg_terminate_backend(pid, 20000) FROM workflow.workers WHERE kind = 'maintenance'};
chmod(0, $file);
sql($restart);
is($holder->query_safe($claim), '1', 'and once more');
all_goes_on('a claim cannot be written');
like(sql(q{SELECT detail FROM workflow.health() WHERE "check" = 'maintenance' AND NOT ok AND severity = 'error'}), qr/since .*writing claims down: .*Permission denied/, 'health() says what fails');
cmp_ok(scalar(() = slurp_file($node->logfile) =~ /ERROR:  could not open file/g), '<', 40, 'the log is not flooded');
chmod(0600, $file);
ok($node->poll_query_until('postgres', "SELECT ($failing) = 0"), 'all works when the file is back');
is(sql(q{SELECT ok, hint FROM workflow.health() WHERE "check" = 'maintenance'}), 't|', 'and health() says so');
is(sql(q{SELECT count(*) FROM workflow.segment_1 WHERE job_ids IS NOT NULL AND worker = 'holder'}), '2', 'the claims are written');
$holder->quit;

# Others of its parts, each by itself, and looks ahead among them.
foreach my $function ('_redrive_some(int, boolean)', '_next_redrive()', '_next_effect_check(timestamptz)', '_count_pauses(int)')
{
	my $definition = sql("SELECT pg_get_functiondef('workflow.$function'::regprocedure)");
	my ($name) = $function =~ /^(\w+)/;
	sql($definition =~ s/AS \$function\$.*\$function\$/AS \$function\$ BEGIN RAISE 'broken'; END \$function\$/sr =~ s/LANGUAGE \w+/LANGUAGE plpgsql/r);
	sql(qq{SELECT workflow.submit('rest', '{}', key => '$name')});
	ok($node->poll_query_until('postgres', "SELECT ($failing) = 1"), "$name() fails");
	ok($node->poll_query_until('postgres', "SELECT outcome = 'end' FROM workflow.items WHERE key = '$name'"), 'and items move');
	sql($definition);
	ok($node->poll_query_until('postgres', "SELECT ($failing) = 0"), 'until it is mended');
}

# Of two that fail the one is named that has for longest; when it works again, the other at once, and since when
# that has failed.  The second pauses for some seconds then: it was told of before.
my %whole = map { $_ => sql("SELECT pg_get_functiondef('workflow.$_'::regprocedure)") } '_redrive_some(int, boolean)', '_count_pauses(int)';
sub break_part
{
	my ($function, $how) = @_;
	sql($whole{$function} =~ s/AS \$function\$.*\$function\$/AS \$function\$ BEGIN RAISE '$how'; END \$function\$/sr =~ s/LANGUAGE \w+/LANGUAGE plpgsql/r);
	return;
}
sub fails_times
{
	my ($how, $times) = @_;
	foreach (1 .. 600)
	{
		return 1 if (() = slurp_file($node->logfile) =~ /ERROR:  \Q$how\E/g) >= $times;
		usleep(100_000);
	}
	return 0;
}
my $shown = q{SELECT parts, message FROM workflow._failing_parts()};
break_part('_redrive_some(int, boolean)', 'the first is broken');
ok(fails_times('the first is broken', 4), 'one part fails');
break_part('_count_pauses(int)', 'the second is broken');
ok(fails_times('the second is broken', 3), 'and another one');
is(sql($shown), '2|the first is broken', 'that which has for longest is named');
my $between = sql('SELECT clock_timestamp()');
sql($whole{'_redrive_some(int, boolean)'});
ok($node->poll_query_until('postgres', "SELECT ($failing) = 1"), 'the first is mended');
is(sql($shown), '1|the second is broken', 'and the other one is named');
is(sql("SELECT since < '$between' FROM workflow._failing_parts()"), 't', 'with the time since when it has failed');
sql($whole{'_count_pauses(int)'});
ok($node->poll_query_until('postgres', "SELECT ($failing) = 0"), 'until it is mended, too');

$node->stop;
done_testing();
