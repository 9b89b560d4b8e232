/*
 * wake_internal.h
 *	  The registrations of who waits for what, shared by listen.c and wake.c.
 *
 * The registrations live in a block of shared memory with a slot for each
 * process of the server.  A slot is written by its own process only, under the
 * lock; "missed", "told" and "woken" are written by others with atomics, "until" is
 * read so.
 */
#ifndef WF_BASE_WAKE_INTERNAL_H
#define WF_BASE_WAKE_INTERNAL_H

#include "base/rest.h"
#include "base/wake.h"
#include "port/atomics.h"
#include "storage/lwlock.h"

typedef struct Slot
{
	bool		in_use;
	uint8		topic;			/* WfWakeTopic */
	Oid			database;
	uint32		queue_hash;		/* 0: any queue */
	pg_atomic_uint32 missed;	/* bits of WfWakeTopic nobody listened to */
	pg_atomic_uint64 until;		/* when it wakes by itself */
	pg_atomic_uint64 told;		/* the first end that it was told of since it
								 * looked */
	pg_atomic_uint64 look_at;	/* when it looks for what is late */
	pg_atomic_uint64 news_until;	/* work that is committed before is news */
	pg_atomic_uint32 woken;		/* 1: by one of us, since it slept last */
	pg_atomic_uint32 will_fold; /* 1: it has planned to */
	pg_atomic_uint32 will_heed; /* 1: it reads "told" before it sleeps */
} Slot;

#define QUEUE_COUNTS 256
#ifndef MAX_RESTS				/* a test is built with fewer */
#define MAX_RESTS 256
#endif

typedef struct WakeBlock
{
	LWLock		lock;
	int			tranche;		/* set once */
	int			used_slots;		/* slots beyond were never used */
	pg_atomic_uint32 listeners[WF_WAKE_TOPICS]; /* slots in use, by topic */
	pg_atomic_uint64 all_queues;	/* wakings of every queue at once */
	pg_atomic_uint64 queues[QUEUE_COUNTS];	/* by the hash of the name */
	pg_atomic_uint64 agings[WF_AGINGS]; /* commits with something that ages */
	pg_atomic_uint32 nrests;	/* entries in use */
	pg_atomic_uint32 rests_overflow;	/* some database found no room */
	pg_atomic_uint32 rests_unlisted;	/* and was perhaps woken */
	WfRest		rests[MAX_RESTS];	/* under the lock */
	Slot		slots[FLEXIBLE_ARRAY_MEMBER];
} WakeBlock;

extern WakeBlock *wf_wake_block(void);
extern uint32 wf_wake_hash(const char *queue);
extern void wf_wake_slot(int number);
extern bool wf_wake_sleeps_beyond(Slot *slot, TimestampTz end);
extern int	wf_wake_watcher(void);
extern bool wf_wake_is_folded(void);
extern bool wf_wake_slot_listens(const Slot *slot, WfWakeTopic topic, uint32 queue_hash,
								 Oid database);

extern bool wf_rest_wake(WakeBlock *block, bool *is_news);
extern bool wf_rest_wake_by(WakeBlock *block, TimestampTz due);
extern bool wf_rest_wake_for_news(WakeBlock *block, TimestampTz at);

#endif							/* WF_BASE_WAKE_INTERNAL_H */
