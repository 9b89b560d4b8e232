/*
 * clock.c
 *	  The time that deadlines are measured against.
 *
 * Real time, unless pg_workflow.clock holds another one: then every deadline
 * that this session sets or tests goes by that.  A point in time stands still; an
 * interval with its sign goes on beside the real time.  Background workers do not
 * go by the setting, wherever it was made: it is for the tests of a session.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/compat.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "postmaster/bgworker.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define DAYS_PER_YEAR_ROUNDED 366

/* What pg_workflow.clock says. */
typedef struct FakeClock
{
	bool		is_offset;
	TimestampTz at;
	Interval	offset;
} FakeClock;

static FakeClock fake = {0};
static bool is_faked = false;

bool
wf_clock_is_faked(void)
{
	return is_faked && MyBgworkerEntry == NULL;
}

/*
 * Returns the present time of this session's clock.
 */
TimestampTz
wf_now(void)
{
	if (!wf_clock_is_faked())
		return GetCurrentTimestamp();

	return fake.is_offset ? wf_time_after(GetCurrentTimestamp(), &fake.offset) : fake.at;
}

/*
 * See clock.h.  Ten thousand years from now is still a point in time; an
 * interval that is infinite is longer.
 */
bool
wf_interval_fits(const Interval *interval, int64 *us)
{
	const int64 most = INT64CONST(10000) * DAYS_PER_YEAR_ROUNDED;
	int64		days = (int64) interval->month * DAYS_PER_MONTH + interval->day;

	if (days > most || days < -most ||
		interval->time > most * USECS_PER_DAY || interval->time < -most * USECS_PER_DAY)
		return false;
	*us = days * USECS_PER_DAY + interval->time;

	return true;
}

int64
wf_interval_us(const Interval *interval)
{
	int64		us;

	if (!wf_interval_fits(interval, &us))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("interval out of range"),
				 errdetail("No time is reckoned with that is longer than ten thousand years."),
				 errhint("Give a shorter interval, or leave it out where there is a default.")));

	return us;
}

/*
 * See clock.h.  Days have 24 hours and months are those of the calendar in UTC,
 * whatever time zone who asks lives in.
 */
TimestampTz
wf_time_after(TimestampTz from, const Interval *interval)
{
	int64		us = wf_interval_us(interval);

	if (interval->month == 0)
		return from + us;

	return DatumGetTimestamp(DirectFunctionCall2(timestamp_pl_interval, TimestampGetDatum(from),
												 IntervalPGetDatum(interval)));
}

static void
refuse_relative_time(const char *text)
{
	static const char *const words[] = {"now", "today", "tomorrow", "yesterday"};

	for (int i = 0; i < lengthof(words); i++)
	{
		size_t		length = strlen(words[i]);

		for (const char *c = text; *c != '\0'; c++)
			if (pg_strncasecmp(c, words[i], length) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_DATETIME_FORMAT),
						 errmsg("\"%s\" is not a point in time", text),
						 errdetail("What \"%s\" means depends on when, and by whom, it is read.",
								   words[i]),
						 errhint("Write for example \"2030-01-31 09:00+00\".")));
	}
}

/*
 * See clock.h.
 */
Datum
wf_time_in(PG_FUNCTION_ARGS)
{
	pg_tz	   *zone = session_timezone;
	int			order = DateOrder;
	Datum		at;

	refuse_relative_time(PG_GETARG_CSTRING(0));
	PG_TRY();
	{
		session_timezone = pg_tzset("GMT");
		DateOrder = DATEORDER_YMD;
		at = DirectFunctionCall3(timestamptz_in, PG_GETARG_DATUM(0),
								 ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	}
	PG_FINALLY();
	{
		session_timezone = zone;
		DateOrder = order;
	}
	PG_END_TRY();

	return at;
}

static void
parse_offset(const char *text, FakeClock *parsed)
{
	Datum		interval = DirectFunctionCall3(interval_in, CStringGetDatum(text),
											   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));

	parsed->is_offset = true;
	parsed->offset = *DatumGetIntervalP(interval);
	(void) wf_time_after(GetCurrentTimestamp(), &parsed->offset);
}

