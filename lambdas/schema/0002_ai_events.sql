-- One whole trace in one or two marks, whatever the table's size. Partitioned by arrival: whatever dates an insert into
-- `events` holds, it adds one partition here, so that the limit of partitions per insert cannot reject it.
CREATE TABLE IF NOT EXISTS {database}.ai_events
(
    team_id Int64,
    trace_id String,
    timestamp DateTime64(6, 'UTC'),
    uuid UUID,
    event LowCardinality(String),
    properties String CODEC(ZSTD(1)),
    properties_bytes UInt64,
    inserted_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(inserted_at)
PARTITION BY toYYYYMM(inserted_at)
PRIMARY KEY (team_id, trace_id, timestamp)
ORDER BY (team_id, trace_id, timestamp, uuid)
SETTINGS index_granularity = 1024, index_granularity_bytes = 1048576;
