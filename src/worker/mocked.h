/*
 * mocked.h
 *	  run() in a transaction block: calls that mocks answer.
 */
#ifndef WF_WORKER_MOCKED_H
#define WF_WORKER_MOCKED_H

#include "worker/dispatch.h"

/*
 * Carries out the call of a claimed job, step by step, each by "perform" of the
 * dispatcher.  Raises when no mock answers it.
 */
extern void wf_mocked_call(const WfDispatcher *by, const WfJob *job);

#endif							/* WF_WORKER_MOCKED_H */
