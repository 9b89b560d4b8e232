/*
 * lone.c
 *	  An UPDATE that moves one item and does nothing else, without triggers.
 *
 * A trigger costs a row more than its function: before the update the server
 * locks the row and logs the lock, after it it queues the row and reads both
 * versions again.  And an UPDATE opens all indexes of its table, though no move
 * changes one as long as the row's page has room.
 *
 * Where nobody can tell, none of that is done: the statement finds at most one
 * row, by a unique index; the table has our two triggers, and what else an UPDATE
 * sees to (a condition, a rule, a policy) is not there; the row is changed in its
 * state alone, and nothing follows but a row of the log.  Then the row is judged
 * and stamped as the executor puts it together, and logged at the end of the
 * statement.  When somebody else has changed it meanwhile, the executor puts it
 * together again, of what is there now: that one is judged anew.  Nothing of
 * anybody runs between that and the end of the statement, where the indexes get
 * what they have to have.
 *
 * Any other row takes the way of all rows, through the triggers.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/skey.h"
#include "access/xact.h"
#include "base/append.h"
#include "base/end.h"
#include "base/owner.h"
#include "base/table.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "item/item_internal.h"
#include "item/lone.h"
#include "item/projection.h"
#include "item/result.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* What such a statement knows. */
typedef struct Lone
{
	WfProjection frame;
	bool		is_taken;		/* the row goes without triggers */
	bool		is_judged;		/* so it is judged, and waits to be logged */
	uint64		npauses;		/* that had changed when it was judged */
	WfItem		old;
	WfItem		new;
	WfMove		move;
	WfLogTexts	texts;
} Lone;

static WfTable item_table = {"item"};

static ExecutorStart_hook_type next_start = NULL;
static WfEnd own_end = 0;

/* The subtransaction whose statement has a row that waits to be logged. */
static SubTransactionId waiting_in = InvalidSubTransactionId;

/* So many indexes the executor is told to fill. */
static Relation no_indexes[1];

/* ------------------------------------------------------------------- statements */

/*
 * Whether a scan finds at most one row: it compares all columns of a unique index
 * with values.
 */
static bool
finds_one(const PlanState *plan)
{
	const IndexScanState *scan = (const IndexScanState *) plan;
	const		FormData_pg_index *index;
	Bitmapset  *compared = NULL;

	if (plan == NULL || !IsA(plan, IndexScanState) || scan->iss_RelationDesc == NULL)
		return false;
	index = scan->iss_RelationDesc->rd_index;
	if (!index->indisunique || !index->indimmediate || scan->iss_NumScanKeys < index->indnkeyatts)
		return false;
	for (int i = 0; i < scan->iss_NumScanKeys; i++)
	{
		const ScanKeyData *key = &scan->iss_ScanKeys[i];

		if (key->sk_strategy == BTEqualStrategyNumber &&
			(key->sk_flags & (SK_SEARCHARRAY | SK_ROW_HEADER | SK_SEARCHNULL | SK_SEARCHNOTNULL)) == 0)
			compared = bms_add_member(compared, key->sk_attno);
	}

	return bms_num_members(compared) == index->indnkeyatts;
}

/*
 * Whether a statement updates rows of workflow.item, and nobody but our triggers
 * sees to them.
 */
static bool
is_plain(const QueryDesc *query, int eflags)
{
	const ModifyTableState *state = (const ModifyTableState *) query->planstate;
	const ModifyTable *plan;
	const Relation table = state->resultRelInfo->ri_RelationDesc;

	if (state->mt_nrels != 1 || state->resultRelInfo->ri_TrigDesc == NULL ||
		RelationGetRelid(table) != wf_table_oid_if_any(&item_table))
		return false;
	plan = (const ModifyTable *) state->ps.plan;

	return (eflags & (EXEC_FLAG_EXPLAIN_ONLY | EXEC_FLAG_SKIP_TRIGGERS)) == 0 &&
		query->instrument_options == 0 && query->crosscheck_snapshot == InvalidSnapshot &&
		!query->plannedstmt->hasModifyingCTE && state->canSetTag &&
		state->rootResultRelInfo == state->resultRelInfo &&
		state->mt_transition_capture == NULL && plan->withCheckOptionLists == NIL &&
		!table->rd_rel->relispartition && !state->resultRelInfo->ri_projectNewInfoValid &&
		wf_item_table_is_ours(table);
}

/*
 * Whether it is one row, and nobody is told of it.
 */
static bool
is_lone(const ModifyTableState *state)
{
	return ((const ModifyTable *) state->ps.plan)->returningLists == NIL &&
		finds_one(outerPlanState(state));
}

static Datum project(ExprState *expression, ExprContext *context, bool *isnull);

