"""The only code that talks to ClickHouse, Kafka, the model and the secret store."""
