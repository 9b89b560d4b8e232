/*
 * deferred.h
 *	  What the transaction has put off to its commit.
 */
#ifndef WF_BASE_DEFERRED_H
#define WF_BASE_DEFERRED_H

extern bool wf_deferred_is_pending(void);
extern void wf_deferred_fire_all(void);
extern void wf_deferred_set_as_declared(void);

/*
 * At the end of a step of a transaction that has nothing but steps of the
 * engine: fires what others' triggers have put off, so that what they refuse
 * is the end of this step, and not of the transaction at its commit.
 */
extern void wf_deferred_fire_steps(void);

#endif							/* WF_BASE_DEFERRED_H */
