/*
 * pattern.c
 *	  Regular expressions of ECMA-262, run by the server's engine.
 *
 * JSON Schema borrows its patterns from JavaScript; rewrite.c makes one of the
 * server's "advanced" ones of them.  They are run in the collation "C", so that
 * a verdict does not depend on the database.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "regex/regex.h"
#include "schema/schema_internal.h"
#include "utils/builtins.h"

/*
 * Returns the pattern for wf_pattern_matches(); NULL, and why, when it cannot be
 * had.
 */
text *
wf_pattern_compile(const char *pattern, char **problem)
{
	char	   *rewritten = wf_pattern_rewrite(pattern, problem);
	int			length = strlen(rewritten);
	pg_wchar   *wide;
	regex_t		compiled;
	int			result;

	if (*problem != NULL)
		return NULL;
	wide = palloc(sizeof(pg_wchar) * (length + 1));
	result = pg_regcomp(&compiled, wide, pg_mb2wchar_with_len(rewritten, wide, length),
						REG_ADVANCED, C_COLLATION_OID);
	if (result != REG_OKAY)
	{
		char		why[100];

		pg_regerror(result, &compiled, why, sizeof(why));
		*problem = psprintf("pattern is not supported: %s", why);
		return NULL;
	}
	pg_regfree(&compiled);

	return cstring_to_text(rewritten);
}

/*
 * Whether a string has a part that matches.  The server keeps the last patterns
 * of a session compiled.
 */
bool
wf_pattern_matches(text *pattern, const char *string, int length)
{
	return RE_compile_and_execute(pattern, unconstify(char *, string), length, REG_ADVANCED,
								  C_COLLATION_OID, 0, NULL);
}
