"""The command line: each command's arguments stand here, its work in the module that its row names.

Exit status: 0 done, 1 the answer is no, 2 bad usage or config, 3 capture or the disk failed, 4 a sink failed.
"""

from __future__ import annotations

import argparse
import errno
import gc
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from agent import __version__
from agent.commands.examples import EXAMPLES
from agent.errors import CaptureError, ConfigError, SbcwatchError

# Thresholds of the garbage collector (default 700, 10, 10): net new objects before a young collection, young
# ones before a middle one, middle ones before a full one. A full collection walks every call (200 ms with
# 5,000 of them). A call's objects live for minutes, so rare collections find as much. At most 300,000
# objects, some 30 MB, wait to be found.
COLLECT_AFTER = (10_000, 10, 3)
SHELLS = ("bash", "zsh", "fish")  # that complete our commands and options
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. Each of our own errors becomes one line on stderr and its exit status."""
    alone = arguments is None  # only where the process is ours: not in a test or another program
    if alone:
        gc.disable()
    _make_writable(alone)
    try:
        try:
            status = _carry_out(sys.argv[1:] if arguments is None else arguments, alone)
        finally:  # argparse ends by SystemExit before its help is written
            sys.stdout.flush()
    except SbcwatchError as error:
        print(f"sbcwatch: {error}", file=sys.stderr)
        return error.exit_status
    except BrokenPipeError:  # the reader of our output stopped reading (`| head`)
        _discard_output()
        return 0
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        _discard_output()
        print(f"sbcwatch: output: {error.strerror}: make room, or write elsewhere", file=sys.stderr)
        return CaptureError.exit_status
    except KeyboardInterrupt:
        return 130
    if alone:
        gc.freeze()  # skip the last walk over all objects: the process ends anyway
    return status


def _make_writable(alone: bool) -> None:
    """Gives output a place where the caller closed its descriptor (`>&-`: Python has None), and a `?` for
    what a terminal's encoding has not (arrows in ISO 8859-1).
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if alone and stream is not None:
            stream.reconfigure(errors="replace")
        elif stream is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))


def _discard_output() -> None:
    """Sends buffered output to /dev/null, so that the exit prints no traceback."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _carry_out(arguments: Sequence[str], alone: bool) -> int:
    options = _options(arguments)
    # A command's module is imported when the command runs: `streams` loads no boto3, `run` no tables.
    module, _, function = options.command.partition(":")
    _require_compiled()
    command = getattr(importlib.import_module(module), function)
    if alone:
        _collect_seldom()
    status: int = command(options)
    return status


def _require_compiled() -> None:
    """With `SBCWATCH_REQUIRE_COMPILED=1` a start without compiled modules fails. Raises ConfigError."""
    if os.environ.get("SBCWATCH_REQUIRE_COMPILED") != "1":
        return
    from agent.uncompiled import status

    slow = [name for name, compiled in status().items() if not compiled]
    if slow:
        raise ConfigError(f"{', '.join(slow)}: not compiled: install a C compiler, then install again")


def _collect_seldom() -> None:
    """Freezes the objects that the imports made, so that no later collection walks them again."""
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    gc.enable()


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal. argparse's own look-up imports four compressors: 8 ms a start."""

    def __init__(self, prog: str) -> None:
        try:
            columns = int(os.environ.get("COLUMNS", 0)) or os.get_terminal_size(1).columns
        except (OSError, ValueError):
            columns = 80
        super().__init__(prog, width=columns - 2)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    """The parsed options of one command. Options may stand anywhere on the line."""
    name, rest = _command_first(list(arguments))
    if name in _COMMANDS:
        command = _command_parser(name)
        # this command has subcommands
        if any(action.nargs == argparse.PARSER for action in command._actions):
            return command.parse_args(rest)
        return command.parse_intermixed_args(rest)
    if name and not name.startswith("-"):
        raise ConfigError(unknown_command(name))
    return parser().parse_args(arguments)


def _command_first(arguments: list[str]) -> tuple[str, list[str]]:
    """Moves the command to the front. Options, each with its value, may stand before it."""
    if not arguments or not arguments[0].startswith("-"):
        return (arguments[0], arguments[1:]) if arguments else ("", [])
    valued = {
        option
        for name in _COMMANDS
        for action in _command_parser(name)._actions
        if action.nargs is None and action.option_strings
        for option in action.option_strings
    }
    place = 0
    while place < len(arguments) and arguments[place].startswith("-"):
        if arguments[place] in ("-h", "--help", "--version"):
            return "", []
        place += 2 if arguments[place] in valued else 1
    if place >= len(arguments):
        return "", []
    return arguments[place], arguments[:place] + arguments[place + 1 :]


