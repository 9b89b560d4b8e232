/*
 * schema_internal.h
 *	  What the keywords of JSON Schema share: compiled schemas, and the walk that
 *	  judges an instance by one.
 *
 * A schema is compiled to a node, and each of its keywords to a rule of that
 * node (some keywords share one).  Nodes are found by where they stand in
 * the document, so that references, also circular ones, lead to one node.
 */
#ifndef WF_SCHEMA_INTERNAL_H
#define WF_SCHEMA_INTERNAL_H

#include "lib/stringinfo.h"
#include "schema/schema.h"
#include "utils/hsearch.h"

/* Types of instances, as bits. */
#define WF_JSON_NULL	0x01
#define WF_JSON_BOOLEAN	0x02
#define WF_JSON_OBJECT	0x04
#define WF_JSON_ARRAY	0x08
#define WF_JSON_STRING	0x10
#define WF_JSON_NUMBER	0x20
#define WF_JSON_INTEGER	0x40	/* only as what a schema names */
#define WF_JSON_ANY		0x3f

/* ---------------------------------------------------------------- compiled */

typedef struct WfNode WfNode;
typedef struct WfRule WfRule;
typedef struct WfJudge WfJudge;

/* Where in an instance, from the inside out. */
typedef struct WfPlace
{
	const struct WfPlace *outer;
	const char *key;			/* NULL: an index */
	int			key_length;
	int			index;
} WfPlace;

/* Which members or elements of an instance have been judged by some keyword. */
typedef struct WfSeen
{
	int			count;
	bool	   *marks;
} WfSeen;

typedef struct WfInstance
{
	const JsonbValue *value;
	int			type;			/* one of WF_JSON_... */
	const WfPlace *place;
	WfSeen	   *seen;			/* NULL: nobody asks */
} WfInstance;

/* Returns whether the instance is allowed; reports why not, where that is wanted. */
typedef bool (*WfRuleJudge) (WfJudge *judge, const WfRule *rule, const WfInstance *instance);

struct WfRule
{
	const char *keyword;
	const char *path;			/* of the keyword, a JSON pointer */
	int			types;			/* of the instances that it is about */
	WfRuleJudge judge;
	union
	{
		int64		count;
		int			types_wanted;
		const JsonbValue *value;
		WfNode	   *node;
		void	   *more;
	};
};

struct WfNode
{
	const char *path;
	bool		is_false;		/* allows nothing */
	bool		asks_seen;		/* has unevaluatedProperties or -Items */
	int			n_rules;
	int			max_rules;
	WfRule	   *rules;
	List	   *in_place;		/* of WfNode *, applied to the same instance */
	void	   *members;		/* what properties and its kin share */
	void	   *elements;		/* what items and its kin share */
	int color;					/* of the search for circles */
};

/* A compiled schema; in a memory context of its own. */
typedef struct WfSchema
{
	MemoryContext context;
	Jsonb	   *document;		/* as it was written */
	WfNode	   *root;
	List	   *faults;			/* of WfSchemaError *; then it is unusable */
} WfSchema;

/* ----------------------------------------------------------------- compiling */

typedef enum WfDialect
{
	WF_DRAFT_07,
	WF_DRAFT_2019_09,
	WF_DRAFT_2020_12
} WfDialect;

typedef struct WfCompile
{
	WfSchema   *schema;
	WfDialect	dialect;
	HTAB	   *nodes;			/* by path */
	List	   *resources;		/* what "$id" names */
	List	   *anchors;		/* what "$anchor" names */
	JsonbValue *document;
	StringInfoData path;		/* where it stands in the document */
	const char *keyword;		/* the one that is being looked at */
} WfCompile;

/* How schemas stand in the value of a keyword. */
typedef enum WfSubschemas
{
	WF_NO_SCHEMA,
	WF_ONE_SCHEMA,
	WF_SCHEMA_LIST,
	WF_SCHEMA_MAP
} WfSubschemas;

/*
 * A keyword.  Without compile it is an annotation.  schema is the object that
 * the keyword stands in.
 */
typedef void (*WfKeywordCompile) (WfCompile *compile, WfNode *node, JsonbValue *schema,
								  JsonbValue *value);

typedef struct WfKeyword
{
	const char *name;
	WfSubschemas holds;
	WfKeywordCompile compile;
} WfKeyword;

/* keywords.c */
extern const WfKeyword *wf_keyword_find(const char *name);
extern char *wf_keyword_near(const char *name);

/* compile.c */
extern WfSchema *wf_schema_compile(Jsonb *document);
extern WfNode *wf_compile_node(WfCompile *compile, JsonbValue *schema);
extern WfNode *wf_compile_member(WfCompile *compile, const char *key, JsonbValue *schema);
extern WfNode *wf_compile_element(WfCompile *compile, int index, JsonbValue *schema);
extern WfNode *wf_compile_sibling(WfCompile *compile, const char *key, JsonbValue *schema);
extern WfNode *wf_compile_at(WfCompile *compile, const char *path, JsonbValue *schema);
extern WfRule *wf_compile_rule(WfCompile *compile, WfNode *node, int types, WfRuleJudge judge);
extern void wf_compile_fault(WfCompile *compile, const char *message,...) pg_attribute_printf(2, 3);

