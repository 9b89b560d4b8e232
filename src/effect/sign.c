/*
 * sign.c
 *	  Signing what is sent, as Standard Webhooks says.
 *
 * The id is made of the effect's identity and is the same for every attempt,
 * so that the receiver can tell a repetition; the time is the attempt's.
 * While a secret is changed there are several, and a signature by each: the
 * receiver accepts any one that it knows.
 */
#include "postgres.h"

#include <time.h>

#include "commands/defrem.h"
#include "common/base64.h"
#include "common/hmac.h"
#include "common/sha2.h"
#include "effect/ledger.h"
#include "effect/mock.h"

#define STANDARD_PREFIX "whsec_"

/* In the order in which their signatures are sent. */
static const char *const signing_options[] = {"signing_secret", "signing_secret_previous"};

/*
 * The bytes of a secret: what "whsec_" is followed by is base64 in Standard
 * Webhooks, and nothing special elsewhere.  Returns NULL when it is not.
 */
static uint8 *
secret_bytes(const char *secret, bool is_standard, int *length)
{
	uint8	   *bytes;
	int			size;

	*length = strlen(secret);
	if (!is_standard || strncmp(secret, STANDARD_PREFIX, strlen(STANDARD_PREFIX)) != 0)
		return (uint8 *) pstrdup(secret);
	secret += strlen(STANDARD_PREFIX);
	size = pg_b64_dec_len(strlen(secret));
	bytes = palloc(size + 1);
	*length = pg_b64_decode(secret, strlen(secret), (void *) bytes, size);

	return *length > 0 ? bytes : NULL;
}

/*
 * Computes HMAC-SHA256 over head and body.  Returns false when the secret
 * cannot be used: "whsec_" is not followed by base64.
 */
bool
wf_hmac(const char *secret, bool is_standard, const WfSigned *message, uint8 *signature)
{
	int			length;
	uint8	   *key = secret_bytes(secret, is_standard, &length);
	pg_hmac_ctx *context;

	if (key == NULL)
		return false;
	context = pg_hmac_create(PG_SHA256);
	if (context == NULL ||
		pg_hmac_init(context, key, length) < 0 ||
		pg_hmac_update(context, (const uint8 *) message->head, strlen(message->head)) < 0 ||
		pg_hmac_update(context, (const uint8 *) message->body, message->body_length) < 0 ||
		pg_hmac_final(context, signature, WF_SIGNATURE_LENGTH) < 0)
		elog(ERROR, "could not compute a signature");
	pg_hmac_free(context);
	explicit_bzero(key, length);

	return true;
}

/*
 * Why wf_hmac() refused a secret, or there was none in the file.
 */
char *
wf_unusable_secret(const char *name)
{
	return psprintf("secret \"%s\" cannot be used: it is blank, or its \"%s\" is not followed by base64",
					name, STANDARD_PREFIX);
}

static bool
add_signature(StringInfo signatures, const char *secret, const WfSigned *message)
{
	uint8		signature[WF_SIGNATURE_LENGTH];

	if (!wf_hmac(secret, true, message, signature))
		return false;
	appendStringInfo(signatures, "%sv1,%s", signatures->len == 0 ? "" : " ",
					 wf_base64(signature, sizeof(signature)));

	return true;
}

/*
 * Adds a signature by each line of a secret.  Returns false, with *problem,
 * when there is none to add.
 */
static bool
add_signatures(const WfWire *wire, StringInfo signatures, const char *name,
			   const WfSigned *message, char **problem)
{
	char	   *secret = wf_wire_secret(wire, name, problem);
	size_t		length;
	List	   *lines;
	bool		is_usable;
	ListCell   *cell;

	if (secret == NULL)
		return false;
	length = strlen(secret);
	lines = wf_secret_lines(secret);
	is_usable = lines != NIL;
	foreach(cell, lines)
		is_usable = is_usable && add_signature(signatures, lfirst(cell), message);
	explicit_bzero(secret, length);
	if (!is_usable)
		*problem = wf_unusable_secret(name);

	return is_usable;
}

static const char *
secret_name(List *mapping, const char *option_name)
{
	ListCell   *cell;

	foreach(cell, mapping)
	{
		DefElem    *option = lfirst(cell);

		if (strcmp(option->defname, option_name) == 0)
			return defGetString(option);
	}

	return NULL;
}

/*
 * Adds the headers of Standard Webhooks, if the user mapping names a secret
 * to sign with.  Returns false, with *problem, when one cannot be used.
 */
bool
wf_sign_wire(WfWire *wire, const WfEffect *effect, List *mapping, char **problem)
{
	char	   *identity = psprintf("%d:%s", effect->endpoint_id, effect->key);
	char	   *id = psprintf("msg_%.32s", wf_digest_hex(identity, strlen(identity)));
	char	   *timestamp = psprintf("%lld", (long long) time(NULL));
	WfSigned	message;
	StringInfoData signatures;

	message.head = psprintf("%s.%s.", id, timestamp);
	message.body = wire->body == NULL ? "" : wire->body;
	message.body_length = wire->body_length;
	initStringInfo(&signatures);
	for (int i = 0; i < lengthof(signing_options); i++)
	{
		const char *name = secret_name(mapping, signing_options[i]);

		if (name != NULL && !add_signatures(wire, &signatures, name, &message, problem))
			return false;
	}
	if (signatures.len == 0)
		return true;
	wf_wire_add_header(wire, "webhook-id", id);
	wf_wire_add_header(wire, "webhook-timestamp", timestamp);
	wf_wire_add_header(wire, "webhook-signature", signatures.data);

	return true;
}
