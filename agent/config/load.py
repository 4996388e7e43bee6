"""Reading a configuration: TOML and the environment in, settings or every problem out.

An environment variable `SBCWATCH_<SECTION>_<KEY>` overrides the key of a section (lists: commas between),
`SBCWATCH_CONNECTORS__0__ID` that of a table which may stand several times.
Problems are collected, not raised one by one: an operator fixes a file in one go.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from agent.config.settings import CarrierSettings, Config, ConnectorSettings, TunnelSettings, media_ports
from agent.errors import ConfigError
from agent.summary.catalog import RETENTION_DAYS

if TYPE_CHECKING:
    from pathlib import Path

ENVIRONMENT = "SBCWATCH_"
# Variables of that name that are no settings: our own for building and tests, and those that Kubernetes and
# Docker set in each container for a service called sbcwatch.
NO_SETTINGS = (
    r"(?s)SBCWATCH_((NO|REQUIRE)_COMPILED=|TEST_|(\w+_)?SERVICE_(HOST|PORT)|(\w+_)?PORT(=\w+://|_\d+_)).*"
)
# Settings that were renamed or moved: "section.key" before, "section.key" now. A file or variable with the
# old name works as before, and a warning names the new one. An entry stays for two minor versions at least.
RENAMED: dict[str, str] = {}
# Settings that are gone, and what stands in their place.
GONE = {
    "capture.hep_ports": 'is gone: write [[capture.tunnels]] with kind = "hep", port, and peers: who sends it'
}
# Sections that may stand several times, as [[tables]]; and an id for the shipped file.
TABLES: dict[str, Any] = {"connectors": ConnectorSettings, "carriers": CarrierSettings}
_EXAMPLES = {"connectors": "trunk-1", "carriers": "carrier-1"}
# A check of a configuration that was read: section, key, and the problem.
Check = Callable[[Config], Iterable[tuple[str, str, str]]]


class Problem(Struct, frozen=True):
    """One problem of a configuration. `line` 0: not in the file (environment, or a missing key)."""

    where: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.where}: {self.text}" if self.line else f"{self.where}: {self.text}"


def _to_stderr(warning: str) -> None:
    print(f"warning: {warning}", file=sys.stderr)


def load(
    path: str | Path | None,
    environment: Mapping[str, str] = os.environ,
    warn: Callable[[str], None] = _to_stderr,
    further: Check | None = None,
    doubts: Check | None = None,
) -> Config:
    """The configuration of a file (None: defaults) and the environment.

    `warn` gets the old names found and the results of `doubts`.
    Raises ConfigError with every problem, each on its line; those of `further` among them.
    """
    text = text_of(path)
    warnings: list[Problem] = []
    config, problems = read(text, environment, warnings, further, doubts)
    name = str(path) if path is not None else "configuration"
    for warning in warnings:
        warn(f"{name}: {warning}")
    if config is None:
        raise ConfigError("\n".join(f"{name}: {problem}" for problem in problems))
    return config


def text_of(path: str | Path | None) -> str:
    """The text of a configuration, "" without one. Raises ConfigError where it cannot be read."""
    text = ""
    if path is not None:
        try:
            with open(path, encoding="utf-8-sig") as file:  # some editors begin with a mark
                text = file.read()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
            raise ConfigError(f"{path}: {reason}: name a readable TOML file with --config") from None
    return text


def read(
    text: str,
    environment: Mapping[str, str],
    warnings: list[Problem] | None = None,
    further: Check | None = None,
    doubts: Check | None = None,
) -> tuple[Config | None, list[Problem]]:
    """Parses and checks: either a configuration or every problem.

    `warnings` gets the old names found and the results of `doubts`.
    """
    raw: dict[str, Any] = {}
    if text:
        import tomllib  # 5 ms: only where there is text to parse

        try:
            raw = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            return None, [Problem("syntax", _line_in(str(error)), f"{error}: mend the TOML")]
    problems: list[Problem] = []
    noted = warnings if warnings is not None else []
    if RENAMED:
        text = _renamed(raw, text, noted, problems)
        environment = _renamed_variables(environment, noted, problems)
    variables = _override(raw, environment, problems)
    values: dict[str, Any] = {}
    for section, content in raw.items():
        field = _fields(Config).get(section)
        if field is None:
            problems.append(Problem(section, _line_of(text, section), _unknown(section, _fields(Config))))
        elif section in TABLES:
            rows = content if isinstance(content, list) else [content]
            values[section] = [
                row
                for number, one in enumerate(rows)
                if (row := _section(TABLES[section], f"{section}[{number}]", one, text, problems)) is not None
            ]
        elif (built := _section(field.type, section, content, text, problems)) is not None:
            values[section] = built
    # A value that could not be read is at its default now: all other checks still run.
    config = Config(**values)
    refused_places = {problem.where for problem in problems}
    problems = [
        Problem(variables[problem.where], 0, problem.text) if problem.where in variables else problem
        for problem in problems
    ]

    def found(checks: Iterable[tuple[str, str, str]]) -> Iterator[Problem]:
        for section, key, reason in checks:
            where = f"{section}.{key}"
            if where not in refused_places:
                line = 0 if where in variables else _line_of(text, section, key)
                yield Problem(variables.get(where, where), line, reason)

    if raw:  # the defaults pass: tests/config/test_load.py
        from agent.config.checks import refused  # 5 ms with its patterns

        problems += found((*_check(config), *refused(config)))
    problems += found(further(config) if further else ())
    problems.sort(key=lambda problem: problem.line)
    noted += found(doubts(config) if doubts else ())
    return (None, problems) if problems else (config, [])


def _renamed(raw: dict[str, Any], text: str, warnings: list[Problem], problems: list[Problem]) -> str:
    """Moves old names of `raw` to their new place, and their text too where the section stays."""
    for old, new in RENAMED.items():
        (section, key), (target, name) = old.split("."), new.split(".")
        content = raw.get(section)
        for number, row in enumerate(content if isinstance(content, list) else [content]):
            if not isinstance(row, dict) or key not in row:
                continue
            where = f"{section}[{number}]" if isinstance(content, list) else section
            line = _line_of(text, where, key)
            into = row if target == section else raw.setdefault(target, {})
            if name in into:
                problems.append(
                    Problem(f"{where}.{key}", line, f"is {new} now, which is set too: remove this one")
                )
            else:
                into[name] = row[key]
                warnings.append(Problem(f"{where}.{key}", line, f"is {new} now: rename it"))
            del row[key]
            if line and target == section:
                lines = text.splitlines()
                lines[line - 1] = lines[line - 1].replace(key, name, 1)
                text = "\n".join(lines)
        if content == {} and section not in _fields(Config):
            del raw[section]  # an old section in which nothing unknown is left
    return text


def _renamed_variables(
    environment: Mapping[str, str], warnings: list[Problem], problems: list[Problem]
) -> Mapping[str, str]:
    found = dict(environment)
    for old, new in RENAMED.items():
        before, since = (ENVIRONMENT + name.replace(".", "_").upper() for name in (old, new))
        if before in found:
            value = found.pop(before)
            if since in found:
                problems.append(Problem(before, 0, f"is {since} now, which is set too: remove this one"))
            else:
                found[since] = value
                warnings.append(Problem(before, 0, f"is {since} now: rename it"))
    return found


def _section(kind: Any, where: str, content: Any, text: str, problems: list[Problem]) -> Any:
    """Converts one section key by key, so that every bad key is reported."""
    if not isinstance(content, dict):
        name = where.partition("[")[0]
        head = f"[[{name}]]" if name in TABLES else f"[{name}]"
        problems.append(Problem(where, _line_of(text, where), f"must be a table: {head}"))
        return None
    values: dict[str, Any] = {}
    fields = _fields(kind)
    for key, value in content.items():
        field = fields.get(key)
        if field is None:
            line = _line_of(text, where, key)
            name = f"{where}.{key}"
            problems.append(Problem(name, line, GONE.get(name) or _unknown(key, fields)))
            continue
        try:
            values[key] = msgspec.convert(value, field.type)
        except msgspec.ValidationError as error:
            choice, line = _choice(field.type, value, str(error)), _line_of(text, where, key)
            problems.append(Problem(f"{where}.{key}", line, f"{error}{choice}; it is for: {_help(field)}"))
        if _has_nul(value):  # no file, name or expression can have one, and most calls raise ValueError
            values.pop(key, None)
            problems.append(Problem(f"{where}.{key}", _line_of(text, where, key), "has a NUL: remove it"))
    unread = [key for key, field in fields.items() if field.required and key not in values]
    problems += [
        Problem(f"{where}.{key}", _line_of(text, where), f"is required: add {key} = ...")
        for key in unread
        if key not in content
    ]
    return kind(**dict.fromkeys(unread, ""), **values)  # so that its other problems are reported as well


def _check(config: Config) -> Iterator[tuple[str, str, str]]:
    """The checks that types cannot do: section, key, and the problem."""
    for address in (*config.vc.addresses, *config.vc.public_addresses, *config.vc.public_addresses.values()):
        if not _parses(ip_address, address):
            yield "vc", "addresses", f'"{address}" is no IP address: write it as 192.0.2.1'
    for network in config.customers.networks:
        if not _parses(ip_network, network):
            yield "customers", "networks", _no_network(network)
    yield from _check_carriers(config)
    seen: set[str] = set()
    for number, connector in enumerate(config.connectors):
        where = f"connectors[{number}]"
        if not re.fullmatch(r"[A-Za-z0-9._\-/#]{1,256}", connector.id):
            yield where, "id", f'"{connector.id}" will not do: letters, digits and . _ - / # only'
        if connector.id == "unassigned":
            yield where, "id", '"unassigned" is where calls go that fit no connector: choose another name'
        if connector.id in seen:
            yield where, "id", f'"{connector.id}" is there twice: put both into one table'
        seen.add(connector.id)
        for network in connector.customer_networks:
            if not _parses(ip_network, network):
                yield where, "customer_networks", _no_network(network)
    defaults = [number for number, connector in enumerate(config.connectors) if connector.default]
    for number in defaults[1:]:
        yield f"connectors[{number}]", "default", "only one connector can be the default: remove this one"
    if config.capture.media_ports and media_ports(config) is None:
        yield "capture", "media_ports", "write it as first-last, for example 10000-20000"
    if config.capture.lateness <= config.calls.join_window:
        yield "capture", "lateness", "must be more than calls.join_window"
    if config.cloudwatch.namespace.startswith("AWS/"):
        yield "cloudwatch", "namespace", "AWS/ is reserved: use a name of your own"
    if config.logs.retention_days not in RETENTION_DAYS:
        yield "logs", "retention_days", f"must be one of {', '.join(map(str, RETENTION_DAYS))}"


def _check_carriers(config: Config) -> Iterator[tuple[str, str, str]]:
    owners: dict[str, str] = {}
    seen: set[str] = set()
    for number, carrier in enumerate(config.carriers):
        where = f"carriers[{number}]"
        if not re.fullmatch(r"[A-Za-z0-9._\-/#]{1,256}", carrier.id):
            yield where, "id", f'"{carrier.id}" will not do: letters, digits and . _ - / # only'
        if carrier.id in seen:
            yield where, "id", f'"{carrier.id}" is there twice: put both into one table'
        seen.add(carrier.id)
        for network in carrier.networks:
            if not _parses(ip_network, network):
                yield where, "networks", _no_network(network)
        names = [str(ip_network(n, strict=False)) for n in carrier.networks if _parses(ip_network, n)]
        for name in (*names, *(domain.lower() for domain in carrier.domains)):
            if owners.setdefault(name, carrier.id) != carrier.id:
                key = "networks" if name in names else "domains"
                yield where, key, f'"{name}" is {owners[name]}\'s already: it can have one carrier only'


def _has_nul(value: Any) -> bool:
    if isinstance(value, dict):
        value = [*value, *value.values()]
    return "\0" in value if isinstance(value, str) else isinstance(value, list) and any(map(_has_nul, value))


def _no_network(text: str) -> str:
    return f'"{text}" is no network: write it as 192.0.2.0/24'


def _override(raw: dict[str, Any], environment: Mapping[str, str], problems: list[Problem]) -> dict[str, str]:
    """Puts the values of variables into `raw`. Returns each variable by "section.key"."""
    variables: dict[str, str] = {}
    for name, text in sorted(environment.items(), key=_in_order):
        if not name.startswith(ENVIRONMENT) or re.fullmatch(NO_SETTINGS, f"{name}={text}"):
            continue
        place = _place(raw, name[len(ENVIRONMENT) :].lower())
        if isinstance(place, str):
            problems.append(Problem(name, 0, place))
            continue
        where, row, setting = place
        row[setting.name] = _from_environment(text, setting)
        variables[f"{where}.{setting.name}"] = name
    return variables


def _in_order(variable: tuple[str, str]) -> str:
    """Sorts by name, numbers in it by their value: connector 10 comes after connector 9."""
    return re.sub(r"[0-9]+", lambda number: number[0].zfill(9), variable[0])


def _place(raw: dict[str, Any], name: str) -> tuple[str, dict[str, Any], Any] | str:
    """Section, its table in `raw` and the setting that a variable names; or the problem of its name."""
    row = re.fullmatch(rf"({'|'.join(TABLES)})__(\d{{1,4}})__(\w+)", name)
    if row:
        table, number, key, fields = row[1], int(row[2]), row[3], _fields(TABLES[row[1]])
        rows = raw.setdefault(table, [])
        if isinstance(rows, dict):  # [connectors] for [[connectors]]: one table
            rows = raw[table] = [rows]
        if key not in fields:
            return _unknown(key, fields)
        if not isinstance(rows, list) or number > len(rows):
            return f"there is no {table.removesuffix('s')} {number} yet: number them from 0"
        if number == len(rows):
            rows.append({})
        if not isinstance(rows[number], dict):
            return f"{table}[{number}] must be a table: [[{table}]]"
        return f"{table}[{number}]", rows[number], fields[key]
    section, _, key = name.partition("_")
    sections = {name: field for name, field in _fields(Config).items() if name not in TABLES}
    if section not in sections:
        known = [variable for name, field in sections.items() for variable in _variables(name, field)]
        return _unknown(
            (ENVIRONMENT + name).upper(),
            known,
            "write SBCWATCH_<SECTION>_<KEY>, or SBCWATCH_CONNECTORS__0__ID",
        )
    fields = _fields(sections[section].type)
    if key not in fields:
        gone = GONE.get(f"{section}.{key}")
        return gone or _unknown((ENVIRONMENT + name).upper(), _variables(section, sections[section]))
    content = raw.setdefault(section, {})
    return (section, content, fields[key]) if isinstance(content, dict) else f"[{section}] must be a table"


def _variables(section: str, field: Any) -> list[str]:
    return [f"{ENVIRONMENT}{section}_{key}".upper() for key in _fields(field.type)]


def _from_environment(text: str, setting: Any) -> Any:
    kind = _bare(setting.type)
    if get_origin(kind) is tuple:
        is_text = _bare(get_args(kind)[0]) is str
        parts = [part.strip() for part in text.split(",") if part.strip()]
        return parts if is_text else [_scalar(part) for part in parts]
    return text if kind is str or get_origin(kind) is Literal else _scalar(text)


def _bare(kind: Any) -> Any:
    """A type without its `Annotated` part."""
    return _bare(get_args(kind)[0]) if get_origin(kind) is Annotated else kind


def _choice(kind: Any, value: Any, fault: str = "") -> str:
    """The permitted words of a setting that takes one of a few, or several, and the nearest of them."""
    bare = _bare(kind)
    bare = _bare(get_args(bare)[0]) if get_origin(bare) is tuple else bare
    inner = re.search(r"`\$\[(\d+)\]\.(\w+)`", fault)  # a setting of a table in a list
    if inner:
        number, name = int(inner[1]), inner[2]
        return _choice(_fields(bare)[name].type, value[number][name])
    if get_origin(bare) is not Literal:
        return ""
    from agent.config.checks.words import nearest  # of a wrong value only

    words = get_args(bare)
    wrong = [v for v in (value if isinstance(value, list) else [value]) if v not in words]
    return f": one of {', '.join(words)}{nearest(str(wrong[0]), words) if wrong else ''}"


def _scalar(text: str) -> Any:
    import tomllib

    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _fields(kind: Any) -> dict[str, Any]:
    return {field.name: field for field in msgspec.structs.fields(kind)}


def _help(field: Any) -> str:
    metas = [meta for meta in get_args(field.type)[1:] if isinstance(meta, Meta)]
    return next((meta.description for meta in metas if meta.description), "")


def _unknown(key: str, known: Iterable[str], instead: str = "") -> str:
    import difflib

    known = list(known)
    close = difflib.get_close_matches(key, known, 1)
    if close:
        return f"there is no such setting: did you mean {close[0]}?"
    return f"there is no such setting: {instead or 'there are ' + ', '.join(known)}"


def _parses(parse: Any, text: str) -> bool:
    try:
        parse(text, strict=False) if parse is ip_network else parse(text)
    except ValueError:
        return False
    return True


def _line_in(message: str) -> int:
    found = re.search(r"line (\d+)", message)
    return int(found[1]) if found else 0


def _line_of(text: str, section: str, key: str | None = None) -> int:
    """The line (from 1) of a section, or of a key in it; 0 where it is not in the text."""
    name, _, number = section.partition("[")
    wanted = int(number.rstrip("]")) if number else 0
    seen, inside = -1, False
    for line, content in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[\[?\s*([\w.]+)\s*\]", content)
        if header:
            inside = header[1].split(".")[0] == name
            seen += inside
            if inside and seen == wanted and key is None:
                return line
        elif inside and key is not None and seen >= wanted and re.match(rf"\s*{re.escape(key)}\s*=", content):
            return line
    return 0


def shipped() -> str:
    """`config/sbcwatch.toml`: every setting with its help and default."""
    lines = [
        "# sbcwatch: every setting, with its default. Remove the # to change one.",
        "# Check a file with: sbcwatch check-config FILE",
    ]
    for section, field in _fields(Config).items():
        kind = TABLES.get(section, field.type)
        head = f"#[[{section}]]" if section in TABLES else f"[{section}]"
        lines += ["", f"# {kind.__doc__}", head]
        tables = {}
        for setting in _fields(kind).values():
            if setting.name == "tunnels":
                tables[f"{section}.{setting.name}"] = TunnelSettings
            else:
                lines += _shipped_setting(setting, _EXAMPLES.get(section, ""))
        for name, table in tables.items():
            lines += ["", f"# {table.__doc__}", f"#[[{name}]]"]
            for setting in _fields(table).values():
                lines += _shipped_setting(setting, "vxlan")
    return "\n".join(lines) + "\n"


def _shipped_setting(setting: Any, example: str) -> list[str]:
    """The lines of one setting: help and default; `example` where a value must be given."""
    default = setting.default
    if setting.default_factory is not msgspec.NODEFAULT:
        default = setting.default_factory()
    if default is msgspec.NODEFAULT:
        default = example
    return [f"# {_help(setting)}", f"#{setting.name} = {_toml(default)}"]


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f'"{k}" = {_toml(v)}' for k, v in value.items()) + " }" if value else "{}"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)
