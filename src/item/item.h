/*
 * item.h
 *	  Items, their transitions, and what entering a state sets going.
 *
 * There is one way for an item to move: wf_item_move() updates its row, and
 * the trigger on workflow.item judges, logs and enters the new state, in the
 * same transaction.  A direct UPDATE of the state takes the same way.
 * Callers are connected to SPI and run as the owner of the extension.
 */
#ifndef WF_ITEM_ITEM_H
#define WF_ITEM_ITEM_H

#include "datatype/timestamp.h"
#include "definition/graph.h"
#include "effect/effect.h"
#include "queue/queue.h"
#include "storage/itemptr.h"
#include "utils/jsonb.h"

typedef struct WfItem
{
	int64		item_id;
	const char *workflow;
	int			version;
	const char *key;
	const char *state;
	int			seq;
	const char *origin;			/* or NULL */
	const char *outcome;		/* or NULL: the item lives */
	bool		is_paused;
	bool		keeps_events;	/* one that came early may wait for its state */
	const char *submitted_by;
	int			priority;
	Jsonb	   *data;
	TimestampTz since;			/* when it entered its state */
	int64		parent_id;		/* who spawned it, or 0; of a row that a
								 * trigger is given */
	int			parent_seq;
	TimestampTz received_at;	/* of a row only */
	bool		is_unmoved;		/* of a row only: in its first visit */
	ItemPointerData place;		/* of the row that it was read from; or
								 * invalid */
} WfItem;

/* A value that travels with a move: what happened, who did it and why. */
typedef struct WfMove
{
	const char *event;
	const char *kind;			/* submit, send, engine, review, direct,
								 * replay, cancel */
	const char *actor;
	const char *reason;			/* or NULL */
	Jsonb	   *event_data;		/* what the event carried; logged; or NULL */
	Jsonb	   *data;			/* the item's whole new data, or NULL: as it
								 * is */
} WfMove;

/* Locks and reads an item; raises WF012. */
extern WfItem *wf_item_lock(int64 item_id);

/*
 * Moves a locked item along the transition of the event; raises WF001 when its
 * state does not handle it.  Returns the item as it is after all that followed
 * at once.
 */
extern WfItem *wf_item_move(const WfItem *item, const WfMove *move);

/*
 * A job of an item succeeded: finishes the job and raises the event ("ok", or
 * what the activity said) with its result stored under the state's name.  For
 * a job that stands alone it only finishes it.
 */
extern void wf_item_complete_job(const WfJob *job, const char *event,
								 Jsonb *result, const char *actor);

/*
 * A job failed: the policy of its state decides.  When it is spent, raises
 * "error" where the state handles it; else the job stays as a dead letter.
 */
extern void wf_item_fail_job(const WfJob *job, const char *error_class,
							 const char *message, int64 retry_after_us,
							 Jsonb *detail, const char *actor);

/* The same, when it is known already that no attempt is left. */
extern void wf_item_fail_job_for_good(const WfJob *job, const char *error_class,
									  const char *message, Jsonb *detail,
									  const char *actor);

typedef enum WfHold
{
	WF_HOLD_GOT,
	WF_HOLD_GONE,				/* finished, dropped, or somebody else's now */
	WF_HOLD_LATER,				/* somebody holds the item or the job */
} WfHold;

/* Locks a claimed job after its item, waiting for neither. */
extern WfHold wf_item_hold_job(const WfJob *job);

/*
 * The jobs that wait for an effect or carry it (List of WfJob *, of which only
 * the ids are filled): first the one given (or NULL), which is fenced by its
 * token, then who runs, who is ready, who waits.
 */
extern List *wf_item_jobs_of_effect(int64 effect_id, const WfJob *own);

typedef struct WfFollow
{
	TimestampTz not_before;		/* of a job that is ready again; 0: now */
	const char *actor;
	const char *waiting_on;		/* why not before, or NULL */
} WfFollow;

typedef enum WfFollowed
{
	WF_FOLLOWED_MORE,			/* the other jobs are concerned, too */
	WF_FOLLOWED_ALL,
	WF_FOLLOW_LATER,			/* somebody holds a row: try again */
} WfFollowed;

/*
 * One of these jobs follows the state that its effect has: it is finished,
 * ready again, parked or failed.  The one place that maps effects to jobs.
 */
extern WfFollowed wf_item_follow_effect(const WfFollow *follow, const WfJob *job);

/*
 * A job that raised when it was told of its effect waits, saying why, and is
 * told again in a minute.  Returns false when somebody holds it.
 */
extern bool wf_item_put_off(const WfJob *job, const char *why);

/* All jobs of an effect, as far as they can be had, follow its state. */
extern void wf_item_effect_settled(int64 effect_id, const char *actor);

/*
 * Runs a claimed sql activity: calls the function as the definer of the
 * version and completes the job.  Raises what the function raises; the caller
 * wraps it into a subtransaction.  begins() is told the policy of the state (or
 * NULL) before the function is called.
 */
extern void wf_item_run_sql(const WfJob *job, const char *actor, void (*begins) (Jsonb *policy));

/* Whether an item is paused, by itself or with its workflow; one that is gone is not. */
extern bool wf_item_is_paused(int64 item_id);

/*
 * Raises inside an activity: it must not run those of others.
 */
extern void wf_item_require_no_activity(void);

/*
 * Before run() works in its caller's transaction: raises inside a function with
 * the rights of its owner when the session has temporary objects.
 */
extern void wf_item_require_no_borrowed_objects(void);

/*
 * Before activities of anybody run in somebody's session: raises when that has
 * temporary objects, which stand before tables of the same name.
 */
extern void wf_item_require_clean_session(void);

/*
 * Before activities run in somebody's transaction: fires what that has put off
 * so far, as the caller, so that it does not fire as a definer.
 */
extern void wf_item_fire_callers_deferred(void);

/*
 * Fires timers that are due, at most limit; returns how many were looked at.
 * A timer whose item somebody holds is put off for a second.
 */
extern int	wf_item_fire_timers(int limit, const char *actor);

/* The same, of those timers only that the present transaction has set. */
extern int	wf_item_fire_own_timers(int limit, const char *actor);

/*
 * Counts children that have ended, of some parents; who can be decided by that
 * has a timer then.  Returns how many were counted, and whether somebody held
 * what has to be counted.  With only_own: those that ended in the present
 * transaction.
 */
extern int	wf_item_count_ends(bool only_own, bool *put_off);

/* When the next timer is due; 0 when there is none. */
extern TimestampTz wf_item_next_timer(void);

/* The retry policy object of the state that a job belongs to; NULL: none. */
extern Jsonb *wf_item_job_policy(const WfJob *job);

/* Called when the library is loaded. */
extern void wf_item_init(void);

/* Forgetting what webhooks carried, and not that they were. */
extern uint64 wf_inbox_purge(TimestampTz until, int most);
extern TimestampTz wf_inbox_oldest_body(void);

/* gate_tally.c: adding up what gates have decided, of before a time. */
extern uint64 wf_gate_add_up(TimestampTz until, int most);
extern TimestampTz wf_gate_oldest_change(void);

#endif							/* WF_ITEM_ITEM_H */
