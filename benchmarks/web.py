"""The pages over a large store: `python -m benchmarks.web FOLDER` (one that `benchmarks.call_index` filled).

Starts `sbcwatch web` as a process of its own. Prints the slowest of some answers of each page, over one
connection, and what the process holds in memory at the end: resident, and its own share without the mapped
store.
"""

from __future__ import annotations

import http.client
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

TIMES = 5


def main(folder: str) -> None:
    """Ask each page some times."""
    with served(folder) as (address, pid):
        connection = http.client.HTTPConnection(address)
        listed = ask(connection, "/calls?q=0110")
        links = re.findall(r'href="(/call/\d+)"', listed)
        pages = [("a call", links[0]), ("a call's report", f"{links[0]}/report.html")]
        pages += [(f"overview, {hours} h", f"/?hours={hours}") for hours in (1, 4, 24)]
        words = (
            "", "0110", "10", "1234567", "99999999", "198.51.100.3", "mos<3.5", "loss>2%",
            "one_way_audio", "status:486", "connector:vc03abcdefghijklmnopqr", "0110 2026-09-21",
        )  # fmt: skip
        for text in words:
            pages += [(f"search {text or '(none)'}", f"/calls?q={quote(text)}")]
        pages += [(f"by {sort}", f"/calls?sort={sort}") for sort in ("mos", "loss")]
        further = re.search(r'rel="next" href="([^"]+)"', ask(connection, "/calls?sort=mos"))
        if further:
            pages.append(("by mos, page 2", further[1].replace("&amp;", "&")))
        for name, target in pages:
            taken = []
            for _ in range(TIMES):
                begun = time.perf_counter()
                text = ask(connection, target)
                taken.append((time.perf_counter() - begun) * 1e3)
            print(
                f"{max(taken):8.1f} ms slowest {sorted(taken)[TIMES // 2]:8.1f} ms median  "
                f"{len(text) // 1000:4} kB  {name}"
            )
        status = Path(f"/proc/{pid}/status").read_text()
        for name in ("VmHWM", "VmRSS", "RssAnon"):
            found = re.search(rf"{name}:\s+(\d+)", status)
            print(f"{name} {int(found[1]) / 1024 if found else 0:.0f} MB")


@contextmanager
def served(folder: str, nice: int = 0) -> Iterator[tuple[str, int]]:
    """`sbcwatch web` over a store: its address, and its process id."""
    command = ["nice", "-n", str(nice), sys.executable, "-m", "agent", "web", "--store", folder]
    command += ["--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield urlsplit(process.stdout.readline().split()[3]).netloc, process.pid
        finally:
            process.terminate()


def ask(connection: http.client.HTTPConnection, target: str) -> str:
    connection.request("GET", target, headers={"Host": "localhost", "Accept": "text/html"})
    answer = connection.getresponse()
    body = answer.read().decode()
    assert answer.status == 200, (target, answer.status, body[:200])
    return body


if __name__ == "__main__":
    main(sys.argv[1])
