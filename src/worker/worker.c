/*
 * worker.c
 *	  What happens when the library is loaded.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "worker/lifecycle.h"
#include "worker/round.h"
#include "worker/worker.h"

#define LAUNCHER_RESTART_S 5

static void
register_launcher(void)
{
	BackgroundWorker launcher;

	wf_worker_fill(&launcher, WF_WORKER_LAUNCHER);
	launcher.bgw_restart_time = LAUNCHER_RESTART_S;
	RegisterBackgroundWorker(&launcher);
}

void
wf_worker_init(void)
{
	wf_registry_init();
	wf_lifecycle_init();
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	wf_utility_init();
	register_launcher();
}
