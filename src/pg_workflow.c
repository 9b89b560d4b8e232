/*
 * pg_workflow.c
 *	  Entry point of the library: one line a room, in dependency order.
 */
#include "postgres.h"

#include "base/config.h"
#include "base/end.h"
#include "base/point.h"
#include "base/switched.h"
#include "base/wake.h"
#include "fmgr.h"
#include "item/item.h"
#include "queue/queue.h"
#include "statistics/statistics.h"
#include "worker/worker.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

/*
 * Loading the library never fails: it may be loaded by any session, at any
 * time, preloaded or not.
 */
void
_PG_init(void)
{
	wf_config_init();
	wf_point_init();
	wf_end_init();
	wf_switched_init();
	wf_wake_init();
	wf_queue_init();
	wf_statistics_init();
	wf_item_init();
	wf_worker_init();
}
