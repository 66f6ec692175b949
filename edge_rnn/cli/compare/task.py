"""Task of ``compare`` and ``card``: a labelled recording, or texts of a grammar."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edge_rnn.analysis.tasks import RecordingTask
from edge_rnn.analysis.texts import holds_texts, read_texts
from edge_rnn.cli.compare.view import Asked
from edge_rnn.errors import InputError
from edge_rnn.model import Model
from edge_rnn.recordings.files import read_recording
from edge_rnn.recordings.rate import check_rate

__all__ = ["read_task"]


def read_task(
    command: str, data: Path, labels: Path | None, models: Mapping[str, Model], *, any_rate: bool, resample: bool
) -> Asked:
    """Read the task that models are compared on.

    Parameters
    ----------
    command
        Name of the command, for messages.
    data
        Recording or texts.
    labels
        Labels of the recording, if they are in a file of their own.
    models
        Models by name, which must have the same outputs and sample rate.
    any_rate, resample
        How to treat samples at another rate than the models'.

    Raises
    ------
    InputError
        The models differ, or labels are missing.
    FileError
        A file cannot be read.
    """
    if holds_texts(data):
        if labels:
            raise InputError(f"--labels is for a recording; for the texts in {data} the grammar has the answers.")
        texts = read_texts(data)
        return Asked(texts.task, texts.name or data.stem, str(data))
    first = next(iter(models.values()))
    for name, model in models.items():
        if (model.labels, model.output_size) != (first.labels, first.output_size):
            raise InputError(f"{command} got {name} with the outputs {_outputs(model)}, expected {_outputs(first)}.")
        if not any_rate and model.sample_rate_hz and first.sample_rate_hz:
            problem = check_rate(model.sample_rate_hz, first.sample_rate_hz, name, remedy="--any-rate compares them")
            if problem:
                raise InputError(problem)
    recording = read_recording(data, first, labels, any_rate=any_rate, resample=resample)
    if recording.labels is None:
        raise InputError(f"{command} needs labels: y in {data}, or --labels FILE.")
    return Asked(RecordingTask(recording.xs, recording.labels), data.stem, str(data))


def _outputs(model: Model) -> str:
    return ", ".join(model.labels) or str(model.output_size)
