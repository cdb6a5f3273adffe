"""Embeddings from stored summaries to rows: real broker, event source and functions, in both of Lambda's modes."""

import dataclasses
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer

from bench.embedding_faults import Delivery, faulty_runs, holds
from embedding.requests import encode, message_key
from local.event_source import EventSourcePoller
from local.load_events import load_events
from local.stack_info import PROJECT_ROOT
from tests.embedding_documents import message_with
from tests.flow.http_proxy import Fault
from tests.flow.workbench import Workbench

DAY = {"window_start": "2025-01-15T00:00:00Z", "window_end": "2025-01-16T00:00:00Z"}
PROVISIONED = {
    "provisioned": True,
    "partial_batch_responses": True,
    "bisect_batch_on_function_error": True,
    "maximum_retry_attempts": 1_000,
}
DRAIN_SECONDS = 120.0
