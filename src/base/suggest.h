/*
 * suggest.h
 *	  What may have been meant by a word that is not known.
 */
#ifndef WF_BASE_SUGGEST_H
#define WF_BASE_SUGGEST_H

/* 'did you mean "..."?', or NULL when no candidate is near. */
extern char *wf_did_you_mean(const char *word, const char *const *candidates, int n);

/*
 * For the beginning of a HINT: 'Did you mean "..."? ', or an empty text, of the
 * stored things of a kind (workflow._names_of).  Needs SPI.
 */
extern char *wf_nearest_stored(const char *kind, const char *word);

#endif							/* WF_BASE_SUGGEST_H */
