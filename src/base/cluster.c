/*
 * cluster.c
 *	  Which database the rows were written by.
 *
 * The first call that makes work stores an identity: the system identifier, the
 * database, the table that it is stored in, and the timeline.  A dump or another
 * copy takes it along, and is then told from the original by one of the first
 * three; a standby that was promoted, by the timeline.
 *
 * A process that has found the identity right does not look again: what it is
 * compared with cannot change under it, and a table that is made anew is another
 * one.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "base/cluster.h"
#include "base/config.h"
#include "base/owner.h"
#include "base/plan.h"
#include "base/table.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

static WfPlan state_plan = {
	.name = "identity of the cluster",
	.expected = SPI_OK_SELECT,
	.nargs = 3,
	.argtypes = {INT8OID, OIDOID, OIDOID},
	.sql =
	"WITH stored AS (SELECT c.since, c.policy, c.how, c.timeline, "
	"    c.system_identifier = $1 AND c.database = $2 AND c.relation = $3 AS is_ours "
	"  FROM workflow.cluster AS c) "
	"SELECT pg_catalog.count(*), pg_catalog.max(s.timeline) FILTER (WHERE s.is_ours), "
	"  pg_catalog.bool_or(NOT s.is_ours AND NOT EXISTS ("
	"    SELECT FROM stored AS a WHERE a.is_ours AND a.how = 'adopted' AND a.since > s.since)), "
	"  pg_catalog.max(s.since) FILTER (WHERE s.is_ours AND s.policy = 'quarantine') "
	"FROM stored AS s",
};

/*
 * Not where there is something that was stored before any name: it was restored
 * without it, and may have been sent where it was.
 */
static WfPlan name_plan = {
	.name = "name the cluster",
	.expected = SPI_OK_SELECT,
	.sql = "SELECT workflow._name_cluster('named', NULL, NULL, NULL) "
	"WHERE NOT EXISTS (SELECT FROM workflow.definition) AND NOT EXISTS (SELECT FROM workflow.item) "
	"AND NOT EXISTS (SELECT FROM workflow.effect)",
};

static WfPlan follow_plan = {
	.name = "follow a promotion",
	.expected = SPI_OK_SELECT,
	.nargs = 1,
	.argtypes = {TEXTOID},
	.sql = "SELECT workflow._follow_promotion($1)",
};

/* The table whose rows were found to be ours; invalid: look. */
static Oid	known_table = InvalidOid;
static TimestampTz known_quarantine = 0;

/* A transaction that has changed the rows, and may be rolled back. */
static TransactionId changed_by = InvalidTransactionId;

static Oid
identity_table(void)
{
	static WfTable table = {"cluster"};

	return wf_table_oid(&table);
}

static int64
timeline(void)
{
	TimeLineID	replayed;

	if (!RecoveryInProgress())
		return GetWALInsertionTimeLine();
	(void) GetXLogReplayRecPtr(&replayed);

	return replayed;
}

static WfClusterState
judge(TimestampTz *quarantine)
{
	bool		isnull;
	bool		is_copy = DatumGetBool(wf_result_datum(0, 3, &isnull)) && !isnull;
	int64		known_timeline = wf_result_int4(0, 2);

	*quarantine = DatumGetTimestampTz(wf_result_datum(0, 4, &isnull));
	if (isnull)
		*quarantine = 0;
	if (wf_result_int8(0, 1) == 0)
		return WF_CLUSTER_UNNAMED;
	if (is_copy)
		return WF_CLUSTER_COPY;

	return known_timeline == timeline() ? WF_CLUSTER_OURS : WF_CLUSTER_PROMOTED;
}

static WfClusterState
look(Oid table, TimestampTz *quarantine)
{
	Datum		values[3] = {
		Int64GetDatum((int64) GetSystemIdentifier()), ObjectIdGetDatum(MyDatabaseId),
		ObjectIdGetDatum(table)
	};
	WfCaller	caller;
	WfClusterState state;

	wf_enter_owner(&caller);
	SPI_connect();
	wf_plan_execute(&state_plan, values, NULL);
	state = judge(quarantine);
	SPI_finish();
	wf_leave_owner(&caller);

	return state;
}

