/*
 * check_launch.c
 *	  What is doubtful before the first item runs: errors that nobody handles,
 *	  waiting without end, output that nobody checks, retrying for too long.
 *
 * Nothing here breaks the graph; these are warnings, which define() says, and
 * notices, which only check() does.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "definition/definition_internal.h"
#include "retry/policy.h"

/* ----------------------------------------------------------- kinds of states */

/* Whether a job of the state is run by a worker, and tried again. */
static bool
is_attempted(const WfState *state)
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

static bool
has_own_event(const WfState *state, const char *event)
{
	const WfTransition *transition = wf_state_transition(state, event);

	return transition != NULL && !transition->from_any;
}

/* -------------------------------------------------------------------- events */

static void
check_error_handled(WfCheck *check, const WfState *state)
{
	if (wf_state_transition(state, "error") != NULL)
		return;
	if (state->kind == WF_ACTIVITY_SPAWN)
		wf_check_warning(check, "unhandled_error",
						 "add \"error\" to \"on\", or to \"any\"",
						 "when too many children have failed the item stays, until somebody cancels it or sends an event");
	else if (is_attempted(state))
		wf_check_warning(check, "unhandled_error",
						 "add \"error\" to \"on\", or to \"any\"",
						 "when the activity has failed for good the item stays, and its job is a dead letter");
}

/*
 * Returns the events that the engine, or a function made for it, raises in the
 * state, and that nobody would choose for another purpose.
 */
static List *
engine_events(const WfState *state)
{
	List	   *events = list_copy(wf_state_raised_events(state));

	if (state->kind == WF_ACTIVITY_NONE)
		return events;
	events = lappend(events, "error");
	if (state->kind == WF_ACTIVITY_TASK)
		events = lappend(events, "ok");
	if (state->kind == WF_ACTIVITY_REVIEW)
		events = lappend(events, "overdue");
	if (state->kind == WF_ACTIVITY_EXCEPTION)
		events = lappend(lappend(events, "replay"), "give_up");

	return events;
}

/*
 * Which of the engine's events may have been meant: the nearest of those that
 * the state does not handle by itself.  *is_one: it is one of them.
 */
static char *
nearest_event(const WfState *state, const char *event, bool *is_one)
{
	List	   *events = engine_events(state);
	const char **candidates = palloc(sizeof(char *) * (list_length(events) + 1));
	int			n = 0;
	ListCell   *cell;

	*is_one = false;
	foreach(cell, events)
	{
		*is_one = *is_one || strcmp(lfirst(cell), event) == 0;
		if (!has_own_event(state, lfirst(cell)))
			candidates[n++] = lfirst(cell);
	}

	return *is_one ? NULL : wf_did_you_mean(event, candidates, n);
}

/*
 * Anybody may send an event of any name to a state that waits; to one that is
 * decided at once nobody can.
 */
static void
check_event_name(WfCheck *check, const WfState *state, const char *event)
{
	bool		is_one;
	char	   *nearest = nearest_event(state, event, &is_one);
	bool		is_deadline = strcmp(event, "timeout") == 0;

	if (is_one)
		return;
	if (wf_state_is_instant(state))
		wf_check_warning(check, "never_raised", nearest != NULL ? nearest : "leave it out",
						 "a \"%s\" never raises \"%s\"", wf_activity_name(state->kind), event);
	else if (nearest != NULL)
		wf_check_warning(check, "misspelled_event", nearest,
						 "nothing raises \"%s\" unless somebody sends it", event);
	else if (is_deadline || strcmp(event, "overdue") == 0)
		wf_check_notice(check, "never_raised",
						is_deadline ? "give the state a \"timeout\"" : "only a review is ever overdue",
						"nothing raises \"%s\" unless somebody sends it", event);
}

