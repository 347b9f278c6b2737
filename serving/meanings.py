"""What fields mean, for those who ask.

pydantic's own `use_attribute_docstrings` reads the source of a class when it is made and looks at all modules for it,
which takes up to 40 ms: as long as a server needs to load a tokenizer.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any, TypeVar, get_args

from pydantic import BaseModel

Kind = TypeVar("Kind", bound=BaseModel)


def described(kind: type[Kind]) -> type[Kind]:
    """The same class, whose fields, and those of the models in it, are described by what stands below them."""
    _describe(kind)
    return kind


@cache
def _describe(kind: type[BaseModel]) -> None:
    for field in kind.model_fields.values():
        for inner in _models(field.annotation):
            _describe(inner)
    for source in reversed(kind.__mro__[: kind.__mro__.index(BaseModel)]):
        for name, meaning in _below_fields(source):
            kind.model_fields[name].description = meaning
    kind.model_rebuild(force=True)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _below_fields(kind: type) -> Iterator[tuple[str, str]]:
    (made,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(made, ast.ClassDef)
    for field, below in pairwise(made.body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            yield field.target.id, inspect.cleandoc(ast.literal_eval(below.value))
