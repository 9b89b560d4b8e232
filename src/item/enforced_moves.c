/*
 * enforced_moves.c
 *	  Rows of enforced tables on their way from one partition to another.
 *
 * Triggers see a DELETE there and an INSERT here, one soon after the other, but
 * between them other triggers may do anything, also move more rows.  What has
 * left belongs to its statement and subtransaction: a row that never arrives,
 * since a trigger suppressed it or an error came first, is not mistaken for a
 * later one of the same key.
 *
 * A row whose key changed on its way is known by its place: the INSERT of a
 * move is the next event of its statement after the DELETE.
 */
#include "postgres.h"

#include "access/xact.h"
#include "item/enforced.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"

typedef struct Leaving
{
	int			enforcement_id;
	uint64		statement;
	SubTransactionId subtransaction;
	WfEnforcedStart start;
	bool		is_next;		/* nothing of this statement has come since */
	char		key[FLEXIBLE_ARRAY_MEMBER];
} Leaving;

static List *all = NIL;			/* in the memory of the transaction */
static TransactionId transaction;	/* that they belong to */

/*
 * Notes that a row has left, and in which state.
 */
void
wf_enforced_leaves(const WfEnforced *enforced, const char *key, const WfEnforcedStart *start)
{
	MemoryContext previous = MemoryContextSwitchTo(TopTransactionContext);
	Leaving    *leaving = palloc(offsetof(Leaving, key) + strlen(key) + 1);

	leaving->enforcement_id = enforced->enforcement_id;
	leaving->statement = wf_enforced_statement();
	leaving->subtransaction = GetCurrentSubTransactionId();
	leaving->start = *start;
	leaving->is_next = true;
	strcpy(leaving->key, key);
	if (transaction != GetTopTransactionIdIfAny())
		all = NIL;
	transaction = GetTopTransactionIdIfAny();
	all = lappend(all, leaving);
	MemoryContextSwitchTo(previous);
}

/*
 * Whether a row that is new here has left another partition before, and how.
 */
bool
wf_enforced_arrives(const WfEnforced *enforced, const char *key, WfEnforcedStart *start)
{
	if (all == NIL || transaction != GetTopTransactionIdIfAny())
		return false;
	for (int i = list_length(all) - 1; i >= 0; i--)
	{
		Leaving    *leaving = list_nth(all, i);

		if (leaving->enforcement_id != enforced->enforcement_id ||
			leaving->statement != wf_enforced_statement() ||
			leaving->subtransaction != GetCurrentSubTransactionId() ||
			strcmp(leaving->key, key) != 0)
			continue;
		*start = leaving->start;
		all = list_delete_nth_cell(all, i);
		pfree(leaving);
		return true;
	}

	return false;
}

/*
 * The key that the row had in another partition whose INSERT is due now, NULL
 * when none is.  Whatever happens to a row of an enforced table asks.
 */
const char *
wf_enforced_due(const WfEnforced *enforced)
{
	const char *due = NULL;

	if (all == NIL || transaction != GetTopTransactionIdIfAny())
		return NULL;
	for (int i = list_length(all) - 1; i >= 0; i--)
	{
		Leaving    *leaving = list_nth(all, i);

		if (leaving->enforcement_id != enforced->enforcement_id ||
			leaving->statement != wf_enforced_statement() || !leaving->is_next)
			continue;
		leaving->is_next = false;
		if (leaving->subtransaction == GetCurrentSubTransactionId())
			due = leaving->key;
	}

	return due;
}

/*
 * Forgets what has not arrived by the end of a statement.
 */
void
wf_enforced_moves_end(uint64 statement)
{
	if (all == NIL || transaction != GetTopTransactionIdIfAny())
		return;
	for (int i = list_length(all) - 1; i >= 0; i--)
	{
		Leaving    *leaving = list_nth(all, i);

		if (leaving->statement != statement)
			continue;
		all = list_delete_nth_cell(all, i);
		pfree(leaving);
	}
}
