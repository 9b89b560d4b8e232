/*
 * digest.c
 *	  SHA-256 over several parts, and random tokens.
 *
 * Each part is preceded by its length, so that two lists of parts never give
 * the same material.
 */
#include "postgres.h"

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "effect/ledger.h"
#include "lib/stringinfo.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"

/*
 * Adds a part; a NULL one differs from an empty one.
 */
void
wf_digest_add(StringInfo material, const char *data, size_t length)
{
	uint64		prefix = pg_hton64(data == NULL ? PG_UINT64_MAX : (uint64) length);

	appendBinaryStringInfo(material, (const char *) &prefix, sizeof(prefix));
	if (data != NULL && length > 0)
		appendBinaryStringInfo(material, data, length);
}

static void
sha256(const void *data, size_t length, uint8 *digest)
{
	pg_cryptohash_ctx *context = pg_cryptohash_create(PG_SHA256);

	if (context == NULL ||
		pg_cryptohash_init(context) < 0 ||
		pg_cryptohash_update(context, data, length) < 0 ||
		pg_cryptohash_final(context, digest, PG_SHA256_DIGEST_LENGTH) < 0)
		elog(ERROR, "could not compute a SHA-256 digest");
	pg_cryptohash_free(context);
}

/*
 * Returns the digest of the material as bytea.
 */
bytea *
wf_digest(StringInfo material)
{
	bytea	   *digest = palloc(VARHDRSZ + PG_SHA256_DIGEST_LENGTH);

	SET_VARSIZE(digest, VARHDRSZ + PG_SHA256_DIGEST_LENGTH);
	sha256(material->data, material->len, (uint8 *) VARDATA(digest));

	return digest;
}

char *
wf_hex(const void *data, size_t length)
{
	char	   *hex = palloc(length * 2 + 1);

	hex[hex_encode(data, length, hex)] = '\0';

	return hex;
}

char *
wf_digest_hex(const void *data, size_t length)
{
	uint8		digest[PG_SHA256_DIGEST_LENGTH];

	sha256(data, length, digest);

	return wf_hex(digest, sizeof(digest));
}

/*
 * Returns 32 random hex digits; none repeats, not even after a crash.
 */
char *
wf_random_token(void)
{
	uint8		bytes[16];

	if (!pg_strong_random(bytes, sizeof(bytes)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not make a random token"),
				 errdetail("The source of random numbers of the system failed."),
				 errhint("Try again.")));

	return wf_hex(bytes, sizeof(bytes));
}
