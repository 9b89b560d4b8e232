/*
 * invoke.h
 *	  Public SQL functions whose inner work is written in SQL or PL/pgSQL.
 *
 * A public function f(args) declared as
 *
 *		LANGUAGE C AS 'MODULE_PATHNAME', 'wf_invoke'
 *
 * runs workflow._f(caller text, args) as the owner of the extension, with the
 * name of the calling role as its first argument; so the inner function knows
 * who called and nobody can pretend to be somebody else.  Declared with
 * 'wf_invoke_by_key', a first argument of type text that names an item
 * ('workflow:key' or an id) is turned into the item's id before.
 *
 * An argument that has no default has to be given: null for one raises 22004
 * before anything is done.  Where null has a meaning and a default cannot say
 * so, because others follow that have none, 'wf_invoke_with_nulls' leaves that
 * to the inner function.
 *
 * The inner function is not granted to anybody.  Its lines are cut from the
 * CONTEXT of an error that it raises.
 */
#ifndef WF_BASE_INVOKE_H
#define WF_BASE_INVOKE_H

#include "fmgr.h"

extern PGDLLEXPORT Datum wf_invoke(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum wf_invoke_by_key(PG_FUNCTION_ARGS);
extern PGDLLEXPORT Datum wf_invoke_with_nulls(PG_FUNCTION_ARGS);

#endif							/* WF_BASE_INVOKE_H */
