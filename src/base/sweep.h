/*
 * sweep.h
 *	  Rows to mend, some at a time, where any of them may refuse.
 */
#ifndef WF_BASE_SWEEP_H
#define WF_BASE_SWEEP_H

#include "datatype/timestamp.h"

/*
 * One transaction of it.  With a limit of one, "at" tells whom to blame when
 * the transaction fails.
 */
typedef struct WfSweep
{
	int			limit;			/* rows to take at most */
	int			n;				/* rows mended */
	int64		at;				/* the row at hand; 0: none was found */
	int64	   *mended;			/* their ids, if wanted: has room for limit */
	bool		put_off;		/* somebody holds one: look again soon */
} WfSweep;

#define WF_ASIDE_SIZE 256

/* How long a row that refuses is left alone. */
#define WF_REFUSED_US (INT64CONST(60) * 1000000)

/*
 * Rows that this process leaves alone for a while, because they refused.  Zeroed
 * at the start.  When there is no room, the one whose time ends first makes it.
 */
typedef struct WfAside
{
	int			n;
	int64		ids[WF_ASIDE_SIZE];
	TimestampTz until[WF_ASIDE_SIZE];
} WfAside;

extern void wf_aside_put(WfAside *aside, int64 id, int64 delay_us);

extern bool wf_aside_is_empty(WfAside *aside);

extern bool wf_aside_has(WfAside *aside, int64 id);

/* An int8[] of those that are still aside, for a statement to leave out. */
extern Datum wf_aside_ids(WfAside *aside);

extern void wf_sweep_mended(WfSweep *sweep, int64 id);

#endif							/* WF_BASE_SWEEP_H */
