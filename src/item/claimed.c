/*
 * claimed.c
 *	  What whoever claimed a job says of it: complete() and fail(), and the
 *	  same for many.
 *
 * The job is read without a lock to find its item, the item is locked, and
 * then the job is locked with its token: an event that moves the item takes
 * the locks in the same order.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/context.h"
#include "base/owner.h"
#include "base/plan.h"
#include "catalog/pg_type.h"
#include "item/item_internal.h"
#include "item/result.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

/*
 * Locks a claimed job, after its item.
 */
static WfJob *
lock_claimed(int64 job_id, const char *token)
{
	static WfPlan plan = {
		.name = "item of job",
		.expected = SPI_OK_SELECT,
		.nargs = 1,
		.argtypes = {INT8OID},
		.sql = "SELECT item_id FROM workflow.job WHERE job_id = $1 AND item_id IS NOT NULL",
	};
	Datum		value = Int64GetDatum(job_id);

	if (wf_plan_execute(&plan, &value, NULL) > 0)
		(void) wf_item_lock(wf_result_int8(0, 1));

	return wf_queue_lock_claimed(job_id, token);
}

static void
require_units(int units)
{
	if (units < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("units must not be negative"),
				 errdetail("They are %d.", units),
				 errhint("Pass what the job has really taken of the rate limit.")));
}

/*
 * complete(job_id, token, event, output, units)
 */
WF_PUBLIC_FUNCTION(wf_complete)
{
	char	   *token = wf_argument_text(fcinfo, 1, "token");
	char	   *event = wf_argument_text(fcinfo, 2, "event");
	Jsonb	   *output = PG_ARGISNULL(3) ? NULL : PG_GETARG_JSONB_P(3);
	bool		is_ok = strcmp(event, "ok") == 0;
	char	   *actor;
	WfCaller	caller;

	wf_require_argument(fcinfo, 0, "job_id");
	if (!PG_ARGISNULL(4))
		require_units(PG_GETARG_INT32(4));
	if (is_ok && wf_queue_complete_at_once(PG_GETARG_INT64(0), token, output))
		PG_RETURN_VOID();

	actor = wf_role_name(GetUserId());
	wf_enter_owner(&caller);
	SPI_connect();
	if (!is_ok || !wf_queue_complete_in_lane(PG_GETARG_INT64(0), token, output))
	{
		WfJob	   *job = lock_claimed(PG_GETARG_INT64(0), token);

		wf_item_complete_job(job, event, output, actor);
		if (!PG_ARGISNULL(4))
			wf_queue_settle_units(job, PG_GETARG_INT32(4));
	}
	SPI_finish();
	wf_leave_owner(&caller);

	PG_RETURN_VOID();
}

/* The elements of arrays of one length. */
typedef struct Claims
{
	int			count;
	Datum	   *job_ids;
	Datum	   *tokens;
	Datum	   *outputs;		/* NULL: none */
	bool	   *output_nulls;
	Datum	   *units;			/* NULL: none */
	bool	   *unit_nulls;
} Claims;

static int
read_array(FunctionCallInfo fcinfo, int argument, Oid type, Datum **values, bool **nulls)
{
	int			count;
	int16		length;
	bool		by_value;
	char		alignment;

	get_typlenbyvalalign(type, &length, &by_value, &alignment);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(argument), type, length, by_value, alignment,
					  values, nulls, &count);

	return count;
}

static void
require_no_nulls(const bool *nulls, int count)
{
	for (int i = 0; i < count; i++)
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("job_ids and tokens must not contain nulls"),
					 errdetail("Element %d is null.", i + 1),
					 errhint("Pass what claim() returned.")));
}

static void
require_length(const Claims *claims, int length, const char *argument)
{
	if (length != claims->count)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("job_ids and %s must have the same length", argument),
				 errdetail("There are %d job_ids and %d %s.", claims->count, length, argument),
				 errhint("Pass an element for each job, in one order.")));
}

static Claims
read_claims(FunctionCallInfo fcinfo)
{
	Claims		claims = {0};
	bool	   *nulls;

	wf_require_argument(fcinfo, 0, "job_ids");
	wf_require_argument(fcinfo, 1, "tokens");
	claims.count = read_array(fcinfo, 0, INT8OID, &claims.job_ids, &nulls);
	require_no_nulls(nulls, claims.count);
	require_length(&claims, read_array(fcinfo, 1, TEXTOID, &claims.tokens, &nulls), "tokens");
	require_no_nulls(nulls, claims.count);

	return claims;
}

