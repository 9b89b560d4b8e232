# The enrichment example end to end: as `make demo` runs it; and with the server
# stopped at once while its calls are in flight.

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename;
use HTTP::Tiny;
use JSON::PP;
use Markdown;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $root    = abs_path(dirname(__FILE__) . '/../..');
my $example = "$root/examples/crm_enrichment";

# --- what a newcomer sees

my ($out, $err) = ('', '');
my $work = PostgreSQL::Test::Utils::tempdir();
my $ok = IPC::Run::run [ "$example/run", "$work/demo" ], '>', \$out, '2>', \$err, IPC::Run::timeout(180);
ok($ok, 'the demo ends well') or diag("$out\n$err");
like($out, qr/^\s*24 \|\s+24 \|\s+0$/m, 'every event makes an item');
like($out, qr/^\s*24 \|\s+0 \|\s+24$/m, 'and finds it again the second time');
like($out, qr/accounts were updated once, 0 more than once/, 'the CRM counts one update for each account');
is_deeply([ missing_from_demo($out) ], [], 'the README shows lines of it, in their order');

# --- an immediate stop while calls are in flight

my $stand_in = start_stand_in();
my $node = PostgreSQL::Test::Cluster->new('demo');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_workflow'\nmax_worker_processes = 16");
$node->start;
set_up();

# every update does its work at once and answers late
ask('POST', '/faults', '{"method": "PATCH", "path": "/accounts", "stall_after_ms": 20000, "times": 0}');
$node->safe_psql('postgres', slurp_file("$example/submit.sql"));
ok($node->poll_query_until('postgres',
		q{SELECT count(*) >= 3 FROM workflow.effects WHERE endpoint = 'crm' AND state = 'sending'}),
	'calls are in flight');
$node->stop('immediate');
ask('DELETE', '/faults');
$node->start;

ok($node->poll_query_until('postgres', q{
	SELECT count(*) = 0 FROM workflow.items AS i, workflow.where_is(i.item_id) AS w
	WHERE w.waiting_on NOT IN ('nothing', 'review', 'exception')}),
	'after the start every item moves on by itself')
  or diag($node->safe_psql('postgres', q{
	SELECT w.* FROM workflow.items AS i, workflow.where_is(i.item_id) AS w
	WHERE w.waiting_on NOT IN ('nothing', 'review', 'exception')}));
$node->safe_psql('postgres', slurp_file("$example/submit.sql"));

my $accounts = ask('GET', '/counts')->{accounts};
my @updated = grep { $accounts->{$_}{executions} > 0 } sort keys %$accounts;
is_deeply([ grep { $accounts->{$_}{executions} != 1 } @updated ], [], 'no account was updated twice');
is(scalar @updated,
	$node->safe_psql('postgres', q{SELECT count(*) FROM workflow.items WHERE outcome = 'success'}),
	'every item that ended well updated its account');
cmp_ok(scalar(grep { $accounts->{$_}{replays} > 0 } @updated), '>=', 3,
	'what was in flight was sent again and answered from the store');
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM workflow.items AS i, workflow.verify(i.item_id) AS v WHERE NOT v.ok}),
	0, 'the log and the state agree');

# --- a person takes one update back

my $update = $node->safe_psql('postgres', q{SELECT min(effect_id) FROM workflow.effects
	WHERE endpoint = 'crm' AND state = 'succeeded' AND key LIKE 'A-1001:%'});
$node->safe_psql('postgres', "SELECT workflow.revert($update, 'the old value was right')");
ok($node->poll_query_until('postgres',
		qq{SELECT count(*) = 1 FROM workflow.effects WHERE key LIKE 'revert:%' AND state = 'succeeded'}),
	'a revert is an effect of its own');
is(ask('GET', '/accounts/A-1001')->{fields}{industry}, 'Transport', 'and restores the previous value');

$node->stop;
done_testing();

# ---------------------------------------------------------------------------

# Lines of the README's demo that are not printed, in that order.
sub missing_from_demo
{
	my ($block) = grep { $_->{info} eq 'text demo' } Markdown::blocks("$root/README.md");
	my @printed = Markdown::normalise(shift);
	my @missing;

	foreach my $line (grep { $_ ne '...' } Markdown::normalise($block->{text}))
	{
		my ($place) = grep { $printed[$_] eq $line } 0 .. $#printed;
		if (defined $place) { splice @printed, 0, $place + 1 }
		else                { push @missing, $line }
	}
	return @missing;
}

sub start_stand_in
{
	my $port_file = "$work/port";
	my $pid = fork;

	die "cannot fork: $!" if !defined $pid;
	if (!$pid)
	{
		exec 'perl', "$root/test/server/server.pl", '--port', 0, '--port-file', $port_file,
		  '--parent', getppid(), '--accounts', "$example/accounts.csv";
	}
	foreach (1 .. 100)
	{
		last if -s $port_file;
		select(undef, undef, undef, 0.05);
	}
	chomp(my $port = slurp_file($port_file));
	return "http://127.0.0.1:$port";
}

sub ask
{
	my ($method, $path, $body) = @_;
	my $answer = HTTP::Tiny->new->request($method, "$stand_in$path", defined $body ? { content => $body } : {});

	die "$method $path: $answer->{status} $answer->{content}" if !$answer->{success};
	return JSON::PP->new->utf8->decode($answer->{content});
}

sub set_up
{
	my $load = `$example/load`;
	my $definition = slurp_file("$example/definition.json");

	$load =~ s{accounts/}{$example/accounts/}g;
	$node->safe_psql('postgres', 'CREATE EXTENSION pg_workflow');
	$node->safe_psql('postgres', "\\set url '$stand_in'\n"
		  . slurp_file("$example/roles.sql") . slurp_file("$example/endpoints.sql"));
	$node->safe_psql('postgres', "SET ROLE revops;\n" . slurp_file("$example/crm.sql") . $load
		  . "SELECT workflow.define(\$definition\$$definition\$definition\$);\n");
	$node->safe_psql('postgres', 'GRANT revops TO CURRENT_USER; GRANT ALL ON ALL TABLES IN SCHEMA crm TO PUBLIC');
}
