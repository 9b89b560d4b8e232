/*
 * hand.c
 *	  What an UPDATE by hand may change of an item besides its state.
 *
 * Who an item is, where it came from and what it was given stay as they are;
 * what follows from a move is set by moves, a pause by pause() and resume().
 * Data and priority of a living item may be changed: the journal keeps what
 * was there.  Labels are free.  What the server computes from other columns no hand
 * changes.
 *
 * Values are compared byte by byte: 1 and 1.0 are equal, but make two keys.
 */
#include "postgres.h"

#include "base/guard.h"
#include "base/jsonb.h"
#include "base/plan.h"
#include "base/sqlstate.h"
#include "catalog/pg_type.h"
#include "item/item_internal.h"
#include "item/result.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

typedef enum Rule
{
	KEPT,						/* for ever */
	MIGRATED,					/* set by migrate() only */
	MOVED,						/* judged as a move */
	STAMPED,					/* set by a move only */
	PASSED,						/* set by statements of the engine only */
	NOTED,						/* free while the item lives, and on record */
	FREE,
} Rule;

/* In the order of sql/tables.sql; a column that is not here is KEPT. */
static const Rule rules[] = {
	KEPT, KEPT,					/* item_id, workflow */
	MIGRATED,					/* version */
	KEPT,						/* key */
	MOVED,						/* state */
	STAMPED, STAMPED, STAMPED, STAMPED, /* since, seq, outcome, origin */
	PASSED, PASSED, PASSED,		/* paused_at, paused_by, pause_reason */
	KEPT, KEPT, KEPT, KEPT, KEPT,	/* source, event_id, received_at,
									 * submitted_by, route */
	NOTED,						/* priority */
	FREE,						/* labels */
	KEPT, KEPT,					/* input_ref, input */
	NOTED,						/* data */
	KEPT,						/* parent_id */
	PASSED, PASSED,				/* parent_seq, parent_index */
	PASSED, PASSED,				/* keeps_events, submitted_oid */
};

/* Whom the engine changes data for at this moment, or NULL, and why. */
static const char *patching_for = NULL;
static const char *patching_because = NULL;

static Rule
rule_of(int column)
{
	return column < lengthof(rules) ? rules[column] : KEPT;
}

/*
 * Whether two values are stored alike.  Those that an update has not touched
 * are the same bytes, also out of line, and are not fetched for it.
 */
static bool
same_image(Form_pg_attribute column, Datum left, Datum right)
{
	if (column->attlen == -1 && VARSIZE_ANY(left) == VARSIZE_ANY(right) &&
		memcmp(DatumGetPointer(left), DatumGetPointer(right), VARSIZE_ANY(left)) == 0)
		return true;

	return datum_image_eq(left, right, column->attbyval, column->attlen);
}

static bool
is_changed(Form_pg_attribute column, const TupleTableSlot *old, const TupleTableSlot *new)
{
	int			i = column->attnum - 1;

	if (old->tts_isnull[i] || new->tts_isnull[i])
		return old->tts_isnull[i] != new->tts_isnull[i];

	return !same_image(column, old->tts_values[i], new->tts_values[i]);
}

void
wf_item_refuse_hand_change(const WfItem *item, const char *column)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("column \"%s\" of workflow.item is not changed by hand", column),
			 errdetail("%s", wf_item_facts(item)),
			 item->outcome != NULL ?
			 errhint("The item has ended: only its labels may be updated.") :
			 errhint("Move the item with workflow.send(), stop it with workflow.pause(); "
					 "state, data, priority and labels may be updated.")));
}

/*
 * Whether a move to another version is under way and not yet judged.
 */
static bool
is_migrating(const WfItem *item)
{
	const WfActiveMove *active = wf_item_active_move(item->item_id);

	return active != NULL && active->migration != NULL && !active->judged;
}

static bool
may_change(Rule rule, const WfItem *old, bool is_move)
{
	switch (rule)
	{
		case KEPT:
			return false;
		case MIGRATED:
			return is_migrating(old);
		case STAMPED:
			return is_move;
		case PASSED:
			return wf_guard_is_open("item");
		case NOTED:
			return is_move || old->outcome == NULL;
		case MOVED:
		case FREE:
			break;
	}

	return true;
}

/*
 * Refuses an update of what is not changed by hand.  Returns whether it
 * changes anything else than labels.
 */
bool
wf_item_judge_columns(const TriggerData *trigger, const WfItem *old, bool is_move)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	bool		matters = false;

	slot_getallattrs(trigger->tg_trigslot);
	slot_getallattrs(trigger->tg_newslot);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);
		Rule		rule = rule_of(i);

		if (rule == FREE || column->attisdropped || column->attgenerated != '\0' ||
			!is_changed(column, trigger->tg_trigslot, trigger->tg_newslot))
			continue;
		if (!may_change(rule, old, is_move))
			wf_item_refuse_hand_change(old, NameStr(column->attname));
		matters = true;
	}

	return matters;
}

/*
 * Writes into the journal what an item's data was and is, as far as it
 * differs.
 */
static void
note_patch(int64 item_id, const char *actor, const char *subject, Datum before, Datum after)
{
	static WfPlan plan = {
		.name = "note patch",
		.expected = SPI_OK_SELECT,
		.nargs = 6,
		.argtypes = {TEXTOID, INT8OID, TEXTOID, JSONBOID, JSONBOID, TEXTOID},
		.sql = "SELECT workflow._note_patch($1, $2, $3, $4, $5, $6)",
	};
	Datum		values[6];
	char		nulls[] = "      ";

	values[0] = CStringGetTextDatum(actor);
	values[1] = Int64GetDatum(item_id);
	values[2] = wf_text_datum(subject);
	nulls[2] = WF_NULL_FLAG(subject);
	values[3] = before;
	values[4] = after;
	values[5] = wf_text_datum(patching_because);
	nulls[5] = WF_NULL_FLAG(patching_because);
	wf_plan_execute(&plan, values, nulls);
}

