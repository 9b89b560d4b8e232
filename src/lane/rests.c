/*
 * rests.c
 *	  A store that is right if the present transaction commits: it was built by it,
 *	  and jobs that did not fit were moved into the table.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/end.h"
#include "lane_internal.h"

/*
 * Under which the present transaction has moved jobs; invalid: none.
 */
static SubTransactionId rests_on = InvalidSubTransactionId;
static WfStore *resting = NULL;
static WfEnd own_end = 0;

/*
 * The store that is being built is right if the transaction commits.
 */
void
wf_store_rests_on_me(WfStore *store)
{
	LWLockAcquire(&store->lock, LW_EXCLUSIVE);
	store->is_moving = true;
	LWLockRelease(&store->lock);
	rests_on = GetCurrentSubTransactionId();
	resting = store;
	wf_end_is_due(own_end);
}

static void
at_end_of_move(XactEvent event, void *arg)
{
	if (rests_on == InvalidSubTransactionId)
		return;
	if (event == XACT_EVENT_PRE_PREPARE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a transaction that has moved jobs into the table cannot be prepared"),
				 errdetail("They did not fit into the shared memory of the queues."),
				 errhint("Try again.")));
	if (event == XACT_EVENT_ABORT)
		wf_store_outdate(resting);
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT)
		rests_on = InvalidSubTransactionId;
}

/*
 * The locks that keep what was moved where it was are still held.
 */
static void
at_end_of_savepoint(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (rests_on != mine)
		return;
	if (event == SUBXACT_EVENT_COMMIT_SUB)
		rests_on = parent;
	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	wf_store_outdate(resting);
	rests_on = InvalidSubTransactionId;
}

void
wf_rests_init(void)
{
	own_end = wf_end_register(at_end_of_move, at_end_of_savepoint);
}
