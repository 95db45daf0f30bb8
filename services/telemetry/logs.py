"""One JSON line an event on stderr, the calls among them, which are also counted here.

Lines carry what happened and to whom, never media, tokens or texts of users.
"""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from services.telemetry.metrics import CALL_SECONDS, CALLS, CALLS_OPEN

log = structlog.get_logger()


def start(level: str = "info", **always: object) -> None:
    """Send all log lines of this process, the libraries' too, to stderr as JSON.

    What is to be in every line, such as the number of the process, comes as `always`.
    """
    shared: list[Any] = [
        lambda _logger, _method, line: {**line, **always},
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    last = structlog.processors.JSONRenderer()
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        # one write a line: processes share stderr, which may have no buffer
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    plain = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[plain, last])
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


@contextmanager
def call(method: str, peer: str) -> Iterator[dict[str, Any]]:
    """Name the call in every line written in the block, and say how it ended.

    What the block puts into the dictionary goes into that last line; `tenant` and `code` are also
    labels of the metrics.
    """
    short = method.rpartition(".")[2]
    CALLS_OPEN.add(1, short)
    with structlog.contextvars.bound_contextvars(method=method, peer=peer):
        began = time.monotonic()
        line: dict[str, Any] = {}
        try:
            yield line
        finally:
            seconds = time.monotonic() - began
            log.info("call", **line, seconds=round(seconds, 4))
            CALLS_OPEN.add(-1, short)
            CALLS.add(1, line.get("tenant", ""), short, line.get("code", ""))
            CALL_SECONDS.see(seconds, short)
