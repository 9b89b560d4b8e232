/*
 * secret.c
 *	  Secrets: files in pg_workflow.secrets_dir, read when something is sent.
 *
 * A secret is known by its name everywhere else.  Its value lives in the
 * memory of the sender for one send and never reaches a table, an error or
 * the log.
 */
#include "postgres.h"

#include <sys/stat.h>

#include "base/config.h"
#include "common/base64.h"
#include "effect/ledger.h"
#include "effect/mock.h"
#include "lib/stringinfo.h"
#include "storage/fd.h"

#define MAX_SECRET_BYTES	(64 * 1024)

static char *
secret_path(const char *name)
{
	if (wf_secrets_dir == NULL || wf_secrets_dir[0] == '\0')
		return NULL;

	return psprintf("%s/%s", wf_secrets_dir, name);
}

static bool
secret_name_is_valid(const char *name)
{
	return *name != '\0' &&
		strspn(name, "abcdefghijklmnopqrstuvwxyz"
			   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == strlen(name);
}

static char *
trim_newline(char *value, size_t length)
{
	if (length > 0 && value[length - 1] == '\n')
		length--;
	if (length > 0 && value[length - 1] == '\r')
		length--;
	value[length] = '\0';

	return value;
}

/*
 * Returns the secret of that name, in the current memory context; or NULL,
 * with *problem telling why, without the value.
 */
char *
wf_secret_read(const char *name, char **problem)
{
	char	   *path = secret_name_is_valid(name) ? secret_path(name) : NULL;
	char	   *value;
	size_t		length;
	FILE	   *file;

	if (path == NULL)
	{
		*problem = psprintf(secret_name_is_valid(name) ?
							"secret \"%s\" cannot be read: pg_workflow.secrets_dir is not set" :
							"secret \"%s\" cannot be read: its name is not of letters, digits, \"-\" and \"_\"",
							name);
		return NULL;
	}
	file = AllocateFile(path, PG_BINARY_R);
	if (file == NULL)
	{
		*problem = psprintf("secret \"%s\" cannot be read from pg_workflow.secrets_dir: %m", name);
		return NULL;
	}
	value = palloc(MAX_SECRET_BYTES + 2);
	length = fread(value, 1, MAX_SECRET_BYTES + 1, file);
	FreeFile(file);

	if (length == 0 || length > MAX_SECRET_BYTES || memchr(value, '\0', length) != NULL)
	{
		explicit_bzero(value, length);
		*problem = psprintf("secret \"%s\" is empty, larger than 64 kB or not text", name);
		return NULL;
	}

	return trim_newline(value, length);
}

/*
 * The secret of that name for a wire.  What a mock answers goes nowhere and is
 * shown to whoever tests: there the name itself stands for the value.
 */
char *
wf_wire_secret(const WfWire *wire, const char *name, char **problem)
{
	return wire->is_mocked ? psprintf("<%s>", name) : wf_secret_read(name, problem);
}

/*
 * Splits a secret into its lines, blank ones left out: while a key is changed,
 * the old and the new one are in the same file.  Changes the secret.
 */
List *
wf_secret_lines(char *secret)
{
	List	   *lines = NIL;
	char	   *rest = secret;
	char	   *line;

	while ((line = strsep(&rest, "\n")) != NULL)
	{
		line = trim_newline(line, strlen(line));
		if (*line != '\0')
			lines = lappend(lines, line);
	}

	return lines;
}

/*
 * Returns a text that changes when the secret's file does.
 */
char *
wf_secret_stamp(const char *name)
{
	char	   *path = secret_name_is_valid(name) ? secret_path(name) : NULL;
	struct stat status;

	if (path == NULL || stat(path, &status) != 0)
		return psprintf("%s:missing", name);

	return psprintf("%s:%lu:%ld:%ld.%09ld", name, (unsigned long) status.st_ino,
					(long) status.st_size, (long) status.st_mtim.tv_sec,
					(long) status.st_mtim.tv_nsec);
}

/*
 * Returns the bytes as base64.
 */
char *
wf_base64(const void *data, int length)
{
	int			size = pg_b64_enc_len(length);
	char	   *encoded = palloc(size + 1);
	int			written = pg_b64_encode(data, length, encoded, size);

	if (written < 0)
		elog(ERROR, "could not encode as base64");
	encoded[written] = '\0';

	return encoded;
}

/*
 * Returns what follows "Basic " for a secret of the form user:password.
 */
char *
wf_basic_credentials(const char *secret)
{
	return wf_base64(secret, strlen(secret));
}
