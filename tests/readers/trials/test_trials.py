"""Random networks: each is read right or refused, and as many are read as ``campaign.KINDS`` says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import needs
from edge_rnn import GRU, Dense, Elman, Model, reference
from edge_rnn.errors import UnsupportedError
from tests.readers.trials import campaign
from tests.readers.trials.campaign import KINDS
from tests.readers.trials.judge import Run, Table, Trial, UntriedError, judge, nudged, same

RUNS = [
    *(pytest.param(kind, 1, KINDS[kind].few, id=f"{kind}-few") for kind in KINDS),
    *(
        pytest.param(kind, 2, each.many, id=f"{kind}-many", marks=pytest.mark.slow)
        for kind, each in KINDS.items()
        if each.many > each.few
    ),
]


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")  # of the libraries that write the networks
@pytest.mark.parametrize(("kind", "seed", "count"), RUNS)
def test_no_network_is_read_wrong_and_enough_are_read(kind: str, seed: int, count: int) -> None:
    for package in KINDS[kind].needs:
        needs.package(package)
    table = campaign.run(kind, seed, range(count))
    assert not table.faults, "\n".join(table.lines(0))
    assert table.share >= KINDS[kind].share, "\n".join(table.lines(0))
    assert len(table.outcomes) >= count // 2  # or hardly any could be written
    if KINDS[kind].obstacles:
        assert sum(table.others.values()) >= count // 20  # or nothing is tried that must be refused


# The judge itself
def network() -> Model:
    rng = np.random.default_rng(1)
    weights = [rng.uniform(-0.5, 0.5, shape).astype(np.float32) for shape in ((12, 3), (12, 4), (2, 4))]
    return Model([GRU(*weights[:2], bias_ih=np.zeros(12), bias_hh=np.zeros(12)), Dense(weights[2])])


def runs_of(model: Model, heads: tuple[int, ...] = (2,)) -> list[Run]:
    found = []
    for scale in (1.0, 100.0):
        xs = (scale * np.random.default_rng(2).standard_normal((50, 3))).astype(np.float32)
        ys = reference.run(model, xs)[0]
        found.append(Run(xs, slice(None), np.split(ys, np.cumsum(heads)[:-1], axis=1)))
    return found


def changed(model: Model, factor: float) -> Model:
    last = model.layers[-1]
    return replace(model, layers=[*model.layers[:-1], Dense(factor * np.asarray(last.weight))])


def outcome(read: Callable[[], Model], runs: list[Run], **options: object) -> str:
    return judge(Trial("", "", read, lambda: runs, **options)).what  # type: ignore[arg-type]


@pytest.mark.parametrize(("factor", "what"), [(1.0, "read"), (1 + 1e-7, "read"), (1 + 1e-4, "WRONG")])
def test_small_differences_are_found(factor: float, what: str) -> None:
    model = network()
    assert outcome(lambda: changed(model, factor), runs_of(model)) == what


def test_a_difference_at_large_samples_alone_is_found() -> None:
    model = network()
    small, large = runs_of(model)
    wrong = Run(large.xs, large.rows, [1.1 * head for head in large.heads])
    assert outcome(lambda: model, [small, wrong]) == "WRONG"


# Networks whose own outputs say nothing from some step on
def chaotic() -> Model:
    """Elman network whose states part by a factor at each step, and meet the tolerance after some steps."""
    rng = np.random.default_rng(5)
    weights = [scale * rng.standard_normal(shape) for scale, shape in ((0.1, (32, 3)), (1.5, (32, 32)), (1, (2, 32)))]
    return Model([Elman(*weights[:2], activation="softsign"), Dense(weights[2])])


def rounded(model: Model) -> Model:
    """Return a model with other roundings of the weights of its samples, as if a reader had folded them."""
    layer = model.layers[0]
    return replace(model, layers=[replace(layer, weight_ih=nudged(np.asarray(layer.weight_ih), 9)), *model.layers[1:]])


def repeated(model: Model, network: Model) -> list[Run]:
    """Runs of a network that can be computed on other samples."""
    return [run._replace(again=lambda xs: [reference.run(network, xs)[0]]) for run in runs_of(model)]


def test_a_chaotic_network_is_compared_while_its_own_outputs_are_sure() -> None:
    model = chaotic()
    assert outcome(lambda: rounded(model), runs_of(model)) == "WRONG"  # symbols, say: nothing is excused
    assert outcome(lambda: rounded(model), repeated(model, model)) == "read"


def test_a_wrong_network_that_becomes_chaotic_is_wrong_by_its_first_steps() -> None:
    model = chaotic()
    assert outcome(lambda: changed(model, 1 + 1e-4), repeated(model, model)) == "WRONG"
    layer = model.layers[0]
    later = replace(layer, weight_hh=1.001 * np.asarray(layer.weight_hh))  # right at the first step
    wrong = replace(model, layers=[later, *model.layers[1:]])
    assert outcome(lambda: wrong, repeated(model, model)) == "WRONG"


def test_a_chaotic_model_of_a_calm_network_is_wrong() -> None:
    calm = network()
    assert outcome(chaotic, repeated(calm, calm)) == "WRONG"


def test_samples_are_nudged_only_for_an_error() -> None:
    def refused(xs: np.ndarray) -> list[np.ndarray]:
        raise AssertionError

    model = network()
    assert outcome(lambda: model, [run._replace(again=refused) for run in runs_of(model)]) == "read"
    with pytest.raises(AssertionError):
        outcome(lambda: changed(model, 2), [run._replace(again=refused) for run in runs_of(model)])


@pytest.mark.parametrize(("calm", "says"), [(2, False), (3, True)])
def test_a_network_that_is_chaotic_from_the_beginning_says_nothing(calm: int, says: bool) -> None:
    model = network()
    runs = []
    for run in runs_of(model):
        ys = run.heads[0].copy()
        ys[calm:] += 1
        runs.append(Run(run.xs, run.rows, [ys], lambda xs, ys=ys, step=calm: [ys + (np.arange(50) >= step)[:, None]]))  # type: ignore[misc]
    if says:
        assert outcome(lambda: model, runs) == "read"
    else:
        with pytest.raises(UntriedError, match="chaotic"):
            outcome(lambda: model, runs)
        assert outcome(lambda: changed(model, 2), runs) == "WRONG"


def test_nudged_samples_are_neighbors_in_both_directions() -> None:
    xs = np.random.default_rng(1).standard_normal((50, 3)).astype(np.float32)
    moved = nudged(xs, 1)
    assert moved.dtype == np.float32
    np.testing.assert_array_max_ulp(moved, xs, 1)
    assert 0.3 < np.mean(moved > xs) < 0.7
    assert (moved != xs).all()


def test_outcomes_without_a_model() -> None:
    def refusing() -> Model:
        raise UnsupportedError("from_torch cannot convert nn.Mish 'act'.")

    assert outcome(refusing, []) == "refused"
    assert outcome(lambda: 1 // 0, []) == "crash"  # type: ignore[arg-type,return-value]


def test_a_model_of_the_first_head_alone_is_partial() -> None:
    model = network()
    runs = runs_of(model)
    both = [Run(run.xs, run.rows, [run.heads[0], run.heads[0][:, :1]]) for run in runs]
    assert outcome(lambda: model, both) == "partial"
    assert outcome(lambda: model, runs_of(model, (1, 1))) == "read"


def test_last_steps_are_compared() -> None:
    model = network()
    last = [Run(run.xs, [6, 49], [run.heads[0][[6, 49]]]) for run in runs_of(model)]
    assert outcome(lambda: model, last) == "read"
    assert outcome(lambda: model, [Run(run.xs, [5, 49], run.heads) for run in last]) == "WRONG"


def test_causes_are_counted_without_names_and_numbers() -> None:
    texts = ["from_torch cannot convert nn.Mish 'act2'. Build it.", "from_torch cannot convert nn.Mish 'a'. Or not."]
    assert same(texts[0]) == same(texts[1]) == "from_torch cannot convert nn.Mish '…'"
    model = network()
    assert (
        same(f"from_torch: Net.forward is not {model!r} on 16 samples.") == "Net.forward is not <Model> on N samples."
    )


def test_the_share_is_that_of_networks_that_a_stream_can_compute() -> None:
    table, model = Table(), network()
    for number, obstacle in enumerate(["", "", "", "reversed", "reversed"]):
        trial = Trial("", obstacle, lambda: model, lambda: runs_of(model))
        table.add(number, judge(trial)._replace(what="refused" if number > 1 else "read"))
    assert table.share == 2 / 3
    assert list(table.causes.values()) == [[2]]
    assert "2 (66.7%)" not in table.lines(0)[0]
    assert "read 2, refused 1 (66.7%)" in table.lines(0)[0]
