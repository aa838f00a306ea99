"""The Ray Tune trainable: one job on one worker."""

import time
from typing import Any

import torch

from dss_ray.config.sweep import Baselines, Evaluation
from dss_ray.models.meter import Meter
from dss_ray.tune.cluster import use_assigned_cpus
from dss_ray.tune.job import Job, run_job
from dss_ray.tune.outcome import Outcome

OUTCOME = "outcome"  # key of the reported result that holds the outcome as JSON


def job_config(job: Job) -> dict[str, Any]:
    """``job`` as the plain values of a Tune configuration."""
    return {
        "kind": job.kind,
        "model": job.model,
        "values": job.values,
        "evaluation": job.evaluation.model_dump(mode="json"),
        "baselines": job.baselines.model_dump(mode="json"),
        "device": job.device,
    }


def trainable(config: dict[str, Any]) -> None:
    """Do the job that ``config`` describes and report its outcome; a failure too, then raise it."""
    from ray import tune

    use_assigned_cpus()
    torch.manual_seed(0)  # a reused worker keeps its random state otherwise
    began, network = time.perf_counter(), Meter.process_seconds
    job = Job(
        kind=config["kind"],
        model=config["model"],
        values=config["values"],
        evaluation=Evaluation(**config["evaluation"]),
        baselines=Baselines(**config["baselines"]),
        device=config["device"],
    )
    try:
        outcome = run_job(job)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a user's model may raise anything
        outcome = Outcome(
            error=f"{type(error).__name__}: {error}",
            network_seconds=Meter.process_seconds - network,
            seconds=time.perf_counter() - began,
        )
        tune.report({OUTCOME: outcome.model_dump_json()})
        raise RuntimeError(outcome.error) from None
    tune.report({OUTCOME: outcome.model_dump_json()})
