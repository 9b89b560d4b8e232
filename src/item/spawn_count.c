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

/* Rows that are looked at for one turn. */
#define ENDS_LIMIT 1000

typedef struct Parent
{
	int64		item_id;
	int			seq;
} Parent;

#define PARENTS_OF(condition) \
	"SELECT DISTINCT e.item_id, e.seq FROM (" \
	"SELECT o.item_id, o.seq FROM workflow.child_end AS o " \
	"WHERE o.end_no >= $1" condition " ORDER BY o.end_no LIMIT $2) AS e ORDER BY e.item_id, e.seq"

static WfPlan parents_plan = {
	.name = "parents of ended children",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 2,
	.argtypes = {INT8OID, INT4OID},
	.sql = PARENTS_OF(""),
};

static WfPlan own_parents_plan = {
	.name = "parents of children ended in this transaction",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 2,
	.argtypes = {INT8OID, INT4OID},
	.sql = PARENTS_OF(" AND workflow._is_own(o.xmin)"),
};

static List *
find_parents(WfPlan *plan)
{
	Datum		values[2] = {Int64GetDatum(wf_child_ends_from()), Int32GetDatum(ENDS_LIMIT)};
	uint64		found = wf_plan_execute(plan, values, NULL);
	List	   *parents = NIL;

	for (uint64 row = 0; row < found; row++)
	{
		Parent	   *parent = palloc(sizeof(Parent));

		parent->item_id = wf_result_int8(row, 1);
		parent->seq = wf_result_int4(row, 2);
		parents = lappend(parents, parent);
	}

	return parents;
}

/*
 * Takes the rows away and adds them up, in one statement: a row that is not
 * seen yet is not taken.
 */
static int
add_up(const Parent *parent, WfSpawn *spawn, bool *is_undecided)
{
	static WfPlan plan = {
		.name = "count ended children",
		.expected = SPI_OK_UPDATE_RETURNING,
		.passes = "child_end",
		.by_index = true,
		.nargs = 2,
		.argtypes = {INT8OID, INT4OID},
		.sql = "WITH gone AS (DELETE FROM workflow.child_end WHERE item_id = $1 AND seq = $2 RETURNING outcome), "
		"sum AS (SELECT g.outcome, pg_catalog.count(*)::int AS n FROM gone AS g GROUP BY g.outcome) "
		"UPDATE workflow.spawn AS s SET "
		"ended = s.ended + (SELECT COALESCE(pg_catalog.sum(u.n), 0)::int FROM sum AS u), "
		"succeeded = s.succeeded + (SELECT COALESCE(pg_catalog.sum(u.n), 0)::int FROM sum AS u "
		"WHERE workflow._is_success(u.outcome, s.success)) "
		"WHERE s.item_id = $1 AND s.seq = $2 "
		"RETURNING s.total, s.needed, s.ended, s.succeeded, s.verdict IS NULL AND s.left_at IS NULL, "
		"(SELECT COALESCE(pg_catalog.sum(u.n), 0)::int FROM sum AS u)",
	};
	Datum		values[2] = {Int64GetDatum(parent->item_id), Int32GetDatum(parent->seq)};

	if (wf_plan_execute(&plan, values, NULL) == 0)
		return 0;				/* somebody has removed the parent by hand */
	spawn->item_id = parent->item_id;
	spawn->seq = parent->seq;
	spawn->total = wf_result_int4(0, 1);
	spawn->needed = wf_result_int4(0, 2);
	spawn->ended = wf_result_int4(0, 3);
	spawn->succeeded = wf_result_int4(0, 4);
	*is_undecided = DatumGetBool(wf_result_datum(0, 5, NULL));

	return wf_result_int4(0, 6);
}

static int
count_of(const Parent *parent)
{
	WfSpawn		spawn = {0};
	bool		is_undecided = false;
	int			n = add_up(parent, &spawn, &is_undecided);
	const char *verdict = is_undecided ? wf_spawn_decide(&spawn) : NULL;

	if (verdict != NULL)
		wf_item_set_timer_of(parent->item_id, parent->seq, WF_TIMER_SPAWN, wf_spawn_now(), verdict);

	return n;
}

/*
 * See item.h.
 */
int
wf_item_count_ends(bool only_own, bool *put_off)
{
	List	   *parents = find_parents(only_own ? &own_parents_plan : &parents_plan);
	ListCell   *cell;
	int			n = 0;

	foreach(cell, parents)
	{
		const Parent *parent = lfirst(cell);

		if (wf_spawn_try_hold(parent->item_id, parent->seq))
			n += count_of(parent);
		else
			*put_off = true;
	}

	return n;
}
