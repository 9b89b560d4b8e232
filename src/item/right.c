/*
 * right.c
 *	  Who may send what.
 *
 * Everybody who may send() may send an event of the workflow.  An event that
 * has a function of its own takes the grant of that function; the outcome of
 * an activity is for those who work, or who tell what became of it.
 */
#include "postgres.h"

#include "base/plan.h"
#include "catalog/pg_type.h"
#include "item/item_internal.h"
#include "item/result.h"
#include "utils/builtins.h"

static bool
may_call(const char *role, const char *function)
{
	static WfPlan plan = {
		.name = "may call",
		.expected = SPI_OK_SELECT,
		.nargs = 2,
		.argtypes = {TEXTOID, TEXTOID},
		.sql = "SELECT workflow._may_call($1, $2)",
	};
	Datum		values[2];

	values[0] = CStringGetTextDatum(role);
	values[1] = CStringGetTextDatum(function);
	wf_plan_execute(&plan, values, NULL);

	return DatumGetBool(wf_result_datum(0, 1, NULL));
}

static bool
has_own_function(const char *event)
{
	return strcmp(event, "cancel") == 0 || wf_item_event_is_answer(event);
}

/*
 * Whether the event is what the activity of the state comes to.
 */
bool
wf_item_event_is_outcome(const WfState *state, const char *event)
{
	switch (state->kind)
	{
		case WF_ACTIVITY_SQL:
		case WF_ACTIVITY_HTTP:
		case WF_ACTIVITY_MODEL:
		case WF_ACTIVITY_TASK:
		case WF_ACTIVITY_SPAWN:
			return strcmp(event, "ok") == 0 || strcmp(event, "error") == 0;
		default:
			return false;
	}
}

/*
 * Whether the event answers an exception: that has to be there already.
 */
bool
wf_item_event_is_answer(const char *event)
{
	return strcmp(event, "replay") == 0 || strcmp(event, "give_up") == 0;
}

/*
 * Whether sending the event takes another right than that to send.
 */
bool
wf_item_event_takes_right(const WfState *state, const char *event)
{
	return has_own_function(event) || wf_item_event_is_outcome(state, event);
}

/*
 * Raises 42501 when the role may not send the event to an item in that state.
 */
void
wf_item_require_right(const WfItem *item, const WfState *state, const char *event,
					  const char *role)
{
	if (has_own_function(event) && !may_call(role, event))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\" may not send \"%s\"", role, event),
				 errdetail("It is what workflow.%s() does, which the role may not call.", event),
				 errhint("SELECT workflow.grant_role('%s', 'operator'); lets it.", role)));
	if (wf_item_event_is_outcome(state, event) && !may_call(role, "complete") && !may_call(role, "resolve"))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\" may not send \"%s\" to an item in \"%s\"",
						role, event, state->name),
				 errdetail("It is the outcome of the state's activity; the role may call neither workflow.complete() nor workflow.resolve()."),
				 errhint("SELECT workflow.grant_role('%s', 'worker'); or 'operator' lets it.",
						 role)));
}
