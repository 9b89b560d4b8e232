/*
 * wait.c
 *	  Entering states that wait for a time.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/jsonb.h"
#include "definition/template.h"
#include "item/item_internal.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* A wait that is computed, for wf_item_try(). */
typedef struct Wait
{
	const WfItem *item;
	const char *until;			/* as the document says; NULL: */
	const char *duration;
	TimestampTz due_at;
} Wait;

/*
 * The text that a wait is for or until.
 */
static const char *
text_of(const char *value, Jsonb *data)
{
	Jsonb	   *found;

	if (!wf_is_selector(value))
		return value;
	found = wf_select(value, data);
	if (found == NULL || wf_jsonb_root(found)->type == jbvNull)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("it finds nothing in the item's data")));
	if (wf_jsonb_root(found)->type != jbvString)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("it finds %s, which is no text", wf_jsonb_to_cstring(found))));

	return wf_jsonb_value_text(wf_jsonb_root(found));
}

static TimestampTz
end_of_duration(const char *text)
{
	Datum		interval = DirectFunctionCall3(interval_in, CStringGetDatum(text),
											   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));

	if (wf_interval_us(DatumGetIntervalP(interval)) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("\"%s\" is shorter than nothing", text)));

	return wf_time_after(wf_now(), DatumGetIntervalP(interval));
}

/*
 * What is over since for ever is over now.
 */
static TimestampTz
time_of(const char *text)
{
	TimestampTz at = DatumGetTimestampTz(DirectFunctionCall3(wf_time_in, CStringGetDatum(text),
															 ObjectIdGetDatum(InvalidOid),
															 Int32GetDatum(-1)));

	return TIMESTAMP_IS_NOBEGIN(at) ? wf_now() : at;
}

static void
compute(void *argument)
{
	Wait	   *wait = argument;

	wait->due_at = wait->until != NULL ? time_of(text_of(wait->until, wait->item->data)) :
		end_of_duration(text_of(wait->duration, wait->item->data));
}

/*
 * A wait is a timer that raises "ok": after "for", or at "until".
 */
const WfItem *
wf_item_enter_wait(const WfVisit *visit)
{
	Wait		wait = {.item = visit->item};
	WfFault		fault;

	wait.until = wf_jsonb_get_text(visit->state->activity, "until");
	wait.duration = wf_jsonb_get_text(visit->state->activity, "for");
	if (!wf_item_try(compute, &wait, &fault))
	{
		fault.message = psprintf("state \"%s\" cannot wait %s \"%s\": %s", visit->state->name,
								 wait.until != NULL ? "until" : "for",
								 wait.until != NULL ? wait.until : wait.duration, fault.message);
		return wf_item_enter_failed(visit, &fault);
	}
	wf_item_set_timer(visit->item, "wait", wait.due_at, "ok");

	return visit->item;
}
