/*
 * turn.h
 *	  Turns: what one transaction does at a time.
 *
 * A turn is an advisory lock of one of these classes.  The functions of SQL
 * take locks of the classes 1 and 2 only, so that no role can keep a turn from
 * others but by doing what it is for.
 */
#ifndef WF_BASE_TURN_H
#define WF_BASE_TURN_H

typedef enum WfTurn
{
	WF_TURN_GROUP = 3,			/* claiming from a group of jobs */
	WF_TURN_ROOM,				/* adding to a queue that is nearly full */
	WF_TURN_FOLD,				/* adding up what was counted */
	WF_TURN_BUDGET,				/* counting calls of a workflow's models */
	WF_TURN_ALERTS,				/* looking for what is wrong */
	WF_TURN_PICK,				/* picking jobs of a fair or rated queue */
	WF_TURN_RATE,				/* charging a rate limit */
} WfTurn;

/*
 * Takes a turn until the transaction ends, unless somebody else has it.
 */
extern bool wf_try_turn(WfTurn turn, uint32 of, uint32 part);

/*
 * The same, when whoever has it is through.
 */
extern void wf_await_turn(WfTurn turn, uint32 of, uint32 part);

/*
 * Gives a turn up before the transaction ends.
 */
extern void wf_end_turn(WfTurn turn, uint32 of, uint32 part);

#endif
