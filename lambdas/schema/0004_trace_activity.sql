-- Holds nothing: what `events` passes in goes on to the views below. The trace id is found once for both, and inserting
-- older events here fills both tables.
CREATE TABLE IF NOT EXISTS {database}.trace_activity
(
    team_id Int64,
    trace_id String,
    timestamp DateTime64(6, 'UTC'),
    uuid UUID,
    event String,
    properties String
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.ai_events_view TO {database}.ai_events AS
SELECT
    team_id,
    trace_id,
    timestamp,
    uuid,
    event,
    properties,
    length(properties) AS properties_bytes
FROM {database}.trace_activity
WHERE lengthUTF8(trace_id) <= 128;

-- Ids beyond 128 characters are kept in cut form: enough to count them. The hour is clamped to what DateTime holds.
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.trace_index_view TO {database}.trace_index AS
SELECT
    team_id,
    toDateTime(least(greatest(intDiv(toUnixTimestamp64Micro(timestamp), 3600000000), 0), 1193046) * 3600, 'UTC') AS hour,
    cityHash64(team_id, activity.trace_id) AS trace_hash,
    substringUTF8(activity.trace_id, 1, 129) AS trace_id,
    min(timestamp) AS first_event,
    max(timestamp) AS last_event,
    uniqState(uuid) AS event_ids
FROM {database}.trace_activity AS activity
GROUP BY team_id, hour, trace_hash, substringUTF8(activity.trace_id, 1, 129);

-- The only thing that an insert into `events` meets of ours: no expression here or above may throw, whatever
-- `properties` holds. Text that no JSON parser takes (NaN, a lone surrogate, raw control characters) is searched for
-- the id as text. A string is an id, so are a number's digits; anything else is none, and the event stays in `events`.
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.trace_activity_view TO {database}.trace_activity AS
WITH
    JSONExtractRaw(properties, '$ai_trace_id') AS parsed,
    if(
        parsed = '' AND NOT isValidJSON(properties),
        extract(properties, '"\\$ai_trace_id"\\s*:\\s*("(?:[^"\\\\]|\\\\.)*"|-?[0-9][0-9.eE+-]*)'),
        parsed
    ) AS token
SELECT
    team_id,
    multiIf(
        startsWith(token, '"'), JSONExtractString(concat('{"id":', token, '}'), 'id'),
        match(token, '^-?[0-9]'), token,
        ''
    ) AS trace_id,
    timestamp,
    uuid,
    event,
    properties
FROM {events_table}
WHERE event IN (
        '$ai_trace', '$ai_generation', '$ai_span', '$ai_embedding', '$ai_evaluation', '$ai_metric', '$ai_feedback'
    )
    AND trace_id != '';
