/*
 * figure_trigger.c
 *	  Noting what happens to jobs of the table, whoever does it.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "commands/trigger.h"
#include "figure_internal.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* Columns of workflow.job, by their numbers. */
typedef enum JobColumn
{
	JOB_QUEUE = 2,
	JOB_STATUS = 4,
	JOB_RUN_AT = 6,
	JOB_CLAIMED_AT = 16,
	JOB_DEAD_LETTER = 26,
} JobColumn;

typedef struct JobFacts
{
	WfFigures	figures;
	WfFigure	status;
	TimestampTz run_at;
	TimestampTz claimed_at;		/* 0: null */
} JobFacts;

static WfFigure
status_of(Datum value)
{
	text	   *status = DatumGetTextPP(value);
	const char *word = VARDATA_ANY(status);

	switch (word[0])
	{
		case 'w':
			return WF_FIGURE_WAITING;
		case 'd':
			return WF_FIGURE_DEAD;
		default:
			return VARSIZE_ANY_EXHDR(status) == strlen("running") ? WF_FIGURE_RUNNING :
				WF_FIGURE_READY;
	}
}

/*
 * A dead letter stands where its policy has sent it, like in _placed_job.
 */
static JobFacts
facts_of(HeapTuple tuple, TupleDesc columns)
{
	JobFacts	facts;
	bool		isnull;
	text	   *place;
	Datum		value;

	facts.status = status_of(heap_getattr(tuple, JOB_STATUS, columns, &isnull));
	value = heap_getattr(tuple, JOB_QUEUE, columns, &isnull);
	if (facts.status == WF_FIGURE_DEAD)
	{
		Datum		elsewhere = heap_getattr(tuple, JOB_DEAD_LETTER, columns, &isnull);

		value = isnull ? value : elsewhere;
	}
	place = DatumGetTextPP(value);
	facts.figures = wf_figures_of(VARDATA_ANY(place), VARSIZE_ANY_EXHDR(place));
	facts.run_at = DatumGetTimestampTz(heap_getattr(tuple, JOB_RUN_AT, columns, &isnull));
	value = heap_getattr(tuple, JOB_CLAIMED_AT, columns, &isnull);
	facts.claimed_at = isnull ? 0 : DatumGetTimestampTz(value);

	return facts;
}

static void
count(const JobFacts *job, int64 by)
{
	wf_figure_note(job->figures, job->status, job->status == WF_FIGURE_READY ? job->run_at : 0, by);
}

static void
count_start(const JobFacts *running, TimestampTz run_at)
{
	if (running->claimed_at == 0)
		return;
	wf_figure_note(running->figures, WF_FIGURE_STARTED, 0, 1);
	wf_figure_note(running->figures, WF_FIGURE_WAIT, Max(running->claimed_at - run_at, 0), 1);
}

static void
count_change(HeapTuple from, HeapTuple to, TupleDesc columns)
{
	JobFacts	before = facts_of(from, columns);
	JobFacts	after = facts_of(to, columns);

	if (before.figures == after.figures && before.status == after.status &&
		(after.status != WF_FIGURE_READY || before.run_at == after.run_at))
		return;
	count(&before, -1);
	count(&after, 1);
	if (before.status == WF_FIGURE_READY && after.status == WF_FIGURE_RUNNING)
		count_start(&after, before.run_at);
}

PG_FUNCTION_INFO_V1(wf_figures_follow);

/*
 * _follow_job(): a trigger after each change of a job, and after TRUNCATE
 */
Datum
wf_figures_follow(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	columns;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("the function is a trigger")));
	columns = RelationGetDescr(trigger->tg_relation);
	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		wf_figures_lose();
	else if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		count_change(trigger->tg_trigtuple, trigger->tg_newtuple, columns);
	else
	{
		JobFacts	job = facts_of(trigger->tg_trigtuple, columns);
		bool		is_new = TRIGGER_FIRED_BY_INSERT(trigger->tg_event);

		count(&job, is_new ? 1 : -1);
		if (is_new)
			wf_figure_note(job.figures, WF_FIGURE_ENQUEUED, 0, 1);
	}

	return PointerGetDatum(NULL);
}
