/*
 * fair.c
 *	  Taking ready jobs of a fair queue: one of each tenant in turn.
 *
 * Among the jobs of the most urgent priority tenants take turns, whatever each
 * has waiting.  Whose turn was the last is in shared memory (turns.c), else a column
 * of the queue's row, which a claim locks, as that of a queue with max_running does.  The tenants are
 * found by an index on (queue, kind, priority, tenant, run_at), from one to the next
 * (tenants.c), and no more are looked for than jobs are wanted; how many jobs they
 * have, or had, does not matter.
 *
 * A job without a tenant is one of the tenant '', so that it takes turns, too.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "queue_internal.h"
#include "tenants.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

static WfPlan level_plan = {
	.name = "fair_level",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 4,
	.argtypes = {TEXTOID, TEXTOID, INT4OID, TIMESTAMPTZOID},
	.sql =
	"SELECT j.priority FROM workflow.job AS j "
	"WHERE j.kind = $1 AND j.queue = $2 AND j.status = 'ready' AND NOT j.behind AND j.priority >= $3 "
	"  AND j.run_at <= $4 "
	"ORDER BY j.priority, j.run_at LIMIT 1",
};

/* Of each of the tenants as many, as far as there are. */
static WfPlan take_plan = {
	.name = "claim_fair",
	.expected = SPI_OK_UPDATE_RETURNING,
	.by_index = true,
	.nargs = WF_MARK_NARGS + 4,
	.argtypes = {WF_MARK_TYPES, INT4OID, TEXTARRAYOID, INT8OID, TIMESTAMPTZARRAYOID},
	.sql =
	"WITH picked AS MATERIALIZED ("
	"  SELECT p.job_id FROM ROWS FROM (pg_catalog.unnest($12), pg_catalog.unnest($14)) WITH ORDINALITY "
	"    AS t (tenant, run_at, n), "
	"  LATERAL (SELECT j.job_id FROM workflow.job AS j "
	"    WHERE j.queue = $2 AND j.kind = $1 AND j.status || '' = 'ready' AND NOT j.behind AND j.tenant IS NOT NULL "
	"      AND j.priority = $11 AND j.tenant = t.tenant AND j.run_at <= $3 AND j.run_at >= t.run_at "
	"      AND (j.group_key IS NULL OR NOT " WF_GROUP_IS_BUSY("$13") ") "
	"    ORDER BY j.run_at, j.job_id "
	"    LIMIT GREATEST(1, $4 / pg_catalog.cardinality($12)) FOR UPDATE OF j SKIP LOCKED) AS p "
	"  ORDER BY t.n LIMIT $4) "
	WF_MARK_PICKED,
};

static WfPlan note_plan = {
	.name = "fair_note_turn",
	.expected = SPI_OK_UPDATE,
	.nargs = 2,
	.argtypes = {TEXTOID, TEXTOID},
	.sql = "UPDATE workflow.queue SET fair_last = $2 WHERE queue = $1",
};

/* How far a claim has come. */
typedef struct Ring
{
	WfClaim    *claim;
	int			priority;		/* of the level */
	TimestampTz from;			/* of which no job is due before that */
	const char *last;			/* whose turn was the last */
	int			turns;			/* that were taken */
	int			ntenants;		/* whose turns are next, in order */
	Datum	   *tenants;
	char	  **names;			/* the same */
	Datum	   *froms;			/* the times of their first jobs */
	Datum	   *units;			/* of these */
	int			room;			/* for so many */
	int			head_units;		/* of the next job */
} Ring;

/*
 * Finds the first level from the present one on that has a job due, from low-water
 * marks.  What this claim itself has taken from a level still counts: then nobody is
 * found there.
 */
static bool
know_level(Ring *ring)
{
	const WfReady *ready = &ring->claim->ready;

	for (int i = 0; i < ready->n; i++)
	{
		const WfReadyFirst *first = &ready->firsts[i];

		if (first->priority < ring->priority || first->run_at > ring->claim->now)
			continue;
		ring->priority = first->priority;
		ring->from = first->run_at;
		return true;
	}

	return false;
}

/*
 * The same, where there are no marks, too.
 */
