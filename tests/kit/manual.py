"""The man page and the shells' completion, from the parser; `make manual` writes them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import shtab

from agent.cli import SHELLS, parser
from agent.commands.completion import script
from agent.commands.examples import EXAMPLES

PAGE = Path(__file__).parents[2] / "docs" / "sbcwatch.1"
EXIT_STATUS = (
    ("0", "Done. Also where the reader of the output went away (| head)."),
    ("1", "The answer is no: figures differ, the daemon is not alive, a warning with --strict."),
    ("2", "Bad usage or configuration."),
    ("3", "Capture failed, or a disk."),
    ("4", "A sink failed."),
    ("130", "Ctrl-C. What was read of a capture file until then was printed."),
)
FILES = (
    (
        "/etc/sbcwatch/sbcwatch.toml",
        "The service's configuration. sbcwatch config prints every setting.",
    ),
    ("/var/lib/sbcwatch", "The local store and the host's key (store.directory)."),
)
ENVIRONMENT = (
    ("SBCWATCH_<SECTION>_<KEY>", "Overrides a setting of the file: SBCWATCH_CAPTURE_RING_MB=16."),
    ("SBCWATCH_REQUIRE_COMPILED=1", "Do not start uncompiled."),
    ("COLUMNS", "Width of tables and help."),
)


def manual() -> str:
    """The man page, in man(7)'s macros."""
    whole = parser()
    lines = ['.TH SBCWATCH 1 "" sbcwatch "User Commands"', ".SH NAME"]
    lines += [f"sbcwatch \\- {_text(str(whole.description))}", ".SH SYNOPSIS", ".B sbcwatch"]
    lines += [".I COMMAND", "[options]", ".SH COMMANDS", "Options may stand anywhere on the line."]
    for name, sub in commands(whole).items():
        lines += _command(name, sub)
    for title, rows in (("EXIT STATUS", EXIT_STATUS), ("FILES", FILES), ("ENVIRONMENT", ENVIRONMENT)):
        lines.append(f".SH {title}")
        for term, text in rows:
            lines += _item(term, text)
    return "\n".join(lines) + "\n"


def commands(whole: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Each command's parser by its name."""
    (action,) = (a for a in whole._actions if isinstance(a, argparse._SubParsersAction))
    return dict(action.choices)


def _command(name: str, sub: argparse.ArgumentParser) -> Iterator[str]:
    usage = " ".join(sub.format_usage().removeprefix("usage: ").replace("[-h] ", "").split())
    yield from (f".SS {_text(name)}", _text(str(sub.description)), ".PP", f".B {_text(usage)}")
    for action in sub._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        value = str(action.metavar or ("" if action.nargs == 0 or action.choices else action.dest.upper()))
        terms = [f"{option} {value}".strip() for option in action.option_strings] or [value or action.dest]
        yield from _item(", ".join(terms), str(action.help or ""), choices=action.choices)
    if EXAMPLES.get(name):
        yield from (".PP", "Examples:", ".PP", ".nf", ".RS", *map(_text, EXAMPLES[name]), ".RE", ".fi")


def _item(term: str, text: str, choices: object = None) -> tuple[str, ...]:
    more = f": {', '.join(choices)}" if isinstance(choices, tuple) else ""
    return ".TP", f".B {_text(term)}", _text(text + more)


def _text(text: str) -> str:
    """`text` as roff prints it: a dash is a dash, and no line is a macro."""
    plain = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{plain}" if plain.startswith((".", "'")) else plain


def completion(shell: str) -> str:
    """The script by which `shell` completes commands, options and file names."""
    whole = parser()
    for sub in commands(whole).values():
        for action in sub._actions:
            if action.metavar in ("FILE", "HTML"):
                action.complete = shtab.FILE  # type: ignore[attr-defined]
            elif action.metavar == "DIR":
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
            elif action.metavar == "COMMAND":
                action.choices = list(commands(whole))
    return str(shtab.complete(whole, shell=shell))


if __name__ == "__main__":
    PAGE.write_text(manual())
    for shell in SHELLS:
        script(shell).write_text(completion(shell))
