/*
 * reserve.c
 *	  Intending an effect, once.
 *
 * The unique constraint on (endpoint, key) decides races: whoever inserts
 * first has the effect, everybody else finds it again.  A key whose first
 * request is proven not applied may be used by another request: that one is a
 * new generation with a key of its own, "key#2".
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/jsonb.h"
#include "base/plan.h"
#include "base/sqlstate.h"
#include "catalog/pg_type.h"
#include "effect/quarantine.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define MAX_GENERATIONS 1000

/* An intent with its endpoint and the exact bytes of its request. */
typedef struct WfPrepared
{
	const WfIntent *intent;
	const WfEndpoint *endpoint;
	bytea	   *body;			/* or NULL */
	const char *content_type;
	bytea	   *fingerprint;
} Prepared;

static WfPlan insert_effect_plan = {
	.name = "insert effect",
	.expected = SPI_OK_INSERT_RETURNING,
	.nargs = 19,
	.argtypes = {INT4OID, TEXTOID, TEXTOID, BYTEAOID, TEXTOID, INT8OID, TEXTOID, INT4OID,
		INT8OID, TEXTOID, TEXTOID, JSONBOID, BYTEAOID, TEXTOID, JSONBOID, INT4OID,
	TIMESTAMPTZOID, INT4OID, TIMESTAMPTZOID},
	.sql = "INSERT INTO workflow.effect (endpoint_id, key, kind, fingerprint, submitted_by, "
	"item_id, item_state, item_seq, reverts, method, path, headers, body, content_type, "
	"spec, timeout_ms, created_at, generation, unknown_attempts, first_sent_at) "
	"VALUES ($1::int4, $2::text, $3::text, $4::bytea, $5::text, $6::int8, $7::text, "
	"$8::int4, $9::int8, $10::text, $11::text, $12::jsonb, $13::bytea, $14::text, "
	"$15::jsonb, $16::int4, $17::timestamptz, $18::int4, "
	"CASE WHEN $19::timestamptz IS NULL THEN 0 ELSE 1 END, $19::timestamptz) "
	"ON CONFLICT (endpoint_id, key) DO NOTHING RETURNING effect_id",
};

/* A life ends and another one begins: state $2 at time $3; held, it says why. */
#define LIVE_AGAIN \
	"earlier = earlier || pg_catalog.jsonb_build_object(" \
	"'item_id', item_id, 'seq', item_seq, 'reserved_by', submitted_by, 'state', state, " \
	"'status', status, 'reason', reason, 'finished_at', finished_at, " \
	"'reserved_again_at', $3::timestamptz), state = $2::text, substate = NULL, charged = 0, " \
	"error_class = CASE $2::text WHEN 'held' THEN 'unknown_outcome' END, " \
	"reason = CASE $2::text WHEN 'held' THEN " \
	"'it may have been applied before it was given up' || coalesce(' (' || reason || ')', '') || " \
	"', and a second copy could be a second action' END, " \
	"next_at = NULL, finished_at = NULL, token = NULL, " \
	"status = NULL, response = NULL, response_raw = NULL, " \
	"evidence = CASE WHEN unknown_attempts > 0 THEN evidence END "

static WfPlan revive_effect_plan = {
	.name = "revive effect",
	.expected = SPI_OK_UPDATE,
	.by_index = true,
	.passes = "effect",
	.nargs = 11,
	.argtypes = {INT8OID, TEXTOID, TIMESTAMPTZOID, TEXTOID, INT8OID, TEXTOID, INT4OID, JSONBOID,
	INT4OID, BYTEAOID, JSONBOID},
	.sql = "UPDATE workflow.effect SET " LIVE_AGAIN ", submitted_by = $4::text, "
	"item_id = $5::int8, item_state = $6::text, item_seq = $7::int4, spec = $8::jsonb, "
	"timeout_ms = $9::int4, body = CASE WHEN purged_at IS NULL THEN body ELSE $10::bytea END, "
	"headers = CASE WHEN purged_at IS NULL THEN headers ELSE $11::jsonb END, purged_at = NULL "
	"WHERE effect_id = $1::int8",
};

