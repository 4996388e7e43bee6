"""The daemon's own log: plain lines at a terminal, JSON lines for machines, bounded in both.

    a terminal          12:00:01 warning  sink cloudwatch: throttled (retry_s=2)
    the journal         <4>{"time":...,"level":"warning","cause":"sink","text":...}
    any other stderr    the same JSON without the priority (container logs)

Every line has a cause, a constant of the code. A cause that repeats is written `burst` times a window, then
counted, and the count is written when the window ends. Lines hold words of the code, never of the wire: bytes
are refused, control characters cannot start a new line, and anything that looks like a secret is blotted out.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TextIO

from agent.summary.printable import printable

Level = Literal["error", "warning", "info", "debug"]
Form = Literal["human", "json", "journal"]
# sd-daemon(3): journald takes it off the front of a line as its priority.
PRIORITY: Mapping[str, int] = {"error": 3, "warning": 4, "info": 6, "debug": 7}
TEXT_LIMIT = 500
MAX_CAUSES = 256  # causes are constants; a bug that invents them must not grow a table without end
_SECRETS = re.compile(
    r"(?:A3T[A-Z0-9]|AKIA|ASIA|AGPA|AROA|AIPA|ANPA|ANVA)[A-Z0-9]{16}"  # AWS ids (IAM: unique identifiers)
    r"|(?i:authorization[\"']?\s*[=:]).*"  # a header: the rest of the line is secret
    # ... but what a setting or variable names is a path: `clickhouse.password_file: /etc/x`.
    r"|(?i:(?:secret|token|passw(?:or)?d|signature|credential)(?![\w.-]*_file\b)[\w.-]*[\"']?\s*[=:]\s*)\S+",
    re.DOTALL,
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(slots=True)
class _Window:
    began: float
    written: int = 0
    withheld: int = 0
    last: str = ""
    level: Level = "info"


class Log:
    """Any thread may write. `monotonic` gives seconds for the windows, `wall` seconds since the epoch."""

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        form: Form | None = None,
        environment: Mapping[str, str] = os.environ,
        burst: int = 5,
        window_s: float = 60.0,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._stream = stream or sys.stderr
        self.form: Form = form or form_of(self._stream, environment)
        self._burst = burst
        self._window_s = window_s
        self._monotonic = monotonic
        self._wall = wall
        self._windows: dict[str, _Window] = {}
        self._lock = threading.Lock()
        self.withheld = 0

    def error(self, cause: str, *texts: str, **fields: Any) -> None:
        self.write("error", cause, *texts, **fields)

    def warning(self, cause: str, text: str, **fields: Any) -> None:
        self.write("warning", cause, text, **fields)

    def info(self, cause: str, text: str, **fields: Any) -> None:
        self.write("info", cause, text, **fields)

    def write(self, level: Level, cause: str, *texts: str, **fields: Any) -> None:
        """A line of each text, unless their cause had enough for this window; they count as one. Fields are
        plain values.
        """
        now = self._monotonic()
        with self._lock:
            if cause not in self._windows and len(self._windows) >= MAX_CAUSES:
                cause = "other"
            window = self._windows.setdefault(cause, _Window(now))
            if now - window.began >= self._window_s:
                self._tell(cause, window)
                self._windows[cause] = window = _Window(now)
            window.level, window.last = level, texts[0]
            if window.written >= self._burst:
                window.withheld += 1
                self.withheld += 1
                return
            window.written += 1
            for text in texts:
                self._line(level, cause, text, fields)

    def flush(self) -> None:
        """Writes the counts of windows that are over; at the daemon's end, of all."""
        with self._lock:
            for cause, window in self._windows.items():
                self._tell(cause, window)
                window.withheld = 0

    def _tell(self, cause: str, window: _Window) -> None:
        if window.withheld:
            self._line(window.level, cause, f"{window.withheld} more of this, the last: {window.last}", {})

    def _line(self, level: Level, cause: str, text: str, fields: Mapping[str, Any]) -> None:
        stamp = self._wall()
        cleaned = {name: clean(value) for name, value in fields.items()}
        text = str(clean(text))
        if self.form == "human":
            more = f" ({', '.join(f'{name}={value}' for name, value in cleaned.items())})" if cleaned else ""
            clock = time.strftime("%H:%M:%S", time.localtime(stamp))
            line = f"{clock} {level:<8} {cause}: {text}{more}"
        else:
            instant = (
                time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(stamp)) + f".{int(stamp % 1 * 1000):03d}Z"
            )
            record = {**cleaned, "time": instant, "level": level, "cause": cause, "text": text}
            line = json.dumps(record, ensure_ascii=False)
            if self.form == "journal":
                line = f"<{PRIORITY[level]}>{line}"
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            pass  # the reader is gone: capturing goes on


def form_of(stream: TextIO, environment: Mapping[str, str]) -> Form:
    """The form that suits `stream`.

    systemd names device and inode of the journal's socket in JOURNAL_STREAM.
    """
    try:
        if stream.isatty():
            return "human"
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return "json"
    return "journal" if environment.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}" else "json"


def clean(value: Any) -> Any:
    """`value` in a form that a log may hold: one line, no secrets, no bytes, of bounded length."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    # Blotting comes before cutting: half a secret is still one.
    text = printable(_CONTROL.sub(" ", _SECRETS.sub("[removed]", str(value)[: 20 * TEXT_LIMIT])))
    return text if len(text) <= TEXT_LIMIT else text[: TEXT_LIMIT - 1] + "…"
