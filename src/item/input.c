/*
 * input.c
 *	  Whether an input is one that items of a version can have.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "base/sqlstate.h"
#include "item/item_internal.h"
#include "lib/stringinfo.h"
#include "schema/schema.h"

static char *
describe_errors(List *errors)
{
	StringInfoData text;
	ListCell   *cell;

	initStringInfo(&text);
	foreach(cell, errors)
	{
		WfSchemaError *error = lfirst(cell);

		appendStringInfo(&text, "%s%s: %s", text.len == 0 ? "" : "\n",
						 *error->path == '\0' ? "(root)" : error->path, error->message);
	}

	return text.data;
}

/*
 * Raises WF011 when items of the version cannot have the input.
 */
void
wf_item_require_input(const WfGraph *graph, Jsonb *input)
{
	List	   *errors;

	if (!wf_jsonb_is_object(input))
		ereport(ERROR,
				(errcode(ERRCODE_WF_SCHEMA_MISMATCH),
				 errmsg("the input of an item must be a JSON object"),
				 errdetail("Results of activities are added to it by name."),
				 errhint("Wrap the value: {\"value\": ...}.")));
	if (graph->input_schema == NULL)
		return;
	errors = wf_schema_errors(graph->input_schema, input);
	if (errors != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_WF_SCHEMA_MISMATCH),
				 errmsg("the input does not match the input schema of workflow \"%s\" version %d",
						graph->workflow, graph->version),
				 errdetail("%s", describe_errors(errors)),
				 errhint("SELECT workflow.document('%s') shows the input_schema, to operators, designers and monitors.",
						 graph->workflow)));
}
