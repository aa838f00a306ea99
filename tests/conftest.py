"""What tests of several folders share lies in tests/fixtures; all use one cache of their own."""

import os
import shutil
import tempfile

import pytest

pytest_plugins = ["made_rows", "servers", "tiny_pipelines"]


def pytest_configure(config: pytest.Config) -> None:
    """An empty cache of references: what another machine has put there differs in its last bits.

    Processes that share the tests among them share the cache too.
    """
    if not hasattr(config, "workerinput"):
        os.environ["DSS_RAY_CACHE"] = tempfile.mkdtemp(prefix="dss-ray-tests-")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove it."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ["DSS_RAY_CACHE"], ignore_errors=True)
