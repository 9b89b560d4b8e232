/*
 * item_internal.h
 *	  What the files of the item room share.
 */
#ifndef WF_ITEM_INTERNAL_H
#define WF_ITEM_INTERNAL_H

#include "base/compat.h"
#include "commands/trigger.h"
#include "item/item.h"

/* Sequence number of the transition that a submission is logged as. */
#define WF_FIRST_SEQ 1

/* Numbers of columns of workflow.item. */
#define WF_ITEM_COLUMN_ITEM_ID 1
#define WF_ITEM_COLUMN_STATE 5
#define WF_ITEM_COLUMN_SINCE 6
#define WF_ITEM_COLUMN_SEQ 7
#define WF_ITEM_COLUMN_OUTCOME 8
#define WF_ITEM_COLUMN_ORIGIN 9
#define WF_ITEM_COLUMN_DATA 22

/* An item that has entered a state. */
typedef struct WfVisit
{
	const WfItem *item;			/* as it is in the state */
	const WfGraph *graph;
	const WfState *state;
	const char *actor;
	TimestampTz start_at;		/* nothing is set going before; 0: at once */
} WfVisit;

/* One row of the log. */
typedef struct WfLogRow
{
	const WfItem *item;			/* after the transition */
	const WfItem *before;		/* NULL for a submission */
	const WfMove *move;
	TimestampTz visit_since;	/* of a visit that goes on; 0: it begins */
	const struct WfLogTexts *texts; /* or NULL */
} WfLogRow;

/* What it says as it is stored, where that is kept. */
typedef struct WfLogTexts
{
	Datum		from;
	Datum		event;
	Datum		to;
	Datum		kind;
	Datum		actor;
} WfLogTexts;

/* What a move to another version does besides. */
typedef struct WfMigration
{
	int			to_version;
	bool		keeps;			/* the visit goes on as it is */
	bool		is_timed;		/* it has not begun: a timer starts it */
	TimestampTz start_at;		/* it has not begun before; or 0 */
	const char *origin;			/* in the other version; or NULL */
} WfMigration;

/* A move under way, from wf_item_move() to the triggers. */
typedef struct WfActiveMove
{
	const WfItem *item;			/* before the move */
	const WfMove *move;
	const WfGraph *graph;
	const WfState *from;
	const WfState *to;
	bool		job_is_gone;	/* the visit's job has been finished already */
	bool		judged;
	MemoryContext context;		/* of the result */
	WfItem	   *result;
	const WfMigration *migration;	/* or NULL: within the version */
} WfActiveMove;

/* settle.c */
extern bool wf_item_visit_goes_on(const WfItem *item, const WfJob *job);
extern void wf_item_complete_visit(const WfItem *item, const WfJob *job, const char *event,
								   Jsonb *result, const char *actor);

/* lock.c */
extern WfItem *wf_item_lock_row(int64 item_id, bool waits);
extern bool wf_item_find_row(Relation table, int64 item_id, Snapshot snapshot,
							 TupleTableSlot *row);

/* move_row.c */
extern bool wf_item_table_is_ours(Relation table);
extern WfItem *wf_item_move_row(const WfActiveMove *move);
extern void wf_item_fill_row(TupleTableSlot *row, TupleTableSlot *old, const WfActiveMove *move,
							 const WfItem *stamps);
extern bool wf_item_write_row(Relation table, ItemPointer place, TupleTableSlot *row);

/* lone.c */
extern void wf_item_require_running_since(const WfItem *item, uint64 npauses);

/* quick.c */
extern Jsonb *wf_item_data_after_event(const WfItem *item, const WfState *state,
									   const WfMove *move);
extern bool wf_item_send_quickly(int64 item_id, const int *expected_seq, WfMove *move, int *seq,
								 const char **state);

/* trigger.c */
#define WF_ITEM_OWN_TRIGGERS 2
extern bool wf_item_is_own_trigger(const char *name);
extern bool wf_row_is_superseded(HeapTuple row);
extern const WfItem *wf_item_carry_out(const WfItem *old, const WfItem *new,
									   const WfActiveMove *active);

/* stamp.c */
extern void wf_item_expected_marks(const WfItem *old, const WfState *from, const WfState *to,
								   const WfMigration *migration, WfItem *stamps);
