/*
 * worker.h
 *	  Background workers: what the entry point of the library calls.
 */
#ifndef WF_WORKER_WORKER_H
#define WF_WORKER_WORKER_H

/*
 * Called when the library is loaded.  Preloaded, it registers the launcher and
 * watches for statements that workers would stand in the way of.
 */
extern void wf_worker_init(void);

#endif							/* WF_WORKER_WORKER_H */
