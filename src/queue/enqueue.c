/*
 * enqueue.c
 *	  Storing jobs, and waking whoever runs them.
 *
 * The usual job costs one statement.  A key deduplicates through the unique
 * index on (queue, key), concurrent callers included: the loser of a race
 * waits for the winner and then finds its job.  Of a job that has succeeded, the
 * key may be kept for a time (spent.c).
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/context.h"
#include "base/identity.h"
#include "base/owner.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "heads.h"
#include "miscadmin.h"
#include "queue_internal.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

static WfPlan insert_plan = {
	.name = "enqueue",
	.expected = SPI_OK_INSERT_RETURNING,
	.nargs = 18,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT4OID, TIMESTAMPTZOID,
		INT8OID, TEXTOID, INT4OID, INT8OID, TEXTOID, TEXTOID, TIMESTAMPTZOID,
	JSONBOID, BOOLOID, TEXTOID, INT4OID, BOOLOID},
	.sql =
	"INSERT INTO workflow.job (queue, kind, status, waiting_on, priority, run_at, "
	"  item_id, state, seq, effect_id, key, group_key, created_at, payload, aged, tenant, "
	"  units, behind) "
	"SELECT q.queue, $2, $3, $4, $5 + " WF_AGED("$5", "$6") ", $6, "
	"  $7, $8, $9, $10, $11, $12, $13, $14, " WF_AGED("$5", "$6") ", " WF_TENANT("$16") ", $17, $18 "
	"FROM workflow.queue AS q "
	"WHERE q.queue = $1 AND (q.max_length IS NULL OR $15) "
	"ON CONFLICT (queue, key) WHERE key IS NOT NULL DO NOTHING "
	"RETURNING job_id",
};

static WfPlan find_key_plan = {
	.name = "find_job_key",
	.expected = SPI_OK_SELECT,
	.nargs = 2,
	.argtypes = {TEXTOID, TEXTOID},
	.sql = "SELECT j.job_id FROM workflow.job AS j WHERE j.queue = $1 AND j.key = $2",
};

static int64
find_by_key(const WfNewJob *job)
{
	Datum		values[] = {CStringGetTextDatum(job->queue), CStringGetTextDatum(job->key)};

	return wf_plan_execute(&find_key_plan, values, NULL) == 0 ? 0 : wf_result_int8(0, 1);
}

/*
 * Returns the id of the new job; 0 when there is none because the queue is
 * missing or limited (and is not known to have room), or the key is taken.
 */
static int64
insert_job(const WfNewJob *job, bool has_room)
{
	Datum		values[18];
	char		nulls[18];
	int64		job_id = wf_job_append(job);

	if (job_id != 0)
		return job_id;

	memset(nulls, ' ', sizeof(nulls));
	values[0] = CStringGetTextDatum(job->queue);
	values[1] = CStringGetTextDatum(job->kind);
	values[2] = CStringGetTextDatum(job->status == NULL ? "ready" : job->status);
	values[3] = wf_text_datum(job->waiting_on);
	nulls[3] = WF_NULL_FLAG(job->waiting_on);
	values[4] = Int32GetDatum(job->priority);
	values[5] = TimestampTzGetDatum(job->run_at);
	values[6] = Int64GetDatum(job->item_id);
	values[7] = wf_text_datum(job->state);
	nulls[7] = WF_NULL_FLAG(job->state);
	values[8] = Int32GetDatum(job->seq);
	nulls[6] = nulls[8] = job->item_id == 0 ? 'n' : ' ';
	values[9] = Int64GetDatum(job->effect_id);
	nulls[9] = job->effect_id == 0 ? 'n' : ' ';
	values[10] = wf_text_datum(job->key);
	nulls[10] = WF_NULL_FLAG(job->key);
	values[11] = wf_text_datum(job->group_key);
	nulls[11] = WF_NULL_FLAG(job->group_key);
	values[12] = TimestampTzGetDatum(wf_now());
	values[13] = job->payload == NULL ? (Datum) 0 : JsonbPGetDatum(job->payload);
	nulls[13] = WF_NULL_FLAG(job->payload);
	values[14] = BoolGetDatum(has_room);
	values[15] = wf_text_datum(job->tenant);
	nulls[15] = WF_NULL_FLAG(job->tenant);
	values[16] = Int32GetDatum(Max(job->units, 1));
	values[17] = BoolGetDatum(job->group_key != NULL &&
							  wf_heads_is_behind(job->queue, job->group_key, PG_INT64_MAX));

	return wf_plan_execute(&insert_plan, values, nulls) == 0 ? 0 : wf_result_int8(0, 1);
}

/*
 * Stores a job in the table; *is_new is false when there is one that has its
 * key.
 */
static int64
store(const WfNewJob *job, bool *is_new)
{
	bool		waits = job->status != NULL && strcmp(job->status, "ready") != 0;
	bool		has_room = waits;	/* what waits for a person is never
									 * refused */
	int64		job_id = job->key == NULL ? 0 : wf_spent_find(job->queue, job->key);

	*is_new = false;
	if (job_id != 0)
		return job_id;
	while ((job_id = insert_job(job, has_room)) == 0)
	{
		CHECK_FOR_INTERRUPTS();
		if (job->key != NULL && (job_id = find_by_key(job)) != 0)
			return job_id;
		wf_queue_require_room(job->queue, 1, job->may_wait);
		has_room = true;
	}
	if (job->item_id == 0)
		wf_queue_require_still(job->queue, 0);
	*is_new = job->key == NULL || !wf_spent_judge(&job_id, job->queue, job->key);
	if (!waits)
		wf_wake_at_commit(wf_job_topic(job->kind), job->queue);

	return job_id;
}

