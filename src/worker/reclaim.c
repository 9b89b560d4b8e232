/*
 * reclaim.c
 *	  What was lost is given back, settled, let go on, and told.
 *
 * Each of these is a transaction of its own.  One that fails, because a row of
 * it refuses (a trigger of the user raises, perhaps at the commit), is done
 * again row by row; the row that refuses says why, where people look, and is
 * left alone for a while.
 */
#include "postgres.h"

#include "base/cluster.h"
#include "base/point.h"
#include "effect/effect.h"
#include "item/item.h"
#include "worker/dispatch.h"
#include "worker/parts.h"
#include "worker/tell.h"

#define RECLAIM_LIMIT 100

/* How soon a row is tried again that somebody held. */
#define HELD_US (INT64CONST(1000000))

typedef struct Chore
{
	WfPart		part;
	const char *doing;
	void		(*mend) (WfSweep *sweep);
	void		(*show) (int64 id, const char *problem);
	void		(*leave_aside) (int64 id, int64 delay_us);
} Chore;

static void
bury_lost_job(int64 job_id, const char *problem)
{
	(void) wf_queue_bury_lost(job_id, problem);
}

static const Chore give_back_jobs = {
	.part = WF_PART_LOST_JOBS,
	.doing = "giving back lost jobs",
	.mend = wf_queue_reclaim_lost,
	.show = bury_lost_job,
	.leave_aside = wf_queue_leave_aside,
};

static const Chore settle_effects = {
	.part = WF_PART_LOST_SENDERS,
	.doing = "settling effects of lost senders",
	.mend = wf_effect_reclaim_lost,
	.show = wf_effect_note_refusal,
	.leave_aside = wf_effect_leave_aside,
};

static const Chore unblock_effects = {
	.part = WF_PART_BLOCKED,
	.doing = "letting blocked effects go on",
	.mend = wf_effect_unblock,
	.show = wf_effect_note_refusal,
	.leave_aside = wf_effect_leave_aside,
};

typedef struct Turn
{
	const Chore *chore;
	WfSweep		sweep;
	const WfFault *fault;		/* to show */
} Turn;

static void
take_turn(void *argument)
{
	Turn	   *turn = argument;

	wf_tell_limit_waits();
	turn->chore->mend(&turn->sweep);
}

static void
show(void *argument)
{
	Turn	   *turn = argument;

	wf_tell_limit_waits();
	turn->chore->show(turn->sweep.at, turn->fault->message);
}

/*
 * One row after the other; returns how many were mended, -1 when not even
 * looking worked.
 */
static int
mend_alone(const WfDispatcher *by, Turn *turn, bool *put_off)
{
	int64	   *mended = turn->sweep.mended;
	int			n = 0;

	for (int tries = 0; tries < RECLAIM_LIMIT; tries++)
	{
		WfSweep		one = {.limit = 1,.mended = mended == NULL ? NULL : mended + n};
		WfFault		fault;
		WfFault		ignored;
		bool		ok;

		turn->sweep = one;
		ok = by->perform(turn->chore->doing, take_turn, turn, &fault);
		if (ok && turn->sweep.n > 0)
		{
			n++;
			continue;
		}
		if (turn->sweep.at == 0)
			return ok ? n : -1;
		turn->fault = &fault;
		if (ok || wf_fault_is_passing(&fault))
		{
			*put_off = true;
			turn->chore->leave_aside(turn->sweep.at, HELD_US);
			continue;
		}
		turn->chore->leave_aside(turn->sweep.at, WF_REFUSED_US);
		(void) by->perform("showing what refuses", show, turn, &ignored);
	}

	return n;
}

/*
 * The same together, where that works.
 */
static int
mend(const WfDispatcher *by, const Chore *chore, int64 *mended, bool *put_off)
{
	Turn		turn = {.chore = chore,.sweep = {.limit = RECLAIM_LIMIT,.mended = mended}};
	WfFault		fault;

	if (!wf_part_may_run(chore->part))
		return 0;
	if (!by->perform(chore->doing, take_turn, &turn, &fault))
		return wf_part_ended(chore->part, mend_alone(by, &turn, put_off));
	*put_off |= turn.sweep.put_off;

	return wf_part_ended(chore->part, turn.sweep.n);
}

