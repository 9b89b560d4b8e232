# Ends processes at every labelled point (src/base/point.h) of an effect's life,
# with effects of eight endpoints under way, and checks what became of these.
#
#   my $matrix = CrashMatrix->new(conf => 'synchronous_commit = off');
#   $matrix->workers(qw(kill immediate));    by background workers
#   $matrix->sessions(qw(kill));             by workflow.run() in a session
#   $matrix->finish;
#
# The process that comes to a point stops there.  What is "sending" in the tables
# at that moment cannot be decided by anybody: the calls are on the wire, or on
# the way to it.  Then the process is ended, and in the end
#
# - every item and effect has ended, and everything was executed;
# - where the receiver knows the key, or was asked, or must not be asked twice,
#   it executed once;
# - an effect was held for a person only if it was undecided when a process was
#   ended, and its endpoint has neither a key nor a lookup.

package CrashMatrix;

use strict;
use warnings FATAL => 'all';
use Cwd;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Receiver;
use Test::More;
use Time::HiRes qw(sleep time);

# What is true when a process stops at a point:
#   unsent    its jobs can be seen as ready still: nothing may have been sent
#   sending   effects can be seen as "sending"
#   recorded  effects can be seen as succeeded, and their jobs do not know it
#   told      nothing more
my %place = (
	claim_begun       => 'unsent',
	jobs_claimed      => 'unsent',
	effects_marked    => 'unsent',
	intent_flushed    => 'sending',
	call_started      => 'sending',
	calls_pumped      => 'sending',
	answer_collected  => 'sending',
	record_begun      => 'sending',
	effects_settled   => 'sending',
	record_written    => 'sending',
	record_flushed    => 'recorded',
	tell_begun        => 'recorded',
	jobs_finished     => 'recorded',
	job_told          => 'recorded',
	tell_committed    => 'told',
	worker_ending     => 'sending',
	reclaim_begun     => 'sending',
	lost_settled      => 'sending',
	lost_committed    => 'told',
	lost_told         => 'told',
	reclaim_committed => 'told');

# Points that are reached only after a sender was ended, or was asked to end.
my %after = map { $_ => 1 } qw(worker_ending reclaim_begun lost_settled lost_committed lost_told reclaim_committed);

my $lookup = q(lookup_path '/find/{key}', lookup_found '$.status == 200', lookup_absent '$.status == 404', lookup_settle '1ms', absent_is_proof 'true');
my %endpoint = (
	keyed         => q(dedup 'key'),
	keyed_lookup  => qq(dedup 'key', on_unknown 'probe', $lookup),
	upsert        => q(dedup 'natural'),
	upsert_lookup => qq(dedup 'natural', on_unknown 'probe', $lookup),
	pure          => q(dedup 'pure'),
	pure_lookup   => qq(dedup 'pure', $lookup),
	once          => q(dedup 'none', owner 'tester'),
	once_lookup   => qq(dedup 'none', owner 'tester', $lookup));
my $asks_a_person = qr/-once(?:_before)?-/;
my %may_repeat = map { $_ => 1 } qw(upsert pure pure_lookup);

my $retry = '{"owner": "tester", "max_attempts": 20, "backoff": {"initial": "50 milliseconds", "factor": 1, "jitter": "none"}}';
# Workflows: of a name and an endpoint; some read what is there before the action.
my %workflow = ((map { $_ => $_ } keys %endpoint), keyed_before => 'keyed', once_before => 'once');

my $items = 4;    # of each workflow in a round, or half of that where something is read before
my $calls = 3;    # of each endpoint