static WfPlan replay_effect_plan = {
	.name = "replay effect",
	.expected = SPI_OK_UPDATE,
	.by_index = true,
	.passes = "effect",
	.nargs = 3,
	.argtypes = {INT8OID, TEXTOID, TIMESTAMPTZOID},
	.sql = "UPDATE workflow.effect SET " LIVE_AGAIN
	"WHERE effect_id = $1::int8 AND purged_at IS NULL",
};

static bytea *
fingerprint(const Prepared *prepared)
{
	const WfIntent *intent = prepared->intent;
	const bytea *body = prepared->body;
	const char *type = prepared->content_type;
	char	   *endpoint = psprintf("%d", prepared->endpoint->endpoint_id);
	char	   *headers = intent->headers == NULL ? NULL : wf_jsonb_to_cstring(intent->headers);
	StringInfoData material;

	initStringInfo(&material);
	wf_digest_add(&material, endpoint, strlen(endpoint));
	wf_digest_add(&material, intent->method, intent->method == NULL ? 0 : strlen(intent->method));
	wf_digest_add(&material, intent->path, intent->path == NULL ? 0 : strlen(intent->path));
	wf_digest_add(&material, headers, headers == NULL ? 0 : strlen(headers));
	if (body == NULL)
		wf_digest_add(&material, NULL, 0);
	else
		wf_digest_add(&material, VARDATA_ANY(body), VARSIZE_ANY_EXHDR(body));
	wf_digest_add(&material, type, type == NULL ? 0 : strlen(type));

	return wf_digest(&material);
}

static void
set_origin(const WfIntent *intent, Datum *values, char *nulls)
{
	values[0] = Int64GetDatum(intent->item_id);
	values[1] = wf_text_datum(intent->item_state);
	values[2] = Int32GetDatum(intent->item_seq);
	nulls[0] = intent->item_id == 0 ? 'n' : ' ';
	nulls[1] = WF_NULL_FLAG(intent->item_state);
	nulls[2] = intent->item_state == NULL ? 'n' : ' ';
}

static Datum
spec_datum(const WfIntent *intent)
{
	return JsonbPGetDatum(intent->spec == NULL ? wf_jsonb_empty_object() : intent->spec);
}

/*
 * Returns the id of the new effect; 0 when the key is taken.
 */
static int64
insert_effect(const Prepared *prepared, const char *key, int generation)
{
	const WfIntent *intent = prepared->intent;
	TimestampTz in_doubt_since = wf_in_doubt_since(intent);
	Datum		values[19];
	char		nulls[20];

	memset(nulls, ' ', sizeof(nulls));
	values[0] = Int32GetDatum(prepared->endpoint->endpoint_id);
	values[1] = wf_text_datum(key);
	values[2] = wf_text_datum(intent->kind);
	values[3] = PointerGetDatum(prepared->fingerprint);
	values[4] = wf_text_datum(intent->submitted_by);
	set_origin(intent, &values[5], &nulls[5]);
	values[8] = Int64GetDatum(intent->reverts);
	nulls[8] = intent->reverts == 0 ? 'n' : ' ';
	values[9] = wf_text_datum(intent->method);
	nulls[9] = WF_NULL_FLAG(intent->method);
	values[10] = wf_text_datum(intent->path);
	nulls[10] = WF_NULL_FLAG(intent->path);
	values[11] = PointerGetDatum(intent->headers);
	nulls[11] = WF_NULL_FLAG(intent->headers);
	values[12] = PointerGetDatum(wf_body_with_key(intent, prepared->endpoint, key, prepared->body));
	nulls[12] = WF_NULL_FLAG(prepared->body);
	values[13] = wf_text_datum(prepared->content_type);
	nulls[13] = WF_NULL_FLAG(prepared->content_type);
	values[14] = spec_datum(intent);
	values[15] = Int32GetDatum(intent->timeout_ms);
	values[16] = TimestampTzGetDatum(wf_now());
	values[17] = Int32GetDatum(generation);
	values[18] = TimestampTzGetDatum(in_doubt_since);
	nulls[18] = in_doubt_since == 0 ? 'n' : ' ';

	return wf_plan_execute(&insert_effect_plan, values, nulls) == 0 ? 0 : wf_result_int8(0, 1);
}

