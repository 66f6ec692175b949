"""Recordings from files: samples, and their labels if available."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_rnn.errors import FileError, InputError, file_access
from edge_rnn.model import Model
from edge_rnn.recordings.elapsed import Elapsed
from edge_rnn.recordings.rate import RateMeter, check_rate
from edge_rnn.recordings.sample_lines import LineParser
from edge_rnn.recordings.samples import read_samples
from edge_rnn.storage.file_kind import check_samples
from edge_rnn.storage.numpy_files import RATE_NAMES, TIME_NAME, read_arrays
from edge_rnn.typing import F32, AnyArray

__all__ = ["LabelledRecording", "read_recording"]


@dataclass(frozen=True, slots=True, eq=False)
class LabelledRecording:
    """Recording as one sequence, with labels.

    Parameters
    ----------
    xs
        ``(time, input_size)`` float32, in the sensor's units.
    labels
        ``(time,)`` intp: output that each sample belongs to; None without labels.
    sample_rate_hz
        Sample rate; None if unknown.
    """

    xs: F32
    labels: NDArray[np.intp] | None
    sample_rate_hz: float | None = None


def read_recording(
    path: Path, model: Model, labels: Path | None = None, *, any_rate: bool = False, resample: bool = False
) -> LabelledRecording:
    """Read a recording for a model.

    Parameters
    ----------
    path
        ``.npz`` with ``x`` ``(time, input_size)`` and optionally ``y`` ``(time,)``, ``sample_rate_hz`` and times
        ``t_s`` ``(time,)``; ``.npy``; or lines of CSV or JSON as for ``edge-rnn run``. The time since the last sample,
        which some models read, may be left out: :class:`~edge_rnn.recordings.elapsed.Elapsed`.
    labels
        One label per line, by name or output index; or ``.npy``. None: ``y`` of the recording, if present.
    any_rate, resample
        For a recording whose rate differs from the model's: accept it, or resample it.

    Raises
    ------
    FileError
        A file cannot be read, or does not match the model in shape, labels or rate.
    """
    with np.errstate(over="ignore"):
        numpy = path.suffix in (".npz", ".npy")
        values, truth, times, rate_hz = _numpy(path) if numpy else _lines(path, model)
        xs = np.ascontiguousarray(values, np.float32)
    if labels is not None:
        truth = _numpy(labels)[0] if labels.suffix == ".npy" else _label_lines(labels)
    xs = _with_elapsed(path, model, xs, times, rate_hz)
    if xs.ndim != 2 or xs.shape[1] != model.input_size:
        raise FileError(f"{path}: has samples of shape {xs.shape}, expected (time, {model.input_size}).")
    if times is not None and rate_hz is None:
        rate_hz = _measured(times, model)
    places = None if truth is None else _places(labels or path, truth, model, len(xs))
    found = LabelledRecording(xs, places, rate_hz)
    if rate_hz is None or model.sample_rate_hz is None or any_rate:
        if resample:
            who = "model" if model.sample_rate_hz is None else "recording"
            raise FileError(f"{path}: --resample needs two rates, but the {who} has none; omit the option.")
        return found
    if resample:
        return _resampled(found, rate_hz, model.sample_rate_hz, Elapsed.of(model))
    problem = check_rate(rate_hz, model.sample_rate_hz, "the recording")
    if problem:
        raise FileError(f"{path}: {problem}")
    return found


def _with_elapsed(path: Path, model: Model, xs: F32, times: AnyArray | None, rate_hz: float | None) -> F32:
    """Fill in the time since the last sample where it is missing, if the model reads it."""
    elapsed = Elapsed.of(model, rate_hz)
    if elapsed is None or xs.ndim != 2 or not 0 <= model.input_size - xs.shape[1] <= 1:
        return xs
    xs = np.insert(xs, elapsed.place, np.nan, axis=1) if xs.shape[1] < model.input_size else xs.copy()
    if times is None:
        times = np.arange(len(xs)) / rate_hz if rate_hz else np.full(len(xs), np.nan)
    for number, (x, t_s) in enumerate(zip(xs, times.tolist(), strict=True), start=1):
        try:
            elapsed.keep(elapsed.fill(x, t_s))
        except InputError as error:
            raise FileError(f"{path}, sample {number}: {error}") from None
    return xs


def _measured(times: AnyArray, model: Model) -> float | None:
    """Sample rate by the times of a recording; None if they give none."""
    meter = RateMeter(model.sample_rate_hz)
    for t_s in times.tolist():
        meter.add(t_s)
    meter.finish()
    return meter.rate_hz


def _resampled(
    recording: LabelledRecording, rate_in_hz: float, rate_out_hz: float, elapsed: Elapsed | None
) -> LabelledRecording:
    """Resample a recording; each sample gets the label of the nearest original one."""
    from edge_rnn.recordings.resampling import Resampling

    if rate_in_hz == rate_out_hz:
        return recording
    resampling = Resampling(rate_in_hz, rate_out_hz, recording.xs.shape[1], measured=True)
    rows = [(y.copy(), place) for t, x in enumerate(recording.xs) for y, place in resampling.push(x, float(t))]
    rows += [(y.copy(), place) for y, place in resampling.end()]
    xs = np.array([y for y, _ in rows], np.float32).reshape(len(rows), recording.xs.shape[1])
    if elapsed is not None:
        for x in xs:
            elapsed.put(x, 1 / rate_out_hz)
    labels = recording.labels
    if labels is not None:
        labels = labels[np.minimum(np.rint([place for _, place in rows]).astype(np.intp), len(labels) - 1)]
    return LabelledRecording(xs, labels, rate_out_hz)


def _numpy(path: Path) -> tuple[AnyArray, AnyArray | None, AnyArray | None, float | None]:
    """Read samples, and labels, times and sample rate if present."""
    found = read_arrays(path)
    if "" in found:
        return _numbers(path, found[""]), None, None, None
    if "x" not in found:
        raise FileError(f"{path}: has no array 'x', expected x (time, channels) and optionally y (time,).")
    rate_hz = next((_rate(path, name, found[name]) for name in RATE_NAMES if name in found), None)
    xs, times = _numbers(path, found["x"]), found.get(TIME_NAME)
    if times is not None and _numbers(path, times).shape != xs.shape[:1]:
        raise FileError(
            f"{path}: has {TIME_NAME} of shape {times.shape}, expected {xs.shape[:1]}, a time for each sample."
        )
    return xs, found.get("y"), None if times is None else times.astype(np.float64), rate_hz


def _rate(path: Path, name: str, value: AnyArray) -> float:
    if value.size != 1 or value.dtype.kind not in "fiu" or not 0 < float(value.reshape(-1)[0]) < np.inf:
        raise FileError(f"{path}: has {value!s:.40} as {name}, expected a number above 0.")
    return float(value.reshape(-1)[0])


def _numbers(path: Path, array: AnyArray) -> AnyArray:
    if array.dtype.kind not in "fiub":
        raise FileError(f"{path}: holds {array.dtype}, expected numbers.")
    return array


def _lines(path: Path, model: Model) -> tuple[AnyArray, None, AnyArray, None]:
    """Read samples, and their times, NaN for none."""
    rows, times = [], []
    check_samples(path)
    with path.open("rb") as file:
        for sample in read_samples(file, LineParser(model.input_size, model.input_names, units=model.input_units)):
            if sample.problem:
                raise FileError(f"{path}, line {sample.line}: {sample.problem}.")
            rows.append(sample.values)
            times.append(sample.t_s)
    return np.array(rows, np.float64).reshape(len(rows), model.input_size), None, np.array(times), None


def _label_lines(path: Path) -> AnyArray:
    try:
        with file_access(path):
            return np.array(path.read_text(encoding="utf-8").splitlines(), str)
    except UnicodeDecodeError:
        raise FileError(f"{path}: is not UTF-8 text, expected one label per line.") from None


def _places(path: Path, truth: AnyArray, model: Model, count: int) -> NDArray[np.intp]:
    """Convert labels to output indices: given as numbers, or by the model's names for them."""
    if truth.shape != (count,):
        raise FileError(f"{path}: has {truth.shape} labels, expected ({count},), one for each sample.")
    if truth.dtype.kind in "iu":
        least, most = (int(truth.min()), int(truth.max())) if count else (0, 0)
        if least < 0 or most >= model.output_size:
            raise FileError(
                f"{path}: has labels from {least} to {most}, expected indices of the model's outputs, 0 to "
                f"{model.output_size - 1}."
            )
        return truth.astype(np.intp)
    names = {label: place for place, label in enumerate(model.labels)}
    names |= {str(place): place for place in range(model.output_size)}
    unknown = sorted({str(each).strip() for each in truth} - names.keys())
    if unknown:
        raise FileError(f"{path}: has the label {unknown[0]!r}, expected one of {', '.join(names)}.")
    return np.array([names[str(each).strip()] for each in truth], np.intp)
