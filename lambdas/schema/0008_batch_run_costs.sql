-- What a run's model calls took; costs are in USD, NULL when the model has no price.
ALTER TABLE {database}.batch_runs
    ADD COLUMN IF NOT EXISTS max_cost_usd Nullable(Float64) AFTER duration_seconds,
    ADD COLUMN IF NOT EXISTS cost_usd Nullable(Float64) AFTER max_cost_usd,
    ADD COLUMN IF NOT EXISTS model_calls UInt32 AFTER cost_usd,
    ADD COLUMN IF NOT EXISTS input_tokens UInt64 AFTER model_calls,
    ADD COLUMN IF NOT EXISTS cached_input_tokens UInt64 AFTER input_tokens,
    ADD COLUMN IF NOT EXISTS output_tokens UInt64 AFTER cached_input_tokens,
    ADD COLUMN IF NOT EXISTS tokens_are_estimated Bool AFTER output_tokens,
    ADD COLUMN IF NOT EXISTS price_version Nullable(String) AFTER tokens_are_estimated;
