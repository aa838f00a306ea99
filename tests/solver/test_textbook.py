"""Each classical table against its published step, in the method's own variables.

The textbook samplers walk a variance-preserving path x = alpha data + sigma noise with
alpha^2 + sigma^2 = 1, where neither the state nor the time is the package's.
"""

import itertools

import numpy as np
import pytest
import torch

from dss_ray.solver.classical import CLASSICAL, classical_table
from dss_ray.solver.grids import make_grid
from dss_ray.solver.sampling import sample

GRIDS = {
    "inside": make_grid("power:1.4", 8, 0.05, 0.93),
    "to data": make_grid("cosine", 8, 0.02, 1.0),
    "from noise": make_grid("uniform", 8, 0.0, 0.9),
    "whole": make_grid("shift:2", 8, 0.0, 1.0),
}
NOISE = np.linspace(-1.5, 1.5, 7)


def denoise(z, t):
    """A nonlinear data prediction, as a function of the package's state and time."""
    return np.tanh(2 * z + t) + 0.3 * np.sin(3 * z)


def frame_velocity(x, t, _):
    z, time = x.numpy(), t.item()
    if time == 1:  # only Heun asks there; the limit of (D - z) / (1 - t) must exist for it
        return torch.from_numpy(np.zeros_like(z))
    return torch.from_numpy((denoise(z, time) - z) / (1 - time))


class Path:
    """Knots as alpha, sigma and half log-SNR, and the predictions of the model at knot i."""

    def __init__(self, knots):
        self.t = knots.numpy()
        self.norm = np.sqrt(self.t**2 + (1 - self.t) ** 2)
        self.alpha, self.sigma = self.t / self.norm, (1 - self.t) / self.norm
        with np.errstate(divide="ignore"):
            self.lam = np.log(self.alpha) - np.log(self.sigma)
        self.steps = len(self.t) - 1

    def start(self, z):
        return z / self.norm[0]

    def end(self, x):
        return x * self.norm[-1]

    def data(self, x, i):
        return denoise(x * self.norm[i], self.t[i])

    def noise(self, x, i):
        return (x - self.alpha[i] * self.data(x, i)) / self.sigma[i]

    def last_is_data(self, i):
        return i == self.steps - 1 and self.t[-1] == 1


def ddim(path, z):
    """Song et al. 2010.02502, eq. 12 without noise."""
    x = path.start(z)
    for i in range(path.steps):
        data, noise = path.data(x, i), path.noise(x, i)
        x = path.alpha[i + 1] * data + path.sigma[i + 1] * noise
    return path.end(x)


def lagrange(nodes, j):
    others = [n for k, n in enumerate(nodes) if k != j]
    scale = np.prod([nodes[j] - n for n in others])
    return (
        np.polynomial.Polynomial.fromroots(others) / scale
        if others
        else (np.polynomial.Polynomial([1.0]))
    )


def adams(order):
    """Integrals of Lagrange polynomials through the last velocities."""

    def run(path, z):
        t, x, seen = path.t, path.start(z) * path.norm[0], []
        for i in range(path.steps):
            seen.append((denoise(x, t[i]) - x) / (1 - t[i]))
            used = range(max(0, i + 1 - order), i + 1)
            for place, j in enumerate(used):
                integral = lagrange([t[k] for k in used], place).integ()
                x = x + (integral(t[i + 1]) - integral(t[i])) * seen[j]
        return x

    return run


CONSTANT = {
    1: [1],
    2: [3 / 2, -1 / 2],
    3: [23 / 12, -16 / 12, 5 / 12],
    4: [55 / 24, -59 / 24, 37 / 24, -9 / 24],
}


def constant_adams(order):
    def run(path, z):
        x, seen = z, []
        for i in range(path.steps):
            seen.insert(0, (denoise(x, path.t[i]) - x) / (1 - path.t[i]))
            mixed = sum(c * v for c, v in zip(CONSTANT[min(order, i + 1)], seen, strict=False))
            x = x + (path.t[i + 1] - path.t[i]) * mixed
        return x

    return run