extern void wf_item_expected_stamps(const WfItem *old, const WfState *from, const WfState *to,
									const WfMigration *migration, WfItem *stamps);
extern const WfGraph *wf_item_graph_as_owner(const WfItem *item);
extern HeapTuple wf_item_stamped(const TriggerData *trigger, const WfItem *stamps);
extern void wf_item_stamp_row(TupleTableSlot *old_row, TupleTableSlot *new_row);

/* image.c */
typedef struct WfItemBefore
{
	Datum		state;
	TimestampTz since;
	int32		seq;
} WfItemBefore;
extern bool wf_item_is_only_moved(const TriggerData *trigger, WfItemBefore *before);
extern void wf_item_splice(TupleTableSlot *old_row, TupleTableSlot *new_row);
extern void wf_item_values_of_row(TupleTableSlot *row);
extern bool wf_item_stamp_in_place(const TriggerData *trigger, int seq, TimestampTz since);

/* row.c */
extern WfItem *wf_item_find(int64 item_id);
extern WfItem *wf_item_read(int64 item_id);
extern WfItem *wf_item_try_lock(int64 item_id);
extern WfItem *wf_item_copy(const WfItem *item);
extern WfItem *wf_item_from_row(TupleTableSlot *row, TupleTableSlot *old_row, const WfItem *old);
extern WfItem *wf_item_brief_from_row(TupleTableSlot *row);
extern const WfState *wf_item_known_from_row(TupleTableSlot *row, WfItem *item, const WfGraph **graph);
extern void wf_item_complete_from_row(TupleTableSlot *row, WfItem *item);
extern WfItem *wf_item_before(const WfItem *new, const WfItemBefore *before);
extern Jsonb *wf_item_data_from_row(TupleTableSlot *row);
extern void wf_item_require_running(const WfItem *item);

/* move.c */
extern WfItem *wf_item_move_on(const WfItem *item, const WfMove *move, bool job_is_gone);
extern WfActiveMove *wf_item_active_move(int64 item_id);
extern void wf_item_update_as(WfActiveMove *mine);
extern const WfState *wf_item_target(const WfGraph *graph, const WfItem *item,
									 const WfState *from, const char *event);
extern const WfState *wf_item_state(const WfGraph *graph, const char *name);

extern char *wf_item_route_of(const char *key);

/* right.c */
extern bool wf_item_event_is_answer(const char *event);
extern void wf_item_require_right(const WfItem *item, const WfState *state, const char *event,
								  const char *role);
extern bool wf_item_event_is_outcome(const WfState *state, const char *event);
extern bool wf_item_event_takes_right(const WfState *state, const char *event);

/* open.c */
typedef enum WfOpen
{
	WF_OPEN_NOT,
	WF_OPEN,					/* until the effect is settled */
	WF_OPEN_SHORTLY,			/* it is settled, and who did it has to say so */
} WfOpen;
extern WfOpen wf_item_visit_is_open(const WfItem *item);
extern void wf_item_require_known_outcome(const WfItem *item, const WfState *state,
										  const char *event);
extern List *wf_item_accepted_events(const WfItem *item);

extern List *wf_item_states_that_take(const WfGraph *graph, const WfState *from,
									  const char *event);
pg_noreturn extern void wf_item_refuse_event(const WfItem *item, const char *event);
extern char *wf_item_facts(const WfItem *item);
extern List *wf_item_allowed_events(const WfState *state);
extern char *wf_item_allowed_hint(const WfItem *item);

/* hand.c */
extern void wf_item_refuse_hand_change(const WfItem *item, const char *column);
extern bool wf_item_judge_columns(const TriggerData *trigger, const WfItem *old,
								  bool is_move);
extern bool wf_item_has_hand_changes(const TriggerData *trigger, const WfItem *old,
									 const WfItem *new, Jsonb *intended);
extern void wf_item_note_hand_changes(const TriggerData *trigger, const WfItem *old,
									  const WfItem *new, Jsonb *intended,
									  const char *actor);

/* log.c */
extern void wf_item_log(const WfLogRow *row);
extern bool wf_item_log_is_plain(void);
extern void wf_item_log_quietly(const WfLogRow *row, const TriggerData *trigger);
extern void wf_item_log_lone(const WfLogRow *row);
extern void wf_item_log_flush(void);

