-- Which windows are done, with their metrics.
CREATE TABLE IF NOT EXISTS {database}.batch_runs
(
    team_id Int64,
    window_start DateTime('UTC'),
    window_end DateTime('UTC'),
    mode LowCardinality(String),
    batch_run_id String,
    execution_id String,
    finished_at DateTime64(6, 'UTC'),
    traces_queried UInt32,
    summaries_skipped UInt32,
    summaries_failed UInt32,
    summaries_generated UInt32,
    summaries_reused UInt32,
    embedding_requests_succeeded UInt32,
    embedding_requests_failed UInt32,
    embedding_requests_unneeded UInt32,
    summaries_skipped_by_reason Map(LowCardinality(String), UInt32),
    duration_seconds Float64,
    inserted_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(finished_at)
ORDER BY (team_id, window_start, window_end, mode);
