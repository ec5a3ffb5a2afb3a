"""Whether every name of a GPU package that our syntax tree uses exists there, and every call of one fits.

Follows imports, attributes, calls, what is assigned to a name or to ``self``, annotated parameters, and
results of calls that say what they return; a parameter that is called like a package is that package. What
comes from elsewhere is not known, and what is done with it is not checked. Imports the packages, which needs
no driver, and calls nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tapestream.gpucheck.lookup import UNKNOWN, Absent, Instance, Misfit, call, member, module

PACKAGES = ("cudf", "cupy", "rmm", "pylibcudf", "numba.cuda", "numba_cuda", "pynvml")

Scope = dict[str, Any]


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """What does not exist or does not fit, and where."""

    path: str
    line: int
    problem: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.problem}"


@dataclass(slots=True)
class Findings:
    """Of a whole tree.

    Attributes
    ----------
    names, calls
        How many were checked.
    """

    names: int = 0
    calls: int = 0
    problems: list[Problem] = field(default_factory=list)


def check(paths: Iterable[Path], root: Path, packages: Iterable[str] = PACKAGES) -> Findings:
    """Check Python files; paths in the findings are relative to ``root``."""
    found, wanted = Findings(), tuple(packages)
    for path in sorted(paths):
        walker = _Walker(str(path.relative_to(root)), wanted, found)
        walker.visit(ast.parse(path.read_text(), str(path)))
    found.problems.sort()
    return found


class _Walker(ast.NodeVisitor):
    """Reads one file from top to bottom, and keeps what each name is known to be."""

    def __init__(self, path: str, packages: tuple[str, ...], found: Findings) -> None:
        self._path, self._packages, self._found = path, packages, found
        self._scopes: list[Scope] = [{}]
        self._selves: list[Scope] = []
        self._known: dict[ast.AST, Any] = {}

    # -- what binds names

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            if self._ours(alias.name):
                whole = self._try(node, module, alias.name)
                name = alias.asname or alias.name.partition(".")[0]
                self._bind(name, whole if alias.asname else self._try(node, module, name))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if node.module and (self._ours(f"{node.module}.{alias.name}") or self._ours(node.module)):
                source = self._try(node, module, node.module)
                self._bind(alias.asname or alias.name, self._member(node, source, alias.name))

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._scopes.append({})
        for parameter in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
            if parameter.annotation is not None:
                self._bind(parameter.arg, _one_of(self._value(parameter.annotation)))
        self.generic_visit(node)
        self._scopes.pop()

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._selves.append({})
        self.generic_visit(node)
        self._selves.pop()

    def visit_Assign(self, node: ast.Assign) -> None:
        value = self._value(node.value)
        for target in node.targets:
            self._store(target, value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        said = _one_of(self._value(node.annotation))
        value = self._value(node.value) if node.value is not None else UNKNOWN
        self._store(node.target, said if value is UNKNOWN else value)

    def visit_withitem(self, node: ast.withitem) -> None:
        value = self._value(node.context_expr)
        if node.optional_vars is not None:
            self._store(node.optional_vars, value if isinstance(value, Instance) else UNKNOWN)

    def _store(self, target: ast.expr, value: Any) -> None:
        if isinstance(target, ast.Name):
            self._bind(target.id, value)
        elif isinstance(target, ast.Attribute) and _is_self(target.value) and self._selves:
            self._selves[-1][target.attr] = value
        else:
            self._value(target)

    def _bind(self, name: str, value: Any) -> None:
        self._scopes[-1][name] = value

    # -- what uses them

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._value(node)

    def visit_Call(self, node: ast.Call) -> None:
        self._value(node)

    def _value(self, node: ast.expr) -> Any:
        """What an expression is; looked at once, so that a problem is told once."""
        if node not in self._known:
            self._known[node] = self._look(node)
        return self._known[node]

    def _look(self, node: ast.expr) -> Any:
        match node:
            case ast.Name(id=name):
                return self._named(name)
            case ast.Attribute(value=of, attr=name):
                if _is_self(of):
                    return self._selves[-1].get(name) if self._selves else UNKNOWN
                return self._member(node, self._value(of), name)
            case ast.Call():
                return self._called(node)
            case ast.Subscript(
                value=ast.Attribute(value=ast.Name(id="sys"), attr="modules"),
                slice=ast.Constant(value=str(name)),
            ):
                return self._package(node, name)
        self.generic_visit(node)
        return UNKNOWN

    def _named(self, name: str) -> Any:
        for scope in reversed(self._scopes):
            if scope.get(name) is not UNKNOWN:
                return scope[name]
        return module(name) if name in self._packages else UNKNOWN

    def _called(self, node: ast.Call) -> Any:
        function = self._value(node.func)
        for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
            self._value(argument)
        match node:
            case ast.Call(
                func=ast.Attribute(attr="import_module") | ast.Name(id="loaded"),
                args=[ast.Constant(value=str(name))],
            ):
                return self._package(node, name)
        if function is UNKNOWN:
            return UNKNOWN
        self._found.calls += 1
        places = [argument for argument in node.args if not isinstance(argument, ast.Starred)]
        names = [keyword.arg for keyword in node.keywords if keyword.arg is not None]
        more = len(places) < len(node.args) or len(names) < len(node.keywords)
        return self._try(node, call, function, len(places), names, more)

    def _package(self, node: ast.AST, name: str) -> Any:
        """What is got by a package's name, as by ``agents.loaded``."""
        return self._try(node, module, name) if self._ours(name) else UNKNOWN

    def _member(self, node: ast.AST, of: Any, name: str) -> Any:
        if of is UNKNOWN:
            return UNKNOWN
        self._found.names += 1
        return self._try(node, member, of, name)

    def _try(self, node: ast.AST, look: Any, *arguments: Any) -> Any:
        try:
            return look(*arguments)
        except (Absent, Misfit) as exc:
            line = getattr(node, "lineno", 0)
            self._found.problems.append(Problem(self._path, line, str(exc)))
            return UNKNOWN

    def _ours(self, name: str) -> bool:
        return any(name == package or name.startswith(f"{package}.") for package in self._packages)


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def _one_of(annotation: Any) -> Any:
    return Instance(annotation) if isinstance(annotation, type) else UNKNOWN
