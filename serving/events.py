"""What the server says of itself: on a terminal a line to read, elsewhere one JSON object per line."""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime


def emit(event: str, message: str, *, level: str = "info", **fields: object) -> None:
    """Write one event to stderr. Texts of callers and secrets never belong into one."""
    spoken = f"error: {message}" if level == "error" else message
    line = spoken if sys.stderr.isatty() else json_line(event, level=level, message=message, **fields)
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def json_line(event: str, *, level: str = "info", **fields: object) -> str:
    """One event for machines, in ASCII: no terminal and no encoding of a log can break it."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"time": now, "level": level, "event": event, **fields}, default=str)


def capture_logging() -> None:
    """Turn what libraries log from warnings upwards into events."""
    logging.basicConfig(level=logging.WARNING, handlers=[_Events()], force=True)


class _Events(logging.Handler):
    """A handler must be a class derived from logging's."""

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, object] = {"logger": record.name}
        message = record.getMessage().strip()
        if record.exc_info and record.exc_info[1]:
            fields["traceback"] = "".join(traceback.format_exception(record.exc_info[1]))
            message += f": {fields['traceback']}" if sys.stderr.isatty() else ""
        emit("log", message, level=record.levelname.lower(), **fields)
