"""What can go wrong in starting the local stack that a user can do something about."""


class LocalStackError(RuntimeError):
    """Base of these errors; the message says what to do. Kept apart from the engines, which are slow to import."""


class EngineStartError(LocalStackError):
    """Raised by `ClickHouseServer.start` when there is an engine already, in this process or on this data folder."""


class BrokerStartError(LocalStackError):
    """Raised by `KafkaBroker.start` with the broker's own output: the binary does not run or never answered."""


class ModelServerStartError(LocalStackError):
    """Raised by `ModelProcess.start` with the server's own output."""


class DataDirectoryInUseError(LocalStackError):
    """Another stack owns the data directory."""
