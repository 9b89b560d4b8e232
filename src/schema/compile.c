/*
 * compile.c
 *	  Compiles a schema: each object of keywords to a node, each keyword to a rule.
 *
 * The table of keywords (keywords.c) says what each does.  One that is not in it
 * makes a schema unusable: a verdict that ignored it could be wrong.
 */
#include "postgres.h"

#include "base/format.h"
#include "base/jsonb.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "schema/schema_internal.h"
#include "utils/memutils.h"

/* ------------------------------------------------------------------ pointers */

/*
 * Appends a reference token to a JSON pointer ("~" and "/" are escaped).
 */
int
wf_pointer_descend(StringInfo pointer, const char *key, int length)
{
	int			mark = pointer->len;

	appendStringInfoChar(pointer, '/');
	for (int i = 0; i < length; i++)
	{
		if (key[i] == '~')
			appendStringInfoString(pointer, "~0");
		else if (key[i] == '/')
			appendStringInfoString(pointer, "~1");
		else
			appendStringInfoChar(pointer, key[i]);
	}

	return mark;
}

int
wf_pointer_descend_element(StringInfo pointer, int index)
{
	int			mark = pointer->len;

	appendStringInfo(pointer, "/%d", index);

	return mark;
}

void
wf_pointer_leave(StringInfo pointer, int mark)
{
	pointer->len = mark;
	pointer->data[mark] = '\0';
}

/* -------------------------------------------------------------------- faults */

static void
add_fault(WfCompile *compile, const char *path, const char *keyword, char *message)
{
	WfSchemaError *fault = palloc(sizeof(WfSchemaError));

	fault->path = "";
	fault->schema_path = pstrdup(path);
	fault->keyword = keyword;
	fault->message = message;
	compile->schema->faults = lappend(compile->schema->faults, fault);
}

/*
 * Tells what is wrong with the schema, where the compilation stands.
 */
void
wf_compile_fault(WfCompile *compile, const char *message,...)
{
	va_list		args;

	va_start(args, message);
	add_fault(compile, compile->path.data, compile->keyword, wf_format_va(message, args));
	va_end(args);
}

/* --------------------------------------------------------------------- nodes */

typedef struct NodeEntry
{
	uint64		hash;			/* of its path */
	WfNode	   *node;
} NodeEntry;

/*
 * Returns the node of the present path, which may have to be filled.
 */
static WfNode *
find_node(WfCompile *compile, bool *is_filled)
{
	uint64		hash = hash_bytes_extended((unsigned char *) compile->path.data,
										   compile->path.len, 0);
	NodeEntry  *entry = hash_search(compile->nodes, &hash, HASH_ENTER, is_filled);

	if (*is_filled && strcmp(entry->node->path, compile->path.data) != 0)
		elog(ERROR, "two paths of a schema have the same hash");
	if (!*is_filled)
	{
		entry->node = palloc0(sizeof(WfNode));
		entry->node->path = pstrdup(compile->path.data);
	}

	return entry->node;
}

/*
 * Adds a rule for the present keyword; the pointer is good until the next one.
 */
WfRule *
wf_compile_rule(WfCompile *compile, WfNode *node, int types, WfRuleJudge judge)
{
	WfRule	   *rule;

	if (node->n_rules == node->max_rules)
	{
		node->max_rules = Max(4, 2 * node->max_rules);
		node->rules = node->rules == NULL ? palloc(sizeof(WfRule) * node->max_rules) :
			repalloc(node->rules, sizeof(WfRule) * node->max_rules);
	}
	rule = &node->rules[node->n_rules++];
	*rule = (WfRule)
	{
		.keyword = compile->keyword,.path = pstrdup(compile->path.data),
			.types = types,.judge = judge
	};

	return rule;
}

static void
compile_keyword(WfCompile *compile, WfNode *node, JsonbValue *schema, WfMember *member)
{
	const WfKeyword *keyword = wf_keyword_find(member->key);
	int			mark = wf_pointer_descend(&compile->path, member->key, strlen(member->key));
	const char *outer = compile->keyword;

	compile->keyword = keyword == NULL ? member->key : keyword->name;
	if (keyword == NULL)
	{
		char	   *near = wf_keyword_near(member->key);

		wf_compile_fault(compile, "keyword \"%s\" is not supported%s%s", member->key,
						 near == NULL ? "" : "; ", near == NULL ? "" : near);
	}
	else if (keyword->compile != NULL)
		keyword->compile(compile, node, schema, &member->value);
	compile->keyword = outer;
	wf_pointer_leave(&compile->path, mark);
}

/*
 * What is unevaluated is known when all else has been judged.
 */
static bool
is_last(const char *key)
{
	return strncmp(key, "unevaluated", strlen("unevaluated")) == 0;
}

static void
compile_keywords(WfCompile *compile, WfNode *node, JsonbValue *schema)
{
	int			count;
	WfMember   *members = wf_jsonb_members(schema, &count);
	bool		has_only_ref = compile->dialect == WF_DRAFT_07 &&
	wf_jsonb_value_get(schema, "$ref") != NULL;

	for (int pass = 0; pass < 2; pass++)
		for (int i = 0; i < count; i++)
		{
			if (is_last(members[i].key) != (pass == 1))
				continue;
			if (has_only_ref && strcmp(members[i].key, "$ref") != 0)
				continue;		/* what draft-07 says of its siblings */
			compile_keyword(compile, node, schema, &members[i]);
		}
}

/*
 * Compiles the schema at the present path, unless that was done before.
 */
WfNode *
wf_compile_node(WfCompile *compile, JsonbValue *schema)
{
	bool		is_filled;
	WfNode	   *node = find_node(compile, &is_filled);

	check_stack_depth();
	if (is_filled)
		return node;
	if (schema->type == jbvBool)
		node->is_false = !schema->val.boolean;
	else if (wf_jsonb_value_is_object(schema))
		compile_keywords(compile, node, schema);
	else
		wf_compile_fault(compile, "a schema has to be an object, true or false");

	return node;
}

