/*
 * share.h
 *	  Sharing the background workers of the server among databases.
 *
 * The launcher alone decides who gives a process up, and who gets the next one.
 */
#ifndef WF_WORKER_SHARE_H
#define WF_WORKER_SHARE_H

#include "base/compat.h"
#include "worker/registry.h"

/*
 * A maintenance worker's side.  It says until when it sleeps (DT_NOEND: until
 * woken), and that it has woken; that it lacks a process for an sql or http
 * worker, or no longer; and asks whether it is to rest, and whether it is its turn
 * to take a process.
 */
extern void wf_share_idle(TimestampTz due);
extern void wf_share_busy(void);
extern void wf_share_lack(bool lacks);
extern bool wf_share_is_asked_to_rest(void);
extern bool wf_share_may_take(Oid database);
pg_noreturn extern void wf_share_rest(TimestampTz due);

/* The launcher's side. */
extern bool wf_share_ask_to_rest(Oid database);
extern void wf_share_give_turn(bool is_scarce, Oid database);
extern bool wf_share_one_is_ending(void);
extern Oid	wf_share_first_lack(const WfWorkerSlot *slots, int n);
extern Oid	wf_share_giver(const WfWorkerSlot *slots, int n, Oid taker, TimestampTz *at);

/*
 * Who lacks a process says so; a sql or http worker that has nothing to do, or has
 * had its turn, may then give its own up.
 */
extern void wf_registry_want_process(void);
extern bool wf_registry_may_yield(void);
extern bool wf_share_had_its_turn(void);

#endif							/* WF_WORKER_SHARE_H */
