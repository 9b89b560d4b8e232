/*
 * commit.h
 *	  What the commit of the present transaction must do.
 */
#ifndef WF_BASE_COMMIT_H
#define WF_BASE_COMMIT_H

extern void wf_require_flushed_commit(void);

#endif							/* WF_BASE_COMMIT_H */
