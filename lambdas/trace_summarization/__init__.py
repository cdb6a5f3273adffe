"""The domain: windows, sampling, text representation, summaries, results. Knows no AWS, no environment, no driver."""
