/*
 * key_profile.c
 *	  Where the key of an effect goes, and what answers say about it.
 *
 * Most receivers take the key in a header, some in the body.  Some mark an
 * answer that they give for the second time, some say that they have ignored
 * the key: for them a repetition is a second action.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "base/plan.h"
#include "catalog/pg_type.h"
#include "effect/ledger.h"
#include "effect/verify.h"
#include "utils/builtins.h"

static void
refuse_body(const WfEndpoint *endpoint, const char *why, const char *cure)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("endpoint \"%s\" takes the key in the body, where it cannot be put",
					endpoint->name),
			 errdetail("%s", why),
			 errhint("%s", cure)));
}

/* --------------------------------------------------------------------- body */

/*
 * The next name of a JSON pointer; moves on to what follows it.
 */
static char *
next_name(const char **pointer)
{
	StringInfoData name;
	const char *c = *pointer + 1;

	initStringInfo(&name);
	for (; *c != '\0' && *c != '/'; c++)
	{
		if (*c == '~' && (c[1] == '0' || c[1] == '1'))
			appendStringInfoChar(&name, *++c == '0' ? '~' : '/');
		else
			appendStringInfoChar(&name, *c);
	}
	*pointer = c;

	return name.data;
}

/*
 * Puts a key where a pointer says, in the place of one that is there or where
 * nothing is.
 */
static Jsonb *
put(Jsonb *object, const char *pointer, const char *key, const WfEndpoint *endpoint,
	bool replaces)
{
	char	   *name = next_name(&pointer);
	Jsonb	   *member = wf_jsonb_get_jsonb(object, name);

	if (*pointer == '\0')
	{
		if (member != NULL && !replaces)
			refuse_body(endpoint, psprintf("The body has a member \"%s\" already.", name),
						"Leave it out: the ledger writes it.");
		return wf_jsonb_with(object, name, wf_jsonb_from_text(key));
	}
	if (member != NULL && !wf_jsonb_is_object(member))
		refuse_body(endpoint, psprintf("The member \"%s\" of the body is no object.", name),
					"Correct the body, or the option key_pointer of the endpoint.");

	return wf_jsonb_with(object, name,
						 put(member == NULL ? wf_jsonb_empty_object() : member, pointer, key,
							 endpoint, replaces));
}

/*
 * Returns the body of an intent under a key: the same, unless the endpoint
 * takes keys there and the request is one that changes something.
 */
bytea *
wf_body_with_key(const WfIntent *intent, const WfEndpoint *endpoint, const char *key,
				 bytea *body)
{
	WfIntent	keyed = *intent;
	const char *type;

	if (endpoint->key_pointer == NULL || strcmp(intent->kind, "guard") == 0 ||
		strcmp(intent->method, "GET") == 0 || strcmp(intent->method, "HEAD") == 0)
		return body;
	if (intent->body == NULL || !wf_jsonb_is_object(intent->body))
		refuse_body(endpoint, "The body is no JSON object.", "Give an object.");
	keyed.body = put(intent->body, endpoint->key_pointer, wf_sent_key(key, false), endpoint, false);

	return wf_body_bytes(&keyed, &type);
}

/*
 * The body that is sent: that of a revert which was refused goes with another
 * key.  Where it is no JSON it stays as it is.
 */
void
wf_wire_body(WfWire *wire, const WfEffect *effect, const WfEndpoint *endpoint)
{
	const char *key = wf_revert_key(effect);
	Jsonb	   *body = NULL;

	wire->body = VARDATA_ANY(effect->body);
	wire->body_length = VARSIZE_ANY_EXHDR(effect->body);
	if (endpoint->key_pointer != NULL && strcmp(key, effect->key) != 0)
		body = wf_parse_json(wire->body, wire->body_length);
	if (body == NULL || !wf_jsonb_is_object(body))
		return;
	wire->body = wf_jsonb_to_cstring(put(body, endpoint->key_pointer, wf_sent_key(key, false),
										 endpoint, true));
	wire->body_length = strlen(wire->body);
}

/* ------------------------------------------------------------------ markers */

/*
 * Reads "name" or "name: value".  Without a value any but "false" will do.
 */
bool
wf_has_marker(Jsonb *headers, const char *marker)
{
	char	   *name = marker == NULL ? NULL : pstrdup(marker);
	char	   *wanted = name == NULL ? NULL : strchr(name, ':');
	char	   *value;

	if (name == NULL || headers == NULL)
		return false;
	if (wanted != NULL)
		*wanted++ = '\0';
	value = wf_header_value(headers, name);
	if (value == NULL)
		return false;
	if (wanted == NULL)
		return pg_strcasecmp(value, "false") != 0;

	return pg_strcasecmp(value, wanted + strspn(wanted, " ")) == 0;
}

