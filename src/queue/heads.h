/*
 * heads.h
 *	  The first job of each group, and those that stand behind it.
 */
#ifndef WF_QUEUE_HEADS_H
#define WF_QUEUE_HEADS_H

extern bool wf_heads_is_behind(const char *queue, const char *group, int64 job_id);
extern void wf_heads_entered(const char *queue, const char *group, int64 job_id);
extern void wf_heads_ended(const char *queue, const char *group, int64 job_id);
extern void wf_heads_mend(const char *queue);

#endif							/* WF_QUEUE_HEADS_H */
