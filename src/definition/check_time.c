/*
 * check_time.c
 *	  How long a state may last: deadlines, attempts, retrying, and the SLA of
 *	  the queue that its work waits in.
 *
 * Nothing here breaks the graph; these are warnings, and notices.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "definition/definition_internal.h"
#include "retry/policy.h"

bool
wf_state_is_attempted(const WfState *state)
{
	switch (state->kind)
	{
		case WF_ACTIVITY_SQL:
		case WF_ACTIVITY_HTTP:
		case WF_ACTIVITY_MODEL:
		case WF_ACTIVITY_TASK:
			return true;
		default:
			return false;
	}
}

/* ------------------------------------------------------------------ deadlines */

static bool
queue_has_lease(WfCheck *check, const char *queue)
{
	JsonbValue *queues = wf_jsonb_value_get(check->root, "queues");

	return queue != NULL &&
		wf_jsonb_value_get(wf_jsonb_value_get(queues, queue), "lease") != NULL;
}

/*
 * Whether a state is meant to have no activity: not one that cannot be read.
 */
static bool
is_passive(WfCheck *check, const WfState *state)
{
	JsonbValue *own = wf_jsonb_value_get(wf_jsonb_value_get(check->root, "states"), state->name);

	for (const WfActivityShape *shape = wf_activity_shapes; shape->name != NULL; shape++)
		if (wf_jsonb_value_get(own, shape->name) != NULL)
			return false;

	return wf_jsonb_value_get(own, "activity") == NULL;
}

/*
 * The longest that one attempt may last; an endpoint caps it.
 */
static int64
longest_attempt_us(WfCheck *check, const WfState *state, const WfRetryPolicy *policy)
{
	bool		calls = state->kind == WF_ACTIVITY_HTTP || state->kind == WF_ACTIVITY_MODEL;
	char	   *name = calls ? wf_jsonb_get_text(state->activity, "endpoint") : NULL;
	int64		cap = name == NULL ? 0 : wf_check_endpoint(check, name)->timeout_us;

	return cap > 0 ? Min(cap, policy->timeout_us) : policy->timeout_us;
}

static void
check_deadline(WfCheck *check, const WfState *state)
{
	if (state->timeout_us > 0)
		return;
	if (state->kind == WF_ACTIVITY_NONE && state->ntransitions > 0 && is_passive(check, state))
		wf_check_notice(check, "no_timeout", "give the state a \"timeout\"",
						"an item waits here for an event, without end");
	else if (state->kind == WF_ACTIVITY_SPAWN)
		wf_check_notice(check, "no_timeout", "give the state a \"timeout\"",
						"an item waits here for its children, one that stands still included, without end");
	else if (wf_state_is_attempted(state) && !queue_has_lease(check, state->queue) &&
			 (state->retry == NULL || wf_jsonb_get(state->retry, "timeout") == NULL) &&
			 longest_attempt_us(check, state, wf_default_policy()) == wf_default_policy()->timeout_us)
		wf_check_notice(check, "no_timeout",
						"give its retry policy, or the state, a \"timeout\"",
						"nothing says how long an attempt may take: it is the default, %d seconds",
						(int) (wf_default_policy()->timeout_us / USECS_PER_SEC));
}

static void
check_review_deadline(WfCheck *check, const WfState *state)
{
	int			mark = check->path.len;

	if (state->kind != WF_ACTIVITY_REVIEW ||
		wf_jsonb_get(state->activity, "on_overdue") != NULL ||
		wf_state_transition(state, "overdue") != NULL)
		return;

	(void) wf_check_enter_activity(check, state, NULL);
	wf_check_notice(check, "default_overdue", "say it: \"on_overdue\": \"escalate\"",
					"a review that is overdue is escalated along its queue's chain");
	wf_check_leave(check, mark);
}

/* ------------------------------------------------------------------- attempts */

/*
 * How long it takes until all attempts have failed, each at its limit.
 */
static double
longest_retrying_us(const WfRetryPolicy *policy, int64 attempt_us)
{
	double		total = (double) policy->max_attempts * attempt_us;
	double		delay = policy->initial_us;
	int			waits = policy->max_attempts - 1;

	while (waits > 0 && delay < policy->max_us && policy->factor > 1)
	{
		total += delay;
		delay *= policy->factor;
		waits--;
	}

	return total + waits * Min(delay, (double) policy->max_us);
}

