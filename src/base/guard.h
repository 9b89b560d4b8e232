/*
 * guard.h
 *	  Tables whose rows are not lost, nor records rewritten, by hand.
 *
 * A trigger refuses it whoever writes.  A plan (plan.h) that names the table
 * in "passes" is let through, and nothing else: not what triggers of others do
 * meanwhile.
 */
#ifndef WF_BASE_GUARD_H
#define WF_BASE_GUARD_H

/* A statement that may write a guarded table. */
typedef struct WfPass
{
	const char *table;			/* in the schema workflow; NULL: none */
	int			trigger_depth;	/* of whoever runs the statement */
} WfPass;

/* Lets a statement through until wf_guard_close(), also after an error. */
extern WfPass wf_guard_open(const char *table);
extern void wf_guard_close(WfPass previous);

/* For a trigger: whether it fires for a statement that was let through. */
extern bool wf_guard_is_open(const char *table);

/* For a function that takes rows away without one: refuses where a trigger would. */
extern void wf_guard_require(const char *table);

#endif							/* WF_BASE_GUARD_H */