def unknown_command(name: str) -> str:
    """One line for an unknown command, with the nearest known one."""
    import difflib

    near = difflib.get_close_matches(name, _COMMANDS, 1)
    known = f"did you mean {near[0]}?" if near else f"there are {', '.join(_COMMANDS)}"
    return f"there is no command {name!a}: {known}"


def parser() -> argparse.ArgumentParser:
    """The parser of all commands: for the help, the man page and shell completion."""
    whole = argparse.ArgumentParser(
        prog="sbcwatch",
        description="CloudWatch metrics, per-call media records and SIP logs for any SBC.",
        epilog="sbcwatch help COMMAND: the options of a command, with examples.",
        formatter_class=_Formatter,
    )
    whole.add_argument("--version", action="version", version=f"sbcwatch {__version__}")
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    for name, (_, text, _) in _COMMANDS.items():
        _fill(commands.add_parser(name, help=text, **_look(name)), name)
    return whole


def _command_parser(name: str) -> argparse.ArgumentParser:
    """The parser of one command. The other commands' arguments would slow down the start."""
    return _fill(argparse.ArgumentParser(prog=f"sbcwatch {name}", **_look(name)), name)


def _look(name: str) -> dict[str, Any]:
    shown = "".join(f"\n  {line}" for line in EXAMPLES.get(name, ()))
    return {
        "description": _COMMANDS[name][1],
        "epilog": shown and f"examples:{shown}",
        "formatter_class": _Formatter,
    }


def _fill(sub: argparse.ArgumentParser, name: str) -> argparse.ArgumentParser:
    target, _, arguments = _COMMANDS[name]
    sub.set_defaults(command=target)
    arguments(sub)
    return sub


def _run(sub: argparse.ArgumentParser) -> None:
    _config(sub)
    sub.add_argument("--interface", metavar="IF", action="append", default=[], help="a NIC (repeatable)")


def _replay(sub: argparse.ArgumentParser) -> None:
    _files(sub)
    sub.add_argument("--json", action="store_true", help="JSON lines instead of tables")
    sub.add_argument("--store", metavar="DIR", help="also commit the minutes to a store in DIR")


def _table(sub: argparse.ArgumentParser) -> None:
    _files(sub)
    sub.add_argument("--json", action="store_true", help="JSON lines instead of a table")


def _report(sub: argparse.ArgumentParser) -> None:
    _capture(sub, many="*")
    _conditions(sub)
    sub.add_argument("--call", metavar="ID", help="any Call-ID of one call, or last digits (the newest call)")
    sub.add_argument("-o", "--output", metavar="FILE", required=True, help="the page to write; -: stdout")
    sub.add_argument("--format", choices=("html", "pdf"), default="html", help="pdf needs Chromium")
    sub.add_argument(
        "--unredacted", action="store_true", help="SIP messages as the store keeps them, credentials too"
    )


def _top(sub: argparse.ArgumentParser) -> None:
    _files(sub, many="*")
    sub.add_argument("--store", metavar="DIR", help="the folder of the store; default: the configuration's")
    sub.add_argument("--once", action="store_true", help="print one look and end")


def _call(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "id", metavar="ID", help="any Call-ID of it, or last digits of a number (the newest call)"
    )
    _conditions(sub)


def _list(sub: argparse.ArgumentParser) -> None:
    _conditions(sub)
    sub.add_argument("--csv", action="store_true", help="comma-separated values instead of a table")
    sub.add_argument("--limit", metavar="N", type=_count, default=100, help="at most so many (100)")


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} will not do: write a number of at least 1")
    return int(text)


