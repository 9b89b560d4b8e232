/*
 * refuse.c
 *	  Claiming where a trigger may refuse.
 *
 * Users put triggers on workflow.job, and one that raises for a row would fail
 * the claim of all: of this one, and of the next, for ever.  Where there is such
 * a trigger jobs are marked in a subtransaction; when that fails they are marked
 * one by one, and the one that refuses says why in its row and is left alone by
 * this process for a while.  Without such a trigger nothing of it is done.  To a
 * worker it is the same whether a trigger refuses at once or at the commit.
 */
#include "postgres.h"

#include "access/table.h"
#include "base/deferred.h"
#include "base/sweep.h"
#include "base/table.h"
#include "base/try.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "queue_internal.h"
#include "storage/lockdefs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* Subtransactions of one claim; more would overflow a cache of the server. */
#define MAX_SINGLY 30

static WfPlan pick_plan = {
	.name = "claim_pick",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 7,
	.argtypes = {TEXTOID, TEXTOID, TIMESTAMPTZOID, INT8OID, INT4OID, TIMESTAMPTZOID, INT8ARRAYOID},
	.sql =
	"SELECT j.job_id FROM workflow.job AS j "
	"WHERE j.kind = $1 AND j.queue = $2 AND j.status = 'ready' AND NOT j.behind AND j.run_at <= $3 "
	"  AND (j.priority, j.run_at) <= ($5, $6) AND j.job_id <> ALL ($7) "
	"  AND (j.group_key IS NULL OR NOT " WF_GROUP_IS_BUSY("0") ") "
	"ORDER BY j.priority, j.run_at, j.job_id LIMIT $4 FOR UPDATE OF j SKIP LOCKED",
};

/* That one; it is locked. */
static WfPlan take_one_plan = {
	.name = "claim_one",
	.expected = SPI_OK_UPDATE_RETURNING,
	.by_index = true,
	.nargs = WF_MARK_NARGS + 1,
	.argtypes = {WF_MARK_TYPES, INT8OID},
	.sql =
	"WITH picked AS MATERIALIZED (SELECT $11 AS job_id) "
	WF_MARK_PICKED,
};

static WfPlan note_plan = {
	.name = "note that a job refuses",
	.expected = SPI_OK_UPDATE,
	.by_index = true,
	.nargs = 2,
	.argtypes = {INT8OID, TEXTOID},
	.sql =
	"UPDATE workflow.job SET error_class = 'permanent', error_message = $2 "
	"WHERE job_id = $1 AND error_message IS DISTINCT FROM $2",
};

/* Jobs whose claim was refused. */
static WfAside refused = {0};

typedef struct Marking
{
	WfClaim    *claim;
	int			limit;
	int64		job_id;			/* 0: any */
	const char *why;			/* it refuses */
	List	   *jobs;
} Marking;

/*
 * A worker's transaction is its own, and what it has put off may fire now.  What
 * a caller has put off is not ours to fire.
 */
static void
fire_deferred(const Marking *marking)
{
	if (strcmp(marking->claim->kind, "task") != 0)
		wf_deferred_fire_steps();
}

static void
try_to_mark(void *argument)
{
	Marking    *marking = argument;
	Datum		job_id = Int64GetDatum(marking->job_id);

	marking->jobs = marking->job_id == 0 ? wf_claim_pick(marking->claim, marking->limit) :
		wf_claim_mark(&take_one_plan, marking->claim, 1, &job_id);
	fire_deferred(marking);
}

static void
try_to_note(void *argument)
{
	Marking    *marking = argument;
	Datum		values[] = {
		Int64GetDatum(marking->job_id), CStringGetTextDatum(marking->why)
	};

	wf_plan_execute(&note_plan, values, NULL);
	fire_deferred(marking);
}

static void
set_aside(Marking *marking, const ErrorData *error)
{
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("job " INT64_FORMAT " cannot be claimed: %s", marking->job_id, error->message)));
	wf_aside_put(&refused, marking->job_id, WF_REFUSED_US);
	marking->why = psprintf("it cannot be claimed, and is tried each minute: %s", error->message);
	(void) wf_try(try_to_note, marking);
}

static uint64
pick(const WfClaim *claim, int limit)
{
	bool		has_end = claim->until_run_at != 0;
	Datum		values[] = {
		CStringGetTextDatum(claim->kind), CStringGetTextDatum(claim->queue),
		TimestampTzGetDatum(claim->now), Int64GetDatum(limit),
		Int32GetDatum(has_end ? claim->until_priority : PG_INT32_MAX),
		TimestampTzGetDatum(has_end ? claim->until_run_at : DT_NOEND), wf_aside_ids(&refused),
	};

	return wf_plan_execute(&pick_plan, values, NULL);
}

/*
 * Marks one after the other; the rest is for the next claim.
 */
static List *
mark_singly(Marking *marking, int limit)
{
	List	   *jobs = NIL;
	int			tries = 0;

	while (list_length(jobs) < limit && tries < MAX_SINGLY)
	{
		uint64		found = pick(marking->claim, Min(limit - list_length(jobs), MAX_SINGLY - tries));
		int64		ids[MAX_SINGLY];

		if (found == 0)
			break;
		for (uint64 i = 0; i < found; i++)
			ids[i] = wf_result_int8(i, 1);
		for (uint64 i = 0; i < found; i++, tries++)
		{
			ErrorData  *error;

			marking->job_id = ids[i];
			error = wf_try(try_to_mark, marking);
			if (error == NULL)
				jobs = list_concat(jobs, marking->jobs);
			else if (wf_error_is_passing(error->sqlerrcode))
				ReThrowError(error);
			else
				set_aside(marking, error);
		}
	}

	return jobs;
}

/*
 * Whether somebody has a trigger on updates of jobs; our own refuse nothing.
 */
bool
wf_claim_may_be_refused(void)
{
	static WfTable table = {"job"};
	Relation	job = table_open(wf_table_oid(&table), AccessShareLock);
	bool		has_trigger = false;

	for (int i = 0; job->trigdesc != NULL && i < job->trigdesc->numtriggers && !has_trigger; i++)
	{
		const Trigger *trigger = &job->trigdesc->triggers[i];

		has_trigger = TRIGGER_FOR_UPDATE(trigger->tgtype) &&
			get_func_namespace(trigger->tgfoid) != RelationGetNamespace(job);
	}
	table_close(job, NoLock);

	return has_trigger;
}

/*
 * Picks and marks up to limit jobs, and none that refuses.  In a fair queue one
 * that refuses still stops the others: marked singly they would be out of turn.
 */
List *
wf_claim_pick_willing(WfClaim *claim, int limit)
{
	Marking		marking = {.claim = claim,.limit = limit};
	ErrorData  *error;

	if (claim->is_fair || !wf_claim_may_be_refused())
		return wf_claim_pick(claim, limit);
	if (wf_aside_is_empty(&refused))
	{
		error = wf_try(try_to_mark, &marking);
		if (error == NULL)
			return marking.jobs;
		if (wf_error_is_passing(error->sqlerrcode))
			ReThrowError(error);
	}

	return mark_singly(&marking, limit);
}

/*
 * Jobs that are left alone, as an int8[]; and when they are tried again.
 */
Datum
wf_claim_refused(void)
{
	return wf_aside_ids(&refused);
}

bool
wf_claim_has_refused(void)
{
	return !wf_aside_is_empty(&refused);
}
