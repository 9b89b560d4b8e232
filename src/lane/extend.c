/*
 * extend.c
 *	  Heartbeats: the end of a lease moves in memory.
 *
 * What is on disk stays as it was claimed: after a crash the lease ends then, at
 * the latest when its job is given to somebody else, and the token is refused.
 *
 * Jobs that were claimed together have one claim.  Of those that go on, some may
 * be extended and others not: these get a claim of their own, which differs from
 * the other by its end.
 */
#include "postgres.h"

#include "lane_internal.h"

/*
 * A claim that is bound to its session is not extended here: to outlive the
 * session it has to be on disk.
 */
static bool
has_lease(const WfSlot *slot, const uint8 *secret, TimestampTz now)
{
	const WfLaneClaim *claim;

	if (slot->state != WF_SLOT_CLAIMED)
		return false;
	claim = wf_claim_at(slot->owner);

	return memcmp(claim->secret, secret, WF_LANE_SECRET) == 0 &&
		claim->lease_until != 0 && claim->lease_until > now;
}

/*
 * A claim like that one, still without jobs; 0 without memory.
 */
static WfClaimNo
copy_claim(WfStore *store, WfClaimNo claim, TimestampTz until)
{
	WfClaimNo	copy = wf_claim_new(store);

	if (copy == 0)
		return 0;
	memcpy(wf_claim_at(copy), wf_claim_at(claim), offsetof(WfLaneClaim, is_listed));
	wf_claim_at(copy)->lease_until = until;
	wf_claim_at(copy)->open = 0;
	if (wf_claim_at(copy)->is_restored)
		pg_atomic_fetch_add_u32(&store->restored, 1);
	if (wf_claim_at(copy)->segment != 0)
		pg_atomic_fetch_add_u64(&store->alive[wf_claim_at(copy)->segment - 1], 1);

	return copy;
}

static bool
is_like(WfClaimNo claim, const uint8 *secret, TimestampTz until)
{
	const WfLaneClaim *entry = claim == 0 ? NULL : wf_claim_at(claim);

	return entry != NULL && entry->open > 0 && entry->lease_until == until &&
		memcmp(entry->secret, secret, WF_LANE_SECRET) == 0;
}

/*
 * Moves the end of a slot's lease; false without memory.  The caller holds the
 * lane's lock.  *like: a claim that such jobs were given before.
 */
static bool
set_end(WfStore *store, WfSlot *slot, TimestampTz until, WfClaimNo *like)
{
	WfLaneClaim *claim = wf_claim_at(slot->owner);

	if (claim->open == 1)
	{
		claim->lease_until = until;
		return true;
	}
	if (!is_like(*like, claim->secret, until))
		*like = copy_claim(store, slot->owner, until);
	if (*like == 0)
		return false;
	wf_claim_at(*like)->open++;
	wf_claim_end(store, slot->owner, 1);
	slot->owner = *like;

	return true;
}

bool
wf_lane_extend(int64 job_id, const char *token, TimestampTz now, TimestampTz until, uint32 *like)
{
	uint8		secret[WF_LANE_SECRET];
	WfSlotNo	slot;
	WfStore    *store;
	bool		is_extended;

	if (!wf_token_read(token, secret, &slot))
		return false;
	store = wf_store_enter();
	if (store == NULL)
		return false;
	slot = wf_slot_of_token(store, slot, job_id, secret);
	if (!wf_slot_lock(slot, job_id))
		return false;
	is_extended = has_lease(wf_slot_at(slot), secret, now);
	if (is_extended && until != 0)
		is_extended = set_end(store, wf_slot_at(slot), until, like);
	LWLockRelease(&wf_lane_at(wf_slot_lane(slot))->lock);
	if (is_extended && until != 0)
		wf_store_lower_lease_end(store, until);

	return is_extended;
}