static void
note_priority(const TriggerData *trigger, const WfItem *old, const WfItem *new, const char *actor)
{
	if (old->priority == new->priority)
		return;
	note_patch(old->item_id, actor, "priority",
			   JsonbPGetDatum(wf_jsonb_from_cstring(psprintf("%d", old->priority))),
			   JsonbPGetDatum(wf_jsonb_from_cstring(psprintf("%d", new->priority))));
}

static void
require_object(const WfItem *item, Jsonb *data)
{
	if (!wf_jsonb_is_object(data))
		ereport(ERROR,
				(errcode(ERRCODE_WF_SCHEMA_MISMATCH),
				 errmsg("the data of an item must be a JSON object"),
				 errdetail("%s", wf_item_facts(item)),
				 errhint("Results of activities are added to it by name.")));
}

static Datum
data_before(const TriggerData *trigger, Jsonb *intended)
{
	bool		isnull;

	return intended != NULL ? JsonbPGetDatum(intended) :
		slot_getattr(trigger->tg_trigslot, WF_ITEM_COLUMN_DATA, &isnull);
}

static Datum
data_after(const TriggerData *trigger)
{
	bool		isnull;

	return slot_getattr(trigger->tg_newslot, WF_ITEM_COLUMN_DATA, &isnull);
}

static bool
has_other_data(const TriggerData *trigger, Jsonb *intended)
{
	return !same_image(TupleDescAttr(RelationGetDescr(trigger->tg_relation), WF_ITEM_COLUMN_DATA - 1),
					   data_before(trigger, intended), data_after(trigger));
}

/*
 * Whether there is anything to note.
 */
bool
wf_item_has_hand_changes(const TriggerData *trigger, const WfItem *old, const WfItem *new,
						 Jsonb *intended)
{
	return old->priority != new->priority || has_other_data(trigger, intended);
}

/*
 * Notes what a hand has changed.  intended: the data that the engine stores
 * with this update, NULL when it stores none; it is on record with the move.
 */
void
wf_item_note_hand_changes(const TriggerData *trigger, const WfItem *old, const WfItem *new,
						  Jsonb *intended, const char *actor)
{
	if (patching_for != NULL)
		actor = patching_for;
	note_priority(trigger, old, new, actor);
	if (!has_other_data(trigger, intended))
		return;
	require_object(old, new->data);
	note_patch(old->item_id, actor, NULL, data_before(trigger, intended), data_after(trigger));
}

PG_FUNCTION_INFO_V1(wf_inner_set_pause);

/*
 * _set_pause(item, at, by, reason): all null lets it go on
 */
Datum
wf_inner_set_pause(PG_FUNCTION_ARGS)
{
	static WfPlan plan = {
		.name = "set pause",
		.expected = SPI_OK_UPDATE,
		.passes = "item",
		.nargs = 4,
		.argtypes = {INT8OID, TIMESTAMPTZOID, TEXTOID, TEXTOID},
		.sql = "UPDATE workflow.item SET paused_at = $2, paused_by = $3, pause_reason = $4 "
		"WHERE item_id = $1",
	};
	Datum		values[4];
	char		nulls[] = "    ";

	wf_require_argument(fcinfo, 0, "item");
	for (int i = 0; i < 4; i++)
	{
		values[i] = PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	SPI_connect();
	wf_plan_execute(&plan, values, nulls);
	SPI_finish();

	PG_RETURN_VOID();
}

static void
update_data(const WfItem *item, Jsonb *data)
{
	static WfPlan plan = {
		.name = "patch item",
		.expected = SPI_OK_UPDATE,
		.nargs = 2,
		.argtypes = {INT8OID, JSONBOID},
		.sql = "UPDATE workflow.item SET data = $2 WHERE item_id = $1",
	};
	Datum		values[2];

	values[0] = Int64GetDatum(item->item_id);
	values[1] = JsonbPGetDatum(data);
	wf_plan_execute(&plan, values, NULL);
}

/*
 * Changes the data of an item in the name of somebody.
 */
static void
update_data_for(const char *actor, const char *reason, const WfItem *item, Jsonb *data)
{
	const char *previous = patching_for;
	const char *previous_reason = patching_because;

	patching_for = actor;
	patching_because = reason;
	PG_TRY();
	{
		update_data(item, data);
	}
	PG_FINALLY();
	{
		patching_for = previous;
		patching_because = previous_reason;
	}
	PG_END_TRY();
}

PG_FUNCTION_INFO_V1(wf_inner_set_data);

/*
 * _set_data(item, data, actor, reason): changes the data of an item, on record
 */
Datum
wf_inner_set_data(PG_FUNCTION_ARGS)
{
	char	   *actor = wf_argument_text(fcinfo, 2, "actor");
	char	   *reason = wf_optional_text(fcinfo, 3);
	WfItem	   *item;

	wf_require_argument(fcinfo, 1, "data");
	SPI_connect();
	item = wf_item_lock(wf_argument_item(fcinfo, false));
	update_data_for(actor, reason, item, PG_GETARG_JSONB_P(1));
	SPI_finish();

	PG_RETURN_VOID();
}
