"""Guarantees of a stream: the same results in every way of running it, and a state that can be saved and restored."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import edge_rnn
from edge_rnn import Model, Stream
from edge_rnn.errors import InputError, StateError
from edge_rnn.kernels.entry import python_function as fast
from edge_rnn.streams.planner import plan_of

pytestmark = pytest.mark.sampled(3)

Build = Callable[..., Model]
ROOT = Path(__file__).resolve().parents[2]
CELLS = ("elman_tanh", "elman_relu", "gru", "gru_reset_before", "lstm")


@pytest.fixture(params=CELLS)
def model(request: pytest.FixtureRequest, make_model: Build) -> Model:
    return make_model(request.param, 3, 21, layers=2, initial=True)


def noise(model: Model, steps: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((steps, model.input_size)).astype(np.float32)


def test_run_in_parts_is_run_as_a_whole(model: Model) -> None:
    xs = noise(model, 101)
    whole = Stream(model).run(xs)
    stream = Stream(model)
    parts = [stream.run(xs[:1]), stream.run(xs[1:1]), stream.run(xs[1:50]), stream.run(xs[50:])]
    assert np.array_equal(np.concatenate(parts), whole)


def test_step_is_run(model: Model) -> None:
    xs = noise(model, 101)
    stream = Stream(model)
    assert np.array_equal(np.array([stream.step(x).copy() for x in xs]), Stream(model).run(xs))


@pytest.fixture
def fast_path() -> None:
    """Skip a test of the fast path on systems that have none by design."""
    if sys.maxsize < 2**32 or "t" in sys.abiflags:
        pytest.skip("needs a 64-bit Python with a GIL: others take the plain path")
    assert fast.why_not() == ""


@pytest.mark.usefixtures("fast_path")
def test_plain_path_is_the_fast_path(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    xs = noise(model, 50)
    expected = Stream(model).run(xs)
    monkeypatch.setattr(fast, "why_not", lambda: "a test says so")
    stream = Stream(model)
    assert type(stream.step) is not type(len)
    assert np.array_equal(np.array([stream.step(x).copy() for x in xs]), expected)


def test_step_returns_the_same_array(model: Model) -> None:
    stream = Stream(model)
    x = noise(model, 1)[0]
    first = stream.step(x)
    held = first.copy()
    assert stream.step(x) is first
    assert not np.array_equal(first, held)


def test_step_converts_what_is_not_a_float32_array(model: Model) -> None:
    x = noise(model, 1)[0]
    expected = Stream(model).step(x).copy()
    every_other = np.zeros(2 * x.size, np.float32)[::2]
    every_other[:] = x
    unaligned = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float32)
    kinds = (
        x.tolist(),
        tuple(x.tolist()),
        x.astype(np.float64),
        every_other,
        unaligned,
        x.astype(">f4"),
        memoryview(x),
    )
    for given in kinds:
        assert np.array_equal(Stream(model).step(given), expected)


@pytest.mark.parametrize("plain", [False, True])
def test_float_in_float_out(make_model: Build, monkeypatch: pytest.MonkeyPatch, plain: bool) -> None:
    if plain:
        monkeypatch.setattr(fast, "why_not", lambda: "a test says so")
    one_channel = make_model("gru", 1, 8, head=1)
    values = [0.25, -1.0, 1e-3]
    expected = Stream(one_channel).run(np.array(values)[:, None])[:, 0].tolist()
    stream = Stream(one_channel)
    assert [stream.step(value) for value in values] == expected
    assert type(stream.step(0.5)) is float
    for number in (1, np.float32(1), np.float64(1), np.array(1.0)):
        stream.reset()
        assert stream.step(number) == Stream(one_channel).step(1.0)
    assert stream.step(np.ones(1, np.float32)).shape == (1,)
    before = stream.snapshot()
    with pytest.raises(InputError, match="got nan in channel 0"):
        stream.step(float("nan"))
    with pytest.raises(InputError, match="got inf in channel 0"):
        stream.step(1e300)
    assert stream.snapshot() == before
    assert Stream(make_model("gru", 1, 8, head=3)).step(0.5).shape == (3,)
    with pytest.raises(InputError, match=r"shape \(\), expected \(3,\)"):
        Stream(make_model("gru", 3, 8, head=1)).step(0.5)


def test_snapshot_and_restore_are_as_if_never_stopped(model: Model) -> None:
    xs = noise(model, 60)
    stream = Stream(model)
    for cut in (0, 1, 2, 31):
        stream.reset()
        stream.run(xs[:cut])
        snapshot = stream.snapshot()
        rest = stream.run(xs[cut:])
        stream.restore(snapshot)
        assert stream.snapshot() == snapshot
        assert np.array_equal(stream.run(xs[cut:]), rest)
        other = Stream(model)
        other.restore(snapshot)
        assert np.array_equal(other.run(xs[cut:]), rest)


def test_clone_goes_its_own_way(model: Model) -> None:
    xs = noise(model, 40)
    stream = Stream(model, on_nonfinite="skip")
    stream.run(xs[:7])
    clone = stream.clone()
    assert clone.snapshot() == stream.snapshot()
    rest = stream.run(xs[7:])
    assert np.array_equal(clone.run(xs[7:]), rest)
    bad = np.full(model.input_size, np.nan, np.float32)
    assert np.array_equal(clone.step(bad), rest[-1])


def test_reset_is_a_new_stream(model: Model) -> None:
    stream = Stream(model)
    stream.run(noise(model, 9))
    stream.reset()
    assert stream.snapshot() == Stream(model).snapshot()


def test_streams_of_one_model_share_weights_and_nothing_else(model: Model) -> None:
    xs, zs = noise(model, 50, 1), noise(model, 50, 2)
    expected = Stream(model).run(xs), Stream(model).run(zs)
    one, two = Stream(model), Stream(model)
    got = [(one.step(x).copy(), two.step(z).copy()) for x, z in zip(xs, zs, strict=True)]
    assert np.array_equal([y for y, _ in got], expected[0])
    assert np.array_equal([y for _, y in got], expected[1])
    assert plan_of(model) is plan_of(model)
    assert one.memory == two.memory
    assert one.memory.weights == plan_of(model).weights.nbytes


def test_state_by_name_starts_at_the_initial_state(model: Model) -> None:
    stream = Stream(model)
    assert stream.state.keys() == model.initial_state.keys()
    for name, initial in model.initial_state.items():
        assert np.array_equal(stream.state[name], initial)
    stream.run(noise(model, 3))
    for name, initial in model.initial_state.items():
        assert not np.array_equal(stream.state[name], initial)


def test_nbytes_of_a_known_layout(make_model: Build) -> None:
    """GRU(3 → 8) + Dense(4): 24x(3+8) weights, 4x8 biases; 8 biases, 8 scales, 4 rows of 8 weights; whole lines."""
    stream = Stream(make_model("gru", 3, 8))
    assert stream.memory.weights == 4 * (24 * 11 + 4 * 8 + 8 + 2 * 8 + 4 * 8)
    assert stream.memory.state < 600
    assert type(stream.nbytes) is int
    assert stream.nbytes == stream.memory.weights + stream.memory.state


def test_threads_with_a_stream_each(model: Model) -> None:
    xs = noise(model, 3000)
    expected = Stream(model).run(xs)
    results: list[bool] = []

    def work() -> None:
        results.append(np.array_equal(Stream(model).run(xs), expected))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 4


def test_step_outlives_its_stream(model: Model) -> None:
    """A loop may keep only ``step = stream.step``."""
    xs = noise(model, 20)
    expected = Stream(model).run(xs)
    stream = Stream(model)
    gone = weakref.ref(stream)
    step = stream.step
    del stream
    gc.collect()
    assert gone() is None
    garbage = [np.full(1000, np.nan) for _ in range(100)]
    assert np.array_equal(np.array([step(x).copy() for x in xs]), expected)
    del garbage


def test_a_stream_is_freed_without_the_garbage_collector(model: Model) -> None:
    gc.disable()
    try:
        stream = Stream(model)
        gone = weakref.ref(stream)
        del stream
        assert gone() is None
    finally:
        gc.enable()


def test_step_keeps_reference_counts(model: Model) -> None:
    stream = Stream(model)
    x = noise(model, 1)[0]
    y = stream.step(x)
    before = sys.getrefcount(x), sys.getrefcount(y)
    for _ in range(1000):
        stream.step(x)
    assert (sys.getrefcount(x), sys.getrefcount(y)) == before


def test_copies_are_clones_and_pickles_are_refused(model: Model) -> None:
    stream = Stream(model)
    x = noise(model, 1)[0]
    stream.step(x)
    for other in (copy.copy(stream), copy.deepcopy(stream)):
        before = stream.snapshot()
        assert other.snapshot() == before
        other.step(x)
        assert stream.snapshot() == before
    with pytest.raises(StateError, match=r"pass stream\.snapshot\(\) on with it"):
        pickle.dumps(stream)


@pytest.mark.usefixtures("fast_path")
def test_an_array_that_was_pickled_takes_the_fast_path(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its dtype is a separate object; samples from another process are such arrays."""
    x = noise(model, 1)[0]
    sent = pickle.loads(pickle.dumps(x))
    assert sent.dtype is not x.dtype
    expected = Stream(model).step(x).copy()
    monkeypatch.setattr("edge_rnn.streams.stream.convert_and_step", lambda memory, x: "converted")
    assert np.array_equal(Stream(model).step(sent), expected)
    for other in (x.astype(">f4"), x.view(np.int32)):
        assert Stream(model).step(other) == "converted"


