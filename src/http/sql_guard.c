/*
 * sql_guard.c
 *	  The address guard as an inner SQL function, so that each range can be
 *	  tested in a row.
 */
#include "postgres.h"

#include "fmgr.h"
#include "http/http.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(wf_inner_address_is_allowed);

/*
 * _address_is_allowed(address text, allow_private text) returns boolean
 *
 * allow_private: one range, or empty.
 */
Datum
wf_inner_address_is_allowed(PG_FUNCTION_ARGS)
{
	char	   *address = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *range = text_to_cstring(PG_GETARG_TEXT_PP(1));

	PG_RETURN_BOOL(wf_http_address_is_allowed(address, *range == '\0' ? NIL :
											  list_make1(range)));
}
