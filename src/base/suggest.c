/*
 * suggest.c
 *	  What may have been meant by a word that is not known.
 */
#include "postgres.h"

#include "base/suggest.h"
#include "utils/builtins.h"
#include "utils/varlena.h"

/* Longest word that the distance is computed for (a limit of the server). */
#define LONGEST_WORD 255

/*
 * Near is: one letter of a short word wrong, else two or a third of them.
 */
char *
wf_did_you_mean(const char *word, const char *const *candidates, int n)
{
	int			length = strlen(word);
	int			best = (length < 4 ? 1 : Max(2, length / 3)) + 1;
	const char *nearest = NULL;

	if (length > LONGEST_WORD)
		return NULL;

	for (int i = 0; i < n; i++)
	{
		int			other = strlen(candidates[i]);
		int			distance;

		if (other > LONGEST_WORD)
			continue;
		distance = varstr_levenshtein_less_equal(word, length, candidates[i], other,
												 1, 1, 1, best, true);
		if (distance < best && distance < Max(length, other))
		{
			best = distance;
			nearest = candidates[i];
		}
	}

	return nearest == NULL ? NULL : psprintf("did you mean \"%s\"?", nearest);
}
