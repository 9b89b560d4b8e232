--
-- monitor: how much stands where, and how fast it goes.
--

-- ------------------------------------------------------------- statistics

CREATE VIEW workflow.queue_stats AS
  SELECT q.queue, q.owner, q.sla, q.paused_at IS NOT NULL AS paused,
         f.ready, f.delayed, f.running, f.waiting, f.dead,
         CASE WHEN pg_catalog.isfinite(f.oldest_ready_at) THEN pg_catalog.clock_timestamp() - f.oldest_ready_at END AS oldest_ready_age,
         f.done_5m, f.failed_5m,
         CASE WHEN f.ready = 0 THEN interval '0'
              WHEN f.done_5m > 0 THEN interval '5 minutes' * (f.ready::double precision / f.done_5m::double precision)
         END AS drain_estimate,
         f.enqueue_rate, f.start_rate, f.finish_rate, f.fail_rate,
         f.p50_wait, f.p95_wait, f.p50_run, f.p95_run
  FROM workflow.queue AS q
  JOIN workflow._queue_figures(true) AS f ON f.queue = q.queue;
COMMENT ON VIEW workflow.queue_stats IS
  'What stands in each queue, whose it is, how old the oldest job is that could run, and how long the rest would take';
COMMENT ON COLUMN workflow.queue_stats.enqueue_rate IS 'Jobs stored a second, over 1, 5 and 15 minutes; null, as all that follows, without preload';
COMMENT ON COLUMN workflow.queue_stats.start_rate IS 'Jobs claimed a second, over 1, 5 and 15 minutes';
COMMENT ON COLUMN workflow.queue_stats.finish_rate IS 'Jobs that succeeded a second, over 1, 5 and 15 minutes';
COMMENT ON COLUMN workflow.queue_stats.fail_rate IS 'Attempts that failed a second, over 1, 5 and 15 minutes';
COMMENT ON COLUMN workflow.queue_stats.p95_wait IS 'Of the jobs claimed in the last ten to fifteen minutes, 95 of 100 had waited no longer since they were due';
COMMENT ON COLUMN workflow.queue_stats.p95_run IS 'Of the attempts that ended in the last ten to fifteen minutes, 95 of 100 took no longer';
