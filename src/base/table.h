/*
 * table.h
 *	  The extension's own tables and sequences, by name.
 */
#ifndef WF_BASE_TABLE_H
#define WF_BASE_TABLE_H

/* Static, with a name; the rest is what was last found. */
typedef struct WfTable
{
	const char *name;
	Oid			oid;
	uint64		generation;
} WfTable;

/* Raises when it is missing. */
extern Oid	wf_table_oid(WfTable *table);

/* InvalidOid when it is missing. */
extern Oid	wf_table_oid_if_any(WfTable *table);

#endif							/* WF_BASE_TABLE_H */
