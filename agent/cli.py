"""The commands. Each is a function that takes parsed arguments and returns an exit status.

0 done, 1 the answer is no, 2 bad usage or config, 3 capture failed, 4 a sink failed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent import __version__
from agent.errors import CaptureError, ConfigError, SbcwatchError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; every error of ours is one line on stderr and its exit status."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.command(options)
        sys.stdout.flush()
        return status
    except SbcwatchError as error:
        print(f"sbcwatch: {error}", file=sys.stderr)
        return error.exit_status
    except BrokenPipeError:
        # Whoever read our output has seen enough (`| head`): no traceback, and none at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sbcwatch", description="CloudWatch metrics, per-call media records and SIP logs for any SBC."
    )
    parser.add_argument("--version", action="version", version=f"sbcwatch {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function: Any, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=function)
        return sub

    sub = command("run", run, "Watch this host: the daemon.")
    sub.add_argument("--config", metavar="FILE", help="TOML settings; without it the defaults")
    sub.add_argument(
        "--interface", metavar="IF", action="append", default=[], help="watch this NIC (repeatable)"
    )

    sub = command("replay", replay, "Put capture files through the same pipeline, merged by time.")
    _files(sub)
    sub.add_argument("--store", metavar="DIR", help="also commit the minutes to a store in DIR")

    sub = command("streams", streams, "One row per RTP stream of capture files.")
    _files(sub)

    sub = command("check-config", check_config, "Check a configuration and say what it means.")
    sub.add_argument("file", metavar="FILE")

    command("selftest", selftest, "Check this installation: compiled loop, numbers, capture rights.")
    return parser


def _files(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("files", metavar="FILE", nargs="+", help="pcap, pcapng, either gzipped, or - for stdin")
    sub.add_argument("--config", metavar="FILE", help="TOML settings; without it the defaults")
    sub.add_argument("--vc", metavar="ADDR", action="append", default=[], help="an address of the SBC")
    sub.add_argument("--customer", metavar="CIDR", action="append", default=[], help="a network of customers")
    sub.add_argument("--json", action="store_true", help="JSON lines instead of tables")


def run(options: argparse.Namespace) -> int:
    from agent.service import serve

    return serve(options.config, options.interface)


def replay(options: argparse.Namespace) -> int:
    from agent import replay as files
    from agent.config import load

    config = load(options.config)
    source = files.open_files(options.files, config)
    with _progress(options) as watched:
        if options.json:
            lines = files.JsonLines(sys.stdout.buffer.write)
            return _replayed(watched(source), source, config, options, lines)
        store = _store(options.store)
        kept = files.Kept(store)
        status = _replayed(watched(source), source, config, options, kept)
    from agent.tables import call_table, minute_table, show

    show([minute_table(kept.summaries), call_table(kept.summaries)])
    print(f"{source.frames} frames, {source.bytes} bytes, {kept.sip_messages} SIP messages")
    if store is not None:
        store.close()
        print(f"stored in {options.store}")
    return status


def _replayed(watched: Any, source: Any, config: Any, options: argparse.Namespace, keeper: Any) -> int:
    """Run the pipeline; a fault of a file is told after all that was read before it."""
    from agent import replay as files

    fault: CaptureError | None = None
    pipeline = files.prepare(config, vc=options.vc, customers=options.customer)
    try:
        files.replay(watched, pipeline, keeper)
    except CaptureError as error:
        fault = error
    if options.json:
        keeper.line(files.capture_row(source, pipeline))
    if fault is not None:
        sys.stdout.flush()
        print(f"sbcwatch: {fault}", file=sys.stderr)
        return fault.exit_status
    return 0


def streams(options: argparse.Namespace) -> int:
    from agent import replay as files
    from agent.config import load

    config = load(options.config)
    source = files.open_files(options.files, config)
    totals = files.StreamTotals()
    fault: CaptureError | None = None
    pipeline = files.prepare(config, vc=options.vc, customers=options.customer, on_stream=totals.add)
    with _progress(options) as watched:
        try:
            files.replay(watched(source), pipeline, files.Kept())
        except CaptureError as error:
            fault = error
    if options.json:
        lines = files.JsonLines(sys.stdout.buffer.write)
        for row in totals.rows():
            lines.line(row)
    else:
        from agent.tables import show, stream_table

        show([stream_table(totals.rows())])
    if fault is not None:
        sys.stdout.flush()
        print(f"sbcwatch: {fault}", file=sys.stderr)
        return fault.exit_status
    return 0


def _store(directory: str | None) -> Any:
    if directory is None:
        return None
    from agent.store import Store

    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{directory}: {error.strerror}: name a folder that can be written") from None
    return Store(Path(directory) / "sbcwatch.sqlite")


def _progress(options: argparse.Namespace) -> Any:
    """A context that gives a wrapper for the source: a progress bar for large files at a terminal."""
    from contextlib import nullcontext

    sizes = [os.path.getsize(path) for path in options.files if path != "-" and os.path.isfile(path)]
    if not sys.stderr.isatty() or sum(sizes) < 50_000_000:
        return nullcontext(lambda source: source)
    from agent.progress import bar

    return bar(sum(sizes))


def check_config(options: argparse.Namespace) -> int:
    from agent.config import load
    from agent.pipeline import build
    from agent.service import explain

    config = load(options.file)
    build(config)
    print(explain(config))
    return 0


def selftest(options: argparse.Namespace) -> int:
    from agent.selftest import run_checks

    return run_checks(print)
