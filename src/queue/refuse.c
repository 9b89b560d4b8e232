/*
 * refuse.c
 *	  Claiming where a trigger may refuse.
 *
 * Users put triggers on workflow.job, and one that raises for a row would fail
 * the claim of all: of this one, and of the next, for ever.  Where there is such
 * a trigger jobs are marked in a subtransaction; when that fails they are marked
 * one by one, and the one that refuses says why in its row and is left alone by
 * this process for a while.  Without such a trigger nothing of it is done.
 */
#include "postgres.h"

#include "access/table.h"
#include "base/sweep.h"
#include "base/try.h"
#include "catalog/namespace.h"
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
	"WHERE j.kind = $1 AND j.queue = $2 AND j.status = 'ready' AND j.run_at <= $3 "
	"  AND (j.priority, j.run_at) <= ($5, $6) AND j.job_id <> ALL ($7) "
	"  AND (j.group_key IS NULL OR NOT " WF_GROUP_IS_BUSY ") "
	"ORDER BY j.priority, j.run_at, j.job_id LIMIT $4 FOR UPDATE OF j SKIP LOCKED",
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
	const WfClaim *claim;
	WfMark		mark;
	int			limit;
	int64		job_id;			/* 0: any */
	const char *why;			/* it refuses */
	List	   *jobs;
} Marking;

static void
try_to_mark(void *argument)
{
	Marking    *marking = argument;

	marking->jobs = marking->mark(marking->claim, marking->limit, marking->job_id);
}

static void
try_to_note(void *argument)
{
	Marking    *marking = argument;
	Datum		values[] = {
		Int64GetDatum(marking->job_id), CStringGetTextDatum(marking->why)
	};

	wf_plan_execute(&note_plan, values, NULL);
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

static bool
may_refuse(void)
{
	Oid			schema = get_namespace_oid("workflow", true);
	Oid			table = OidIsValid(schema) ? get_relname_relid("job", schema) : InvalidOid;
	Relation	job;
	bool		has_trigger;

	if (!OidIsValid(table))
		return false;
	job = table_open(table, AccessShareLock);
	has_trigger = job->trigdesc != NULL &&
		(job->trigdesc->trig_update_before_row || job->trigdesc->trig_update_after_row ||
		 job->trigdesc->trig_update_before_statement ||
		 job->trigdesc->trig_update_after_statement);
	table_close(job, NoLock);

	return has_trigger;
}

/*
 * Marks up to limit jobs, and none that refuses.
 */
List *
wf_claim_mark(const WfClaim *claim, int limit, WfMark mark)
{
	Marking		marking = {.claim = claim,.mark = mark,.limit = limit};
	ErrorData  *error;

	if (!may_refuse())
		return mark(claim, limit, 0);
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
