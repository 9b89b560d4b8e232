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
	ProjectionInfo *theirs;		/* the server's; NULL as long as nobody needs
								 * it */
	ModifyTableState *state;
	ResultRelInfo *result;
	EState	   *estate;
	bool		sets_state;		/* the statement sets the state alone */
} WfProjection;

/*
 * Makes ours the projection that is asked for new rows, in the memory of the query,
 * when the executor has not made one yet.
 */
extern void wf_projection_take(WfProjection *ours, ModifyTableState *state, ExprStateEvalFunc evaluate);

/* The projection that an expression of ours is part of. */
extern WfProjection *wf_projection_of(ExprState *expression);

/* Puts the new row together as theirs does. */
extern void wf_projection_put_together(WfProjection *ours, ExprContext *context);

/* The server's own projection. */
extern ProjectionInfo *wf_projection_theirs(WfProjection *ours);

/*
 * Whether a row that was put together differs in its state: values that it has
 * taken from the row before are where they are there.
 */
extern bool wf_projection_is_only_moved(const WfProjection *ours, const TupleTableSlot *old_row,
										const TupleTableSlot *new_row);

/*
 * Many rows of workflow.item: called when a statement begins that updates that
 * table, with our triggers and nothing else to see to.
 */
extern void wf_many_begin(ModifyTableState *state);

#endif							/* WF_ITEM_PROJECTION_H */