static void
revive(const WfEffect *effect, const Prepared *prepared, const char *state)
{
	const WfIntent *intent = prepared->intent;
	Datum		values[11];
	char		nulls[12];

	memset(nulls, ' ', sizeof(nulls));
	values[0] = Int64GetDatum(effect->effect_id);
	values[1] = wf_text_datum(state);
	values[2] = TimestampTzGetDatum(wf_now());
	values[3] = wf_text_datum(intent->submitted_by);
	set_origin(intent, &values[4], &nulls[4]);
	values[7] = spec_datum(intent);
	values[8] = Int32GetDatum(intent->timeout_ms);
	values[9] = PointerGetDatum(wf_body_with_key(intent, prepared->endpoint, effect->key, prepared->body));
	nulls[9] = WF_NULL_FLAG(prepared->body);
	values[10] = PointerGetDatum(intent->headers);
	nulls[10] = WF_NULL_FLAG(intent->headers);
	wf_plan_execute(&revive_effect_plan, values, nulls);
}

static bool
has_ended_without_success(const WfEffect *effect)
{
	return wf_effect_is(effect, "failed") || wf_effect_is(effect, "dead") ||
		wf_effect_is(effect, "cancelled");
}

static bool
may_be_applied(const WfEffect *effect)
{
	return effect->unknown_attempts > 0;
}

/*
 * How an effect begins again that has ended without success: what may have been
 * applied, at a receiver that cannot tell, is asked about first.
 */
static const char *
next_life(const WfEffect *effect, const WfEndpoint *endpoint)
{
	bool		is_safe = endpoint != NULL && (endpoint->dedup == WF_DEDUP_PURE ||
											   endpoint->on_unknown != WF_UNKNOWN_HOLD);

	return may_be_applied(effect) && !is_safe ? "held" : "pending";
}

/*
 * The same request is wanted again.
 */
static WfReservation
meet_again(const WfEffect *effect, const Prepared *prepared)
{
	const char *state;

	if (wf_effect_is(effect, "succeeded"))
		return WF_RESERVED_DONE;
	if (wf_effect_is(effect, "pending") || wf_effect_is(effect, "blocked"))
		return WF_RESERVED;
	if (!has_ended_without_success(effect))
		return WF_RESERVED_BUSY;

	state = next_life(effect, prepared->endpoint);
	revive(effect, prepared, state);

	return strcmp(state, "held") == 0 ? WF_RESERVED_BUSY : WF_RESERVED;
}

static bool
same_request(const WfEffect *effect, const Prepared *prepared)
{
	return VARSIZE_ANY_EXHDR(effect->fingerprint) == VARSIZE_ANY_EXHDR(prepared->fingerprint) &&
		memcmp(VARDATA_ANY(effect->fingerprint), VARDATA_ANY(prepared->fingerprint),
			   VARSIZE_ANY_EXHDR(effect->fingerprint)) == 0;
}

static char *
generation_key(const char *key, int generation)
{
	return generation == 1 ? pstrdup(key) : psprintf("%s#%d", key, generation);
}

/*
 * Another request has taken the key over after this one had failed.
 */
static bool
is_superseded(const WfEffect *effect, const Prepared *prepared, int generation)
{
	WfEffect   *next;

	if (!has_ended_without_success(effect))
		return false;
	next = wf_effect_lock_key(effect->endpoint_id,
							  generation_key(prepared->intent->key, generation + 1));

	return next != NULL && next->generation == generation + 1;
}

static bool
key_is_free_for_another(const WfEffect *effect)
{
	return has_ended_without_success(effect) && !may_be_applied(effect);
}

