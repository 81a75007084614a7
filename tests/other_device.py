"""A second device played on the processor: what meets a tensor of the other one there is an error, as on a GPU.

Its tensors say that they lie on `meta` and hold one that is computed with. So a machine without a GPU can tell whether
code brings everything to the model's device, and whether the numbers stay the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

ELSEWHERE = torch.device("meta")
HERE = torch.device("cpu")
_aten = torch.ops.aten
_MOVES = {_aten._to_copy.default, _aten.copy_.default, _aten.to.device}
# A GPU takes indices from the processor, too.
_INDEXING = {_aten.index.Tensor, _aten.index_put_.default, _aten.index_put.default, _aten._index_put_impl_.default}
_PLAIN_ATTENTION = 0
_make_tensor, _Generator = torch.tensor, torch.Generator
_generators_there: set[int] = set()  # the object that is known to PyTorch has another wrapper each time


class Elsewhere(torch.Tensor):
    """A tensor that lies on the other device."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> Elsewhere:
        made = torch.Tensor._make_wrapper_subclass(
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype,
            layout=held.layout, device=ELSEWHERE,
        )  # fmt: skip
        made.held = held.detach()
        return made

    def __repr__(self) -> str:
        return f"Elsewhere({self.held!r})"

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.tolist:
            return args[0].held.tolist()
        if func is torch.Tensor.__getitem__ and isinstance(args[1], tuple):
            # Indices in a list would be made by PyTorch itself, past this class.
            args = (args[0], tuple(_make_tensor(one) if isinstance(one, list) else one for one in args[1]))
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Mode(TorchDispatchMode):
    """Lets tensors be made there by name."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


@contextmanager
def another_device() -> Iterator[Callable[[torch.nn.Module], torch.nn.Module]]:
    """In this block `ELSEWHERE` is a device; what it gives moves a model there."""

    def tensor(data: Any, *, device: torch.device | str | None = None, **more: Any) -> torch.Tensor:
        made = _make_tensor(data, **more)
        return made if device is None else made.to(device)

    def generator(device: Any = HERE) -> torch.Generator:
        made = _Generator(HERE)
        if torch.device(device).type == ELSEWHERE.type:
            _generators_there.add(made._cdata)
        return made

    def autocast(device: str, *_: Any) -> Any:
        if device != ELSEWHERE.type:
            raise RuntimeError(f"autocast for {device}, where the model is not")
        return nullcontext()

    with (
        patch("torch.tensor", tensor), patch("torch.Generator", generator), patch("torch.autocast", autocast), _Mode()
    ):  # fmt: skip
        try:
            yield _move
        finally:
            _generators_there.clear()


def _move(model: torch.nn.Module) -> torch.nn.Module:
    for part in model.modules():
        for name, weights in part._parameters.items():
            if weights is not None:
                part._parameters[name] = torch.nn.Parameter(Elsewhere(weights.data), requires_grad=False)
        for name, values in part._buffers.items():
            part._buffers[name] = values if values is None else Elsewhere(values)
    return model


def _run(func: Any, args: Any, kwargs: Any) -> Any:
    flat, _ = tree_flatten((args, kwargs))
    tensors = [one for one in flat if isinstance(one, torch.Tensor)]
    there = [one for one in tensors if isinstance(one, Elsewhere)]
    # Single numbers may come from anywhere.
    here = [one for one in tensors if not isinstance(one, Elsewhere) and one.dim() > 0]
    is_indexing = func in _INDEXING and isinstance(args[0], Elsewhere)
    if there and here and func not in _MOVES and not is_indexing:
        raise RuntimeError(f"{func}: tensors of two devices")
    if any(one.device.type == ELSEWHERE.type for one in tensors if not isinstance(one, Elsewhere)):
        raise RuntimeError(f"{func}: a tensor that was made past this module")
    if func is _aten._fused_sdp_choice.default:
        return _PLAIN_ATTENTION
    named = next((one for one in flat if isinstance(one, torch.device)), None)
    is_there = bool(there) if named is None else named.type == ELSEWHERE.type
    if func is _aten._local_scalar_dense.default:
        is_there = False
    generators = [one for one in flat if isinstance(one, _Generator)]
    if any((one._cdata in _generators_there) != is_there for one in generators):
        raise RuntimeError(f"{func}: random numbers of another device")
    of = {id(one.held): one for one in there}

    def take(one: Any) -> Any:
        if isinstance(one, torch.device):
            return HERE
        return one.held if isinstance(one, Elsewhere) else one

    def give(one: Any) -> Any:
        return of.get(id(one), Elsewhere(one)) if isinstance(one, torch.Tensor) else one

    done = func(*tree_map(take, args), **tree_map(take, kwargs))
    return tree_map(give, done) if is_there else done