/* foreign_key.c */
extern bool wf_item_concerns_constraints(Relation table, TupleTableSlot *old, TupleTableSlot *new);
extern void wf_item_log_init(void);

/* direct.c */
extern void wf_item_judge_direct(const WfItem *old, const WfItem *new, WfActiveMove *direct,
								 WfMove *move);
extern bool wf_item_goes_by_hand(const WfItem *old, WfActiveMove *direct, WfMove *move);
extern bool wf_item_may_be_moved_by_hand(const WfItem *old, const WfItem *new,
										 WfActiveMove *direct, WfMove *move);

/* migrate.c */
extern const WfItem *wf_item_migrate_visit(const WfItem *old, const WfItem *new,
										   const WfActiveMove *active);

/* enter.c */
extern bool wf_item_takes_events(const WfState *state);
extern bool wf_item_enters_quietly(const WfItem *item, const WfState *state);
extern bool wf_item_job_carries_start(const WfState *state);
extern const WfItem *wf_item_enter(const WfVisit *visit);
extern const WfItem *wf_item_raise(const WfVisit *visit, const char *event,
								   const char *reason, Jsonb *event_data);

/* leave.c */
extern bool wf_item_leaves_quietly(const WfItem *item, const WfState *state, bool job_is_gone);
extern bool wf_item_state_has_job(const WfState *state);
extern void wf_item_leave(const WfItem *item, const WfState *state, bool job_is_gone);

/* activity.c */
extern int64 wf_item_enqueue(const WfVisit *visit, const char *kind,
							 const char *waiting_on, int64 effect_id, Jsonb *payload);
extern int64 wf_item_enqueue_units(const WfVisit *visit, const char *kind,
								   const char *waiting_on, int64 effect_id, int units);
extern void wf_item_set_effect(const WfJob *job, int64 effect_id);

/* ---- reask.c ---- */

/*
 * The body that asks a model, of what the document says and the body as it was
 * rendered; *estimate is how many tokens that is thought to take, {input, output}.
 */
extern Jsonb *wf_item_model_request(Jsonb *activity, Jsonb *rendered, Jsonb **estimate);

/* Where a model is asked that follows a profile. */
extern const char *wf_item_model_path(Jsonb *activity);

/*
 * Lets the job ask once more, if the state says so of such an answer; false: the
 * job has failed.
 */
extern bool wf_item_reask(const WfJob *job, const WfEffectOutcome *outcome);
extern void wf_item_settle_tokens(const WfJob *job, const WfEffectOutcome *outcome, bool was_sent);
extern const WfItem *wf_item_enter_sql(const WfVisit *visit);
extern const WfItem *wf_item_enter_task(const WfVisit *visit);
extern const WfItem *wf_item_enter_review(const WfVisit *visit);
extern const WfItem *wf_item_enter_exception(const WfVisit *visit);
extern const WfItem *wf_item_enter_wait(const WfVisit *visit);

/* request.c */
extern const WfItem *wf_item_enter_request(const WfVisit *visit);
extern void wf_item_rearm_request(const WfVisit *visit, const WfJob *job);

/* gate.c */
extern const WfItem *wf_item_enter_gate(const WfVisit *visit);

/* decide.c */
extern const WfItem *wf_item_enter_validate(const WfVisit *visit);
extern const WfItem *wf_item_enter_then(const WfVisit *visit);

/* fault.c */
typedef void (*WfFallible) (void *argument);
typedef struct WfFault
{
	const char *error_class;
	const char *message;
} WfFault;
extern bool wf_item_select(const WfVisit *visit, const char *selector, Jsonb **value,
						   WfFault *fault); /* decide.c */
extern bool wf_item_try(WfFallible function, void *argument, WfFault *fault);
extern const WfItem *wf_item_enter_failed(const WfVisit *visit, const WfFault *fault);
extern Jsonb *wf_item_error_data(const char *error_class, const char *message, Jsonb *detail);

/* restrict.c */
extern void wf_item_run_restricted(Oid definer, WfFallible function, void *argument);
extern bool wf_item_constraints_were_set(void);
extern void wf_item_refuse_to_outlive(void);
extern void wf_item_restrict_init(void);

/* session.c */
extern uint64 wf_item_session_note(Oid definer);
extern void wf_item_session_clean(uint64 ntemporary_before);
extern void wf_item_session_unlock(void);

/* deferred.c */
extern void wf_item_fire_activitys_deferred(Oid definer);

