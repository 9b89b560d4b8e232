/*
 * enforce_trigger.c
 *	  The trigger on users' own tables: a row begins in the initial state and
 *	  changes along declared transitions only.
 *
 * It fires AFTER the row was stored, before other AFTER triggers (its name
 * begins with a blank), so that it sees what BEFORE triggers have made of the
 * row; what later triggers do to it are updates of their own.  In a session
 * that restores (session_replication_role = replica) it does not fire.
 *
 * A row that moves to another partition is deleted there and inserted here,
 * and is judged as an update: the server marks what it deletes for that.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "base/sqlstate.h"
#include "common/hashfn.h"
#include "executor/tuptable.h"
#include "item/enforced.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

/* How many states a hint names. */
#define HINT_STATES 10

/* How much a message shows of a state that is none. */
#define SHOWN_BYTES 100

/* ------------------------------------------------------------------ refusals */

/*
 * 'It can become "A" or "B".', for a hint
 */
static char *
possible(const WfEnforced *enforced, int from)
{
	StringInfoData hint;
	int			n = 0;

	initStringInfo(&hint);
	for (int to = 0; to < enforced->nstates; to++)
	{
		int			event = enforced->events[from * enforced->nstates + to];

		if (to == from || event == WF_NO_EVENT)
			continue;
		if (n < HINT_STATES)
			appendStringInfo(&hint, "%s\"%s\" (%s)", n == 0 ? "It can become " : ", ",
							 enforced->states[to], enforced->event_names[event]);
		n++;
	}
	if (n == 0)
		return psprintf("\"%s\" is left by no event.", enforced->states[from]);
	appendStringInfoString(&hint, n > HINT_STATES ? ", ..." : ".");

	return hint.data;
}

static char *
facts(const TriggerData *trigger, const WfEnforced *enforced, const char *key)
{
	return psprintf("Row \"%s\" of table \"%s\" is held to version %d of workflow \"%s\".", key,
					RelationGetRelationName(trigger->tg_relation), enforced->version,
					enforced->workflow);
}

/*
 * The table that is enforced, which a partition is not, as an argument
 */
static char *
enforced_table(const WfEnforced *enforced)
{
	Datum		name = DirectFunctionCall1(regclassout, ObjectIdGetDatum(enforced->root));

	return quote_literal_cstr(DatumGetCString(name));
}

static char *
shown(const WfStateText *text)
{
	int			length = text->text == NULL ? 0 :
	pg_mbcliplen(text->text, text->length, SHOWN_BYTES);

	if (text->text == NULL)
		return pstrdup("null");

	return psprintf("\"%.*s%s\"", length, text->text, length < text->length ? "..." : "");
}

static void
refuse_start(const TriggerData *trigger, const WfEnforcedMove *move, const WfStateText *text)
{
	const WfEnforced *enforced = move->enforced;

	ereport(ERROR,
			(errcode(ERRCODE_WF_NO_TRANSITION),
			 errmsg("a new row of table \"%s\" cannot be in state %s",
					RelationGetRelationName(trigger->tg_relation),
					move->to == WF_NO_STATE ? shown(text) :
					psprintf("\"%s\"", enforced->states[move->to])),
			 errdetail("%s", facts(trigger, enforced, move->key)),
			 errhint("A row starts in \"%s\". A restore sets session_replication_role to replica.",
					 enforced->states[enforced->initial])));
}

/*
 * was: of a row that was in none of the workflow's states
 */
static void
refuse_change(const TriggerData *trigger, const WfEnforcedMove *move, const char *was,
			  const WfStateText *is)
{
	const WfEnforced *enforced = move->enforced;
	bool		was_known = move->from != WF_NO_STATE;

	ereport(ERROR,
			(errcode(ERRCODE_WF_NO_TRANSITION),
			 errmsg("no transition leads from %s to %s",
					was_known ? psprintf("\"%s\"", enforced->states[move->from]) : was,
					move->to == WF_NO_STATE ? shown(is) :
					psprintf("\"%s\"", enforced->states[move->to])),
			 errdetail("%s", facts(trigger, enforced, move->key)),
			 errhint("%s", was_known ? possible(enforced, move->from) :
					 psprintf("It was in no state of the workflow: SELECT * FROM workflow.verify_table(%s) shows such rows.",
							  enforced_table(enforced)))));
}

/*
 * key: the one that the row had
 */
static void
refuse_key_change(const TriggerData *trigger, const WfEnforced *enforced, const char *key)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the key of an enforced row does not change"),
			 errdetail("%s Its log is kept under that key.",
					   facts(trigger, enforced, key == NULL ? "null" : key)),
			 errhint("Insert another row, or end it: SELECT workflow.unenforce(%s);",
					 enforced_table(enforced))));
}

static char *
require_key(const TriggerData *trigger, const WfEnforced *enforced, TupleTableSlot *row)
{
	char	   *key = wf_enforced_key(&enforced->columns, row);

	if (key == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("the key of an enforced row is null"),
				 errdetail("Table \"%s\" is held to workflow \"%s\", and its log is kept under the key.",
						   RelationGetRelationName(trigger->tg_relation), enforced->workflow),
				 errhint("Give the row a key, and the column a NOT NULL.")));

	return key;
}

