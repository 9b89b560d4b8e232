/*
 * input.c
 *	  Texts of a document that have to be the input of a type.
 *
 * The input functions of the server raise an error; here it becomes a fault
 * of the document.  That is safe without a subtransaction only because the
 * functions used are pure: they hold no lock, no pin and no snapshot.
 */
#include "postgres.h"

#include "base/clock.h"
#include "definition/definition_internal.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

bool
wf_text_is_input(PGFunction input, const char *text, Datum *value, char **problem)
{
	MemoryContext caller = CurrentMemoryContext;
	volatile bool accepted = true;
	Datum		result = (Datum) 0;

	PG_TRY();
	{
		result = DirectFunctionCall3(input, CStringGetDatum(text),
									 ObjectIdGetDatum(InvalidOid),
									 Int32GetDatum(-1));
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		if (problem != NULL)
			*problem = error->message;
		accepted = false;
	}
	PG_END_TRY();

	if (accepted && value != NULL)
		*value = result;

	return accepted;
}

bool
wf_interval_from_text(const char *text, int64 *microseconds)
{
	Datum		value;

	return wf_text_is_input(interval_in, text, &value, NULL) &&
		wf_interval_fits(DatumGetIntervalP(value), microseconds);
}