def test_the_output_cannot_be_resized_away(model: Model) -> None:
    y = Stream(model).step(noise(model, 1)[0])
    with pytest.raises(ValueError, match="does not own"):
        y.resize((10_000,), refcheck=False)


def test_run_into_the_memory_of_the_samples(make_model: Build) -> None:
    wide = make_model("gru", 2, 5, head=4)
    xs = noise(wide, 6)
    shared = np.zeros(24, np.float32)
    shared[:12] = xs.ravel()
    assert np.array_equal(Stream(wide).run(shared[:12].reshape(6, 2), shared.reshape(6, 4)), Stream(wide).run(xs))
    square = make_model("gru", 3, 5, head=3)
    xs = noise(square, 6)
    expected = Stream(square).run(xs)
    same, shifted = xs.copy(), np.concatenate([xs, xs[:1]])
    assert np.array_equal(Stream(square).run(same, same), expected)
    assert np.array_equal(Stream(square).run(shifted[:6], shifted[1:]), expected)


PROCESSES = {
    "eight threads make the first streams of a process at once": """
import sys, threading
sys.setswitchinterval(1e-6)
streams, gate = [], threading.Barrier(8)
def work():
    gate.wait()
    streams.append(Stream(model))
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
junk = [bytes(48) for _ in range(100_000)]
for stream in streams:
    stream.step(x)
    repr(stream.step), stream.step.__name__
""",
    "a step is called when modules have let go of what they hold": """
import sys
class Late:
    def __init__(self): self.step, self.x = Stream(model).step, x
    def __del__(self): self.step(self.x)
sys.late = Late()
""",
    "a process forks while another thread compiles": """
import os, threading
Stream(model)
thread = threading.Thread(target=lambda: Stream(Model([Elman(np.eye(3), np.eye(3), activation="relu")])))
thread.start()
child = os.fork()
if child == 0:
    Stream(model).step(x)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
thread.join()
""",
}