static bool
find_level(Ring *ring)
{
	Datum		values[] = {
		CStringGetTextDatum(ring->claim->kind), CStringGetTextDatum(ring->claim->queue),
		Int32GetDatum(ring->priority), TimestampTzGetDatum(ring->claim->now)
	};

	if (ring->claim->ready.is_known)
		return know_level(ring);
	ring->from = DT_NOBEGIN;
	if (wf_plan_execute(&level_plan, values, NULL) == 0)
		return false;
	ring->priority = wf_result_int4(0, 1);

	return true;
}

static void
add_turn(Ring *ring, const WfTenantTurn *turn, char *name)
{
	if (ring->ntenants == ring->room)
	{
		ring->room *= 2;
		ring->tenants = repalloc(ring->tenants, sizeof(Datum) * ring->room);
		ring->names = repalloc(ring->names, sizeof(char *) * ring->room);
		ring->froms = repalloc(ring->froms, sizeof(Datum) * ring->room);
		ring->units = repalloc(ring->units, sizeof(Datum) * ring->room);
	}
	ring->tenants[ring->ntenants] = turn->tenant;
	ring->names[ring->ntenants] = name;
	ring->froms[ring->ntenants] = TimestampTzGetDatum(turn->from);
	ring->units[ring->ntenants++] = Int32GetDatum(turn->units);
}

static Datum
array_of(Datum *elements, int from, int until, Oid type)
{
	return PointerGetDatum(construct_array(elements + from, until - from, type,
										   type == TEXTOID ? -1 : 8,
										   type != TEXTOID,
										   type == TEXTOID ? TYPALIGN_INT : TYPALIGN_DOUBLE));
}

/*
 * Whether the rate of the tenant, if he has one, is open to his next job.
 */
static bool
is_open(const Ring *ring, const char *tenant, int units)
{
	return !ring->claim->is_tenant_rated || wf_claim_tenant_is_open(ring->claim, tenant, units);
}

/*
 * Goes on until there are as many turns, or no more tenants; whether there may be more.
 */
static bool
add_turns(Ring *ring, WfTenants *tenants, const char *until, int at_most)
{
	WfTenantTurn turn;
	char	   *name;

	while (ring->ntenants < at_most)
	{
		if (!wf_tenants_next(tenants, until, &turn))
			return false;
		name = TextDatumGetCString(turn.tenant);
		if (is_open(ring, name, turn.units))
			add_turn(ring, &turn, name);
		else
			pfree(name);
	}

	return true;
}

/*
 * Finds whose turns are next, at most so many: the tenants behind the last one, and then
 * from the first one on up to it.
 */
static void
find_tenants(Ring *ring, int at_most)
{
	WfTenants	tenants;

	ring->ntenants = 0;
	ring->room = Min(at_most, 64);
	ring->tenants = palloc(sizeof(Datum) * ring->room);
	ring->names = palloc(sizeof(char *) * ring->room);
	ring->froms = palloc(sizeof(Datum) * ring->room);
	ring->units = palloc(sizeof(Datum) * ring->room);
	wf_tenants_open(&tenants, ring->claim, ring->priority, ring->from);
	wf_tenants_begin_behind(&tenants, ring->last);
	if (!add_turns(ring, &tenants, NULL, at_most))
	{
		wf_tenants_begin_behind(&tenants, NULL);
		(void) add_turns(ring, &tenants, ring->last, at_most);
	}
	wf_tenants_close(&tenants);
	ring->head_units = ring->ntenants == 0 ? 0 : DatumGetInt32(ring->units[0]);
}

/*
 * Looks from the last one found on: jobs mostly come in the order of the turns.
 */
static int
turn_of(const Ring *ring, const char *tenant, int last)
{
	for (int i = 0; i < ring->ntenants; i++)
	{
		int			at = (Max(last, 1) - 1 + i) % ring->ntenants;

		if (strcmp(ring->names[at], tenant) == 0)
			return at + 1;
	}
	elog(ERROR, "a job of tenant \"%s\" was taken out of turn", tenant);
}

/*
 * Numbers the turns in which the jobs of a look are handed out: the first jobs of all
 * tenants, then the second ones.  They come in the order of their tenants' places in the
 * ring, those of one in their own.
 */
