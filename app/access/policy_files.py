"""The files of a policy: read, looked through for what means two things, and their lines found again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from app.access.policy import PolicyError

Files: TypeAlias = Sequence[tuple[str, str]]
"""Names and sources."""

RULES = "*.polar"
DECLARATIONS = "*.types.yaml"

# `cut` and negated rules mean different things to the VM and to its partial evaluator, and a missing attribute under
# `not` grants; so neither is taken.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|#[^\n]*|\s+|;|[^\s"#;]+|"')
_FORBIDDEN_WORDS = re.compile(r"\bcut\b|\bnot\s+[a-z_]+\s*\(")


def read_files(folders: Sequence[Path]) -> list[tuple[str, str]]:
    """
    The `.polar` files of all folders, looked through.

    Raises PolicyError when there are none, two have one name, one cannot be read, or says what is not taken.
    """
    files = _read(folders, RULES)
    for name, source in files:
        _lint(name, source)
    return files


def read_declarations(folders: Sequence[Path]) -> list[tuple[str, str]]:
    """The files of all folders that declare types of resources; there may be none. Raises PolicyError."""
    return _read(folders, DECLARATIONS)


def fingerprint(folders: Sequence[Path]) -> str:
    """What changes when the files of these folders do, good or bad; never raises."""
    digest = hashlib.sha256()
    for path in (path for folder in folders for path in _paths(folder)):
        try:
            digest.update(f"{path}\n".encode() + path.read_bytes())
        except OSError as error:
            digest.update(f"{path}\n{error.errno}".encode())
    return digest.hexdigest()


def digest_of(files: Files) -> str:
    """What tells two policies apart, over names and sources."""
    digest = hashlib.sha256()
    for name, source in files:
        digest.update(f"{len(name)}:{name}{len(source)}:".encode() + source.encode())
    return digest.hexdigest()


def joined(files: Files) -> str:
    """
    The sources as Oso may see them.

    Oso counts characters where it slices bytes: an error after a comment with an umlaut ends the process, by a panic
    that nothing can catch. Each such character becomes one that is a byte, so that places stay true.
    """
    return "\n".join(source.encode("ascii", "replace").decode("ascii") for _, source in files)


def placed(message: str, files: Files) -> str:
    """Oso's words in one line, its line of all files together said as one of the file it is in."""
    text = " ".join(line.strip() for line in message.splitlines()[:3])
    found = re.search(r" at line (\d+)", text)
    if found is None:
        return text
    number = int(found[1])
    for name, source in files:
        lines = source.count("\n") + 1
        if number <= lines:
            return f"{name}:{number}: {text[: found.start()]}"
        number -= lines
    return text


def statements_left_out(files: Files) -> Iterator[tuple[str, Files]]:
    """For each statement its place, `settings.polar:12`, and the files without it; other lines stay where they are."""
    for index, (name, source) in enumerate(files):
        for start, end in _statements(source):
            blank = "\n" * source.count("\n", start, end)
            without = (name, source[:start] + blank + source[end:])
            line = source.count("\n", 0, start) + 1
            yield f"{name}:{line}", [*files[:index], without, *files[index + 1 :]]


def _statements(source: str) -> Iterator[tuple[int, int]]:
    """Where each statement begins and ends, its semicolon included."""
    start: int | None = None
    for found in _TOKEN.finditer(source):
        if found[0].startswith("#") or found[0].isspace():
            continue
        if start is None:
            start = found.start()
        if found[0] == ";":
            yield start, found.end()
            start = None


def _read(folders: Sequence[Path], pattern: str) -> list[tuple[str, str]]:
    files = [file for folder in folders for file in _read_folder(folder, pattern)]
    names = [name for name, _ in files]
    for name in names:
        if names.count(name) > 1:
            raise PolicyError(f"Two policy files are called {name}; give one of them another name.")
    return files


def _read_folder(folder: Path, pattern: str) -> list[tuple[str, str]]:
    try:
        files = [(path.name, path.read_text("utf-8")) for path in sorted(folder.glob(pattern))]
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f"The policy in {folder} cannot be read: {error}.") from error
    if not files and pattern == RULES:
        raise PolicyError(f"There is no .polar file in {folder}; set SETPOINT_POLICIES_DIR to a folder with one.")
    return files


def _paths(folder: Path) -> list[Path]:
    return sorted(path for pattern in (RULES, DECLARATIONS) for path in folder.glob(pattern))


def _lint(name: str, source: str) -> None:
    for number, line in enumerate(source.splitlines(), start=1):
        code = line[: _comment_start(line)]
        found = _FORBIDDEN_WORDS.search(code)
        if found is not None:
            raise PolicyError(f"{name}:{number}: `{found[0]}…` is not taken here; write a rule that says what grants.")
        if not code.isascii():
            raise PolicyError(f"{name}:{number}: only comments may hold other characters than ASCII.")


def _comment_start(line: str) -> int:
    """Where the comment of a line begins; its end if it has none. A # inside quotes begins none."""
    quoted = False
    for place, character in enumerate(line):
        if character == '"' and line[place - 1 : place] != "\\":
            quoted = not quoted
        elif character == "#" and not quoted:
            return place
    return len(line)