static void
on_start(QueryDesc *query, int eflags)
{
	MemoryContext caller;

	if (next_start != NULL)
		next_start(query, eflags);
	else
		standard_ExecutorStart(query, eflags);

	if (query->operation != CMD_UPDATE || !IsA(query->planstate, ModifyTableState))
		return;
	caller = MemoryContextSwitchTo(query->estate->es_query_cxt);
	if (is_plain(query, eflags))
	{
		ModifyTableState *state = (ModifyTableState *) query->planstate;

		if (is_lone(state))
			wf_projection_take(palloc0(sizeof(Lone)), state, project);
		else
			wf_many_begin(state);
	}
	MemoryContextSwitchTo(caller);
}

/* -------------------------------------------------------------------------- rows */

/*
 * Stamps a row that was put together, unless a foreign key has to hear of it.
 */
static bool
stamp(const Lone *lone, TupleTableSlot *old_row, TupleTableSlot *new_row)
{
	Datum	   *since = &new_row->tts_values[WF_ITEM_COLUMN_SINCE - 1];
	Datum	   *seq = &new_row->tts_values[WF_ITEM_COLUMN_SEQ - 1];

	*since = TimestampTzGetDatum(lone->new.since);
	*seq = Int32GetDatum(lone->new.seq);
	new_row->tts_nvalid = new_row->tts_tupleDescriptor->natts;	/* or none is read */
	if (!wf_item_concerns_constraints(lone->frame.result->ri_RelationDesc, old_row, new_row))
	{
		wf_item_splice(old_row, new_row);
		return true;
	}
	*since = TimestampTzGetDatum(lone->old.since);
	*seq = Int32GetDatum(lone->old.seq);

	return false;
}

/*
 * What the log will say, as the graph keeps it.
 */
static void
keep_texts(Lone *lone, const WfActiveMove *direct)
{
	static Datum kind = 0;
	const WfTransition *transition = wf_state_transition(direct->from, lone->move.event);
	MemoryContext caller;

	if (kind == 0)
	{
		caller = MemoryContextSwitchTo(TopMemoryContext);
		kind = CStringGetTextDatum(lone->move.kind);
		MemoryContextSwitchTo(caller);
	}
	lone->texts = (WfLogTexts)
	{
		.from = direct->from->name_text,
			.event = transition != NULL ? transition->event_text : CStringGetTextDatum(lone->move.event),
			.to = direct->to->name_text,
			.kind = kind
	};
}

/*
 * Judges a row that was put together: whether it is moved along a transition, and
 * nothing else follows from that but a row of the log.  Then it is stamped.
 */
static bool
judge(Lone *lone, TupleTableSlot *old_row, TupleTableSlot *new_row)
{
	WfActiveMove direct = {0};

	if (!wf_projection_is_only_moved(&lone->frame, old_row, new_row))
		return false;
	lone->npauses = wf_pause_changes();
	direct.from = wf_item_known_from_row(old_row, &lone->old, &direct.graph);
	if (direct.from == NULL || wf_item_active_move(lone->old.item_id) != NULL)
		return false;
	direct.to = wf_graph_state_by_text(direct.graph, new_row->tts_values[WF_ITEM_COLUMN_STATE - 1]);
	memset(&lone->move, 0, sizeof(lone->move));
	if (direct.to == NULL || direct.to == direct.from ||
		!wf_item_goes_by_hand(&lone->old, &direct, &lone->move))
		return false;
	lone->new = lone->old;
	lone->new.state = direct.to->name;
	keep_texts(lone, &direct);
	wf_item_expected_stamps(&lone->old, direct.from, direct.to, NULL, &lone->new);

	return wf_same_text(lone->old.outcome, lone->new.outcome) &&
		wf_same_text(lone->old.origin, lone->new.origin) &&
		wf_item_enters_quietly(&lone->new, direct.to) &&
		wf_item_log_is_plain() && stamp(lone, old_row, new_row);
}

/*
 * Hands the row over to the triggers, before the executor looks for any: the
 * statement goes on as if nobody had looked at it.
 */
static void
leave_to_triggers(Lone *lone)
{
	lone->frame.result->ri_projectNew = wf_projection_theirs(&lone->frame);
}

/*
 * Takes the row: no trigger, and no index is looked for.
 */
static void
take(Lone *lone)
{
	lone->is_taken = true;
	lone->frame.result->ri_TrigDesc->trig_update_before_row = false;
	lone->frame.result->ri_TrigDesc->trig_update_after_row = false;
	lone->frame.result->ri_IndexRelationDescs = no_indexes;
	lone->frame.result->ri_NumIndices = 0;
	waiting_in = GetCurrentSubTransactionId();
	wf_end_is_due(own_end);
}

/*
 * The row has become another one since, from whose move more follows, or which may
 * not make it.  It is locked and stamped; the trigger that judges it will fire.
 */
