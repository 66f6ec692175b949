"""Networks that have learnt the same, side by side: how good, how large, how quick, how much memory."""

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
    """What was found of one network.

    Parameters
    ----------
    name
        As given.
    model
        The network.
    score, int8_score
        How often it is right, as it is and with its matrices as int8; None where it holds quantized ones already.
    nbytes, int8_bytes
        Bytes of all arrays as a file stores them, likewise.
    weight_bytes, state_bytes
        Memory at work: packed weights, shared by all streams, and what each stream has for itself.
    step_ns
        Least time of a step in a compiled loop on this machine, all networks in turn within one run.
    on_board
        What it would take on a board that was named, the time estimated; None without one.
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
        """What keeps a state in it: ``GRU + GRU``."""
        return " + ".join(layer.kind for layer in self.model.layers if isinstance(layer, Recurrent)) or "none"


def compare(
    models: Mapping[str, Model],
    task: Task,
    *,
    device: Device | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[Compared, ...]:
    """Hold networks against each other on a task.

    Parameters
    ----------
    models
        By the name that each is to have.
    task
        What they have learnt.
    device
        A board to estimate the time of a step on; see :func:`edge_rnn.boards.fitting.fit`.
    progress
        Called with what is being done.

    Returns
    -------
    tuple
        In the order of ``models``.

    Raises
    ------
    InputError, UnsupportedError
        A network is not for the task, or cannot be compiled for the board.
    """
    from edge_rnn.timing import runs, time_chunks

    say = progress or (lambda _: None)
    scores, smaller = {}, {}
    for name, model in models.items():
        say(f"asking {name}")
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
