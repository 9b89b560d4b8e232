/*
 * heads.c
 *	  Keeping the first job of a group before claims, and the others behind.
 *
 * A job that is stored while another one of its group lives stands behind.  When
 * one ends that did not, the next living one of its group is let out.  Neither
 * waits for anybody: where the two did not see each other, or somebody has
 * locked the next job, the group is mended by the claims to come (groups.h).
 *
 * That a job does not stand behind promises nothing: a claim judges whether
 * the group is busy.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "base/compat.h"
#include "base/owner.h"
#include "base/try.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "groups.h"
#include "heads.h"
#include "look.h"
#include "queue_internal.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Without preload nobody keeps watch, and all is looked at so often. */
#define LOOK_EVERY_US USECS_PER_SEC

/* Columns of job_group and of job_behind. */
enum
{
	GROUP_QUEUE = 1,
	GROUP_KEY,
	GROUP_JOB_ID,
};

#define LET_OUT \
	"let_out AS (UPDATE workflow.job SET behind = false " \
	"  WHERE job_id = ANY (ARRAY(SELECT l.job_id FROM locked AS l)) RETURNING job_id) "

/* The next job of a group, and whether it was let out; one that stands behind. */
static WfPlan next_plan = {
	.name = "let_out_next_of_group",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 3,
	.argtypes = {TEXTOID, TEXTOID, INT8OID},
	.sql =
	"WITH next AS MATERIALIZED (SELECT j.job_id, j.kind, j.behind FROM workflow.job AS j "
	"  WHERE j.queue = $1 AND j.group_key = $2 AND j.job_id > $3 AND j.status || '' <> 'dead' "
	"  ORDER BY j.job_id LIMIT 1), "
	"locked AS MATERIALIZED (SELECT j.job_id FROM workflow.job AS j "
	"  WHERE j.job_id = (SELECT n.job_id FROM next AS n) AND j.behind::text = 'true' FOR UPDATE SKIP LOCKED), "
	LET_OUT
	"SELECT n.kind, EXISTS (SELECT 1 FROM let_out) FROM next AS n WHERE n.behind",
};

/* The same of the named groups, or with null of all: those whose first job stands behind. */
static WfPlan mend_plan = {
	.name = "mend_groups",
	.expected = SPI_OK_SELECT,
	.by_index = true,
	.nargs = 3,
	.argtypes = {TEXTOID, TEXTARRAYOID, INT8OID},
	.sql =
	"WITH RECURSIVE found (group_key) AS ("
	"  (SELECT j.group_key FROM workflow.job AS j WHERE $2 IS NULL AND j.queue = $1 AND j.behind "
	"   ORDER BY j.group_key LIMIT 1) "
	"  UNION ALL "
	"  SELECT (SELECT j.group_key FROM workflow.job AS j "
	"    WHERE j.queue = $1 AND j.behind AND j.group_key > f.group_key ORDER BY j.group_key LIMIT 1) "
	"  FROM found AS f WHERE f.group_key IS NOT NULL), "
	"first AS MATERIALIZED (SELECT (SELECT j.job_id FROM workflow.job AS j "
	"    WHERE j.queue = $1 AND j.group_key = g.group_key AND j.job_id >= $3 "
	"      AND j.status || '' <> 'dead' ORDER BY j.job_id LIMIT 1) AS job_id "
	"  FROM (SELECT f.group_key FROM found AS f WHERE f.group_key IS NOT NULL "
	"        UNION ALL SELECT pg_catalog.unnest($2)) AS g), "
	"headless AS MATERIALIZED (SELECT j.job_id, j.kind, j.group_key FROM workflow.job AS j "
	"  WHERE j.job_id = ANY (ARRAY(SELECT f.job_id FROM first AS f)) AND j.behind::text = 'true'), "
	"locked AS MATERIALIZED (SELECT j.job_id FROM workflow.job AS j "
	"  WHERE j.job_id = ANY (ARRAY(SELECT h.job_id FROM headless AS h)) AND j.behind::text = 'true' "
	"  FOR UPDATE SKIP LOCKED), "
	LET_OUT
	"SELECT h.kind, EXISTS (SELECT 1 FROM let_out AS o WHERE o.job_id = h.job_id), h.group_key "
	"FROM headless AS h",
};

static WfPlan put_behind_plan = {
	.name = "put_job_behind",
	.expected = SPI_OK_UPDATE,
	.by_index = true,
	.nargs = 1,
	.argtypes = {INT8OID},
	.sql = "UPDATE workflow.job SET behind = true WHERE job_id = $1 AND NOT behind",
};

static bool
open_look(WfLook *look, const char *index, const char *queue, const char *group)
{
	if (!wf_look_open(look, "job", index))
		return false;
	wf_look_key(look, GROUP_QUEUE, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(queue));
	wf_look_key(look, GROUP_KEY, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(group));

	return true;
}

/*
 * Whether a job of the group lives that was stored before another one.  The
 * last one most likely does, so it begins there.
 */
static bool
any_before(const char *queue, const char *group, int64 job_id)
{
	WfLook		look;
	bool		found;

	if (!open_look(&look, "job_group", queue, group))
		return false;
	wf_look_key(&look, GROUP_JOB_ID, BTLessStrategyNumber, F_INT8LT, Int64GetDatum(job_id));
	ScanKeyEntryInitialize(&look.keys[GROUP_JOB_ID], 0, GROUP_JOB_ID, BTGreaterEqualStrategyNumber,
						   InvalidOid, InvalidOid, F_INT8GE, Int64GetDatum(wf_grouped_mark(queue)));
	found = wf_look_any_backward(&look, GROUP_JOB_ID + 1);
	wf_look_close(&look);

	return found;
}

