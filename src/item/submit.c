/*
 * submit.c
 *	  Submitting items: start one, or find the one there is.
 *
 * The unique constraints on (workflow, key) and (workflow, source, event_id)
 * decide: two submissions at once meet there, and the later one waits, then
 * finds what the first one committed.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/context.h"
#include "base/identity.h"
#include "base/jsonb.h"
#include "base/owner.h"
#include "base/plan.h"
#include "base/rest.h"
#include "base/sqlstate.h"
#include "base/wake.h"
#include "catalog/pg_type.h"
#include "definition/template.h"
#include "funcapi.h"
#include "item/item_internal.h"
#include "item/result.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

typedef struct Submission
{
	const char *workflow;
	Jsonb	   *input;			/* NULL: only a reference */
	const char *input_ref;		/* or NULL */
	const char *key;			/* NULL: to be made */
	const char *source;
	const char *event_id;		/* or NULL */
	TimestampTz run_at;			/* 0: now */
	int			priority;
	Jsonb	   *labels;
	bool		refuse_other_input;
	const char *caller;
	const WfGraph *graph;
} Submission;

typedef struct Submitted
{
	int64		item_id;
	const char *state;
	bool		created;
	bool		same_input;
} Submitted;

static char *
new_uuid(void)
{
	return DatumGetCString(DirectFunctionCall1(uuid_out,
											   DirectFunctionCall1(gen_random_uuid, (Datum) 0)));
}

/*
 * The key: as given, else by the definition, else by the event, else new.
 */
static const char *
choose_key(const Submission *submission)
{
	const WfGraph *graph = submission->graph;

	if (submission->key != NULL)
		return submission->key;
	if (graph->nkey_parts > 0)
		return wf_require_name(wf_render_key(graph->key_parts, graph->nkey_parts, submission->input),
							   "the key of the item",
							   "Put what identifies the case into the input, or give submit() a key.");
	if (submission->event_id == NULL)
		return new_uuid();
	if (*submission->source == '\0')
		return submission->event_id;

	return psprintf("%s:%s", submission->source, submission->event_id);
}

static WfPlan insert_plan = {
	.name = "insert item",
	.expected = SPI_OK_INSERT_RETURNING,
	.nargs = 16,
	.argtypes = {TEXTOID, INT4OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, INT4OID, TEXTOID,
		TEXTOID, TEXTOID, TEXTOID, INT4OID, JSONBOID, TEXTOID, JSONBOID, JSONBOID,
	TEXTOID},
	.sql = "INSERT INTO workflow.item (workflow, version, key, state, since, received_at, seq, "
	"source, event_id, submitted_by, route, priority, labels, input_ref, input, data, outcome) "
	"VALUES ($1, $2, $3, $4, $5, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) "
	"ON CONFLICT DO NOTHING RETURNING item_id",
};

static int64
insert_item(const Submission *submission, WfItem *item)
{
	const WfState *initial = wf_graph_initial(submission->graph);
	Datum		values[16];
	char		nulls[16];

	memset(nulls, ' ', sizeof(nulls));
	values[0] = CStringGetTextDatum(item->workflow);
	values[1] = Int32GetDatum(item->version);
	values[2] = CStringGetTextDatum(item->key);
	values[3] = CStringGetTextDatum(initial->name);
	values[4] = TimestampTzGetDatum(item->since);
	values[5] = Int32GetDatum(item->seq);
	values[6] = wf_text_datum(submission->source);
	nulls[6] = WF_NULL_FLAG(submission->source);
	values[7] = wf_text_datum(submission->event_id);
	nulls[7] = WF_NULL_FLAG(submission->event_id);
	values[8] = CStringGetTextDatum(submission->caller);
	values[9] = CStringGetTextDatum(wf_item_route_of(item->key));
	values[10] = Int32GetDatum(item->priority);
	values[11] = JsonbPGetDatum(submission->labels);
	values[12] = wf_text_datum(submission->input_ref);
	nulls[12] = WF_NULL_FLAG(submission->input_ref);
	values[13] = JsonbPGetDatum(submission->input);
	values[14] = JsonbPGetDatum(item->data);
	values[15] = wf_text_datum(initial->outcome);
	nulls[15] = WF_NULL_FLAG(initial->outcome);

	if (wf_plan_execute(&insert_plan, values, nulls) == 0)
		return 0;

	return wf_result_int8(0, 1);
}

static WfItem *
new_item(const Submission *submission)
{
	WfItem	   *item = palloc0(sizeof(WfItem));

	item->workflow = submission->graph->workflow;
	item->version = submission->graph->version;
	item->key = choose_key(submission);
	item->state = wf_graph_initial(submission->graph)->name;
	item->outcome = wf_graph_initial(submission->graph)->outcome;
	item->since = wf_now();
	item->seq = WF_FIRST_SEQ;
	item->submitted_by = submission->caller;
	item->priority = submission->priority;
	item->data = submission->input;
	item->is_paused = wf_graph_is_paused(submission->graph);

	return item;
}

