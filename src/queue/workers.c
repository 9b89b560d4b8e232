/*
 * workers.c
 *	  What background workers ask for: the ready jobs of one kind, wherever
 *	  they are queued.
 *
 * Queues of a smaller priority go first; queues of the same priority share the
 * claim evenly, so that no backlog keeps another queue waiting.  What a share
 * leaves goes to whoever has more.
 *
 * After a claim a worker sleeps until a commit wakes it or until
 * wf_queue_next_due().  That answers from what the last claim saw: a job that
 * was due then and was not taken (its group is busy, the queue is full or
 * paused) is not a reason to look again, for its turn comes with a wake-up.  One
 * whose row somebody has locked is: who lets go of it tells nobody.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/sweep.h"
#include "catalog/pg_type.h"
#include "heads.h"
#include "miscadmin.h"
#include "queue_internal.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* How soon a worker looks again when another one was just claiming. */
#define CONTENDED_US (20 * INT64CONST(1000))

static WfPlan queues_plan = {
	.name = "claim_kind_queues",
	.expected = SPI_OK_SELECT,
	.sql =
	"SELECT q.queue, q.priority, q.aging IS NOT NULL, " WF_LIMIT_COLUMNS " "
	"FROM workflow.queue AS q WHERE q.paused_at IS NULL",
};

static WfPlan head_plan = {
	.name = "claim_kind_head",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 5,
	.argtypes = {TEXTOID, TEXTOID, TIMESTAMPTZOID, INT4OID, TIMESTAMPTZOID},
	.sql =
	"SELECT j.priority - j.aged, j.run_at FROM workflow.job AS j "
	"WHERE j.kind = $1 AND j.queue = $2 AND j.status = 'ready' AND NOT j.behind AND j.run_at <= $3 "
	"  AND (j.priority, j.run_at) >= ($4, $5) "
	"ORDER BY j.priority, j.run_at, j.job_id LIMIT 1",
};

static WfPlan next_due_plan = {
	.name = "next_due",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 2,
	.argtypes = {TEXTOID, TIMESTAMPTZOID},
	.sql =
	"SELECT j.run_at FROM workflow.job AS j "
	"WHERE j.status = 'ready' AND NOT j.behind AND j.kind = $1 AND j.run_at > $2 "
	"  AND NOT EXISTS (SELECT 1 FROM workflow.queue AS q "
	"    WHERE q.queue = j.queue AND q.paused_at IS NOT NULL) "
	"  AND (j.group_key IS NULL OR NOT " WF_GROUP_IS_BUSY("0") ") "
	"ORDER BY j.run_at LIMIT 1",
};

/* A queue that has ready jobs of the kind. */
typedef struct Head
{
	WfClaim		claim;
	int			priority;
	bool		has_aging;
	WfReadyFirst first;
	bool		has_more;
} Head;

/* What the last claim of a kind in this process saw. */
typedef struct Look
{
	const char *kind;
	TimestampTz at;
	TimestampTz again_at;		/* 0: nothing to wait for but new jobs */
} Look;

static Look looks[] = {{"task"}, {"sql"}, {"http"}, {"model"}};

static Look *
look_of(const char *kind)
{
	for (int i = 0; i < lengthof(looks); i++)
		if (strcmp(looks[i].kind, kind) == 0)
			return &looks[i];
	elog(ERROR, "no worker claims jobs of kind \"%s\"", kind);
}

static void
look_again_at(Look *look, TimestampTz at)
{
	if (look->again_at == 0 || at < look->again_at)
		look->again_at = at;
}

/*
 * All queues that are not paused.
 */
static List *
find_queues(const char *kind, const char *worker, TimestampTz now)
{
	uint64		count = wf_plan_execute(&queues_plan, NULL, NULL);
	List	   *heads = NIL;

	for (uint64 i = 0; i < count; i++)
	{
		Head	   *head = palloc0(sizeof(Head));

		head->claim.kind = kind;
		head->claim.worker = worker;
		head->claim.now = now;
		head->claim.queue = wf_result_text(i, 1);
		head->priority = wf_result_int4(i, 2);
		head->has_aging = DatumGetBool(wf_result_datum(i, 3, NULL));
		wf_claim_read_limits(&head->claim, i, 4);
		heads = lappend(heads, head);
	}

	return heads;
}

/*
 * from: nothing that is due stands before it.
 */
