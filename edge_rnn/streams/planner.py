"""Make the Plan of a Model: lay out every layer, operation by operation."""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections.abc import Hashable, Sequence
from importlib import import_module
from types import MappingProxyType
from weakref import WeakKeyDictionary

import numpy as np

from edge_rnn.errors import UnsupportedError
from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.entry import object_cache
from edge_rnn.kernels.lower.pack import Placed, pack
from edge_rnn.kernels.lower.parts import Move, Place
from edge_rnn.kernels.program.record import PLACES, RECORD_INTS, Operand, Operation, Record, Site, padded
from edge_rnn.layers import Layer, Standardize
from edge_rnn.model import Model
from edge_rnn.streams.plan import Plan, Slots, aligned
from edge_rnn.typing import F32, I32

__all__ = ["layer_of", "plan_for", "plan_of"]

_LINE_FLOATS = 16  # every operation's weights begin at a cache line, so that no wide load spans two

_plans: WeakKeyDictionary[Model, Plan] = WeakKeyDictionary()
_lock = threading.Lock()
os.register_at_fork(after_in_child=lambda: globals().update(_lock=threading.Lock()))


def plan_of(model: Model) -> Plan:
    """Plan of ``model`` for the CPU of this process, made once for each model object."""
    with _lock:
        if model not in _plans:
            _plans[model] = plan_for(model, object_cache.host())
        return _plans[model]


def plan_for(model: Model, target: Target) -> Plan:
    """Make the plan of ``model`` for any CPU, such as that of a board; each call makes a new one.

    Raises
    ------
    UnsupportedError
        A layer has no kernel, or the model is too large for 32-bit offsets.
    """
    return _Builder(model, target).plan()


def layer_of(model: Model, operation: int) -> Layer:
    """Layer that an operation of the model's plan belongs to, by its index."""
    builder = _Builder(model, object_cache.host())
    builder.plan()
    return model.layers[bisect_right(builder.ends, operation)]


