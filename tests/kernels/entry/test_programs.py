"""Programs: a structure's own step is the generic one, bit for bit, in the same memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

import edge_rnn
from edge_rnn import Model, Stream, StreamBank
from edge_rnn.errors import InputTypeError
from edge_rnn.kernels.entry import compile_aside, object_cache, programs
from edge_rnn.kernels.lower.key import Generated
from edge_rnn.kernels.program.fixed import inlined
from edge_rnn.kernels.program.record import Handle
from edge_rnn.kernels.program.structure import Structure
from edge_rnn.sampling import generate, rollout
from edge_rnn.streams import stream_memory, warm_up
from edge_rnn.streams.planner import plan_of

XS = np.random.default_rng(3).uniform(-2, 2, (60, 3)).astype(np.float32)
Make = Callable[..., Model]


def generic_stream(model: Model, **options: Any) -> Stream:
    """Make a stream that steps by the kernels that all models share, even if a program is cached."""
    plan = plan_of(model)
    stream_memory._shared.pop(plan, None)
    programs._missed[plan.structure] = np.inf
    try:
        stream = Stream(model, **options)
    finally:
        del programs._missed[plan.structure], stream_memory._shared[plan]
    assert not has_program(stream)
    return stream


def has_program(stream: Stream) -> bool:
    generic = programs.generic()
    handle = stream._memory.handle
    assert (handle[Handle.STEP] == generic[Handle.STEP]) == (handle[Handle.ADVANCE] == generic[Handle.ADVANCE])
    return bool(handle[Handle.STEP] != generic[Handle.STEP])


@pytest.fixture(scope="module")
def lstm(make_model: Make) -> Model:
    model = make_model("lstm", 3, 20)
    warm_up(model)
    return model


CELLS = ("gru", "lstm", "elman_relu", "gru_reset_before")
FORMATS = ("float32", "int8", "float16", "w8a8", "int4", "sparse:0.5", "rank:2")


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("cell", "size", "format_"),
    [
        (cell, (24, 5, 40)[(i + j) % 3], format_)
        for (i, cell), (j, format_) in product(enumerate(CELLS), enumerate(FORMATS))
        if (i + j) % 2 == 0
    ],
)
def test_bits_are_those_of_the_generic_kernels(
    cell: str, size: int, format_: str, make_model: Make, in_format: Any
) -> None:
    model = in_format(make_model(cell, 3, size, layers=2), format_)
    warm_up(model)
    generic, own = generic_stream(model), Stream(model)
    assert has_program(own)
    assert own.run(XS).tobytes() == generic.run(XS).tobytes()
    assert own.snapshot() == generic.snapshot()
    for x in XS[:7]:
        assert own.step(x).tobytes() == generic.step(x).tobytes()


@pytest.mark.parametrize("policy", ["raise", "hold", "skip"])
def test_values_that_are_not_finite_are_treated_alike(policy: Any, lstm: Model) -> None:
    xs = XS.copy()
    xs[[0, 7, 8, 20], [0, 1, 2, 0]] = np.nan
    xs[30] = np.inf
    streams = [generic_stream(lstm, on_nonfinite=policy), Stream(lstm, on_nonfinite=policy)]
    found = []
    for stream in streams:
        rows = []
        for x in xs:
            try:
                rows.append(stream.step(x).tobytes())
            except ValueError as error:
                rows.append(str(error).encode())
        found.append((rows, stream.rejected_samples, stream.snapshot()))
    assert found[0] == found[1]
    assert found[0][1] == {"raise": 0, "hold": 5, "skip": 5}[policy]


def test_a_stream_changes_over_at_a_reset(make_model: Make) -> None:
    model = make_model("gru", 3, 9)
    wanted = generic_stream(model).run(XS)
    stream = generic_stream(model)
    assert stream.run(XS[:31]).tobytes() == wanted[:31].tobytes()
    warm_up(model)
    assert stream.run(XS[31:]).tobytes() == wanted[31:].tobytes()
    assert not has_program(stream)
    step = stream.step
    stream.reset()
    assert has_program(stream)
    assert np.array([step(x).copy() for x in XS]).tobytes() == wanted.tobytes()
    clone = generic_stream(model)
    clone.copy_from(stream)  # an odd number of steps later, and back
    assert clone.step(XS[0]).tobytes() == stream.step(XS[0]).tobytes()
    stream.restore(clone.snapshot())
    assert clone.step(XS[1]).tobytes() == stream.step(XS[1]).tobytes()


def test_every_door_leads_to_it(lstm: Model) -> None:
    wanted = generic_stream(lstm).run(XS)
    stream = Stream(lstm)
    assert stream.run(XS, np.empty_like(wanted)).tobytes() == wanted.tobytes()
    assert stream.classify(XS).tobytes() == wanted[-1].tobytes()
    stream.reset()
    assert np.array([stream.step(list(x)).copy() for x in XS]).tobytes() == wanted.tobytes()
    stream.reset()
    y, step = np.zeros(lstm.output_size, np.float32), edge_rnn.step

    @numba.njit  # type: ignore[untyped-decorator]
    def last(handle: int, xs: Any, y: Any) -> None:
        for t in range(len(xs)):
            step(handle, xs[t], y)

    last(stream.handle, XS, y)
    assert y.tobytes() == wanted[-1].tobytes()
    bank = StreamBank(lstm, 5)  # a group, and one that is left over
    for x in XS:
        ys = bank.step(np.tile(x, (5, 1)))
    assert np.abs(ys - wanted[-1]).max() < 1e-6
    assert bank[4].state["lstm1.h"].tobytes() == stream.state["lstm1.h"].tobytes()


def test_outputs_that_are_inputs(make_model: Make) -> None:
    model = make_model("gru", 4, 6)
    x = np.ones(4, np.float32)
    wanted = rollout(generic_stream(model), x, 20)
    symbols = generate(generic_stream(model), [1], max_length=20, seed=3).symbols
    warm_up(model)
    assert rollout(Stream(model), x, 20).tobytes() == wanted.tobytes()
    assert generate(Stream(model), [1], max_length=20, seed=3).symbols.tolist() == symbols.tolist()


def test_models_of_a_structure_share_the_code(make_model: Make, lstm: Model) -> None:
    other = make_model("lstm", 3, 20, seed=1)
    assert plan_of(other).structure == plan_of(lstm).structure
    assert has_program(Stream(other))
    assert Stream(other).run(XS).tobytes() == generic_stream(other).run(XS).tobytes()
    for different in (make_model("lstm", 3, 21), make_model("lstm", 2, 20), make_model("gru", 3, 20)):
        assert plan_of(different).structure != plan_of(lstm).structure


def test_a_structure_is_all_that_the_code_depends_on(lstm: Model) -> None:
    given = plan_of(lstm).structure
    longer = Generated.of(given.operations[0].text + " ", given.operations[0].gates, given.operations[0].formats)
    records = given.records.copy()
    records[1, -1, -1] += 1
    words = {**given.words, Handle.HELD: given.words[Handle.HELD] + 8}
    others = [
        Structure.of((longer, *given.operations[1:]), given.records, given.words, given.rows),
        Structure.of(given.operations, records, given.words, given.rows),
        Structure.of(given.operations, given.records, words, given.rows),
        Structure.of(given.operations, given.records, given.words, given.rows + 1),
    ]
    assert len({given, *others}) == 5
    assert Structure.of(given.operations, given.records.copy(), {**given.words}, given.rows) == given


def test_kernels_that_are_called_often_stay_functions(make_model: Make) -> None:
    model = make_model("gru", 3, 6, layers=6)
    structure = plan_of(model).structure
    assert len({*structure.operations} - inlined(structure.operations)) == 1
    warm_up(model)
    assert Stream(model).run(XS).tobytes() == generic_stream(model).run(XS).tobytes()


def test_a_structure_survives_the_way_to_another_process(lstm: Model) -> None:
    given = plan_of(lstm).structure
    found = compile_aside._structure(compile_aside._plain(given))
    assert found == given
    assert [getattr(name, "text", "") for name in found.operations] == [
        getattr(name, "text", "") for name in given.operations
    ]
    assert found.records.tobytes() == given.records.tobytes()
    assert (found.words, found.rows) == (given.words, given.rows)


@pytest.mark.slow
def test_a_process_compiles_meanwhile(make_model: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(compile_aside.BACKGROUND_VARIABLE)
    monkeypatch.setattr(programs, "_AGAIN_SECONDS", 0.0)
    structure = plan_of(make_model("lstm", 2, 11)).structure
    for path in object_cache.cache_directory().path.glob(f"{structure}*"):  # of an earlier run
        path.unlink()
    assert programs.ready(structure) is None
    with compile_aside.compiling_aside(structure):
        until = time.monotonic() + 120
        while not programs.ready(structure) and time.monotonic() < until:
            time.sleep(0.05)
    assert programs.ready(structure)


@pytest.mark.parametrize("why", ["off", "not writable"])
def test_no_process_is_started_in_vain(
    why: str, make_model: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def popen(*_: Any, **__: Any) -> None:
        pytest.fail("a process was started")

    if why == "not writable":
        monkeypatch.delenv(compile_aside.BACKGROUND_VARIABLE)
        place = object_cache.CacheDirectory(tmp_path, False, "it is full")
        monkeypatch.setattr(object_cache, "cache_directory", lambda: place)
    monkeypatch.setattr(subprocess, "Popen", popen)
    with compile_aside.compiling_aside(plan_of(make_model("gru", 5, 3)).structure):
        pass


def test_a_process_ends_with_the_loop(make_model: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(compile_aside.BACKGROUND_VARIABLE)
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda *args, **options: started.append(popen(*args, **options)) or started[0]
    )
    with compile_aside.compiling_aside(plan_of(make_model("gru", 2, 33)).structure):
        assert started[0].poll() is None
    assert started[0].returncode is not None


def test_warm_up_refuses_what_is_no_model() -> None:
    with pytest.raises(InputTypeError, match=r"warm_up got str, expected a Model; load\(path\) reads one"):
        warm_up("net.safetensors")  # type: ignore[arg-type]


def test_without_numba_the_error_says_what_to_do(tmp_path: Path) -> None:
    code = """
import sys
import edge_rnn
sys.modules["numba"] = None
try:
    edge_rnn.streams.warm_up(edge_rnn.Model([edge_rnn.Dense([[1.5]])]))
except edge_rnn.errors.CompileError as error:
    print(error)
"""
    environment = {**os.environ, "EDGE_RNN_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "numba is not installed: pip install 'edge-rnn[jit]'" in done.stdout


def test_a_cached_program_is_all_that_a_start_needs(make_model: Make, tmp_path: Path) -> None:
    """With its program in the cache, a stream loads neither the kernels of its layers nor a compiler."""
    model = make_model("gru", 3, 10)
    path = tmp_path / "net.safetensors"
    edge_rnn.save(model, path)
    warm_up(model)
    Stream(model).run(XS)
    code = f"""
import sys
import numpy as np
import edge_rnn
from edge_rnn.kernels.entry import object_cache
stream = edge_rnn.Stream(edge_rnn.load({str(path)!r}))
stream.step(np.ones(3, np.float32))
assert not {{"numba", "llvmlite"}} & sys.modules.keys()
print(*sorted(name.partition("_")[0] for name in object_cache._loaded))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["call", "program"]
