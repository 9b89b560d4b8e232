/*
 * decide.c
 *	  States that are decided at once, in the transaction that enters them; for
 *	  gates see gate.c.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "definition/template.h"
#include "item/item_internal.h"
#include "schema/schema.h"

typedef struct Selection
{
	const char *selector;
	Jsonb	   *data;
	Jsonb	   *value;			/* NULL: nothing found */
} Selection;

static void
select_value(void *argument)
{
	Selection  *selection = argument;

	selection->value = wf_select(selection->selector, selection->data);
}

/*
 * What a selector finds in the item's data, or NULL; returns false, with the
 * fault, where it cannot be evaluated.
 */
bool
wf_item_select(const WfVisit *visit, const char *selector, Jsonb **value, WfFault *fault)
{
	Selection	selection = {.selector = selector,.data = visit->item->data};

	if (!wf_item_try(select_value, &selection, fault))
		return false;
	*value = selection.value;

	return true;
}

/*
 * {"errors": [{"path", "keyword", "message"}, ...]}
 */
static Jsonb *
errors_as_jsonb(List *errors)
{
	Jsonb	   *list = wf_jsonb_from_cstring("[]");
	ListCell   *cell;

	foreach(cell, errors)
	{
		WfSchemaError *error = lfirst(cell);
		Jsonb	   *entry = wf_jsonb_empty_object();

		entry = wf_jsonb_with(entry, "path", wf_jsonb_from_text(error->path));
		entry = wf_jsonb_with(entry, "keyword", wf_jsonb_from_text(error->keyword));
		entry = wf_jsonb_with(entry, "message", wf_jsonb_from_text(error->message));
		list = wf_jsonb_merge(list, entry);
	}

	return wf_jsonb_with(wf_jsonb_empty_object(), "errors", list);
}

static const char *
first_error(List *errors)
{
	WfSchemaError *error = linitial(errors);

	return psprintf("%s: %s", *error->path == '\0' ? "(root)" : error->path, error->message);
}

/*
 * Raises "valid", or "invalid" with the faults; a value that is not there is
 * judged as null.
 */
const WfItem *
wf_item_enter_validate(const WfVisit *visit)
{
	Jsonb	   *value;
	List	   *errors;
	WfFault		fault;

	if (!wf_item_select(visit, wf_jsonb_get_text(visit->state->activity, "value"), &value, &fault))
		return wf_item_enter_failed(visit, &fault);
	errors = wf_schema_errors(wf_jsonb_get_jsonb(visit->state->activity, "schema"),
							  value != NULL ? value :
							  wf_jsonb_from_text(NULL));
	if (errors == NIL)
		return wf_item_raise(visit, "valid", NULL, NULL);

	return wf_item_raise(visit, "invalid", first_error(errors), errors_as_jsonb(errors));
}

const WfItem *
wf_item_enter_then(const WfVisit *visit)
{
	return wf_item_raise(visit, visit->state->then_event, NULL, NULL);
}
