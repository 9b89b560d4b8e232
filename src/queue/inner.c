/*
 * inner.c
 *	  What the room's PL/pgSQL calls in C, and what is set up at load.
 */
#include "postgres.h"

#include "base/clock.h"
#include "fmgr.h"
#include "lane/lane.h"
#include "marks.h"
#include "queue_internal.h"
#include "utils/builtins.h"

void
wf_queue_init(void)
{
	/*
	 * what is registered last is called first: claims wake when lanes are
	 * done
	 */
	wf_marks_init();
	wf_claim_init();
	wf_lane_init();
	wf_lanes_init();
}

PG_FUNCTION_INFO_V1(wf_queue_wake);

/*
 * workflow._wake_queue(queue text) returns void
 */
Datum
wf_queue_wake(PG_FUNCTION_ARGS)
{
	wf_wake_at_commit(WF_WAKE_TASK, text_to_cstring(PG_GETARG_TEXT_PP(0)));
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
