# What monitoring/ ships works: every query of the dashboard, of the collector and of the
# map is run as a member of pg_monitor, collector and map say what workflow.metrics says,
# and are what their exporters read; the alert rules fire when they should, and promtool
# reads what prometheus() writes.

use strict;
use warnings FATAL => 'all';
use lib 'test/include';
use CPAN::Meta::YAML;
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WorkingNode;

my $node = start_working_node();
my $promtool = -x 'build/promtool' ? 'build/promtool' : 'promtool';
my $has_promtool = IPC::Run::run([ 'sh', '-c', 'command -v "$0"', $promtool ], '>', \my $where);

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub quoted { return join ', ', map { s/'/''/gr =~ s/^|$/'/gr } @_ }

# Rows of a query as the watcher gets them, with the names and types of its columns.
sub seen
{
	my ($query) = @_;
	$query =~ s/\s*;?\s*\z//;
	my ($code, $out, $err) = $node->psql('postgres', qq{
		CREATE TEMP VIEW seen AS $query;
		SELECT json_build_object('columns', (SELECT json_agg(json_build_array(attname, format_type(atttypid, atttypmod)) ORDER BY attnum)
		                                     FROM pg_attribute WHERE attrelid = 'seen'::regclass AND attnum > 0),
		                         'rows', (SELECT coalesce(json_agg(s), '[]') FROM seen AS s))},
		connstr => $node->connstr('postgres') . ' user=watcher', on_error_stop => 1);
	return $code == 0 ? decode_json($out) : { error => $err };
}

# Something of everything.
sql(q{
	CREATE ROLE watcher LOGIN IN ROLE pg_monitor;
	GRANT TEMP ON DATABASE postgres TO watcher;
	SELECT workflow.create_queue('mail "new"', 'ops', '1 hour', '{boss}', retry => '{"max_attempts": 1}');
	CREATE SERVER crm FOREIGN DATA WRAPPER workflow_http OPTIONS (url 'https://crm.example/', dedup 'none', owner 'crm-team');
	SELECT workflow.create_source('hook', 'none');
	SELECT workflow.define('{
	  "workflow": "order", "owner": "shop", "initial": "NEW",
	  "queues": {"asking": {"owner": "shop", "sla": "1 hour", "escalate_to": ["boss"]}},
	  "states": {
	    "NEW":   {"on": {"ask": "ASKED", "drop": "GONE"}},
	    "ASKED": {"review": {"queue": "asking", "decisions": ["yes", "no"], "show": "$"}, "on": {"yes": "DONE", "no": "GONE"}},
	    "DONE":  {"final": "success"}, "GONE":  {"final": "failure"}}}');
	SELECT count(*) FROM workflow.submit_many('order', (SELECT array_agg(jsonb_build_object('n', n)) FROM generate_series(1, 6) AS n));
	SELECT count(*) FROM workflow.items AS i, LATERAL workflow.send(i.item_id, CASE WHEN i.item_id % 2 = 0 THEN 'ask' ELSE 'drop' END) WHERE i.item_id < 6;
	SELECT workflow.enqueue('mail "new"', '1') FROM generate_series(1, 3);
	SELECT workflow.fail(job_id, token, 'permanent', 'no such address') FROM workflow.claim('mail "new"', 'w');
	SELECT effect_id, token FROM workflow.begin_effect('crm', 'k', '{}') \gset
	SELECT workflow.finish_effect(:effect_id, :'token', 'unknown');
});
wait_for('count(*) = 0 FROM workflow.state_delta', 'moves are folded');

# ---------------------------------------------------------------- dashboard
my $dashboard = decode_json(slurp_file('monitoring/grafana/pg_workflow.json'));
my %variable = map { $_->{name} => $_ } @{ $dashboard->{templating}{list} };
my %chosen;
foreach my $variable (grep { $_->{type} eq 'query' } values %variable)
{
	my $answer = seen($variable->{query});
	ok(!$answer->{error}, "variable $variable->{name}") or diag($answer->{error});
	$chosen{ $variable->{name} } = quoted(map { values %$_ } @{ $answer->{rows} });
	isnt($chosen{ $variable->{name} }, '', "variable $variable->{name} has values");
}

