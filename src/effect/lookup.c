/*
 * lookup.c
 *	  Finding out at the receiver whether an action was applied.
 *
 * An endpoint may declare a lookup: a request that changes nothing, and what
 * its answer looks like when the action was applied and when it was not.  It is
 * asked when an outcome is not known and sending again could do the thing
 * twice.  Found means applied.  Not found says nothing for a while, because the
 * receiver may still be working on it; after that it is a proof only where the
 * endpoint says so, and never of what the receiver has accepted.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "base/plan.h"
#include "base/rows.h"
#include "catalog/pg_type.h"
#include "effect/ledger.h"
#include "effect/mock.h"
#include "lib/stringinfo.h"
#include "utils/timestamp.h"

#define MIN_DELAY_US	USECS_PER_SEC
#define MAX_DELAY_US	(INT64CONST(15) * 60 * 1000000)

/* A lookup that says nothing for so long is for a person to look at. */
#define GIVE_UP_US		USECS_PER_DAY

static WfPlan accepted_plan = {
	.name = "accepted before",
	.expected = SPI_OK_SELECT,
	.nargs = 1,
	.argtypes = {INT8OID},
	.sql = "SELECT workflow._was_accepted($1::int8)",
};

/*
 * What follows an unknown outcome where the endpoint does not say more.
 */
WfOnUnknown
wf_default_on_unknown(WfDedup dedup, bool has_lookup)
{
	if (dedup != WF_DEDUP_NONE)
		return WF_UNKNOWN_RESEND;

	return has_lookup ? WF_UNKNOWN_PROBE : WF_UNKNOWN_HOLD;
}

/*
 * A guard's action is nobody's here to send, and so to look up; a model has
 * nothing to look up.
 */
bool
wf_may_look_up(const WfEffect *effect, const WfEndpoint *endpoint)
{
	return endpoint->lookup.path != NULL && endpoint->on_unknown != WF_UNKNOWN_HOLD &&
		strcmp(effect->kind, "guard") != 0 && strcmp(effect->kind, "model") != 0;
}

/* ------------------------------------------------------------------ request */

/*
 * What templates and predicates may name.
 */
static Jsonb *
variables(const WfEffect *effect, const WfEndpoint *endpoint)
{
	Jsonb	   *all = wf_jsonb_with(wf_jsonb_empty_object(), "key",
									wf_jsonb_from_text(effect->key));

	all = wf_jsonb_with(all, "sent_key",
						wf_jsonb_from_text(wf_sent_key(wf_revert_key(effect), false)));
	if (effect->external_id != NULL)
		all = wf_jsonb_with(all, "external_id", wf_jsonb_from_text(effect->external_id));

	return all;
}

/*
 * The request as selectors of a template see it.
 */
static Jsonb *
request_of(const WfEffect *effect)
{
	Jsonb	   *request = wf_jsonb_empty_object();
	Jsonb	   *body = effect->body == NULL ? NULL :
	wf_parse_json(VARDATA_ANY(effect->body), VARSIZE_ANY_EXHDR(effect->body));

	if (effect->path != NULL)
		request = wf_jsonb_with(request, "path", wf_jsonb_from_text(effect->path));
	if (body != NULL)
		request = wf_jsonb_with(request, "body", body);

	return request;
}

static char *
value_of(const char *name, const WfEffect *effect, const WfEndpoint *endpoint)
{
	Jsonb	   *found;
	JsonbValue	value;

	if (*name != '$')
		return wf_jsonb_get_text(variables(effect, endpoint), name);
	found = wf_select_first(request_of(effect), name);
	if (found == NULL || !JsonbExtractScalar(&found->root, &value))
		return NULL;

	return wf_jsonb_value_text(&value);
}

static void
append_encoded(StringInfo path, const char *value)
{
	for (const unsigned char *c = (const unsigned char *) value; *c != '\0'; c++)
	{
		if (*c < 0x80 && (isalnum(*c) || strchr("-._~", *c) != NULL))
			appendStringInfoChar(path, *c);
		else
			appendStringInfo(path, "%%%02X", *c);
	}
}

