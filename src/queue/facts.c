/*
 * facts.c
 *	  What a session knows of the queues that it uses, without asking the tables
 *	  each time.
 *
 * A change of a queue's row invalidates it, by way of the relation cache: who
 * begins a statement after the change is committed sees it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "base/clock.h"
#include "base/owner.h"
#include "base/table.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "lane/figure.h"
#include "look.h"
#include "queue_internal.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

static WfPlan facts_plan = {
	.name = "queue_facts",
	.expected = SPI_OK_SELECT,
	.nargs = 1,
	.argtypes = {TEXTOID},
	.sql =
	"SELECT q.queue_no, q.paused_at IS NOT NULL, q.lease, "
	"  q.rate_count IS NOT NULL OR q.max_running IS NOT NULL OR q.max_length IS NOT NULL "
	"  OR q.aging IS NOT NULL OR q.fair, "
	"  q.key_window, "
	"  EXISTS (SELECT 1 FROM workflow.subscription AS s WHERE s.queue = q.queue), "
	"  coalesce(q.retry->'max_attempts' = '1', false) "
	"FROM workflow.queue AS q WHERE q.queue = $1",
};

static WfPlan name_plan = {
	.name = "queue_name",
	.expected = SPI_OK_SELECT,
	.nargs = 1,
	.argtypes = {INT4OID},
	.sql = "SELECT q.queue FROM workflow.queue AS q WHERE q.queue_no = $1",
};

static WfPlan number_plan = {
	.name = "queue_number",
	.expected = SPI_OK_SELECT,
	.read_only = true,
	.nargs = 1,
	.argtypes = {TEXTOID},
	.sql = "SELECT q.queue_no FROM workflow.queue AS q WHERE q.queue = $1",
};

static HTAB *known_queues = NULL;
static WfTable queue_table = {"queue"};
static uint64 changes = 0;

static void
forget(Datum arg, Oid relation)
{
	HASH_SEQ_STATUS each;
	WfQueueFacts *facts;

	if (known_queues == NULL || (OidIsValid(relation) && relation != queue_table.oid))
		return;
	changes++;
	hash_seq_init(&each, known_queues);
	while ((facts = hash_seq_search(&each)) != NULL)
		facts->is_known = false;
}

static void
begin_knowing(void)
{
	HASHCTL		control = {.keysize = WF_FACTS_NAME,.entrysize = sizeof(WfQueueFacts)};

	known_queues = hash_create("pg_workflow queues", 64, &control, HASH_ELEM | HASH_STRINGS);
	CacheRegisterRelcacheCallback(forget, (Datum) 0);
}

static int64
result_interval_us(int column)
{
	bool		isnull;
	Datum		interval = wf_result_datum(0, column, &isnull);

	return isnull ? 0 : wf_interval_us(DatumGetIntervalP(interval));
}

static void
read_facts(WfQueueFacts *facts)
{
	facts->queue_no = wf_result_int4(0, 1);
	facts->is_paused = DatumGetBool(wf_result_datum(0, 2, NULL));
	facts->lease_us = result_interval_us(3);
	facts->is_limited = DatumGetBool(wf_result_datum(0, 4, NULL));
	facts->key_window_us = result_interval_us(5);
	facts->has_subscribers = DatumGetBool(wf_result_datum(0, 6, NULL));
	facts->runs_once = DatumGetBool(wf_result_datum(0, 7, NULL));
}

/*
 * The entry of a queue, whatever is in it; NULL when its name is too long to be
 * kept.  Entries stay where they are, and a session mostly asks for the same.
 */
static WfQueueFacts *
entry_of(const char *queue)
{
	static WfQueueFacts *latest = NULL;
	bool		found;

	if (strlen(queue) >= WF_FACTS_NAME)
		return NULL;
	if (known_queues == NULL)
		begin_knowing();
	AcceptInvalidationMessages();
	if (latest != NULL && strcmp(latest->queue, queue) == 0)
		return latest;
	latest = hash_search(known_queues, queue, HASH_ENTER, &found);
	if (!found)
		latest->is_known = false;

	return latest;
}

/*
 * What is known of a queue without asking a table; NULL when that is not
 * enough.
 */
WfQueueFacts *
wf_queue_facts_known(const char *queue)
{
	WfQueueFacts *facts = entry_of(queue);

	return facts == NULL || !facts->is_known ? NULL : facts;
}

/*
 * What is known of a queue; NULL when there is no such queue, or its name is
 * too long to be kept.
 */
