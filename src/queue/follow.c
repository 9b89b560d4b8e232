/*
 * follow.c
 *	  What has to know of each change of a job of the table, whoever makes it: the
 *	  engine, a restore, a hand.
 *
 * A trigger for each row, which is always enabled, reads it once.  Low-water
 * marks are lowered to where it stands; the figures of its queue count it; its
 * group gets another head.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "base/owner.h"
#include "beats.h"
#include "columns.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "groups.h"
#include "heads.h"
#include "lane/lane.h"
#include "marks.h"
#include "queue_internal.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* A row of the table. */
typedef struct Row
{
	int64		job_id;
	const char *queue;
	const char *kind;
	const char *group_key;		/* or NULL */
	const char *tenant;			/* or NULL */
	int32		priority;
	int32		attempt;
	bool		behind;
	bool		has_lease;
	TimestampTz lease_until;
	const char *token;			/* or NULL */
	WfFigureJob figure;
} Row;

static const char *
text_of(const Datum *values, const bool *nulls, WfJobColumn column)
{
	return nulls[column] ? NULL : TextDatumGetCString(values[column]);
}

/*
 * A dead letter is counted where its policy has sent it, like in _placed_job.
 */
static void
read_columns(Row *row, const Datum *values, const bool *nulls)
{
	const char *elsewhere;

	row->job_id = DatumGetInt64(values[JOB_ID]);
	row->queue = text_of(values, nulls, JOB_QUEUE);
	row->kind = text_of(values, nulls, JOB_KIND);
	row->group_key = text_of(values, nulls, JOB_GROUP_KEY);
	row->tenant = text_of(values, nulls, JOB_TENANT);
	row->priority = DatumGetInt32(values[JOB_PRIORITY]);
	row->attempt = DatumGetInt32(values[JOB_ATTEMPT]);
	row->behind = DatumGetBool(values[JOB_BEHIND]);
	row->token = text_of(values, nulls, JOB_TOKEN);
	row->has_lease = !nulls[JOB_LEASE_UNTIL];
	row->lease_until = row->has_lease ? DatumGetTimestampTz(values[JOB_LEASE_UNTIL]) : 0;
	row->figure.status = wf_figure_of(text_of(values, nulls, JOB_STATUS));
	row->figure.run_at = DatumGetTimestampTz(values[JOB_RUN_AT]);
	row->figure.claimed_at = nulls[JOB_CLAIMED_AT] ? 0 : DatumGetTimestampTz(values[JOB_CLAIMED_AT]);
	elsewhere = row->figure.status == WF_FIGURE_DEAD ? text_of(values, nulls, JOB_DEAD_LETTER) : NULL;
	row->figure.place = elsewhere == NULL ? row->queue : elsewhere;
}

static void
read_row(Row *row, HeapTuple tuple, TupleDesc columns)
{
	Datum	   *values = palloc(sizeof(Datum) * columns->natts);
	bool	   *nulls = palloc(sizeof(bool) * columns->natts);

	Assert(columns->natts >= JOB_COLUMNS);
	heap_deform_tuple(tuple, columns, values, nulls);
	read_columns(row, values, nulls);
}

/* ---------------------------------------------------------------------- marks */

static void
mark(Oid table, const Row *row, const char *kind, int32 shelf, int64 position)
{
	WfMarkNote	note = {
		.key = wf_track_key(table, kind, row->queue),
		.shelf = shelf,.position = position,.is_grouped = row->group_key != NULL
	};

	wf_marks_note(&note);
}

static void
mark_ready(Oid table, const Row *row)
{
	WfMarkNote	note = {
		.key = wf_track_key(table, row->kind, row->queue),
		.shelf = row->priority,.position = row->figure.run_at,.is_grouped = row->group_key != NULL
	};

	if (row->tenant != NULL)
	{
		note.tenants = WF_OF_TENANT;
		note.tenant = wf_tenant_key(&note.key, row->priority, row->tenant, strlen(row->tenant));
	}
	wf_marks_note(&note);
}

static void
note_place(Oid table, const Row *row)
{
	if (row->figure.status == WF_FIGURE_READY && !row->behind)
		mark_ready(table, row);
	else if (row->figure.status == WF_FIGURE_RUNNING && row->has_lease)
	{
		mark(table, row, WF_TRACK_RUNNING, WF_RUNNING_LEASE, row->lease_until);
		mark(table, row, WF_TRACK_RUNNING, WF_RUNNING_ENDS, row->lease_until);
	}
	else if (row->figure.status == WF_FIGURE_RUNNING)
		mark(table, row, WF_TRACK_RUNNING, WF_RUNNING_SESSION,
			 row->figure.claimed_at == 0 ? PG_INT64_MIN : row->figure.claimed_at);
	if (row->group_key != NULL && row->figure.status != WF_FIGURE_DEAD)
		mark(table, row, WF_TRACK_GROUPED, 0, row->job_id);
}

