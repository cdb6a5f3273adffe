-- The words of a document and of the trace behind it, evened out and each between blanks (` gift card balance `), so that
-- a word, or several in a row, is found as a plain substring. The index finds content that was embedded before.
ALTER TABLE {database}.document_embeddings
    ADD COLUMN IF NOT EXISTS words String CODEC(ZSTD(1)) AFTER content;

ALTER TABLE {database}.document_embeddings
    ADD INDEX IF NOT EXISTS content_hash_index content_hash TYPE bloom_filter(0.01) GRANULARITY 1;