static WfPlan note_part_plan = {
	.name = "note part in effect",
	.expected = SPI_OK_INSERT,
	.nargs = 3,
	.argtypes = {INT8OID, TEXTOID, TIMESTAMPTZOID},
	.sql = "INSERT INTO workflow.effect_part AS p (effect_id, submitted_by, at) "
	"VALUES ($1::int8, $2::text, $3::timestamptz) "
	"ON CONFLICT (effect_id, submitted_by) DO UPDATE SET submitted_by = excluded.submitted_by "
	"WHERE p.submitted_oid IS DISTINCT FROM excluded.submitted_oid",
};

/*
 * Two roles want the same: whoever is not the submitter now has part in it.
 */
static void
note_part(const WfEffect *effect, const WfIntent *intent, bool is_revived)
{
	const char *other = is_revived ? effect->submitted_by : intent->submitted_by;
	Datum		values[3] = {
		Int64GetDatum(effect->effect_id), CStringGetTextDatum(other), TimestampTzGetDatum(wf_now())
	};

	if (strcmp(effect->submitted_by, intent->submitted_by) != 0 && strcmp(other, WF_NO_ROLE) != 0)
		wf_plan_execute(&note_part_plan, values, NULL);
}

/*
 * A role that may not use the endpoint has no part in what another one does
 * there, nor in its result.
 */
static void
require_part(const Prepared *prepared, const WfEffect *effect)
{
	if (strcmp(effect->submitted_by, prepared->intent->submitted_by) != 0)
		wf_endpoint_require_usage(prepared->endpoint, prepared->intent->submitted_by);
}

/*
 * Finds or makes the generation of the key that this request is.
 */
static bool
find_or_insert(const Prepared *prepared, int64 *effect_id, WfReservation *reservation)
{
	for (int generation = 1; generation <= MAX_GENERATIONS; generation++)
	{
		char	   *key = generation_key(prepared->intent->key, generation);
		WfEffect   *effect;

		*reservation = WF_RESERVED;
		*effect_id = insert_effect(prepared, key, generation);
		if (*effect_id != 0)
			return true;
		effect = wf_effect_lock_key(prepared->endpoint->endpoint_id, key);
		if (effect == NULL)
			elog(ERROR, "an effect with key \"%s\" exists and cannot be found", key);
		if (generation > 1 && effect->generation != generation)
			continue;			/* somebody's own key happens to look like
								 * this */
		*effect_id = effect->effect_id;
		require_part(prepared, effect);
		if (is_superseded(effect, prepared, generation))
			continue;
		if (same_request(effect, prepared))
		{
			*reservation = meet_again(effect, prepared);
			note_part(effect, prepared->intent, has_ended_without_success(effect));
			return true;
		}
		if (!key_is_free_for_another(effect))
			return false;
	}

	return false;
}

/*
 * What keeps an effect from being sent blocks it at once, so that its reason
 * can be read.
 */
static WfReservation
block_refused(const Prepared *prepared, int64 effect_id)
{
	WfEffect   *effect;
	char	   *reason;

	if (wf_endpoint_refusal(prepared->endpoint, prepared->intent->submitted_by) == NULL)
		return WF_RESERVED;
	effect = wf_effect_lock(effect_id);
	reason = wf_endpoint_refusal(prepared->endpoint, effect->submitted_by);
	if (reason == NULL)
		return WF_RESERVED;
	(void) wf_effect_block(effect, prepared->endpoint, "unauthorized", reason);

	return WF_RESERVED_BLOCKED;
}

/*
 * See effect.h.
 */
WfPrepared *
wf_effect_prepare(const WfIntent *intent)
{
	Prepared   *prepared = palloc0(sizeof(Prepared));

	prepared->intent = intent;
	prepared->endpoint = wf_endpoint_find(intent->endpoint);
	if (intent->refused == WF_REFUSED_RAISES)
		wf_endpoint_require_usage(prepared->endpoint, intent->submitted_by);
	prepared->body = wf_body_bytes(intent, &prepared->content_type);
	wf_check_intent(intent, prepared->endpoint, prepared->body);
	if (intent->refused == WF_REFUSED_RAISES && strcmp(intent->kind, "guard") != 0)
		wf_endpoint_require_scheme(prepared->endpoint);
	prepared->fingerprint = fingerprint(prepared);

	return prepared;
}

