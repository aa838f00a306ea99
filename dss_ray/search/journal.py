"""A file that keeps the state of an interrupted search, stage by stage."""

import logging
import time
from contextlib import suppress
from glob import escape
from pathlib import Path

from torch import Tensor

from dss_ray.errors import FileError
from dss_ray.models import checkpoint

log = logging.getLogger(__name__)
ABANDONED = 3600.0  # seconds after which a draft is a killed process's


class FileJournal:
    """The last state of each stage in one safetensors file; a reader sees a whole file or none.

    Args:
        path: of the file.
        key: hash of all that decides what the search does. A state under another key is ignored,
            and gone with the first write.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path, key
        self.stages = self.load()

    def load(self) -> dict[str, dict[str, Tensor]]:
        """The states in the file; none where it is absent, corrupt or of another search."""
        if not self.path.exists():
            return {}
        try:
            tensors, document = checkpoint.read(self.path)
            key, digest = document["key"], document["digest"]
        except (FileError, OSError, KeyError, TypeError) as error:
            log.warning("the search starts anew: %s cannot be read (%s)", self.path, error)
            return {}
        if digest != checkpoint.fingerprint(tensors, key):
            log.warning("the search starts anew: %s is corrupt", self.path)
            return {}
        stages = dict[str, dict[str, Tensor]]()
        for name, tensor in tensors.items() if key == self.key else ():
            stage, _, field = name.rpartition("/")
            stages.setdefault(stage, {})[field] = tensor
        return stages

    def read(self, stage: str) -> dict[str, Tensor] | None:
        """The last state of ``stage``, or None."""
        return self.stages.get(stage)

    def write(self, stage: str, tensors: dict[str, Tensor]) -> None:
        """Replace the state of ``stage``; names of tensors hold no "/".

        Raises:
            FileError: if the file cannot be written.
        """
        self.stages[stage] = {name: tensor.detach().clone() for name, tensor in tensors.items()}
        flat = {
            f"{stage}/{name}": tensor
            for stage, state in self.stages.items()
            for name, tensor in state.items()
        }
        document = {"key": self.key, "digest": checkpoint.fingerprint(flat, self.key)}
        try:
            checkpoint.write(self.path, flat, document)
        except OSError as error:
            raise FileError(
                f"{self.path}: the state of the search cannot be written ({error.strerror}); "
                "set DSS_RAY_CACHE to a folder that can"
            ) from None

    def remove(self) -> None:
        """Delete the file: the search is done."""
        self.stages = {}
        self.path.unlink(missing_ok=True)
        for draft in self.path.parent.glob(f"{escape(self.path.name)}.*.part"):
            with suppress(FileNotFoundError):  # another may do the same search just now
                if time.time() - draft.stat().st_mtime > ABANDONED:
                    draft.unlink()
