/*
 * ledger.h
 *	  What the files of the effect room share: endpoints, rows, verdicts.
 */
#ifndef WF_EFFECT_LEDGER_H
#define WF_EFFECT_LEDGER_H

#include "base/rows.h"
#include "effect/effect.h"
#include "lib/stringinfo.h"
#include "retry/policy.h"

#define WF_WRAPPER "workflow_http"

/* ------------------------------------------------------------- endpoints */

typedef enum WfDedup
{
	WF_DEDUP_KEY,				/* the receiver deduplicates by key */
	WF_DEDUP_NATURAL,			/* repeating changes nothing more */
	WF_DEDUP_PURE,				/* changes nothing at all */
	WF_DEDUP_NONE,				/* a second copy would be a second effect */
} WfDedup;

/* What a 5xx of a receiver with keys means for sending again. */
typedef enum WfOn5xx
{
	WF_5XX_UNKNOWN,
	WF_5XX_REEXECUTED,			/* the same key runs again */
	WF_5XX_REPLAYED,			/* the same key gives the same error for ever */
} WfOn5xx;

typedef enum WfBreaker
{
	WF_BREAKER_CLOSED,			/* calls go */
	WF_BREAKER_OPEN,			/* none goes until breaker_until */
	WF_BREAKER_HALF_OPEN,		/* one goes, to see */
} WfBreaker;

/* What is on record about the flow to an endpoint: workflow.endpoint. */
typedef struct WfFlow
{
	bool		is_paused;		/* by a person */
	TimestampTz pause_until;	/* as the endpoint asked; 0: never */
	WfBreaker	breaker;
	TimestampTz breaker_since;	/* 0: from the beginning */
	TimestampTz breaker_until;
	int			breaker_openings;	/* since it was closed */
	int64		breaker_probe;	/* effect whose call decides, or 0 */
} WfFlow;

/* What follows an outcome that nobody knows; the later, the more careful. */
typedef enum WfOnUnknown
{
	WF_UNKNOWN_RESEND,
	WF_UNKNOWN_PROBE,			/* the endpoint's lookup is asked first */
	WF_UNKNOWN_HOLD,			/* a person is asked */
} WfOnUnknown;

/* How to find out whether an action was applied. */
typedef struct WfLookup
{
	const char *path;			/* template; NULL: there is no lookup */
	const char *method;
	const char *found;			/* jsonpath over {status, headers, body} */
	const char *absent;			/* the same, or NULL */
	int64		settle_us;		/* an action that is not found so long after
								 * its send is absent */
	bool		absent_is_proof;
} WfLookup;

typedef struct WfEndpoint
{
	int32		endpoint_id;
	Oid			server;
	Oid			server_owner;
	const char *name;
	const char *url;			/* without a slash at its end */
	WfDedup		dedup;
	const char *owner;			/* label of a person or team, or NULL */
	int			timeout_ms;
	int			connect_timeout_ms;
	int			max_in_flight;
	int			rate_count;		/* 0: no limit */
	int64		rate_per_us;
	int64		max_request;
	int64		max_response;
	bool		allow_http;
	List	   *allow_private;	/* of char * */
	List	   *header_names;
	List	   *header_values;
	const char *key_header;
	bool		key_is_quoted;	/* the IETF draft's structured string */
	const char *key_pointer;	/* JSON pointer into the body, or NULL */
	const char *replay_marker;	/* header of an answer that is given again */
	const char *ignored_marker; /* header of an answer that ignored the key */
	int64		key_ttl_us;
	const char *ca_file;		/* or NULL, as the next six */
	const char *cert_file;
	const char *key_file;
	const char *key_secret;
	const char *pinned_key;
	const char *proxy;
	int			stall_seconds;
	int			http_version;	/* WfHttpVersion: 0 any, 1 1.1, 2 2 */
	WfOn5xx		on_5xx;
	List	   *in_progress;	/* of int: statuses, as are the next three */
	List	   *mismatch;
	List	   *already_done;
	List	   *rejects;		/* answered before any work */
	int			breaker_failures;	/* in a row; 0: off */
	int			breaker_percent;	/* of the calls of a window; 0: off */
	int64		breaker_window_us;
	int64		breaker_cooldown_us;
	WfFlow		flow;
	const char *retry_header;	/* says whether to try again; or NULL */
	List	   *mismatch_codes; /* the same by a code in a body of a 4xx */
	List	   *quota_codes;	/* of char *: in the body of a 429, money is
								 * missing */
	bool		accepted_is_open;	/* a 202 is looked up until it is done */
	WfOnUnknown on_unknown;
	WfLookup	lookup;
} WfEndpoint;

