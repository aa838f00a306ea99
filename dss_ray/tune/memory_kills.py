"""A worker that Ray kills because its node runs out of memory is a worker that died."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from ray.air.execution._internal import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError


@contextmanager
def memory_kills_are_deaths() -> Iterator[None]:
    """Let Tune go on within.

    It knows workers that died and tasks that raised; what Ray's memory monitor raises is neither,
    and would end the run (ray 2.60, ``RayActorManager._actor_task_failed``).
    """
    original = RayActorManager._actor_task_failed

    def failed(manager: Any, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, OutOfMemoryError):
            exception = RayActorError(error_msg=str(exception))
        original(manager, tracked_actor_task, exception)

    with patch.object(RayActorManager, "_actor_task_failed", failed):
        yield
