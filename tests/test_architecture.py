"""The shape of the code, held by its syntax trees: layers by folder, contexts by sub-folder, no circles, closed rooms.

Each test lists every violation at once. ``docs/architecture.md`` explains the grid.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "marketplace_api"

LAYERS = (
    ("config", "errors", "version", "lazy"),
    ("logs",),
    ("database",),
    ("boot",),
    ("models",),
    ("diagnostics",),
    ("gateways",),
    ("domain",),
    ("backup", "security", "jobs"),
    ("resources",),
    ("schemas", "hal"),
    ("views",),
    ("app", "serve"),
    ("realtime", "cli"),
    ("__init__",),
)
"""Lower ones first: a file imports only from layers before its own, or from its own."""

CONTEXTS = (
    ("kernel",),
    ("media",),
    ("identity",),
    ("eventlog",),
    ("deals",),
    ("payments",),
    ("catalog",),
    ("outbound",),
    ("community",),
    ("trust",),
    ("rental", "transport"),
    ("privacy",),
    ("operations",),
)
"""Lower ones first: a context imports, and its SQL names the tables of, itself and lower ones; never its neighbour."""

GRID = ("models", "domain", "resources", "schemas", "hal", "views", "jobs")
"""The layers whose sub-folders are contexts."""

BESIDE_CONTEXTS = {
    "models": set(),
    "domain": {"contexts"},
    "resources": {"base", "reify", "root", "traverser"},
    "schemas": {"base", "describe", "types", "uploads"},
    "hal": {
        "api_root",
        "forms",
        "message_link",
        "operations",
        "paging",
        "problems",
        "registry",
        "representation",
        "shapes",
    },
    "views": {
        "api_root",
        "docs",
        "errors",
        "file_response",
        "html_pages",
        "idempotency",
        "middleware",
        "negotiation",
        "openapi",
        "request_properties",
        "responses",
        "retry",
        "service",
        "uploads",
    },
    "jobs": {
        "admin",
        "concurrency",
        "cron",
        "dispatch",
        "enqueue",
        "failures",
        "handlers",
        "schedule",
        "schedule_runs",
        "services",
        "tasks",
        "worker",
    },
}
"""What stands directly in a layer: what all contexts are made of, and what puts them together."""

_MARKS = "marks what the caller may do or has done, on one thing and on a page of many; falls with preloads and parts"
_REPORTED = "shows whether the caller has reported it, which offers or hides reporting; falls with preloads"
UPWARD_IMPORTS = {
    "hal.catalog.listings -> domain.community.conversations.policy": _MARKS,
    "hal.catalog.listings -> domain.community.reviews.queries": _MARKS,
    "hal.catalog.listings -> domain.community.reviews.reading": "embeds the latest reviews; falls with parts",
    "hal.catalog.listings -> domain.trust.reports.queries": _REPORTED,
    "hal.catalog.listings -> hal.community.reviews": "embeds the latest reviews; falls with parts",
    "hal.community.conversations -> domain.trust.reports.queries": _REPORTED,
    "hal.community.reviews -> domain.trust.reports.queries": _REPORTED,
    "hal.eventlog.audit -> domain.catalog.listings.queries": "links to listings that are there; falls with subjects",
    "resources.catalog.listings -> domain.community.conversations.policy": _MARKS,
    "resources.catalog.listings -> domain.community.reviews.queries": _MARKS,
    "resources.catalog.listings -> domain.trust.reports.queries": _REPORTED,
    "resources.community.conversations -> domain.trust.reports.queries": _REPORTED,
    "resources.community.reviews -> domain.trust.reports.queries": _REPORTED,
    "resources.identity.accounts -> domain.community.conversations.blocks": _MARKS,
    "resources.identity.accounts -> domain.community.conversations.policy": _MARKS,
    "resources.identity.accounts -> domain.community.reviews.queries": _MARKS,
    "resources.identity.accounts -> domain.trust.reports.queries": _REPORTED,
}
"""Imports from a context to a higher one, and why each is still there."""

UPWARD_TABLES = {
    "domain/eventlog/stream_tickets.py inboxes": "totals of what is unread; falls with counters",
    "domain/eventlog/stream_tickets.py notification_boxes": "totals of what is unread; falls with counters",
    "domain/outbound/notifications/create.py blocks": "nobody is told of who they block; falls with typed subjects",
    "domain/outbound/notifications/reading.py conversation_sides": "whether it can be opened; falls with typed subjects",
    "domain/outbound/notifications/reading.py reviews": "whether it can be opened; falls with typed subjects",
    "domain/outbound/notifications/scheduling.py blocks": "whether it is still to be sent; falls with typed subjects",
    "domain/outbound/notifications/scheduling.py messages": "whether it is still to be sent; falls with typed subjects",
}
"""SQL that names a table of a higher context, and why it still does."""

SQL_ROOMS = {"database", "boot", "models", "diagnostics", "domain", "backup", "jobs"}
SQL_ELSEWHERE = {
    "cli/shell.py sqlalchemy": "a name at the prompt, for whoever types there",
    "views/request_properties.py zope.sqlalchemy": "joins a session to the request's transaction",
}
"""What is imported of SQL beside its rooms, and why."""
CORNICE_FILES = {"views/service.py", "app.py"}
MAX_LINES = 400
MAX_TEST_LINES = 450
MAX_FUNCTION = 60

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
"""Where a piece of a transaction may see everything, and why nothing less will do."""

LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
RANK = {name: rank for rank, names in enumerate(CONTEXTS) for name in names}


@cache
def _trees() -> Mapping[Path, ast.Module]:
    """The syntax trees of all files of the package."""
    paths = sorted(path for path in PACKAGE.rglob("*.py") if "static" not in path.parts)
    return {path: ast.parse(path.read_text()) for path in paths}


def _relative(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def _layer(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _context(name: str) -> str | None:
    """The context of a dotted name below the package, ``None`` for what belongs to none."""
    layer, _, rest = name.partition(".")
    context = rest.split(".")[0]
    return context if layer in GRID and context in RANK else None


@cache
def _modules() -> Mapping[str, Path]:
    """Files by their dotted names below the package; a package bears the name of its folder."""
    named = {path.relative_to(PACKAGE).with_suffix("").parts: path for path in _trees()}
    return {".".join(parts).removesuffix(".__init__"): path for parts, path in named.items()}


def _imported(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """The dotted names that a file imports, also those that it loads when they are needed, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "lazy.load":
            text = node.args[0]
            if isinstance(text, ast.Constant):
                yield text.value, node.lineno


