"""Hypothesis strategies for every wire struct, derived from the types' own constraints."""

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from p2p_modelex import records
from p2p_modelex.units import UINT128_MAX, Wei

TEXT = st.characters(exclude_categories=["Cs"])
# Longer fields are allowed; longer examples teach nothing and take time.
_LENGTH = 24
_ITEMS = 3


def record_modules() -> Iterator[ModuleType]:
    """Every module of records/."""
    for found in pkgutil.iter_modules(records.__path__):
        yield importlib.import_module(f"{records.__name__}.{found.name}")


def wire_structs() -> list[type[msgspec.Struct]]:
    """Every public struct that records/ defines, in order of module and name, but for those that
    are JSON on their way: tools.
    """
    return [
        value
        for module in record_modules()
        for name, value in sorted(vars(module).items())
        if isinstance(value, type)
        and issubclass(value, msgspec.Struct)
        and value.__module__ == module.__name__
        and not name.startswith("_")
        and value.__struct_config__.array_like
    ]


def _top(low: int, limit: int | None, most: int) -> int:
    return max(low, min(most if limit is None else limit, most))


def _build(kind: Any) -> st.SearchStrategy[Any]:  # noqa: PLR0912 - one case for each kind of type
    match kind:
        case inspect.Metadata():
            return _build(kind.type)
        case inspect.BoolType():
            return st.booleans()
        case inspect.NoneType():
            return st.none()
        case inspect.IntType(ge=low, le=high):
            return st.integers(
                -(2**63) if low is None else low, 2**63 - 1 if high is None else high
            )
        case inspect.FloatType(ge=low, gt=above, le=high):
            floor = low if above is None else above
            return st.floats(
                floor, high, exclude_min=above is not None, allow_nan=False, allow_infinity=False
            )
        case inspect.StrType(pattern=str(pattern)):
            most = kind.max_length
            return st.from_regex(pattern).filter(lambda text: most is None or len(text) <= most)
        case inspect.StrType():
            low = kind.min_length or 0
            return st.text(TEXT, min_size=low, max_size=_top(low, kind.max_length, _LENGTH))
        case inspect.BytesType():
            low = kind.min_length or 0
            return st.binary(min_size=low, max_size=_top(low, kind.max_length, _LENGTH))
        case inspect.VarTupleType():
            low = kind.min_length or 0
            high = _top(low, kind.max_length, _ITEMS)
            return st.lists(_build(kind.item_type), min_size=low, max_size=high).map(tuple)
        case inspect.TupleType(item_types=items):
            return st.tuples(*(_build(item) for item in items))
        case inspect.LiteralType(values=values):
            return st.sampled_from(values)
        case inspect.EnumType(cls=cls):
            return st.sampled_from(list(cls))
        case inspect.UnionType(types=types):
            return st.one_of(*(_build(item) for item in types))
        case inspect.StructType(cls=cls):
            return struct(cls)
        case inspect.CustomType(cls=cls) if cls is Wei:
            return st.integers(0, UINT128_MAX).map(Wei)
    raise NotImplementedError(kind)


def struct(cls: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """Values of one struct, every field within its constraints."""
    shape = inspect.type_info(cls)
    assert isinstance(shape, inspect.StructType)
    return st.builds(cls, **{field.name: _build(field.type) for field in shape.fields})
