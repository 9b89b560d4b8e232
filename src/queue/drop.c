/*
 * drop.c
 *	  Removing the row of a queue, and what belongs to it alone.
 *
 * Whether it may go is judged by drop_queue() (sql/queue_drop.sql), which holds
 * the tables of jobs by then.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/end.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "queue_internal.h"

static WfPlan keys_plan = {
	.name = "drop_spent_keys",
	.expected = SPI_OK_DELETE,
	.passes = "spent_key",
	.nargs = 1,
	.argtypes = {TEXTOID},
	.sql = "DELETE FROM workflow.spent_key WHERE queue = $1",
};

static WfPlan rates_plan = {
	.name = "drop_rates",
	.expected = SPI_OK_DELETE,
	.passes = "rate",
	.nargs = 1,
	.argtypes = {TEXTOID},
	.sql = "DELETE FROM workflow.rate WHERE kind IN ('queue', 'tenant') AND name = $1",
};

static WfPlan queue_plan = {
	.name = "drop_queue",
	.expected = SPI_OK_DELETE,
	.passes = "queue",
	.nargs = 1,
	.argtypes = {TEXTOID},
	.sql = "DELETE FROM workflow.queue WHERE queue = $1",
};

/* Under which the present transaction has dropped a queue; invalid: none. */
static SubTransactionId dropped_in = InvalidSubTransactionId;
static WfEnd own_end = 0;

/*
 * Prepared, it would hold the tables of jobs for as long as it is not ended, also
 * after a restart of the server, where nobody could look at a queue then.
 */
static void
on_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_PREPARE && dropped_in != InvalidSubTransactionId)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a transaction that has dropped a queue cannot be prepared"),
				 errdetail("Nobody could store a job until it ends."),
				 errhint("Commit it, or call workflow.drop_queue() in a transaction of its own.")));
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT)
		dropped_in = InvalidSubTransactionId;
}

/*
 * The locks of the first one that is not undone are still held.
 */
static void
on_savepoint_end(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (dropped_in != mine)
		return;
	if (event == SUBXACT_EVENT_COMMIT_SUB)
		dropped_in = parent;
	else if (event == SUBXACT_EVENT_ABORT_SUB)
		dropped_in = InvalidSubTransactionId;
}

void
wf_queue_drop_init(void)
{
	own_end = wf_end_register(on_transaction_end, on_savepoint_end);
}

static void
note_drop(void)
{
	wf_end_is_due(own_end);
	if (dropped_in == InvalidSubTransactionId)
		dropped_in = GetCurrentSubTransactionId();
}

PG_FUNCTION_INFO_V1(wf_queue_delete);

/*
 * _delete_queue(queue text) returns void
 */
Datum
wf_queue_delete(PG_FUNCTION_ARGS)
{
	Datum		queue = PG_GETARG_DATUM(0);

	note_drop();
	SPI_connect();
	(void) wf_plan_execute(&keys_plan, &queue, NULL);
	(void) wf_plan_execute(&rates_plan, &queue, NULL);
	(void) wf_plan_execute(&queue_plan, &queue, NULL);
	SPI_finish();

	PG_RETURN_VOID();
}
