"""The shape of the code, held by its syntax trees: one import direction, closed rooms, bounded files."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "marketplace_api"

# Lower rooms first; a file may import only from rooms before its own, or from its own. `schemas` and `hal` are one
# storey: what comes in and what goes out.
STOREYS = (
    {"config", "errors", "version", "lazy"},
    {"logs"},
    {"database"},
    {"boot"},
    {"models"},
    {"diagnostics"},
    {"gateways"},
    {"domain"},
    {"backup", "security", "jobs"},
    {"resources"},
    {"schemas", "hal"},
    {"views"},
    {"app", "serve"},
    {"realtime", "cli"},
    {"__init__"},
)
LEVEL = {room: level for level, rooms in enumerate(STOREYS) for room in rooms}

SQL_ROOMS = {"database", "models", "domain", "jobs"}
PYRAMID_FROM = LEVEL["security"]
CORNICE_FILES = {"views/service.py", "app.py"}
MAX_LINES = 400
MAX_TEST_LINES = 450
MAX_FUNCTION = 60


def _files() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "static" not in path.parts)


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"relative import in line {node.lineno}"
            yield node.module, node.lineno
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def _target_room(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "marketplace_api" and len(parts) > 1 else None


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_file(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    room, relative = _room(path), str(path.relative_to(PACKAGE))
    assert room in LEVEL, f"{room} has no storey"
    assert len(text.splitlines()) <= MAX_LINES, f"{relative} has grown past its room"
    assert ast.get_docstring(tree), f"{relative} does not say what lives in it"
    for module, line in _imports(tree):
        target = _target_room(module)
        if target in LEVEL:
            assert LEVEL[target] <= LEVEL[room], f"{relative}:{line} imports {module} from above"
        top = module.split(".")[0]
        if top == "pyramid":
            assert LEVEL[room] >= PYRAMID_FROM, f"{relative}:{line} knows Pyramid"
        if top == "cornice":
            assert relative in CORNICE_FILES, f"{relative}:{line} knows Cornice"
        if top == "sqlalchemy":
            assert room in SQL_ROOMS, f"{relative}:{line} could query"


def test_no_file_of_tests_has_grown_past_its_subject() -> None:
    files = (path for path in (ROOT / "tests").rglob("*.py") if "node_modules" not in path.parts)
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}
    assert {name: count for name, count in lines.items() if count > MAX_TEST_LINES} == {}


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_functions(path: Path) -> None:
    """No imports hidden in functions (the CLI loads what it needs when it runs, the migrations Alembic), and none too
    long."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        assert length <= MAX_FUNCTION, f"{path.name}:{node.lineno} {node.name} has {length} lines"
        hidden = [child for child in ast.walk(node) if isinstance(child, ast.Import | ast.ImportFrom)]
        if _room(path) != "cli" and path not in (PACKAGE / "__init__.py", PACKAGE / "database" / "migrations.py"):
            assert not hidden, f"{path.name}:{hidden[0].lineno} hides an import in {node.name}"


# Where a piece of a transaction may see everything, and why nothing less will do.
ELEVATED = {
    "domain/identity/accounts/sessions.py refresh": "a refresh token names a session before it is known whose it is",
    "domain/identity/accounts/recovery.py _redeem": "a token from a mail is looked up before it is known whose it is",
    "domain/eventlog/stream_tickets.py redeem_ticket": "a ticket names a session before it is known whose it is",
    "domain/identity/accounts/lifecycle.py ban": "a moderator ends the sessions of another account",
    "domain/identity/accounts/lifecycle.py set_roles": "an admin ends the sessions of another account",
    "domain/trust/moderation/messages.py _of_both": "a moderator changes what belongs to the two of a conversation",
    "domain/outbound/phones/confirmation.py _take_over": "who shows that they hold a number takes it from another account",
    "domain/outbound/phones/reports.py take": "a provider tells what became of a message, whosever it was",
    "domain/outbound/push_subscriptions/subscriptions.py _held": "who is logged in to a browser takes it over",
}


def test_few_places_see_more_than_their_caller() -> None:
    found = set()
    for path in _files():
        for function in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)):
            called = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
            if any(getattr(name, "attr", getattr(name, "id", "")) == "elevated" for name in called):
                found.add(f"{path.relative_to(PACKAGE)} {function.name}")
    assert found == set(ELEVATED)


def test_no_import_cycles() -> None:
    graph: dict[str, set[str]] = {}
    for path in _files():
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        graph[name] = {
            module for module, _ in _imports(ast.parse(path.read_text())) if module.startswith("marketplace_api")
        }
    graph = {
        name: {target for target in targets if target in graph and target != name} for name, targets in graph.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail[trail.index(name) :], name))
        if name in done:
            return
        for target in graph[name]:
            if not name.startswith(f"{target}."):  # a package's docstring-only __init__
                visit(target, (*trail, name))
        done.add(name)

    for name in graph:
        visit(name, ())


def test_alembic_folder_is_no_package() -> None:
    """With an ``__init__.py`` the folder would hide the library of the same name."""
    assert not (ROOT / "alembic" / "__init__.py").exists()


def test_nothing_left_open() -> None:
    for path in _files():
        for line, text in enumerate(path.read_text().splitlines(), 1):
            assert not any(mark in text for mark in ("TODO", "FIXME", "XXX")), f"{path.name}:{line}"
