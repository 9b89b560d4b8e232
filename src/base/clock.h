/*
 * clock.h
 *	  The time that deadlines are measured against.
 */
#ifndef WF_BASE_CLOCK_H
#define WF_BASE_CLOCK_H

#include "datatype/timestamp.h"
#include "utils/guc.h"

extern TimestampTz wf_now(void);

/*
 * Length of an interval in microseconds; a month counts as 30 days.  One that is
 * too long to reckon with raises 22008, or is said not to fit.
 */
extern int64 wf_interval_us(const Interval *interval);
extern bool wf_interval_fits(const Interval *interval, int64 *us);

extern bool wf_clock_check(char **newval, void **extra, GucSource source);
extern void wf_clock_assign(const char *newval, void *extra);

#endif							/* WF_BASE_CLOCK_H */