/*
 * Where the answer points to, below the endpoint's url; NULL when it does not
 * point there.
 */
static char *
location_of(const WfEffect *effect, const WfEndpoint *endpoint)
{
	Jsonb	   *headers = wf_jsonb_get_jsonb(effect->response, "headers");
	char	   *location = headers == NULL ? NULL : wf_header_value(headers, "location");
	const char *host = strstr(endpoint->url, "://");
	const char *base;
	size_t		length;

	if (location == NULL || host == NULL || strlen(location) > 4096)
		return NULL;
	base = strchr(host + 3, '/') == NULL ? "" : strchr(host + 3, '/');
	if (strncmp(location, endpoint->url, strlen(endpoint->url)) == 0)
		location += strlen(endpoint->url);
	else
	{
		length = strlen(base);
		if (strncmp(location, base, length) != 0)
			return NULL;
		location += length;
	}
	if (*location != '/' || location[1] == '/' || strstr(location, "/.") != NULL ||
		strcasestr(location, "%2e") != NULL || strcasestr(location, "%2f") != NULL)
		return NULL;
	for (const unsigned char *c = (const unsigned char *) location; *c != '\0'; c++)
		if (*c <= 0x20 || *c >= 0x7f || strchr("\"<>\\^`{|}#", *c) != NULL)
			return NULL;

	return location;
}

/*
 * Returns the path of an effect's lookup; NULL, with *problem, when something
 * that it names is not known.
 */
char *
wf_lookup_path(const WfEffect *effect, const WfEndpoint *endpoint, char **problem)
{
	StringInfoData path;
	const char *rest = endpoint->lookup.path;

	if (strcmp(rest, "{location}") == 0)
	{
		char	   *location = location_of(effect, endpoint);

		if (location == NULL)
			*problem = pstrdup("whether it was applied cannot be looked up: no answer points to a place below the endpoint's url");
		return location;
	}
	initStringInfo(&path);
	while (*rest != '\0')
	{
		size_t		literal = strcspn(rest, "{");
		size_t		length;
		char	   *name;
		char	   *value;

		appendBinaryStringInfo(&path, rest, literal);
		rest += literal;
		if (*rest == '\0')
			break;
		length = strcspn(++rest, "}");
		name = pnstrdup(rest, length);
		value = value_of(name, effect, endpoint);
		if (value == NULL || *value == '\0' || strspn(value, ".") == strlen(value))
		{
			*problem = psprintf("whether it was applied cannot be looked up: {%s} is not known", name);
			return NULL;
		}
		append_encoded(&path, value);
		rest += length + (rest[length] == '}' ? 1 : 0);
	}

	return path.data;
}

/* ------------------------------------------------------------------- answer */

/*
 * Whether a jsonpath holds: a predicate is true, a path finds something.
 */
static bool
holds(const char *predicate, Jsonb *response, Jsonb *names)
{
	Jsonb	   *found = predicate == NULL ? NULL : wf_select_with(response, predicate, names);
	JsonbValue	value;

	if (found == NULL)
		return false;
	if (!JsonbExtractScalar(&found->root, &value))
		return true;

	return value.type == jbvBool ? value.val.boolean : value.type != jbvNull;
}

/*
 * Returns what an answer says.  One that says both, says nothing.
 */
WfFinding
wf_lookup_read(const WfEffect *effect, const WfEndpoint *endpoint, const WfExchange *exchange,
			   Jsonb *response)
{
	Jsonb	   *names = variables(effect, endpoint);
	bool		is_whole = exchange->status > 0 && exchange->curl_code == 0 &&
	!exchange->body_truncated;
	bool		is_found;
	bool		is_absent;

	if (!is_whole || response == NULL)
		return WF_FINDING_INCONCLUSIVE;
	is_found = holds(endpoint->lookup.found, response, names);
	is_absent = holds(endpoint->lookup.absent, response, names);
	if (is_found == is_absent)
		return WF_FINDING_INCONCLUSIVE;

	return is_found ? WF_FINDING_FOUND : WF_FINDING_ABSENT;
}

