/*
 * effect.h
 *	  The ledger of outside actions.
 *
 * The order of commits is the promise: "sending" is committed and flushed
 * before any byte leaves; a "sending" row whose sender is gone is "unknown",
 * never "pending".  Callers are connected to SPI and run as the owner of the
 * extension; submitted_by names the role whose rights the sending uses.
 */
#ifndef WF_EFFECT_EFFECT_H
#define WF_EFFECT_EFFECT_H

#include "base/sweep.h"
#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

/*
 * What becomes of an intent whose role may not use the endpoint, or whose
 * endpoint is not https and does not say allow_http.
 */
typedef enum WfRefused
{
	WF_REFUSED_RAISES,			/* WF010: somebody is there to read it */
	WF_REFUSED_BLOCKS,			/* it is blocked until that changes */
	WF_REFUSED_LATER,			/* the same, when it is to be sent */
} WfRefused;

typedef struct WfIntent
{
	const char *endpoint;		/* name of the foreign server */
	const char *key;
	const char *kind;			/* http, model, call, guard, revert, verify */
	const char *submitted_by;
	int64		item_id;		/* 0: none */
	const char *item_state;
	int			item_seq;
	int64		reverts;		/* effect that this one reverts, or 0 */
	const char *method;
	const char *path;
	Jsonb	   *headers;		/* object of strings, or NULL */
	Jsonb	   *body;			/* sent as content_type says; NULL: none */
	bytea	   *body_bytes;		/* sent as they are, instead of body */
	const char *content_type;	/* NULL: the header's, else JSON */
	int			timeout_ms;		/* 0: the endpoint's */
	WfRefused	refused;

	/*
	 * How to go on, resolved when the state was entered: {"before": {method,
	 * path}, "revert": {method, path, body} (unrendered: it sees before),
	 * "external_id": selector, "output": selector, "version": text}
	 */
	Jsonb	   *spec;
} WfIntent;

typedef enum WfReservation
{
	WF_RESERVED,				/* pending: send it */
	WF_RESERVED_DONE,			/* succeeded before: use its result */
	WF_RESERVED_BUSY,			/* sending or unknown or held: wait for it */
	WF_RESERVED_BLOCKED,		/* until its cause changes: wait for it */
} WfReservation;

/*
 * An intent that was found to be acceptable, with its endpoint; refers to the
 * intent.  wf_effect_prepare() raises what is wrong.
 */
typedef struct WfPrepared WfPrepared;
extern WfPrepared *wf_effect_prepare(const WfIntent *intent);

/*
 * Reserves an effect, or finds it again by (endpoint, key).  Another request
 * under the same key raises WF005, unless the first is proven not applied:
 * then a new generation "key#2" is reserved.  *effect_id is set always.
 */
extern WfReservation wf_effect_reserve(const WfIntent *intent, int64 *effect_id);
extern WfReservation wf_effect_reserve_prepared(const WfPrepared *prepared, int64 *effect_id);

/*
 * The same request of the same version of a model has been answered: the effect,
 * which is pending, succeeds with that answer.  Returns whether it does.
 */
extern bool wf_effect_reuse_output(int64 effect_id);

/*
 * An answer that cannot be used is asked for once more, with the body given: as a
 * new generation of its key, which is returned; 0: it cannot be asked.
 */
extern int64 wf_effect_ask_again(int64 effect_id, const char *item_state, int item_seq,
								 Jsonb *body);

/* Tokens that an answer of a model took; -1: not known. */
extern int	wf_effect_model_tokens(int64 model_output_id);

/*
 * A person wants an effect again that has ended without success: it is pending,
 * with all its attempts, or held where it may have been applied.  Raises 55000
 * where its request cannot be sent any more.  Others are left as they are.
 */
extern void wf_effect_revive(int64 effect_id);

