"""Follow the code of a TorchScript archive from the input of ``forward`` to its output, as a chain of known operators.

The code is text, in a small part of Python's syntax. It is parsed, and followed with symbols in place of tensors, down
to PyTorch's own operators: a value is the chain of parts that it went through, and the meaning of its axes. Nothing is
run. Anything but a chain (a sum, a loop, an operator that is not listed here, a condition on values) ends in an
:class:`UnreadableError`, which names it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge_rnn.errors import EdgeRnnError
from edge_rnn_export.readers.torch.pickled import Object, Tensor
from edge_rnn_export.readers.torch.script_operators import Operators
from edge_rnn_export.readers.torch.script_symbols import (
    LAYOUTS,
    OPAQUE,
    Data,
    LayoutError,
    Step,
    UnreadableError,
    Weight,
    check_steps,
)

__all__ = ["chain_of"]

_MOST_STATEMENTS = 20_000
_DEEPEST = 40

ast.unparse(ast.Constant(0))  # from Python 3.14 on, this loads a module, and code is read where no file may be opened


def chain_of(root: Object, names: Mapping[int, str], code: Callable[[str], str]) -> tuple[Step, ...]:
    """Return the steps of the archive's ``forward``, and the buffers that carry its states.

    Parameters
    ----------
    root
        The module.
    names
        Names of its tensors by their ids.
    code
        Function from the name of a file, ``"__torch__/net.py"``, to its text; empty if there is none.

    Raises
    ------
    UnreadableError
        It is not a chain of the operators known here.
    """
    reasons: list[str] = []
    others: list[str] = []
    found = set()
    for axes in LAYOUTS:
        try:
            found.add(_Run(names, code).forward(root, axes))
        except LayoutError as error:
            others.append(str(error))
        except UnreadableError as error:
            reasons.append(str(error))
        except EdgeRnnError:  # of the file
            raise
        except _RaisedError:
            others.append("its own checks refuse the input")
        except (SyntaxError, RecursionError, ValueError, TypeError, LookupError, AttributeError) as error:
            others.append(f"its code is damaged ({type(error).__name__})")
    if len(found) != 1 or reasons:
        raise UnreadableError(next(iter(reasons or ([] if found else others)), "its axes may be read in several ways"))
    return found.pop()


@dataclass(frozen=True, slots=True, eq=False)
class _Module:
    object: Object


@dataclass(frozen=True, slots=True)
class _Function:
    name: str


@dataclass(slots=True)
class _Frame:
    """Variables of a function, and what it returns."""

    names: dict[str, Any]
    result: Any = None
    ended: bool = False


class _RaisedError(Exception):
    """A branch ends in an error."""


@dataclass
class _Run:
    names: Mapping[int, str]
    code: Callable[[str], str]
    apply: Operators = field(default_factory=Operators)
    statements: int = 0
    depth: int = 0
    files: dict[str, ast.Module] = field(default_factory=dict)

    def forward(self, root: Object, axes: tuple[str, ...]) -> tuple[Step, ...]:
        """Follow ``forward`` with an input whose axes have these meanings."""
        names = {each.name for each in self._class(root.kind).body if isinstance(each, ast.FunctionDef)}
        function = self._method(root, "forward" if "forward" in names else "forward__0")  # with sequences of its own
        kinds = [ast.unparse(each.annotation) if each.annotation else "Tensor" for each in function.args.args[1:]]
        tensors = [place for place, kind in enumerate(kinds) if kind == "Tensor"]
        given: list[Any] = [Weight(f"argument {place}") if place in tensors else None for place in range(len(kinds))]
        if not tensors:
            raise UnreadableError("forward takes no tensor")
        given[tensors[0]] = Data((), axes)
        result = self._call(function, [_Module(root), *given])
        returned = [each for each in _flat(result) if isinstance(each, Data)]
        outputs = [each for each in returned if each.role < 0]
        if len(outputs) != 1:
            raise UnreadableError(f"forward returns {len(outputs)} outputs")
        named, apply = self.names.values(), self.apply
        return check_steps(outputs[0].chain, named, apply.stored, returned, apply.changed, whole="T" in axes)

    def _call(self, function: ast.FunctionDef, given: Sequence[Any]) -> Any:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise UnreadableError("its functions call each other without end")
        names = [each.arg for each in function.args.args]
        defaults = [self._value(each, _Frame({})) for each in function.args.defaults]
        values = [*given, *defaults[len(defaults) - (len(names) - len(given)) :]] if len(given) < len(names) else given
        frame = _Frame(dict(zip(names, values, strict=True)))
        self._body(function.body, frame)
        self.depth -= 1
        return frame.result

    def _body(self, body: Sequence[ast.stmt], frame: _Frame) -> None:
        for statement in body:
            self.statements += 1
            if self.statements > _MOST_STATEMENTS:
                raise UnreadableError(f"it has more than {_MOST_STATEMENTS} statements")
            match statement:
                case ast.Assign(targets=[target], value=value):
                    self._assign(target, self._value(value, frame), frame)
                case ast.Expr(value=value):
                    self._value(value, frame)
                case ast.Return(value=value):
                    frame.result, frame.ended = self._value(value, frame) if value else None, True
                    return
                case ast.If(test=test, body=then, orelse=other):
                    self._branch(self._value(test, frame), then, other, frame)
                case ast.AnnAssign(target=target, value=ast.expr() as value):
                    self._assign(target, self._value(value, frame), frame)
                case ast.Pass():
                    pass
                case _:
                    raise UnreadableError(f"it has the statement {type(statement).__name__.lower()}")
            if frame.ended:
                return

    def _branch(self, test: Any, then: Sequence[ast.stmt], other: Sequence[ast.stmt], frame: _Frame) -> None:
        """Follow one branch, or both if the condition is unknown; what differs between them is unknown afterwards."""
        if isinstance(test, bool):
            return self._body(then if test else other, frame)
        if test is not OPAQUE:
            raise UnreadableError("it has a condition on values")
        ends, stored = [], dict(self.apply.stored)
        for body in (then, other):
            copy = _Frame(dict(frame.names))
            try:
                self._body(body, copy)
                ends.append(copy)
            except _RaisedError:
                pass
        if not ends:
            raise _RaisedError
        if len(ends) == 2 and (ends[0].ended or ends[1].ended or stored != self.apply.stored):
            raise UnreadableError("it has a condition on values")
        for name in ends[0].names:
            values = [each.names[name] for each in ends if name in each.names]
            same = all(value is values[0] or _plain(value) == _plain(values[0]) for value in values)
            if not same and any(isinstance(each, Data) for value in values for each in _flat(value)):
                raise UnreadableError("it has a condition on values")
            frame.names[name] = values[0] if same else OPAQUE
        frame.result, frame.ended = ends[0].result, ends[0].ended
        return None

    def _assign(self, target: ast.expr, value: Any, frame: _Frame) -> None:
        match target:
            case ast.Name(id=name):
                frame.names[name] = value
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                values = (OPAQUE,) * len(elements) if value is OPAQUE else value
                for each, part in zip(elements, values, strict=True):
                    self._assign(each, part, frame)
            case ast.Attribute(value=owner, attr=name):
                self.apply.stored[self._buffer(self._value(owner, frame), name)] = value
            case _:
                raise UnreadableError("it stores in a place that is no name")

    def _value(self, node: ast.expr, frame: _Frame) -> Any:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return frame.names[name] if name in frame.names else _Function(name)
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                return tuple(self._value(each, frame) for each in elements)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
                return -number
            case ast.Subscript(value=owner, slice=ast.Constant(value=int() as place)):
                held = self._value(owner, frame)
                return OPAQUE if held is OPAQUE else held[place]
            case ast.Attribute(value=owner, attr=name):
                return self._attribute(self._value(owner, frame), name)
            case ast.Call(func=ast.Name(id="uninitialized")):
                return OPAQUE
            case ast.Call(func=ast.Name(id="annotate" | "unchecked_cast"), args=[_, value]):
                return self._value(value, frame)
            case ast.Call(func=function, args=arguments, keywords=keywords):
                given = [self._value(each, frame) for each in arguments]
                if any(isinstance(self._value(each.value, frame), Data) for each in keywords):
                    raise UnreadableError("it passes values by keyword")
                return self._applied(function, given, frame)
        raise UnreadableError(f"it has the expression {type(node).__name__.lower()}")

    def _attribute(self, owner: Any, name: str) -> Any:
        if isinstance(owner, _Function):
            return _Function(f"{owner.name}.{name}")
        if not isinstance(owner, _Module):
            raise UnreadableError(f"it has the attribute {name!r} of a value")
        held = owner.object.attributes()
        if name in held:
            return self._held(held[name])
        for statement in self._class(owner.object.kind).body:
            match statement:
                case ast.AnnAssign(target=ast.Name(id=found), value=ast.expr() as value) if found == name:
                    return self._value(value, _Frame({}))
        raise UnreadableError(f"it has the attribute {name!r}, which is not stored")

    def _buffer(self, owner: Any, name: str) -> str:
        """Full name of a buffer."""
        value = owner.object.attributes().get(name) if isinstance(owner, _Module) else None
        if id(value) not in self.names:
            raise UnreadableError(f"it stores {name!r}")
        return self.names[id(value)]

    def _held(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self.apply.current(Weight(self.names.get(id(value), "")))
        if isinstance(value, Object):
            return _Module(value)
        return tuple(map(self._held, value)) if isinstance(value, list | tuple) else value

    def _applied(self, function: ast.expr, given: list[Any], frame: _Frame) -> Any:
        if isinstance(function, ast.Attribute) and not isinstance(
            owner := self._value(function.value, frame), _Function
        ):
            if not isinstance(owner, _Module):
                raise UnreadableError(f"it calls {function.attr!r} of a value")
            return self._call(self._method(owner.object, function.attr), [owner, *given])
        target = self._value(function, frame)
        name = target.name if isinstance(target, _Function) else ""
        if name == "getattr":
            return self._attribute(given[0], given[1])
        if name == "ops.prim.RaiseException":
            raise _RaisedError
        if name.startswith("__torch__."):
            module, _, last = name.rpartition(".")
            return self._call(_definition(self._file(module), ast.FunctionDef, last), given)
        return self.apply(name, given)

    def _method(self, module: Object, name: str) -> ast.FunctionDef:
        found: ast.FunctionDef = _definition(self._class(module.kind), ast.FunctionDef, name)
        return found

    def _class(self, kind: str) -> ast.ClassDef:
        file, _, name = kind.rpartition(".")
        found: ast.ClassDef = _definition(self._file(file), ast.ClassDef, name)
        return found

    def _file(self, name: str) -> ast.Module:
        if name not in self.files:
            self.files[name] = ast.parse(self.code(f"{name.replace('.', '/')}.py"))
        return self.files[name]


def _definition(inside: ast.Module | ast.ClassDef, kind: Any, name: str) -> Any:
    for each in inside.body:
        if isinstance(each, kind) and each.name == name:
            return each
    raise UnreadableError(f"it has no {name!r}")


def _flat(value: Any) -> list[Any]:
    return [each for part in value for each in _flat(part)] if isinstance(value, tuple) else [value]


def _plain(value: Any) -> Any:
    return type(value), value