/*
 * Effects with jobs that may not know where these stand.
 */
typedef struct News
{
	const WfDispatcher *by;
	int64		effects[RECLAIM_LIMIT * 3];
	int			n;
	int			from;			/* those to tell in a transaction: */
	int			to;				/* effects[from .. to - 1] */
	int			ntold;
	const WfFault *fault;		/* why effects[from] cannot be told */
} News;

static void
add_untold(void *argument)
{
	News	   *news = argument;

	news->n += wf_tell_find_untold(news->by, &news->effects[news->n], RECLAIM_LIMIT);
}

static void
tell(void *argument)
{
	News	   *news = argument;

	wf_tell_limit_waits();
	news->ntold = 0;
	for (int i = news->from; i < news->to; i++)
		if (wf_tell_all_jobs(news->by, news->effects[i]))
			news->ntold++;
	WF_POINT(lost_told);
}

static void
put_off_jobs(void *argument)
{
	News	   *news = argument;
	ListCell   *cell;

	wf_tell_limit_waits();
	foreach(cell, wf_item_jobs_of_effect(news->effects[news->from], NULL))
		(void) wf_tell_put_off(lfirst(cell), news->fault);
}

static int
tell_alone(News *news, bool *put_off)
{
	int			n = 0;

	for (int i = 0; i < news->n; i++)
	{
		WfFault		fault;
		WfFault		ignored;

		news->from = i;
		news->to = i + 1;
		news->fault = &fault;
		if (news->by->perform("telling jobs of their effects", tell, news, &fault))
			n += news->ntold;
		else if (wf_fault_is_passing(&fault))
			*put_off = true;
		else if (!news->by->perform("putting jobs off", put_off_jobs, news, &ignored))
			wf_tell_leave_aside(news->effects[i]);
	}

	return n;
}

/*
 * Returns how many of the effects that were looked for could be told; -1 when
 * not even looking worked.
 */
static int
tell_all(News *news, bool *put_off)
{
	int			nmended = news->n;
	WfFault		fault;

	if (!news->by->perform("looking for who was not told", add_untold, news, &fault))
		return -1;
	if (news->n == 0)
		return 0;
	news->from = 0;
	news->to = news->n;
	if (!news->by->perform("telling jobs of their effects", tell, news, &fault))
		news->ntold = tell_alone(news, put_off);

	return Max(0, news->ntold - nmended);
}

static void
follow(void *argument)
{
	wf_cluster_follow();
}

/*
 * Gives back the jobs and settles the effects whose process is gone, and lets
 * go on what was blocked by a cause that has changed; returns how many, -1 when
 * not even looking worked.  *put_off: somebody holds something of it, so look
 * again soon.
 */
int
wf_dispatch_reclaim(const WfDispatcher *by, bool *put_off)
{
	News		news = {.by = by};
	int			n;
	int			nmended;
	int			ntold;
	bool		ok;
	WfFault		fault;

	*put_off = false;
	if (!wf_cluster_is_settled())
		(void) by->perform("following a promotion", follow, NULL, &fault);
	n = wf_dispatch_deaths(by, put_off);
	nmended = mend(by, &give_back_jobs, NULL, put_off);
	ok = nmended >= 0;
	n += Max(0, nmended);

	nmended = mend(by, &settle_effects, news.effects, put_off);
	WF_POINT(lost_committed);
	ok &= nmended >= 0;
	news.n = Max(0, nmended);
	nmended = mend(by, &unblock_effects, &news.effects[news.n], put_off);
	ok &= nmended >= 0;
	news.n += Max(0, nmended);
	n += news.n;

	ntold = wf_part_may_run(WF_PART_UNTOLD) ? wf_part_ended(WF_PART_UNTOLD, tell_all(&news, put_off)) : 0;
	ok &= ntold >= 0;
	WF_POINT(reclaim_committed);

	return ok ? n + ntold : -1;
}