int64
wf_queue_enqueue(const WfNewJob *job)
{
	bool		is_new;

	return store(job, &is_new);
}

void
wf_enqueue_require_queue(bool is_null, const char *function)
{
	if (is_null)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("queue of workflow.%s() must not be null", function),
				 errdetail("A job waits in a queue."),
				 errhint("SELECT queue FROM workflow.queues shows the queues.")));
}

void
wf_enqueue_require_payload(bool is_null, const char *function, const char *argument)
{
	if (is_null)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s of workflow.%s() must not be null", argument, function),
				 errdetail("A job is a payload in a queue."),
				 errhint("Pass '{}' or 'null'::jsonb for a job that carries nothing.")));
}

/*
 * Refuses what no job may have.
 */
static void
require_sound(const WfNewJob *job)
{
	if (job->key != NULL)
		wf_require_name(job->key, "key of a job", "Give null where there is none.");
	if (job->group_key != NULL)
		wf_require_short(job->group_key, "group_key of a job");
	if (job->tenant != NULL)
		wf_require_short(job->tenant, "tenant of a job");
	wf_enqueue_require_units(job->units);
}

void
wf_enqueue_require_units(int units)
{
	if (units < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("units of a job must be at least 1"),
				 errdetail("They are %d.", units),
				 errhint("Estimate how much of the rate limit the job will take; workflow.complete() settles it.")));
}

/*
 * Stores a job where it belongs; a plain one has nothing but its payload.
 */
static int64
store_anywhere(const WfNewJob *job, bool is_plain, bool *is_new)
{
	Datum		payload = JsonbPGetDatum(job->payload);
	Datum		id;

	*is_new = true;
	if (is_plain && wf_lanes_store(job->queue, &payload, 1, &id))
		return DatumGetInt64(id);

	return store(job, is_new);
}

/*
 * Stores a copy of a job for each queue that subscribes; that queue may still
 * have a job of the same key, so a copy has none.
 */
static void
store_copies_of(const WfNewJob *job, bool is_plain)
{
	WfNewJob	copy = *job;
	bool		is_new;
	ListCell   *cell;

	copy.key = NULL;
	foreach(cell, wf_queue_subscribers(job->queue))
	{
		copy.queue = lfirst(cell);
		(void) store_anywhere(&copy, is_plain, &is_new);
	}
}

/*
 * Stores a job of a client in the table, and its copies; returns the id of the
 * one that has its key, if there is one.
 */
int64
wf_enqueue_with_copies(const WfNewJob *job)
{
	bool		is_new;
	int64		job_id;

	require_sound(job);
	job_id = store(job, &is_new);
	if (is_new)
		store_copies_of(job, false);

	return job_id;
}

/*
 * workflow.enqueue(queue text, payload jsonb, key text, group_key text,
 *		priority int, run_at timestamptz, tenant text, units int) returns bigint
 */
WF_PUBLIC_FUNCTION(wf_enqueue)
{
	WfNewJob	job = {0};
	WfCaller	caller;
	Datum		id;
	bool		is_plain;
	bool		is_stored;
	bool		is_new = true;

	wf_enqueue_require_queue(PG_ARGISNULL(0), "enqueue");
	wf_enqueue_require_payload(PG_ARGISNULL(1), "enqueue", "payload");
	job.queue = text_to_cstring(PG_GETARG_TEXT_PP(0));
	job.kind = "task";
	job.payload = PG_GETARG_JSONB_P(1);
	job.key = wf_optional_name(fcinfo, 2, "key");
	job.group_key = wf_optional_label(fcinfo, 3, "group_key");
	job.priority = PG_ARGISNULL(4) ? 0 : PG_GETARG_INT32(4);
	job.tenant = wf_optional_label(fcinfo, 6, "tenant");
	job.units = PG_ARGISNULL(7) ? 1 : PG_GETARG_INT32(7);
	require_sound(&job);
	job.may_wait = true;

	is_plain = job.key == NULL && job.group_key == NULL && job.priority == 0 &&
		PG_ARGISNULL(5) && job.tenant == NULL && job.units == 1;
	is_stored = is_plain && wf_lanes_store_at_once(job.queue, &PG_GETARG_DATUM(1), 1, &id);
	if (is_stored && !wf_queue_may_have_subscribers(job.queue))
		PG_RETURN_DATUM(id);
	job.run_at = wf_optional_time(fcinfo, 5, "run_at", wf_now());

	wf_enter_owner(&caller);
	SPI_connect();
	if (!is_stored)
		id = Int64GetDatum(store_anywhere(&job, is_plain, &is_new));
	if (is_new)
		store_copies_of(&job, is_plain);
	SPI_finish();
	wf_leave_owner(&caller);

	PG_RETURN_DATUM(id);
}