/* options.c: reading option values; each raises what is wrong with one. */
extern void wf_option_refuse(const char *name, const char *value,
							 const char *expected);
extern int64 wf_option_interval_us(const char *name, const char *value);
extern int64 wf_option_size(const char *name, const char *value);
extern bool wf_option_bool(const char *name, const char *value);
extern int	wf_option_count(const char *name, const char *value);
extern WfDedup wf_option_dedup(const char *value);
extern WfOn5xx wf_option_on_5xx(const char *value);
extern WfOnUnknown wf_option_on_unknown(const char *value);
extern void wf_option_jsonpath(const char *name, const char *value);
extern List *wf_option_statuses(const char *name, const char *value);
extern void wf_option_rate(const char *value, int *count, int64 *per_us);
extern int	wf_option_failures(const char *name, const char *value);
extern int	wf_option_percent(const char *name, const char *value);
extern List *wf_option_list(const char *value);
extern char *wf_option_header_name(const char *suffix);
extern int	wf_option_http_version(const char *value);

/* profile.c: options that say how a receiver treats repetitions */
extern const char *wf_option_value(List *options, const char *name);
extern void wf_check_profile(List *options);

/* endpoint.c */
extern WfEndpoint *wf_endpoint_find(const char *name);
extern WfEndpoint *wf_endpoint_by_id(int32 endpoint_id);
extern bool wf_endpoint_is_usable_by(const WfEndpoint *endpoint, const char *role);
extern void wf_endpoint_require_usage(const WfEndpoint *endpoint, const char *role);
extern void wf_endpoint_require_scheme(const WfEndpoint *endpoint);
extern char *wf_endpoint_refusal(const WfEndpoint *endpoint, const char *role);
extern List *wf_endpoint_mapping(const WfEndpoint *endpoint, const char *role);
extern const char *wf_dedup_name(WfDedup dedup);

/* secret.c */
extern char *wf_secret_read(const char *name, char **problem);
extern char *wf_secret_stamp(const char *name);
extern List *wf_secret_lines(char *secret);

extern char *wf_basic_credentials(const char *secret);
extern char *wf_base64(const void *data, int length);

/* digest.c */
extern void wf_digest_add(StringInfo material, const char *data, size_t length);
extern bytea *wf_digest(StringInfo material);
extern char *wf_hex(const void *data, size_t length);
extern char *wf_digest_hex(const void *data, size_t length);
extern char *wf_random_token(void);

/* ------------------------------------------------------------------ rows */

typedef struct WfEffect
{
	int64		effect_id;
	int32		endpoint_id;
	const char *key;
	const char *state;
	const char *substate;
	const char *kind;
	bytea	   *fingerprint;
	const char *submitted_by;	/* as that role is named now, or WF_NO_ROLE */
	int64		item_id;
	const char *method;
	const char *path;
	Jsonb	   *headers;
	bytea	   *body;			/* or NULL */
	const char *content_type;
	Jsonb	   *spec;
	int			timeout_ms;
	int			attempts;		/* sends begun */
	int			charged;		/* of them, those that count */
	int			unknown_attempts;	/* whose outcome nobody knows */
	int			generation;
	const char *token;
	const char *worker;
	TimestampTz first_sent_at;	/* 0: never */
	TimestampTz sending_at;
	TimestampTz deadline;
	TimestampTz next_at;
	TimestampTz unknown_at;		/* of the last such send, in real time; or 0 */
	Jsonb	   *previous;
	const char *external_id;
	bool		key_ignored;	/* by the receiver, as it says */
	const char *sent_to;		/* url of the last send, or NULL */
	Jsonb	   *response;
	const char *error_class;
	const char *reason;
	int64		model_output_id;
	const char *cause;			/* of the attempt, or of the block */
} WfEffect;