/* --------------------------------------------------------------------- groups */

/*
 * Whether the row is a living one of a group, and that is not so of the other.
 */
static bool
is_of_group_only_in(const Row *row, const Row *other)
{
	if (row == NULL || row->group_key == NULL || row->figure.status == WF_FIGURE_DEAD)
		return false;

	return other == NULL || other->group_key == NULL || other->figure.status == WF_FIGURE_DEAD ||
		strcmp(row->group_key, other->group_key) != 0 || strcmp(row->queue, other->queue) != 0;
}

/*
 * A job that is stored behind others is noted by whoever stores it; if not, it
 * comes from a restore, and its group may come without a head.
 */
static void
follow_group(const Row *before, const Row *after)
{
	bool		is_end = is_of_group_only_in(before, after) && !before->behind;
	bool		is_entry = is_of_group_only_in(after, before);
	WfCaller	caller;

	if (!is_end && !is_entry)
		return;
	if (is_entry && after->behind &&
		(before != NULL || !wf_groups_is_noted(WF_GROUP_BEHIND, after->queue, after->group_key)))
		wf_groups_note_left(after->queue, before == NULL ? NULL : after->group_key);
	is_entry = is_entry && before != NULL && !after->behind;
	if (!is_end && !is_entry)
		return;

	wf_enter_owner(&caller);
	SPI_connect();
	if (is_end)
		wf_heads_ended(before->queue, before->group_key, before->job_id);
	if (is_entry)
		wf_heads_entered(after->queue, after->group_key, after->job_id);
	SPI_finish();
	wf_leave_owner(&caller);
}

/*
 * Whether somebody has to see to it.
 */
static bool
is_trouble(const Row *row)
{
	return row != NULL && (row->figure.status == WF_FIGURE_DEAD || strcmp(row->kind, "exception") == 0);
}

static bool
is_tried_again(const Row *before, const Row *after)
{
	return before != NULL && after != NULL && after->attempt > 0 &&
		before->figure.status == WF_FIGURE_RUNNING && after->figure.status == WF_FIGURE_READY;
}

/*
 * What the trigger does for a job that was stored without a statement, and is of
 * no group.
 */
void
wf_job_follow_stored(Relation table, TupleTableSlot *slot)
{
	Row			row;

	slot_getallattrs(slot);
	read_columns(&row, slot->tts_values, slot->tts_isnull);
	note_place(RelationGetRelid(table), &row);
	wf_figures_note_job(NULL, &row.figure);
}

PG_FUNCTION_INFO_V1(wf_job_followed);

/*
 * _follow_job(): a trigger after each change of a job, and after TRUNCATE
 */
Datum
wf_job_followed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	columns;
	Row			rows[2];
	Row		   *before = NULL;
	Row		   *after = NULL;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("the function is a trigger")));
	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
	{
		wf_figures_lose();
		return PointerGetDatum(NULL);
	}
	columns = RelationGetDescr(trigger->tg_relation);
	if (!TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		read_row(before = &rows[0], trigger->tg_trigtuple, columns);
	if (!TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		read_row(after = &rows[1], TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ?
				 trigger->tg_trigtuple : trigger->tg_newtuple, columns);

	if (after != NULL)
		note_place(RelationGetRelid(trigger->tg_relation), after);
	if (before == NULL && !wf_plan_is_running())
		wf_lane_note_restored();	/* of a lane's job, perhaps */
	wf_figures_note_job(before == NULL ? NULL : &before->figure,
						after == NULL ? NULL : &after->figure);
	follow_group(before, after);
	if (is_trouble(before) != is_trouble(after) || is_tried_again(before, after))
		wf_wake_watch_at_commit();
	if (is_trouble(before) != is_trouble(after))
		wf_wake_aging_at_commit(WF_AGING_DEAD_LETTER, GetCurrentTimestamp());
	if (before != NULL && before->token != NULL &&
		(after == NULL || after->token == NULL || strcmp(before->token, after->token) != 0))
		wf_beats_note_end(before->job_id, before->token);

	return PointerGetDatum(NULL);
}
