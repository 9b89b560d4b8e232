# What the scripts that run examples share: a throw-away cluster with the
# extension, and the stand-in for the outside.  Sourced with $here, the folder of
# the example, and $work, where everything is made; needs initdb, pg_ctl, psql
# and perl in PATH.  All of it ends with the script.
sockets=$(mktemp -d /tmp/wf.XXXXXX)
export PGHOST=$sockets PGPORT=5432 PGDATABASE=demo PGUSER=postgres PSQLRC=/dev/null
unset PGDATA PGOPTIONS PGSERVICE
export PAGER=cat PGTZ=UTC
trap stop_everything EXIT

title()
{
	if [ -t 1 ]
	then
		printf '\n\033[1m%s\033[0m\n' "$1"
	else
		printf '\n%s\n' "$1"
	fi
}

run_sql()
{
	psql -X -q -v ON_ERROR_STOP=1 -P footer=off "$@"
}

ask()
{
	run_sql -At "$@"
}

# ---- what runs beside us ---------------------------------------------------

stop_everything()
{
	[ -z "${stand_in_pid:-}" ] || kill "$stand_in_pid" 2>/dev/null || true
	pg_ctl -D "$work/data" -m immediate -w stop >/dev/null 2>&1 || true
	rm -rf "$sockets"
}

start_cluster()
{
	rm -rf "$work/data" "$work/server.log"
	initdb -D "$work/data" -U postgres -A trust -E UTF8 --no-locale -N >"$work/initdb.log"
	cat >>"$work/data/postgresql.conf" <<-END
		shared_preload_libraries = 'pg_workflow'
		listen_addresses = ''
		unix_socket_directories = '$sockets'
		port = $PGPORT
		max_worker_processes = 16
		timezone = 'UTC'
	END
	pg_ctl -D "$work/data" -l "$work/server.log" -w start >/dev/null
	PGDATABASE=postgres run_sql -c 'CREATE DATABASE demo'
}

# The stand-in ends by itself when this script does: start_stand_in [--accounts FILE]
start_stand_in()
{
	rm -f "$work/stand_in.port" "$work/stand_in.log"
	perl "$here/../crm_enrichment/server.pl" --port 0 --port-file "$work/stand_in.port" --parent $$ \
		--max-seconds 600 --log "$work/stand_in.log" "$@" >"$work/stand_in.out" 2>&1 &
	stand_in_pid=$!
	for _ in $(seq 100)
	do
		[ ! -s "$work/stand_in.port" ] || break
		sleep 0.05
	done
	stand_in=http://127.0.0.1:$(cat "$work/stand_in.port")
}

# One request to the stand-in: stand_in_asks METHOD PATH [BODY]
stand_in_asks()
{
	perl -MHTTP::Tiny -e '
		my ($method, $url, $body) = @ARGV;
		my $answer = HTTP::Tiny->new->request($method, $url, defined $body ? { content => $body } : {});
		die "$method $url: $answer->{status} $answer->{content}\n" if !$answer->{success};
		print $answer->{content}' "$1" "$stand_in$2" ${3:+"$3"}
}

# Until every item has ended or waits for a person.
wait_until_at_rest()
{
	local moving=-1
	for _ in $(seq 300)
	do
		moving=$(ask -c "SELECT count(*) FROM workflow.items AS i, workflow.where_is(i.item_id) AS w
			WHERE w.waiting_on NOT IN ('nothing', 'review', 'exception')")
		[ "$moving" -ne 0 ] || return 0
		sleep 0.3
	done
	echo "$moving items did not come to rest:"
	run_sql -x -c "SELECT w.* FROM workflow.items AS i, workflow.where_is(i.item_id) AS w
		WHERE w.waiting_on NOT IN ('nothing', 'review', 'exception') LIMIT 3"
	tail -n 20 "$work/server.log"
	return 1
}
