/*
 * inner.c
 *	  What the room's PL/pgSQL calls in C, and what is set up at load.
 */
#include "postgres.h"

#include "base/clock.h"
#include "beats.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lane/lane.h"
#include "groups.h"
#include "marks.h"
#include "queue_internal.h"
#include "utils/array.h"
#include "utils/builtins.h"

void
wf_queue_init(void)
{
	/*
	 * what is registered last is called first: claims wake when lanes are
	 * done, and who mends a group needs the marks as they are then
	 */
	wf_groups_init();
	wf_beats_init();
	wf_marks_init();
	wf_claim_init();
	wf_turns_init();
	wf_lane_init();
	wf_lanes_init();
	wf_scan_init();
	wf_queue_drop_init();
}

PG_FUNCTION_INFO_V1(wf_queue_wake);

/*
 * workflow._wake_queue(queue text) returns void
 */
Datum
wf_queue_wake(PG_FUNCTION_ARGS)
{
	char	   *queue = text_to_cstring(PG_GETARG_TEXT_PP(0));

	wf_wake_at_commit(WF_WAKE_TASK, queue);
	wf_wake_at_commit(WF_WAKE_ROOM, queue);
	wf_wake_at_commit(WF_WAKE_SQL, NULL);
	wf_wake_at_commit(WF_WAKE_HTTP, NULL);

	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(wf_queue_job_again);

/*
 * workflow._job_again(job_id bigint) returns void
 */
Datum
wf_queue_job_again(PG_FUNCTION_ARGS)
{
	SPI_connect();
	wf_queue_unpark(PG_GETARG_INT64(0), wf_now(), true);
	SPI_finish();

	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(wf_queue_leave_lanes);

/*
 * workflow._leave_lanes(job_ids bigint[]) returns void
 */
Datum
wf_queue_leave_lanes(PG_FUNCTION_ARGS)
{
	Datum	   *ids;
	int64	   *job_ids;
	int			count;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE, &ids, NULL, &count);
	job_ids = palloc(sizeof(int64) * Max(count, 1));
	for (int i = 0; i < count; i++)
		job_ids[i] = DatumGetInt64(ids[i]);
	SPI_connect();
	wf_lanes_move_named(job_ids, count);
	SPI_finish();

	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(wf_queue_drop_cancelled);

/*
 * workflow._drop_cancelled(job_id bigint, reason text) returns void
 */
Datum
wf_queue_drop_cancelled(PG_FUNCTION_ARGS)
{
	char	   *reason = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	WfJob	   *job;

	SPI_connect();
	job = wf_queue_lock(PG_GETARG_INT64(0));
	if (job != NULL)
		wf_job_cancel(job, reason);
	SPI_finish();

	PG_RETURN_VOID();
}
