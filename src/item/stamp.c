/*
 * stamp.c
 *	  What follows in a row of workflow.item from a change of its state: seq, since,
 *	  outcome, origin.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "base/clock.h"
#include "base/owner.h"
#include "executor/spi.h"
#include "item/item_internal.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/*
 * What the new row must say but for its time.
 */
void
wf_item_expected_marks(const WfItem *old, const WfState *from, const WfState *to,
					   const WfMigration *migration, WfItem *stamps)
{
	stamps->seq = old->seq + 1;
	stamps->outcome = to->outcome;
	stamps->origin = migration != NULL ? migration->origin :
		to->kind == WF_ACTIVITY_EXCEPTION && from->kind != WF_ACTIVITY_EXCEPTION ?
		from->name : old->origin;
}

/*
 * What the new row must say, given the states on both sides.
 */
void
wf_item_expected_stamps(const WfItem *old, const WfState *from, const WfState *to,
						const WfMigration *migration, WfItem *stamps)
{
	wf_item_expected_marks(old, from, to, migration, stamps);
	stamps->since = migration != NULL && (migration->keeps || migration->start_at != 0) ?
		old->since : wf_now();
}

static void
set_text(Datum *values, bool *nulls, int column, const char *text)
{
	nulls[column - 1] = text == NULL;
	values[column - 1] = text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

static void
set_stamps(Datum *values, bool *nulls, const WfItem *stamps)
{
	values[WF_ITEM_COLUMN_SEQ - 1] = Int32GetDatum(stamps->seq);
	values[WF_ITEM_COLUMN_SINCE - 1] = TimestampTzGetDatum(stamps->since);
	set_text(values, nulls, WF_ITEM_COLUMN_OUTCOME, stamps->outcome);
	set_text(values, nulls, WF_ITEM_COLUMN_ORIGIN, stamps->origin);
}

/*
 * The new row of a BEFORE trigger, stamped.
 */
HeapTuple
wf_item_stamped(const TriggerData *trigger, const WfItem *stamps)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	Datum	   *values = palloc(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);
	HeapTuple	row;

	memcpy(values, trigger->tg_newslot->tts_values, sizeof(Datum) * desc->natts);
	memcpy(nulls, trigger->tg_newslot->tts_isnull, sizeof(bool) * desc->natts);
	set_stamps(values, nulls, stamps);
	row = heap_form_tuple(desc, values, nulls);
	row->t_data->t_ctid = trigger->tg_newtuple->t_data->t_ctid;
	row->t_self = trigger->tg_newtuple->t_self;
	row->t_tableOid = trigger->tg_newtuple->t_tableOid;

	return row;
}

/*
 * The graph for a direct update; the update may be anybody's.
 */
const WfGraph *
wf_item_graph_as_owner(const WfItem *item)
{
	const WfGraph *graph = wf_graph_known(item->workflow, item->version);
	WfCaller	caller;

	if (graph != NULL)
		return graph;

	wf_enter_owner(&caller);
	SPI_connect();
	graph = wf_graph(item->workflow, item->version);
	SPI_finish();
	wf_leave_owner(&caller);

	return graph;
}

/*
 * Stamps a row that the executor is putting together; a target that is unknown or
 * illegal is left to the judgement.
 */
void
wf_item_stamp_row(TupleTableSlot *old_row, TupleTableSlot *new_row)
{
	WfItem	   *old = wf_item_brief_from_row(old_row);
	WfItem		stamps = {0};
	const WfGraph *graph;
	const WfState *from;
	const WfState *to;
	char	   *target;

	if (new_row->tts_isnull[WF_ITEM_COLUMN_STATE - 1])
		return;
	target = TextDatumGetCString(new_row->tts_values[WF_ITEM_COLUMN_STATE - 1]);
	graph = wf_item_graph_as_owner(old);
	from = wf_graph_state(graph, old->state);
	to = wf_graph_state(graph, target);
	if (from == NULL || to == NULL || from == to)
		return;
	wf_item_expected_stamps(old, from, to, NULL, &stamps);
	set_stamps(new_row->tts_values, new_row->tts_isnull, &stamps);
}
