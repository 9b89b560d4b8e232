/*
 * enqueue_many.c
 *	  Storing many jobs by one call.
 *
 * Jobs that have nothing but their payloads go to the lane of the queue, as
 * single ones do; others are stored in the table, by one statement.  Where keys
 * are given each job may be found instead of stored, so they go one by one.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/context.h"
#include "base/identity.h"
#include "base/owner.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "queue_internal.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

/* What jobs may have beside their payloads; in the order of the arguments. */
typedef enum Trait
{
	KEY,
	GROUP_KEY,
	PRIORITY,
	RUN_AT,
	TENANT,
	UNITS
} Trait;

#define NTRAITS (UNITS + 1)

/* Where the arguments of the traits begin. */
#define FIRST_TRAIT 2

static const struct
{
	const char *argument;
	Oid			type;
}			traits[NTRAITS] =

{
	[KEY] = {"keys", TEXTOID},
	[GROUP_KEY] = {"group_keys", TEXTOID},
	[PRIORITY] = {"priorities", INT4OID},
	[RUN_AT] = {"run_at", TIMESTAMPTZOID},
	[TENANT] = {"tenants", TEXTOID},
	[UNITS] = {"units", INT4OID},
};

typedef struct Column
{
	bool		is_given;
	Datum	   *values;
	bool	   *nulls;
	Datum		array;
} Column;

typedef struct Many
{
	int			count;
	Datum		payloads;		/* jsonb[] */
	Datum	   *elements;		/* of the same */
	bool		has_traits;
	Column		columns[NTRAITS];
} Many;

static WfPlan insert_plan = {
	.name = "enqueue_many",
	.expected = SPI_OK_INSERT_RETURNING,
	.nargs = 9,
	.argtypes = {TEXTOID, JSONBARRAYOID, TIMESTAMPTZOID, BOOLOID,
	TEXTARRAYOID, INT4ARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID, INT4ARRAYOID},
	.sql =
	"INSERT INTO workflow.job (queue, kind, priority, run_at, created_at, payload, aged, "
	"  tenant, group_key, units) "
	"SELECT p.queue, 'task', p.priority + p.aged, p.run_at, $3, p.payload, p.aged, "
	"  p.tenant, p.group_key, p.units "
	"FROM (SELECT v.*, q.queue, " WF_AGED("v.priority", "v.run_at") " AS aged, "
	"        " WF_TENANT("v.named") " AS tenant "
	"      FROM workflow.queue AS q, "
	"        (SELECT u.n, u.payload, u.group_key, COALESCE(u.priority, 0) AS priority, "
	"           COALESCE(u.run_at, $3) AS run_at, u.tenant AS named, COALESCE(u.units, 1) AS units "
	"         FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($5), pg_catalog.unnest($6), "
	"           pg_catalog.unnest($7), pg_catalog.unnest($8), pg_catalog.unnest($9)) "
	"           WITH ORDINALITY AS u (payload, group_key, priority, run_at, tenant, units, n)) AS v "
	"      WHERE q.queue = $1 AND (q.max_length IS NULL OR $4) ORDER BY v.n) AS p "
	"RETURNING job_id",
};

/* ------------------------------------------------------------- arguments */

static void
require_length(Trait trait, int length, int count)
{
	if (length != count)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("%s and payloads of workflow.enqueue_many() must have the same length",
						traits[trait].argument),
				 errdetail("There are %d %s and %d payloads.", length, traits[trait].argument, count),
				 errhint("Pass an element for each payload; but for keys, one alone counts for all.")));
}

/*
 * Makes one element as many as there are jobs.
 */
static void
spread(Column *column, int count)
{
	Datum		value = column->values[0];
	bool		is_null = column->nulls[0];

	column->values = palloc(sizeof(Datum) * count);
	column->nulls = palloc(sizeof(bool) * count);
	for (int i = 0; i < count; i++)
	{
		column->values[i] = value;
		column->nulls[i] = is_null;
	}
}

static void
require_sound(Trait trait, const Column *column, int count)
{
	for (int i = 0; i < count; i++)
		if (column->nulls[i])
			continue;
		else if (trait == UNITS)
			wf_enqueue_require_units(DatumGetInt32(column->values[i]));
		else if (trait == RUN_AT)
			wf_require_finite(DatumGetTimestampTz(column->values[i]), "run_at of a job");
		else if (traits[trait].type == TEXTOID)
			wf_require_short(TextDatumGetCString(column->values[i]),
							 trait == TENANT ? "tenant of a job" :
							 trait == KEY ? "key of a job" : "group_key of a job");
}

static void
read_trait(FunctionCallInfo fcinfo, Trait trait, Many *many)
{
	Column	   *column = &many->columns[trait];
	int			dims = many->count;
	int			lower_bound = 1;
	int			length;
	int16		type_length;
	bool		by_value;
	char		alignment;

	if (PG_ARGISNULL(FIRST_TRAIT + trait))
		return;
	column->is_given = many->has_traits = true;
	get_typlenbyvalalign(traits[trait].type, &type_length, &by_value, &alignment);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(FIRST_TRAIT + trait), traits[trait].type, type_length,
					  by_value, alignment, &column->values, &column->nulls, &length);
	if (length == 1 && trait != KEY)
		spread(column, many->count);
	else
		require_length(trait, length, many->count);
	if (trait == KEY)
		return;
	require_sound(trait, column, many->count);
	column->array = PointerGetDatum(construct_md_array(column->values, column->nulls, 1, &dims,
													   &lower_bound, traits[trait].type,
													   type_length, by_value, alignment));
}