/*
 * Says, once a session, how to get work done when nobody is there to do it.
 */
static void
mention_missing_workers(void)
{
	static bool mentioned = false;

	if (mentioned || wf_wake_anyone_listens(WF_WAKE_MAINTENANCE, MyDatabaseId) ||
		wf_rest_look(MyDatabaseId, NULL))
		return;
	mentioned = true;
	ereport(NOTICE,
			(errmsg("no pg_workflow worker is running in this database"),
			 errdetail("Items are stored; sql, http and model activities and timers wait for a worker."),
			 errhint("An operator starts them: SELECT workflow.start_workers(); or does their work: CALL workflow.run('10 seconds');")));
}

static const WfItem *
begin_item(const Submission *submission, const WfItem *item)
{
	WfMove		move = {0};
	WfLogRow	row = {0};
	WfVisit		visit = {0};

	move.event = "submit";
	move.kind = "submit";
	move.actor = submission->caller;
	row.item = item;
	row.move = &move;
	wf_item_log(&row);

	visit.item = item;
	visit.graph = submission->graph;
	visit.state = wf_graph_initial(submission->graph);
	visit.actor = submission->caller;
	visit.start_at = submission->run_at;
	mention_missing_workers();

	return wf_item_enter(&visit);
}

static void
refuse_reuse(const Submission *submission, int64 item_id, const char *key)
{
	ereport(ERROR,
			(errcode(ERRCODE_WF_KEY_REUSED),
			 errmsg("workflow \"%s\" has an item \"%s\" with another input",
					submission->graph->workflow, key),
			 errdetail("It is item " INT64_FORMAT "; this submission differs from the one that made it.",
					   item_id),
			 errhint("SELECT input FROM workflow.items WHERE item_id = " INT64_FORMAT
					 " shows it; use another key for another piece of work.", item_id)));
}

static bool
same_jsonb(Jsonb *left, Jsonb *right)
{
	return compareJsonbContainers(&left->root, &right->root) == 0;
}

/*
 * Finds the item that a submission is a repetition of.  Returns false when it
 * is gone again.
 */
static bool
find_item(const Submission *submission, const char *key, Submitted *found)
{
	static WfPlan plan = {
		.name = "find submitted item",
		.expected = SPI_OK_SELECT,
		.nargs = 4,
		.argtypes = {TEXTOID, TEXTOID, TEXTOID, TEXTOID},
		.sql = "SELECT item_id, state, input, key, input_ref FROM workflow.item "
		"WHERE workflow = $1 AND source = $3 AND event_id = $4 "
		"UNION SELECT item_id, state, input, key, input_ref FROM workflow.item "
		"WHERE workflow = $1 AND key = $2",
	};
	Datum		values[4];
	char		nulls[] = "    ";
	uint64		count;

	values[0] = CStringGetTextDatum(submission->graph->workflow);
	values[1] = CStringGetTextDatum(key);
	values[2] = wf_text_datum(submission->source);
	nulls[2] = WF_NULL_FLAG(submission->source);
	values[3] = wf_text_datum(submission->event_id);
	nulls[3] = WF_NULL_FLAG(submission->event_id);
	count = wf_plan_execute(&plan, values, nulls);
	if (count == 0)
		return false;

	found->item_id = wf_result_int8(0, 1);
	found->state = wf_result_text(0, 2);
	found->created = false;
	found->same_input = same_jsonb(DatumGetJsonbP(wf_result_datum(0, 3, NULL)),
								   submission->input) &&
		wf_same_text(wf_result_text(0, 5), submission->input_ref);
	if (count > 1 || (submission->refuse_other_input && !found->same_input))
		refuse_reuse(submission, found->item_id, wf_result_text(0, 4));

	return true;
}

static Submitted
submit(Submission *submission)
{
	Submitted	result = {0};
	WfItem	   *item;

	submission->graph = wf_active_graph(submission->workflow);
	wf_item_require_input(submission->graph, submission->input);
	item = new_item(submission);
	while ((item->item_id = insert_item(submission, item)) == 0)
		if (find_item(submission, item->key, &result))
			return result;

	result.item_id = item->item_id;
	result.state = begin_item(submission, item)->state;
	result.created = true;
	result.same_input = true;

	return result;
}

static Submission
submission_from_arguments(FunctionCallInfo fcinfo)
{
	Submission	submission = {0};

	submission.workflow = wf_argument_text(fcinfo, 0, "workflow");
	submission.key = wf_optional_name(fcinfo, 2, "key");
	submission.source = wf_optional_name(fcinfo, 3, "source");
	submission.event_id = wf_optional_name(fcinfo, 4, "event_id");
	if (submission.event_id != NULL && submission.source == NULL)
		submission.source = "";
	submission.run_at = wf_optional_time(fcinfo, 5, "run_at", 0);
	submission.priority = PG_ARGISNULL(6) ? 0 : PG_GETARG_INT32(6);
	submission.labels = PG_ARGISNULL(7) ? wf_jsonb_empty_object() : PG_GETARG_JSONB_P(7);
	submission.refuse_other_input = wf_refuses_other_input(wf_optional_text(fcinfo, 8));
	submission.input_ref = wf_optional_text(fcinfo, 9);
	if (submission.input_ref == NULL)
		wf_require_argument(fcinfo, 1, "input");
	submission.input = PG_ARGISNULL(1) ? wf_jsonb_empty_object() : PG_GETARG_JSONB_P(1);
	submission.caller = wf_role_name(GetUserId());

	return submission;
}