/* submitter.c; no role has this name, nor any right */
#define WF_NO_ROLE ""
extern char *wf_present_role(Oid role);

/* row.c */
extern WfEffect *wf_effect_lock(int64 effect_id);
extern WfEffect *wf_effect_try_lock(int64 effect_id);
extern void wf_effects_lock_to_send(WfEffect **effects, const int64 *effect_ids, int n);
extern void wf_effects_lock_to_record(WfEffect **effects, const int64 *effect_ids, int n);
extern WfEffect *wf_effect_read(int64 effect_id);
extern WfEffect *wf_effect_lock_key(int32 endpoint_id, const char *key);
extern bool wf_effect_is(const WfEffect *effect, const char *state);

/* --------------------------------------------------------------- verdicts */

typedef enum WfEvidence
{
	WF_NOT_APPLIED,
	WF_APPLIED,
	WF_NOT_KNOWN,
} WfEvidence;

typedef enum WfAction
{
	WF_ACT_SUCCEED,
	WF_ACT_RETRY,				/* as policy (or, not known, dedup) says */
	WF_ACT_FAIL,				/* for good */
	WF_ACT_BLOCK,				/* until a person mends the cause */
	WF_ACT_PROBE,				/* the endpoint's lookup must find out */
	WF_ACT_HOLD,				/* a person must find out */
} WfAction;

typedef struct WfVerdict
{
	WfEvidence	evidence;
	WfAction	action;
	const char *error_class;	/* NULL on success */
	const char *substate;		/* or NULL */
	const char *message;		/* or NULL */
	bool		is_charged;
	bool		settles_all;	/* speaks for the attempts before, too */
} WfVerdict;

/* What the receiver itself says about trying again. */
typedef enum WfAdvice
{
	WF_ADVICE_NONE,
	WF_ADVICE_RETRY,
	WF_ADVICE_STOP,
} WfAdvice;

typedef struct WfFacts
{
	int			phase;			/* WfHttpPhase */
	int			curl_code;
	int			status;
	bool		refused_by_guard;
	bool		body_truncated;
	bool		says_when;		/* a Retry-After came */
	WfExchangeKind kind;
	bool		is_replayed;	/* an answer that was given before */
	bool		is_other_request;	/* the receiver knows the key with another
									 * one */
	bool		is_out_of_quota;	/* it is money that is missing, not time */
	WfAdvice	advice;			/* by the endpoint's retry_header */
} WfFacts;

/* classify.c: pure */
extern WfVerdict wf_classify(const WfFacts *facts, const WfEndpoint *endpoint);
extern bool wf_has_lost_answer(const WfVerdict *verdict);

typedef struct WfSettlement
{
	WfDisposition disposition;
	bool		is_charged;
	int64		delay_us;		/* with WF_EFFECT_AGAIN */
	int			unknown_attempts;
	const char *substate;		/* NULL: the verdict's */
	const char *external_id;	/* NULL: the exchange's */
	const char *message;		/* NULL: the verdict's */
} WfSettlement;

extern WfSettlement wf_settle(const WfVerdict *verdict, const WfEndpoint *endpoint,
							  const WfEffect *effect, const WfRetryPolicy *policy,
							  int64 retry_after_us, double random01);

/* ------------------------------------------------------------------ flow */

/* Why no attempt may begin now, though nothing is wrong with the effect. */
typedef struct WfWait
{
	TimestampTz until;
	const char *waiting_on;		/* breaker, paused, rate_limit, retry */
	const char *message;
} WfWait;

/* gate.c */
extern bool wf_gate_stops(const WfEffect *effect, const WfEndpoint *endpoint, WfWait *wait);
extern void wf_gate_give_back(const WfEffect *effect, const WfEndpoint *endpoint);
extern TimestampTz wf_gate_line(int32 endpoint_id, TimestampTz opens_at, int64 step_us,
								int64 span_us);

/* breaker.c */
extern bool wf_breaker_is_on(const WfEndpoint *endpoint);
extern bool wf_breaker_take_probe(const WfEffect *effect, const WfEndpoint *endpoint);
extern void wf_breaker_note(const WfEffect *effect, const WfEndpoint *endpoint,
							const WfFacts *facts);
