-- What sampling reads: one row per trace and hour. Each aggregate stays the same when the same events arrive again.
-- Unpartitioned, so that no insert is rejected for its dates. Small granules and the filter on the hash let the look
-- back over a team's other hours skip nearly all of them.
CREATE TABLE IF NOT EXISTS {database}.trace_index
(
    team_id Int64,
    hour DateTime('UTC'),
    trace_hash UInt64,
    trace_id String,
    first_event SimpleAggregateFunction(min, DateTime64(6, 'UTC')),
    last_event SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    event_ids AggregateFunction(uniq, UUID),
    inserted_at SimpleAggregateFunction(max, DateTime('UTC')) DEFAULT now('UTC'),
    INDEX trace_hash_filter trace_hash TYPE bloom_filter(0.00001) GRANULARITY 1
)
ENGINE = AggregatingMergeTree
PRIMARY KEY (team_id, hour, trace_hash)
ORDER BY (team_id, hour, trace_hash, trace_id)
SETTINGS index_granularity = 256;
