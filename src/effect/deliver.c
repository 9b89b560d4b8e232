/*
 * deliver.c
 *	  Handing results to the caller's memory.
 *
 * Statements leave the current memory context at that of the SPI connection,
 * which ends with it; a sender needs what it got for longer.  What these
 * functions return lives in the context given, whatever was built where.
 */
#include "postgres.h"

#include "effect/ledger.h"
#include "utils/datum.h"

static char *
copy_text(const char *text)
{
	return text == NULL ? NULL : pstrdup(text);
}

static List *
copy_texts(List *texts)
{
	List	   *copies = NIL;
	ListCell   *cell;

	foreach(cell, texts)
		copies = lappend(copies, copy_text(lfirst(cell)));

	return copies;
}

/*
 * Header values may be secrets: the originals are wiped.
 */
static void
wipe_texts(List *texts)
{
	ListCell   *cell;

	foreach(cell, texts)
		explicit_bzero(lfirst(cell), strlen(lfirst(cell)));
}

/*
 * Returns the wire in that context, and leaves it current.
 */
WfWire *
wf_wire_deliver(const WfWire *wire, MemoryContext context)
{
	WfWire	   *copy;

	MemoryContextSwitchTo(context);
	if (wire == NULL)
		return NULL;
	copy = palloc(sizeof(WfWire));
	*copy = *wire;
	copy->token = copy_text(wire->token);
	copy->cause = copy_text(wire->cause);
	copy->receiver = copy_text(wire->receiver);
	copy->method = copy_text(wire->method);
	copy->url = copy_text(wire->url);
	copy->ca_file = copy_text(wire->ca_file);
	copy->cert_file = copy_text(wire->cert_file);
	copy->key_file = copy_text(wire->key_file);
	copy->client_key = copy_text(wire->client_key);
	copy->pinned_key = copy_text(wire->pinned_key);
	copy->proxy = copy_text(wire->proxy);
	copy->secrets = copy_texts(wire->secrets);
	copy->header_names = copy_texts(wire->header_names);
	copy->header_values = copy_texts(wire->header_values);
	copy->allow_private = copy_texts(wire->allow_private);
	if (wire->body != NULL)
	{
		char	   *body = palloc(wire->body_length + 1);

		memcpy(body, wire->body, wire->body_length);
		body[wire->body_length] = '\0';
		copy->body = body;
	}
	wipe_texts(wire->header_values);
	wipe_texts(wire->secrets);
	if (wire->client_key != NULL)
		explicit_bzero(wire->client_key, strlen(wire->client_key));

	return copy;
}

/*
 * Returns the outcome in that context, and leaves it current.
 */
WfEffectOutcome
wf_outcome_deliver(WfEffectOutcome outcome, MemoryContext context)
{
	MemoryContextSwitchTo(context);
	outcome.error_class = copy_text(outcome.error_class);
	outcome.message = copy_text(outcome.message);
	if (outcome.result != NULL)
		outcome.result = DatumGetJsonbP(datumCopy(JsonbPGetDatum(outcome.result), false, -1));

	return outcome;
}
