"""The pages in a real Chromium: a served store, and a page that notes what it asked for and complained of."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The pages of a store from a process of their own; their address."""
    command = [sys.executable, "-m", "agent", "web", "--store", str(folder), "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        try:
            yield said.split()[3].rstrip("/")
        finally:
            process.terminate()


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window."""
    with sync_playwright() as driver:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        started = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield started
        started.close()


class Watched:
    """A page, and what it asked for or complained of."""

    def __init__(self, browser: Browser, **context: Any) -> None:
        self.context = browser.new_context(**({"viewport": {"width": 1200, "height": 900}} | context))
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))


@contextmanager
def watched(browser: Browser, base: str, **context: Any) -> Iterator[Page]:
    """A page on which nothing may be complained of, and nothing be asked of anybody but `base`."""
    its = Watched(browser, **context)
    yield its.page
    its.context.close()
    assert its.complaints == []
    assert [url for url in its.asked if not url.startswith(base)] == []