extern void wf_breaker_note_guard(const WfEffect *effect, const WfEndpoint *endpoint,
								  bool is_well);

/* limits.c */
extern int64 wf_limits_wait_us(const WfExchange *exchange, TimestampTz now);
extern bool wf_limits_note(const WfEndpoint *endpoint, const WfExchange *exchange);

/* What an answer of a lookup says. */
typedef enum WfFinding
{
	WF_FINDING_NONE,			/* the exchange was no lookup */
	WF_FINDING_FOUND,
	WF_FINDING_ABSENT,
	WF_FINDING_INCONCLUSIVE,
} WfFinding;

/* lookup.c */
extern WfOnUnknown wf_default_on_unknown(WfDedup dedup, bool has_lookup);
extern bool wf_may_look_up(const WfEffect *effect, const WfEndpoint *endpoint);
extern char *wf_lookup_path(const WfEffect *effect, const WfEndpoint *endpoint, char **problem);
extern WfFinding wf_lookup_read(const WfEffect *effect, const WfEndpoint *endpoint,
								const WfExchange *exchange, Jsonb *response);
extern void wf_lookup_judge(WfFinding finding, const WfEffect *effect,
							const WfEndpoint *endpoint, WfVerdict *verdict);
extern int64 wf_lookup_delay_us(WfFinding finding, const WfEffect *effect,
								const WfEndpoint *endpoint, double random01);

/* answer.c */
typedef struct WfAnswer
{
	Jsonb	   *response;		/* {status, headers, body} */
	Jsonb	   *body;			/* parsed, or NULL when it is not JSON */
	bytea	   *raw;			/* a body that is no text */
} WfAnswer;

extern WfAnswer wf_answer_read(const WfExchange *exchange);
extern Jsonb *wf_select_first(Jsonb *target, const char *selector);
extern Jsonb *wf_select_with(Jsonb *target, const char *selector, Jsonb *variables);
extern Jsonb *wf_parse_json(const char *text, size_t length);

/* facts.c */
extern List *wf_default_quota_codes(void);
extern List *wf_default_mismatch_codes(void);
extern WfFacts wf_facts_of(const WfExchange *exchange, const WfEndpoint *endpoint,
						   Jsonb *body);

/* key_profile.c */
extern bytea *wf_body_with_key(const WfIntent *intent, const WfEndpoint *endpoint,
							   const char *key, bytea *body);
extern void wf_wire_body(WfWire *wire, const WfEffect *effect, const WfEndpoint *endpoint);
extern bool wf_has_marker(Jsonb *headers, const char *marker);
extern void wf_endpoint_ignore_keys(WfEndpoint *endpoint);
extern void wf_note_duplicate(const WfEffect *effect, const char *why);
extern const char *wf_known_success(const WfEffect *effect, char **reference);
extern void wf_note_second_success(const WfEffect *effect, const WfEndpoint *endpoint,
								   const WfExchange *exchange);
extern void wf_heed_ignored_key(WfEffect *effect, WfEndpoint *endpoint,
								const WfExchange *exchange);

/* settle.c */
typedef struct WfNews
{
	WfVerdict	verdict;
	WfFinding	finding;
	Jsonb	   *policy;			/* or NULL: the default */
	int64		retry_after_us; /* -1: not said */
	const WfExchange *exchange; /* NULL: the sender is gone */
	const char *replay_marker;	/* or NULL */
	WfAnswer	answer;
	Jsonb	   *result;			/* on success */
	const char *external_id;
	int64		model_output_id;
	const char *explanation;	/* or NULL: made of the rest */
} WfNews;

/* What is to be written, for any number of effects. */
typedef struct WfLedgerPage
{
	TimestampTz at;				/* when all of it happened */
	WfRows	   *effects;
	WfRows	   *attempts;
} WfLedgerPage;

extern WfLedgerPage *wf_ledger_page(void);
extern void wf_ledger_write(WfLedgerPage *page);
extern WfEffectOutcome wf_effect_settle_on(WfLedgerPage *page, const WfEffect *effect,
										   const WfEndpoint *endpoint,
										   const WfNews *news);
extern WfEffectOutcome wf_effect_settle(const WfEffect *effect,
										const WfEndpoint *endpoint, const WfNews *news);