def heun(path, z):
    t, x = path.t[::2], z
    for here, there in itertools.pairwise(t):
        slope = frame_velocity(torch.from_numpy(x), torch.tensor(here), None).numpy()
        guess = torch.from_numpy(x + (there - here) * slope)
        ahead = frame_velocity(guess, torch.tensor(there), None).numpy()
        x = x + (there - here) * (slope + ahead) / 2
    return x


def dpmpp2m(path, z):
    """Lu et al. 2211.01095, algorithm 2."""
    x, seen = path.start(z), []
    for i in range(path.steps):
        seen.append(path.data(x, i))
        h, mixed = path.lam[i + 1] - path.lam[i], seen[i]
        if i > 0 and not path.last_is_data(i):
            r = (path.lam[i] - path.lam[i - 1]) / h
            mixed = (1 + 1 / (2 * r)) * seen[i] - 1 / (2 * r) * seen[i - 1]
        ratio = path.sigma[i + 1] / path.sigma[i]
        x = ratio * x - path.alpha[i + 1] * np.expm1(-h) * mixed
    return path.end(x)


def dpmpp3m(curvature):
    """Multistep Taylor step of the released code; Taylor's theorem asks for curvature 2."""

    def run(path, z):
        x, seen = path.start(z), []
        for i in range(path.steps):
            seen.append(path.data(x, i))
            h, alpha = path.lam[i + 1] - path.lam[i], path.alpha[i + 1]
            phi1 = np.expm1(-h)
            x = path.sigma[i + 1] / path.sigma[i] * x - alpha * phi1 * seen[i]
            if path.last_is_data(i) or i == 0:
                continue
            r0 = (path.lam[i] - path.lam[i - 1]) / h
            first = (seen[i] - seen[i - 1]) / r0
            if i == 1:
                x = x - 0.5 * alpha * phi1 * first
                continue
            phi2 = phi1 / h + 1
            phi3 = phi2 / h - 0.5
            r1 = (path.lam[i - 1] - path.lam[i - 2]) / h
            second = (seen[i - 1] - seen[i - 2]) / r1
            d1 = first + r0 / (r0 + r1) * (first - second)
            d2 = (first - second) / (r0 + r1)
            x = x + alpha * phi2 * d1 - curvature * alpha * phi3 * d2
        return path.end(x)

    return run


def ipndm(order):
    """DDIM's transfer of an Adams-Bashforth mixture of noise predictions (2204.13902)."""

    def run(path, z):
        x, seen = path.start(z), []
        for i in range(path.steps):
            seen.insert(0, path.noise(x, i))
            mixed = sum(c * e for c, e in zip(CONSTANT[min(order, i + 1)], seen, strict=False))
            if path.alpha[i] == 0:  # from pure noise DDIM goes to the data prediction
                x = path.alpha[i + 1] * path.data(x, i) + path.sigma[i + 1] * mixed
                continue
            ratio = path.alpha[i + 1] / path.alpha[i]
            x = ratio * x + (path.sigma[i + 1] - ratio * path.sigma[i]) * mixed
        return path.end(x)

    return run


def inverse_square(polynomial, t):
    """Antiderivative of polynomial(t) / t^2, because sigma / alpha falls by dt / t^2."""
    constant, slope, *rest = *polynomial.coef, 0.0
    tail = sum(c * t ** (m + 1) / (m + 1) for m, c in enumerate(rest))
    return -constant / t + slope * np.log(t) + tail


def deis(order):
    """x / alpha moves by the integral of the noise prediction over sigma / alpha (2204.13902)."""

    def run(path, z):
        t = np.maximum(path.t, 1e-6)
        x, seen = path.start(z), []
        for i in range(path.steps):
            seen.append(path.noise(x, i))
            if i == 0:  # DDIM, which also serves pure noise
                x = path.alpha[1] * path.data(x, 0) + path.sigma[1] * seen[0]
                continue
            used = range(max(0, i + 1 - order), i + 1)
            moved = x / path.alpha[i]
            for place, j in enumerate(used):
                basis = lagrange([t[k] for k in used], place)
                integral = inverse_square(basis, t[i + 1]) - inverse_square(basis, t[i])
                moved = moved - integral * seen[j]
            x = path.alpha[i + 1] * moved
        return path.end(x)

    return run