/*
 * Whether any job of the group stands behind, after another one.
 */
static bool
any_behind(const char *queue, const char *group, int64 after)
{
	int64		job_id;
	WfLook		look;
	Snapshot	snapshot;
	bool		found;

	if (!open_look(&look, "job_behind", queue, group))
		return false;
	wf_look_key(&look, GROUP_JOB_ID, BTGreaterStrategyNumber, F_INT8GT, Int64GetDatum(after));
	CommandCounterIncrement();	/* what the present command has stored, too */
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	found = wf_look_first(&look, GROUP_JOB_ID, snapshot, GROUP_JOB_ID, &job_id, 0, NULL);
	UnregisterSnapshot(snapshot);
	wf_look_close(&look);

	return found;
}

/*
 * Whether a job that is about to be stored in a group, or has come there, is to
 * stand behind.
 */
bool
wf_heads_is_behind(const char *queue, const char *group, int64 job_id)
{
	WfTrackKey	key;
	uint64		count;

	if (!wf_groups_are_kept())
		return false;
	key = wf_groups_key(queue);
	count = wf_groups_count(WF_GROUP_ENDS, wf_groups_bucket(&key, group));
	if (!any_before(queue, group, job_id))
		return false;
	wf_groups_note(WF_GROUP_BEHIND, queue, group, count);

	return true;
}

/* What is being let out. */
typedef struct LetOut
{
	WfPlan	   *plan;
	const char *queue;
	Datum		group;			/* or an array of them */
	bool		is_null;
	int64		job_id;
	List	   *left;			/* groups that could not be helped */
} LetOut;

static void
let_out(void *argument)
{
	LetOut	   *work = argument;
	Datum		values[] = {
		CStringGetTextDatum(work->queue), work->group, Int64GetDatum(work->job_id)
	};
	uint64		count = wf_plan_execute(work->plan, values, work->is_null ? " n " : NULL);

	for (uint64 i = 0; i < count; i++)
	{
		if (DatumGetBool(wf_result_datum(i, 2, NULL)))
			wf_wake_at_commit(wf_job_topic(wf_result_text(i, 1)), work->queue);
		else
			work->left = lappend(work->left, work->plan == &mend_plan ? wf_result_text(i, 3) :
								 TextDatumGetCString(work->group));
	}
}

/*
 * A job of a group has ended, or left it, that did not stand behind.
 */
void
wf_heads_ended(const char *queue, const char *group, int64 job_id)
{
	LetOut		work = {.plan = &next_plan,.queue = queue,.job_id = job_id};
	bool		is_old = IsolationUsesXactSnapshot();	/* it may not see the
														 * next one */
	ErrorData  *error = NULL;

	if (wf_groups_are_kept())
	{
		WfTrackKey	key = wf_groups_key(queue);

		wf_groups_note(WF_GROUP_ENDS, queue, group,
					   wf_groups_count(WF_GROUP_BEHIND, wf_groups_bucket(&key, group)));
	}
	if (!any_behind(queue, group, job_id))
		return;
	work.group = CStringGetTextDatum(group);
	if (is_old || wf_claim_may_be_refused())
		error = wf_try(let_out, &work);
	else
		let_out(&work);
	if (error != NULL && !is_old && wf_error_is_passing(error->sqlerrcode))
		ReThrowError(error);
	if (error != NULL || work.left != NIL || is_old)
		wf_groups_note_left(queue, group);
}

/*
 * A job has come into a group, or to life again, that does not stand behind.
 */
void
wf_heads_entered(const char *queue, const char *group, int64 job_id)
{
	Datum		id = Int64GetDatum(job_id);

	if (wf_heads_is_behind(queue, group, job_id))
		wf_plan_execute(&put_behind_plan, &id, NULL);
}

static Datum
names_of(const WfMend *mend)
{
	Datum	   *names = palloc(sizeof(Datum) * Max(mend->n, 1));

	for (int i = 0; i < mend->n; i++)
		names[i] = CStringGetTextDatum(mend->groups[i]);

	return PointerGetDatum(construct_array(names, mend->n, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * Lets out the first jobs of groups that were left without a head.  What cannot be
 * done now (somebody has locked the job, a trigger refuses it, this transaction
 * does not see it) is tried again by the next claim.
 */
void
wf_heads_mend(const char *queue)
{
	static TimestampTz looked_at = 0;
	LetOut		work = {.plan = &mend_plan,.queue = queue};
	ErrorData  *error = NULL;
	WfMend		mend;

	if (XactReadOnly || RecoveryInProgress() || !wf_groups_to_mend(queue, &mend))
		return;
	if (!wf_groups_are_kept())
	{
		if (looked_at > GetCurrentTimestamp() - LOOK_EVERY_US)
			return;
		looked_at = GetCurrentTimestamp();
	}
	work.is_null = mend.is_all;
	work.group = mend.is_all ? (Datum) 0 : names_of(&mend);
	work.job_id = wf_grouped_mark(queue);
	if (IsolationUsesXactSnapshot() || wf_claim_may_be_refused())
		error = wf_try(let_out, &work);
	else
		let_out(&work);
	if (error == NULL && !IsolationUsesXactSnapshot())
		wf_groups_tell(queue, &mend, work.left);
}
