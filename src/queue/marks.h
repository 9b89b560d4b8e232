/*
 * marks.h
 *	  Low-water marks: where scans of the table of jobs may begin.
 *
 * While somebody holds an old snapshot, nothing that is finished is removed
 * from an index, and a scan for the first of many walks over all of it.  A
 * mark says that no row stands before a position, so that a scan begins there.
 *
 * A track is one range of an index, named by its kind and queue; a shelf is
 * the part of it with one number (a priority), in which rows stand in the order of
 * their positions (times).  A mark is kept for each shelf.  Of a track with too many
 * shelves for that, the least number is kept that has anything.
 *
 *	  The promise: every row that a transaction to come could want stands at
 *	  its mark or behind it, or its writer has yet to end.
 *
 * Whoever wants to raise a mark asks first what it is (wf_marks_ask), takes a
 * snapshot then, and tells what he has found (wf_marks_tell).  Whoever writes a
 * row notes it (wf_marks_note); his commit lowers the mark, after the row is
 * visible.  What was lowered meanwhile bounds what is told.
 */
#ifndef WF_QUEUE_MARKS_H
#define WF_QUEUE_MARKS_H

#include "access/transam.h"
#include "utils/snapshot.h"

/* Most shelves of a track that are told apart. */
#define WF_MARK_SHELVES 64

/* The mark of a shelf on which there is nothing. */
#define WF_MARK_NONE PG_INT64_MAX

/*
 * Tracks of the table of jobs: ready jobs by their kind, with a shelf for each
 * priority; and two more.  No kind of job is named so.
 */
#define WF_TRACK_RUNNING "running"	/* index job_running */
#define WF_RUNNING_LEASE 0		/* lease_until */
#define WF_RUNNING_SESSION 1	/* claimed_at, bound to sessions */
#define WF_RUNNING_ENDS 2		/* lease_until, of those that are not in
								 * memory (beats.h) */
#define WF_TRACK_GROUPED "grouped"	/* index job_grouped: job_id */

/* Names of tracks are only compared by 128 bits of hash. */
typedef struct WfTrackKey
{
	Oid			database;
	Oid			table;			/* of this installation */
	uint64		hash[2];
} WfTrackKey;

extern WfTrackKey wf_track_key(Oid table, const char *kind, const char *queue);
extern bool wf_track_key_is(const WfTrackKey *a, const WfTrackKey *b);

/* A tenant among the ready jobs of one priority (tenant_marks.c). */
typedef struct WfTenantKey
{
	uint64		hash[2];
} WfTenantKey;

extern WfTenantKey wf_tenant_key(const WfTrackKey *track, int32 priority, const char *name,
								 int length);

typedef struct WfShelf
{
	int32		number;
	int64		from;			/* the mark */
	int64		found;			/* the first row, or WF_MARK_NONE; the mark
								 * until it is told */
	bool		is_told;
} WfShelf;

typedef struct WfMarks
{
	WfTrackKey	key;
	bool		is_known;		/* the marks hold, and there is nothing but on
								 * these shelves */
	bool		has_groups;		/* perhaps; with is_known */
	int			n;				/* more than there is room for: too many */
	WfShelf		shelves[WF_MARK_SHELVES];	/* in the order of their numbers */

	/* where there are too many: before which number no shelf has anything */
	bool		is_wide;		/* that is kept */
	int64		least;			/* WF_MARK_NONE: nothing has */
	bool		is_least_told;

	/* for wf_marks_tell() */
	uint64		generation;
	uint32		life;
	uint64		epoch;
	bool		may_tell;
	bool		is_worth_telling;	/* it is time to find out */
} WfMarks;

/* False: there are no marks; scan everything. */
extern bool wf_marks_ask(const WfTrackKey *key, WfMarks *marks);

/*
 * snapshot: one that was taken after wf_marks_ask(), and shows nothing of
 * the present transaction.
 */
extern void wf_marks_tell(WfMarks *marks, Snapshot snapshot);

typedef enum WfNotedTenants
{
	WF_OF_NO_TENANT,
	WF_OF_TENANT,
	WF_OF_ANY_TENANT,			/* of more than are noted one by one */
} WfNotedTenants;

/* Where a row is put. */
typedef struct WfMarkNote
{
	WfTrackKey	key;
	int32		shelf;
	int64		position;
	bool		is_grouped;
	WfNotedTenants tenants;
	WfTenantKey tenant;
} WfMarkNote;

/* notes.c: what the present transaction puts somewhere; the i-th and next of a track. */
extern void wf_marks_note(const WfMarkNote *note);
extern const WfMarkNote *wf_marks_own(const WfTrackKey *key, int *i);
extern int64 wf_marks_own_of_tenant(const WfTrackKey *key, const WfTenantKey *tenant);
extern void wf_notes_init(void);

/*
 * The mark of a tenant: no row of his stands before it.  PG_INT64_MIN where it is
 * not known.
 */
extern int64 wf_tenant_mark(const WfTrackKey *track, const WfTenantKey *tenant);

/*
 * To raise it: ask, take a snapshot, look, tell.  Who asks last is who may tell.
 */
typedef struct WfTenantAsk
{
	WfTrackKey	track;
	WfTenantKey tenant;
	uint64		ask;
	int64		from;			/* the mark: the look begins there */
} WfTenantAsk;

extern bool wf_tenant_ask(WfTenantAsk *ask, const WfTrackKey *track, const WfTenantKey *tenant);
extern void wf_tenant_tell(const WfTenantAsk *ask, Snapshot snapshot, int64 found);

/* For notes.c. */
extern bool wf_marks_attach(void);
extern void wf_marks_forget(Oid table);
extern void wf_marks_lower(const WfMarkNote *note, TransactionId held_by);

/* For tenant_marks.c. */
extern bool wf_marks_may_tell(const WfTrackKey *key);
extern bool wf_marks_are_sound(const WfTrackKey *key, Snapshot snapshot);

/* For marks.c; neither allocates nor raises. */
extern void wf_tenant_lower(const WfMarkNote *note);
extern void wf_tenants_forget(Oid table);
extern void wf_tenants_attach(void);
extern void wf_tenants_init(void);

extern void wf_marks_init(void);

#endif							/* WF_QUEUE_MARKS_H */
