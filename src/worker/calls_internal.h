/*
 * calls_internal.h
 *	  The table of calls: which there are, where each stands, and how many an
 *	  endpoint has.
 */
#ifndef WF_WORKER_CALLS_INTERNAL_H
#define WF_WORKER_CALLS_INTERNAL_H

#include "effect/effect.h"
#include "http/http.h"
#include "lib/ilist.h"
#include "storage/latch.h"
#include "utils/hsearch.h"
#include "worker/calls.h"

typedef enum WfCallStage
{
	WF_CALL_NEW,				/* claimed just now */
	WF_CALL_ASIDE,				/* waits for room at its endpoint */
	WF_CALL_CHOSEN,				/* is to begin in the present transaction */
	WF_CALL_BEGUN,				/* its effect is "sending", once that is
								 * committed */
	WF_CALL_UNDER_WAY,
	WF_CALL_FINISHED,			/* with a result */
	WF_CALL_KEPT,				/* the same, which could not be recorded and
								 * is tried again later */
	WF_CALL_SETTLED,			/* the ledger knows; its jobs are to be told */
	WF_CALL_TOLD,				/* done with, once that is committed */
} WfCallStage;

#define WF_CALLS_MAX_RECORD 200
#define WF_CALLS_MAX_TELL 60	/* each in a subtransaction */
#define WF_CALLS_BACK_OFF_MS 1000
#define WF_CALL_STAGES (WF_CALL_TOLD + 1)

typedef struct WfEndpoint
{
	int32		endpoint_id;	/* hash key */
	int			max;			/* most calls at once, at present */
	int			declared;		/* that once it has grown */
	TimestampTz grown_at;		/* when max last doubled */
	TimestampTz breaker_since;	/* when max began to grow anew */
	int			nbusy;			/* from begun to finished */
	int			naside;
	int			nline;			/* jobs given back that may not have come back
								 * yet */
	bool		is_crowded;		/* jobs were given back by the last look at
								 * everything */
	double		average_ms;		/* of a call, the last ones counting most */
	TimestampTz moved_at;		/* when a call last began in an empty place or
								 * ended */
} WfEndpoint;

typedef struct WfCall
{
	int64		effect_id;		/* hash key */
	dlist_node	node;			/* in the list of its stage */
	WfCallStage stage;
	WfCallStage stage_before;	/* the present transaction */
	WfCalls    *calls;
	MemoryContext context;		/* of everything below */
	WfEndpoint *endpoint;
	WfJob		job;			/* without its payload */
	const char *token;
	WfExchangeKind kind;
	WfWire	   *wire;			/* until it is started */
	TimestampTz started_at;		/* when it was put on the wire */
	TimestampTz not_before;		/* of its job, when nothing was sent */
	const char *waiting_on;		/* why not before, or NULL; a constant */
	WfFault		fault;			/* why it could not begin; no message: it
								 * could */
	WfHttpResult *result;		/* when finished */
	bool		has_succeeded;	/* when settled: its effect has */
	bool		is_bare;		/* only the bare facts of it can be recorded */
	TimestampTz retry_at;		/* when kept or settled: not before */
	int			failures;		/* in a row */
} WfCall;

struct WfCalls
{
	const WfDispatcher *by;
	MemoryContext context;
	WfHttpClient *client;
	WaitEventSet *waits;
	HTAB	   *table;			/* of WfCall */
	HTAB	   *endpoints;		/* of WfEndpoint */
	dlist_head	stages[WF_CALL_STAGES];
	int			nstage[WF_CALL_STAGES];
	TimestampTz oldest_finished;
	int			record_limit;
	TimestampTz record_at;		/* nothing can be stored now: when to retry */
	int			tell_alone;		/* so many are to be told one by one */
	WfCall	   *telling;		/* the first of the present batch */

	bool		is_stopping;
	bool		has_failed;		/* the last transaction */
	bool		look_now;		/* for jobs */
	TimestampTz look_at;		/* 0: only when woken */
	TimestampTz next_due;
	int			fruitless;		/* looks in a row that got nothing of what is
								 * due */
	bool		may_be_more;
	bool		got_all;		/* the last look: as many as it wanted */
	int			ngiven_back;	/* by the last look */
	bool		found_others;	/* the last look: jobs of endpoints that have
								 * room */
	TimestampTz crowded_until;	/* jobs are given back: look for no more than
								 * there is known room for */
	int			crowd_ms;		/* how long that was last */
	TimestampTz busy_at;		/* when anything last moved */
	int			nclaimed;
	uint32		nturns;
};

extern void wf_calls_make_table(WfCalls *calls);
extern WfCall *wf_calls_find(WfCalls *calls, int64 effect_id);
extern int	wf_calls_room(const WfCalls *calls);
extern bool wf_calls_has_place_aside(const WfCalls *calls, const WfEndpoint *endpoint);

extern WfCall *wf_call_make(WfCalls *calls, const WfJob *job, const WfRoute *route);
extern void wf_call_copy_job(WfJob *copy, const WfJob *job);
extern void wf_call_move(WfCall *call, WfCallStage stage);
extern void wf_call_move_for_good(WfCall *call, WfCallStage stage);
extern void wf_call_forget(WfCall *call);

extern void wf_call_put_off(WfCall *call, WfCallStage stage);
extern bool wf_calls_is_due(const WfCalls *calls, WfCallStage stage);
extern TimestampTz wf_calls_retry_at(const WfCalls *calls, WfCallStage stage);

extern bool wf_calls_is_ending(const WfCalls *calls);
extern void wf_call_begin(WfCall *call);
extern int	wf_calls_start(WfCalls *calls);
extern int	wf_calls_claim(WfCalls *calls);
extern bool wf_calls_has_backlog(const WfCalls *calls);
extern void wf_calls_look_for_jobs(WfCalls *calls);
extern int	wf_calls_start_claimed(WfCalls *calls);
extern int	wf_calls_record_all(WfCalls *calls, bool claims);
extern void wf_calls_end_together(WfCalls *calls);
extern int	wf_calls_tell_all(WfCalls *calls);

extern int	wf_calls_room_in_crowd(const WfCalls *calls);
extern bool wf_calls_is_crowded(WfCalls *calls, int32 endpoint_id);
extern void wf_calls_forget_crowd(WfCalls *calls);
extern long wf_endpoint_line_ms(WfEndpoint *endpoint);
extern void wf_endpoint_call_ended(WfEndpoint *endpoint, const WfHttpResult *result);
extern void wf_endpoint_grow(WfEndpoint *endpoint);
extern TimestampTz wf_calls_grow_at(WfCalls *calls);

/* after a transaction committed, or did not */
extern void wf_calls_keep(WfCalls *calls);
extern void wf_calls_undo(WfCalls *calls);

#endif							/* WF_WORKER_CALLS_INTERNAL_H */
