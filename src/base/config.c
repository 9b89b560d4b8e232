/*
 * config.c
 *	  All settings, in one place.
 *
 * Every setting but pg_workflow.clock belongs to the server's configuration
 * and takes effect on reload: none needs a restart.
 */
#include "postgres.h"

#include <limits.h>

#include "base/config.h"
#include "miscadmin.h"
#include "base/clock.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

char	   *wf_secrets_dir = NULL;
int			wf_effects_mode = WF_EFFECTS_ON;
int			wf_after_failover = WF_FAILOVER_QUARANTINE;
static char *clock_setting = NULL;	/* clock.c has what it says */
bool		wf_workers_enabled = true;
int			wf_max_workers = 4;
int			wf_worker_idle_timeout_ms = 60000;
int			wf_max_in_flight = 256;
int			wf_connection_idle_s = 50;
int			wf_connection_lifetime_s = 600;
int			wf_max_response_kb = 1024;
int			wf_max_request_kb = 1024;
int			wf_effect_retention_s = -1;
int			wf_webhook_retention_s = -1;
int			wf_redrive_retention_s = -1;
int			wf_gate_interval_s = 300;
int			wf_minute_history_s = 2 * SECS_PER_DAY;
int			wf_hour_history_s = 60 * SECS_PER_DAY;
int			wf_queue_memory_mb = 32;

static const struct config_enum_entry effects_modes[] = {
	{"on", WF_EFFECTS_ON, false},
	{"dry_run", WF_EFFECTS_DRY_RUN, false},
	{"off", WF_EFFECTS_OFF, false},
	{NULL, 0, false}
};

static const struct config_enum_entry failover_policies[] = {
	{"quarantine", WF_FAILOVER_QUARANTINE, false},
	{"resume", WF_FAILOVER_RESUME, false},
	{NULL, 0, false}
};

static void
define_effect_settings(void)
{
	DefineCustomEnumVariable("pg_workflow.effects",
							 "Whether outside actions are carried out.",
							 "dry_run logs what would be sent; off leaves every effect waiting.",
							 &wf_effects_mode, WF_EFFECTS_ON, effects_modes,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("pg_workflow.after_failover",
							 "What becomes of effects that the former primary may have sent.",
							 "quarantine looks them up or asks a person, where the receiver cannot tell; resume sends them.",
							 &wf_after_failover, WF_FAILOVER_QUARANTINE, failover_policies,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("pg_workflow.secrets_dir",
							   "Directory with one file for each secret that endpoints name.",
							   NULL,
							   &wf_secrets_dir, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_workflow.max_in_flight",
							"Most outside calls that one http worker has under way at once.",
							NULL,
							&wf_max_in_flight, 256, 1, 10000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_workflow.max_request",
							"Largest request body that is sent, unless the endpoint says less.",
							NULL,
							&wf_max_request_kb, 1024, 1, 65536,
							PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_workflow.max_response",
							"Largest response body that is kept, counted after decompression.",
							NULL,
							&wf_max_response_kb, 1024, 1, 65536,
							PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);
}

/*
 * Not for users: tests have no minutes.  An idle connection may be closed by the
 * other side at any moment; one does not live for long, so that a changed
 * certificate or address takes effect.
 */
static void
define_connection_settings(void)
{
	DefineCustomIntVariable("pg_workflow.connection_idle",
							"How long a connection may have been idle that is used again.",
							NULL,
							&wf_connection_idle_s, 50, 1, SECS_PER_DAY,
							PGC_SIGHUP, GUC_UNIT_S | GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_workflow.connection_lifetime",
							"How old a connection may be that is used again.",
							NULL,
							&wf_connection_lifetime_s, 600, 1, SECS_PER_DAY,
							PGC_SIGHUP, GUC_UNIT_S | GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);
}

static void
define_retention_settings(void)
{
	DefineCustomIntVariable("pg_workflow.effect_retention",
							"How long effects that have finished keep what they carried.",
							"Keys and outcomes are kept for ever; -1 keeps everything.",
							&wf_effect_retention_s, -1, -1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_workflow.webhook_retention",
							"How long webhooks that were fed keep their headers and bodies.",
							"That they came is kept for ever; -1 keeps everything.",
							&wf_webhook_retention_s, -1, -1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_workflow.redrive_retention",
							"How long batches of dead letters that have ended are kept.",
							"The journal says of each what it was; -1 keeps everything.",
							&wf_redrive_retention_s, -1, -1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	/* not for users: tests have no five minutes */
	DefineCustomIntVariable("pg_workflow.gate_interval",
							"How long decisions of gates are kept one by one until they are added up.",
							NULL,
							&wf_gate_interval_s, 300, 1, SECS_PER_DAY,
							PGC_SIGHUP, GUC_UNIT_S | GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_workflow.minute_history",
							"How long statistics are kept by the minute.",
							"Those by the day are kept for ever; -1 keeps all.",
							&wf_minute_history_s, 2 * SECS_PER_DAY, -1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_workflow.hour_history",
							"How long statistics are kept by the hour.",
							"Those by the day are kept for ever; -1 keeps all.",
							&wf_hour_history_s, 60 * SECS_PER_DAY, -1, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
}

static void
define_worker_settings(void)
{
	DefineCustomBoolVariable("pg_workflow.workers",
							 "Whether the launcher starts background workers.",
							 NULL,
							 &wf_workers_enabled, true,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_workflow.max_workers",
							"Most background workers in one database.",
							NULL,
							&wf_max_workers, 4, 1, 64,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_workflow.worker_idle_timeout",
							"How long an http or sql worker stays with nothing to do.",
							NULL,
							&wf_worker_idle_timeout_ms, 60000, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("pg_workflow.queue_memory",
							"Shared memory for the jobs that wait in queues, of the whole server.",
							"A job takes 24 bytes; those that find no room wait in a table.",
							&wf_queue_memory_mb, 32, 1, 65536,
							process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SIGHUP,
							GUC_UNIT_MB, NULL, NULL, NULL);
	DefineCustomStringVariable("pg_workflow.clock",
							   "Time that workflow.run() of this session goes by, for tests.",
							   "Empty means the real time; background workers ignore it.",
							   &clock_setting, "",
							   PGC_SUSET, 0, wf_clock_check, wf_clock_assign, NULL);
}

/*
 * Defines every setting.  Never raises: the library may be loaded by any
 * session at any time.
 */
void
wf_config_init(void)
{
	define_effect_settings();
	define_connection_settings();
	define_retention_settings();
	define_worker_settings();
	MarkGUCPrefixReserved("pg_workflow");
}
