"""How many samples fit into a memory budget: live bytes counted on a few, then extrapolated."""

import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

MEBIBYTE = 2**20
# Fractions of a budget that tensors may take, the rest being what kernels use inside and what the
# allocator cannot reuse: on a CPU glibc was seen to hold over three times what was alive.
SHARE, SHARE_ON_CPU = 0.75, 0.25


class LivePeak(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the tensors made inside that are alive at once.

    Attributes:
        peak: the most bytes so far.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        self.known = dict[weakref.ref[Any], int]()  # storages that are alive, and what they count

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        for tensor in tensors((result,)):
            self.count(tensor, (*args, *kwargs.values()))
        return result

    def count(self, tensor: Tensor, arguments: Iterable[Any]) -> None:
        """Add a storage that was not met before, until it is freed."""
        storage = tensor.untyped_storage()
        if weakref.ref(storage) in self.known:
            return
        # What an argument holds was made outside, such as weights.
        old = any(storage is older.untyped_storage() for older in tensors(arguments))
        size = 0 if old else storage.nbytes()
        self.known[weakref.ref(storage, self.release)] = size
        self.live += size
        self.peak = max(self.peak, self.live)

    def release(self, storage: weakref.ref[Any]) -> None:
        """Forget a storage that was freed."""
        self.live -= self.known.pop(storage)


def tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    """The tensors among ``values`` and in their lists; torch's own search is far slower."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from tensors(value)


def peak(work: Callable[[], object]) -> int:
    """The most bytes that are alive at once while ``work`` works."""
    with LivePeak() as counted:
        work()
    most: int = counted.peak
    return most


def room(budget: int, device: torch.device) -> int:
    """The bytes of tensors that a budget of so many MiB allows on a device."""
    share = SHARE_ON_CPU if device.type == "cpu" else SHARE
    return int(share * budget * MEBIBYTE)


def samples_that_fit(
    work: Callable[[int], object], most: int, bytes_allowed: int, one: int | None = None
) -> int:
    """How many samples ``work`` may take at once.

    The live bytes of one and, where they cannot exceed what is allowed, of two samples are
    counted; those of more lie on the line through them.

    Args:
        work: does the work on that many samples.
        most: the largest useful number.
        bytes_allowed: see ``room``.
        one: the live bytes of one sample, where they were counted already.

    Returns:
        At least 1, even where one sample alone takes more.
    """
    one = one or peak(lambda: work(1))
    if most == 1 or 2 * one > bytes_allowed:
        return 1
    each = max(1, peak(lambda: work(2)) - one)
    return min(most, 1 + (bytes_allowed - one) // each)
