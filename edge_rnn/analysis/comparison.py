"""Compare networks trained on the same task: accuracy, size, step time and memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edge_rnn.analysis.tasks import Score, Task
from edge_rnn.boards.fitting import Fit, fit
from edge_rnn.boards.profile import Device
from edge_rnn.layers import Recurrent
from edge_rnn.model import Model
from edge_rnn.quantization.apply import quantize
from edge_rnn.quantization.trials import stored_bytes
from edge_rnn.streams.stream import Stream

__all__ = ["Compared", "compare"]


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Result for one network.

    Parameters
    ----------
    name
        Name of the network, as given.
    model
        The network.
    score, int8_score
        Accuracy as given, and with int8 matrices; the latter is None if the network already has quantized matrices.
    nbytes, int8_bytes
        Size of all arrays in a file, in bytes; as given, and with int8 matrices.
    weight_bytes, state_bytes
        Memory at run time, in bytes: packed weights, shared by all streams, and state per stream.
    step_ns
        Minimum step time in a compiled loop on this machine; all networks are timed in turn within one run.
    on_board
        Memory and estimated step time on the given board; None without a board.
    """

    name: str
    model: Model
    score: Score
    int8_score: Score | None
    nbytes: int
    int8_bytes: int | None
    weight_bytes: int
    state_bytes: int
    step_ns: float
    on_board: Fit | None

    @property
    def kinds(self) -> str:
        """Recurrent layers of the network: ``GRU + GRU``."""
        return " + ".join(layer.kind for layer in self.model.layers if isinstance(layer, Recurrent)) or "none"


def compare(
    models: Mapping[str, Model],
    task: Task,
    *,
    device: Device | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[Compared, ...]:
    """Compare networks on a task.

    Parameters
    ----------
    models
        Networks by name.
    task
        Task that they were trained on.
    device
        Board to estimate the step time for; see :func:`edge_rnn.boards.fitting.fit`.
    progress
        Callback for a description of each step of the work.

    Returns
    -------
    tuple
        Results in the order of ``models``.

    Raises
    ------
    InputError, UnsupportedError
        A network does not fit the task, or cannot be compiled for the board.
    """
    from edge_rnn.timing import runs, time_chunks

    say = progress or (lambda _: None)
    scores, smaller = {}, {}
    for name, model in models.items():
        say(f"scoring {name}")
        scores[name] = task.score(model)
        if not any(layer.formats for layer in model.layers):
            made = quantize(model, "int8")
            smaller[name] = (task.score(made), stored_bytes(made))
    say("timing")
    times = time_chunks({name: runs(Stream(model), task.samples(model)) for name, model in models.items()})
    found = []
    for name, model in models.items():
        if device is not None:
            say(f"estimating {name} on {device.name}")
        memory = Stream(model).memory
        int8_score, int8_bytes = smaller.get(name, (None, None))
        found.append(
            Compared(
                name=name,
                model=model,
                score=scores[name],
                int8_score=int8_score,
                nbytes=stored_bytes(model),
                int8_bytes=int8_bytes,
                weight_bytes=memory.weights,
                state_bytes=memory.state,
                step_ns=round(times[name].ns, 2),
                on_board=None if device is None else fit(model, device),
            )
        )
    return tuple(found)