static void
check_event_names(WfCheck *check, const WfState *state)
{
	for (int i = 0; i < state->ntransitions; i++)
	{
		int			mark = check->path.len;

		if (state->transitions[i].from_any)
			continue;
		(void) wf_check_enter(check, "on");
		(void) wf_check_enter(check, state->transitions[i].event);
		check_event_name(check, state, state->transitions[i].event);
		wf_check_leave(check, mark);
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

static void
check_deadline(WfCheck *check, const WfState *state)
{
	if (state->timeout_us > 0)
		return;
	if (state->kind == WF_ACTIVITY_NONE && state->ntransitions > 0)
		wf_check_notice(check, "no_timeout", "give the state a \"timeout\"",
						"an item waits here for an event, without end");
	else if (state->kind == WF_ACTIVITY_SPAWN)
		wf_check_notice(check, "no_timeout", "give the state a \"timeout\"",
						"an item waits here for its children, one that stands still included, without end");
	else if (is_attempted(state) && !queue_has_lease(check, state->queue) &&
			 (state->retry == NULL || wf_jsonb_get(state->retry, "timeout") == NULL))
		wf_check_notice(check, "no_timeout",
						"give its retry policy, or the state, a \"timeout\"",
						"nothing says how long an attempt may take: it is the default, %d seconds",
						(int) (wf_default_policy()->timeout_us / USECS_PER_SEC));
}

static void
check_review_deadline(WfCheck *check, const WfState *state)
{
	if (state->kind == WF_ACTIVITY_REVIEW &&
		wf_jsonb_get(state->activity, "on_overdue") == NULL &&
		wf_state_transition(state, "overdue") == NULL)
		wf_check_notice(check, "default_overdue", "say it: \"on_overdue\": \"escalate\"",
						"a review that is overdue is escalated along its queue's chain");
}

/* ------------------------------------------------------------------- retrying */

/*
 * How long it takes until all attempts have failed, each at its limit.
 */
static double
longest_retrying_us(const WfRetryPolicy *policy)
{
	double		total = (double) policy->max_attempts * policy->timeout_us;
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

static void
check_retrying(WfCheck *check, const WfState *state)
{
	int64		sla_us;
	double		retrying_us;

	if (state->retry == NULL || wf_check_has_errors(check))
		return;					/* the policy may be unreadable */
	sla_us = wf_check_queue_sla(check, state->queue);
	retrying_us = longest_retrying_us(wf_policy_from_jsonb(state->retry, NULL));
	if (sla_us > 0 && retrying_us > sla_us)
		wf_check_warning(check, "long_retry",
						 "fewer attempts, a shorter backoff or timeout, or a longer \"sla\"",
						 "it may be tried for %.0f minutes until it has failed for good, longer than the SLA of queue \"%s\"",
						 retrying_us / USECS_PER_MINUTE, state->queue);
}

/* --------------------------------------------------------------------- models */

/*
 * Whether a state validates what another stores, or a part of it.
 */
static bool
validates(const WfState *state, const char *result_key)
{
	char	   *value = state->kind == WF_ACTIVITY_VALIDATE ?
	wf_jsonb_get_text(state->activity, "value") : NULL;
	int			length = strlen(result_key);

	if (value == NULL)
		return false;
	if (strcmp(value, "$") == 0)
		return true;
	if (strncmp(value, "$.", 2) != 0)
		return false;
	value += value[2] == '"' ? 3 : 2;

	return strncmp(value, result_key, length) == 0 &&
		(value[length] == '\0' || strchr(".[\"", value[length]) != NULL);
}

static void
check_model_validated(WfCheck *check, const WfGraph *graph, int index)
{
	const WfState *state = &graph->states[index];

	if (state->kind != WF_ACTIVITY_MODEL)
		return;
	for (int i = 0; i < graph->nstates; i++)
		if (graph->reachable[index * graph->nstates + i] &&
			validates(&graph->states[i], state->result_key))
			return;
	wf_check_warning(check, "unchecked_model",
					 psprintf("let a state follow with {\"validate\": {\"value\": \"$.%s\", \"schema\": {...}}}",
							  state->result_key),
					 "no schema is checked against what the model answers");
}

void
wf_check_launch(WfCheck *check, const WfGraph *graph)
{
	for (int i = 0; i < graph->nstates; i++)
	{
		const WfState *state = &graph->states[i];
		int			mark = wf_check_enter_state(check, state->name);

		check_error_handled(check, state);
		check_event_names(check, state);
		wf_check_spawn_launch(check, state);
		check_model_validated(check, graph, i);
		wf_check_gate_guarded(check, graph, i);
		check_retrying(check, state);
		check_deadline(check, state);
		check_review_deadline(check, state);
		wf_check_leave_state(check, mark);
	}
}
