/*
 * rest.h
 *	  Databases that have no maintenance worker for now, and when they want one.
 */
#ifndef WF_BASE_REST_H
#define WF_BASE_REST_H

#include "datatype/timestamp.h"

typedef struct WfRest
{
	Oid			database;		/* InvalidOid: the entry is free */
	bool		is_woken;		/* something came that the worker has to see */
	TimestampTz since;			/* when it had one last */
	TimestampTz due;			/* of its next work; DT_NOEND: when woken */
	TimestampTz news_until;		/* work that is committed before is news */
	TimestampTz wanted_at;		/* since when it waits for one; 0: it does not */
} WfRest;

/* The worker's side: who wakes this database's from now on wakes the launcher. */
extern void wf_rest_begin(void);
extern void wf_rest_until(Oid database, TimestampTz due);
extern void wf_rest_news_until(Oid database, TimestampTz until);

/* It has one, or is none of the launcher's. */
extern void wf_rest_end(Oid database);
extern void wf_rest_end_all(void);

/* The launcher's side. */
extern void wf_rest_want(Oid database, TimestampTz since);
extern int	wf_rest_list(WfRest **rests);
extern bool wf_rest_take_unlisted(void);

/* For who looks at one; NULL: only whether it is there. */
extern bool wf_rest_look(Oid database, WfRest *rest);

#endif							/* WF_BASE_REST_H */
