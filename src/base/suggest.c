/*
 * suggest.c
 *	  What may have been meant by a word that is not known.
 */
#include "postgres.h"

#include "base/plan.h"
#include "base/suggest.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
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

char *
wf_nearest_stored(const char *kind, const char *word)
{
	static WfPlan plan = {
		.name = "nearest name",
		.expected = SPI_OK_SELECT,
		.nargs = 2,
		.argtypes = {TEXTOID, TEXTOID},
		.sql = "SELECT workflow._nearest($1, $2)",
	};
	Datum		values[2] = {CStringGetTextDatum(kind), CStringGetTextDatum(word)};

	wf_plan_execute(&plan, values, NULL);

	return wf_result_text(0, 1);
}

PG_FUNCTION_INFO_V1(wf_sql_did_you_mean);

/*
 * _did_you_mean(word, names) returns text: null when no name is near
 */
Datum
wf_sql_did_you_mean(PG_FUNCTION_ARGS)
{
	Datum	   *elements;
	bool	   *nulls;
	int			count;
	const char **names;
	char	   *hint;
	int			n = 0;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), TEXTOID, -1, false, TYPALIGN_INT,
					  &elements, &nulls, &count);
	names = palloc(sizeof(char *) * Max(1, count));
	for (int i = 0; i < count; i++)
		if (!nulls[i])
			names[n++] = TextDatumGetCString(elements[i]);
	hint = wf_did_you_mean(text_to_cstring(PG_GETARG_TEXT_PP(0)), names, n);
	if (hint == NULL)
		PG_RETURN_NULL();

	PG_RETURN_TEXT_P(cstring_to_text(hint));
}