WfNode *
wf_compile_member(WfCompile *compile, const char *key, JsonbValue *schema)
{
	int			mark = wf_pointer_descend(&compile->path, key, strlen(key));
	WfNode	   *node = wf_compile_node(compile, schema);

	wf_pointer_leave(&compile->path, mark);

	return node;
}

WfNode *
wf_compile_element(WfCompile *compile, int index, JsonbValue *schema)
{
	int			mark = wf_pointer_descend_element(&compile->path, index);
	WfNode	   *node = wf_compile_node(compile, schema);

	wf_pointer_leave(&compile->path, mark);

	return node;
}

/*
 * Compiles a schema that stands elsewhere in the document.
 */
WfNode *
wf_compile_at(WfCompile *compile, const char *path, JsonbValue *schema)
{
	StringInfoData here = compile->path;
	WfNode	   *node;

	initStringInfo(&compile->path);
	appendStringInfoString(&compile->path, path);
	node = wf_compile_node(compile, schema);
	compile->path = here;

	return node;
}

/*
 * Compiles the schema of another keyword of the same object.
 */
WfNode *
wf_compile_sibling(WfCompile *compile, const char *key, JsonbValue *schema)
{
	const char *path = compile->path.data;
	int			length = strrchr(path, '/') - path;

	return wf_compile_at(compile, psprintf("%.*s/%s", length, path, key), schema);
}

/* ------------------------------------------------------------------- circles */

enum
{
	UNSEEN, BEING_LOOKED_AT, FINE
};

/*
 * A schema that applies itself to the same value again would never end.
 */
static bool
is_in_circle(WfNode *node)
{
	ListCell   *cell;

	check_stack_depth();
	if (node->color !=UNSEEN)
		return node->color == BEING_LOOKED_AT;
	node->color = BEING_LOOKED_AT;
	foreach(cell, node->in_place)
		if (is_in_circle(lfirst(cell)))
		return true;
	node->color = FINE;

	return false;
}

static void
refuse_circles(WfCompile *compile)
{
	WfNode	   *found = is_in_circle(compile->schema->root) ? compile->schema->root : NULL;
	HASH_SEQ_STATUS status;
	NodeEntry  *entry;

	hash_seq_init(&status, compile->nodes);
	while ((entry = hash_seq_search(&status)) != NULL)
		if (found == NULL && is_in_circle(entry->node))
			found = entry->node;
	if (found != NULL)
		add_fault(compile, found->path, "$ref",
				  "the schema applies itself to the same value, without end");
}

/* ----------------------------------------------------------------- documents */

static const struct
{
	const char *uri;
	WfDialect	dialect;
}			dialects[] =

{
	{"https://json-schema.org/draft/2020-12/schema", WF_DRAFT_2020_12},
	{"https://json-schema.org/draft/2019-09/schema", WF_DRAFT_2019_09},
	{"http://json-schema.org/draft-07/schema", WF_DRAFT_07},
	{"https://json-schema.org/draft-07/schema", WF_DRAFT_07},
};

static bool
find_dialect(const JsonbValue *uri, WfDialect *dialect)
{
	int			length = uri->type == jbvString ? uri->val.string.len : 0;

	if (length > 0 && uri->val.string.val[length - 1] == '#')
		length--;
	for (int i = 0; i < lengthof(dialects) && length > 0; i++)
	{
		*dialect = dialects[i].dialect;
		if (length == strlen(dialects[i].uri) &&
			memcmp(uri->val.string.val, dialects[i].uri, length) == 0)
			return true;
	}

	return false;
}

/*
 * Another dialect may give the same keywords another meaning.
 */
void
wf_compile_dialect(WfCompile *compile, WfNode *node, JsonbValue *schema, JsonbValue *value)
{
	WfDialect	dialect;

	if (!find_dialect(value, &dialect))
		wf_compile_fault(compile, "%s is not a dialect that is supported", wf_json_text(value));
	else if (dialect != compile->dialect)
		wf_compile_fault(compile, "%s is another dialect than that of the whole schema",
						 wf_json_text(value));
}

static void
begin(WfCompile *compile, Jsonb *document)
{
	HASHCTL		control = {
		.keysize = sizeof(uint64),.entrysize = sizeof(NodeEntry),.hcxt = CurrentMemoryContext
	};
	JsonbValue *uri;

	memset(compile, 0, sizeof(WfCompile));
	compile->schema = palloc0(sizeof(WfSchema));
	compile->schema->context = CurrentMemoryContext;
	compile->schema->document = document;
	compile->nodes = hash_create("nodes of a JSON Schema", 64, &control,
								 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	compile->document = wf_jsonb_root(document);
	compile->keyword = "schema";
	compile->dialect = WF_DRAFT_2020_12;
	initStringInfo(&compile->path);
	uri = wf_jsonb_value_get(compile->document, "$schema");
	if (uri != NULL)
		find_dialect(uri, &compile->dialect);
}

/*
 * Compiles a schema in a memory context of its own, below the present one.
 */
WfSchema *
wf_schema_compile(Jsonb *document)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_workflow schema",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext outer = MemoryContextSwitchTo(context);
	WfCompile	compile;

	document = (Jsonb *) memcpy(palloc(VARSIZE(document)), document, VARSIZE(document));
	begin(&compile, document);
	wf_references_scan(&compile);
	compile.schema->root = wf_compile_node(&compile, compile.document);
	refuse_circles(&compile);
	hash_destroy(compile.nodes);
	MemoryContextSwitchTo(outer);

	return compile.schema;
}