@cache
def _edges() -> Iterable[tuple[str, str]]:
    """Who imports whom within the package, by dotted names of files below it."""
    found = set()
    for name, path in _modules().items():
        for module, _line in _imported(_trees()[path]):
            top, _, target = module.partition(".")
            if top != "marketplace_api":
                continue
            if target not in _modules():
                target = target.rpartition(".")[0]
            if target in _modules() and target != name:
                found.add((name, target))
    return sorted(found)


def test_layers_import_downward() -> None:
    strange = {_layer(path) for path in _trees()} - set(LEVEL)
    assert strange == set(), "these have no place among the layers"
    upward = [
        f"{name} -> {target}"
        for name, target in _edges()
        if LEVEL[target.split(".")[0] or "__init__"] > LEVEL[name.split(".")[0]]
    ]
    assert upward == []


def test_contexts_import_downward() -> None:
    upward = set()
    for name, target in _edges():
        context, other = _context(name), _context(target)
        if context and other and context != other and RANK[other] >= RANK[context]:
            upward.add(f"{name} -> {target}")
    assert upward == set(UPWARD_IMPORTS)


def test_every_file_of_the_grid_has_its_context() -> None:
    strange = []
    for path in _trees():
        layer, *rest = path.relative_to(PACKAGE).parts
        if layer in GRID and rest[0] not in RANK and rest[0].removesuffix(".py") not in BESIDE_CONTEXTS[layer]:
            strange.append(_relative(path))
    assert [name for name in strange if not re.fullmatch(r"\w+/__init__\.py", name)] == []


def test_no_circle_of_files_or_packages_at_any_depth() -> None:
    """In every folder, what lies in it: files, and sub-folders as a whole."""
    folders: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for name, target in _edges():
        one, other = name.split("."), target.split(".")
        depth = next((n for n, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), None)
        if depth is not None:  # else one is the package of the other
            folders[".".join(one[:depth])][one[depth]].add(other[depth])
    circles = [
        f"{folder or 'marketplace_api'}: {circle}" for folder, graph in folders.items() for circle in _circles(graph)
    ]
    assert circles == []


def _circles(graph: Mapping[str, set[str]]) -> Iterator[str]:
    """Circles of a graph, each found once, as a trail of names."""
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> Iterator[str]:
        if name in trail:
            yield " -> ".join((*trail[trail.index(name) :], name))
        elif name not in done:
            for target in sorted(graph.get(name, ())):
                yield from visit(target, (*trail, name))
            done.add(name)

    for name in sorted(graph):
        yield from visit(name, ())


def test_a_package_is_not_imported_by_what_lies_in_it() -> None:
    """Else the two are one circle: what a package offers stands in its ``__init__``, what it is made of beside that."""
    inward = {(target, name) for name, target in _edges() if target.startswith(f"{name}.")}
    assert [f"{name} -> {target}" for name, target in sorted(inward & set(_edges()))] == []


