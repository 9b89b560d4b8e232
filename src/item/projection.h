/*
 * projection.h
 *	  A projection of ours puts the new rows of an UPDATE together.
 */
#ifndef WF_ITEM_PROJECTION_H
#define WF_ITEM_PROJECTION_H

#include "executor/execdesc.h"
#include "nodes/execnodes.h"

/*
 * A projection of ours that the executor calls for each row; first in a struct
 * that knows what it needs, all in the memory of the query.
 */
typedef struct WfProjection
{
	ProjectionInfo projection;
	ProjectionInfo *theirs;		/* that puts the row together */
	ResultRelInfo *result;
	EState	   *estate;
} WfProjection;

/*
 * Makes what puts new rows together, as the executor does when it comes to the
 * first one, and ours the one that is asked for them.
 */
extern void wf_projection_take(WfProjection *ours, ModifyTableState *state, ExprStateEvalFunc evaluate);

/* The projection that an expression of ours is part of. */
extern WfProjection *wf_projection_of(ExprState *expression);

/* Has their projection put the new row together. */
extern Datum wf_projection_put_together(const WfProjection *ours, ExprContext *context, bool *isnull);

/*
 * Whether a row that was put together differs in its state: values that it has
 * taken from the row before are where they are there.
 */
extern bool wf_projection_is_only_moved(const TupleTableSlot *old_row, const TupleTableSlot *new_row);

/*
 * Many rows of workflow.item: called when a statement begins that updates that
 * table, with our triggers and nothing else to see to.
 */
extern void wf_many_begin(ModifyTableState *state);

#endif							/* WF_ITEM_PROJECTION_H */
