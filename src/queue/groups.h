/*
 * groups.h
 *	  Which groups of jobs may have been left without a head.
 *
 * Of the living jobs of a group all but the first may stand behind (column
 * "behind"): then they are not in the indexes that claims walk.
 *
 *	  The promise: the first living job of a group does not stand behind, or the
 *	  group is to be mended, or who has changed that has yet to end.
 *
 * Whoever stores a job behind another one, and whoever ends one and looks for the
 * next, may not see each other.  Both note their group before they look; as
 * each commits it tells the other and sees whether it was told itself.  Then
 * the group is to be mended: by the next claim, which sees both.
 */
#ifndef WF_QUEUE_GROUPS_H
#define WF_QUEUE_GROUPS_H

#include "marks.h"
#include "nodes/pg_list.h"

/* A longer name is not kept: the whole queue is looked at then. */
#define WF_GROUP_NAME 128

/* What is to be mended in a queue. */
typedef struct WfMend
{
	bool		is_all;			/* whichever groups there are */
	int			n;				/* groups that are named */
	char	  **groups;
	uint64	   *versions;		/* of each */
	uint64		epoch;			/* 0: nothing can be told about all */
} WfMend;

/* groups.c */

/* False: nobody keeps watch, and no job may be put behind another one. */
extern bool wf_groups_are_kept(void);

/* False: nothing is.  To be asked before a snapshot is taken. */
extern bool wf_groups_to_mend(const char *queue, WfMend *mend);
extern bool wf_groups_any_left(const char *queue);

/* For group_notes.c; none of these allocates or raises. */
typedef enum WfGroupCounter
{
	WF_GROUP_BEHIND,			/* jobs that were put behind others */
	WF_GROUP_ENDS,				/* jobs that have ended */
} WfGroupCounter;

extern WfTrackKey wf_groups_key(const char *queue);
extern uint32 wf_groups_bucket(const WfTrackKey *key, const char *group);
extern uint64 wf_groups_count(WfGroupCounter counter, uint32 bucket);
extern void wf_groups_add(WfGroupCounter counter, uint32 bucket);
extern void wf_groups_leave(const WfTrackKey *key, const char *group);
extern void wf_groups_leave_all(void);
extern void wf_groups_mended(const WfTrackKey *key, const char *group, uint64 version);
extern void wf_groups_all_mended(const WfTrackKey *key, uint64 epoch);
extern void wf_groups_hold(TransactionId xid);

/* group_notes.c */

/*
 * The present transaction puts a job behind another one of the group, or ends
 * one.  To be noted before the look, or with what wf_groups_count() was then.
 */
extern void wf_groups_note(WfGroupCounter counter, const char *queue, const char *group,
						   uint64 count);
extern bool wf_groups_is_noted(WfGroupCounter counter, const char *queue, const char *group);

/* Whether the present transaction has mended a group, or with NULL all, before. */
extern bool wf_groups_has_mended(const WfTrackKey *key, const char *group, uint64 number);

/* The group, or with NULL any of the queue, is to be mended after the commit. */
extern void wf_groups_note_left(const char *queue, const char *group);

/*
 * Tells which groups, of those that were to be mended or others, could not be.
 * All others are fine, once the present transaction has committed.
 */
extern void wf_groups_tell(const char *queue, const WfMend *mend, List *left);

extern void wf_groups_init(void);
extern void wf_group_notes_init(void);

#endif							/* WF_QUEUE_GROUPS_H */
