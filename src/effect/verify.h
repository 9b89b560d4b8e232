/*
 * verify.h
 *	  Verifying what an endpoint declares.
 */
#ifndef WF_EFFECT_VERIFY_H
#define WF_EFFECT_VERIFY_H

#include "effect/ledger.h"

extern bool wf_effect_is_verification(const WfEffect *effect);
extern bool wf_verification_reads(const WfEffect *effect);
extern char *wf_verification_go_on(const WfEffect *effect, const WfEndpoint *endpoint,
								   const WfNews *news, const char *problem,
								   WfSettlement *settlement);

#endif							/* WF_EFFECT_VERIFY_H */