class _Builder:
    """Lay out a model, operation by operation."""

    def __init__(self, model: Model, target: Target) -> None:
        self.model = model
        self.target = target
        self.used = 0
        self.weights: list[F32] = []
        self.weights_used = 0
        self.operations: list[str] = []
        self.records: list[list[I32]] = [[], []]
        self.states: dict[str, Slots] = {}
        self.rows = 0
        self.ends: list[int] = []
        self.prepared: dict[tuple[str, bytes, Slots], Slots] = {}

    def plan(self) -> Plan:
        model = self.model
        self._place_states()
        sample, held = self._fixed(model.input_size), self._fixed(model.input_size)
        last_output = self._fixed(model.output_size)
        places: list[Slots] = []
        for layer, reads, size in zip(model.layers, model.sources, model.output_sizes, strict=True):
            x = self._gather([sample if i < 0 else places[i] for i in reads])
            places.append(self._layer(layer, x, size, Site(self.target, self._bound(layer, reads))))
            self.ends.append(len(self.operations))
        initial = self._initial(held, last_output)
        weights = aligned(self.weights_used)
        np.concatenate([*self.weights, np.empty(0, np.float32)], out=weights)
        length = max((record.size for record in self.records[0]), default=RECORD_INTS)
        records = np.zeros((2, len(self.operations), length), np.int32)
        for parity, number in np.ndindex(records.shape[:2]):
            record = self.records[parity][number]
            records[parity, number, : record.size] = record
        for array in (weights, records, initial):
            array.setflags(write=False)
        return Plan(
            operations=tuple(self.operations),
            records=records,
            weights=weights,
            arena_floats=self.used,
            sample=sample,
            held=held,
            last_output=last_output,
            output=places[-1],
            states=MappingProxyType(self.states),
            initial=initial,
            checks_states=_may_hide_overflow(model),
            rows=self.rows,
        )

    def _bound(self, layer: Layer, reads: Sequence[int]) -> float | None:
        """Bound on what a layer reads, for its matrices of integers; None if there are none, or no bound."""
        if not layer.formats:
            return None
        bounds = [None if i < 0 else self.model.layers[i].rounding_bound for i in reads]
        return None if None in bounds else max(bound for bound in bounds if bound is not None)

    def _place_states(self) -> None:
        """Place the states at the start of the arena: replaced ones, all even slots before all odd ones; then rings."""
        sizes = {name: initial.size for name, initial in self.model.initial_state.items()}
        rings = {f"{layer.name}.{name}" for layer in self.model.layers for name in layer.rings}
        half = sum(padded(size) for name, size in sizes.items() if name not in rings)
        places = {}
        for name, size in sizes.items():
            if name not in rings:
                even = self._take(size)
                places[name] = Slots(even, even + half, size)
        self._take(half)
        places |= {name: self._fixed(size) for name, size in sizes.items() if name in rings}
        self.states = {name: places[name] for name in sizes}

    def _initial(self, held: Slots, last_output: Slots) -> F32:
        """First part of the arena at the start, up to the last value that is not zero: states, held, last output."""
        initial = np.zeros(last_output.even + last_output.size, np.float32)
        for name, values in self.model.initial_state.items():
            initial[self.states[name].even :][: values.size] = values
        initial[held.even :][: held.size] = _usual_sample(self.model)
        initial[last_output.even :] = np.nan
        return initial

    def _layer(self, layer: Layer, x: Slots, size: int, site: Site) -> Slots:
        """Lay out one layer that reads ``x``; return the place of its output."""
        if (source := layer.recorded_from) is not None:
            return self._equation(layer, source, x, site)
        try:
            module = import_module(f"edge_rnn.kernels.cells.{layer.kind.lower()}")
        except ModuleNotFoundError:
            raise UnsupportedError(f"{layer.title} cannot be run: edge_rnn has no kernel for {layer.kind}.") from None
        places = {name: self.states[f"{layer.name}.{name}"] for name in layer.initial_state}
        states = [slots for state in places.values() for slots in (state, state.swapped)]
        out = places[layer.emits].swapped if layer.emits else self._fixed(size)
        self.rows = max(self.rows, x.size)
        for operation in module.pack(layer.fields, site):
            self._operation(operation, self._made_of(x, operation.x), out, states)
        return out

    def _equation(self, layer: Layer, source: Hashable, x: Slots, site: Site) -> Slots:
        """Lay out a layer by its equation, which ``source`` identifies; return the place of its output."""
        places: dict[Place, Slots] = {("input", ""): x}
        for name in layer.initial_state:
            old = self.states[f"{layer.name}.{name}"]
            places |= {("old", name): old, ("new", name): old.swapped}
        limit = np.inf if site.x_bound is None else site.x_bound
        steps = pack(source, lambda: layer.graph, layer.fields, site.target, (-limit, limit), layer.rounding_ranges)
        for step in steps:
            if isinstance(step, Move):
                self._move(step, places)
                continue
            for place, ints in step.places:  # the kernel that writes a place comes before those that read it
                if ints == 1 and place[0] in ("made", "out") and place not in places:
                    places[place] = self._fixed(step.units)
            self._kernel(step, places)
        return places["new", layer.emits] if layer.emits else places["out", ""]

    def _kernel(self, step: Placed, places: dict[Place, Slots]) -> None:
        """Add a generated kernel; check that all it reads and writes has the length that it assumes."""
        vectors = []
        for place, columns, operand in step.vectors:
            assert places[place].size == columns, (step, place)
            vectors.append(self._made_of(places[place], operand))
        self.rows = max(self.rows, sum(slots.size for slots in vectors))
        given = iter(vectors)
        ints: list[Slots | int] = []
        for place, count in step.places:
            slots = next(given) if count == 2 else places[place]
            assert count == 2 or padded(slots.size) >= padded(step.units), (step, place)
            ints += (slots,) if count == 1 else (slots, slots.size)
        self._operation(Operation(step.name, step.weights), Slots(0, 0, 0), Slots(0, 0, step.units), ints)

    def _move(self, move: Move, places: dict[Place, Slots]) -> None:
        """Add the operations that copy values, or reduce them, from memory to memory."""
        target = places[move.target] = self._fixed(move.size)
        if move.op in ("total", "largest"):
            self._operation(Operation(f"reduce_{move.op}"), places[move.sources[0]], target)
            return
        at = target.even
        for source in move.sources:
            slots = places[source]
            size = min(slots.size, move.size) if move.op == "part" else slots.size
            begin = Slots(slots.even + move.start, slots.odd + move.start, size)
            assert move.start + size <= slots.size, move
            self._operation(Operation("copy"), begin, Slots(at, at, size))
            at += size

    def _made_of(self, source: Slots, operand: Operand | None) -> Slots:
        """Place of a vector in the form that a matrix multiplies it in; each form is made once."""
        if operand is None:
            return source
        key = (operand.name, operand.weights.floats.tobytes(), source)
        if key not in self.prepared:
            place = self._take(operand.floats)
            self._operation(Operation(operand.name, operand.weights), source, Slots(place, place, operand.size))
            self.prepared[key] = Slots(place, place, operand.size)
        return self.prepared[key]

    def _gather(self, sources: list[Slots]) -> Slots:
        """Place of several values concatenated: copies, unless there is only one."""
        if len(sources) == 1:
            return sources[0]
        whole = self._fixed(sum(source.size for source in sources))
        start = whole.even
        for source in sources:
            self._operation(Operation("copy"), source, Slots(start, start, source.size))
            start += source.size
        return whole

    def _operation(
        self,
        operation: Operation,
        x: Slots,
        out: Slots,
        ints: Sequence[Slots | int] = (),
    ) -> None:
        """Add an operation, with ``ints`` in its record from ``PLACES`` on."""
        if max(self.used, self.weights_used) > np.iinfo(np.int32).max:
            raise UnsupportedError(
                f"{self.model!r} has more than 8 GiB of weights or state, which offsets cannot reach."
            )
        weights = self._weights(operation.weights.floats)
        for parity, records in enumerate(self.records):
            record = np.zeros(max(RECORD_INTS, PLACES + -(-len(ints) // 8) * 8), np.int32)
            record[Record.WEIGHTS] = weights
            record[Record.X], record[Record.OUT] = _at(x, parity), _at(out, parity)
            record[Record.N_IN], record[Record.N_OUT] = x.size, out.size
            record[Record.BACKWARDS], record[Record.UNIT_FLOATS] = parity, operation.weights.unit_floats
            for i, value in enumerate(ints):
                record[PLACES + i] = value if isinstance(value, int) else _at(value, parity)
            records.append(record)
        self.operations.append(operation.name)

    def _weights(self, floats: F32) -> int:
        """Append to the weights; return the offset."""
        start = self.weights_used
        self.weights += [floats, np.zeros(-floats.size % _LINE_FLOATS, np.float32)]
        self.weights_used += floats.size + -floats.size % _LINE_FLOATS
        return start

    def _fixed(self, size: int) -> Slots:
        offset = self._take(size)
        return Slots(offset, offset, size)

    def _take(self, size: int) -> int:
        offset = self.used
        self.used += padded(size)
        return offset


def _may_hide_overflow(model: Model) -> bool:
    """Return True if a state may become infinite or NaN while the output stays finite.

    A NaN passes through most layers that read it, and a bounded state cannot become infinite. But an infinity may end
    in an activation that saturates, an equation may use a part of a vector alone, and a layer that the output does not
    depend on never shows in it.
    """
    layers = model.layers
    seen, waiting = set(), [len(layers) - 1]
    while waiting:
        place = waiting.pop()
        if place >= 0 and place not in seen:
            seen.add(place)
            waiting += () if layers[place].hides_input else model.sources[place]
    with_state = [(place, layer) for place, layer in enumerate(layers) if layer.initial_state]
    return any(place not in seen or layer.hides_state or not layer.bounded_state for place, layer in with_state)


def _usual_sample(model: Model) -> F32:
    """Each channel's mean if a Standardize reads the sample, alone or with other inputs; else zeros."""
    for layer, reads in zip(model.layers, model.sources, strict=True):
        if isinstance(layer, Standardize) and -1 in reads:
            before = sum(model.output_sizes[i] for i in reads[: reads.index(-1)])
            return np.asarray(layer.mean[before : before + model.input_size], np.float32)
    return np.zeros(model.input_size, np.float32)


def _at(place: Slots, parity: int) -> int:
    return place.odd if parity else place.even
