/*
 * spawn_count.c
 *	  Counting children that have ended.
 *
 * A child that ends leaves a row in workflow.child_end.  Whoever counts takes
 * many such rows of one parent away at once and adds their number to the
 * parent's row of workflow.spawn: no child is looked at, and none waits for
 * another.  Where the counts decide, the parent's timer is set; it is not moved
 * here, so that counting goes on whatever keeps it from moving.
 */
#include "postgres.h"

#include "base/plan.h"
#include "catalog/pg_type.h"
#include "item/item_internal.h"
#include "lib/qunique.h"

/* Rows that are looked at for one turn. */
#define ENDS_LIMIT 1000

typedef struct Parent
{
	int64		item_id;
	int			seq;
} Parent;

static WfPlan ends_plan = {
	.name = "ended children",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 2,
	.argtypes = {INT8OID, INT4OID},
	.sql = "SELECT item_id, seq FROM workflow.child_end WHERE end_no >= $1 ORDER BY end_no LIMIT $2",
};

static WfPlan own_ends_plan = {
	.name = "children that ended in this transaction",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 2,
	.argtypes = {INT8OID, INT4OID},
	.sql = "SELECT item_id, seq FROM workflow.child_end "
	"WHERE end_no >= $1 AND workflow._is_own(xmin) ORDER BY end_no LIMIT $2",
};

static int
compare_parents(const void *left, const void *right)
{
	const Parent *a = left;
	const Parent *b = right;

	if (a->item_id != b->item_id)
		return a->item_id < b->item_id ? -1 : 1;

	return a->seq - b->seq;
}

/*
 * The parents of the first ends, in one order, each once.
 */
static Parent *
find_parents(WfPlan *plan, int *count)
{
	Datum		values[2] = {Int64GetDatum(wf_child_ends_from()), Int32GetDatum(ENDS_LIMIT)};
	uint64		found = wf_plan_execute(plan, values, NULL);
	Parent	   *parents = palloc(sizeof(Parent) * (found + 1));

	for (uint64 row = 0; row < found; row++)
	{
		parents[row].item_id = wf_result_int8(row, 1);
		parents[row].seq = wf_result_int4(row, 2);
	}
	qsort(parents, found, sizeof(Parent), compare_parents);
	*count = qunique(parents, found, sizeof(Parent), compare_parents);

	return parents;
}

/* Ends of children of one parent. */
typedef struct Ends
{
	int			n;
	int			succeeded;
} Ends;

static Ends
take_away(const Parent *parent)
{
	static WfPlan plan = {
		.name = "take away ended children",
		.expected = SPI_OK_DELETE_RETURNING,
		.passes = "child_end",
		.by_index = true,
		.nargs = 2,
		.argtypes = {INT8OID, INT4OID},
		.sql = "DELETE FROM workflow.child_end WHERE item_id = $1 AND seq = $2 "
		"RETURNING workflow._is_success(outcome, "
		"(SELECT s.success FROM workflow.spawn AS s WHERE s.item_id = $1 AND s.seq = $2))",
	};
	Datum		values[2] = {Int64GetDatum(parent->item_id), Int32GetDatum(parent->seq)};
	Ends		ends = {0};

	ends.n = (int) wf_plan_execute(&plan, values, NULL);
	for (int row = 0; row < ends.n; row++)
		ends.succeeded += DatumGetBool(wf_result_datum(row, 1, NULL)) ? 1 : 0;

	return ends;
}

/*
 * Adds the ends to the parent's row.  Returns whether it is to be decided; not
 * where somebody has removed it by hand.
 */
static bool
add(const Parent *parent, const Ends *ends, WfSpawn *spawn)
{
	static WfPlan plan = {
		.name = "count ended children",
		.expected = SPI_OK_UPDATE_RETURNING,
		.nargs = 4,
		.argtypes = {INT8OID, INT4OID, INT4OID, INT4OID},
		.sql = "UPDATE workflow.spawn SET ended = ended + $3, succeeded = succeeded + $4 "
		"WHERE item_id = $1 AND seq = $2 "
		"RETURNING total, needed, ended, succeeded, verdict IS NULL AND left_at IS NULL",
	};
	Datum		values[4];

	values[0] = Int64GetDatum(parent->item_id);
	values[1] = Int32GetDatum(parent->seq);
	values[2] = Int32GetDatum(ends->n);
	values[3] = Int32GetDatum(ends->succeeded);
	if (wf_plan_execute(&plan, values, NULL) == 0)
		return false;
	spawn->item_id = parent->item_id;
	spawn->seq = parent->seq;
	spawn->total = wf_result_int4(0, 1);
	spawn->needed = wf_result_int4(0, 2);
	spawn->ended = wf_result_int4(0, 3);
	spawn->succeeded = wf_result_int4(0, 4);

	return DatumGetBool(wf_result_datum(0, 5, NULL));
}

static int
count_of(const Parent *parent)
{
	Ends		ends = take_away(parent);
	WfSpawn		spawn = {0};
	const char *verdict;

	if (ends.n == 0 || !add(parent, &ends, &spawn))
		return ends.n;
	verdict = wf_spawn_decide(&spawn);
	if (verdict != NULL)
		wf_item_set_timer_of(parent->item_id, parent->seq, WF_TIMER_SPAWN, wf_spawn_now(), verdict);

	return ends.n;
}

/*
 * See item.h.
 */
int
wf_item_count_ends(bool only_own, bool *put_off)
{
	int			count;
	Parent	   *parents = find_parents(only_own ? &own_ends_plan : &ends_plan, &count);
	int			n = 0;

	for (int i = 0; i < count; i++)
	{
		if (wf_spawn_try_hold(parents[i].item_id, parents[i].seq))
			n += count_of(&parents[i]);
		else
			*put_off = true;
	}

	return n;
}
