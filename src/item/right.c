/*
 * right.c
 *	  Who may send what, and when.
 *
 * Everybody who may send() may send an event of the workflow.  An event that
 * has a function of its own takes the grant of that function; the outcome of
 * an activity is for those who work, or who tell what became of it.  An action
 * whose outcome is open is not passed by: the ledger would lose it.
 */
#include "postgres.h"

#include "base/plan.h"
#include "catalog/pg_type.h"
#include "item/item_internal.h"
#include "item/result.h"
#include "utils/array.h"
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

static bool
is_outcome(const WfState *state, const char *event)
{
	switch (state->kind)
	{
		case WF_ACTIVITY_SQL:
		case WF_ACTIVITY_HTTP:
		case WF_ACTIVITY_MODEL:
		case WF_ACTIVITY_TASK:
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
	if (is_outcome(state, event) && !may_call(role, "complete") && !may_call(role, "resolve"))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\" may not send \"%s\" to an item in \"%s\"",
						role, event, state->name),
				 errdetail("It is the outcome of the state's activity; the role may call neither workflow.complete() nor workflow.resolve()."),
				 errhint("SELECT workflow.grant_role('%s', 'worker'); or 'operator' lets it.",
						 role)));
}

/*
 * Raises 55000 when the event would be the outcome of an action that may be
 * under way, or applied.
 */
void
wf_item_require_known_outcome(const WfItem *item, const WfState *state, const char *event)
{
	static WfPlan plan = {
		.name = "open effect of visit",
		.expected = SPI_OK_SELECT,
		.nargs = 2,
		.argtypes = {INT8OID, INT4OID},
		.sql = "SELECT e.effect_id, e.state FROM workflow.job AS j "
		"JOIN workflow.effect AS e ON e.effect_id = j.effect_id "
		"WHERE j.item_id = $1 AND j.seq = $2 AND e.state IN ('sending', 'unknown', 'held')",
	};
	Datum		values[2];

	if (!is_outcome(state, event))
		return;
	values[0] = Int64GetDatum(item->item_id);
	values[1] = Int32GetDatum(item->seq);
	if (wf_plan_execute(&plan, values, NULL) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("effect " INT64_FORMAT " of item " INT64_FORMAT " is %s: its outcome is not sent",
						wf_result_int8(0, 1), item->item_id, wf_result_text(0, 2)),
				 errdetail("The ledger would not know what became of it."),
				 errhint("Once it is unknown or held, SELECT workflow.resolve(" INT64_FORMAT
						 ", 'applied', 'how you know'); or 'not_applied' moves the item on.",
						 wf_result_int8(0, 1))));
}
