/*
 * enforced_columns.c
 *	  The columns of a user's table that hold the state and the key of a row.
 *
 * No function of a user's is called for reading them: a type may have casts
 * that somebody has written.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "item/enforced.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

/* Longer ones do not fit into the index of the log. */
#define KEY_MOST_BYTES 1000

static AttrNumber
require_column(Relation relation, const char *name)
{
	AttrNumber	number = get_attnum(RelationGetRelid(relation), name);
	Form_pg_attribute column;

	if (number <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("table \"%s\" has no column \"%s\"", RelationGetRelationName(relation), name),
				 errdetail("The column must be one of its own, and no system column."),
				 errhint("\\d %s shows its columns.", RelationGetRelationName(relation))));
	column = TupleDescAttr(RelationGetDescr(relation), number - 1);
	if (column->attgenerated != '\0' && column->attgenerated != ATTRIBUTE_GENERATED_STORED)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("column \"%s\" of table \"%s\" is not stored", name,
						RelationGetRelationName(relation)),
				 errdetail("A trigger does not see what is computed when it is read."),
				 errhint("Make it GENERATED ALWAYS AS (...) STORED.")));

	return number;
}

static Oid
type_of(Relation relation, AttrNumber column)
{
	return getBaseType(TupleDescAttr(RelationGetDescr(relation), column - 1)->atttypid);
}

/*
 * Text and what is stored like it; other types of the category have a form of
 * their own.
 */
static WfStateForm
require_form(Relation relation, AttrNumber column)
{
	Oid			type = type_of(relation, column);
	char		category;
	bool		is_preferred;

	if (type_is_enum(type))
		return WF_STATE_ENUM;
	if (type == BPCHAROID)
		return WF_STATE_PADDED;
	if (type == NAMEOID)
		return WF_STATE_NAME;
	get_type_category_preferred(type, &category, &is_preferred);
	if (category != TYPCATEGORY_STRING || get_typlen(type) != -1)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of type %s cannot hold a state",
						NameStr(TupleDescAttr(RelationGetDescr(relation), column - 1)->attname),
						format_type_be(type)),
				 errdetail("A state is a text, a varchar, a char, a citext, a name, an enum, or a domain over one."),
				 errhint("ALTER TABLE ... ALTER COLUMN ... TYPE text USING ...;")));

	return WF_STATE_TEXT;
}

static bool
output_is_immutable(Oid output)
{
	return func_volatile(output) == PROVOLATILE_IMMUTABLE;
}

/*
 * The log knows a row by the text of its key, so that must be the same in
 * every session.
 */
static void
require_key(Relation relation, WfEnforcedColumns *columns)
{
	Oid			type = type_of(relation, columns->key);
	Oid			output;
	bool		is_varlena;

	getTypeOutputInfo(type, &output, &is_varlena);
	if (type == BYTEAOID || type == FLOAT4OID || type == FLOAT8OID ||
		(!output_is_immutable(output) && !type_is_enum(type)))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of type %s cannot be the key",
						NameStr(TupleDescAttr(RelationGetDescr(relation), columns->key - 1)->attname),
						format_type_be(type)),
				 errdetail("The log knows a row by the text of its key, and that of this type depends on settings."),
				 errhint("Name a column of a number, a text or a uuid, or add one: "
						 "ALTER TABLE ... ADD COLUMN row_key text GENERATED ALWAYS AS (...) STORED;")));
	columns->key_is_text = type == TEXTOID || type == VARCHAROID;
	fmgr_info_cxt(output, &columns->key_output, CurrentMemoryContext);
}

/*
 * Looks up both columns and whether they will do; in the caller's memory.
 */
void
wf_enforced_columns(Relation relation, const char *state_column, const char *key_column,
					WfEnforcedColumns *columns)
{
	Form_pg_attribute key;

	columns->state = require_column(relation, state_column);
	columns->key = require_column(relation, key_column);
	if (columns->state == columns->key)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("column \"%s\" cannot be state and key at once", state_column),
				 errdetail("The log knows a row by its key, which stays while the state changes."),
				 errhint("Name the column of the primary key as key_column.")));
	columns->form = require_form(relation, columns->state);
	require_key(relation, columns);
	key = TupleDescAttr(RelationGetDescr(relation), columns->key - 1);
	columns->key_by_value = key->attbyval;
	columns->key_length = key->attlen;
}

static WfStateText
text_of_label(Oid label)
{
	HeapTuple	tuple = SearchSysCache1(ENUMOID, ObjectIdGetDatum(label));
	WfStateText text;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for enum value %u", label);
	text.		text = pstrdup(NameStr(((Form_pg_enum) GETSTRUCT(tuple))->enumlabel));
	text.		length = strlen(text.text);

	ReleaseSysCache(tuple);

	return text;
}

static WfStateText
text_of_varlena(Datum value, bool is_padded)
{
	struct varlena *packed = PG_DETOAST_DATUM_PACKED(value);
	WfStateText text;

	text.		text = VARDATA_ANY(packed);
	text.		length = VARSIZE_ANY_EXHDR(packed);

	while (is_padded && text.length > 0 && text.text[text.length - 1] == ' ')
		text.		length--;

	return text;
}

WfStateText
wf_enforced_state_text(const WfEnforcedColumns *columns, TupleTableSlot *row)
{
	WfStateText text = {NULL, 0};
	bool		is_null;
	Datum		value = slot_getattr(row, columns->state, &is_null);

	if (is_null)
		return text;

	if (columns->form == WF_STATE_ENUM)
		return text_of_label(DatumGetObjectId(value));
	if (columns->form != WF_STATE_NAME)
		return text_of_varlena(value, columns->form == WF_STATE_PADDED);
	text.		text = NameStr(*DatumGetName(value));
	text.		length = strlen(text.text);

	return text;
}

/*
 * The text of a row's key; NULL when it is null.
 */
char *
wf_enforced_key(const WfEnforcedColumns *columns, TupleTableSlot *row)
{
	bool		is_null;
	Datum		value = slot_getattr(row, columns->key, &is_null);
	char	   *key;

	if (is_null)
		return NULL;
	key = columns->key_is_text ? TextDatumGetCString(value) :
		OutputFunctionCall(unconstify(FmgrInfo *, &columns->key_output), value);
	if (strlen(key) > KEY_MOST_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the key of a row is longer than %d bytes", KEY_MOST_BYTES),
				 errdetail("It has %zu bytes; the log of transitions is looked up by it.", strlen(key)),
				 errhint("Enforce the workflow with a shorter column as key_column.")));

	return key;
}

/*
 * Whether an update has left the key as it was.
 */
bool
wf_enforced_same_key(const WfEnforcedColumns *columns, TupleTableSlot *old, TupleTableSlot *new)
{
	bool		old_is_null;
	bool		new_is_null;
	Datum		was = slot_getattr(old, columns->key, &old_is_null);
	Datum		is = slot_getattr(new, columns->key, &new_is_null);

	if (old_is_null || new_is_null)
		return old_is_null && new_is_null;

	return datum_image_eq(was, is, columns->key_by_value, columns->key_length);
}