static void
number_turns(Ring *ring, List *jobs)
{
	int			place = 0;
	int			nth = 0;
	int			most = 0;
	ListCell   *cell;

	foreach(cell, jobs)
	{
		WfJob	   *job = lfirst(cell);

		nth = job->turn == place ? nth + 1 : 0;
		place = job->turn;
		most = Max(most, nth);
		job->turn = ring->turns + nth * ring->ntenants + place;
	}
	ring->turns += (most + 1) * ring->ntenants;
}

/*
 * Takes jobs of those tenants, of each as many.
 */
static List *
take_turns(Ring *ring, int wanted)
{
	Datum		more[] = {
		Int32GetDatum(ring->priority), array_of(ring->tenants, 0, ring->ntenants, TEXTOID),
		Int64GetDatum(ring->claim->grouped_from),
		array_of(ring->froms, 0, ring->ntenants, TIMESTAMPTZOID)
	};
	List	   *jobs = wf_claim_mark(&take_plan, ring->claim, wanted, more);
	int			turn = 0;
	ListCell   *cell;

	foreach(cell, jobs)
	{
		WfJob	   *job = lfirst(cell);

		job->turn = turn = turn_of(ring, job->tenant, turn);
	}
	wf_claim_sort(jobs);
	number_turns(ring, jobs);
	wf_claim_sort(jobs);
	if (jobs != NIL)
		ring->last = ((WfJob *) llast(jobs))->tenant;

	return jobs;
}

/*
 * Takes jobs of a level until there are as many as wanted, or none is free.
 */
static List *
take_level(Ring *ring, int wanted)
{
	List	   *jobs = NIL;
	int			at_most = wanted;

	while (list_length(jobs) < wanted)
	{
		List	   *found;

		find_tenants(ring, at_most);
		found = ring->ntenants == 0 ? NIL : take_turns(ring, wanted - list_length(jobs));
		found = wf_claim_without_losers(ring->claim, found);
		if (ring->claim->is_tenant_rated)
			found = wf_claim_use_tenant_rates(ring->claim, found);
		if (found == NIL && ring->ntenants < at_most)
			break;
		if (found == NIL)
			at_most *= 2;		/* what these have is held, waits for its
								 * group or is too much for the rate */
		jobs = list_concat(jobs, found);
	}

	return jobs;
}

/*
 * Picks and marks up to limit jobs of a fair queue, for which the claim stands in line.
 */
List *
wf_claim_mark_fair(WfClaim *claim, int limit)
{
	Ring		ring = {.claim = claim,.priority = PG_INT32_MIN,.last = claim->fair_last};
	List	   *jobs = NIL;

	while (list_length(jobs) < limit && find_level(&ring))
	{
		jobs = list_concat(jobs, take_level(&ring, limit - list_length(jobs)));
		if (ring.priority == PG_INT32_MAX)
			break;
		ring.priority++;
	}

	return jobs;
}

/*
 * The units of the job whose turn is next; 0 when there is none that may start.
 */
int
wf_claim_next_turn(WfClaim *claim)
{
	Ring		ring = {.claim = claim,.priority = PG_INT32_MIN};

	wf_turns_read(claim);
	ring.last = claim->fair_last;
	while (find_level(&ring))
	{
		find_tenants(&ring, 1);
		if (ring.ntenants > 0)
			return ring.head_units;
		if (ring.priority++ == PG_INT32_MAX)
			break;
	}

	return 0;
}

/*
 * Notes whose turn was the last among the jobs that were taken.
 */
void
wf_claim_note_turn(const WfClaim *claim, List *jobs)
{
	const WfJob *last = NULL;
	ListCell   *cell;

	foreach(cell, jobs)
	{
		const WfJob *job = lfirst(cell);

		if (last == NULL || job->turn > last->turn)
			last = job;
	}
	if (last != NULL && !wf_turns_note(claim, last->tenant))
	{
		Datum		values[] = {CStringGetTextDatum(claim->queue), CStringGetTextDatum(last->tenant)};

		wf_plan_execute(&note_plan, values, NULL);
	}
}
