-- The view of 0009 with the keywords by which a trace is found besides its summary; empty in summaries of before.
CREATE OR REPLACE VIEW {database}.trace_summaries AS
SELECT
    team_id,
    trace_id,
    mode,
    timestamp,
    newest.1 AS created_at,
    newest.2 AS summary_id,
    newest.3 AS properties,
    JSONExtractString(properties, '$ai_summary_title') AS title,
    JSONExtractString(properties, '$ai_summary_flow_diagram') AS flow_diagram,
    JSONExtract(
        if(
            JSONType(properties, '$ai_summary_bullets') = 'String',
            JSONExtractString(properties, '$ai_summary_bullets'),
            JSONExtractRaw(properties, '$ai_summary_bullets')
        ),
        'Array(Tuple(text String, line_refs String, verified Bool))'
    ) AS bullets,
    JSONExtract(
        if(
            JSONType(properties, '$ai_summary_interesting_notes') = 'String',
            JSONExtractString(properties, '$ai_summary_interesting_notes'),
            JSONExtractRaw(properties, '$ai_summary_interesting_notes')
        ),
        'Array(Tuple(text String, line_refs String, verified Bool))'
    ) AS interesting_notes,
    JSONExtractString(properties, '$ai_summary_keywords') AS keywords,
    JSONExtract(properties, '$ai_summary_line_refs_valid', 'Nullable(UInt64)') AS line_refs_valid,
    JSONExtract(properties, '$ai_summary_line_refs_total', 'Nullable(UInt64)') AS line_refs_total,
    JSONExtractUInt(properties, '$ai_text_repr_length') AS text_repr_length,
    JSONExtractUInt(properties, '$ai_event_count') AS event_count,
    parseDateTime64BestEffortOrNull(JSONExtractString(properties, 'trace_timestamp'), 6, 'UTC') AS trace_timestamp,
    JSONExtractString(properties, '$ai_batch_run_id') AS batch_run_id,
    parseDateTimeBestEffortOrNull(JSONExtractString(properties, '$ai_window_start'), 'UTC') AS window_start,
    parseDateTimeBestEffortOrNull(JSONExtractString(properties, '$ai_window_end'), 'UTC') AS window_end,
    JSONExtractString(properties, '$ai_execution_id') AS execution_id,
    JSONExtractString(properties, '$ai_summary_model') AS model,
    JSONExtractString(properties, '$ai_summary_requested_model') AS requested_model,
    JSONExtractString(properties, '$ai_summary_provider') AS provider,
    JSONExtractString(properties, '$ai_summary_prompt_version') AS prompt_version,
    JSONExtractString(properties, '$ai_summary_content_hash') AS content_hash,
    JSONExtractString(properties, '$ai_summary_fingerprint') AS fingerprint,
    JSONExtract(properties, '$ai_summary_input_tokens', 'Nullable(UInt64)') AS input_tokens,
    JSONExtract(properties, '$ai_summary_cached_input_tokens', 'Nullable(UInt64)') AS cached_input_tokens,
    JSONExtract(properties, '$ai_summary_output_tokens', 'Nullable(UInt64)') AS output_tokens,
    JSONExtract(properties, '$ai_summary_calls', 'Nullable(UInt64)') AS model_calls,
    JSONExtract(properties, '$ai_summary_cost_usd', 'Nullable(Float64)') AS cost_usd,
    parseDateTime64BestEffortOrNull(JSONExtractString(properties, '$ai_summarized_at'), 6, 'UTC') AS summarized_at
FROM
(
    SELECT
        team_id,
        timestamp,
        JSONExtractString(properties, '$ai_trace_id') AS trace_id,
        JSONExtractString(properties, '$ai_summary_mode') AS mode,
        max((created_at, uuid, properties)) AS newest
    FROM {events_table}
    WHERE event = '$ai_trace_summary'
    GROUP BY team_id, timestamp, trace_id, mode
);
