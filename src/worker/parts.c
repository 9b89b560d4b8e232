/*
 * parts.c
 *	  When the parts of a round that have failed are tried again, and who is told.
 *
 * The pauses grow from a second to a minute; so the log has one error a minute of
 * what goes on failing, and health() says which part it is.
 */
#include "postgres.h"

#include "utils/timestamp.h"
#include "worker/parts.h"
#include "worker/registry.h"
#include "worker/round.h"

#define LONGEST_PAUSE_US (60 * USECS_PER_SEC)

typedef struct Part
{
	int			failures;		/* in a row */
	TimestampTz since;
	TimestampTz again_at;
	char		doing[WF_DOING_LENGTH]; /* when it failed last, and how */
	char		failure[WF_FAILURE_LENGTH];
} Part;

static bool has_begun = false;
static Part parts[WF_PARTS];

void
wf_parts_begin(void)
{
	has_begun = true;
}

bool
wf_part_may_run(WfPart part)
{
	return parts[part].failures == 0 || parts[part].again_at <= GetCurrentTimestamp();
}

/*
 * Says which parts fail, and of the one that has for longest how.
 */
static void
publish(void)
{
	const Part *oldest = NULL;
	uint32		failing = 0;

	for (int i = 0; i < WF_PARTS; i++)
	{
		if (parts[i].failures == 0)
			continue;
		failing |= 1U << i;
		if (oldest == NULL || parts[i].since < oldest->since)
			oldest = &parts[i];
	}
	if (oldest == NULL)
		wf_registry_failing(0, 0, "", "");
	else
		wf_registry_failing(failing, oldest->since, oldest->doing, oldest->failure);
}

static void
note_success(WfPart part)
{
	if (parts[part].failures == 0)
		return;
	parts[part].failures = 0;
	publish();
}

static void
note_failure(WfPart part)
{
	Part	   *one = &parts[part];
	TimestampTz now = GetCurrentTimestamp();

	if (one->failures++ == 0)
		one->since = now;
	one->again_at = now + Min(LONGEST_PAUSE_US, USECS_PER_SEC << Min(one->failures - 1, 6));
	strlcpy(one->doing, wf_registry_what_is_done(), WF_DOING_LENGTH);
	strlcpy(one->failure, wf_round_last_fault(), WF_FAILURE_LENGTH);
	publish();
}

int
wf_part_ended(WfPart part, int result)
{
	if (!has_begun)
		return result;
	if (result < 0)
		note_failure(part);
	else
		note_success(part);

	return result;
}

TimestampTz
wf_part_again(WfPart part)
{
	return parts[part].failures == 0 ? 0 : parts[part].again_at;
}

TimestampTz
wf_parts_next(void)
{
	TimestampTz next = 0;

	for (int i = 0; i < WF_PARTS; i++)
		if (parts[i].failures > 0 && (next == 0 || parts[i].again_at < next))
			next = parts[i].again_at;

	return next;
}