/*
 * For an effect whose key the receiver has ignored, its endpoint does not
 * deduplicate.
 */
void
wf_endpoint_ignore_keys(WfEndpoint *endpoint)
{
	if (endpoint->dedup != WF_DEDUP_KEY)
		return;
	endpoint->dedup = WF_DEDUP_NONE;
	endpoint->on_unknown = Max(endpoint->on_unknown,
							   wf_default_on_unknown(WF_DEDUP_NONE, endpoint->lookup.path != NULL));
}

/* ------------------------------------------------------------------- record */

static WfPlan note_ignored_plan = {
	.name = "note ignored key",
	.expected = SPI_OK_SELECT,
	.nargs = 1,
	.argtypes = {INT8OID},
	.sql = "SELECT workflow._note_ignored_key($1::int8)",
};

static WfPlan note_duplicate_plan = {
	.name = "note suspected duplicate",
	.expected = SPI_OK_SELECT,
	.nargs = 2,
	.argtypes = {INT8OID, TEXTOID},
	.sql = "SELECT workflow._note_duplicate($1::int8, $2::text)",
};

void
wf_note_duplicate(const WfEffect *effect, const char *why)
{
	Datum		values[2] = {Int64GetDatum(effect->effect_id), CStringGetTextDatum(why)};

	wf_plan_execute(&note_duplicate_plan, values, NULL);
}

static WfPlan answered_before_plan = {
	.name = "success of an earlier attempt",
	.expected = SPI_OK_SELECT,
	.nargs = 1,
	.argtypes = {INT8OID},
	.sql = "SELECT workflow._was_answered_with_success($1::int8)",
};

static bool
was_answered_with_success(const WfEffect *effect)
{
	Datum		id = Int64GetDatum(effect->effect_id);

	wf_plan_execute(&answered_before_plan, &id, NULL);

	return DatumGetBool(wf_result_datum(0, 1, NULL));
}

static WfPlan known_success_plan = {
	.name = "known success",
	.expected = SPI_OK_SELECT,
	.nargs = 1,
	.argtypes = {INT8OID},
	.sql = "SELECT workflow._known_success(e.effect_id), e.evidence ->> 'reference' "
	"FROM workflow.effect AS e WHERE e.effect_id = $1::int8",
};

/*
 * The substate of an effect that is known to be applied, whatever its last send
 * came to, and what evidence refers to; NULL when that is not known.
 */
const char *
wf_known_success(const WfEffect *effect, char **reference)
{
	Datum		id = Int64GetDatum(effect->effect_id);

	wf_plan_execute(&known_success_plan, &id, NULL);
	*reference = wf_result_text(0, 2);

	return wf_result_text(0, 1);
}

/*
 * A send was answered with success.  Where another one was, too, the thing may
 * have been done twice, unless the receiver knows the key: then it is the same
 * answer, and if such answers are marked it can be told.
 */
void
wf_note_second_success(const WfEffect *effect, const WfEndpoint *endpoint,
					   const WfExchange *exchange)
{
	bool		may_be_second = endpoint->dedup == WF_DEDUP_NONE ||
	(endpoint->dedup == WF_DEDUP_KEY && endpoint->replay_marker != NULL &&
	 !wf_has_marker(exchange->headers, endpoint->replay_marker));

	if (may_be_second && effect->attempts > 1 && exchange->kind == WF_EXCHANGE_ACTION &&
		!wf_effect_is_verification(effect) &&
		was_answered_with_success(effect))
		wf_note_duplicate(effect, "two sends were answered with success");
}

/*
 * The receiver says that the key was ignored: from now on this effect is one
 * that would be done twice.
 */
void
wf_heed_ignored_key(WfEffect *effect, WfEndpoint *endpoint, const WfExchange *exchange)
{
	Datum		id = Int64GetDatum(effect->effect_id);

	if (exchange->kind != WF_EXCHANGE_ACTION || endpoint->dedup != WF_DEDUP_KEY ||
		!wf_has_marker(exchange->headers, endpoint->ignored_marker))
		return;
	wf_plan_execute(&note_ignored_plan, &id, NULL);
	wf_endpoint_ignore_keys(endpoint);
	if (effect->unknown_attempts > 0 && exchange->status >= 200 && exchange->status <= 299)
		wf_note_duplicate(effect, "the key was ignored, and an earlier attempt may have been applied");
}
