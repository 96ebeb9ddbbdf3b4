"""Every merge method by its name. A new one is a file and a line here; the contract suite takes it from there."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from trainers.merging.errors import MethodUnknown
from trainers.merging.method import MergeMethod
from trainers.merging.methods.iso_c import iso_c
from trainers.merging.methods.model_stock import model_stock
from trainers.merging.methods.slerp import slerp
from trainers.merging.methods.task_arithmetic import task_arithmetic
from trainers.merging.methods.ties import ties
from trainers.merging.methods.uniform import uniform

METHODS: Mapping[str, MergeMethod] = MappingProxyType(
    {method.name: method for method in (uniform, task_arithmetic, ties, model_stock, iso_c, slerp)}
)


def method_of(name: str) -> MergeMethod:
    """Raises MethodUnknown."""
    if name not in METHODS:
        raise MethodUnknown(name, tuple(METHODS))
    return METHODS[name]
