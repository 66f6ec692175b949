"""Random networks: each is read right or refused, and as many are read as ``campaign.KINDS`` says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import needs
from edge_rnn import GRU, Dense, Model, reference
from edge_rnn.errors import UnsupportedError
from tests.readers.trials import campaign
from tests.readers.trials.campaign import KINDS
from tests.readers.trials.judge import Run, Table, Trial, judge, same

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
