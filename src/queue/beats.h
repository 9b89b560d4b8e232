/*
 * beats.h
 *	  Heartbeats: ends of leases that are kept in memory.
 *
 * The lease of a claimed job of the table ends when memory says, if it knows of
 * the claim, else when its row does.  Whoever gives a job back locks its row
 * before he asks; whoever extends a lease tells memory before he looks whether
 * the row is locked.
 */
#ifndef WF_QUEUE_BEATS_H
#define WF_QUEUE_BEATS_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

/* False: there is no memory. */
extern bool wf_beats_are_kept(void);

/* When the lease of a claim ends that does so at "stored" by its row. */
extern TimestampTz wf_beats_end(int64 job_id, const char *token, TimestampTz stored);
extern bool wf_beats_has(int64 job_id, const char *token);

/*
 * Sets the end of a lease; *before is what it was in memory, or 0.  False: there
 * is no place.  With until 0 it is forgotten; then its row is to be looked at
 * again.
 */
extern bool wf_beats_set(int64 job_id, const char *token, const char *queue, TimestampTz until,
						 TimestampTz *before);

/* The same where memory knows of the claim. */
extern void wf_beats_move(int64 job_id, const char *token, TimestampTz until);

/* A claim whose lease has ended, in memory. */
typedef struct WfBeat
{
	int64		job_id;
	uint64		token_hash;
} WfBeat;

extern List *wf_beats_ended(const char *queue, TimestampTz now);
extern TimestampTz wf_beats_next_end(const char *queue);
extern TimestampTz wf_beats_next_look(const char *queue, TimestampTz now);
extern bool wf_beat_is_of(const WfBeat *beat, const char *token);
extern void wf_beats_forget(const WfBeat *beat);

/* The claim has ended with the present transaction, once that is committed. */
extern void wf_beats_note_end(int64 job_id, const char *token);

/*
 * Extends a lease without writing, or with until 0 says whether that can be done.
 */
extern bool wf_beats_extend(int64 job_id, const char *token, TimestampTz now, TimestampTz until);

extern void wf_beats_init(void);

#endif							/* WF_QUEUE_BEATS_H */