def _conditions(sub: argparse.ArgumentParser) -> None:
    _config(sub)
    sub.add_argument("--store", metavar="DIR", help="the folder of the store; default: the configuration's")
    sub.add_argument("--since", metavar="TIME", help="1h (ago), 15:42, or 2026-11-29T15:42 (UTC)")
    sub.add_argument("--until", metavar="TIME", help="as --since")
    sub.add_argument("--number", metavar="DIGITS", help="last digits of the caller or the callee")
    sub.add_argument("--address", metavar="ADDR", help="the customer's or the remote end's")
    sub.add_argument("--connector", metavar="ID")
    sub.add_argument("--carrier", metavar="NAME")
    outcomes = ("answered", "failed", "cancelled", "redirected", "pending")
    sub.add_argument("--outcome", metavar="OUTCOME", choices=outcomes, help="of " + ", ".join(outcomes))
    sub.add_argument("--status", metavar="CODE", type=int, help="the final response's")
    sub.add_argument("--worse-than", metavar="MOS", type=float, help="the worst direction's score is below")
    sub.add_argument("--loss-over", metavar="PERCENT", type=float, help="the worst direction lost more")
    sub.add_argument(
        "--flag", metavar="FLAG", action="append", default=[], help="as one_way_audio (repeatable)"
    )
    sub.add_argument(
        "--sort", choices=("start", "mos", "loss"), default="start", help="newest or worst first"
    )
    sub.add_argument("--json", action="store_true", help="JSON lines instead of text")


def _web(sub: argparse.ArgumentParser) -> None:
    _config(sub)
    sub.add_argument("--store", metavar="DIR", help="the folder of the store; default: the configuration's")
    sub.add_argument("--listen", metavar="ADDR:PORT", help="instead of [web] listen; port 0: any free one")


