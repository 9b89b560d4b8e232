/*
 * look.h
 *	  Looking for the first row behind a low-water mark.
 */
#ifndef WF_QUEUE_LOOK_H
#define WF_QUEUE_LOOK_H

#include "access/skey.h"
#include "executor/tuptable.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

#define WF_LOOK_KEYS 5

/* An index that is being looked into. */
typedef struct WfLook
{
	Relation	table;
	Relation	index;
	Snapshot	snapshot;		/* shows nothing of the present transaction */
	ScanKeyData keys[WF_LOOK_KEYS];
	bool		(*skips) (TupleTableSlot *slot);	/* rows that do not count,
													 * or NULL */
} WfLook;

/* Of the schema workflow; InvalidOid when there is none. */
extern Oid	wf_look_relation(const char *name);

extern bool wf_look_open(WfLook *look, const char *table, const char *index);
extern void wf_look_close(WfLook *look);
extern Snapshot wf_look_new_snapshot(void);
extern void wf_look_key(WfLook *look, int column, StrategyNumber strategy,
						RegProcedure procedure, Datum value);
extern void wf_look_null_key(WfLook *look, int column);
extern bool wf_look_first(WfLook *look, int n_keys, Snapshot snapshot, int column,
						  int64 *value, int other, int32 *other_value);

extern bool wf_look_any_backward(WfLook *look, int n_keys);

#define WF_WALK_SHELVES 3

/* A track with few shelves, from 0 on. */
typedef struct WfWalk
{
	const char *table;
	const char *index;
	const char *track;
	const char *queue;			/* first column of the index; NULL: it is not */
	int			n_shelves;
	uint32		wanted;			/* as bits; of the others the mark is enough */
	int64		(*find_first) (WfLook *look, int32 shelf, int64 from);	/* or WF_MARK_NONE */
} WfWalk;

/*
 * Sets found to where the first row stands on each shelf, that of this
 * transaction included; false, and to the least, when that is not known.
 */
extern bool wf_look_walk(const WfWalk *walk, int64 *found);

#endif							/* WF_QUEUE_LOOK_H */
