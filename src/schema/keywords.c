/*
 * keywords.c
 *	  The keywords of JSON Schema that are known.
 */
#include "postgres.h"

#include "base/jsonb.h"
#include "base/suggest.h"
#include "schema/schema_internal.h"

static const WfKeyword keywords[] = {
	{"type", WF_NO_SCHEMA, wf_compile_type},
	{"enum", WF_NO_SCHEMA, wf_compile_enum},
	{"const", WF_NO_SCHEMA, wf_compile_const},
	{"minimum", WF_NO_SCHEMA, wf_compile_minimum},
	{"maximum", WF_NO_SCHEMA, wf_compile_maximum},
	{"exclusiveMinimum", WF_NO_SCHEMA, wf_compile_exclusive_minimum},
	{"exclusiveMaximum", WF_NO_SCHEMA, wf_compile_exclusive_maximum},
	{"multipleOf", WF_NO_SCHEMA, wf_compile_multiple_of},
	{"minLength", WF_NO_SCHEMA, wf_compile_min_length},
	{"maxLength", WF_NO_SCHEMA, wf_compile_max_length},
	{"pattern", WF_NO_SCHEMA, wf_compile_pattern},
	{"minItems", WF_NO_SCHEMA, wf_compile_min_items},
	{"maxItems", WF_NO_SCHEMA, wf_compile_max_items},
	{"uniqueItems", WF_NO_SCHEMA, wf_compile_unique_items},
	{"prefixItems", WF_SCHEMA_LIST, wf_compile_prefix_items},
	{"items", WF_ONE_SCHEMA, wf_compile_items},
	{"additionalItems", WF_ONE_SCHEMA, wf_compile_additional_items},
	{"contains", WF_ONE_SCHEMA, wf_compile_contains},
	{"minContains", WF_NO_SCHEMA, wf_compile_min_contains},
	{"maxContains", WF_NO_SCHEMA, wf_compile_min_contains},
	{"unevaluatedItems", WF_ONE_SCHEMA, wf_compile_unevaluated_items},
	{"minProperties", WF_NO_SCHEMA, wf_compile_min_properties},
	{"maxProperties", WF_NO_SCHEMA, wf_compile_max_properties},
	{"required", WF_NO_SCHEMA, wf_compile_required},
	{"properties", WF_SCHEMA_MAP, wf_compile_properties},
	{"patternProperties", WF_SCHEMA_MAP, wf_compile_pattern_properties},
	{"additionalProperties", WF_ONE_SCHEMA, wf_compile_additional_properties},
	{"propertyNames", WF_ONE_SCHEMA, wf_compile_property_names},
	{"dependentRequired", WF_NO_SCHEMA, wf_compile_dependent_required},
	{"dependentSchemas", WF_SCHEMA_MAP, wf_compile_dependent_schemas},
	{"dependencies", WF_SCHEMA_MAP, wf_compile_dependencies},
	{"unevaluatedProperties", WF_ONE_SCHEMA, wf_compile_unevaluated_properties},
	{"allOf", WF_SCHEMA_LIST, wf_compile_all_of},
	{"anyOf", WF_SCHEMA_LIST, wf_compile_any_of},
	{"oneOf", WF_SCHEMA_LIST, wf_compile_one_of},
	{"not", WF_ONE_SCHEMA, wf_compile_not},
	{"if", WF_ONE_SCHEMA, wf_compile_if},
	{"then", WF_ONE_SCHEMA, wf_compile_then},
	{"else", WF_ONE_SCHEMA, wf_compile_then},
	{"$ref", WF_NO_SCHEMA, wf_compile_ref},
	{"$dynamicRef", WF_NO_SCHEMA, wf_compile_dynamic_ref},
	{"$defs", WF_SCHEMA_MAP, wf_compile_defs},
	{"definitions", WF_SCHEMA_MAP, wf_compile_defs},
	{"$schema", WF_NO_SCHEMA, wf_compile_dialect},
	{"$id", WF_NO_SCHEMA, wf_compile_text},
	{"$anchor", WF_NO_SCHEMA, wf_compile_text},
	{"$dynamicAnchor", WF_NO_SCHEMA, wf_compile_text},
	{"$comment", WF_NO_SCHEMA, NULL},
	{"title", WF_NO_SCHEMA, NULL},
	{"description", WF_NO_SCHEMA, NULL},
	{"default", WF_NO_SCHEMA, NULL},
	{"examples", WF_NO_SCHEMA, NULL},
	{"format", WF_NO_SCHEMA, NULL},
	{"deprecated", WF_NO_SCHEMA, NULL},
	{"readOnly", WF_NO_SCHEMA, NULL},
	{"writeOnly", WF_NO_SCHEMA, NULL},
	{"contentEncoding", WF_NO_SCHEMA, NULL},
	{"contentMediaType", WF_NO_SCHEMA, NULL},
	{"contentSchema", WF_NO_SCHEMA, NULL},
};

const WfKeyword *
wf_keyword_find(const char *name)
{
	for (int i = 0; i < lengthof(keywords); i++)
		if (strcmp(keywords[i].name, name) == 0)
			return &keywords[i];

	return NULL;
}

/*
 * What may have been meant by a name that is not known; or NULL.
 */
char *
wf_keyword_near(const char *name)
{
	const char *names[lengthof(keywords)];

	for (int i = 0; i < lengthof(keywords); i++)
		names[i] = keywords[i].name;

	return wf_did_you_mean(name, names, lengthof(names));
}

void
wf_compile_text(WfCompile *compile, WfNode *node, JsonbValue *schema, JsonbValue *value)
{
	if (value->type != jbvString)
		wf_compile_fault(compile, "has to be a string");
}