@pytest.mark.parametrize("case", PROCESSES)
def test_whole_processes(case: str) -> None:
    start = """
import numpy as np
from edge_rnn import Elman, Model, Stream
model, x = Model([Elman(np.eye(2), np.eye(2) / 2)]), np.ones(2, np.float32)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONMALLOC": "debug"}
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", start + PROCESSES[case]]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


ERRORS = {
    "wrong model": (lambda m: Stream("gru.safetensors"), InputError, "load(path)"),
    "unknown policy": (lambda m: Stream(m, on_nonfinite="ignore"), InputError, "'raise', 'hold', 'skip'"),
    "short sample": (
        lambda m: Stream(m).step(np.zeros(2, np.float32)),
        InputError,
        r"shape (2,), expected (3,) float32",
    ),
    "two axes": (lambda m: Stream(m).step(np.zeros((9, 3))), InputError, "use stream.run for a (9, 3) array"),
    "text": (lambda m: Stream(m).step("walk"), InputError, "dtype <U4"),
    "ragged": (lambda m: Stream(m).step([[1], [2, 3]]), InputError, "not an array"),
    "None": (lambda m: Stream(m).step(None), InputError, "dtype object"),
    "complex": (lambda m: Stream(m).step(np.zeros(3, complex)), InputError, "dtype complex128"),
    "overflow": (lambda m: Stream(m).step([1e300, 0, 0]), InputError, "inf in channel 0"),
    "run of one sample": (lambda m: Stream(m).run(np.zeros(3)), InputError, "Use stream.step for a single sample"),
    "run of wrong width": (lambda m: Stream(m).run(np.zeros((5, 4))), InputError, "expected (time, 3)"),
    "out of wrong dtype": (
        lambda m: Stream(m).run(np.zeros((5, 3)), np.zeros((5, 4))),
        InputError,
        "float64 (5, 4) as out",
    ),
    "out of wrong shape": (
        lambda m: Stream(m).run(np.zeros((5, 3)), np.zeros((4, 4), np.float32)),
        InputError,
        "array (5, 4)",
    ),
    "out is a list": (lambda m: Stream(m).run(np.zeros((5, 3)), []), InputError, "got list as out"),
    "snapshot of text": (lambda m: Stream(m).restore("state"), StateError, "expected the bytes of snapshot()"),
    "empty snapshot": (lambda m: Stream(m).restore(b""), StateError, "not a snapshot of this version"),
    "cut snapshot": (lambda m: Stream(m).restore(Stream(m).snapshot()[:-1]), StateError, "truncated or padded"),
    "padded snapshot": (lambda m: Stream(m).restore(Stream(m).snapshot() + b"\0"), StateError, "truncated or padded"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(make_model: Build, case: str) -> None:
    action, kind, words = ERRORS[case]
    with pytest.raises(kind) as caught:
        action(make_model("gru", 3, 8))  # type: ignore[no-untyped-call]
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_snapshot_of_another_model_is_refused(make_model: Build) -> None:
    stream = Stream(make_model("gru", 3, 8, seed=1))
    before = stream.snapshot()
    with pytest.raises(StateError, match="load the model that the snapshot was taken with"):
        stream.restore(Stream(make_model("gru", 3, 8, seed=2)).snapshot())
    assert stream.snapshot() == before


def test_every_flipped_bit_of_a_snapshot_is_noticed(make_model: Build) -> None:
    stream = Stream(make_model("gru", 1, 3))
    stream.run(np.ones((5, 1)))
    good = stream.snapshot()
    for place in range(len(good)):
        for bit in range(8):
            bad = bytearray(good)
            bad[place] ^= 1 << bit
            with pytest.raises(StateError):
                stream.restore(bad)
    assert stream.snapshot() == good


def test_states_and_streams_of_another_type_are_refused() -> None:
    stream = Stream(Model([edge_rnn.Elman([[1.0]], [[0.5]])]))
    with pytest.raises(StateError, match="set_state got NoneType, expected a dict of states by name"):
        stream.set_state(None)  # type: ignore[arg-type]
    with pytest.raises(StateError, match="copy_from got int, expected a stream of"):
        stream.copy_from(3)  # type: ignore[arg-type]