sub new
{
	my ($class, %given) = @_;
	my $receiver = Receiver->new;
	my $node = PostgreSQL::Test::Cluster->new('main');
	my $self = bless {
		node => $node, receiver => $receiver, database => 'matrix', rounds => 0, reached => {},
		undecided => {}, must_be_held => {}, problems => {} }, $class;

	$node->init;
	$node->append_conf('postgresql.conf', slurp_file('test/postgresql.conf'));
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_workflow, " . getcwd() . "/build/points.so'");
	$node->append_conf('postgresql.conf', "pg_workflow.workers = on\nrestart_after_crash = on\nautovacuum = off\n" . ($given{conf} // ''));
	$node->start;
	$self->define;
	return $self;
}

sub define
{
	my ($self) = @_;
	my $library = getcwd() . '/build/points.so';
	my $url = $self->{receiver}->url;
	my $sql = 'CREATE EXTENSION pg_workflow;';

	foreach my $name (sort keys %endpoint)
	{
		$sql .= qq{
			CREATE SERVER $name FOREIGN DATA WRAPPER workflow_http OPTIONS (
			  url '$url', allow_http 'true', allow_private '127.0.0.0/8', $endpoint{$name});};
	}
	foreach my $name (sort keys %workflow)
	{
		my $method = $name =~ /upsert/ ? 'PUT' : 'POST';
		my $before = $name =~ /before/ ? '"before": {"path": "/find/{$.id}"},' : '';
		$sql .= qq{
			SELECT workflow.define('{
			  "workflow": "$name", "owner": "tester", "initial": "CALLING", "key": ["\$.id"],
			  "retry": {"default": $retry},
			  "queues": {"calls_of_items": {"owner": "tester", "sla": "1 hour", "escalate_to": ["boss"]}},
			  "states": {"CALLING": {"http": {"endpoint": "$workflow{$name}", $before "queue": "calls_of_items", "method": "$method",
			                                  "path": "/do/{\$.id}", "key": ["\$.id"]},
			                         "on": {"ok": "DONE", "error": "FAILED"}},
			             "DONE": {"final": "success"}, "FAILED": {"final": "failure"}}}');};
	}
	$sql .= qq{
		CREATE FUNCTION public.list_points() RETURNS text AS '$library' LANGUAGE C;
		CREATE FUNCTION public.submit(round text) RETURNS void LANGUAGE plpgsql AS \$\$
		BEGIN
		  SET LOCAL synchronous_commit = on;
		  SET LOCAL client_min_messages = warning;
		  PERFORM workflow.submit_many(w, (SELECT array_agg(jsonb_build_object('id', round || w || '-i' || n)) FROM generate_series(1, $items / CASE WHEN w LIKE '%before' THEN 2 ELSE 1 END) AS n))
		  FROM unnest('{@{[join ',', sort keys %workflow]}}'::text[]) AS w;
		  PERFORM workflow.call(e, CASE WHEN e LIKE 'upsert%' THEN 'PUT' ELSE 'POST' END, '/do/' || k, key => k)
		  FROM unnest('{@{[join ',', sort keys %endpoint]}}'::text[]) AS e, generate_series(1, $calls) AS n,
		       LATERAL (SELECT round || e || '-c' || n) AS key (k);
		END \$\$;
		SELECT workflow.create_queue('calls', 'tester', '1 hour', '{boss}', retry => '$retry');
		SELECT workflow.stop_workers();};
	$self->{node}->safe_psql('postgres', 'CREATE DATABASE pattern');
	$self->{node}->safe_psql('pattern', $sql);
	$self->{node}->safe_psql('postgres', 'ALTER DATABASE pattern ALLOW_CONNECTIONS false; CREATE DATABASE matrix TEMPLATE pattern');
	$self->sql(q{SELECT workflow.adopt_cluster('resume', 'made for the test')});
	is( join(' ', sort keys %place),
		join(' ', sort split / /, $self->sql('SELECT public.list_points()')),
		'the matrix knows every labelled point, and no other');
	return;
}

sub sql
{
	my ($self, $statement, $database) = @_;
	return $self->{node}->safe_psql($database // $self->{database}, $statement);
}

# Something that must not be; all of a kind are one failure in the end.
sub problem
{
	my ($self, $kind, $what) = @_;
	push @{ $self->{problems}{$kind} }, "$self->{title}: $what";
	return;
}

# Asks until it is so, while the server may be restarting.
sub until_true
{
	my ($self, $condition, $what) = @_;
	my $give_up = time + 60;

	while (time < $give_up)
	{
		$self->run if $self->{session} && $what eq 'quiet';
		my ($status, $answer) = $self->{node}->psql($self->{database}, "SELECT $condition", stderr => \my $ignored);
		return 1 if $status == 0 && $answer eq 't';
		sleep 0.02;
	}
	$self->problem('it goes on', $what);
	diag("$self->{title}: not $what\n" . $self->sql(
			q{SELECT key, state, substate, attempts, next_at, reason FROM workflow.effect WHERE state NOT IN ('succeeded', 'held');
			  SELECT j.job_id, j.kind, j.status, j.waiting_on, j.run_at, j.session_pid, e.key, e.state FROM workflow.job AS j JOIN workflow.effect AS e USING (effect_id);
			  TABLE workflow.workers}));
	return 0;
}

# ------------------------------------------------------------------- points

# For a process of this database: another one's may be at work on an earlier round.
sub arm
{
	my ($self, $label) = @_;
	my $file = $self->{node}->data_dir . '/point';
	my $database = $self->{oid}{ $self->{database} } //= $self->sql('SELECT oid FROM pg_database WHERE datname = current_database()');

	PostgreSQL::Test::Utils::append_to_file("$file.new", "$label $database");
	rename "$file.new", $file or die "cannot rename $file.new: $!";
	return;
}

# Waits for a process to stop there; returns its pid.
sub stopped
{
	my ($self, $label) = @_;
	my $pid;

	$self->until_so("at $label", sub { ($pid) = map { /\.(\d+)$/ } glob $self->{node}->data_dir . '/point.[0-9]*' })
	  or unlink $self->{node}->data_dir . '/point';
	return $pid;
}

sub go_on
{
	my ($self, $pid) = @_;
	unlink $self->{node}->data_dir . "/point.$pid";
	return;
}

# What everybody sees while the process stands there.
sub look
{
	my ($self) = @_;
	my %seen = (sending => [], claimed => [], ready => 0, recorded => 0);

	foreach (split /\n/, $self->sql(qq{
		SELECT state, key FROM workflow.effect WHERE state IN ('sending', 'claimed')
		UNION ALL SELECT 'ready', count(*)::text FROM workflow.job AS j JOIN workflow.effect AS e USING (effect_id)
		  WHERE j.status = 'ready' AND e.key LIKE '$self->{round}%'
		UNION ALL SELECT 'recorded', count(*)::text FROM workflow.job AS j JOIN workflow.effect AS e USING (effect_id)
		  WHERE e.state = 'succeeded'
		UNION ALL SELECT 'start', min(backend_start)::text FROM pg_catalog.pg_stat_activity WHERE backend_type = 'checkpointer'}))
	{
		my ($what, $value) = split /\|/;
		if (ref $seen{$what}) { push @{ $seen{$what} }, $value }
		else                  { $seen{$what} = $value }
	}
	return \%seen;
}

sub is_there
{
	my ($place, $seen) = @_;

	return $seen->{ready} > 0 if $place eq 'unsent';
	return @{ $seen->{sending} } > 0 if $place eq 'sending';
	return $seen->{recorded} > 0 if $place eq 'recorded';
	return 1;
}

# Waits until a process stands at a point with something to lose: it may come by
# with nothing in its hands.
sub catch
{
	my ($self, $label) = @_;

	foreach (1 .. 20)
	{
		my $pid = $self->stopped($label) or return;
		my $seen = $self->look;

		$self->{reached}{$label}++;
		if (is_there($place{$label}, $seen)) { $self->see($label, $seen); return ($pid, $seen) }
		$self->arm($label);
		$self->go_on($pid);
	}
	$self->problem('the points are where they are said to be', $label);
	return;
}

# No byte has left before the intent is on disk.
sub see
{
	my ($self, $label, $seen) = @_;
	my $executions = $self->{receiver}->executions($self->{round});

	$self->problem('nothing is sent too early', $label)
	  if ($place{$label} eq 'unsent' || $label eq 'intent_flushed') && %$executions;
	return;
}

# --------------------------------------------------------------------- ends

# Waits for something outside of the server.
sub until_so
{
	my ($self, $what, $is_so) = @_;
	my $give_up = time + 60;

	while (time < $give_up)
	{
		return 1 if $is_so->();
		sleep 0.003;
	}
	$self->problem('it goes on', $what);
	return 0;
}

my %end = (
	kill => sub {
		my ($self, $pid, $seen) = @_;
		kill 'KILL', $pid;
		$self->go_on($pid);
		$self->until_true("min(backend_start) <> '$seen->{start}' FROM pg_catalog.pg_stat_activity WHERE backend_type = 'checkpointer'",
			'up again');
	},
	immediate => sub {
		my ($self, $pid) = @_;
		$self->{node}->stop('immediate');
		$self->go_on($pid);
		$self->{node}->start;
	},
	terminate => sub {
		my ($self, $pid) = @_;
		$self->sql("SELECT pg_terminate_backend($pid)");
		$self->until_so('ended', sub { !kill 0, $pid });
		$self->sql('SELECT workflow.start_workers()') if !$self->{session};    # the launcher would wait
	},
	cancel => sub {
		my ($self, $pid) = @_;
		$self->sql("SELECT pg_cancel_backend($pid)");
		$self->until_so('cancelled', sub { !-e $self->{node}->data_dir . "/point.$pid" });
	},
	drop => sub {
		my ($self, $pid) = @_;
		my $began = time;
		$self->sql("DROP DATABASE $self->{database}", 'postgres');
		my $took = time - $began;
		$self->problem('a database is dropped in less than a second', "$took s") if $took >= 1;
		$self->{slowest_drop} = $took if $took > ($self->{slowest_drop} // 0);
	});

# A worker that is asked keeps what it knows: interrupted, it goes on; asked to
# end, it takes back what it has not sent.
sub is_decided
{
	my ($self, $how, $label) = @_;

	return 0 if $self->{session};
	return 1 if $how eq 'cancel';
	return $how eq 'terminate' && ($label eq 'intent_flushed' || $label eq 'call_started');
}

# What a worker has recorded as done.
sub count_recorded
{
	my ($self, $pid) = @_;
	return $self->sql("SELECT count(*) FROM workflow.attempt WHERE worker = 'pg_workflow http $pid' AND outcome = 'ok'");
}

# Ends the process that stands at a point.
sub end_at
{
	my ($self, $how, $label) = @_;
	my ($pid, $seen) = $self->catch($label) or return;
	my @once = grep { /$asks_a_person/ } @{ $seen->{sending} };

	$self->{undecided}{$_} = 1 foreach $self->is_decided($how, $label) ? () : @once;
	$self->{must_be_held}{$_} = 1 foreach $how eq 'kill' || $how eq 'immediate' ? @once : ();
	# asked to end or to cancel, a session may come so far as to begin an action
	# whose read has ended
	$self->{undecided}{$_} = 1 foreach $self->{session} ? @{ $seen->{claimed} } : ();
	note("$self->{round} $self->{title}: process $pid, " . scalar(@{ $seen->{sending} }) . ' sending');
	my $has_answers = $how eq 'terminate' && !$self->{session} && $label =~ /^(answer_collected|record_begun|effects_settled|record_written)$/;
	my $before = $has_answers ? $self->count_recorded($pid) : 0;

	$end{$how}->($self, $pid, $seen);
	$self->problem('what has finished is recorded', $label) if $has_answers && $self->count_recorded($pid) == $before;
	$self->{ends}++;
	return;
}

# ------------------------------------------------------------------- rounds

sub begin_round
{
	my ($self, $label, $how) = @_;

	$self->{title} = "$how at $label";
	$self->{round} = sprintf 'r%d-', ++$self->{rounds};
	$self->until_quiet if $place{$label} eq 'unsent' || $after{$label};
	if ($after{$label}) { $self->{receiver}->hold }
	else                { $self->arm($label) }
	$self->sql("SELECT public.submit('$self->{round}')");
	return;
}

# Nothing moves any more but by a person.
sub until_quiet
{
	my ($self) = @_;
	my $is_quiet = q{NOT EXISTS (SELECT FROM workflow.effect WHERE state NOT IN ('succeeded', 'held'))
	  AND NOT EXISTS (SELECT FROM workflow.job AS j JOIN workflow.effect AS e USING (effect_id) WHERE e.state <> 'held')};

	return $self->until_true($is_quiet, 'quiet');
}

sub run
{
	my ($self) = @_;
	$self->sql(q{CALL workflow.run('5 seconds')});
	return;
}

# The labels in the order of an effect's life, but those that this way of working
# or ending does not reach.
sub labels
{
	my ($self) = @_;
	my @labels = split / /, $self->sql('SELECT public.list_points()', 'matrix');

	return grep { exists $place{$_} && !($self->{session} && $_ eq 'worker_ending') } @labels;
}

# By background workers.
sub workers
{
	my ($self, @ends) = @_;

	foreach my $how (@ends)
	{
		foreach my $label ($self->labels)
		{
			$self->new_database if $how eq 'drop';
			$self->begin_round($label, $how);
			$self->lead_to($how, $label) if $after{$label};
			$self->end_at($how, $label);
		}
		$self->{database} = 'matrix';
		$self->all_end("workers, $how");
	}
	return;
}

sub new_database
{
	my ($self) = @_;

	$self->{database} = 'drop' . $self->{rounds};
	$self->sql("CREATE DATABASE $self->{database} TEMPLATE pattern", 'postgres');
	$self->sql(q{SELECT workflow.adopt_cluster('resume', 'made for the test')});
	return;
}

# Ends the sender of calls that have been carried out and not been answered, so
# that somebody comes to the next point.
sub lead_to
{
	my ($self, $how, $label) = @_;
	my $lead = $label eq 'worker_ending' || $how eq 'drop' || $how eq 'cancel' && !$self->{session} ? 'terminate' : $how eq 'immediate' ? 'kill' : $how;
	my $all = keys(%endpoint) * ($items + $calls) + (keys(%workflow) - keys(%endpoint)) * $items / 2;

	$self->until_so('executed', sub { keys %{ $self->{receiver}->executions($self->{round}) } == $all });
	my $seen = $self->look;
	my @once = grep { /$asks_a_person/ } @{ $seen->{sending} };
	my $pid = $self->sql($self->{session} ? q{SELECT pid FROM pg_stat_activity WHERE query LIKE 'CALL workflow.run%'} : q{SELECT pid FROM workflow.workers WHERE kind = 'http'});

	$self->{undecided}{$_} = 1 foreach @once;
	$self->{must_be_held}{$_} = 1 foreach $lead eq 'kill' ? @once : ();
	$self->arm($label);
	if ($label eq 'worker_ending') { $self->sql("SELECT pg_terminate_backend($pid)") }
	elsif ($lead eq 'cancel')      { $self->sql("SELECT pg_cancel_backend($pid)") }
	else                           { $end{$lead}->($self, $pid, $seen) }
	$self->{receiver}->release;
	$self->start_session if $self->{session} && $lead ne 'cancel';
	return;
}

# By workflow.run(), while there are no background workers.
sub sessions
{
	my ($self, @ends) = @_;

	$self->sql('ALTER SYSTEM SET pg_workflow.workers = off', 'postgres');
	$self->sql('SELECT pg_reload_conf()');
	$self->sql('SELECT workflow.stop_workers()');
	$self->until_true(q{NOT EXISTS (SELECT FROM workflow.workers WHERE kind <> 'launcher' AND state <> 'stopped')}, 'without workers');
	$self->{session} = 1;
	foreach my $how (@ends)
	{
		foreach my $label ($self->labels)
		{
			$self->begin_round($label, $how);
			$self->start_session;
			$self->lead_to($how, $label) if $after{$label};
			$self->end_at($how, $label);
			$self->end_sessions;
		}
		$self->all_end("sessions, $how");
	}
	return;
}

# A session that is only interrupted works on with the next statement.
sub start_session
{
	my ($self) = @_;
	my @command = ('psql', '-X', '-q', '-d', $self->{node}->connstr($self->{database}),
		map { ('-c', 'CALL workflow.run()') } 1 .. 3);

	push @{ $self->{sessions} }, IPC::Run::start(\@command, '<', \undef, '>', '/dev/null', '2>', '/dev/null');
	return;
}

sub end_sessions
{
	my ($self) = @_;
	$_->finish foreach @{ $self->{sessions} };
	$self->{sessions} = [];
	return;
}

# ------------------------------------------------------------------ the end

# A person looks at what the receiver did, and says so; returns how many.
sub resolve_held
{
	my ($self) = @_;
	my $executions = $self->{receiver}->executions('r');
	my @held = map { [ split /\|/ ] } split /\n/, $self->sql(q{
		SELECT effect_id, key, (SELECT string_agg(concat_ws(' ', outcome, worker, started_at::time, finished_at::time, message), ', ' ORDER BY attempt_id)
		                        FROM workflow.attempt AS a WHERE a.effect_id = e.effect_id)
		FROM workflow.effect AS e WHERE state = 'held'});
	my %ids = (applied => [], not_applied => []);

	foreach (@held)
	{
		my ($id, $key, $attempts) = @$_;
		push @{ $ids{ $executions->{$key} ? 'applied' : 'not_applied' } }, $id;
		$self->{held}{$key} = 1;
		$self->problem('only what cannot be decided is held', "$key: $attempts") if !$self->{undecided}{$key} || $key !~ $asks_a_person;
	}
	foreach (sort keys %ids)
	{
		$self->sql("SELECT workflow.resolve_many('{" . join(',', @{ $ids{$_} }) . "}', '$_', 'the receiver says so')") if @{ $ids{$_} };
	}
	return scalar @held;
}

sub all_end
{
	my ($self, $title) = @_;

	$self->{title} = $title;
	foreach (1 .. 10)
	{
		$self->until_quiet or last;
		last if !$self->resolve_held;
	}
	my %bad = map { split /\|/ } split /\n/, $self->sql(q{
		SELECT 'item ' || key, state FROM workflow.item WHERE outcome IS DISTINCT FROM 'success'
		UNION ALL SELECT 'effect ' || key, state FROM workflow.effect WHERE state <> 'succeeded'
		UNION ALL SELECT 'job ' || job_id, status FROM workflow.job
		UNION ALL SELECT 'item ' || i.key, v::text FROM workflow.items AS i, workflow.verify(i.item_id) AS v WHERE NOT v.ok
		UNION ALL SELECT 'journal', detail::text FROM workflow.journal WHERE action = 'duplicate_suspected'});
	$self->problem('everything ends well', "$_: $bad{$_}") foreach sort keys %bad;
	return;
}

# How often the receiver did what.
sub judge_executions
{
	my ($self) = @_;
	my $executions = $self->{receiver}->executions('r');
	my @keys = split /\n/, $self->sql('SELECT key FROM workflow.effect');

	$self->{title} = 'the receiver';
	foreach my $key (@keys)
	{
		$self->problem('nothing is lost', $key) if !$executions->{$key};
	}
	foreach my $key (sort keys %$executions)
	{
		my ($endpoint) = $key =~ /^r\d+-(\w+)-/;
		$self->problem('nothing is done twice', "$key: $executions->{$key}") if $executions->{$key} > 1 && !$may_repeat{$endpoint};
	}
	foreach my $key (sort keys %{ $self->{must_be_held} })
	{
		$self->problem('what a crash left in doubt is held, and never sent again', $key) if !$self->{held}{$key};
	}
	return scalar @keys;
}

sub finish
{
	my ($self) = @_;
	my $n = $self->judge_executions;
	my @unreached = grep { !$self->{reached}{$_} } sort keys %place;
	my $problems = $self->{problems};

	is("@unreached", '', 'every point was reached');
	foreach my $kind ('the points are where they are said to be', 'nothing is sent too early',
		'it goes on', 'everything ends well', 'nothing is lost', 'nothing is done twice',
		'what a crash left in doubt is held, and never sent again', 'what has finished is recorded', 'only what cannot be decided is held',
		$self->{slowest_drop} ? 'a database is dropped in less than a second' : ())
	{
		my @found = @{ $problems->{$kind} // [] };
		ok(!@found, $kind) or diag(join "\n", scalar(@found) . ' times:', @found[ 0 .. ($#found < 19 ? $#found : 19) ]);
	}
	note("$self->{ends} ends, $n effects, " . scalar(keys %{ $self->{held} // {} }) . ' held, ' . scalar(keys %{ $self->{undecided} }) . ' of them allowed'
		  . ($self->{slowest_drop} ? sprintf(', slowest drop %.2f s', $self->{slowest_drop}) : ''));
	$self->{node}->stop;
	$self->{receiver}->stop;
	return;
}

1;
