/*
 * token.c
 *	  The tokens of jobs in lanes: the secret of the claim, and where the job is.
 */
#include "postgres.h"

#include "lane_internal.h"
#include "port.h"
#include "port/pg_bitutils.h"

/* Tells the tokens of lanes from those of the table. */
#define TOKEN_PREFIX 'L'
#define TOKEN_SECRET_DIGITS (2 * WF_LANE_SECRET)

#define SECRETS_DRAWN 64

/*
 * Draws the secret of a new claim; false when the operating system has no
 * random numbers.  It is asked for many at once, for that takes as long as for
 * one.
 */
bool
wf_token_draw(uint8 *secret)
{
	static uint8 drawn[SECRETS_DRAWN * WF_LANE_SECRET];
	static int	n_left = 0;

	if (n_left == 0)
	{
		if (!pg_strong_random(drawn, sizeof(drawn)))
			return false;
		n_left = SECRETS_DRAWN;
	}
	memcpy(secret, drawn + --n_left * WF_LANE_SECRET, WF_LANE_SECRET);

	return true;
}

char *
wf_lane_token(const uint8 *secret, WfSlotNo slot)
{
	static const char digits[] = "0123456789abcdef";
	char	   *token = palloc(TOKEN_SECRET_DIGITS + 16);
	char	   *end = token + 1 + TOKEN_SECRET_DIGITS;
	int			bits = 4 * (pg_leftmost_one_pos32(slot | 1) / 4);

	token[0] = TOKEN_PREFIX;
	for (int i = 0; i < WF_LANE_SECRET; i++)
	{
		token[1 + 2 * i] = digits[secret[i] >> 4];
		token[2 + 2 * i] = digits[secret[i] & 15];
	}
	*end++ = '.';
	for (; bits >= 0; bits -= 4)
		*end++ = digits[(slot >> bits) & 15];
	*end = '\0';

	return token;
}

char *
wf_lane_token_claim(const char *token)
{
	return wf_lane_has_token(token) ? pnstrdup(token, 1 + TOKEN_SECRET_DIGITS) : pstrdup(token);
}

bool
wf_lane_has_token(const char *token)
{
	return token[0] == TOKEN_PREFIX;
}

static int
digit_value(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	if (digit >= 'a' && digit <= 'f')
		return digit - 'a' + 10;

	return -1;
}

/*
 * Reads a token; false when it is not one of a lane.
 */
bool
wf_token_read(const char *token, uint8 *secret, WfSlotNo *slot)
{
	char	   *end;

	if (token[0] != TOKEN_PREFIX || strnlen(token, TOKEN_SECRET_DIGITS + 2) < TOKEN_SECRET_DIGITS + 2 ||
		token[1 + TOKEN_SECRET_DIGITS] != '.')
		return false;
	for (int i = 0; i < WF_LANE_SECRET; i++)
	{
		int			high = digit_value(token[1 + 2 * i]);
		int			low = digit_value(token[2 + 2 * i]);

		if (high < 0 || low < 0)
			return false;
		secret[i] = high << 4 | low;
	}
	*slot = strtoul(token + TOKEN_SECRET_DIGITS + 2, &end, 16);

	return *end == '\0' && end != token + TOKEN_SECRET_DIGITS + 2;
}
