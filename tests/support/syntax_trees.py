"""The package's syntax trees, and what the tests of its shape read in them: imports, tables that SQL names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "marketplace_api"


@cache
def trees() -> Mapping[Path, ast.Module]:
    """The syntax trees of all files of the package."""
    paths = sorted(path for path in PACKAGE.rglob("*.py") if "static" not in path.parts)
    return {path: ast.parse(path.read_text()) for path in paths}


def relative(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def layer(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def modules() -> Mapping[str, Path]:
    """Files by their dotted names below the package; a package bears the name of its folder."""
    named = {path.relative_to(PACKAGE).with_suffix("").parts: path for path in trees()}
    return {".".join(parts).removesuffix(".__init__"): path for parts, path in named.items()}


def imported(tree: ast.AST) -> Iterator[tuple[str, int]]:
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
def edges() -> Iterable[tuple[str, str]]:
    """Who imports whom within the package, by dotted names of files below it."""
    found = set()
    for name, path in modules().items():
        for module, _line in imported(trees()[path]):
            top, _, target = module.partition(".")
            if top != "marketplace_api":
                continue
            if target not in modules():
                target = target.rpartition(".")[0]
            if target in modules() and target != name:
                found.add((name, target))
    return sorted(found)


@cache
def tables() -> Mapping[str, str]:
    """The context of each table."""
    found = {}
    for path, tree in trees().items():
        if layer(path) != "models":
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__tablename__":
                assert isinstance(node.value, ast.Constant)
                found[node.value.value] = path.relative_to(PACKAGE).parts[1]
    return found


_SQL = re.compile(
    r"\b(SELECT|INSERT|UPDATE|DELETE|MERGE|FROM|JOIN|USING|INTO|TABLE|TRUNCATE|LOCK|COPY|ANALYZE|to_regclass)\b"
    r"|\bselect\b.+\bfrom\b|\b(insert into|delete from|update)\b.+",
    re.DOTALL,
)
_IS_NO_TABLE = r"(?:\bAS\s+|[:.]|\bCAST\(:)"
"""What stands before a word that is a parameter, a column or a name of the statement's own."""


def _texts(tree: ast.Module) -> Iterator[str]:
    """The string constants of a file without its docstrings; neighbours joined, what is filled in stands as ``{}``."""
    skipped = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            skipped |= set(node.values)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
            glue = "" if isinstance(node.op, ast.Add) else " "
            yield glue.join(_literal(part) for part in ast.walk(node) if isinstance(part, ast.Constant))
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(_literal(part) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and node not in skipped:
            yield _literal(node)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("sa.table", "table", "sqlalchemy.table"):
            yield f"TABLE {ast.unparse(node.args[0])[1:-1]}"
        elif isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("metadata.tables"):
            yield f"TABLE {ast.unparse(node.slice)[1:-1]}"


def _literal(node: ast.Constant) -> str:
    return node.value if isinstance(node.value, str) else ""


def named_tables(tree: ast.Module) -> set[str]:
    """The tables whose names stand in whatever looks like SQL, as words of their own."""
    found = set()
    for text in _texts(tree):
        if _SQL.search(text):
            own = set(re.findall(r"\b(\w+)\s*(?:\([\w, ]*\)\s*)?AS\s+(?:MATERIALIZED\s+)?\(", text))
            bare = re.sub(rf"{_IS_NO_TABLE}(\w+)", " ", text.replace("public.", " "))
            found |= (set(re.findall(r"\b[a-z_]+\b", bare)) & set(tables())) - own
    return found
