/*
 * walk.c
 *	  From the marks of a track to the first rows behind them.
 */
#include "postgres.h"

#include "access/xact.h"
#include "look.h"
#include "marks.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"

/*
 * Where nothing is known yet all are looked for.
 */
static bool
is_wanted(const WfWalk *walk, const WfMarks *marks, int shelf)
{
	return !marks->is_known || (walk->wanted & (1U << shelf)) != 0;
}

/*
 * Finds the first row on each of the shelves, from 0 on.
 */
static void
find_firsts(WfLook *look, WfMarks *marks, const WfWalk *walk)
{
	int64		from[WF_WALK_SHELVES];

	for (int i = 0; i < walk->n_shelves; i++)
		from[i] = marks->is_known ? WF_MARK_NONE : PG_INT64_MIN;
	for (int i = 0; i < marks->n; i++)
		from[marks->shelves[i].number] = marks->shelves[i].from;
	marks->n = walk->n_shelves;
	for (int i = 0; i < walk->n_shelves; i++)
		marks->shelves[i] = (WfShelf)
	{
		.number = i,.found = from[i] == WF_MARK_NONE || !is_wanted(walk, marks, i) ? from[i] :
			walk->find_first(look, i, from[i]),
			.is_told = is_wanted(walk, marks, i)
	};
}

bool
wf_look_walk(const WfWalk *walk, int64 *found)
{
	WfMarks		marks = {0};
	WfTrackKey	key = wf_track_key(wf_look_relation(walk->table), walk->track,
								   walk->queue == NULL ? "" : walk->queue);
	const WfMarkNote *own;
	int			next = 0;
	WfLook		look;

	for (int i = 0; i < walk->n_shelves; i++)
		found[i] = PG_INT64_MIN;
	if (IsolationIsSerializable() || !wf_marks_ask(&key, &marks) ||
		!(marks.is_known || marks.is_worth_telling) ||
		!wf_look_open(&look, walk->table, walk->index))
		return false;
	if (walk->queue != NULL)
		wf_look_key(&look, 1, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(walk->queue));
	find_firsts(&look, &marks, walk);
	wf_marks_tell(&marks, look.snapshot);
	wf_look_close(&look);
	for (int i = 0; i < walk->n_shelves; i++)
		found[i] = marks.shelves[i].found;
	while ((own = wf_marks_own(&key, &next)) != NULL)
		found[own->shelf] = Min(found[own->shelf], own->position);

	return true;
}