extern WfEffectOutcome wf_effect_block(const WfEffect *effect,
									   const WfEndpoint *endpoint,
									   const char *error_class, const char *reason);
extern WfRows *wf_attempt_rows(void);
extern void wf_effect_note_attempt(WfLedgerPage *page, const WfEffect *effect,
								   const WfNews *news, const char *outcome,
								   const char *message);
extern WfExchangeKind wf_exchange_under_way(const WfEffect *effect);
extern WfEndpoint *wf_endpoint_among(List **known, int32 endpoint_id);
extern WfEndpoint *wf_endpoint_if_any(const WfEffect *effect, List **known);
extern void wf_effect_take_back_send(const WfEffect *effect, const WfExchange *exchange);
extern WfEndpoint *wf_endpoint_of(const WfEffect *effect, List **known);
extern WfEffectOutcome wf_outcome_of(const WfEffect *effect);

/* revert.c */
#define WF_TARGET_CHECKED	"checked"	/* substates */
#define WF_TARGET_CHANGED	"changed"

extern bool wf_effect_is_revert(const WfEffect *effect);
extern bool wf_revert_needs_reading(const WfEffect *effect);
extern void wf_revert_judge_reading(const WfEffect *effect, WfNews *news);
extern void wf_revert_judge_answer(const WfEffect *effect, WfNews *news);
extern const char *wf_revert_key(const WfEffect *effect);
extern char *wf_revert_condition(const WfEffect *effect);

/* deliver.c */
extern WfWire *wf_wire_deliver(const WfWire *wire, MemoryContext context);
extern WfEffectOutcome wf_outcome_deliver(WfEffectOutcome outcome, MemoryContext context);

/* reserve.c */
extern bool wf_effect_reserve_or_conflict(const WfPrepared *prepared, int64 *effect_id,
										  WfReservation *reservation);

/* body.c */
extern bytea *wf_body_bytes(const WfIntent *intent, const char **type);

/* event_stream.c */
extern Jsonb *wf_read_events(const char *text, bool is_whole);

/* header.c */
extern bool wf_header_is_protocol(const char *name);
extern bool wf_header_is_reserved(const char *name);
extern char *wf_header_value(Jsonb *headers, const char *name);

/* intent.c */
extern void wf_check_intent(const WfIntent *intent, const WfEndpoint *endpoint,
							const bytea *body);
extern void wf_check_effect(const WfEffect *effect, const WfEndpoint *endpoint);

/* request.c */
extern char *wf_sent_key(const char *key, bool is_quoted);
extern void wf_wire_add_header(WfWire *wire, const char *name, const char *value);
extern bool wf_fill_wire(WfWire *wire, const WfEffect *effect,
						 const WfEndpoint *endpoint, char **problem);
extern char *wf_cause(const WfEndpoint *endpoint, const char *role);

/* sign.c */
#define WF_SIGNATURE_LENGTH 32	/* of HMAC-SHA256 */

typedef struct WfSigned
{
	const char *head;			/* what is signed before the body */
	const char *body;
	size_t		body_length;
} WfSigned;

extern bool wf_hmac(const char *secret, bool is_standard, const WfSigned *message,
					uint8 *signature);
extern char *wf_unusable_secret(const char *name);
extern bool wf_sign_wire(WfWire *wire, const WfEffect *effect, List *mapping,
						 char **problem);

/* step.c */
extern char *wf_why_blocked(const WfEffect *effect, const WfEndpoint *endpoint);
extern char *wf_why_held(const WfEffect *effect, const WfEndpoint *endpoint);
extern WfOnUnknown wf_next_step(const WfEffect *effect, const WfEndpoint *endpoint);
extern bool wf_needs_read_before(const WfEffect *effect);

/* rate.c */
extern TimestampTz wf_endpoint_take_rate(const WfEndpoint *endpoint, bool is_mocked);

/* send.c */
extern WfEffect *wf_effect_give_up_overdue(WfEffect *effect);
extern bool wf_effect_begin_guarded(WfEffect *effect, WfWire *wire,
									WfEffectOutcome *outcome);

#endif							/* WF_EFFECT_LEDGER_H */