/*
 * The words of a time: "90 seconds", or minutes when there are many.
 */
static char *
words_of(double microseconds)
{
	return microseconds < 2 * USECS_PER_MINUTE ?
		psprintf("%.0f seconds", microseconds / USECS_PER_SEC) :
		psprintf("%.0f minutes", microseconds / USECS_PER_MINUTE);
}

static void
check_against_sla(WfCheck *check, const WfState *state, const WfRetryPolicy *policy, int64 attempt_us)
{
	int64		sla_us = wf_check_queue_sla(check, state->queue);
	double		retrying_us = longest_retrying_us(policy, attempt_us);

	if (sla_us > 0 && attempt_us > sla_us)
		wf_check_warning(check, "short_sla", "a longer \"sla\", or a shorter \"timeout\"",
						 "one attempt may take %s, longer than the SLA of queue \"%s\"",
						 words_of(attempt_us), state->queue);
	else if (sla_us > 0 && retrying_us > sla_us)
		wf_check_warning(check, "long_retry",
						 "fewer attempts, a shorter backoff or timeout, or a longer \"sla\"",
						 "it may be tried for %s until it has failed for good, longer than the SLA of queue \"%s\"",
						 words_of(retrying_us), state->queue);
}

/*
 * Goes to the timeout of a state, or to the activity that it has it from.
 */
static int
enter_timeout(WfCheck *check, const WfState *state)
{
	JsonbValue *own = wf_jsonb_value_get(wf_jsonb_value_get(check->root, "states"), state->name);

	return wf_check_enter(check, wf_jsonb_value_get(own, "timeout") != NULL ? "timeout" : "activity");
}

static void
check_against_timeout(WfCheck *check, const WfState *state, const WfRetryPolicy *policy, int64 attempt_us)
{
	double		retrying_us = longest_retrying_us(policy, attempt_us);
	bool		waits = state->kind == WF_ACTIVITY_HTTP || state->kind == WF_ACTIVITY_MODEL;
	int			mark;

	if (state->timeout_us <= 0)
		return;
	mark = enter_timeout(check, state);
	if (state->timeout_us < attempt_us)
		wf_check_warning(check, "short_timeout", "a longer \"timeout\" of the state, or a shorter one of an attempt",
						 waits ? "the state's timeout is %s, one attempt may take %s; while a call is under way the timeout waits for it" :
						 "the state's timeout is %s, one attempt may take %s and is cut off",
						 words_of(state->timeout_us), words_of(attempt_us));
	else if (state->timeout_us < retrying_us)
		wf_check_notice(check, "retry_cut_short", "a longer \"timeout\" of the state, or fewer attempts",
						"the state's timeout comes after %s, before all %d attempts may have been made",
						words_of(state->timeout_us), policy->max_attempts);
	wf_check_leave(check, mark);
}

/*
 * A timeout waits while the outcome of a call is not known, hence for the
 * person whom a held one waits for.
 */
static void
check_timeout_waits(WfCheck *check, const WfState *state)
{
	char	   *name = state->kind == WF_ACTIVITY_HTTP && state->timeout_us > 0 ?
	wf_jsonb_get_text(state->activity, "endpoint") : NULL;
	const WfEndpointFacts *facts = name == NULL ? NULL : wf_check_endpoint(check, name);

	int			mark;

	if (facts == NULL || facts->code != NULL || strcmp(facts->on_unknown, "hold") != 0)
		return;
	mark = enter_timeout(check, state);
	wf_check_notice(check, "timeout_waits", "count the time in the SLA of whoever resolves held calls, too",
					"a call that is held puts the timeout off until %s has resolved it",
					facts->owner == NULL ? "somebody" : facts->owner);
	wf_check_leave(check, mark);
}

void
wf_check_times(WfCheck *check, const WfState *state)
{
	const WfRetryPolicy *policy;
	int64		attempt_us;

	check_deadline(check, state);
	check_review_deadline(check, state);
	check_timeout_waits(check, state);
	if (state->retry == NULL || check->has_policy_errors)
		return;
	policy = wf_policy_from_jsonb(state->retry, NULL);
	attempt_us = longest_attempt_us(check, state, policy);
	check_against_sla(check, state, policy, attempt_us);
	check_against_timeout(check, state, policy, attempt_us);
}
