/*
 * calls.c
 *	  The end of jobs that were nothing but calls.
 *
 * Most calls stand alone and succeed: nobody follows but the job itself, which
 * goes.  Many of them go with one statement.
 */
#include "postgres.h"

#include "base/rows.h"
#include "catalog/pg_type.h"
#include "queue_internal.h"
#include "utils/builtins.h"

/*
 * What is held is still as it was claimed: a token is of one claim of one job.
 * Nobody is waited for.
 */
static WfPlan end_calls_plan = {
	.name = "end_calls",
	.expected = SPI_OK_DELETE_RETURNING,
	.by_index = true,
	.passes = "job",
	.nargs = 2,
	.argtypes = {INT8ARRAYOID, TEXTARRAYOID},
	.sql =
	"WITH held AS MATERIALIZED ("
	"  SELECT j.job_id FROM workflow.job AS j "
	"  WHERE j.job_id = ANY ($1) AND j.token = ANY ($2) AND j.item_id IS NULL "
	"    AND NOT EXISTS (SELECT 1 FROM workflow.job AS o "
	"      WHERE o.effect_id = j.effect_id AND o.job_id <> j.job_id) "
	"  FOR UPDATE OF j SKIP LOCKED) "
	"DELETE FROM workflow.job AS j "
	"WHERE j.job_id = ANY (ARRAY(SELECT h.job_id FROM held AS h)) "
	"RETURNING j.job_id, j.queue, j.kind, " WF_FREES_OTHERS,
};

static WfRows *
claims_of(const WfJob **jobs, int n)
{
	WfRows	   *rows = wf_rows_make(&end_calls_plan);

	for (int i = 0; i < n; i++)
	{
		Datum		values[] = {
			Int64GetDatum(jobs[i]->job_id), CStringGetTextDatum(jobs[i]->token)
		};

		wf_rows_add(rows, values, NULL);
	}

	return rows;
}

/*
 * See queue.h.
 */
void
wf_queue_end_calls(const WfJob **jobs, bool *are_ended, int n)
{
	uint64		nended = wf_rows_execute(claims_of(jobs, n));

	memset(are_ended, 0, sizeof(bool) * n);
	for (uint64 row = 0; row < nended; row++)
	{
		int64		job_id = wf_result_int8(row, 1);

		for (int i = 0; i < n; i++)
			if (jobs[i]->job_id == job_id)
				are_ended[i] = true;
		wf_pace_ended(wf_result_text(row, 2), WF_FIGURE_FINISHED, 0, 0, 1);
		if (DatumGetBool(wf_result_datum(row, 4, NULL)))
			wf_wake_at_commit(wf_job_topic(wf_result_text(row, 3)), wf_result_text(row, 2));
	}
}
