"""Live bytes are counted as they are, and what they say keeps a process within its budget."""

import subprocess
import sys
import textwrap

import pytest
import torch

from dss_ray.search.memory import MEBIBYTE, LivePeak, peak, room, samples_that_fit


def test_the_peak_counts_what_is_alive_at_once_and_no_view_twice():
    def work():
        first = torch.zeros(MEBIBYTE, dtype=torch.uint8)
        second = first.view(2, -1).float()  # four bytes each
        del first
        third = second[0].clone()
        del second
        return third + third

    assert peak(work) == 6 * MEBIBYTE


def test_what_was_there_before_does_not_count():
    old = torch.zeros(1000)
    assert peak(lambda: old.view(10, 100)) == 0
    assert peak(lambda: old.add_(1)) == 0


def test_nothing_is_counted_outside():
    with LivePeak() as counted:
        kept = torch.zeros(1000)
    torch.zeros(10_000)
    assert counted.peak == 4000 == counted.live
    del kept
    assert counted.live == 0


@pytest.mark.parametrize(("each", "shared"), [(100_000, 0), (100_000, 300_000), (1000, 400_000)])
def test_as_many_samples_are_taken_as_the_line_through_two_counts_allows(each, shared):
    def work(count):
        return torch.zeros(shared, dtype=torch.uint8), torch.zeros(count * each, dtype=torch.uint8)

    found = samples_that_fit(work, 10**9, 1_200_000)
    assert shared + found * each <= 1_200_000 < shared + (found + 1) * each
    assert samples_that_fit(work, 5, 1_200_000) == 5


def test_a_part_of_the_budget_is_left_to_the_allocator():
    assert room(100, torch.device("cpu")) < room(100, torch.device("cuda")) < 100 * MEBIBYTE


def test_two_samples_are_not_tried_where_they_might_not_fit():
    tried = []

    def work(count):
        tried.append(count)
        return torch.zeros(count * MEBIBYTE)

    assert samples_that_fit(work, 100, 2 * MEBIBYTE) == 1
    assert tried == [1]


SEARCH = """
    import ctypes, sys, torch
    from pathlib import Path
    from dss_ray.models.meter import Meter
    from dss_ray.search.gauss_newton import gauss_newton
    from dss_ray.search.result import SearchSettings
    from dss_ray.solver.classical import classical_table
    from dss_ray.solver.grids import make_grid
    from dss_ray.solver.reference import reference_table, solve_reference

    torch.set_num_threads(1)
    weights = torch.randn(16, 4000, generator=torch.Generator().manual_seed(0)) / 60

    def velocity(x, t, label):
        return ((x @ weights).tanh() * (1 + t)).tanh() @ weights.T

    def status(field):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024

    noise = torch.randn(200, 16)
    reference = solve_reference(velocity, noise, None, reference_table(20, 0, 1))
    def search(nfe, samples, memory):
        start = classical_table("ab2", make_grid("uniform", nfe))
        settings = SearchSettings(samples=samples, iterations=1, memory=memory, space="velocity")
        gauss_newton(Meter(velocity), reference, start, settings)

    search(2, 4, 1)
    ctypes.CDLL(None).malloc_trim(0)  # else the search fills what is free already
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again
    search(int(sys.argv[1]), 200, int(sys.argv[2]))
    print(status("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the kernel's high-water mark")
@pytest.mark.parametrize(
    ("nfe", "budget"), [(4, 32), (12, 32), pytest.param(20, 32, marks=pytest.mark.slow)]
)
def test_a_search_stays_within_its_budget_at_few_and_many_queries(nfe, budget):
    command = [sys.executable, "-c", textwrap.dedent(SEARCH), str(nfe), str(budget)]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    assert budget / 4 < float(found.stdout) < budget
