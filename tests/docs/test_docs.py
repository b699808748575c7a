"""What the documents say about the code, held against the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.config import PREFIX, Config
from app.domain.errors import SetpointError
from app.kit.methods import Methods
from app.kit.problems import status_of
from app.main import HANDLERS

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
DECISIONS = ROOT / "docs" / "decisions"
NAMES_FILES = [ROOT / "docs" / name for name in ("glossary.md", "architecture.md", "operations.md", "policies.md")]
CODE = ("app", "migrations", "policies", "scripts", "tests")
CODE_FILES = [
    *sorted(
        path
        for folder in CODE
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix in ("", ".py", ".polar", ".sql", ".yaml") and "__pycache__" not in path.parts
    ),
    *(ROOT / name for name in ("Dockerfile", "docker-compose.yml", "pyproject.toml")),
]


def text_of(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


# ---- configuration ----


@pytest.mark.parametrize("field", Config.__struct_fields__)
def test_every_variable_is_in_the_table_with_its_default(field: str) -> None:
    rows = re.findall(rf"^\| `{PREFIX}{field.upper()}` \| (.+?) \| .+ \|$", text_of("docs/operations.md"), re.MULTILINE)
    default = getattr(Config(), field)

    assert len(rows) == 1
    if default is not None:
        assert rows[0] == f"`{default}`"


def test_the_table_names_no_variable_that_there_is_not() -> None:
    named = re.findall(rf"^\| `{PREFIX}(\w+)` \|", text_of("docs/operations.md"), re.MULTILINE)

    assert sorted(named) == sorted(field.upper() for field in Config.__struct_fields__)


# ---- the HTTP interface ----


def errors() -> list[type[SetpointError]]:
    found: list[type[SetpointError]] = []
    waiting = list(SetpointError.__subclasses__())
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting += kind.__subclasses__()
    return sorted((kind for kind in found if kind.__module__.startswith("app.")), key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", errors(), ids=lambda kind: kind.__name__)
def test_every_error_is_in_the_table_with_its_status_and_code(kind: type[SetpointError]) -> None:
    error = kind.__new__(kind)  # its class says all that is asked for here
    row = rf"^\| {status_of(error)} \| `{kind.code}` \| .+ \| `{kind.__name__}` \|$"

    assert len(re.findall(row, text_of("docs/http.md"), re.MULTILINE)) == 1


def routes() -> list[str]:
    return sorted(
        f"{method} {shown(path)}"
        for one in HANDLERS
        for path in one.paths
        for method in one.http_methods
        if method not in ("HEAD", "OPTIONS")
    )


def shown(path: str) -> str:
    """`/api/tenants/{tenant_id:str}` as documents write it: `/api/tenants/{tenantId}`."""
    return re.sub(r"\{(\w+):\w+\}", lambda match: "{" + camel(match[1]) + "}", path)


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def documented() -> set[str]:
    return set(re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) /[^`? ]*)", text_of("docs/http.md")))


@pytest.mark.parametrize("route", routes())
def test_every_route_is_documented(route: str) -> None:
    assert route in documented()


def test_no_route_is_documented_that_there_is_not() -> None:
    assert documented() <= {*routes(), "GET /schema/openapi.json"}


def commands_of_the_readme() -> list[str]:
    blocks = re.findall(r"^```\n(.*?)^```$", text_of("README.md"), re.MULTILINE | re.DOTALL)
    joined = "\n".join(blocks).replace("\\\n", " ")
    return [line for line in joined.splitlines() if "curl " in line]


@pytest.mark.parametrize("command", commands_of_the_readme())
def test_a_curl_line_of_the_readme_asks_for_a_route_that_there_is(command: str) -> None:
    path = re.findall(r"\$API(/[^\s\"'?]*)", command)
    named = re.search(r"-X (\w+)", command)
    method = named[1] if named is not None else "POST" if " -d " in command else "GET"

    assert len(path) == 1
    assert method in (Methods(HANDLERS).allow(path[0]) or "").split(", ")


def test_the_readme_has_curl_lines() -> None:
    assert len(commands_of_the_readme()) >= 8


# ---- links and names ----


def links() -> list[tuple[Path, str]]:
    return [
        (document, target)
        for document in DOCUMENTS
        for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text("utf-8"))
        if not target.startswith(("http://", "https://"))
    ]


@pytest.mark.parametrize(("document", "target"), links(), ids=lambda part: part if isinstance(part, str) else part.name)
def test_a_link_leads_somewhere(document: Path, target: str) -> None:
    path, _, anchor = target.partition("#")
    found = (document.parent / path).resolve() if path else document

    assert found.exists()
    if anchor:
        headings = re.findall(r"^#+ (.+)$", found.read_text("utf-8"), re.MULTILINE)
        assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def named_files() -> list[tuple[str, str]]:
    pattern = r"`((?:app|docs|migrations|policies|scripts|tests)/[\w./-]*)"
    return sorted({(path.name, name) for path in NAMES_FILES for name in re.findall(pattern, path.read_text("utf-8"))})


@pytest.mark.parametrize(("document", "name"), named_files())
def test_a_file_that_a_document_names_is_there(document: str, name: str) -> None:
    assert (ROOT / name).exists(), document


@pytest.mark.parametrize(
    ("word", "file", "name"),
    re.findall(r"^\| \*\*(.+?)\*\*.* \| `(app/[\w/]+\.py)`, `([\w.]+)` \|$", text_of("docs/glossary.md"), re.MULTILINE),
)
def test_a_word_of_the_glossary_is_a_name_in_its_file(word: str, file: str, name: str) -> None:
    assert re.search(rf"\b{name.rpartition('.')[2]}\b", text_of(file)), word


@pytest.mark.parametrize("path", [path for path in CODE_FILES if "docs/" in path.read_text("utf-8")], ids=name_of)
def test_a_decision_that_code_refers_to_is_recorded(path: Path) -> None:
    named = re.findall(r"docs/decisions/(\d{4}[\w.-]*)", path.read_text("utf-8"))

    assert all(sorted(DECISIONS.glob(f"{one.removesuffix('.').removesuffix('.md')}*.md")) for one in named)


@pytest.mark.parametrize("path", sorted(DECISIONS.glob("*.md")), ids=lambda path: path.stem)
def test_a_decision_has_its_number_and_its_four_parts(path: Path) -> None:
    text = path.read_text("utf-8")

    assert text.startswith(f"# {path.name[:4]}: ")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences", "Alternatives"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_a_document_names_no_place_of_one_machine(document: Path) -> None:
    assert not re.search(r"(?:^|[\s\"'(=`])/(?:work|tmp|root|home)/", document.read_text("utf-8"))
