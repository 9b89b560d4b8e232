/*
 * template.c
 *	  Values of a document that are taken from an item's data.
 */
#include "postgres.h"

#include "definition/template.h"

Jsonb *
wf_render(Jsonb *template, Jsonb *data)
{
	elog(ERROR, "wf_render is not built yet");
}

Jsonb *
wf_select(const char *selector, Jsonb *data)
{
	elog(ERROR, "wf_select is not built yet");
}

char *
wf_render_text(const char *template, Jsonb *data)
{
	elog(ERROR, "wf_render_text is not built yet");
}

char *
wf_render_path(const char *template, Jsonb *data)
{
	elog(ERROR, "wf_render_path is not built yet");
}

char *
wf_render_key(const char *const *parts, int nparts, Jsonb *data)
{
	elog(ERROR, "wf_render_key is not built yet");
}

char *
wf_render_key_jsonb(Jsonb *parts, Jsonb *data)
{
	elog(ERROR, "wf_render_key_jsonb is not built yet");
}

bool
wf_is_selector(const char *string)
{
	elog(ERROR, "wf_is_selector is not built yet");
}

bool
wf_selector_is_valid(const char *selector, char **problem)
{
	elog(ERROR, "wf_selector_is_valid is not built yet");
}
