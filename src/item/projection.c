/*
 * projection.c
 *	  A projection of ours puts the new rows of an UPDATE together.
 *
 * The server's would take as long to be made as to find the row: it has a step for
 * each column.  Where the statement sets the state alone, the new row is the old one
 * with another state, and theirs is made only if somebody asks for it.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "base/append.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "item/item_internal.h"
#include "item/projection.h"
#include "nodes/nodeFuncs.h"
#include "utils/rel.h"

/*
 * Whether a row of the table is as long as its columns, of which none was dropped:
 * values of those go with the next update.
 */
static bool
has_all_columns(Relation table)
{
	static Oid	known = InvalidOid;
	static uint64 as_of = 0;
	static bool result = false;
	TupleDesc	columns = RelationGetDescr(table);

	if (known == RelationGetRelid(table) && as_of == wf_table_changes())
		return result;
	result = true;
	for (int i = 0; i < columns->natts; i++)
		if (TupleDescAttr(columns, i)->attisdropped)
			result = false;
	known = RelationGetRelid(table);
	as_of = wf_table_changes();

	return result;
}

/*
 * Whether the statement sets the state, to the first column of what it finds, and
 * nothing else.
 */
static bool
sets_state(const ModifyTable *plan, Relation table)
{
	const List *columns = linitial(plan->updateColnosLists);
	const TargetEntry *value = linitial(outerPlan(plan)->targetlist);

	return list_length(columns) == 1 && linitial_int(columns) == WF_ITEM_COLUMN_STATE &&
		!value->resjunk && value->resno == 1 && exprType((const Node *) value->expr) == TEXTOID &&
		TupleDescAttr(RelationGetDescr(table), WF_ITEM_COLUMN_STATE - 1)->atttypid == TEXTOID &&
		has_all_columns(table);
}

ProjectionInfo *
wf_projection_theirs(WfProjection *ours)
{
	const ModifyTable *plan = (const ModifyTable *) ours->state->ps.plan;
	MemoryContext caller;

	if (ours->theirs != NULL)
		return ours->theirs;
	caller = MemoryContextSwitchTo(ours->estate->es_query_cxt);
	ours->theirs = ExecBuildUpdateProjection(outerPlan(plan)->targetlist, false,
											 linitial(plan->updateColnosLists),
											 RelationGetDescr(ours->result->ri_RelationDesc),
											 ours->state->ps.ps_ExprContext,
											 ours->result->ri_newTupleSlot, &ours->state->ps);
	MemoryContextSwitchTo(caller);

	return ours->theirs;
}

void
wf_projection_take(WfProjection *ours, ModifyTableState *state, ExprStateEvalFunc evaluate)
{
	ResultRelInfo *result = state->resultRelInfo;
	EState	   *estate = state->ps.state;

	result->ri_oldTupleSlot = table_slot_create(result->ri_RelationDesc, &estate->es_tupleTable);
	result->ri_newTupleSlot = table_slot_create(result->ri_RelationDesc, &estate->es_tupleTable);
	if (state->ps.ps_ExprContext == NULL)
		ExecAssignExprContext(estate, &state->ps);
	ours->state = state;
	ours->result = result;
	ours->estate = estate;
	ours->sets_state = sets_state((const ModifyTable *) state->ps.plan, result->ri_RelationDesc);
	ours->projection.type = T_ProjectionInfo;
	ours->projection.pi_exprContext = state->ps.ps_ExprContext;
	ours->projection.pi_state.type = T_ExprState;
	ours->projection.pi_state.resultslot = result->ri_newTupleSlot;
	ours->projection.pi_state.parent = &state->ps;
	ours->projection.pi_state.evalfunc = evaluate;
	result->ri_projectNew = &ours->projection;
	result->ri_projectNewInfoValid = true;
}

WfProjection *
wf_projection_of(ExprState *expression)
{
	return (WfProjection *) ((char *) expression - offsetof(WfProjection, projection.pi_state));
}

void
wf_projection_put_together(WfProjection *ours, ExprContext *context)
{
	TupleTableSlot *old_row = context->ecxt_scantuple;
	TupleTableSlot *new_row = ours->result->ri_newTupleSlot;
	int			natts = old_row->tts_tupleDescriptor->natts;
	int			state = WF_ITEM_COLUMN_STATE - 1;
	ExprState  *theirs;
	bool		isnull;

	if (!ours->sets_state)
	{
		theirs = &wf_projection_theirs(ours)->pi_state;
		(void) theirs->evalfunc(theirs, context, &isnull);
		return;
	}
	slot_getallattrs(old_row);
	memcpy(new_row->tts_values, old_row->tts_values, sizeof(Datum) * natts);
	memcpy(new_row->tts_isnull, old_row->tts_isnull, sizeof(bool) * natts);
	new_row->tts_values[state] = slot_getattr(context->ecxt_outertuple, 1,
											  &new_row->tts_isnull[state]);
}

bool
wf_projection_is_only_moved(const WfProjection *ours, const TupleTableSlot *old_row,
							const TupleTableSlot *new_row)
{
	int			state = WF_ITEM_COLUMN_STATE - 1;
	int			natts = old_row->tts_tupleDescriptor->natts;

	if (old_row->tts_nvalid < natts || old_row->tts_isnull[state] || new_row->tts_isnull[state])
		return false;
	if (ours->sets_state)
		return true;
	if (memcmp(old_row->tts_isnull, new_row->tts_isnull, sizeof(bool) * natts) != 0)
		return false;
	for (int i = 0; i < natts; i++)
		if (i != state && !old_row->tts_isnull[i] &&
			old_row->tts_values[i] != new_row->tts_values[i])
			return false;

	return true;
}
