/*
 * clocks.h
 *	  Reviews whose clocks go on after a pause.
 */
#ifndef WF_WORKER_CLOCKS_H
#define WF_WORKER_CLOCKS_H

#include "worker/dispatch.h"

extern int	wf_clocks_start(const WfDispatcher *by, bool *put_off);

#endif							/* WF_WORKER_CLOCKS_H */