/* Walks down in a JSON pointer; leave takes what descend returned. */
extern int	wf_pointer_descend(StringInfo pointer, const char *key, int length);
extern int	wf_pointer_descend_element(StringInfo pointer, int index);
extern void wf_pointer_leave(StringInfo pointer, int mark);

/* reference.c */
extern void wf_references_scan(WfCompile *compile);
extern bool wf_references_are_of_one_resource(const WfCompile *compile);
extern WfNode *wf_reference_node(WfCompile *compile, const char *reference);

/* pattern.c: of ECMA-262, as the server's regex engine understands it. */
extern char *wf_pattern_rewrite(const char *pattern, char **problem);
extern bool wf_add_category(StringInfo out, const char *property, bool is_negated);
extern text *wf_pattern_compile(const char *pattern, char **problem);
extern bool wf_pattern_matches(text *pattern, const char *string, int length);

/* values.c, counts.c, objects.c, arrays.c, logic.c: the compile functions of keywords.c */
#define WF_KEYWORD(name) \
	extern void wf_compile_##name(WfCompile *compile, WfNode *node, JsonbValue *schema, \
								  JsonbValue *value)
WF_KEYWORD(type);
WF_KEYWORD(enum);
WF_KEYWORD(const);
WF_KEYWORD(minimum);
WF_KEYWORD(maximum);
WF_KEYWORD(exclusive_minimum);
WF_KEYWORD(exclusive_maximum);
WF_KEYWORD(multiple_of);
WF_KEYWORD(min_length);
WF_KEYWORD(max_length);
WF_KEYWORD(pattern);
WF_KEYWORD(min_items);
WF_KEYWORD(max_items);
WF_KEYWORD(unique_items);
WF_KEYWORD(prefix_items);
WF_KEYWORD(items);
WF_KEYWORD(additional_items);
WF_KEYWORD(contains);
WF_KEYWORD(min_contains);
WF_KEYWORD(unevaluated_items);
WF_KEYWORD(min_properties);
WF_KEYWORD(max_properties);
WF_KEYWORD(required);
WF_KEYWORD(properties);
WF_KEYWORD(pattern_properties);
WF_KEYWORD(additional_properties);
WF_KEYWORD(property_names);
WF_KEYWORD(dependent_required);
WF_KEYWORD(dependent_schemas);
WF_KEYWORD(dependencies);
WF_KEYWORD(unevaluated_properties);
WF_KEYWORD(all_of);
WF_KEYWORD(any_of);
WF_KEYWORD(one_of);
WF_KEYWORD(not);
WF_KEYWORD(if);
WF_KEYWORD(then);
WF_KEYWORD(ref);
WF_KEYWORD(dynamic_ref);
WF_KEYWORD(defs);
WF_KEYWORD(dialect);
WF_KEYWORD(text);

extern bool wf_compile_is_count(const JsonbValue *value, int64 *count);

/* ------------------------------------------------------------------- judging */

struct WfJudge
{
	bool		wants_errors;	/* else the first one decides */
	List	   *errors;			/* of WfSchemaError * */
	int64		steps;
};

/* judge.c */
extern int	wf_json_type(const JsonbValue *value);
extern bool wf_judge_node(WfJudge *judge, const WfNode *node, const WfInstance *instance);
extern bool wf_judge_inner(WfJudge *judge, const WfNode *node, const JsonbValue *value,
						   const WfPlace *place);
extern bool wf_judge_refuse(WfJudge *judge, const WfRule *rule, const WfInstance *instance,
							const char *message,...) pg_attribute_printf(4, 5);
extern void wf_seen_init(WfSeen *seen, const WfInstance *instance);
extern void wf_seen_add(WfSeen *seen, const WfSeen *more);

/* walk.c: the members of an object, or the elements of an array, in order. */
typedef struct WfWalk
{
	JsonbIterator *iterator;
	bool		is_object;
	JsonbValue	key;			/* of an object */
	JsonbValue	value;
	WfPlace		place;
	int			index;			/* also of a member */
} WfWalk;

extern void wf_walk_begin(WfWalk *walk, const WfInstance *instance);
extern bool wf_walk_next(WfWalk *walk);

/* cache.c: faultless, or an error */
extern const WfSchema *wf_schema_cached(Jsonb *document);

/* value.c */
extern bool wf_json_equals(const JsonbValue *left, const JsonbValue *right);
extern int	wf_json_compare(const JsonbValue *left, const JsonbValue *right);
extern bool wf_json_is_integer(const JsonbValue *number);
extern char *wf_json_text(const JsonbValue *value);

#endif							/* WF_SCHEMA_INTERNAL_H */