def unipc_coefficients(rks, hh, count):
    """R and b of 2302.04867 by the released recursion, for B(h) = exp(hh) - 1."""
    scale = np.expm1(hh)
    phi, factorial, rows, right = scale / hh - 1, 1, [], []
    for k in range(1, count + 1):
        rows.append(np.array(rks[:count]) ** (k - 1))
        right.append(phi * factorial / scale)
        factorial *= k + 1
        phi = phi / hh - 1 / factorial
    return np.linalg.solve(np.array(rows), np.array(right))


def unipc_update(path, lam, x, i, order, seen, ahead=None):
    """UniP step from knot i, or UniC with the prediction ``ahead`` at knot i + 1."""
    h = lam[i + 1] - lam[i]
    scale = np.expm1(path.lam[i] - path.lam[i + 1])  # the transfer needs no finite log-SNR
    rks = [(lam[i - k] - lam[i]) / h for k in range(1, order)]
    differences = [(seen[i - k] - seen[i]) / rk for k, rk in zip(range(1, order), rks, strict=True)]
    if ahead is not None:
        rks, differences = [*rks, 1.0], [*differences, ahead - seen[i]]
    rhos = [0.5] if len(rks) == 1 else unipc_coefficients(rks, -h, len(rks)) if rks else []
    residual = sum(rho * d for rho, d in zip(rhos, differences, strict=True))
    base = path.sigma[i + 1] / path.sigma[i] * x - path.alpha[i + 1] * scale * seen[i]
    return base - path.alpha[i + 1] * scale * residual


def unipc(top):
    """Zhao et al. 2302.04867: the corrector reuses the next predictor's evaluation."""

    def run(path, z):
        t = np.maximum(path.t, 1e-6)
        with np.errstate(divide="ignore"):
            lam = np.log(t) - np.log(1 - t)
        predicted = corrected = path.start(z)
        seen = []
        for i in range(path.steps):
            now = path.data(predicted, i)
            if i > 0:
                order = min(top, i)
                corrected = unipc_update(path, lam, corrected, i - 1, order, seen, ahead=now)
            seen.append(now)
            order = 1 if path.last_is_data(i) else min(top, i + 1)
            predicted = unipc_update(path, lam, corrected, i, order, seen)
        return path.end(predicted)

    return run


TEXTBOOK = {
    "euler": constant_adams(1),
    "ddim": ddim,
    "heun": heun,
    "ab1": adams(1),
    "ab2": adams(2),
    "ab3": adams(3),
    "ab4": adams(4),
    "ab2-uniform": constant_adams(2),
    "ab3-uniform": constant_adams(3),
    "ab4-uniform": constant_adams(4),
    "dpmpp2m": dpmpp2m,
    "dpmpp3m": dpmpp3m(curvature=2),
    "dpmpp3m-released": dpmpp3m(curvature=1),
    "ipndm": ipndm(4),
    "ipndm2": ipndm(2),
    "ipndm3": ipndm(3),
    "deis2": deis(2),
    "deis3": deis(3),
    "unipc2": unipc(2),
    "unipc3": unipc(3),
}


def test_every_method_has_a_textbook():
    assert list(TEXTBOOK) == list(CLASSICAL)


@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize("grid", GRIDS)
def test_table_equals_the_textbook_step(name, grid):
    knots = GRIDS[grid]
    expected = TEXTBOOK[name](Path(knots), NOISE)
    end = sample(frame_velocity, classical_table(name, knots), torch.from_numpy(NOISE)).numpy()
    assert np.abs(end - expected).max() < 1e-12 * max(1, np.abs(expected).max())
