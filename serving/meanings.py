"""What fields mean, for those who ask: pydantic's own `use_attribute_docstrings` reads the source of a class when it is
made, 3 ms each, which a server has no use for while it starts."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, TypeVar, get_args

from pydantic import BaseModel

Kind = TypeVar("Kind", bound=BaseModel)


def described(kind: type[Kind]) -> type[Kind]:
    """The same class, whose fields, and those of the models in it, are described by what stands below them."""
    for field in kind.model_fields.values():
        for inner in _models(field.annotation):
            described(inner)
    for name, meaning in _below_fields(kind):
        kind.model_fields[name].description = meaning
    kind.model_rebuild(force=True)
    return kind


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _below_fields(kind: type[BaseModel]) -> Iterator[tuple[str, str]]:
    (made,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(made, ast.ClassDef)
    for field, below in pairwise(made.body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            yield field.target.id, inspect.cleandoc(ast.literal_eval(below.value))