/*
 * Reserves an effect; returns false when another request has the key.
 */
bool
wf_effect_reserve_or_conflict(const WfPrepared *prepared, int64 *effect_id,
							  WfReservation *reservation)
{
	if (!find_or_insert(prepared, effect_id, reservation))
		return false;
	if (*reservation == WF_RESERVED && prepared->intent->refused == WF_REFUSED_BLOCKS)
		*reservation = block_refused(prepared, *effect_id);

	return true;
}

WfReservation
wf_effect_reserve_prepared(const WfPrepared *prepared, int64 *effect_id)
{
	WfReservation reservation;

	if (!wf_effect_reserve_or_conflict(prepared, effect_id, &reservation))
	{
		WfEffect   *effect = wf_effect_read(*effect_id);

		ereport(ERROR,
				(errcode(ERRCODE_WF_EFFECT_CONFLICT),
				 errmsg("key \"%s\" of endpoint \"%s\" was used by another request",
						prepared->intent->key, prepared->endpoint->name),
				 errdetail("Effect %lld with this key is %s; its request differs.",
						   (long long) *effect_id, effect->state),
				 errhint("SELECT * FROM workflow.effects WHERE effect_id = %lld shows it, "
						 "to operators, designers and monitors. "
						 "Another action needs another key.", (long long) *effect_id)));
	}

	return reservation;
}

WfReservation
wf_effect_reserve(const WfIntent *intent, int64 *effect_id)
{
	return wf_effect_reserve_prepared(wf_effect_prepare(intent), effect_id);
}

/* ------------------------------------------------------------ another life */

/*
 * The key that another request than this one would have.
 */
static char *
next_key(const WfEffect *effect)
{
	size_t		length = strlen(effect->key);

	if (effect->generation > 1)
		length -= strlen(psprintf("#%d", effect->generation));

	return generation_key(pnstrdup(effect->key, length), effect->generation + 1);
}

pg_noreturn static void
refuse_revival(const WfEffect *effect, int sqlstate, const char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(sqlstate),
			 errmsg("effect %lld cannot be sent again", (long long) effect->effect_id),
			 errdetail("%s", detail),
			 errhint("%s", hint)));
}

static void
require_key(const WfEffect *effect)
{
	WfEffect   *next = wf_effect_lock_key(effect->endpoint_id, next_key(effect));

	if (next != NULL && next->generation == effect->generation + 1)
		refuse_revival(effect, ERRCODE_WF_EFFECT_CONFLICT,
					   psprintf("Another request has its key since: effect %lld is %s.",
								(long long) next->effect_id, next->state),
					   "Another action needs another key: SELECT workflow.call(...).");
}

/*
 * See effect.h.
 */
void
wf_effect_revive(int64 effect_id)
{
	WfEffect   *effect = wf_effect_lock(effect_id);
	Datum		values[3];

	if (!has_ended_without_success(effect))
		return;
	if (wf_effect_is_revert(effect) && effect->method == NULL)
		refuse_revival(effect, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
					   "It has nothing that could be sent: the request that takes something back could not be made.",
					   "SELECT workflow.revert(...) or workflow.compensate(...) again, when what was missing is there.");
	require_key(effect);
	values[0] = Int64GetDatum(effect_id);
	values[1] = CStringGetTextDatum(next_life(effect, wf_endpoint_of(effect, NULL)));
	values[2] = TimestampTzGetDatum(wf_now());
	if (wf_plan_execute(&replay_effect_plan, values, NULL) == 0)
		refuse_revival(effect, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
					   "What it carried was removed by workflow.purge_effects().",
					   "SELECT workflow.call(...) with the same request and key sends it again.");
}
