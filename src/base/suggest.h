/*
 * suggest.h
 *	  What may have been meant by a word that is not known.
 */
#ifndef WF_BASE_SUGGEST_H
#define WF_BASE_SUGGEST_H

/* 'did you mean "..."?', or NULL when no candidate is near. */
extern char *wf_did_you_mean(const char *word, const char *const *candidates, int n);

#endif							/* WF_BASE_SUGGEST_H */