/* ----------------------------------------------------------------- judgement */

static bool
same_text(const WfStateText *one, const WfStateText *other)
{
	if (one->text == NULL || other->text == NULL)
		return one->text == other->text;

	return one->length == other->length && memcmp(one->text, other->text, one->length) == 0;
}

static uint32
hash_of(const WfStateText *text)
{
	return text->text == NULL ? 0 : hash_bytes((const unsigned char *) text->text, text->length);
}

/*
 * Notes a row that is deleted here to be inserted into another partition.
 */
static void
note_leaving(const TriggerData *trigger, const WfEnforced *enforced)
{
	TupleTableSlot *row = trigger->tg_trigslot;
	WfEnforcedStart start = {WF_NO_STATE, 0};
	WfStateText text;

	(void) wf_enforced_due(enforced);
	if (!HeapTupleHeaderIndicatesMovedPartitions(trigger->tg_trigtuple->t_data))
		return;
	start.state = wf_enforced_state(enforced, row, &text);
	if (start.state == WF_NO_STATE)
		start.unknown = hash_of(&text);
	wf_enforced_leaves(enforced, require_key(trigger, enforced, row), &start);
}

static void
judge_change(const TriggerData *trigger, WfEnforcedMove *move, const char *was,
			 const WfStateText *is)
{
	const WfEnforced *enforced = move->enforced;

	if (move->from != WF_NO_STATE && move->to != WF_NO_STATE)
		move->event = enforced->events[move->from * enforced->nstates + move->to];
	if (move->event == WF_NO_EVENT)
		refuse_change(trigger, move, was, is);
	wf_enforced_log(move);
}

static void
judge_insert(const TriggerData *trigger, const WfEnforced *enforced)
{
	WfEnforcedMove move = {enforced, NULL, WF_NO_STATE, WF_NO_EVENT, WF_NO_STATE, trigger->tg_trigtuple};
	const char *due = wf_enforced_due(enforced);
	WfEnforcedStart start;
	WfStateText text;

	move.key = require_key(trigger, enforced, trigger->tg_trigslot);
	if (due != NULL && strcmp(due, move.key) != 0)
		refuse_key_change(trigger, enforced, due);
	move.to = wf_enforced_state(enforced, trigger->tg_trigslot, &text);
	if (wf_enforced_arrives(enforced, move.key, &start))
	{
		move.from = start.state;
		if (move.from != move.to || (move.to == WF_NO_STATE && start.unknown != hash_of(&text)))
			judge_change(trigger, &move, "a state that is none", &text);
		return;
	}
	if (move.to != enforced->initial)
		refuse_start(trigger, &move, &text);
	wf_enforced_log(&move);
}

static void
judge_update(const TriggerData *trigger, const WfEnforced *enforced)
{
	WfEnforcedMove move = {enforced, NULL, WF_NO_STATE, WF_NO_EVENT, WF_NO_STATE, trigger->tg_newtuple};
	WfStateText was;
	WfStateText is;

	(void) wf_enforced_due(enforced);
	if (!wf_enforced_same_key(&enforced->columns, trigger->tg_trigslot, trigger->tg_newslot))
		refuse_key_change(trigger, enforced, wf_enforced_key(&enforced->columns, trigger->tg_trigslot));
	move.from = wf_enforced_state(enforced, trigger->tg_trigslot, &was);
	move.to = wf_enforced_state(enforced, trigger->tg_newslot, &is);
	if (move.from == move.to && (move.from != WF_NO_STATE || same_text(&was, &is)))
		return;
	move.key = require_key(trigger, enforced, trigger->tg_newslot);
	judge_change(trigger, &move, move.from == WF_NO_STATE ? shown(&was) : NULL, &is);
}

PG_FUNCTION_INFO_V1(wf_enforced_row);

/*
 * _enforced_row(enforcement, relation, workflow, version): AFTER INSERT, UPDATE
 * or DELETE of a row of an enforced table
 */
Datum
wf_enforced_row(PG_FUNCTION_ARGS)
{
	const TriggerData *trigger = (TriggerData *) fcinfo->context;
	const WfEnforced *enforced;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("the function is a row trigger after INSERT, UPDATE or DELETE"),
				 errdetail("It was called otherwise."),
				 errhint("workflow.enforce() makes it.")));
	enforced = wf_enforced(trigger);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		judge_update(trigger, enforced);
	else if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		judge_insert(trigger, enforced);
	else
		note_leaving(trigger, enforced);

	return PointerGetDatum(NULL);
}

PG_FUNCTION_INFO_V1(wf_enforced_columns_trigger);

/*
 * _enforced_columns(enforcement): names the columns, and does nothing
 */
Datum
wf_enforced_columns_trigger(PG_FUNCTION_ARGS)
{
	return PointerGetDatum(NULL);
}