@cache
def _tables() -> Mapping[str, str]:
    """The context of each table."""
    found = {}
    for path, tree in _trees().items():
        if _layer(path) != "models":
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__tablename__":
                assert isinstance(node.value, ast.Constant)
                found[node.value.value] = path.relative_to(PACKAGE).parts[1]
    return found


_NAMES_A_TABLE = re.compile(
    r"\b(?:FROM|JOIN|INTO|UPDATE|TABLE|TRUNCATE)\s+(?:ONLY\s+|LATERAL\s+)*\"?([a-z_]+)\b|\bto_regclass\('([a-z_]+)'\)"
)


def _texts(tree: ast.Module) -> Iterator[str]:
    """The string constants of a file without its docstrings; what is filled in stands as ``{}``."""
    inner = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    skipped = inner | {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in skipped:
            yield node.value


def test_sql_names_tables_of_its_own_and_of_lower_contexts() -> None:
    upward, misplaced = set(), set()
    for name, path in _modules().items():
        named = {one or other for text in _texts(_trees()[path]) for one, other in _NAMES_A_TABLE.findall(text)}
        for table in named & set(_tables()):
            context = _context(name)
            if LEVEL[_layer(path)] < LEVEL["models"] or _layer(path) not in SQL_ROOMS:
                misplaced.add(f"{_relative(path)} {table}")
            elif context and RANK[_tables()[table]] > RANK[context]:
                upward.add(f"{_relative(path)} {table}")
    assert misplaced == set()
    assert upward == set(UPWARD_TABLES)


def test_libraries_stay_in_their_rooms() -> None:
    """Pyramid from the security layer upward, Cornice behind our own service, loading by name in one file."""
    strange, sql = [], set()
    for path, tree in _trees().items():
        for module, line in _imported(tree):
            top = module.split(".")[0]
            if top in ("sqlalchemy", "psycopg", "psycopg_pool", "zope") and _layer(path) not in SQL_ROOMS:
                sql.add(f"{_relative(path)} {module}")
            if (
                (top == "pyramid" and LEVEL[_layer(path)] < LEVEL["security"])
                or (top == "cornice" and _relative(path) not in CORNICE_FILES)
                or (module in ("importlib", "importlib.import_module") and _relative(path) != "lazy.py")
            ):
                strange.append(f"{_relative(path)}:{line} {module}")
    assert strange == []
    assert sql == set(SQL_ELSEWHERE)


def test_no_import_is_relative_or_hidden_in_a_function() -> None:
    """The CLI loads what it needs when it runs, the migrations Alembic."""
    hidden = []
    for path, tree in _trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                hidden.append(f"{_relative(path)}:{node.lineno}")
            if _layer(path) in ("cli", "__init__") or _relative(path) == "database/migrations.py":
                continue
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                inside = (child for child in ast.walk(node) if isinstance(child, ast.Import | ast.ImportFrom))
                hidden += [f"{_relative(path)}:{child.lineno}" for child in inside]
    assert hidden == []


def test_few_places_see_more_than_their_caller() -> None:
    found = set()
    for path, tree in _trees().items():
        for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
            called = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
            if any(getattr(name, "attr", getattr(name, "id", "")) == "elevated" for name in called):
                found.add(f"{_relative(path)} {function.name}")
    assert found == set(ELEVATED)


def test_files_and_functions_are_no_longer_than_one_can_read() -> None:
    tests = (path for path in (ROOT / "tests").rglob("*.py") if "node_modules" not in path.parts)
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in (*_trees(), *tests)}
    bounds = {name: MAX_TEST_LINES if name.startswith("tests") else MAX_LINES for name in lines}
    assert {name: count for name, count in lines.items() if count > bounds[name]} == {}
    long = []
    for path, tree in _trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > MAX_FUNCTION:
                    long.append(f"{_relative(path)}:{node.lineno} {node.name} {length}")
    assert long == []


def test_every_file_says_what_lives_in_it() -> None:
    assert [_relative(path) for path, tree in _trees().items() if not ast.get_docstring(tree)] == []


def test_nothing_is_left_open_or_kept_from_the_formatter() -> None:
    tests = [path for path in (ROOT / "tests").rglob("*.py") if "node_modules" not in path.parts]
    others = [*tests, *(ROOT / "bench").rglob("*.py"), *(ROOT / "alembic").rglob("*.py")]
    left = []
    for path in (*_trees(), *others):
        marks = ["fmt: " + word for word in ("skip", "off")]
        if path in _trees():
            marks += ["TODO", "FIXME", "XXX"]
        for line, text in enumerate(path.read_text().splitlines(), 1):
            left += [f"{path.relative_to(ROOT)}:{line}" for mark in marks if mark in text]
    assert left == []


def test_alembic_folder_is_no_package() -> None:
    """With an ``__init__.py`` the folder would hide the library of the same name."""
    assert not (ROOT / "alembic" / "__init__.py").exists()
