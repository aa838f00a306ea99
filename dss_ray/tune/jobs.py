"""Ray's job server, by which those outside of a cluster run commands in it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dss_ray.errors import DssError, StoreError, UsageError

if TYPE_CHECKING:  # Ray takes a second to import
    from ray.job_submission import JobDetails

SWEEP, FOLDER = "dss_ray_sweep", "dss_ray_folder"  # the metadata of a sweep's job
POLL, RETRY, SILENCE = 1.0, 3.0, 60.0  # seconds
INTERRUPTED, KILLED = 130, 1
PATIENCE, NOT_YET = 120.0, "No available agent"  # seconds for a head that has just started
STOP_SECONDS = "60"  # that a stopped job has to end in good order; Ray's own 3 are too few
CHATTY = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)
EXTRA = "dss_ray[cluster]"


class UnreachableError(UsageError):
    """No job server answers at the moment."""


class Jobs:
    """The jobs of the cluster whose job server is at ``address``, such as http://HEAD:8265.

    Raises:
        UsageError: if it does not answer there, or takes no jobs from here.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        if not address.startswith(("http://", "https://")):
            raise UsageError(
                f"--address: expected the job server's, such as http://HEAD:8265, got '{address}'"
            )
        from ray.job_submission import JobSubmissionClient

        with self.reached():
            self.client = JobSubmissionClient(address)
        for name in CHATTY:  # on what it uploads
            logging.getLogger(name).setLevel(logging.ERROR)

    @contextmanager
    def reached(self) -> Iterator[None]:
        """What goes wrong on the way, as one sentence."""
        import requests
        from ray.exceptions import AuthenticationError

        try:
            yield
        except DssError:
            raise
        except AuthenticationError as error:
            first = str(error).partition("\n")[0].partition(". Ensure")[0]
            raise UsageError(
                f"--address {self.address}: {first}; set RAY_AUTH_MODE=token and "
                "RAY_AUTH_TOKEN_PATH to a file with the cluster's token"
            ) from None
        except (ConnectionError, requests.RequestException, OSError) as error:
            raise UnreachableError(
                f"--address {self.address}: no job server answers there ({type(error).__name__}); "
                "Ray's head runs one where ray[default] is installed"
            ) from None
        except ImportError as error:
            raise UsageError(f"{error}; install {EXTRA}") from None
        except RuntimeError as error:  # what the server says
            first = str(error).strip().partition("\n")[0]
            raise StoreError(f"{self.address}: the job server refused: {first}") from None

    def submit(
        self,
        command: str,
        folder: Path,
        environment: Mapping[str, str],
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        """Run a shell command on the head; returns the job's id.

        Args:
            command: that starts in a copy of ``folder``, where Python finds its modules; all
                workers of the job find them too.
            folder: what is sent along.
            environment: further variables of the job and its workers. Ray keeps and shows them.
            metadata: the name of the sweep that it runs and its folder, by which it is found again.
        """
        told = dict(metadata or {})
        runtime = {
            "working_dir": str(folder),
            "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": STOP_SECONDS, "COLUMNS": "120", **environment},
        }
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with self.reached():
                    return str(
                        self.client.submit_job(
                            entrypoint=command,
                            runtime_env=runtime,
                            metadata=told,
                            submission_id=f"{told[SWEEP]}-{int(time.time())}" if told else None,
                        )
                    )
            except StoreError as error:
                if NOT_YET not in str(error):
                    raise
                if time.monotonic() > deadline:
                    raise StoreError(
                        f"{error} Does another Ray hold the port of its agent? Start the head with "
                        "--dashboard-agent-listen-port=0"
                    ) from None
                time.sleep(RETRY)

    def run(self, command: str, folder: Path, environment: Mapping[str, str]) -> tuple[int, str]:
        """The exit code of a command on the head, and what it said."""
        job = self.submit(command, folder, environment)
        while not self.ended(job):
            time.sleep(POLL)
        with self.reached():
            said = str(self.client.get_job_logs(job))
        return self.code(job), said

    def ended(self, job: str) -> bool:
        """Whether a job is over."""
        with self.reached():
            return bool(self.client.get_job_status(job).is_terminal())

    def code(self, job: str) -> int:
        """The exit code of a job that is over: 130 if it was stopped, 1 if it was killed.

        Raises:
            StoreError: if it never got so far as to have one.
        """
        with self.reached():
            details = self.client.get_job_info(job)
        if details.status == "STOPPED":
            return INTERRUPTED
        if details.driver_exit_code is None and details.status != "SUCCEEDED":
            first = str(details.message).strip().partition("\n")[0]
            raise StoreError(f"job {job} is {details.status}: {first}")
        code = int(details.driver_exit_code or 0)
        return code if code >= 0 else KILLED

    def latest(self, name: str) -> JobDetails | None:
        """The job that was last to run the sweep ``name``."""
        with self.reached():
            found = [
                job
                for job in self.client.list_jobs()
                if job.submission_id and (job.metadata or {}).get(SWEEP) == name
            ]
        return max(found, key=lambda job: job.start_time or 0, default=None)

    def follow(
        self, job: str, show: Callable[[str], Any], revive: Callable[[], Any] = lambda: None
    ) -> int:
        """Show what a job says until it is over, through losses of the connection; its exit code.

        ``revive`` is called when the connection is lost.

        Raises:
            UsageError: if the token is refused.
            StoreError: if the job is gone.
        """
        import aiohttp

        shown, told = 0, False

        async def tail() -> None:  # the server begins at the beginning each time
            nonlocal shown
            seen, texts = 0, self.client.tail_job_logs(job)
            while True:
                text = await asyncio.wait_for(anext(texts), SILENCE)
                seen += len(text)
                if seen > shown:
                    show(text[shown - seen :])
                    shown = seen

        while True:
            try:
                with suppress(aiohttp.ClientError, RuntimeError, StopAsyncIteration, TimeoutError):
                    asyncio.run(tail())  # whether it is over is asked below
                if self.ended(job):
                    return self.code(job)
            except UnreachableError:
                if not told:
                    show(f"(connection to {self.address} lost; trying again)\n")
                told = True
                revive()
            time.sleep(RETRY)
