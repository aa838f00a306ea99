"""A mixture of Gaussians, whose velocity is known exactly."""

import math

import torch
from torch import Tensor

from dss_ray.errors import ModelError
from dss_ray.models import checkpoint


class GaussianMixture:
    """The exact velocity of x_t = t data + (1 - t) noise for data from a mixture of Gaussians.

    Given component k, x_t is N(t mu_k, C_k) with C_k = t^2 Sigma_k + (1 - t)^2 I, and
    E[data - noise | x_t, k] = mu_k + (t Sigma_k - (1 - t) I) C_k^-1 (x_t - t mu_k); the velocity is
    their mean under the components' posterior. It is computed in float64, in the eigenbases of
    the covariances, and returned in the dtype of x.

    Args:
        weights: (K,), positive; normalised here.
        means: (K, *sample_shape).
        covariances: (K,) variances of isotropic components, or (K, D, D) over flattened samples.
        classes: (K,) int64 class of each component, every class having one; None if unconditional.
        name: what reports call it.

    Raises:
        ModelError: if shapes disagree, a weight or covariance is not positive or a class is empty.
    """

    t_min, t_max = 0.0, 1.0
    features: str | None = None

    def __init__(
        self,
        weights: Tensor,
        means: Tensor,
        covariances: Tensor,
        classes: Tensor | None = None,
        name: str = "gaussian-mixture",
    ) -> None:
        self.name, self.sample_shape = name, tuple(means.shape[1:])
        self.means = means.double().flatten(1)  # (K, D)
        count, size = self.means.shape
        full = covariances.double()
        if covariances.ndim == 1:
            full = full[:, None, None] * torch.eye(size, dtype=torch.float64)
        if weights.shape != (count,) or full.shape != (count, size, size):
            raise ModelError(
                f"{name}: expected {count} weights and covariances of {size} x {size}, "
                f"got {tuple(weights.shape)} and {tuple(covariances.shape)}"
            )
        self.log_weights = weights.double().log() - weights.double().sum().log()
        self.variances, self.bases = torch.linalg.eigh(full)  # (K, D), (K, D, D)
        if not (self.log_weights.isfinite().all() and (self.variances > 0).all()):
            raise ModelError(f"{name}: weights and covariances must be positive")
        self.num_classes = None if classes is None else int(classes.max()) + 1
        self.members = self.memberships(count, classes)
        tensors = {"weights": self.log_weights, "means": self.means, "covariances": full}
        self.fingerprint = checkpoint.fingerprint(tensors, self.members.tolist())

    def memberships(self, count: int, classes: Tensor | None) -> Tensor:
        """Which components belong to each label, the null label last: (num_classes + 1, K) bool."""
        everything = torch.ones(1, count, dtype=torch.bool)
        if classes is None or self.num_classes is None:
            return everything
        own = classes == torch.arange(self.num_classes)[:, None]
        if classes.shape != (count,) or not own.any(1).all():
            raise ModelError(f"{self.name}: every class needs a component, got {classes.tolist()}")
        return torch.cat([own, everything])

    def __call__(self, x: Tensor, t: Tensor, label: Tensor | None) -> Tensor:
        """dx/dt (B, *sample_shape) at x of the same shape; t scalar or (B,), label (B,) or None."""
        time = t.double().expand(len(x))[:, None, None]
        centred = x.double().flatten(1)[:, None] - time * self.means  # (B, K, D)
        rotated = torch.einsum("kij,bki->bkj", self.bases, centred)
        variance = time**2 * self.variances + (1 - time) ** 2
        density = -(rotated**2 / variance + variance.log()).sum(-1) / 2  # (B, K), up to a constant
        row = torch.full((len(x),), -1) if label is None else label
        logits = (density + self.log_weights).masked_fill(~self.members[row], -math.inf)
        pulled = (time * self.variances - (1 - time)) / variance * rotated
        each = self.means + torch.einsum("kij,bkj->bki", self.bases, pulled)
        velocity: Tensor = (logits.softmax(-1)[..., None] * each).sum(1)
        return velocity.view_as(x).to(x.dtype)


def plane() -> GaussianMixture:
    """The zoo's ``gaussian-mixture``: eight elongated components on a circle, in four classes."""
    angles = torch.arange(8, dtype=torch.float64) * (math.pi / 4)
    radial = torch.stack([angles.cos(), angles.sin()], dim=-1)
    along = radial[:, :, None] * radial[:, None, :]
    covariances = 0.02 * torch.eye(2, dtype=torch.float64) + 0.1 * along
    weights = 1 + 0.5 * angles.cos()
    return GaussianMixture(weights, 2 * radial, covariances, torch.arange(8) % 4)
