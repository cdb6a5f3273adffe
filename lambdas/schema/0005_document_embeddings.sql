-- Vectors and their text. The newest summary wins in any order of arrival. `model_name` carries the dimension.
CREATE TABLE IF NOT EXISTS {database}.document_embeddings
(
    team_id Int64,
    product LowCardinality(String),
    document_type LowCardinality(String),
    model_name LowCardinality(String),
    rendering LowCardinality(String),
    document_id String,
    timestamp DateTime64(6, 'UTC'),
    summarized_at DateTime64(6, 'UTC'),
    content_hash String,
    content String CODEC(ZSTD(1)),
    metadata String CODEC(ZSTD(1)),
    embedding Array(Float32) CODEC(NONE),
    inserted_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(summarized_at)
PARTITION BY toYYYYMM(timestamp)
ORDER BY (
    team_id, toDate(timestamp), product, document_type, model_name, rendering, cityHash64(document_id)
)
SETTINGS index_granularity = 1024;