static void
leave_to_judge(Lone *lone, TupleTableSlot *old_row, TupleTableSlot *new_row)
{
	lone->frame.result->ri_TrigDesc->trig_update_after_row = true;
	waiting_in = InvalidSubTransactionId;
	wf_item_stamp_row(old_row, new_row);
}

/*
 * Puts the new row together, as the server's own does, and judges it.
 */
static Datum
project(ExprState *expression, ExprContext *context, bool *isnull)
{
	Lone	   *lone = (Lone *) wf_projection_of(expression);
	TupleTableSlot *old_row = context->ecxt_scantuple;
	TupleTableSlot *new_row = expression->resultslot;
	MemoryContext caller;

	wf_projection_put_together(&lone->frame, context);
	caller = MemoryContextSwitchTo(lone->frame.estate->es_query_cxt);
	lone->is_judged = judge(lone, old_row, new_row);
	if (!lone->is_judged && !lone->is_taken)
		leave_to_triggers(lone);
	else if (!lone->is_judged)
		leave_to_judge(lone, old_row, new_row);
	else
		take(lone);				/* again, where the trigger was to judge
								 * meanwhile */
	MemoryContextSwitchTo(caller);

	return (Datum) 0;
}

/* ---------------------------------------------------------------------- the ends */

static Lone *
lone_of(const QueryDesc *query)
{
	const ModifyTableState *state = (const ModifyTableState *) query->planstate;
	ProjectionInfo *projection;

	if (query->operation != CMD_UPDATE || !IsA(state, ModifyTableState))
		return NULL;
	projection = state->resultRelInfo->ri_projectNew;
	if (projection == NULL || projection->pi_state.evalfunc != project)
		return NULL;

	return (Lone *) projection;
}

static void
enter_into_indexes(const Lone *lone)
{
	TupleTableSlot *row = lone->frame.result->ri_newTupleSlot;
	HeapTuple	tuple = ExecFetchSlotHeapTuple(row, false, NULL);

	if (HeapTupleIsHeapOnly(tuple))
		return;
	wf_item_values_of_row(row);
	wf_append_to_indexes(lone->frame.result->ri_RelationDesc, &row, 1);
}

/*
 * What was known of a pause when the row was judged may be over: somebody may have
 * held the row since, and not changed it, so that it was not put together again.
 */
void
wf_item_require_running_since(const WfItem *item, uint64 npauses)
{
	WfCaller	caller;

	AcceptInvalidationMessages();
	if (wf_pause_changes() == npauses)
		return;
	(void) wf_item_graph_as_owner(item);
	wf_enter_owner(&caller);
	SPI_connect();
	wf_item_require_running(wf_item_read(item->item_id));
	SPI_finish();
	wf_leave_owner(&caller);
}

static void
log_move(Lone *lone)
{
	WfLogRow	row = {
		.item = &lone->new,.before = &lone->old,.move = &lone->move,.texts = &lone->texts
	};

	lone->texts.actor = wf_role_text(GetUserId());
	wf_item_log_lone(&row);
}

/*
 * Called when a statement has run, before any trigger fires after it.  Returns
 * whether none will.
 */
bool
wf_lone_end(const QueryDesc *query)
{
	Lone	   *lone = lone_of(query);
	MemoryContext caller;

	if (lone == NULL || !lone->is_taken)
		return false;
	waiting_in = InvalidSubTransactionId;
	if (lone->frame.estate->es_processed == 0)
		return false;			/* it is gone, or is not to be moved any more */
	caller = MemoryContextSwitchTo(lone->frame.estate->es_query_cxt);
	enter_into_indexes(lone);
	if (lone->is_judged)
	{
		wf_item_require_running_since(&lone->old, lone->npauses);
		log_move(lone);
	}
	MemoryContextSwitchTo(caller);

	return lone->is_judged;
}

/*
 * A statement has ended, and not as statements do.
 */
static void
require_logged(SubTransactionId ends)
{
	if (waiting_in == ends)
		elog(ERROR, "an item was moved by a statement whose end was not seen");
}

static void
on_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
		require_logged(TopSubTransactionId);
	else if (event == XACT_EVENT_ABORT)
		waiting_in = InvalidSubTransactionId;
}

static void
on_subtransaction_end(SubXactEvent event, SubTransactionId self, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_PRE_COMMIT_SUB)
		require_logged(self);
	else if (event == SUBXACT_EVENT_ABORT_SUB && waiting_in == self)
		waiting_in = InvalidSubTransactionId;
}

/*
 * Called when the library is loaded.
 */
void
wf_lone_init(void)
{
	next_start = ExecutorStart_hook;
	ExecutorStart_hook = on_start;
	own_end = wf_end_register(on_transaction_end, on_subtransaction_end);
}
