/*
 * subscribe.c
 *	  Queues that get a copy of each job that is stored in another one.
 *
 * A copy is stored with the job, in its transaction: it is there when the job
 * is, whoever commits first, and it is a job like any other of the queue that
 * subscribes, with claims, retries and dead letters of its own.
 *
 * Who stores a job looks for subscribers after that, when he holds the lock of
 * the table that it is in.  A subscription is committed, and then those are
 * waited for that hold such a lock: they may not have seen it.  So a job that
 * is not visible when the procedure returns will be copied.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/context.h"
#include "base/owner.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lane/lane.h"
#include "look.h"
#include "miscadmin.h"
#include "queue_internal.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

static WfPlan subscribers_plan = {
	.name = "subscribers",
	.expected = SPI_OK_SELECT,
	.read_only = true,
	.nargs = 1,
	.argtypes = {TEXTOID},
	.sql =
	"SELECT s.subscriber FROM workflow.subscription AS s WHERE s.queue = $1 ORDER BY s.subscriber",
};

static WfPlan subscribe_plan = {
	.name = "subscribe",
	.expected = SPI_OK_SELECT,
	.nargs = 3,
	.argtypes = {TEXTOID, TEXTOID, TEXTOID},
	.sql = "SELECT workflow._subscribe($1, $2, $3)",
};

static WfPlan drop_plan = {
	.name = "unsubscribe",
	.expected = SPI_OK_DELETE,
	.passes = "subscription",
	.nargs = 2,
	.argtypes = {TEXTOID, TEXTOID},
	.sql = "DELETE FROM workflow.subscription WHERE queue = $1 AND subscriber = $2",
};

/*
 * Facts may be as old as the snapshot of a transaction that keeps one.
 */
static bool
may_have_subscribers(const WfQueueFacts *facts)
{
	return facts == NULL || facts->has_subscribers || IsolationUsesXactSnapshot();
}

/*
 * Whether queues may subscribe to a queue in which the present transaction has
 * just stored something.  Runs no statement.
 */
bool
wf_queue_may_have_subscribers(const char *queue)
{
	return may_have_subscribers(wf_queue_facts_known(queue));
}

/*
 * The names of the queues that subscribe to a queue, in which the present
 * transaction has just stored something.
 */
List *
wf_queue_subscribers(const char *queue)
{
	Datum		name = CStringGetTextDatum(queue);
	List	   *subscribers = NIL;
	uint64		count;

	if (!may_have_subscribers(wf_queue_facts(queue)))
		return NIL;
	PushActiveSnapshot(GetLatestSnapshot());
	count = wf_plan_execute(&subscribers_plan, &name, NULL);
	for (uint64 i = 0; i < count; i++)
		subscribers = lappend(subscribers, wf_result_text(i, 1));
	PopActiveSnapshot();

	return subscribers;
}

static Datum
subscribe(PG_FUNCTION_ARGS)
{
	Datum		values[] = {
		CStringGetTextDatum(wf_role_name(GetUserId())), PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)
	};
	WfCaller	caller;

	wf_enter_owner(&caller);
	wf_plan_execute(&subscribe_plan, values, NULL);
	wf_leave_owner(&caller);

	PG_RETURN_VOID();
}

static void
wait_for_writers(const char *table)
{
	LOCKTAG		tag;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, wf_look_relation(table));
	WaitForLockers(tag, ShareLock, false);
}

static void
require_no_transaction_block(FunctionCallInfo fcinfo)
{
	if (!wf_may_commit(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("workflow.subscribe() cannot run inside a transaction block"),
				 errdetail("It commits the subscription and then waits for the transactions that have not seen it."),
				 errhint("Call it on its own.")));
}

PG_FUNCTION_INFO_V1(wf_subscribe);

/*
 * workflow.subscribe(queue text, subscriber text): a procedure
 */
Datum
wf_subscribe(PG_FUNCTION_ARGS)
{
	require_no_transaction_block(fcinfo);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("arguments of workflow.subscribe() must not be null"),
				 errdetail("A queue subscribes to another one."),
				 errhint("CALL workflow.subscribe('orders', 'audit') is an example.")));
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	(void) wf_at_border(subscribe, fcinfo);
	SPI_commit();
	wait_for_writers("job");
	for (int segment = 1; segment <= WF_LANE_SEGMENTS; segment++)
		wait_for_writers(psprintf("segment_%d", segment));
	SPI_finish();

	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(wf_queue_drop_subscription);

/*
 * workflow._drop_subscription(queue text, subscriber text) returns boolean
 */
Datum
wf_queue_drop_subscription(PG_FUNCTION_ARGS)
{
	Datum		values[] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)};
	bool		found;

	SPI_connect();
	found = wf_plan_execute(&drop_plan, values, NULL) > 0;
	SPI_finish();

	PG_RETURN_BOOL(found);
}
