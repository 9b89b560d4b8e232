/*
 * end.c
 *	  The ends of transactions and savepoints: one callback of the server's for all
 *	  rooms.
 *
 * Every commit of every session of the server comes here, also of those that never
 * use us: it finds nobody due, and returns.  A bit says that a room has something
 * to do; it is set before that begins and stays until the transaction is over, so
 * it may be set in vain, and is never missing.  A transaction that is prepared
 * leaves its bits to the next one of the session, as some rooms leave their state.
 */
#include "postgres.h"

#include "base/end.h"
#include "port/pg_bitutils.h"
#include "utils/resowner.h"

#define MAX_ENDS 32

typedef struct Registration
{
	XactCallback of_transaction;
	SubXactCallback of_savepoint;
} Registration;

uint32		wf_ends_due = 0;

static void (*last_step) (void) = NULL;
static int	n_registered = 0;
static Registration registered[MAX_ENDS];

/*
 * The first that is due of those below a place, or -1: a room may make another one
 * due whose turn is yet to come.
 */
static int
next_due(int place)
{
	uint32		due = wf_ends_due & (uint32) ((UINT64CONST(1) << place) - 1);

	return due == 0 ? -1 : pg_leftmost_one_pos32(due);
}

static void
on_transaction_end(XactEvent event, void *arg)
{
	bool		is_over = event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT;

	if (wf_ends_due == 0)
		return;
	for (int i = next_due(MAX_ENDS); i >= 0; i = next_due(i))
	{
		registered[i].of_transaction(event, NULL);
		if (is_over)
			wf_ends_due &= ~(UINT32_C(1) << i);
	}
}

static void
on_savepoint_end(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (wf_ends_due == 0)
		return;
	for (int i = next_due(MAX_ENDS); i >= 0; i = next_due(i))
		if (registered[i].of_savepoint != NULL)
			registered[i].of_savepoint(event, mine, parent, NULL);
}

/*
 * Comes three times for each owner of resources, most often of a statement.
 */
static void
on_resource_release(ResourceReleasePhase phase, bool is_commit, bool is_top_level, void *arg)
{
	void		(*step) (void) = last_step;

	if (step == NULL || phase != RESOURCE_RELEASE_AFTER_LOCKS || !is_top_level)
		return;
	last_step = NULL;
	step();
}

void
wf_end_after_locks(void (*step) (void))
{
	Assert(last_step == NULL || last_step == step);
	last_step = step;
}

WfEnd
wf_end_register(XactCallback of_transaction, SubXactCallback of_savepoint)
{
	if (n_registered == MAX_ENDS)
		elog(ERROR, "too many rooms wait for the end of transactions");
	registered[n_registered] = (Registration)
	{
		of_transaction, of_savepoint
	};

	return UINT32_C(1) << n_registered++;
}

void
wf_end_init(void)
{
	RegisterXactCallback(on_transaction_end, NULL);
	RegisterSubXactCallback(on_savepoint_end, NULL);
	RegisterResourceReleaseCallback(on_resource_release, NULL);
}
