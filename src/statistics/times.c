/*
 * times.c
 *	  Histograms of times that can be added to each other.
 *
 * A time falls into a class; each power of two has sixteen of them, so that a
 * class is at most a sixteenth of its times wide.  A histogram is an array of
 * pairs, a class and how many fell into it, in the order of the classes.  What
 * is said of a percentile is the end of its class: never less than the truth,
 * and at most a sixteenth more.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "port/pg_bitutils.h"
#include "statistics/statistics.h"
#include "utils/array.h"
#include "utils/timestamp.h"

#define STEP_BITS 4
#define STEPS (1 << STEP_BITS)

int
wf_time_class(int64 duration_us)
{
	int			power;

	if (duration_us < STEPS)
		return Max(duration_us, 0);
	power = pg_leftmost_one_pos64(duration_us);

	return (power - STEP_BITS + 1) * STEPS + (int) ((duration_us >> (power - STEP_BITS)) & (STEPS - 1));
}

/*
 * The longest time of a class.
 */
int64
wf_time_class_end(int class)
{
	int			shift = class / STEPS - 1;

	if (class < STEPS)
		return class;

	return ((int64) (STEPS + class % STEPS + 1) << shift) - 1;
}

/* The pairs of an argument. */
typedef struct Pairs
{
	int64	   *values;
	int			count;
} Pairs;

static Pairs
argument_pairs(FunctionCallInfo fcinfo, int i)
{
	Pairs		pairs = {NULL, 0};
	ArrayType  *array;

	if (PG_ARGISNULL(i))
		return pairs;
	array = PG_GETARG_ARRAYTYPE_P(i);
	if (ARR_HASNULL(array) || ARR_NDIM(array) > 1 || ARR_ELEMTYPE(array) != INT8OID ||
		ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)) % 2 != 0)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("a histogram is an array of pairs"),
				 errdetail("Each is a class of times and how many fell into it."),
				 errhint("Read workflow.state_history, which says what they come to.")));
	pairs.values = (int64 *) ARR_DATA_PTR(array);
	pairs.count = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)) / 2;

	return pairs;
}

static void
put(ArrayType *array, int *count, int64 class, int64 n)
{
	int64	   *values = (int64 *) ARR_DATA_PTR(array);

	values[2 * *count] = class;
	values[2 * *count + 1] = n;
	(*count)++;
}

PG_FUNCTION_INFO_V1(wf_add_times);

/*
 * _add_times(times, times): both together
 */
Datum
wf_add_times(PG_FUNCTION_ARGS)
{
	Pairs		a = argument_pairs(fcinfo, 0);
	Pairs		b = argument_pairs(fcinfo, 1);
	Size		size = ARR_OVERHEAD_NONULLS(1) + sizeof(int64) * 2 * (a.count + b.count);
	ArrayType  *sum = palloc0(size);
	int			count = 0;
	int			i = 0;
	int			j = 0;

	sum->ndim = 1;
	sum->elemtype = INT8OID;
	while (i < a.count || j < b.count)
	{
		int64		x = i < a.count ? a.values[2 * i] : PG_INT64_MAX;
		int64		y = j < b.count ? b.values[2 * j] : PG_INT64_MAX;
		int64		n = 0;

		if (x <= y)
			n += a.values[2 * i++ + 1];
		if (y <= x)
			n += b.values[2 * j++ + 1];
		put(sum, &count, Min(x, y), n);
	}
	if (count == 0)
		PG_RETURN_ARRAYTYPE_P(construct_empty_array(INT8OID));
	ARR_DIMS(sum)[0] = 2 * count;
	ARR_LBOUND(sum)[0] = 1;
	SET_VARSIZE(sum, ARR_OVERHEAD_NONULLS(1) + sizeof(int64) * 2 * count);

	PG_RETURN_ARRAYTYPE_P(sum);
}

PG_FUNCTION_INFO_V1(wf_time_percentile);

/*
 * _time_percentile(times, part): the time that this part of all did not exceed;
 * null when there are none
 */
Datum
wf_time_percentile(PG_FUNCTION_ARGS)
{
	Pairs		pairs = argument_pairs(fcinfo, 0);
	double		part = PG_GETARG_FLOAT8(1);
	Interval   *time = palloc0(sizeof(Interval));
	double		total = 0;
	double		sum = 0;

	for (int i = 0; i < pairs.count; i++)
		total += pairs.values[2 * i + 1];
	for (int i = 0; i < pairs.count; i++)
	{
		sum += pairs.values[2 * i + 1];
		if (sum < part * total)
			continue;
		time->time = wf_time_class_end((int) pairs.values[2 * i]);
		PG_RETURN_INTERVAL_P(time);
	}

	PG_RETURN_NULL();
}

PG_FUNCTION_INFO_V1(wf_sql_time_class);

/*
 * _time_class(time): the class that a time falls into
 */
Datum
wf_sql_time_class(PG_FUNCTION_ARGS)
{
	Interval   *time = PG_GETARG_INTERVAL_P(0);
	int64		days = (int64) time->day + (int64) time->month * DAYS_PER_MONTH;

	PG_RETURN_INT32(wf_time_class(time->time + days * USECS_PER_DAY));
}
