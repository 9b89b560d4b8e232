/*
 * lease.c
 *	  workflow.extend() and workflow.release(), of one job or of many.
 *
 * The forms for many jobs do all or nothing: the error names the first job
 * whose token is stale.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/context.h"
#include "base/owner.h"
#include "beats.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lane/lane.h"
#include "queue_internal.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

static WfPlan extend_plan = {
	.name = "extend_lease",
	.expected = SPI_OK_UPDATE,
	.nargs = 4,
	.argtypes = {INT8OID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID},
	.sql =
	"UPDATE workflow.job SET lease_until = $4, session_pid = NULL, session_start = NULL "
	"WHERE job_id = $1 AND token = $2 AND status = 'running' "
	"  AND (lease_until IS NULL OR workflow._lease_end(job_id, token, lease_until) > $3)",
};

/* What a function here is given: one claim, or many. */
static const char *const of_one[] = {"job_id", "token", "lease"};
static const char *const of_many[] = {"job_ids", "tokens", "lease"};

static void
require_arguments(FunctionCallInfo fcinfo, const char *function, const char *const *names)
{
	for (int i = 0; i < PG_NARGS(); i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("argument \"%s\" must not be null", names[i]),
					 errdetail("workflow.%s() was called with null for it.", function),
					 i < 2 ? errhint("Pass what workflow.claim() returned.") :
					 errhint("Say how long the claim is to last from now on, as '5 minutes'.")));
}

/*
 * Returns when a lease that is given now ends.
 */
static TimestampTz
lease_end(TimestampTz now, const Interval *lease)
{
	int64		lease_us = wf_interval_us(lease);

	if (lease_us <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("lease must be longer than zero"),
				 errdetail("The lease would have ended already."),
				 errhint("workflow.release(job_id, token) gives a job back.")));

	return now + lease_us;
}

/*
 * Extends a lease in the table, where a claim goes that is bound to its session.
 * What memory says of it goes first.
 */
static void
extend_in_table(int64 job_id, const char *token, TimestampTz now, TimestampTz until)
{
	Datum		values[] = {
		Int64GetDatum(job_id), CStringGetTextDatum(wf_lane_token_claim(token)), TimestampTzGetDatum(now),
		TimestampTzGetDatum(until)
	};

	if (wf_plan_execute(&extend_plan, values, NULL) == 0 &&
		!(wf_lanes_move_claimed(job_id, token) &&
		  wf_plan_execute(&extend_plan, values, NULL) > 0))
	{
		(void) wf_queue_lock_claimed(job_id, token);	/* says what is wrong */
		elog(ERROR, "lease of job " INT64_FORMAT " could not be extended", job_id);
	}
	wf_beats_move(job_id, token, until);
}

/* Where the end of a lease is that is extended. */
typedef enum Place
{
	IN_LANE,
	IN_MEMORY,					/* of a job of the table */
	IN_TABLE,
} Place;

/*
 * Extends a lease in memory, or with until 0 only says whether that can be done.
 */
static bool
extend_in_memory(Place place, int64 job_id, const char *token, TimestampTz now, TimestampTz until,
				 uint32 *like)
{
	if (place == IN_LANE)
		return wf_lane_extend(job_id, token, now, until, like);

	return place == IN_MEMORY && wf_beats_extend(job_id, token, now, until);
}

/*
 * Extends many leases, all or none: what is done in memory cannot be undone, and
 * comes last.
 */
static void
extend(const Datum *ids, char **tokens, int count, TimestampTz now, TimestampTz until)
{
	Place	   *places = palloc(sizeof(Place) * Max(count, 1));
	uint32		like = 0;

	for (int i = 0; i < count; i++)
	{
		int64		job_id = DatumGetInt64(ids[i]);

		for (places[i] = IN_LANE; places[i] < IN_TABLE; places[i]++)
			if (extend_in_memory(places[i], job_id, tokens[i], now, 0, &like))
				break;
		if (places[i] == IN_TABLE)
			extend_in_table(job_id, tokens[i], now, until);
	}
	for (int i = 0; i < count; i++)
		if (places[i] != IN_TABLE &&
			!extend_in_memory(places[i], DatumGetInt64(ids[i]), tokens[i], now, until, &like))
			extend_in_table(DatumGetInt64(ids[i]), tokens[i], now, until);
}