static bool
search_first(Head *head, const WfReadyFirst *from)
{
	const WfClaim *claim = &head->claim;
	Datum		values[] = {
		CStringGetTextDatum(claim->kind), CStringGetTextDatum(claim->queue),
		TimestampTzGetDatum(claim->now), Int32GetDatum(from->priority),
		TimestampTzGetDatum(from->run_at)
	};

	if (wf_plan_execute(&head_plan, values, NULL) == 0)
		return false;
	head->first.priority = wf_result_int4(0, 1);
	head->first.run_at = DatumGetTimestampTz(wf_result_datum(0, 2, NULL));

	return true;
}

/*
 * Finds the first ready job of a queue, if there is one.  With aging the marks
 * have no priorities that compare with those of other queues.
 */
static bool
find_first(Head *head)
{
	WfReady		ready;

	wf_heads_mend(head->claim.queue);
	wf_ready_look(head->claim.queue, head->claim.kind, &ready);
	if (!wf_ready_first(&ready, head->claim.now, &head->first))
		return false;

	return (ready.is_known && !head->has_aging) || search_first(head, &head->first);
}

static int
in_turn(const ListCell *a, const ListCell *b)
{
	const Head *left = lfirst(a);
	const Head *right = lfirst(b);

	if (left->priority != right->priority)
		return left->priority < right->priority ? -1 : 1;
	if (left->first.priority != right->first.priority)
		return left->first.priority < right->first.priority ? -1 : 1;

	return left->first.run_at < right->first.run_at ? -1 : left->first.run_at > right->first.run_at;
}

/*
 * The queues that have ready jobs, in their order.
 */
static List *
find_heads(const char *kind, const char *worker, TimestampTz now)
{
	List	   *heads = NIL;
	ListCell   *cell;

	foreach(cell, find_queues(kind, worker, now))
		if (find_first(lfirst(cell)))
		heads = lappend(heads, lfirst(cell));
	list_sort(heads, in_turn);

	return heads;
}

static List *
take_share(Head *head, int share, Look *look)
{
	List	   *jobs;

	head->claim.limit = share;
	jobs = wf_claim_take(&head->claim);
	head->has_more = list_length(jobs) == share;
	if (head->claim.is_contended)
		look_again_at(look, GetCurrentTimestamp() + CONTENDED_US);
	if (head->claim.rate_opens_at != 0)
		look_again_at(look, head->claim.rate_opens_at);
	if (jobs == NIL && share > 0 && wf_claim_is_held(&head->claim))
		look_again_at(look, GetCurrentTimestamp() + WF_HELD_US);
	if (wf_claim_has_refused())
		look_again_at(look, GetCurrentTimestamp() + WF_REFUSED_US);

	return jobs;
}

/*
 * How many of the heads from the given one on have its priority.
 */
static int
count_peers(List *heads, int first)
{
	int			priority = ((Head *) list_nth(heads, first))->priority;
	int			peers = 0;

	for (int i = first; i < list_length(heads); i++)
		if (((Head *) list_nth(heads, i))->priority == priority)
			peers++;

	return peers;
}

List *
wf_queue_claim_kind(const char *kind, const char *worker, int limit)
{
	Look	   *look = look_of(kind);
	TimestampTz now = wf_now();
	List	   *heads = find_heads(kind, worker, now);
	List	   *jobs = NIL;
	ListCell   *cell;

	look->at = now;
	look->again_at = 0;
	for (int i = 0; i < list_length(heads) && list_length(jobs) < limit; i++)
	{
		int			peers = count_peers(heads, i);
		int			share = (limit - list_length(jobs) + peers - 1) / peers;

		jobs = list_concat(jobs, take_share(list_nth(heads, i), share, look));
	}
	foreach(cell, heads)
	{
		Head	   *head = lfirst(cell);

		if (head->has_more && list_length(jobs) < limit)
			jobs = list_concat(jobs, take_share(head, limit - list_length(jobs), look));
	}
	if (list_length(jobs) >= limit)
		look_again_at(look, now);

	return jobs;
}

/*
 * When it is worth looking for jobs of the kind again, if no commit says so
 * before; a time that has passed means at once.
 */
TimestampTz
wf_queue_next_due(const char *kind)
{
	Look	   *look = look_of(kind);
	Datum		values[] = {
		CStringGetTextDatum(kind),
		TimestampTzGetDatum(look->at == 0 ? DT_NOBEGIN : look->at)
	};
	TimestampTz due;

	if (wf_plan_execute(&next_due_plan, values, NULL) == 0)
		return look->again_at;
	due = DatumGetTimestampTz(wf_result_datum(0, 1, NULL));

	return look->again_at == 0 ? due : Min(due, look->again_at);
}
