/*
 * clock.c
 *	  The time that deadlines are measured against.
 *
 * Real time, unless pg_workflow.clock holds another one: then every deadline
 * that this session sets or tests goes by that.  Background workers never see
 * the setting, because it belongs to a session.
 */
#include "postgres.h"

#include "base/clock.h"
#include "base/compat.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define DAYS_PER_YEAR_ROUNDED 366

static TimestampTz fake_now = 0;
static bool is_faked = false;

/*
 * Returns the present time of this session's clock.
 */
TimestampTz
wf_now(void)
{
	return is_faked ? fake_now : GetCurrentTimestamp();
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
 * Accepts an empty text or a point in time.  A relative word such as
 * "tomorrow" is resolved once, here.
 */
bool
wf_clock_check(char **newval, void **extra, GucSource source)
{
	MemoryContext caller = CurrentMemoryContext;
	TimestampTz *parsed = NULL;
	volatile bool ok = true;

	if (*newval == NULL || **newval == '\0')
		return true;

	parsed = (TimestampTz *) wf_setting_malloc(sizeof(TimestampTz));
	if (parsed == NULL)
		return false;

	PG_TRY();
	{
		*parsed = DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in,
														  CStringGetDatum(*newval),
														  ObjectIdGetDatum(InvalidOid),
														  Int32GetDatum(-1)));
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
		GUC_check_errdetail("\"%s\" is not a point in time.", *newval);
		return false;
	}
	*extra = parsed;

	return true;
}

/*
 * Takes over what wf_clock_check() parsed.
 */
void
wf_clock_assign(const char *newval, void *extra)
{
	is_faked = (extra != NULL);
	if (is_faked)
		fake_now = *(TimestampTz *) extra;
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
