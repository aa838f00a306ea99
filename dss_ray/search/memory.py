"""How many samples fit into a memory budget: live bytes counted on a few, then extrapolated."""

import weakref
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

MEBIBYTE = 2**20
SLACK = 0.5  # of the budget; the rest is for what the allocator keeps and kernels use inside


class LivePeak(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the tensors made inside that are alive at once.

    Attributes:
        peak: the most bytes so far.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        self.known = weakref.WeakSet[Any]()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        for tensor in tree_leaves((args, kwargs)):
            if isinstance(tensor, Tensor):
                self.known.add(tensor.untyped_storage())  # older than this, such as weights
        result = func(*args, **kwargs)
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self.count(tensor)
        return result

    def count(self, tensor: Tensor) -> None:
        """Add a storage that was not met before, until it is freed."""
        storage = tensor.untyped_storage()
        if storage in self.known:
            return
        self.known.add(storage)
        self.live += storage.nbytes()
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self.release, storage.nbytes())

    def release(self, size: int) -> None:
        """Forget a storage that was freed."""
        self.live -= size


def peak(work: Callable[[], object]) -> int:
    """The most bytes that are alive at once while ``work`` works."""
    with LivePeak() as counted:
        work()
    most: int = counted.peak
    return most


def room(budget: int) -> int:
    """The bytes of tensors that a budget of so many MiB allows."""
    return int(SLACK * budget * MEBIBYTE)


def samples_that_fit(work: Callable[[int], object], most: int, budget: int) -> int:
    """How many samples ``work`` may take at once.

    The live bytes of one and, where they cannot exceed the budget, of two samples are counted;
    those of more lie on the line through them.

    Args:
        work: does the work on that many samples.
        most: the largest useful number.
        budget: in MiB.

    Returns:
        At least 1, even where one sample alone needs more than the budget.
    """
    one = peak(lambda: work(1))
    if most == 1 or 2 * one > room(budget):
        return 1
    each = max(1, peak(lambda: work(2)) - one)
    return min(most, 1 + (room(budget) - one) // each)
