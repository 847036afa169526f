"""The shape of the code, held by its syntax trees: layers by folder, contexts by sub-folder, no circles, closed rooms.

Each test lists every violation at once. ``docs/architecture.md`` explains the grid.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

from tests.support.syntax_trees import ROOT, edges, imported, layer, modules, named_tables, relative, tables, trees

LAYERS = (
    ("config", "errors", "version", "lazy", "characters"),
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
    ("serving",),
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
    "schemas": {"base", "describe", "types", "uploads", "web_address"},
    "hal": {
        "affordances",
        "api_root",
        "file_address",
        "forms",
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

COMPOSITION = {
    "models",
    "domain.contexts",
    "resources.root",
    "hal.api_root",
    "hal.shapes",
    "views.api_root",
    "views.openapi",
    "jobs.handlers",
    "jobs.schedule",
    "jobs.tasks",
    "jobs.dispatch",
    "jobs.worker",
}
"""What puts the contexts of a layer together, and so knows them all; nothing else of the layer imports it."""

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
    "views.errors -> domain.identity.accounts.errors": "says why a suspended account is refused",
    "views.errors -> domain.identity.accounts.profiles": "says why a suspended account is refused",
    "views.errors -> domain.outbound.notifications.unsubscribe": "leads from a dead link of a mail to the preferences",
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
    "domain/identity/accounts/known_devices.py recognise": "where an account was used is asked before the password is right",
    "domain/identity/accounts/queries.py require_free": "an address that its former owner may have back is taken for all others",
    "domain/identity/accounts/email_undo.py find": "a token from a mail is looked up before it is known whose it is",
    "domain/identity/accounts/one_time_tokens.py redeem": "a token from a mail is looked up before it is known whose it is",
    "domain/eventlog/stream_tickets.py redeem_ticket": "a ticket names a session before it is known whose it is",
    "domain/identity/accounts/lifecycle.py ban": "a moderator ends the sessions of another account",
    "domain/identity/accounts/lifecycle.py set_roles": "an admin ends the sessions of another account",
    "domain/trust/moderation/messages.py _of_both": "a moderator changes what belongs to the two of a conversation",
    "domain/outbound/phones/confirmation.py _take_over": "who shows that they hold a number takes it from another account",
    "domain/outbound/phones/reports.py take": "a provider tells what became of a message, whosever it was",
    "domain/operations/health.py _put_off": "monitors are told how many deliveries wait, and nothing of whose they are",
    "domain/outbound/push_subscriptions/subscriptions.py _held": "who is logged in to a browser takes it over",
}
"""Where a piece of a transaction may see everything, and why nothing less will do."""

LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
RANK = {name: rank for rank, names in enumerate(CONTEXTS) for name in names}


def _context(name: str) -> str | None:
    """The context of a dotted name below the package, ``None`` for what belongs to none."""
    layer, _, rest = name.partition(".")
    context = rest.split(".")[0]
    return context if layer in GRID and context in RANK else None


def test_layers_import_downward() -> None:
    strange = {layer(path) for path in trees()} - set(LEVEL)
    assert strange == set(), "these have no place among the layers"
    upward = [
        f"{name} -> {target}"
        for name, target in edges()
        if LEVEL[target.split(".")[0] or "__init__"] > LEVEL[name.split(".")[0]]
    ]
    assert upward == []


def test_contexts_import_downward() -> None:
    """What stands beside the contexts counts as lower than any but the kernel, unless it puts them together."""
    upward = set()
    for name, target in edges():
        context, other = _context(name), _context(target)
        if other is None or (context is None and (name.split(".")[0] not in GRID or _composes(name))):
            continue
        if context != other and RANK[other] >= RANK.get(context or "kernel", 0) and other != "kernel":
            upward.add(f"{name} -> {target}")
    assert upward == set(UPWARD_IMPORTS)


def test_nothing_of_a_layer_imports_what_puts_it_together() -> None:
    layers = [(name, target) for name, target in edges() if name.split(".")[0] == target.split(".")[0]]
    found = [f"{name} -> {target}" for name, target in layers if _composes(target) and not _composes(name)]
    assert found == []


def _composes(name: str) -> bool:
    return ".".join(name.split(".")[:2]) in COMPOSITION


def test_no_file_bears_the_name_of_a_context() -> None:
    """It would be taken for the context, and stand in the way of its folder."""
    assert [name for name in modules() if re.fullmatch(r"\w+\.\w+", name) and _context(name) and _is_file(name)] == []


def _is_file(name: str) -> bool:
    return modules()[name].name != "__init__.py"


def test_every_file_of_the_grid_has_its_context() -> None:
    strange = []
    for path in trees():
        folder, *rest = relative(path).split("/")
        if folder in GRID and rest[0] not in RANK and rest[0].removesuffix(".py") not in BESIDE_CONTEXTS[folder]:
            strange.append(relative(path))
    assert [name for name in strange if not re.fullmatch(r"\w+/__init__\.py", name)] == []


def test_no_circle_of_files_or_packages_at_any_depth() -> None:
    """In every folder, what lies in it: files, and sub-folders as a whole."""
    folders: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for name, target in edges():
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
    inward = {(target, name) for name, target in edges() if target.startswith(f"{name}.")}
    assert [f"{name} -> {target}" for name, target in sorted(inward & set(edges()))] == []


def test_sql_names_tables_of_its_own_and_of_lower_contexts() -> None:
    upward, misplaced = set(), set()
    for name, path in modules().items():
        for table in named_tables(trees()[path]):
            context = _context(name)
            if LEVEL[layer(path)] < LEVEL["models"] or layer(path) not in SQL_ROOMS:
                misplaced.add(f"{relative(path)} {table}")
            elif context and RANK[tables()[table]] > RANK[context]:
                upward.add(f"{relative(path)} {table}")
    assert misplaced == {"database/row_security.py events"}, "looks whether months of the log can be written"
    assert upward == set(UPWARD_TABLES)


def test_modules_are_loaded_by_name_in_one_way() -> None:
    """By ``lazy.load`` and a constant, which the other tests read; the command line names its commands in a table."""
    strange = []
    for path, tree in trees().items():
        for node in ast.walk(tree):
            text = ast.unparse(node) if isinstance(node, ast.Import | ast.ImportFrom | ast.Name | ast.Call) else ""
            renamed = re.search(r"import .*\blazy as |from marketplace_api\.lazy import|^__import__$", text)
            called = isinstance(node, ast.Call) and ast.unparse(node.func) == "lazy.load"
            loose = called and not isinstance(node.args[0], ast.Constant) and relative(path) != "cli/__init__.py"
            if renamed or loose:
                strange.append(f"{relative(path)}:{node.lineno}")
    assert strange == []


def test_libraries_stay_in_their_rooms() -> None:
    """Pyramid from the security layer upward, Cornice behind our own service, loading by name in one file."""
    strange, sql = [], set()
    for path, tree in trees().items():
        for module, line in imported(tree):
            top = module.split(".")[0]
            if top in ("sqlalchemy", "psycopg", "psycopg_pool", "zope") and layer(path) not in SQL_ROOMS:
                sql.add(f"{relative(path)} {module}")
            if (
                (top == "pyramid" and LEVEL[layer(path)] < LEVEL["security"])
                or (top == "cornice" and relative(path) not in CORNICE_FILES)
                or (
                    module in ("importlib", "importlib.import_module", "pkgutil", "runpy")
                    and relative(path) != "lazy.py"
                )
            ):
                strange.append(f"{relative(path)}:{line} {module}")
    assert strange == []
    assert sql == set(SQL_ELSEWHERE)


def test_no_import_is_relative_or_hidden_in_a_function() -> None:
    """The CLI loads what it needs when it runs, the migrations Alembic."""
    hidden = []
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                hidden.append(f"{relative(path)}:{node.lineno}")
            if layer(path) in ("cli", "__init__") or relative(path) == "database/migrations.py":
                continue
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                inside = (child for child in ast.walk(node) if isinstance(child, ast.Import | ast.ImportFrom))
                hidden += [f"{relative(path)}:{child.lineno}" for child in inside]
    assert hidden == []


def test_few_places_see_more_than_their_caller() -> None:
    found = set()
    for path, tree in trees().items():
        for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
            called = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
            if any(getattr(name, "attr", getattr(name, "id", "")) == "elevated" for name in called):
                found.add(f"{relative(path)} {function.name}")
    assert found == set(ELEVATED)


def test_files_and_functions_are_no_longer_than_one_can_read() -> None:
    tests = (path for path in (ROOT / "tests").rglob("*.py") if "node_modules" not in path.parts)
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in (*trees(), *tests)}
    bounds = {name: MAX_TEST_LINES if name.startswith("tests") else MAX_LINES for name in lines}
    assert {name: count for name, count in lines.items() if count > bounds[name]} == {}
    long = []
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > MAX_FUNCTION:
                    long.append(f"{relative(path)}:{node.lineno} {node.name} {length}")
    assert long == []


def test_every_file_says_what_lives_in_it() -> None:
    assert [relative(path) for path, tree in trees().items() if not ast.get_docstring(tree)] == []


def test_nothing_is_left_open_or_kept_from_the_formatter() -> None:
    tests = [path for path in (ROOT / "tests").rglob("*.py") if "node_modules" not in path.parts]
    others = [*tests, *(ROOT / "bench").rglob("*.py"), *(ROOT / "alembic").rglob("*.py")]
    left = []
    for path in (*trees(), *others):
        marks = ["fmt: " + word for word in ("skip", "off")]
        if path in trees():
            marks += ["TODO", "FIXME", "XXX"]
        for line, text in enumerate(path.read_text().splitlines(), 1):
            left += [f"{path.relative_to(ROOT)}:{line}" for mark in marks if mark in text]
    assert left == []


def test_alembic_folder_is_no_package() -> None:
    """With an ``__init__.py`` the folder would hide the library of the same name."""
    assert not (ROOT / "alembic" / "__init__.py").exists()