def _evidence(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("action", choices=("list", "export", "arm", "disarm"), help="what to do")
    sub.add_argument(
        "id", metavar="ID", nargs="?", help="export: a Call-ID of the call, or the name in the list"
    )
    _config(sub)
    sub.add_argument("--store", metavar="DIR", help="the folder of the store; default: the configuration's")
    sub.add_argument("--json", action="store_true", help="list: JSON lines instead of a table")
    sub.add_argument("-o", "--output", metavar="FILE", help="export: the pcapng to write; -: stdout")
    sub.add_argument(
        "--number", metavar="DIGITS", help="arm: calls of a number, by its last digits, or a user"
    )
    sub.add_argument("--call-id", metavar="ID", help="arm: the call of a Call-ID")
    sub.add_argument("--peer", metavar="ADDR", help="arm: calls of a far end's address")
    sub.add_argument("--minutes", metavar="N", type=float, default=30.0, help="arm: for so long (30)")


def _check(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("file", metavar="FILE", help="TOML settings")
    sub.add_argument("--json", action="store_true", help="one JSON line instead of text")
    sub.add_argument("--strict", action="store_true", help="exit 1 where there are warnings")
    sub.add_argument("--elsewhere", action="store_true", help="for another host: look at no NIC of this one")


def _init(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("-o", "--output", metavar="FILE", help="write a new FILE; default, and -: stdout")
    sub.add_argument("--seconds", type=float, default=5.0, help="listen to traffic so long; 0: not at all")
    sub.add_argument("--no-imds", action="store_true", help="do not ask EC2 what this host is")


def _fleet(sub: argparse.ArgumentParser) -> None:
    _config(sub)
    asked = sub.add_subparsers(dest="what", required=True, metavar="WHAT")
    tables = asked.add_parser("schema", help="the tables, to give to clickhouse-client")
    tables.add_argument("--hosts", metavar="N", type=_count, help="how many hosts send; default: cost.hosts")
    tables.add_argument("--single", action="store_true", help="for one server without Keeper")
    asked.add_parser("grafana", help="a Grafana dashboard over them")
    one = asked.add_parser("call", help="a call's records of all hosts, as JSON lines")
    one.add_argument("id", metavar="ID", help="transaction_id, or the Call-ID of any leg")
    rows = asked.add_parser("carriers", help="the carriers, the worst first")
    rows.add_argument("--since", metavar="TIME", default="1h", help="90m, 1h, 7d")
    person = asked.add_parser("forget", help="delete a person from the tables")
    person.add_argument("token", metavar="TOKEN", help="n-... , or the user where people are not masked")


def _cost(sub: argparse.ArgumentParser) -> None:
    _config(sub)
    sub.add_argument("--hosts", metavar="N", type=int, help="how many hosts; default: cost.hosts")
    sub.add_argument("--connectors", metavar="N", type=int, help="as though there were so many")
    sub.add_argument("--carriers", metavar="N", type=int, help="as though there were so many")
    sub.add_argument(
        "--calls", metavar="N", type=float, help="calls up on each host, mean; default: cost.expected_calls"
    )
    sub.add_argument(
        "--cps", metavar="N", type=float, help="call attempts a second on each; default: cost.expected_cps"
    )


def _aws(sub: argparse.ArgumentParser) -> None:
    texts = (
        "dashboard", "alarms", "policy", "cloudformation", "terraform", "queries", "grafana", "prometheus",
    )  # fmt: skip
    sub.add_argument("text", metavar="TEXT", choices=texts, help="one of " + ", ".join(texts))
    _config(sub)
    sub.add_argument("--hosts", metavar="N", type=_count, help="how many hosts send; default: cost.hosts")
    sub.add_argument(
        "-o", "--output", metavar="FOLDER", help="cloudformation: write here, as many templates as it takes"
    )


def _help(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("name", metavar="COMMAND", nargs="?", help="the command; without it all of them")


def _completion(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("shell", choices=SHELLS, help="the shell")


def _nothing(sub: argparse.ArgumentParser) -> None:
    pass


def _config(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--config", metavar="FILE", help="TOML settings; without it the defaults")


def _files(sub: argparse.ArgumentParser, many: str = "+") -> None:
    _capture(sub, many)
    _config(sub)


def _capture(sub: argparse.ArgumentParser, many: str) -> None:
    sub.add_argument("files", metavar="FILE", nargs=many, help="pcap, pcapng, either gzipped, or - for stdin")
    sub.add_argument("--vc", metavar="ADDR", action="append", default=[], help="an address of the SBC")
    sub.add_argument("--customer", metavar="CIDR", action="append", default=[], help="a network of customers")
    sub.add_argument("--keylog", metavar="FILE", help="TLS session keys: reads SIP over TLS, by tshark")


# One row a command: "module:function" that takes the parsed options, the help text, and the function that
# adds its arguments.
_COMMANDS: dict[str, tuple[str, str, Callable[[argparse.ArgumentParser], None]]] = {
    "run": ("agent.daemon.service:run_command", "Watch this host: the daemon.", _run),
    "replay": (
        "agent.commands.replay:replay_command",
        "Put capture files through the same pipeline.",
        _replay,
    ),
    "streams": ("agent.commands.streams:streams_command", "One row per RTP stream of capture files.", _table),
    "verify": ("agent.commands.verify:verify_command", "Hold capture files against tshark.", _table),
    "report": (
        "agent.commands.report:report_command",
        "A call as one page to mail, verdict first.",
        _report,
    ),
    "web": ("agent.commands.web:web_command", "The store as pages, for a browser.", _web),
    "top": ("agent.commands.top:top_command", "Calls now, the worst first; of a daemon, or of a file.", _top),
    "calls": ("agent.commands.calls:calls_command", "Calls in the store, by number, time, quality.", _list),
    "minutes": ("agent.commands.calls:minutes_command", "Minutes in the store, or of such calls.", _list),
    "call": ("agent.commands.call:call_command", "One call: whose network it was, and the proof.", _call),
    "evidence": (
        "agent.commands.evidence:evidence_command",
        "Packets kept of calls: list, export, ask for.",
        _evidence,
    ),
    "check-config": (
        "agent.commands.check_config:check_command",
        "Check a configuration, say what it means.",
        _check,
    ),
    "selftest": ("agent.commands.selftest:selftest_command", "Does this installation count right?", _nothing),
    "healthcheck": ("agent.commands.healthcheck:healthcheck_command", "Is the daemon here alive?", _config),
    "init": ("agent.commands.init:init_command", "Look at this host, write a first configuration.", _init),
    "cost": ("agent.provision.cost:cost_command", "What a configuration will cost a month, by part.", _cost),
    "aws": ("agent.provision.aws:aws_command", "Dashboards, alarms, policy, queries as code.", _aws),
    "fleet": ("agent.commands.fleet:fleet_command", "What all hosts' records say, in ClickHouse.", _fleet),
    "config": ("agent.commands.config:config_command", "Every setting, with its help and default.", _nothing),
    "completion": (
        "agent.commands.completion:completion_command",
        "Completion of commands and options, for a shell.",
        _completion,
    ),
    "help": ("agent.cli:help_command", "A command's options, with examples.", _help),
}


def help_command(options: argparse.Namespace) -> int:
    """`sbcwatch help [COMMAND]`. Raises ConfigError where the command does not exist."""
    if options.name is not None and options.name not in _COMMANDS:
        raise ConfigError(unknown_command(options.name))
    (parser() if options.name is None else _command_parser(options.name)).print_help()
    return 0