typedef enum WfDisposition
{
	WF_EFFECT_SUCCEEDED,
	WF_EFFECT_FAILED,			/* refused for good, not applied */
	WF_EFFECT_AGAIN,			/* pending again, from next_at on */
	WF_EFFECT_BEFORE_DONE,		/* previous value is stored: send the action */
	WF_EFFECT_UNKNOWN,			/* under way, or to be looked up from next_at
								 * on */
	WF_EFFECT_HELD,				/* a person is asked */
	WF_EFFECT_BLOCKED,			/* until its cause changes */
	WF_EFFECT_DEAD,				/* attempts spent, not applied */
	WF_EFFECT_STALE,			/* recorded as late evidence only */
	WF_EFFECT_BUSY,				/* somebody holds its row: ask again soon */
} WfDisposition;

typedef struct WfEffectOutcome
{
	int64		effect_id;
	WfDisposition disposition;
	TimestampTz next_at;		/* with AGAIN */
	const char *waiting_on;		/* with AGAIN, a constant: breaker, paused,
								 * rate_limit, retry (its endpoint does not
								 * take it now), budget, same_request, else
								 * NULL */
	bool		charged;
	const char *error_class;	/* NULL on success */
	const char *message;
	Jsonb	   *result;			/* on success: {status, headers, body}, or the
								 * model's parsed output */
	int64		model_output_id;	/* 0: none */
	bool		is_of_item;		/* intended by a state of an item */
} WfEffectOutcome;

/*
 * What an exchange with an endpoint is for: only the first kind is a send of
 * the effect, the others change nothing.
 */
typedef enum WfExchangeKind
{
	WF_EXCHANGE_ACTION,
	WF_EXCHANGE_BEFORE,			/* reads the value that is about to change */
	WF_EXCHANGE_PROBE,			/* looks up whether an earlier send was
								 * applied */
} WfExchangeKind;

/* What an exchange came to, in values (the worker translates WfHttpResult). */
typedef struct WfExchange
{
	WfExchangeKind kind;
	int			phase;			/* WfHttpPhase */
	int			curl_code;
	bool		refused_by_guard;
	const char *refused_ranges; /* as allow_private would list them, or NULL */
	bool		body_truncated;
	int			status;
	Jsonb	   *headers;		/* object: lower-case names, strings */
	const char *body;
	size_t		body_length;
	int64		retry_after_ms; /* -1: not said */
	double		total_ms;
	const char *error;
} WfExchange;

/*
 * Everything the sender needs, in values; the worker makes a WfHttpRequest of
 * it.  Values are in the current memory context and hold secrets.
 */
typedef struct WfWire
{
	int64		effect_id;
	const char *token;
	int			attempt;
	const char *cause;			/* what it would be blocked for: see
								 * wf_cause() */
	const char *receiver;		/* url of the endpoint */
	WfExchangeKind kind;
	const char *method;
	const char *url;
	List	   *header_names;	/* of char * */
	List	   *header_values;	/* of char *, same length */
	const char *body;
	size_t		body_length;
	int			timeout_ms;
	int			connect_timeout_ms;
	size_t		max_response;
	bool		allow_http;
	bool		fresh_connection;
	List	   *allow_private;	/* of char * */
	const char *ca_file;		/* or NULL, as all that follow */
	const char *cert_file;
	const char *key_file;
	char	   *client_key;		/* a secret */
	const char *pinned_key;
	const char *proxy;
	List	   *secrets;		/* of char *: masked where the answer has them */
	int			stall_seconds;
	int			http_version;	/* WfHttpVersion */
	bool		is_mocked;		/* never sent: names stand for its secrets */
} WfWire;

/*
 * Marks a pending effect as sending, with a new token and attempt number, and
 * builds what goes on the wire.  Returns NULL, with *outcome filled, when
 * nothing is to be sent: succeeded already, blocked (grant, secret, server
 * missing), held, or effects are off; or when its row is held by somebody:
 * nothing here waits for one.  The caller commits and flushes before it sends.
 */
extern WfWire *wf_effect_begin_send(int64 effect_id, const char *worker,
									WfEffectOutcome *outcome);

/*
 * The same for an attempt that a mock answers (mock.h): no secret is read.
 */
extern WfWire *wf_effect_begin_mocked(int64 effect_id, const char *worker,
									  WfEffectOutcome *outcome);