# As Grafana's data source does.
sub expanded
{
	my ($query, $hours) = @_;
	my ($from, $to) = (time - 3600 * $hours, time + 60);
	$query =~ s/\$__timeFilter\((\w+)\)/$1 BETWEEN to_timestamp($from) AND to_timestamp($to)/g;
	$query =~ s/\$__unixEpochFrom\(\)/$from/g;
	$query =~ s/\$__unixEpochTo\(\)/$to/g;
	$query =~ s/\$(\w+)\b/$chosen{$1} \/\/ "\$$1"/ge;
	return $query;
}

sub check_target
{
	my ($title, $target) = @_;
	my $is_series = $target->{format} eq 'time_series';
	foreach my $hours ($is_series ? (1, 48, 24 * 60) : (1))
	{
		my $query = expanded($target->{rawSql}, $hours);
		unlike($query, qr/\$/, "$title: every variable and macro is known");
		my $answer = seen($query);
		ok(!$answer->{error}, "$title: runs") or diag($query, $answer->{error});
		next if $answer->{error};
		my @columns = @{ $answer->{columns} };
		is(scalar grep({ $_->[1] =~ /interval|\[\]|json/ } @columns), 0, "$title: Grafana can show every column");
		next if !$is_series;
		is("@{ $columns[0] }", 'time timestamp with time zone', "$title: begins with the time");
		is(scalar grep({ $_->[0] ne 'metric' && $_->[1] !~ /^(double precision|bigint|numeric)$/ } @columns[ 1 .. $#columns ]),
			0, "$title: the rest are numbers, but the name");
		cmp_ok(scalar @{ $answer->{rows} }, '>', 0, "$title: shows something in $hours hours");
	}
	return;
}
my %id;
foreach my $panel (grep { $_->{type} ne 'row' } @{ $dashboard->{panels} })
{
	ok(!$id{ $panel->{id} }++, "$panel->{title}: has an id of its own");
	check_target($panel->{title}, $_) foreach @{ $panel->{targets} };
}
cmp_ok(scalar keys %id, '>', 15, 'there are panels');

# As Grafana lays them out: 24 columns wide, none on top of another.
my %taken;
foreach my $panel (@{ $dashboard->{panels} })
{
	my ($x, $y, $w, $h) = @{ $panel->{gridPos} }{qw(x y w h)};
	cmp_ok($x + $w, '<=', 24, "$panel->{title}: fits");
	is(scalar grep({ $taken{$_}++ } map { my $row = $_; map { "$row $_" } $x .. $x + $w - 1 } $y .. $y + $h - 1), 0, "$panel->{title}: has a place of its own");
	next if $panel->{type} ne 'timeseries';
	is_deeply([ @{ $panel->{options}{legend} }{qw(showLegend)}, defined $panel->{options}{tooltip}{sort} ], [ JSON::PP::true, 1 ], "$panel->{title}: has a legend");
}

# ---------------------------------------------------------------- collector
my $collector = CPAN::Meta::YAML->read('monitoring/sql_exporter/pg_workflow.collector.yml')->[0];
my %rows;

# sql_exporter refuses what it does not know.
sub unknown { my ($hash, @known) = @_; my %is_known = map { $_ => 1 } @known; return grep { !$is_known{$_} } sort keys %$hash }
sub repeated { my %n; $n{$_}++ foreach @_; return grep { $n{$_} > 1 } sort keys %n }
is_deeply([ unknown($collector, qw(collector_name min_interval metrics queries)) ], [], 'collector: no other fields');
is_deeply([ repeated(map { $_->{metric_name} } @{ $collector->{metrics} }), repeated(map { $_->{query_name} } @{ $collector->{queries} }) ],
	[], 'collector: no name is there twice');
foreach my $metric (@{ $collector->{metrics} })
{
	my $name = $metric->{metric_name};
	is_deeply([ unknown($metric, qw(metric_name type help key_labels values query_ref)) ], [], "collector: $name has no other fields");
	like($metric->{type}, qr/^(counter|gauge)$/, "collector: $name has a type");
	is(scalar @{ $metric->{values} }, 1, "collector: $name is one column");
	is(scalar grep({ $_->{query_name} eq $metric->{query_ref} } @{ $collector->{queries} }), 1, "collector: $name has its query");
	is_deeply([ grep { !/^[a-z_]+$/ || /^(job|target)$/ } @{ $metric->{key_labels} // [] } ], [], "collector: $name has labels that may be used");
}
foreach my $query (@{ $collector->{queries} })
{
	is_deeply([ unknown($query, qw(query_name query)) ], [], "collector: $query->{query_name} has no other fields");
	my $answer = seen($query->{query});
	ok(!$answer->{error}, "collector: $query->{query_name} runs") or diag($answer->{error});
	my %used = map { $_ => 1 } map { @{ $_->{key_labels} // [] }, @{ $_->{values} } }
	  grep { $_->{query_ref} eq $query->{query_name} } @{ $collector->{metrics} };
	is_deeply([ sort map { $_->[0] } @{ $answer->{columns} } ], [ sort keys %used ], "collector: $query->{query_name} returns what is used");
	$rows{ $query->{query_name} } = $answer->{rows};
}

# The value of what changes with the time, or by a worker, does not count.
sub sample
{
	my ($metric, $type, $help, $value, %labels) = @_;
	$value = 'some' if $metric =~ /_seconds$|_per_second$|_workers$|_leases|_timers/ && $metric !~ /_sla_/;
	return join ' ', $metric, $type, $help, JSON::PP->new->canonical->encode(\%labels), $value;
}
my @collected;
foreach my $metric (@{ $collector->{metrics} })
{
	my $column = $metric->{values}[0];
	foreach my $row (grep { defined $_->{$column} } @{ $rows{ $metric->{query_ref} } })
	{
		push @collected, sample(@{$metric}{qw(metric_name type help)}, $row->{$column}, map { $_ => $row->{$_} } @{ $metric->{key_labels} // [] });
	}
}
my @expected = map { sample(@{$_}{qw(metric type help value)}, %{ $_->{labels} }) } @{ seen('SELECT * FROM workflow.metrics')->{rows} };
is_deeply([ sort @collected ], [ sort @expected ], 'the collector says what workflow.metrics says');
cmp_ok(scalar @expected, '>', 60, 'which is something');

# ---------------------------------------------------------- CloudNativePG map
my ($frame, $map) = slurp_file('monitoring/cloudnative_pg/pg_workflow.configmap.yml') =~ /\A(.*^  queries: \|\n)((?:    .*\n)*)\z/ms;
my $manifest = CPAN::Meta::YAML->read_string($frame . "    x\n")->[0];
is_deeply([ @{$manifest}{qw(apiVersion kind)}, $manifest->{metadata}{name}, keys %{ $manifest->{data} } ], [qw(v1 ConfigMap pg-workflow-metrics queries)],
	'map: is a ConfigMap');
my $queries = CPAN::Meta::YAML->read_string($map =~ s/^    //gmr)->[0];
my (@mapped, @of_map);

# Labels are matched by their place, columns by their number; a null would be a sample.
foreach my $key (sort keys %$queries)
{
	my $query = $queries->{$key};
	my @columns = map { my ($column) = keys %$_; { column => $column, %{ $_->{$column} } } } @{ $query->{metrics} };
	my $answer = seen($query->{query});
	ok(!$answer->{error}, "map: $key runs") or diag($answer->{error});
	is($query->{name}, 'pg_workflow', "map: $key says how its metrics begin");
	is($query->{primary}, 'true', "map: $key is not asked of standbys, which have no workers");
	is_deeply([ unknown($query, qw(name primary query metrics)), map { unknown($_, qw(column usage description)) } @columns ], [], "map: $key has no other fields");
	is_deeply([ map { $_->[0] } @{ $answer->{columns} } ], [ map { $_->{column} } @columns ], "map: $key returns what is used, in its order");
	is(scalar grep({ my $row = $_; grep { !defined } values %$row } @{ $answer->{rows} }), 0, "map: $key has a value for each");
	my @labels = map { $_->{column} } grep { $_->{usage} eq 'LABEL' } @columns;
	foreach my $column (grep { $_->{usage} ne 'LABEL' } @columns)
	{
		like($column->{usage}, qr/^(COUNTER|GAUGE)$/, "map: $column->{column} of $key has a usage");
		push @of_map, $column->{column};
		push @mapped, map { my $row = $_; sample("$query->{name}_$column->{column}", lc $column->{usage}, $column->{description}, $row->{ $column->{column} },
				map { $_ => $row->{$_} } @labels) } @{ $answer->{rows} };
	}
}
is_deeply([ repeated(@of_map) ], [], 'map: no metric comes from two queries');
is_deeply([ sort @mapped ], [ sort @expected ], 'the map says what workflow.metrics says');
my $read_only = $node->safe_psql('postgres', join('; ', 'BEGIN READ ONLY', 'SET ROLE pg_monitor', map { $queries->{$_}{query} } sort keys %$queries) . '; COMMIT');
like($read_only, qr/order/, 'also where nothing may be written, as pg_monitor itself');

# -------------------------------------------------------------------- rules
my $rules = CPAN::Meta::YAML->read('monitoring/prometheus/pg_workflow.rules.yml')->[0]{groups}[0]{rules};
my %is_metric = map { $_ => 1 } split /\n/, sql('SELECT metric FROM workflow._metric_kinds()');
my $tests = slurp_file('monitoring/prometheus/pg_workflow.rules.test.yml');
my $overview = slurp_file('monitoring/README.md');
foreach my $rule (@$rules)
{
	my $name = $rule->{alert};
	is(scalar grep({ !$is_metric{$_} } $rule->{expr} =~ /\b(pg_workflow_\w+)/g), 0, "$name: there are its metrics");
	like($rule->{for}, qr/^\d+[smhd]$/, "$name: says for how long");
	like($rule->{labels}{severity}, qr/^(page|ticket)$/, "$name: has a severity");
	ok($rule->{labels}{owner}, "$name: has an owner");
	ok($rule->{annotations}{summary}, "$name: has a summary");
	my ($page) = $rule->{annotations}{runbook_url} =~ m{^https://pgxn\.org/dist/pg_workflow/(docs/.*)\.html$};
	ok($page && -f "$page.md", "$name: has something to read");
	like($tests, qr/alertname: $name\n *exp_alerts:\n/, "$name: is tested");
	like($overview, qr/^\| `$name` \|.*\| $rule->{labels}{severity} \|$/m, "$name: is in the overview");
}
SKIP:
{
	if (!$has_promtool)
	{
		diag('promtool is not there: alert rules and the text format are NOT checked by it; tools/prepare, as root on Debian, fetches it');
		skip('no promtool', 3);
	}
	command_ok([ $promtool, 'check', 'rules', 'monitoring/prometheus/pg_workflow.rules.yml' ], 'promtool reads the rules');
	command_ok([ $promtool, 'test', 'rules', 'monitoring/prometheus/pg_workflow.rules.test.yml' ], 'the rules fire as their tests say');
	my $text = $node->safe_psql('postgres', 'SELECT workflow.prometheus()', connstr => $node->connstr('postgres') . ' user=watcher');
	my $ok = IPC::Run::run([ $promtool, 'check', 'metrics' ], '<', \"$text\n", '>', \my $out, '2>', \my $err);
	is("$ok$out$err", '1', 'promtool has nothing to say about prometheus()');
}

$node->stop;
done_testing();
