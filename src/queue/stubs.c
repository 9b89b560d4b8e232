#include "postgres.h"
#include "queue/queue.h"
#define STUB(name) elog(ERROR, #name " is not built yet")
int64 wf_queue_enqueue(const WfNewJob *job) { STUB(wf_queue_enqueue); return 0; }
List *wf_queue_claim_kind(const char *kind, const char *worker, int limit) { STUB(wf_queue_claim_kind); return NIL; }
TimestampTz wf_queue_next_due(const char *kind) { STUB(wf_queue_next_due); return 0; }
WfJob *wf_queue_lock_claimed(int64 job_id, const char *token) { STUB(wf_queue_lock_claimed); return NULL; }
WfJob *wf_queue_lock(int64 job_id) { STUB(wf_queue_lock); return NULL; }
void wf_queue_finish(const WfJob *job, Jsonb *detail) { STUB(wf_queue_finish); }
WfFailure wf_queue_fail(const WfJob *job, Jsonb *policy, const char *error_class, const char *message, int64 retry_after_us, Jsonb *detail) { STUB(wf_queue_fail); return WF_FAILURE_DEAD; }
void wf_queue_park(const WfJob *job, const char *waiting_on, const char *error_class, const char *message) { STUB(wf_queue_park); }
void wf_queue_unpark(int64 job_id, TimestampTz run_at, bool reset_attempts) { STUB(wf_queue_unpark); }
void wf_queue_release(const WfJob *job, TimestampTz run_at) { STUB(wf_queue_release); }
void wf_queue_drop(int64 job_id) { STUB(wf_queue_drop); }
int wf_queue_reclaim_lost(int limit) { STUB(wf_queue_reclaim_lost); return 0; }
TimestampTz wf_queue_next_lease_end(void) { STUB(wf_queue_next_lease_end); return 0; }
void wf_queue_record_attempt(const WfAttempt *attempt) { STUB(wf_queue_record_attempt); }
void wf_queue_init(void) { STUB(wf_queue_init); }
