"""Train the shipped networks: ``python -m dss_ray.models.train NAME``.

On one core digits-sit and digits-dit take about a quarter of an hour each, digits-flowdcn an hour,
the flows of MNIST two to four hours, mnist-autoencoder half an hour and the extractors at most
three minutes; ``--device cuda`` takes minutes. An interrupted run goes on from its last checkpoint,
on another device too; the same seed gives the same random numbers everywhere and the same weights
on the same machine.
"""

import argparse
import copy
import json
import math
import sys
from hashlib import sha256
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Generator, Tensor, nn
from torch.optim import AdamW

from dss_ray.errors import FileError, UsageError, unknown
from dss_ray.models import checkpoint
from dss_ray.models.recipes import RECIPES, Recipe

WARM_UP = 200  # steps
SAVE_EVERY = 500  # steps
TELL_EVERY = 20  # steps
MOMENTS = ("exp_avg", "exp_avg_sq")


class Training:
    """A network, its moving average and its optimiser, after ``step`` steps of a recipe."""

    def __init__(self, recipe: Recipe, device: str = "cpu") -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.step = recipe, 0
        self.network = recipe.build().to(device)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.trained = [p for p in self.network.parameters() if p.requires_grad]
        self.optimizer = AdamW(self.trained, lr=recipe.rate, weight_decay=recipe.weight_decay)
        images, labels = recipe.data("training")
        self.images, self.labels = images.to(device), labels.to(device)

    def advance(self) -> Tensor:
        """Take one step; its random numbers depend on (seed, step) alone, so resuming is exact."""
        generator = Generator().manual_seed((self.recipe.seed << 32) + self.step)
        chosen = torch.randint(len(self.labels), (self.recipe.batch,), generator=generator)
        chosen = chosen.to(self.labels.device)
        images, labels = self.images[chosen], self.labels[chosen]
        loss = self.recipe.loss(self.network, images, labels, generator)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        self.optimizer.step()
        self.step += 1
        self.follow()
        return loss.detach()

    def rate(self) -> float:
        """The learning rate: a linear rise, then half a cosine that ends at the horizon."""
        recipe = self.recipe
        rise = min(1.0, (self.step + 1) / WARM_UP)
        turn = math.pi * self.step / (recipe.horizon or recipe.steps)
        return recipe.rate * rise * (1 + math.cos(turn)) / 2

    def follow(self) -> None:
        """Move the average towards the network, faster in the first steps."""
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        weights = [weight.detach() for weight in self.network.parameters()]
        torch._foreach_lerp_(list(self.average.parameters()), weights, 1 - decay)

    def tensors(self) -> dict[str, Tensor]:
        """All that a resumed run needs, by name."""
        named = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        named |= {f"average.{name}": value for name, value in self.average.state_dict().items()}
        for index, weight in enumerate(self.trained):
            state = self.optimizer.state[weight]
            named |= {f"optimizer.{index}.{moment}": state[moment] for moment in MOMENTS}
        return named

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        checkpoint.write(path, self.tensors(), {"step": self.step, "recipe": self.summary()})

    def load(self, path: Path) -> None:
        """Continue from a checkpoint of the same recipe, or raise FileError."""
        tensors, document = checkpoint.read(path)
        if document.get("recipe") != self.summary():
            raise FileError(
                f"{path}: written by another recipe; remove it or choose another --folder"
            )
        self.step = document["step"]
        for name, module in (("network.", self.network), ("average.", self.average)):
            load_prefixed(module, tensors, name)
        for index, weight in enumerate(self.trained):
            named = {moment: tensors[f"optimizer.{index}.{moment}"] for moment in MOMENTS}
            moments = {moment: value.to(weight.device) for moment, value in named.items()}
            self.optimizer.state[weight] = {"step": torch.tensor(float(self.step)), **moments}

    def summary(self) -> str:
        """The recipe's numbers and a hash of the network's keys and shapes."""
        shapes = {key: list(value.shape) for key, value in self.network.state_dict().items()}
        layout = sha256(json.dumps(shapes, sort_keys=True).encode()).hexdigest()
        numbers = {name: value for name, value in vars(self.recipe).items() if not callable(value)}
        return json.dumps(numbers | {"network": layout}, sort_keys=True)


def load_prefixed(module: nn.Module, tensors: dict[str, Tensor], prefix: str) -> None:
    """Load the tensors whose names start with ``prefix`` into ``module``."""
    chosen = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    module.load_state_dict(chosen)


def train(name: str, folder: Path, output: Path, device: str = "cpu") -> Path:
    """Train ``name`` (or go on from the checkpoint in ``folder``) and write its weights.

    Returns:
        The path of the weights, float16, in ``output``.
    """
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    training, state = Training(RECIPES[name], device), folder / f"{name}.checkpoint.safetensors"
    if state.exists():
        training.load(state)
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    fields = TextColumn("loss {task.fields[loss]:.4f}")
    with Progress(*columns, fields, console=Console(stderr=True)) as progress:
        task = progress.add_task(
            name, total=training.recipe.steps, completed=training.step, loss=math.nan
        )
        recent = math.nan
        while training.step < training.recipe.steps:
            loss = training.advance()
            if training.step % TELL_EVERY == 0:  # not always: on a GPU it waits for the step
                recent = float(loss) if math.isnan(recent) else 0.8 * recent + 0.2 * float(loss)
                progress.update(task, completed=training.step, loss=recent)
            if training.step % SAVE_EVERY == 0:
                training.save(state)
    weights = {key: value.half() for key, value in training.average.state_dict().items()}
    path = output / f"{name}.safetensors"
    checkpoint.write(path, weights, {"name": name, "steps": training.step})
    return path


def main() -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m dss_ray.models.train", description="Train a shipped network."
    )
    parser.add_argument("name", help=f"what to train: {', '.join(RECIPES)}")
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/training"), help="for checkpoints"
    )
    parser.add_argument("--output", type=Path, default=checkpoint.SHIPPED, help="for the weights")
    parser.add_argument("--device", default="cpu", help="such as cuda")
    options = parser.parse_args()
    try:
        path = train(options.name, options.folder, options.output, options.device)
    except UsageError as error:
        Console(stderr=True).print(f"error: {error}")
        return 2
    Console().print(str(path))
    return 0


if __name__ == "__main__":
    sys.exit(main())
