# A grant lets go on at once what was blocked for want of it.

use strict;
use warnings FATAL => 'all';
use FindBin;
use lib "$FindBin::RealBin/../include";
use PostgreSQL::Test::Utils;
use RawServer;
use Test::More;
use WorkingNode;

my $server = RawServer->new('/mail' => sub { return RawServer::answer(200, '{}') });
my $node = start_working_node();
sub query { my ($sql) = @_; return $node->safe_psql('postgres', $sql); }

query(qq{
	CREATE ROLE sender; CREATE ROLE team; CREATE ROLE member IN ROLE pg_monitor;
	SELECT workflow.grant_role('sender', 'designer'), workflow.grant_role('member', 'designer');
	SELECT workflow.create_queue('work', 'me', '1 hour', '{you}');
	CREATE SERVER post FOREIGN DATA WRAPPER workflow_http OPTIONS (
	  url 'http://127.0.0.1:@{[ $server->port ]}', allow_http 'true', allow_private '127.0.0.0/8', dedup 'key');
	GRANT USAGE ON FOREIGN SERVER post TO team;
	CREATE TABLE public.granted (role text, at timestamptz DEFAULT clock_timestamp())});
foreach my $role (qw(sender member))
{
	query(qq{SET ROLE $role;
		SELECT workflow.define('{
		  "workflow": "$role", "owner": "me", "initial": "CALLING", "key": ["\$.id"],
		  "retry": {"default": {"owner": "me", "max_attempts": 1}},
		  "states": {"CALLING": {"http": {"endpoint": "post", "queue": "work", "method": "POST", "path": "/mail", "key": ["\$.id"]},
		                         "on": {"ok": "DONE", "error": "DONE"}}, "DONE": {"final": "success"}}}');
		RESET ROLE;
		SELECT workflow.submit('$role', '{"id": "$role"}')});
	wait_for("state = 'blocked' AND reason LIKE '%no USAGE%' FROM workflow.effects WHERE key = '$role'", "an effect of $role is blocked");
}
# the worker has looked and sleeps
wait_for("doing LIKE 'waiting for what%' FROM workflow.workers WHERE kind = 'maintenance'", 'nobody has anything to do');

my %grants = (sender => 'GRANT USAGE ON FOREIGN SERVER post TO sender', member => 'GRANT team TO member');
foreach my $role (qw(sender member))
{
	query("INSERT INTO public.granted (role) VALUES ('$role'); $grants{$role}");
	wait_for("state = 'succeeded' FROM workflow.effects WHERE key = '$role'", "$grants{$role}: it goes on");
	is(query("SELECT e.finished_at - g.at < '15 seconds' FROM workflow.effects AS e JOIN public.granted AS g ON g.role = e.key WHERE e.key = '$role'"),
		't', 'at once');
}

$node->stop;
$server->stop;
done_testing();
