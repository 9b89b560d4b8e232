/*
 * model.h
 *	  What the ledger does about calls of models, and about no other effect; each
 *	  of these does nothing about one of another kind.
 */
#ifndef WF_EFFECT_MODEL_H
#define WF_EFFECT_MODEL_H

#include "effect/ledger.h"

/*
 * Reads and stores a model's answer.  Returns the output; turns the verdict
 * into a failure when there is none that can be used.
 */
extern Jsonb *wf_model_read(const WfEffect *effect, const WfAnswer *answer,
							WfVerdict *verdict, int64 *model_output_id);

/*
 * A request that was refused may be longer than the model's context: then
 * nothing but a shorter one helps.
 */
extern void wf_model_judge_refusal(const WfEffect *effect, const WfExchange *exchange, Jsonb *body,
								   WfVerdict *verdict);

/* The version of the API that its profile is written for, to be sent; or NULL. */
extern const char *wf_model_api_version(const WfEffect *effect);

/* What an endpoint says without being told so, for calls that follow a profile. */
extern void wf_model_heed_profile(const WfEffect *effect, WfEndpoint *endpoint);

/*
 * Whether no call is to begin now: it is answered already, or waits for another
 * one or for the budget.  If it may, it is charged for; until it is taken back,
 * because something else lets it not begin, or settled, because it is over.
 */
extern bool wf_model_stops(const WfEffect *effect, WfEffectOutcome *outcome);
extern void wf_model_take_back(const WfEffect *effect);
extern void wf_model_end(const WfEffect *effect, const WfNews *news);

#endif							/* WF_EFFECT_MODEL_H */
