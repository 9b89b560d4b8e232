/*
 * claims.c
 *	  Writing down claims that are in memory only.
 *
 * A claim wakes the maintenance worker unless that will wake early enough; it
 * then sleeps on until the claim is a moment old, and most often there is nothing
 * to write by then.
 */
#include "postgres.h"

#include "base/wake.h"
#include "queue/queue.h"
#include "utils/timestamp.h"
#include "worker/claims.h"
#include "worker/parts.h"
#include "worker/round.h"

#define LATER_US (USECS_PER_SEC / 5)	/* so long they are in memory only */

static TimestampTz claims_due = 0;	/* 0: none */
static TimestampTz written_at = 0;

bool
wf_claims_are_due(void)
{
	return claims_due != 0 && wf_claims_next() <= GetCurrentTimestamp();
}

bool
wf_claims_note(uint32 missed)
{
	bool		is_told = (missed & WF_MISSED_CLAIMS) != 0;

	if (is_told && claims_due == 0)
		claims_due = GetCurrentTimestamp() + LATER_US;

	return is_told || wf_claims_are_due();
}

static void
write_claims(void *argument)
{
	written_at = GetCurrentTimestamp();
	claims_due = wf_queue_write_claims();
}

void
wf_claims_write(void)
{
	WfFault		fault;

	if (wf_part_may_run(WF_PART_CLAIMS))
		(void) wf_part_ended(WF_PART_CLAIMS,
							 wf_round_run("writing claims down", write_claims, NULL, &fault) ? 0 : -1);
}

void
wf_claims_keep_up(void)
{
	if (written_at != 0 && GetCurrentTimestamp() >= written_at + LATER_US)
		wf_claims_write();
}

TimestampTz
wf_claims_next(void)
{
	return claims_due == 0 ? 0 : Max(claims_due, wf_part_again(WF_PART_CLAIMS));
}