static void
read_many(FunctionCallInfo fcinfo, Many *many)
{
	ArrayType  *payloads;

	wf_enqueue_require_queue(PG_ARGISNULL(0), "enqueue_many");
	wf_enqueue_require_payload(PG_ARGISNULL(1), "enqueue_many", "payloads");
	payloads = PG_GETARG_ARRAYTYPE_P(1);
	wf_enqueue_require_payload(array_contains_nulls(payloads), "enqueue_many", "a payload");
	many->payloads = PointerGetDatum(payloads);
	deconstruct_array(payloads, JSONBOID, -1, false, TYPALIGN_INT, &many->elements, NULL,
					  &many->count);
	for (Trait trait = KEY; trait < NTRAITS; trait++)
		read_trait(fcinfo, trait, many);
}

/* --------------------------------------------------------------- storing */

/*
 * Stores a task for each payload; leaves the new ids as the rows of SPI.
 */
static void
insert_many(const char *queue, const Many *many)
{
	Datum		values[9] = {
		CStringGetTextDatum(queue), many->payloads, TimestampTzGetDatum(wf_now()),
		BoolGetDatum(false),
	};
	char		nulls[9] = {' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' '};

	for (Trait trait = GROUP_KEY; trait < NTRAITS; trait++)
	{
		values[3 + trait] = many->columns[trait].array;
		nulls[3 + trait] = many->columns[trait].is_given ? ' ' : 'n';
	}
	if (wf_plan_execute(&insert_plan, values, nulls) > 0)
		return;
	wf_queue_require_room(queue, many->count, true);
	values[3] = BoolGetDatum(true);
	if (wf_plan_execute(&insert_plan, values, nulls) != many->count)
		elog(ERROR, "not all jobs were stored in queue \"%s\"", queue);
}

/*
 * Stores a task for each payload, in the lane of the queue or in the table.
 */
static void
store_many(const char *queue, const Many *many, Datum *ids)
{
	if (!many->has_traits && wf_lanes_store(queue, many->elements, many->count, ids))
		return;
	insert_many(queue, many);
	for (int i = 0; i < many->count; i++)
		ids[i] = Int64GetDatum(wf_result_int8(i, 1));
	wf_queue_require_still(queue, 0);
	wf_wake_at_commit(WF_WAKE_TASK, queue);
}

static void
store_copies(const char *queue, const Many *many)
{
	Datum	   *ids = palloc(sizeof(Datum) * many->count);
	ListCell   *cell;

	foreach(cell, wf_queue_subscribers(queue))
		store_many(lfirst(cell), many, ids);
	pfree(ids);
}

static char *
text_of(const Many *many, Trait trait, int i)
{
	const Column *column = &many->columns[trait];

	return !column->is_given || column->nulls[i] ? NULL : TextDatumGetCString(column->values[i]);
}

/* The value of a job, or what it is when it is not said. */
static Datum
value_of(const Many *many, Trait trait, int i, Datum otherwise)
{
	const Column *column = &many->columns[trait];

	return !column->is_given || column->nulls[i] ? otherwise : column->values[i];
}

static void
store_each(char *queue, const Many *many, Datum *ids)
{
	TimestampTz now = wf_now();

	for (int i = 0; i < many->count; i++)
	{
		WfNewJob	job = {.queue = queue,.kind = "task",.may_wait = true};

		job.payload = DatumGetJsonbP(many->elements[i]);
		job.key = text_of(many, KEY, i);
		job.group_key = text_of(many, GROUP_KEY, i);
		job.priority = DatumGetInt32(value_of(many, PRIORITY, i, Int32GetDatum(0)));
		job.run_at = DatumGetTimestampTz(value_of(many, RUN_AT, i, TimestampTzGetDatum(now)));
		job.tenant = text_of(many, TENANT, i);
		job.units = DatumGetInt32(value_of(many, UNITS, i, Int32GetDatum(1)));
		ids[i] = Int64GetDatum(wf_enqueue_with_copies(&job));
	}
}

/*
 * workflow.enqueue_many(queue text, payloads jsonb[], keys text[],
 *		group_keys text[], priorities int[], run_at timestamptz[],
 *		tenants text[], units int[]) returns bigint[]
 */
WF_PUBLIC_FUNCTION(wf_enqueue_many)
{
	MemoryContext result_memory = CurrentMemoryContext;
	WfCaller	caller;
	Many		many = {0};
	Datum	   *ids;
	ArrayType  *result;
	char	   *queue;

	read_many(fcinfo, &many);
	queue = text_to_cstring(PG_GETARG_TEXT_PP(0));
	ids = palloc(sizeof(Datum) * Max(many.count, 1));

	wf_enter_owner(&caller);
	SPI_connect();
	if (many.count == 0)
		wf_queue_require_room(queue, 0, false);
	else if (many.columns[KEY].is_given)
		store_each(queue, &many, ids);
	else
	{
		store_many(queue, &many, ids);
		store_copies(queue, &many);
	}
	SPI_finish();
	wf_leave_owner(&caller);

	MemoryContextSwitchTo(result_memory);
	result = construct_array(ids, many.count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
							 TYPALIGN_DOUBLE);
	PG_RETURN_ARRAYTYPE_P(result);
}
