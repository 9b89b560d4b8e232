/*
 * wake.h
 *	  Waking, at commit, the processes that wait for what was committed.
 */
#ifndef WF_BASE_WAKE_H
#define WF_BASE_WAKE_H

#include "datatype/timestamp.h"

typedef enum WfWakeTopic
{
	WF_WAKE_TASK,				/* claims that wait on a queue */
	WF_WAKE_SQL,				/* sql workers */
	WF_WAKE_HTTP,				/* http workers */
	WF_WAKE_MAINTENANCE,		/* timers, leases; starts missing workers */
	WF_WAKE_LAUNCHER,			/* cluster-wide: databases to look at */
	WF_WAKE_ROOM,				/* who waits for room in a queue */
} WfWakeTopic;
#define WF_WAKE_TOPICS (WF_WAKE_ROOM + 1)

/* What is to be forgotten, or added up, when it is old enough. */
typedef enum WfAging
{
	WF_AGING_EFFECT,
	WF_AGING_WEBHOOK,
	WF_AGING_DEAD_LETTER,
	WF_AGING_GATE,
	WF_AGING_REDRIVE,
} WfAging;
#define WF_AGINGS (WF_AGING_REDRIVE + 1)

/* Beside topics, what the maintenance worker is told that it has missed. */
#define WF_MISSED_CLAIMS	(1U << 29)	/* see wf_wake_for_claims() */
#define WF_MISSED_NEWS		(1U << 30)	/* work, see wf_wake_news_until() */
#define WF_MISSED_TROUBLE	(1U << 31)	/* something has gone wrong, or right
										 * again */

extern void wf_wake_init(void);

/* Makes sure that wf_wake_now() will not raise, for use at a transaction's end. */
extern void wf_wake_prepare(void);

extern void wf_wake_at_commit(WfWakeTopic topic, const char *queue);
extern void wf_wake_waiters_at_commit(const char *queue);
extern void wf_wake_by_at_commit(const char *queue, TimestampTz end);
extern void wf_wake_maintenance_by_at_commit(TimestampTz end);
extern void wf_wake_folder_at_commit(TimestampTz end);
extern void wf_wake_aging_at_commit(WfAging what, TimestampTz end);
extern uint64 wf_wake_aging_count(WfAging what);
extern void wf_wake_watch_at_commit(void);
extern void wf_wake_watch_by_at_commit(TimestampTz time);
extern uint64 wf_wake_count(const char *queue);
extern void wf_wake_now(WfWakeTopic topic, const char *queue);

extern void wf_wake_listen(WfWakeTopic topic, const char *queue);
extern void wf_wake_sleep_until(TimestampTz until);
extern void wf_wake_news_until(TimestampTz until, TimestampTz look_at);
extern void wf_wake_will_fold(bool will);
extern void wf_wake_will_heed(void);
extern void wf_wake_forget_told(void);
extern TimestampTz wf_wake_heed(TimestampTz until);
extern void wf_wake_sleep(TimestampTz until, uint32 wait_event);
extern bool wf_wake_is_watched(void);
extern void wf_wake_for_claims(TimestampTz by);
extern bool wf_wake_take_woken(void);
extern void wf_wake_unlisten(void);

/*
 * For who waits in the middle of something: listens to another topic, and then
 * to what was listened to before.
 */
typedef struct WfWakeSeat
{
	bool		in_use;
	WfWakeTopic topic;
	uint32		queue_hash;
} WfWakeSeat;

extern WfWakeSeat wf_wake_listen_instead(WfWakeTopic topic, const char *queue);
extern void wf_wake_listen_again(WfWakeSeat seat);
extern uint32 wf_wake_take_missed(void);
extern void wf_wake_workers_everywhere(void);
extern void wf_wake_maintenance_of(Oid database);
extern bool wf_wake_anyone_listens(WfWakeTopic topic, Oid database);

#endif							/* WF_BASE_WAKE_H */