static WfClusterState
find(TimestampTz *quarantine)
{
	Oid			table = identity_table();
	WfClusterState state;
	bool		is_own;

	*quarantine = known_quarantine;
	if (OidIsValid(table) && table == known_table)
		return WF_CLUSTER_OURS;
	state = look(table, quarantine);
	is_own = TransactionIdIsValid(changed_by) && changed_by == GetTopTransactionIdIfAny();
	if (state == WF_CLUSTER_OURS && !is_own && !RecoveryInProgress())
	{
		known_table = table;
		known_quarantine = *quarantine;
	}

	return state;
}

WfClusterState
wf_cluster_state(void)
{
	TimestampTz quarantine;

	return find(&quarantine);
}

TimestampTz
wf_cluster_quarantined_since(void)
{
	TimestampTz quarantine;

	(void) find(&quarantine);

	return quarantine;
}

const char *
wf_cluster_problem(WfClusterState state)
{
	switch (state)
	{
		case WF_CLUSTER_UNNAMED:
			return "nobody has said that this database may send what is in it: "
				"SELECT workflow.adopt_cluster('quarantine')";
		case WF_CLUSTER_COPY:
			return "this database is a copy (restored, cloned, or made from a template), and the original "
				"may have sent it: SELECT workflow.adopt_cluster('quarantine')";
		case WF_CLUSTER_PROMOTED:
			return "the server was promoted; the maintenance worker, or workflow.run(), goes on "
				"as pg_workflow.after_failover says";
		default:
			return NULL;
	}
}

void
wf_cluster_name(void)
{
	WfCaller	caller;

	if (wf_cluster_state() != WF_CLUSTER_UNNAMED)
		return;
	wf_enter_owner(&caller);
	SPI_connect();
	wf_plan_execute(&name_plan, NULL, NULL);
	SPI_finish();
	wf_leave_owner(&caller);
}

bool
wf_cluster_is_settled(void)
{
	return OidIsValid(known_table);
}

void
wf_cluster_follow(void)
{
	Datum		policy = CStringGetTextDatum(wf_after_failover == WF_FAILOVER_RESUME ? "resume" : "quarantine");

	if (!RecoveryInProgress() && wf_cluster_state() == WF_CLUSTER_PROMOTED)
		wf_plan_execute(&follow_plan, &policy, NULL);
}

PG_FUNCTION_INFO_V1(wf_cluster_identity);

/*
 * _cluster_identity() returns (system_identifier, database, relation, timeline):
 * of this database; who asks is about to store it
 */
Datum
wf_cluster_identity(PG_FUNCTION_ARGS)
{
	TupleDesc	columns;
	Datum		values[4];
	bool		nulls[4] = {false};

	if (get_call_result_type(fcinfo, NULL, &columns) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "the identity is no row");
	changed_by = GetTopTransactionId();
	known_table = InvalidOid;
	values[0] = Int64GetDatum((int64) GetSystemIdentifier());
	values[1] = ObjectIdGetDatum(MyDatabaseId);
	values[2] = ObjectIdGetDatum(identity_table());
	values[3] = Int32GetDatum((int32) timeline());

	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(columns), values, nulls));
}

PG_FUNCTION_INFO_V1(wf_cluster_problem_text);

/*
 * _cluster_problem() returns why nothing is sent, null when it may be
 */
Datum
wf_cluster_problem_text(PG_FUNCTION_ARGS)
{
	const char *problem = wf_cluster_problem(wf_cluster_state());

	if (problem == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(problem));
}

PG_FUNCTION_INFO_V1(wf_cluster_ensure);

/*
 * _ensure_cluster(): see wf_cluster_name
 */
Datum
wf_cluster_ensure(PG_FUNCTION_ARGS)
{
	wf_cluster_name();

	PG_RETURN_VOID();
}
