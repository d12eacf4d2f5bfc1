"""Where log lines go: standard error, one a line, readable on a terminal and JSON elsewhere; never standard output."""

import logging
import sys

import structlog

__all__ = ["configure_logs"]


def configure_logs(level: str) -> None:
    """Sets the level (debug, info, warning, error) for every logger of this process."""
    shape: structlog.types.Processor = structlog.processors.JSONRenderer()
    if sys.stderr.isatty():
        shape = structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            shape,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