static void
parse_time(const char *text, FakeClock *parsed)
{
	parsed->is_offset = false;
	parsed->at = DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in, CStringGetDatum(text),
														 ObjectIdGetDatum(InvalidOid),
														 Int32GetDatum(-1)));
	if (TIMESTAMP_NOT_FINITE(parsed->at))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("\"%s\" is no time that comes", text)));
}

static bool
is_offset(const char *text)
{
	return text[0] == '+' || (text[0] == '-' && (isdigit((unsigned char) text[1]) || text[1] == ' '));
}

/*
 * Accepts an empty text, a point in time, or an interval that begins with its
 * sign.  A relative word such as "tomorrow" is resolved once, here.
 */
bool
wf_clock_check(char **newval, void **extra, GucSource source)
{
	MemoryContext caller = CurrentMemoryContext;
	FakeClock  *parsed = NULL;
	volatile bool ok = true;

	if (*newval == NULL || **newval == '\0')
		return true;

	parsed = (FakeClock *) wf_setting_malloc(sizeof(FakeClock));
	if (parsed == NULL)
		return false;

	PG_TRY();
	{
		if (is_offset(*newval))
			parse_offset(*newval, parsed);
		else
			parse_time(*newval, parsed);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		FlushErrorState();
		ok = false;
	}
	PG_END_TRY();

	if (!ok)
	{
		wf_setting_free(parsed);
		GUC_check_errdetail("\"%s\" is neither a point in time nor an interval that begins with its sign.",
							*newval);
		GUC_check_errhint("Write for example '2030-01-31 09:00+00', or '+3 days' for three days from now on.");
		return false;
	}
	*extra = parsed;

	return true;
}

void
wf_require_finite(TimestampTz time, const char *what)
{
	if (TIMESTAMP_NOT_FINITE(time))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be a point in time", what),
				 errdetail("It is %s.", TIMESTAMP_IS_NOEND(time) ? "infinity, which never comes" :
						   "-infinity, of which no age can be told"),
				 errhint("Give the time from which on it is due, or null for now.")));
}

TimestampTz
wf_optional_time(FunctionCallInfo fcinfo, int argument, const char *name, TimestampTz otherwise)
{
	if (PG_ARGISNULL(argument))
		return otherwise;
	wf_require_finite(PG_GETARG_TIMESTAMPTZ(argument), psprintf("argument \"%s\"", name));

	return PG_GETARG_TIMESTAMPTZ(argument);
}

/*
 * Takes over what wf_clock_check() parsed.
 */
void
wf_clock_assign(const char *newval, void *extra)
{
	is_faked = (extra != NULL);
	if (is_faked)
		fake = *(FakeClock *) extra;
}

/*
 * _now() returns timestamptz: wf_now() for statements of SQL.
 */
PG_FUNCTION_INFO_V1(wf_sql_now);

Datum
wf_sql_now(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(wf_now());
}

PG_FUNCTION_INFO_V1(wf_sql_time_after);

/*
 * _time_after(since, duration) returns timestamptz: wf_time_after() for
 * statements of SQL.
 */
Datum
wf_sql_time_after(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(wf_time_after(PG_GETARG_TIMESTAMPTZ(0), PG_GETARG_INTERVAL_P(1)));
}

int
wf_transaction_month(void)
{
	static int64 as_of = 0;		/* months begin with a second */
	static pg_tz *zone = NULL;
	static int	month = 0;
	TimestampTz now = GetCurrentTransactionStartTimestamp();
	struct pg_tm local;
	fsec_t		fraction;
	int			offset;

	if (month != 0 && as_of == now / USECS_PER_SEC && zone == session_timezone)
		return month;
	if (timestamp2tm(now, &offset, &local, &fraction, NULL, NULL) != 0)
		elog(ERROR, "the transaction began out of time");
	as_of = now / USECS_PER_SEC;
	zone = session_timezone;
	month = local.tm_mon;

	return month;
}
