/*
 * sql_template.c
 *	  The rules of template.h as inner SQL functions, so that each can be
 *	  tested in a row.
 */
#include "postgres.h"

#include "definition/template.h"
#include "fmgr.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(wf_sql_render);
PG_FUNCTION_INFO_V1(wf_sql_select);
PG_FUNCTION_INFO_V1(wf_sql_render_text);
PG_FUNCTION_INFO_V1(wf_sql_render_path);
PG_FUNCTION_INFO_V1(wf_sql_render_key);
PG_FUNCTION_INFO_V1(wf_sql_render_action_key);
PG_FUNCTION_INFO_V1(wf_sql_template_problem);

Datum
wf_sql_render(PG_FUNCTION_ARGS)
{
	PG_RETURN_JSONB_P(wf_render(PG_GETARG_JSONB_P(0), PG_GETARG_JSONB_P(1)));
}

Datum
wf_sql_select(PG_FUNCTION_ARGS)
{
	Jsonb	   *found = wf_select(text_to_cstring(PG_GETARG_TEXT_PP(0)),
								  PG_GETARG_JSONB_P(1));

	if (found == NULL)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(found);
}

Datum
wf_sql_render_text(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(wf_render_text(text_to_cstring(PG_GETARG_TEXT_PP(0)),
													PG_GETARG_JSONB_P(1))));
}

Datum
wf_sql_render_path(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(wf_render_path(text_to_cstring(PG_GETARG_TEXT_PP(0)),
													PG_GETARG_JSONB_P(1))));
}

Datum
wf_sql_render_key(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(wf_render_key_jsonb(PG_GETARG_JSONB_P(0),
														 PG_GETARG_JSONB_P(1))));
}

Datum
wf_sql_render_action_key(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(wf_render_action_key(PG_GETARG_JSONB_P(0),
														  PG_GETARG_JSONB_P(1))));
}

Datum
wf_sql_template_problem(PG_FUNCTION_ARGS)
{
	char	   *problem = NULL;

	if (wf_template_is_valid(text_to_cstring(PG_GETARG_TEXT_PP(0)), &problem))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(problem));
}