/*
 * What complete_many() has beside the claims.
 */
static void
read_results(FunctionCallInfo fcinfo, Claims *claims)
{
	if (!PG_ARGISNULL(3))
		require_length(claims, read_array(fcinfo, 3, JSONBOID, &claims->outputs, &claims->output_nulls),
					   "outputs");
	if (PG_ARGISNULL(4))
		return;
	require_length(claims, read_array(fcinfo, 4, INT4OID, &claims->units, &claims->unit_nulls), "units");
	for (int i = 0; i < claims->count; i++)
		if (!claims->unit_nulls[i])
			require_units(DatumGetInt32(claims->units[i]));
}

static Jsonb *
output_of(const Claims *claims, int i)
{
	if (claims->outputs == NULL || claims->output_nulls[i])
		return NULL;

	return DatumGetJsonbP(claims->outputs[i]);
}

static void
complete_claimed(const Claims *claims, int i, const char *event, const char *actor)
{
	WfJob	   *job = lock_claimed(DatumGetInt64(claims->job_ids[i]),
								   TextDatumGetCString(claims->tokens[i]));

	wf_item_complete_job(job, event, output_of(claims, i), actor);
	if (claims->units != NULL && !claims->unit_nulls[i])
		wf_queue_settle_units(job, DatumGetInt32(claims->units[i]));
}

/*
 * complete_many(job_ids, tokens, event, outputs, units) returns their number
 *
 * All or none: a stale token refuses the whole call.
 */
WF_PUBLIC_FUNCTION(wf_complete_many)
{
	char	   *actor = wf_role_name(GetUserId());
	char	   *event = wf_argument_text(fcinfo, 2, "event");
	Claims		claims = read_claims(fcinfo);
	bool	   *done = palloc0(sizeof(bool) * Max(claims.count, 1));
	WfCaller	caller;

	read_results(fcinfo, &claims);
	wf_enter_owner(&caller);
	SPI_connect();
	if (claims.outputs == NULL && strcmp(event, "ok") == 0)
		wf_queue_complete_many_in_lanes(claims.job_ids, claims.tokens, claims.count, done);
	for (int i = 0; i < claims.count; i++)
		if (!done[i])
			complete_claimed(&claims, i, event, actor);
	SPI_finish();
	wf_leave_owner(&caller);

	PG_RETURN_INT32(claims.count);
}

/*
 * Fails claims as the arguments from error_class on say.
 */
static void
fail(FunctionCallInfo fcinfo, const Claims *claims)
{
	char	   *actor = wf_role_name(GetUserId());
	char	   *error_class = wf_argument_text(fcinfo, 2, "error_class");
	char	   *message = wf_optional_text(fcinfo, 3);
	int64		retry_after_us = PG_ARGISNULL(4) ? -1 : wf_interval_us(PG_GETARG_INTERVAL_P(4));
	Jsonb	   *detail = PG_ARGISNULL(5) ? NULL : PG_GETARG_JSONB_P(5);
	WfCaller	caller;

	wf_queue_require_class(error_class);
	wf_enter_owner(&caller);
	SPI_connect();
	for (int i = 0; i < claims->count; i++)
		wf_item_fail_job(lock_claimed(DatumGetInt64(claims->job_ids[i]),
									  TextDatumGetCString(claims->tokens[i])),
						 error_class, message, retry_after_us, detail, actor);
	SPI_finish();
	wf_leave_owner(&caller);
}

/*
 * fail(job_id, token, error_class, message, retry_after, detail)
 */
WF_PUBLIC_FUNCTION(wf_fail)
{
	Datum		job_id = PG_GETARG_DATUM(0);
	Datum		token = PG_GETARG_DATUM(1);
	Claims		claims = {.count = 1,.job_ids = &job_id,.tokens = &token};

	wf_require_argument(fcinfo, 0, "job_id");
	wf_require_argument(fcinfo, 1, "token");
	fail(fcinfo, &claims);

	PG_RETURN_VOID();
}

/*
 * fail_many(job_ids, tokens, error_class, message, retry_after, detail) returns
 * their number
 *
 * All or none: a stale token refuses the whole call.
 */
WF_PUBLIC_FUNCTION(wf_fail_many)
{
	Claims		claims = read_claims(fcinfo);

	fail(fcinfo, &claims);

	PG_RETURN_INT32(claims.count);
}
