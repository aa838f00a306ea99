import math
from copy import copy
from dataclasses import replace

import pytest
import torch

from dss_ray.errors import DivergedError, UsageError
from dss_ray.evaluation.chunk import evaluate_chunk
from dss_ray.evaluation.evaluate import combine, evaluate
from dss_ray.evaluation.images import decoded
from dss_ray.evaluation.inception_score import inception_score
from dss_ray.evaluation.neighbours import precision_recall
from dss_ray.evaluation.plan import EvaluationPlan
from dss_ray.evaluation.reference_statistics import (
    TEACHER,
    reference_statistics,
    teacher_statistics,
)
from dss_ray.models.noise import draw
from dss_ray.solver.table import SolverTable

PLAN = EvaluationPlan(620, seed=3, domain="evaluation")


def euler(nfe, last=1.0):
    knots = torch.linspace(0, last, nfe + 1, dtype=torch.float64)
    weights = torch.full((nfe, nfe), last / nfe, dtype=torch.float64).tril()
    return SolverTable(knots[:-1], torch.ones(nfe, dtype=torch.float64), weights, knots)


def exact_ends(model, plan):
    noise, label = draw((1, 8, 8), 4, plan.domain, plan.seed, 0, plan.count)
    return noise + model.shift(label)


def target(extractor, count=400):
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (count, 1, 8, 8), generator=generator, dtype=torch.uint8)
    return reference_statistics([images], extractor, "noise")


def run_chunks(model, extractor, order):
    ends = exact_ends(model, PLAN)
    return [run_chunk(model, extractor, ends, index) for index in order]


def run_chunk(model, extractor, ends, index):
    chunk = PLAN[index]
    known = ends[chunk.first : chunk.first + chunk.count]
    return evaluate_chunk(
        model,
        euler(3),
        PLAN,
        index,
        extractor=extractor,
        keep_features=extractor is not None,
        keep_spatial=extractor is not None,
        keep_logits=extractor is not None,
        reference_end=known,
    )


def test_an_exact_solver_has_no_rmse(model):
    result = evaluate(model, euler(4), PLAN, reference_end=exact_ends(model, PLAN))
    assert result.rmse < 1e-6  # float32 rounding


def test_rmse_is_per_element_over_the_samples_that_have_a_reference(model):
    ends = exact_ends(model, PLAN)[:300]
    ends[:150] += 0.5  # half of the elements are off by a half
    result = evaluate(model, euler(2), PLAN, reference_end=ends)
    assert result.rmse == pytest.approx(0.5 / math.sqrt(2), rel=1e-6)
    assert result.samples == 620


def test_sharded_chunks_in_any_order_give_the_bits_of_the_serial_run(model, extractor):
    ends, reference = exact_ends(model, PLAN) + 0.1, target(extractor)
    whole = evaluate(
        model,
        euler(3),
        PLAN,
        extractor=extractor,
        reference=reference,
        keep_features=True,
        keep_spatial=True,
        keep_logits=True,
        reference_end=ends,
    )
    shards = [run_chunk(model, extractor, ends, index) for index in (2, 0, 1)]
    sharded = combine(shards, reference)
    assert replace(sharded, network_seconds=0) == replace(whole, network_seconds=0)


def test_the_first_chunks_are_the_evaluation_of_a_shorter_plan(model, extractor):
    reference, short = target(extractor), replace(PLAN, count=500)
    first = combine(run_chunks(model, extractor, [0, 1]), reference)
    alone = evaluate(model, euler(3), short, extractor=extractor, reference=reference)
    assert (first.fid, first.samples) == (alone.fid, 500)


def test_the_distance_is_that_of_all_images_at_once(model, extractor):
    ends = exact_ends(model, PLAN)
    itself = reference_statistics([decoded(model, ends)], extractor, "itself")
    result = evaluate(model, euler(1), PLAN, extractor=extractor, reference=itself)
    assert result.fid < 1e-9
    assert (result.features, result.reference) == ("digits-cnn", "itself")


def test_precision_and_recall_are_those_of_all_images_at_once(model, extractor):
    reference = target(extractor)
    found = combine(run_chunks(model, extractor, [2, 0, 1]), reference)
    ends = exact_ends(model, PLAN)
    with torch.no_grad():
        features = extractor(decoded(model, ends) / 255)
    expected = precision_recall(reference.vectors, features)
    assert (found.precision, found.recall) == (expected.precision, expected.recall)


