"""How a worker comes by a large network: from its file, or through Ray's object store.

    python tests/benchmarks/model_loading.py FOLDER [--size l]

Writes untrained weights of SiT to FOLDER, then loads them in a fresh worker both ways. Private
memory is what each further worker of the same node takes; mapped pages are shared.
"""

import argparse
import time
from pathlib import Path

import ray
import torch
from safetensors.torch import save_file

from dss_ray.models.official import untrained
from dss_ray.models.zoo import load_model


def private() -> float:
    """MB of memory that no other process shares."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


@ray.remote
class Worker:
    """Loads the network twice, once each way."""

    def by_file(self, name: str) -> tuple[float, float]:
        """Seconds and private MB."""
        before, began = private(), time.monotonic()
        self.model = load_model(name)
        return time.monotonic() - began, private() - before

    def by_store(self, references: list[ray.ObjectRef]) -> tuple[float, float]:
        """Seconds and private MB."""
        before, began = private(), time.monotonic()
        self.model = ray.get(references[0])
        return time.monotonic() - began, private() - before


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", default="l", choices=("s", "b", "l", "xl"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    path = (options.folder / f"sit-{options.size}.safetensors").resolve()
    if not path.exists():
        with torch.no_grad():
            network = untrained("sit", options.size, 256)
        save_file({name: one.contiguous() for name, one in network.state_dict().items()}, path)
    name = f"sit-{options.size}-256?path={path}"
    ray.init(address="local", include_dashboard=False, logging_level="ERROR")
    began = time.monotonic()
    reference = ray.put(load_model(name))
    print(f"into the store: {time.monotonic() - began:.1f} s")
    for way, argument in (("by_file", name), ("by_store", [reference])):
        worker = Worker.remote()
        ray.get(worker.__ray_ready__.remote())
        seconds, memory = ray.get(getattr(worker, way).remote(argument))
        print(f"{way}: {seconds:.1f} s, {memory:.0f} MB of its own")


if __name__ == "__main__":
    main()