static void
result_columns(const Submitted *submitted, Datum *values)
{
	values[0] = Int64GetDatum(submitted->item_id);
	values[1] = CStringGetTextDatum(submitted->state);
	values[2] = BoolGetDatum(submitted->created);
	values[3] = BoolGetDatum(submitted->same_input);
}

static Datum
submit_one(FunctionCallInfo fcinfo, Submission *submission)
{
	Submitted	submitted;
	Datum		values[4];
	Datum		result;

	SPI_connect();
	submitted = submit(submission);
	result_columns(&submitted, values);
	result = wf_return_row(fcinfo, 4, values);
	SPI_finish();

	return result;
}

/*
 * submit(workflow, input, key, source, event_id, run_at, priority, labels,
 * on_conflict, input_ref) returns (item_id, state, created, same_input)
 */
WF_PUBLIC_FUNCTION(wf_submit)
{
	Submission	submission = submission_from_arguments(fcinfo);
	Datum		result;
	WfCaller	caller;

	wf_enter_owner(&caller);
	result = submit_one(fcinfo, &submission);
	wf_leave_owner(&caller);

	return result;
}

PG_FUNCTION_INFO_V1(wf_inner_submit);

/*
 * _submit_as(caller, workflow, input, key, source, event_id, labels, input_ref)
 * returns (item_id, state, created, same_input)
 */
Datum
wf_inner_submit(PG_FUNCTION_ARGS)
{
	Submission	submission = {0};

	submission.caller = wf_argument_text(fcinfo, 0, "caller");
	submission.workflow = wf_argument_text(fcinfo, 1, "workflow");
	wf_require_argument(fcinfo, 2, "input");
	submission.input = PG_GETARG_JSONB_P(2);
	submission.key = wf_optional_name(fcinfo, 3, "key");
	submission.source = wf_argument_text(fcinfo, 4, "source");
	submission.event_id = wf_argument_text(fcinfo, 5, "event_id");
	submission.labels = PG_ARGISNULL(6) ? wf_jsonb_empty_object() : PG_GETARG_JSONB_P(6);
	submission.input_ref = wf_optional_text(fcinfo, 7);

	return submit_one(fcinfo, &submission);
}

/*
 * Submits one of many; an error says which.
 */
static Submitted
submit_nth(Submission *submission, Datum input, bool isnull, int n)
{
	MemoryContext caller = CurrentMemoryContext;
	Submitted	submitted = {0};
	ErrorData  *error;

	PG_TRY();
	{
		if (isnull)
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("an input must not be null"),
					 errdetail("Nothing is submitted by it."),
					 errhint("Pass a JSON object for each item.")));
		submission->input = DatumGetJsonbP(input);
		submitted = submit(submission);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		error->detail = error->detail == NULL ? psprintf("It is input %d.", n) :
			psprintf("It is input %d.\n%s", n, error->detail);
		ReThrowError(error);
	}
	PG_END_TRY();

	return submitted;
}

static void
submit_each(ReturnSetInfo *rsinfo, const Submission *template, ArrayType *inputs)
{
	ArrayIterator iterator = array_create_iterator(inputs, 0, NULL);
	bool		isnull;
	Datum		input;
	int			n = 0;

	while (array_iterate(iterator, &input, &isnull))
	{
		Submission	submission = *template;
		Submitted	submitted;
		Datum		values[4];
		bool		nulls[4] = {false, false, false, false};

		submitted = submit_nth(&submission, input, isnull, ++n);
		result_columns(&submitted, values);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}

/*
 * submit_many(workflow, inputs) returns a row for each input, in order
 */
WF_PUBLIC_FUNCTION(wf_submit_many)
{
	Submission	template = {0};
	ArrayType  *inputs;
	WfCaller	caller;

	template.workflow = wf_argument_text(fcinfo, 0, "workflow");
	wf_require_argument(fcinfo, 1, "inputs");
	inputs = PG_GETARG_ARRAYTYPE_P(1);
	template.labels = wf_jsonb_empty_object();
	template.caller = wf_role_name(GetUserId());

	InitMaterializedSRF(fcinfo, 0);
	wf_enter_owner(&caller);
	SPI_connect();
	submit_each((ReturnSetInfo *) fcinfo->resultinfo, &template, inputs);
	SPI_finish();
	wf_leave_owner(&caller);

	return (Datum) 0;
}
