/*
 * mask.h
 *	  The spellings of a secret that an answer may have.
 */
#ifndef WF_EFFECT_MASK_H
#define WF_EFFECT_MASK_H

#include "nodes/pg_list.h"

/* What is shorter is masked nowhere: it would be found everywhere. */
#define WF_SHORTEST_MASKED 6

/* Adds a secret and its spellings to what is masked (a List of char *). */
extern List *wf_mask_add(List *masked, const char *secret);

#endif							/* WF_EFFECT_MASK_H */
