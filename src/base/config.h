/*
 * config.h
 *	  Settings of pg_workflow, documented where they are defined.
 */
#ifndef WF_BASE_CONFIG_H
#define WF_BASE_CONFIG_H

typedef enum WfEffectsMode
{
	WF_EFFECTS_ON,
	WF_EFFECTS_DRY_RUN,
	WF_EFFECTS_OFF,
} WfEffectsMode;

/* What becomes of effects that may have been sent before a promotion. */
typedef enum WfAfterFailover
{
	WF_FAILOVER_QUARANTINE,
	WF_FAILOVER_RESUME,
} WfAfterFailover;

extern char *wf_secrets_dir;
extern int	wf_effects_mode;	/* WfEffectsMode */
extern int	wf_after_failover;	/* WfAfterFailover */
extern bool wf_workers_enabled;
extern int	wf_max_workers;
extern int	wf_worker_idle_timeout_ms;
extern int	wf_max_in_flight;
extern int	wf_max_response_kb;
extern int	wf_max_request_kb;
extern int	wf_effect_retention_s;	/* -1: for ever */
extern int	wf_connection_idle_s;
extern int	wf_connection_lifetime_s;
extern int	wf_webhook_retention_s;
extern int	wf_redrive_retention_s;
extern int	wf_gate_interval_s;
extern int	wf_minute_history_s;
extern int	wf_hour_history_s;
extern int	wf_queue_memory_mb;

extern void wf_config_init(void);

#endif							/* WF_BASE_CONFIG_H */
