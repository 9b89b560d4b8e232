/*
 * foreign_key.c
 *	  Foreign keys of others from and to workflow.item.
 *
 * Most refer to an item by its id, which no move changes: then the server does
 * not even queue their triggers.  One of a column that a move changes has to be
 * heard.
 */
#include "postgres.h"

#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "item/item_internal.h"
#include "utils/rel.h"

static bool
is_concerned(Trigger *trigger, Relation table, TupleTableSlot *old, TupleTableSlot *new)
{
	switch (RI_FKey_trigger_type(trigger->tgfoid))
	{
		case RI_TRIGGER_PK:
			return RI_FKey_pk_upd_check_required(trigger, table, old, new);
		case RI_TRIGGER_FK:
			return RI_FKey_fk_upd_check_required(trigger, table, old, new);
		default:
			return true;		/* of a constraint of another kind */
	}
}

/*
 * Whether a constraint of the table has to be looked at when a row of it becomes
 * another one.
 */
bool
wf_item_concerns_constraints(Relation table, TupleTableSlot *old, TupleTableSlot *new)
{
	const TriggerDesc *triggers = table->trigdesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (trigger->tgisinternal && TRIGGER_FOR_UPDATE(trigger->tgtype) &&
			is_concerned(trigger, table, old, new))
			return true;
	}

	return false;
}
