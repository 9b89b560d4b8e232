/*
 * clock.h
 *	  The time that deadlines are measured against.
 */
#ifndef WF_BASE_CLOCK_H
#define WF_BASE_CLOCK_H

#include "datatype/timestamp.h"
#include "fmgr.h"
#include "utils/guc.h"

extern TimestampTz wf_now(void);
extern bool wf_clock_is_faked(void);

/*
 * The month of the year, 1 to 12, in which the transaction began, where the
 * session is.
 */
extern int	wf_transaction_month(void);

/*
 * Length of an interval in microseconds; a month counts as 30 days.  One that is
 * too long to reckon with raises 22008, or is said not to fit.
 */
extern int64 wf_interval_us(const Interval *interval);
extern bool wf_interval_fits(const Interval *interval, int64 *us);

/*
 * The time that comes an interval after another, the same for every session.
 */
extern TimestampTz wf_time_after(TimestampTz from, const Interval *interval);

/*
 * The input function of points in time in documents and in the data of items:
 * that of timestamptz, but a time without a zone is in UTC, and words that mean
 * another time tomorrow are refused (22007).
 */
extern Datum wf_time_in(PG_FUNCTION_ARGS);

/*
 * Refuses (22023) infinity and -infinity, which no clock shows.
 */
extern void wf_require_finite(TimestampTz time, const char *what);

/*
 * An argument of that name of a public function; otherwise, where it is null.
 */
extern TimestampTz wf_optional_time(FunctionCallInfo fcinfo, int argument, const char *name,
									TimestampTz otherwise);

extern bool wf_clock_check(char **newval, void **extra, GucSource source);
extern void wf_clock_assign(const char *newval, void *extra);

#endif							/* WF_BASE_CLOCK_H */
