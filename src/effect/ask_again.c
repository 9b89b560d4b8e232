/*
 * ask_again.c
 *	  A model is asked once more, because its answer could not be used.
 *
 * Another request under the same key is a new generation of it; so the first
 * answer stays on record with the effect that it came to, and what goes wrong in
 * between asks no more often than it should.  The question is that of the first
 * generation: whoever asks it later is given what it came to.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "base/plan.h"
#include "effect/ledger.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

/*
 * The key that the first generation has.
 */
static char *
first_key(const WfEffect *effect)
{
	size_t		length = strlen(effect->key);

	if (effect->generation > 1)
		length -= strlen(psprintf("#%d", effect->generation));

	return pnstrdup(effect->key, length);
}

static Jsonb *
number(int value)
{
	return wf_jsonb_from_cstring(psprintf("%d", value));
}

/*
 * What the intent says beside the request: how often the model was asked again,
 * and the fingerprint of what it was asked first.
 */
static Jsonb *
spec_of_next(const WfEffect *effect)
{
	Jsonb	   *spec = wf_jsonb_with(effect->spec, "asked",
									 number(wf_jsonb_get_int(effect->spec, "asked", 0) + 1));

	if (wf_jsonb_get(effect->spec, "question") != NULL)
		return spec;

	return wf_jsonb_with(spec, "question",
						 wf_jsonb_from_text(wf_hex(VARDATA_ANY(effect->fingerprint),
												   VARSIZE_ANY_EXHDR(effect->fingerprint))));
}

/*
 * See effect.h.
 */
int64
wf_effect_ask_again(int64 effect_id, const char *item_state, int item_seq, Jsonb *body)
{
	const WfEffect *effect = wf_effect_read(effect_id);
	const WfEndpoint *endpoint = wf_endpoint_if_any(effect, NULL);
	WfIntent	intent = {0};
	int64		next_id;

	if (endpoint == NULL)
		return 0;
	intent.endpoint = endpoint->name;
	intent.key = first_key(effect);
	intent.kind = effect->kind;
	intent.submitted_by = effect->submitted_by;
	intent.item_id = effect->item_id;
	intent.item_state = item_state;
	intent.item_seq = item_seq;
	intent.method = effect->method;
	intent.path = effect->path;
	intent.headers = effect->headers;
	intent.body = body;
	intent.content_type = effect->content_type;
	intent.timeout_ms = effect->timeout_ms;
	intent.spec = spec_of_next(effect);
	intent.refused = WF_REFUSED_LATER;

	return wf_effect_reserve(&intent, &next_id) == WF_RESERVED ? next_id : 0;
}