static TimestampTz
unknown_since(const WfEffect *effect)
{
	return effect->unknown_at != 0 ? effect->unknown_at : effect->first_sent_at;
}

static bool
was_accepted(const WfEffect *effect)
{
	Datum		id = Int64GetDatum(effect->effect_id);

	wf_plan_execute(&accepted_plan, &id, NULL);

	return DatumGetBool(wf_result_datum(0, 1, NULL));
}

static bool
is_time_over(const WfEffect *effect)
{
	return wf_wire_now() > unknown_since(effect) + GIVE_UP_US;
}

static WfVerdict
judge_absence(const WfEffect *effect, const WfEndpoint *endpoint)
{
	WfVerdict	verdict = {.evidence = WF_NOT_APPLIED,.error_class = "unknown_outcome"};

	if (wf_wire_now() < unknown_since(effect) + endpoint->lookup.settle_us)
	{
		verdict.action = WF_ACT_PROBE;
		verdict.message = "the lookup does not find it yet";
	}
	else if (was_accepted(effect))
	{
		verdict.action = is_time_over(effect) ? WF_ACT_HOLD : WF_ACT_PROBE;
		verdict.message = "it was accepted, and the lookup does not find it yet";
	}
	else if (endpoint->lookup.absent_is_proof)
	{
		verdict.action = WF_ACT_RETRY;
		verdict.error_class = "unavailable";
		verdict.message = "the lookup does not find it: it was not applied";
		verdict.settles_all = true;
	}
	else
	{
		verdict.action = WF_ACT_HOLD;
		verdict.message = "the lookup does not find it, which proves nothing at this endpoint";
	}

	return verdict;
}

/*
 * Makes a finding the verdict; *verdict is what the exchange came to by itself.
 */
void
wf_lookup_judge(WfFinding finding, const WfEffect *effect, const WfEndpoint *endpoint,
				WfVerdict *verdict)
{
	WfVerdict	found = {
		.evidence = WF_APPLIED,.action = WF_ACT_SUCCEED,.substate = "found",.settles_all = true,
	};
	WfVerdict	nothing = {
		.evidence = WF_NOT_APPLIED,.action = WF_ACT_PROBE,.error_class = "unknown_outcome",
		.message = "the answer of the lookup says nothing",
	};

	switch (finding)
	{
		case WF_FINDING_NONE:
			break;
		case WF_FINDING_FOUND:
			*verdict = found;
			break;
		case WF_FINDING_ABSENT:
			*verdict = judge_absence(effect, endpoint);
			break;
		case WF_FINDING_INCONCLUSIVE:
			if (verdict->action == WF_ACT_BLOCK)
			{
				verdict->is_charged = false;
				break;
			}
			if (is_time_over(effect))
				nothing.action = WF_ACT_HOLD;
			if (verdict->error_class != NULL && verdict->message != NULL)
				nothing.message = psprintf("the lookup failed: %s", verdict->message);
			*verdict = nothing;
			break;
	}
}

/*
 * When to look up again: when absence would count; where that is over, or the
 * answer said nothing, less and less often.
 */
int64
wf_lookup_delay_us(WfFinding finding, const WfEffect *effect, const WfEndpoint *endpoint,
				   double random01)
{
	int64		elapsed = Max(wf_wire_now() - unknown_since(effect), 0);
	bool		may_settle = finding == WF_FINDING_ABSENT && elapsed < endpoint->lookup.settle_us;
	int64		delay = may_settle ? endpoint->lookup.settle_us - elapsed :
	(int64) (elapsed * (0.5 + random01 / 2));

	return Min(Max(delay, MIN_DELAY_US), Max(MAX_DELAY_US, endpoint->lookup.settle_us));
}
