/*
 * step.c
 *	  What has to come before an effect is sent, and what stands in its way.
 *
 * Nothing is written here.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/cluster.h"
#include "base/config.h"
#include "base/jsonb.h"
#include "effect/ledger.h"
#include "effect/mock.h"
#include "effect/verify.h"
#include "utils/timestamp.h"

static void
log_dry_run(const WfEffect *effect, const WfEndpoint *endpoint)
{
	ereport(LOG,
			(errmsg("pg_workflow dry run: effect %lld would send %s %s%s to endpoint \"%s\"",
					(long long) effect->effect_id,
					effect->method == NULL ? "something to" : effect->method, endpoint->url,
					effect->path == NULL ? "" : effect->path, endpoint->name),
			 errdetail("Its key is \"%s\".", effect->key)));
}

/*
 * Why the endpoint is not there for the effect, or not for its role; that counts
 * where nothing is sent, too.
 */
char *
wf_why_refused(const WfEffect *effect, const WfEndpoint *endpoint)
{
	if (endpoint == NULL)
		return pstrdup("the foreign server of the endpoint does not exist");

	return wf_endpoint_refusal(endpoint, effect->submitted_by);
}

/*
 * Returns why nothing may be sent for the present; NULL when it may.
 */
char *
wf_why_blocked(const WfEffect *effect, const WfEndpoint *endpoint)
{
	const char *problem;

	if (wf_effects_mode == WF_EFFECTS_OFF)
		return pstrdup("pg_workflow.effects is off");
	problem = wf_cluster_problem(wf_cluster_state());
	if (problem != NULL)
		return pstrdup(problem);
	if (endpoint != NULL && wf_effects_mode == WF_EFFECTS_DRY_RUN)
	{
		log_dry_run(effect, endpoint);
		return pstrdup("pg_workflow.effects is dry_run");
	}

	return wf_why_refused(effect, endpoint);
}

/*
 * After an unknown outcome a receiver is trusted to know the key for nine
 * tenths of its time.  A clock that was moved can only close the window.
 */
static bool
key_window_is_closed(const WfEffect *effect, const WfEndpoint *endpoint)
{
	if (effect->unknown_attempts == 0 || effect->first_sent_at == 0 ||
		endpoint->dedup != WF_DEDUP_KEY)
		return false;

	return Max(wf_now(), wf_wire_now()) + (int64) endpoint->timeout_ms * 1000 >
		effect->first_sent_at + endpoint->key_ttl_us / 10 * 9;
}

/*
 * Another receiver knows neither the key nor what was done: it is not asked,
 * and nothing that may have been applied elsewhere is sent to it.
 */
static bool
may_be_applied_elsewhere(const WfEffect *effect, const WfEndpoint *endpoint)
{
	return effect->unknown_attempts > 0 && effect->sent_to != NULL &&
		strcmp(effect->sent_to, endpoint->url) != 0;
}

/*
 * What comes before the next send.  An effect is "unknown" when it is not to
 * be sent before it was looked up, whatever the endpoint allows.
 */
WfOnUnknown
wf_next_step(const WfEffect *effect, const WfEndpoint *endpoint)
{
	bool		is_unknown = wf_effect_is(effect, "unknown");

	if (effect->unknown_attempts == 0 || endpoint->dedup == WF_DEDUP_PURE)
		return WF_UNKNOWN_RESEND;
	if (may_be_applied_elsewhere(effect, endpoint))
		return WF_UNKNOWN_HOLD;
	if (endpoint->on_unknown == WF_UNKNOWN_RESEND && !is_unknown &&
		!key_window_is_closed(effect, endpoint))
		return WF_UNKNOWN_RESEND;

	return wf_may_look_up(effect, endpoint) ? WF_UNKNOWN_PROBE : WF_UNKNOWN_HOLD;
}

/*
 * Returns why a person must look before anything more is sent; NULL when
 * nobody need.
 */
char *
wf_why_held(const WfEffect *effect, const WfEndpoint *endpoint)
{
	WfOnUnknown step = wf_next_step(effect, endpoint);
	char	   *problem = NULL;

	if (step == WF_UNKNOWN_PROBE)
		(void) wf_lookup_path(effect, endpoint, &problem);
	else if (step == WF_UNKNOWN_HOLD && may_be_applied_elsewhere(effect, endpoint))
		problem = psprintf("an earlier attempt may have been applied at %s, and the endpoint is now %s: "
						   "SELECT workflow.resolve(%lld, 'applied', 'what was found there'); or 'not_applied'",
						   effect->sent_to, endpoint->url, (long long) effect->effect_id);
	else if (step == WF_UNKNOWN_HOLD)
		problem = pstrdup(key_window_is_closed(effect, endpoint) ?
						  "the time for which the receiver knows the key is over" :
						  "an earlier attempt may have been applied");

	return problem;
}

bool
wf_needs_read_before(const WfEffect *effect)
{
	Jsonb	   *before = wf_jsonb_get_jsonb(effect->spec, "before");

	if (before == NULL || !JB_ROOT_IS_OBJECT(before))
		return false;
	if (wf_effect_is_verification(effect))
		return wf_verification_reads(effect);

	return effect->previous == NULL || wf_revert_needs_reading(effect);
}
