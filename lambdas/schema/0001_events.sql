-- The user's own table. Made here only for those who have none; an existing one is left as it is, and nothing but
-- these columns is relied on.
CREATE TABLE IF NOT EXISTS {events_table}
(
    uuid UUID,
    event String,
    properties String CODEC(ZSTD(1)),
    timestamp DateTime64(6, 'UTC'),
    team_id Int64,
    distinct_id String,
    created_at DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(created_at)
PARTITION BY toYYYYMM(timestamp)
ORDER BY (team_id, toDate(timestamp), event, cityHash64(distinct_id), cityHash64(uuid));