/* An attempt that is to begin together with others. */
typedef struct WfStart
{
	int64		effect_id;
	MemoryContext context;		/* in which the wire is to live */
	WfWire	   *wire;			/* NULL: it did not begin */
} WfStart;

/*
 * The same for many effects at once.  Only those begin that nothing stands in
 * the way of; of the others nothing is changed, and wf_effect_begin_send() says
 * what becomes of them.
 */
extern void wf_effect_begin_many(WfStart *starts, int n, const char *worker);

/* What an attempt came to, and what that means for its job. */
typedef struct WfRecording
{
	int64		effect_id;
	const char *token;
	const WfExchange *exchange;
	Jsonb	   *policy;			/* the activity's object; NULL: the default */
	WfDisposition disposition;	/* the result */
} WfRecording;

/*
 * Records what attempts came to.  BUSY: somebody holds the effect, nothing is
 * recorded.  Raises WF012 when one of the effects does not exist.
 */
extern void wf_effect_record_many(WfRecording *recordings, int n);

/*
 * Turns the effects that a vanished sender left "sending" into "unknown" and
 * applies the endpoint's rule: pending again where the receiver deduplicates,
 * else held.
 */
extern void wf_effect_reclaim_lost(WfSweep *sweep);

/*
 * Blocked effects go on when the grants, options, secret files or settings
 * that they depend on have changed: they are pending again.  The sweep is put
 * off when somebody holds one of them.  Cheap when nothing is blocked; the
 * maintenance worker asks from time to time while something is.
 */
extern void wf_effect_unblock(WfSweep *sweep);

/*
 * For an effect that raises in one of these: says so in its row; leaves it alone
 * for a while.
 */
extern void wf_effect_note_refusal(int64 effect_id, const char *problem);
extern void wf_effect_leave_aside(int64 effect_id, int64 delay_us);

/* Makes, or makes ready again, the job that sends an effect that stands alone. */
extern void wf_effect_enqueue(int64 effect_id, const char *endpoint, const char *queue);

/* Where an effect stands, for a job that waits for it. */
extern WfEffectOutcome wf_effect_standing(int64 effect_id);

/*
 * The same of an effect that is locked, and stays as it is until the present
 * transaction ends; WF_EFFECT_BUSY when somebody else holds it.
 */
extern WfEffectOutcome wf_effect_hold_standing(int64 effect_id);

/*
 * The item moved on: cancels what has not begun, and has looked up what may have
 * been applied; what is sending ends alone.
 */
extern void wf_effect_cancel_visit(int64 item_id, int seq);

/*
 * The same of one that was sending then and was not applied, when no item has a
 * job for it; it is locked.  Returns whether it was one.
 */
extern bool wf_effect_cancel_unwanted(int64 effect_id);

/* Whether a job of an item waits for it. */
extern bool wf_effect_is_wanted(int64 effect_id);

/*
 * For an effect that has no job at all.  What may have been applied gets one that
 * looks it up, or is held.  Returns false when somebody holds it: try again.
 */
extern bool wf_effect_settle_unwanted(int64 effect_id);

/*
 * Finds such effects, but those given; returns how many.  They are left when a
 * process dies that was to tell that an item has left.
 */
extern int	wf_effect_find_orphans(int64 *effects, int size, Datum but);

/* Forgetting what effects carried, and not that they were. */
extern uint64 wf_effect_purge(TimestampTz *from, TimestampTz until, int most);
extern TimestampTz wf_effect_oldest_body(void);

/* Where an effect goes. */
typedef struct WfRoute
{
	int64		effect_id;
	int32		endpoint_id;	/* 0: there is no such effect */
	int			max_in_flight;	/* most calls to it at once */
	TimestampTz breaker_since;	/* since when its breaker is as it is; 0: from
								 * the beginning */
} WfRoute;

/* Fills in the rest for the effects given. */
extern void wf_effect_find_routes(WfRoute *routes, int n);

#endif							/* WF_EFFECT_EFFECT_H */