def test_sfid_and_inception_score_are_those_of_all_images_at_once(model, extractor):
    ends = exact_ends(model, PLAN)
    itself = reference_statistics([decoded(model, ends)], extractor, "itself")
    chunks = run_chunks(model, extractor, [1, 2, 0])
    with torch.no_grad():
        logits = extractor.network(decoded(model, ends) / 255)
    found = combine(chunks, itself)
    assert found.sfid < 1e-9 < combine(chunks, target(extractor)).sfid
    assert found.inception_score == pytest.approx(inception_score(logits), rel=1e-6)


def test_what_nobody_asked_for_is_not_kept(model, extractor):
    chunk = evaluate_chunk(model, euler(1), PLAN, 0, extractor=extractor)
    assert (chunk.features, chunk.spatial, chunk.logits) == (None, None, None)
    result = evaluate(model, euler(1), PLAN, extractor=extractor, reference=target(extractor))
    assert (result.precision, result.recall) == (None, None)
    assert (result.sfid, result.inception_score) == (None, None)


def test_an_extractor_that_is_only_called_has_fid_and_says_what_it_lacks(model):
    own = lambda images: images.flatten(1)[:, :5]  # noqa: E731
    own.name, own.dim, own.fingerprint = "own", 5, "o"
    reference = target(own)
    assert evaluate(model, euler(1), PLAN, extractor=own, reference=reference).fid > 0
    with pytest.raises(UsageError, match="no spatial features"):
        evaluate_chunk(model, euler(1), PLAN, 0, extractor=own, keep_spatial=True)
    with pytest.raises(UsageError, match="no logits"):
        evaluate_chunk(model, euler(1), PLAN, 0, extractor=own, keep_logits=True)


def test_a_reference_without_features_has_no_precision_and_says_how_to_get_it(model, extractor):
    reference = replace(target(extractor), vectors=None)
    with pytest.raises(UsageError, match="dss-ray reference IMAGES"):
        combine(run_chunks(model, extractor, [0]), reference)


def test_without_reference_images_the_teacher_is_the_reference_and_is_named(model, extractor):
    ends = exact_ends(model, replace(PLAN, seed=4))
    teacher = teacher_statistics(model, ends, extractor)
    result = evaluate(model, euler(2), PLAN, extractor=extractor, reference=teacher)
    assert result.reference == TEACHER
    assert (
        0
        < result.fid
        < evaluate(model, euler(2), PLAN, extractor=extractor, reference=target(extractor)).fid
    )


@pytest.mark.parametrize("per_query", [1, 2])
def test_evaluations_count_network_calls_per_sample(model, per_query):
    model.evaluations_per_query = per_query
    result = evaluate(model, euler(5), PLAN)
    assert model.calls == 5 * 620
    assert result.evaluations == per_query * model.calls
    assert (result.fid, result.rmse) == (None, None)


def test_evaluations_of_velocities_per_query_add_up(model):
    other = copy(model)
    model.evaluations_per_query, other.evaluations_per_query = 1, 2
    result = evaluate([model, other, model], euler(3), PLAN)
    assert result.evaluations == (1 + 2 + 1) * 620


def test_the_start_noise_is_scaled_at_the_first_knot(model):
    model.noise_scale = lambda time: 3.0 if time == 0 else math.nan
    noise, label = draw((1, 8, 8), 4, PLAN.domain, PLAN.seed, 0, PLAN.count)
    result = evaluate(model, euler(1), PLAN, reference_end=3 * noise + model.shift(label))
    assert result.rmse < 1e-6


def test_nan_in_one_sample_is_named(model):
    shift = model.shift
    model.shift = lambda label: torch.where(
        torch.arange(len(label))[:, None, None, None] == 7, torch.nan, shift(label)
    )
    with pytest.raises(DivergedError, match=r"1 of 250 samples of shift in 2 steps .* sample 257"):
        evaluate_chunk(model, euler(2), PLAN, 1)


def test_reference_states_of_another_shape_are_refused(model):
    with pytest.raises(UsageError, match=r"shape \(1, 8, 8\), got \(3, 8, 8\)"):
        evaluate(model, euler(2), PLAN, reference_end=torch.zeros(620, 3, 8, 8))


@pytest.mark.parametrize("order", [[], [0, 2], [0, 0, 1], [1, 2]])
def test_missing_or_repeated_chunks_are_refused(model, extractor, order):
    with pytest.raises(UsageError, match="each once"):
        combine(run_chunks(model, extractor, order))


def test_chunks_without_features_have_no_distance(model, extractor):
    with pytest.raises(UsageError, match="need features of digits-cnn"):
        combine(run_chunks(model, None, [0, 1]), target(extractor))