WfQueueFacts *
wf_queue_facts(const char *queue)
{
	WfQueueFacts *facts = entry_of(queue);
	Datum		name;
	uint64		before;

	if (facts == NULL || facts->is_known)
		return facts;

	(void) wf_table_oid(&queue_table);
	before = changes;
	name = CStringGetTextDatum(queue);
	if (wf_plan_execute(&facts_plan, &name, NULL) == 0)
		return NULL;
	read_facts(facts);
	facts->table_due = 0;
	facts->lane = 0;
	facts->is_known = before == changes && !IsolationUsesXactSnapshot();

	return facts;
}

/*
 * The number of a queue as of now, also for a transaction that keeps a snapshot; 0
 * when there is none.
 */
static int
present_number(const char *queue)
{
	Datum		name = CStringGetTextDatum(queue);
	int			queue_no = 0;
	WfCaller	caller;

	wf_enter_owner(&caller);
	SPI_connect();
	if (!IsolationUsesXactSnapshot())
		(void) wf_queue_facts(queue);	/* so that it is known next time */
	PushActiveSnapshot(GetLatestSnapshot());
	if (wf_plan_execute(&number_plan, &name, NULL) > 0)
		queue_no = wf_result_int4(0, 1);
	PopActiveSnapshot();
	SPI_finish();
	wf_leave_owner(&caller);

	return queue_no;
}

/*
 * Whether a dead letter may be put into a queue.  A statement that reads what is
 * there when it has the table of jobs finds that itself; not so in a transaction
 * that keeps a snapshot.
 */
bool
wf_queue_takes_letters(const char *queue)
{
	if (!IsolationUsesXactSnapshot())
		return true;
	LockRelationOid(wf_look_relation("job"), RowExclusiveLock); /* drop_queue() waits */

	return present_number(queue) != 0;
}

/*
 * Refuses a job that the present transaction has just stored if its queue was dropped
 * meanwhile, or is another one of that name.  drop_queue() waits for those who hold
 * a writer's lock of the tables of jobs; who has got his after that hears of it
 * here.  queue_no is 0 where jobs are known by the queue's name alone.
 */
void
wf_queue_require_still(const char *queue, int queue_no)
{
	const WfQueueFacts *facts = wf_queue_facts_known(queue);
	int			present = facts != NULL ? facts->queue_no : present_number(queue);
	WfCaller	caller;

	if (present == 0)
	{
		wf_enter_owner(&caller);	/* the error ends that */
		SPI_connect();
		wf_job_refuse_queue(queue);
	}
	if (queue_no != 0 && present != queue_no)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("queue \"%s\" was dropped and made anew while a job was stored in it", queue),
				 errdetail("The job would be in the queue that is gone."),
				 errhint("Try again.")));
}

static char *
known_name(int queue_no)
{
	static WfQueueFacts *latest = NULL;
	HASH_SEQ_STATUS each;
	WfQueueFacts *facts;

	if (latest != NULL && latest->is_known && latest->queue_no == queue_no)
		return latest->queue;
	if (known_queues == NULL)
		return NULL;
	hash_seq_init(&each, known_queues);
	while ((facts = hash_seq_search(&each)) != NULL)
		if (facts->is_known && facts->queue_no == queue_no)
		{
			hash_seq_term(&each);
			latest = facts;
			return facts->queue;
		}

	return NULL;
}

/*
 * The name of a queue, which is known from then on.  Callers need not be
 * connected to SPI.
 */
char *
wf_queue_name(int queue_no)
{
	MemoryContext memory = CurrentMemoryContext;
	Datum		value = Int32GetDatum(queue_no);
	char	   *name = known_name(queue_no);
	WfCaller	caller;

	if (name != NULL)
		return name;

	wf_enter_owner(&caller);
	SPI_connect();
	if (wf_plan_execute(&name_plan, &value, NULL) == 0)
		elog(ERROR, "queue number %d is missing", queue_no);
	name = MemoryContextStrdup(memory, wf_result_text(0, 1));
	(void) wf_queue_facts(name);
	SPI_finish();
	wf_leave_owner(&caller);

	return name;
}

/*
 * A queue that is made anew begins with none of the figures of the one before.  They
 * are not forgotten then: others may store in it already, and their notes would be
 * of a page that is free for another queue.
 */
static void
forget_figures(const TriggerData *trigger)
{
	char	   *queue = SPI_getvalue(trigger->tg_trigtuple, RelationGetDescr(trigger->tg_relation), 1);

	if (queue != NULL)
		wf_figures_forget(queue, strlen(queue));
}

PG_FUNCTION_INFO_V1(wf_queue_changed);

/*
 * _queue_changed(): a trigger after a change of a queue
 */
Datum
wf_queue_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("the function is a trigger")));
	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		forget_figures(trigger);
	CacheInvalidateRelcacheByRelid(RelationGetRelid(trigger->tg_relation));
	wf_wake_at_commit(WF_WAKE_MAINTENANCE, NULL);

	return PointerGetDatum(NULL);
}
