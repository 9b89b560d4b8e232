/*
 * format.c
 *	  Messages that are put together.
 */
#include "postgres.h"

#include "base/format.h"
#include "lib/stringinfo.h"

char *
wf_format_va(const char *format, va_list args_at_start)
{
	StringInfoData text;
	int			needed;

	initStringInfo(&text);
	do
	{
		va_list		args;

		va_copy(args, args_at_start);
		needed = appendStringInfoVA(&text, format, args);
		va_end(args);
		if (needed > 0)
			enlargeStringInfo(&text, needed);
	} while (needed > 0);

	return text.data;
}