/* timer.c */
extern void wf_item_set_timer(const WfItem *item, const char *kind,
							  TimestampTz due_at, const char *event);
extern void wf_item_set_timer_of(int64 item_id, int seq, const char *kind,
								 TimestampTz due_at, const char *event);

/* sla.c */
extern void wf_item_begin_sla(const WfItem *item, const WfState *state, TimestampTz from);
extern void wf_item_end_sla(const WfItem *item, const WfState *state);
extern void wf_item_drop_timers(const WfItem *item);
extern void wf_item_revive_timeout(const WfItem *item);

/* compensated.c */
#define WF_TIMER_COMPENSATED "compensated"	/* whether all is taken back */
extern void wf_item_await_compensation(const WfItem *item);
extern void wf_item_end_compensation(const WfItem *item, bool is_of_revert, const char *actor);

/* timer_pause.c */
extern bool wf_item_drop_lost_timer(int64 item_id);
extern bool wf_item_put_timer_aside(const WfItem *item, int seq, const char *kind);

/* spawn.c */
#define WF_TIMER_SPAWN	"spawn" /* more children are to be started, or it is
								 * decided what they came to */
#define WF_TIMER_CLOSE	"close" /* those that live are to be cancelled, after
								 * the visit */
extern const WfItem *wf_item_enter_spawn(const WfVisit *visit);
extern bool wf_item_may_touch_children(const WfItem *item, int seq, const char *timer);
extern void wf_item_go_on_spawning(const WfItem *item, const char *actor);

/* spawn_replay.c */
extern void wf_item_replay_spawn(const WfVisit *visit);

/* spawn_row.c */
typedef struct WfSpawn
{
	int64		item_id;
	int			seq;
	const char *workflow;
	int			version;
	int			total;
	int			needed;			/* so many have to succeed */
	Jsonb	   *children;		/* [key, input] of each, or NULL: all are
								 * started */
	int			started;
	int			nredo;			/* places whose child is to be started again:
								 * a replay has put the one that failed aside */
	int		   *redo;
	int			redone;			/* so many of them are */
	int			replays;		/* how often the visit was taken up again */
	int			place;			/* of the child that is being started */
	bool		in_child;		/* it is */
	bool		awaits;			/* the end of the one that has its key */
	int			ended;			/* as far as they are counted */
	int			succeeded;
	const char *verdict;		/* ok, error, or NULL */
} WfSpawn;

extern WfSpawn *wf_spawn_order(const WfVisit *visit);	/* spawn.c */

extern void wf_spawn_store(const WfSpawn *spawn, Jsonb *success);
extern bool wf_spawn_try_hold(int64 item_id, int seq);
extern WfSpawn *wf_spawn_lock(int64 item_id, int seq);
extern void wf_spawn_note_started(const WfSpawn *spawn);
extern const char *wf_spawn_decide(WfSpawn *spawn);
extern bool wf_spawn_has_more(const WfSpawn *spawn);
extern void wf_spawn_note_failed(const WfItem *item, const char *error_class, const char *message);
extern TimestampTz wf_spawn_now(void);

/* spawn_start.c */
extern bool wf_spawn_is_starting(void);
extern Jsonb *wf_spawn_render(const WfVisit *visit, Jsonb *elements);
extern void wf_spawn_start_children(const WfVisit *visit, WfSpawn *spawn, int most);
extern void wf_item_note_end(const WfItem *item);

/* spawn_close.c */
extern void wf_item_leave_children(const WfItem *item, const WfMove *move);
extern void wf_item_close_children(int64 item_id, int seq);

/* input.c */
extern void wf_item_require_input(const WfGraph *graph, Jsonb *input);

/* event.c */
extern bool wf_item_event_is_decision(const WfState *state, const char *event);
extern bool wf_item_event_is_sendable(const WfState *state, const char *event);
pg_noreturn extern void wf_item_refuse_decision(const WfItem *item, const char *event,
												const char *means);
extern const WfItem *wf_item_fire_kept_event(const WfVisit *visit);

/* who moves items when no role does */
#define WF_ACTOR_ENGINE "pg_workflow maintenance"

/* low_water.c */
extern TimestampTz wf_timers_from(void);
extern int64 wf_child_ends_from(void);

#endif							/* WF_ITEM_INTERNAL_H */
