/*
 * secret_sql.c
 *	  Whether a secret can be read, for who asks after the health of the server.
 *	  Its value is told to nobody.
 */
#include "postgres.h"

#include "effect/ledger.h"
#include "fmgr.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(wf_secret_problem);

/*
 * _secret_problem(name) returns text: why it cannot be read; null when it can
 */
Datum
wf_secret_problem(PG_FUNCTION_ARGS)
{
	char	   *problem = NULL;
	char	   *value = wf_secret_read(text_to_cstring(PG_GETARG_TEXT_PP(0)), &problem);

	if (value == NULL)
		PG_RETURN_TEXT_P(cstring_to_text(problem));
	explicit_bzero(value, strlen(value));

	PG_RETURN_NULL();
}