static void
release_one(int64 job_id, const char *token)
{
	wf_job_release(wf_queue_lock_claimed(job_id, token));
}

/*
 * Reads arrays of jobs and tokens, which belong together one by one.
 */
static int
read_claims(FunctionCallInfo fcinfo, Datum **ids, Datum **tokens)
{
	ArrayType  *id_array = PG_GETARG_ARRAYTYPE_P(0);
	ArrayType  *token_array = PG_GETARG_ARRAYTYPE_P(1);
	int			nids;
	int			ntokens;

	if (array_contains_nulls(id_array) || array_contains_nulls(token_array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("job ids and tokens must not be null"),
				 errdetail("A claim is named by its job and its token."),
				 errhint("Pass them as workflow.claim() returned them.")));
	deconstruct_array(id_array, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE, ids, NULL, &nids);
	deconstruct_array(token_array, TEXTOID, -1, false, TYPALIGN_INT, tokens, NULL, &ntokens);
	if (nids != ntokens)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("there must be a token for each job"),
				 errdetail("There are %d jobs and %d tokens.", nids, ntokens),
				 errhint("Pass both arrays in the same order.")));

	return nids;
}

/*
 * workflow.extend(job_id bigint, token text, lease interval) returns timestamptz
 */
WF_PUBLIC_FUNCTION(wf_extend)
{
	WfCaller	caller;
	TimestampTz now = wf_now();
	TimestampTz until;
	Datum		id;
	char	   *token;

	require_arguments(fcinfo, "extend", of_one);
	until = lease_end(now, PG_GETARG_INTERVAL_P(2));

	wf_enter_owner(&caller);
	SPI_connect();
	id = PG_GETARG_DATUM(0);
	token = text_to_cstring(PG_GETARG_TEXT_PP(1));
	extend(&id, &token, 1, now, until);
	SPI_finish();
	wf_leave_owner(&caller);

	PG_RETURN_TIMESTAMPTZ(until);
}

/*
 * workflow.extend_many(job_ids bigint[], tokens text[], lease interval)
 *		returns timestamptz
 */
WF_PUBLIC_FUNCTION(wf_extend_many)
{
	WfCaller	caller;
	TimestampTz now = wf_now();
	TimestampTz until;
	Datum	   *ids;
	Datum	   *tokens;
	char	  **texts;
	int			count;

	require_arguments(fcinfo, "extend_many", of_many);
	until = lease_end(now, PG_GETARG_INTERVAL_P(2));
	count = read_claims(fcinfo, &ids, &tokens);

	wf_enter_owner(&caller);
	SPI_connect();
	texts = palloc(sizeof(char *) * Max(count, 1));
	for (int i = 0; i < count; i++)
		texts[i] = TextDatumGetCString(tokens[i]);
	extend(ids, texts, count, now, until);
	SPI_finish();
	wf_leave_owner(&caller);

	PG_RETURN_TIMESTAMPTZ(until);
}

/*
 * workflow.release(job_id bigint, token text) returns void
 */
WF_PUBLIC_FUNCTION(wf_release)
{
	WfCaller	caller;

	require_arguments(fcinfo, "release", of_one);

	wf_enter_owner(&caller);
	SPI_connect();
	release_one(PG_GETARG_INT64(0), text_to_cstring(PG_GETARG_TEXT_PP(1)));
	SPI_finish();
	wf_leave_owner(&caller);

	PG_RETURN_VOID();
}

/*
 * workflow.release_many(job_ids bigint[], tokens text[]) returns int
 */
WF_PUBLIC_FUNCTION(wf_release_many)
{
	WfCaller	caller;
	Datum	   *ids;
	Datum	   *tokens;
	int			count;

	require_arguments(fcinfo, "release_many", of_many);
	count = read_claims(fcinfo, &ids, &tokens);

	wf_enter_owner(&caller);
	SPI_connect();
	for (int i = 0; i < count; i++)
		release_one(DatumGetInt64(ids[i]), TextDatumGetCString(tokens[i]));
	SPI_finish();
	wf_leave_owner(&caller);

	PG_RETURN_INT32(count);
}
