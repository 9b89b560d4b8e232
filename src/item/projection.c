/*
 * projection.c
 *	  A projection of ours puts the new rows of an UPDATE together.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "executor/executor.h"
#include "item/item_internal.h"
#include "item/projection.h"

void
wf_projection_take(WfProjection *ours, ModifyTableState *state, ExprStateEvalFunc evaluate)
{
	const ModifyTable *plan = (const ModifyTable *) state->ps.plan;
	ResultRelInfo *result = state->resultRelInfo;
	EState	   *estate = state->ps.state;

	result->ri_oldTupleSlot = table_slot_create(result->ri_RelationDesc, &estate->es_tupleTable);
	result->ri_newTupleSlot = table_slot_create(result->ri_RelationDesc, &estate->es_tupleTable);
	if (state->ps.ps_ExprContext == NULL)
		ExecAssignExprContext(estate, &state->ps);
	ours->theirs = ExecBuildUpdateProjection(outerPlan(plan)->targetlist, false,
											 linitial(plan->updateColnosLists),
											 RelationGetDescr(result->ri_RelationDesc),
											 state->ps.ps_ExprContext, result->ri_newTupleSlot,
											 &state->ps);
	ours->projection = *ours->theirs;
	ours->projection.pi_state.evalfunc = evaluate;
	ours->result = result;
	ours->estate = estate;
	result->ri_projectNew = &ours->projection;
	result->ri_projectNewInfoValid = true;
}

WfProjection *
wf_projection_of(ExprState *expression)
{
	return (WfProjection *) ((char *) expression - offsetof(WfProjection, projection.pi_state));
}

Datum
wf_projection_put_together(const WfProjection *ours, ExprContext *context, bool *isnull)
{
	return ours->theirs->pi_state.evalfunc(&ours->theirs->pi_state, context, isnull);
}

bool
wf_projection_is_only_moved(const TupleTableSlot *old_row, const TupleTableSlot *new_row)
{
	int			state = WF_ITEM_COLUMN_STATE - 1;
	int			natts = old_row->tts_tupleDescriptor->natts;

	if (old_row->tts_nvalid < natts || old_row->tts_isnull[state] || new_row->tts_isnull[state] ||
		memcmp(old_row->tts_isnull, new_row->tts_isnull, sizeof(bool) * natts) != 0)
		return false;
	for (int i = 0; i < natts; i++)
		if (i != state && !old_row->tts_isnull[i] &&
			old_row->tts_values[i] != new_row->tts_values[i])
			return false;

	return true;
}
