# The stand-in HTTP server, and databases that call it, for TAP tests.

package StandIn;

use strict;
use warnings FATAL => 'all';
use Cwd qw(abs_path);
use File::Basename;
use HTTP::Tiny;
use JSON::PP;
use PostgreSQL::Test::Utils;

my $root = abs_path(dirname(__FILE__) . '/../..');

# Starts the server; it ends with this process.  It has the accounts of the
# example, or, with open => 1, every account.
sub new
{
	my ($class, %option) = @_;
	my $port_file = PostgreSQL::Test::Utils::tempdir() . '/port';
	my $parent = $$;
	my $pid = fork;

	die "cannot fork: $!" if !defined $pid;
	if (!$pid)
	{
		exec 'perl', "$root/test/server/server.pl", '--port', 0,
		  '--port-file', $port_file, '--parent', $parent,
		  $option{open} ? () : ('--accounts', "$root/examples/crm_enrichment/accounts.csv");
	}
	foreach (1 .. 200)
	{
		last if -s $port_file;
		select undef, undef, undef, 0.05;
	}
	chomp(my $port = slurp_file($port_file));
	return bless { pid => $pid, url => "http://127.0.0.1:$port" }, $class;
}

sub stop
{
	my ($self) = @_;
	kill 'TERM', $self->{pid};
	waitpid $self->{pid}, 0;
	return;
}

# Asks the server itself.
sub ask
{
	my ($self, $method, $path, $body) = @_;
	my $answer = HTTP::Tiny->new->request($method, "$self->{url}$path",
		defined $body ? { content => encode_json($body) } : {});

	die "$method $path: $answer->{status} $answer->{content}"
	  if !$answer->{success};
	return $answer->{content} eq '' ? undef : decode_json($answer->{content});
}

# Makes it misbehave: every PATCH, until forgiven.
sub misbehave
{
	my ($self, %rule) = @_;
	$self->ask('POST', '/faults',
		{ method => 'PATCH', path => '/accounts', times => 0, %rule });
	return;
}

sub forgive
{
	my ($self) = @_;
	$self->ask('DELETE', '/faults');
	return;
}

# How often each account was updated.
sub executions
{
	my ($self) = @_;
	my $accounts = $self->ask('GET', '/counts')->{accounts};
	my %executions;

	foreach my $id (keys %$accounts)
	{
		$executions{$id} = $accounts->{$id}{executions}
		  if $accounts->{$id}{executions} > 0;
	}
	return \%executions;
}

# States that a call may lead to, besides DONE and FAILED.
my %other_states = (
	LATE => '{"final": "late"}',
	RETRIED => '{"then": "resume", "on": {"resume": "@origin"}}',
	WORK => '{"task": {"queue": "calls_of_test"}, "on": {"ok": "DONE"}}',
	STUCK => '{"exception": {"queue": "calls_of_test"}, "on": {"replay": "RETRIED"}}');

# Makes an endpoint, and a workflow of the same name with one call to it.  More
# members of the call and of its state may be given, as http and state.
sub define
{
	my ($self, $node, $name, $options, %more) = @_;
	my $calling = encode_json(
		{
			http => {
				endpoint => $name, queue => 'calls_of_test', method => 'PATCH',
				path => '/accounts/{$.id}', body => { industry => $name },
				key => [ '$.id', $name ], %{ $more{http} // {} }
			},
			on => { ok => 'DONE', error => 'FAILED' },
			%{ $more{state} // {} }
		});

	my $others = join '', map { $calling =~ /"$_"/ || $_ eq 'RETRIED' && $calling =~ /"STUCK"/ ? qq("$_": $other_states{$_},) : () } sort keys %other_states;

	$node->safe_psql(
		'postgres', qq{
		CREATE SERVER $name FOREIGN DATA WRAPPER workflow_http OPTIONS (
		  url '$self->{url}', allow_http 'true', allow_private '127.0.0.0/8', $options);
		SELECT workflow.define('{
		  "workflow": "$name", "owner": "tester", "initial": "CALLING", "key": ["\$.id"],
		  "retry": {"default": {"owner": "tester", "max_attempts": 5,
		            "backoff": {"initial": "50 milliseconds", "jitter": "none"}}},
		  "queues": {"calls_of_test": {"owner": "tester", "sla": "1 hour", "escalate_to": ["boss"]}},
		  "states": {"CALLING": $calling, $others
		             "DONE": {"final": "success"}, "FAILED": {"final": "failure"}}}');
	});
	return;
}

# Submits items for the accounts of the numbers given.
sub submit
{
	my ($self, $node, $name, @numbers) = @_;
	my $inputs = join ', ', map { qq('{"id": "A-$_"}') } @numbers;

	$node->safe_psql('postgres',
		"SELECT count(*) FROM workflow.submit_many('$name', ARRAY[$inputs]::jsonb[])");
	return;
}

1;
