"""Compile a Python function over raw pointers to object code: Numba's front end, LLVM's back end.

Numba types and lowers the function; its LLVM module is then stripped to the function itself, given a plain C entry,
optimized for the target and emitted as a relocatable object. The object refers to nothing outside itself (checked), so
it can be kept in a file and loaded by a process that never imports Numba.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import llvmlite.binding as llvm
from numba import __version__ as numba_version
from numba.core import config, types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.cpu import CPUContext
from numba.core.errors import NumbaError
from numba.core.registry import CPUDispatcher
from numba.core.typing.typeof import typeof_impl

from edge_rnn.errors import CompileError
from edge_rnn.kernels.compile.target import Target
from edge_rnn.kernels.compile.words import Words, WordsType

__all__ = ["FLOATS", "INT32S", "WORDS", "compile_assembly", "compile_module", "compile_object", "definition", "helper"]

FLOATS = types.CPointer(types.float32)
"""``float*``: weights, state, samples."""
INT32S = types.CPointer(types.int32)
"""``int32_t*``: records."""
WORDS = types.CPointer(types.int64)
"""``int64_t*``: handles and tables of addresses."""

# The numpy error model divides as C does; the default one turns every "/" into an early exit, which prevents
# vectorization. Dispatchers are made directly, because numba.njit returns the bare function under NUMBA_DISABLE_JIT=1.
_OPTIONS = {
    "nopython": True,
    "nogil": True,
    "error_model": "numpy",
    "boundscheck": False,
    "debug": False,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}


@typeof_impl.register(WordsType)
def _type_of_words(words: WordsType, context: Any) -> types.Module:
    return types.Module(words)  # typed like a module with a constant for each member


@typeof_impl.register(Words)
def _type_of_word(word: Words, context: Any) -> types.Literal:
    return types.literal(int(word))


def helper(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function that kernels may call; it is inlined into them."""
    return CPUDispatcher(function, targetoptions={**_OPTIONS, "forceinline": True})  # type: ignore[no-any-return]


def compile_object(name: str, function: Callable[..., Any], signature: Any, target: Target) -> bytes:
    """Compile ``function`` to relocatable object code with one external symbol, ``name``.

    Parameters
    ----------
    name
        C name of the entry.
    function
        Python function over pointers, numbers and vectors; no arrays, no exceptions, no allocation.
    signature
        Its Numba signature, for instance ``types.int32(WORDS, FLOATS, FLOATS)``.
    target
        CPU to compile for.

    Raises
    ------
    CompileError
        The code would depend on something outside: the C library, Numba's runtime, or an address of this process.
    """
    machine = target.machine()
    return bytes(machine.emit_object(compile_module({name: (function, signature)}, (name,), "", target, machine)))


def compile_assembly(name: str, function: Callable[..., Any], signature: Any, target: Target) -> str:
    """Compile as :func:`compile_object`, to assembly text for people and tests to read."""
    machine = target.machine()
    return str(machine.emit_assembly(compile_module({name: (function, signature)}, (name,), "", target, machine)))


def compile_module(
    functions: Mapping[str, tuple[Callable[..., Any], Any]],
    exports: Sequence[str],
    constants: str,
    target: Target,
    machine: Any,
    inlined: Collection[str] = (),
    unrolled: bool = False,
) -> Any:
    """Link functions that call each other by name into one optimized LLVM module; check that it is self-contained.

    Parameters
    ----------
    functions
        Python function and signature by C name, as :func:`compile_object` takes them.
    exports
        Names of external symbols.
    constants
        LLVM text that defines the constants that functions read by name.
    target, machine
        CPU to compile for, and its llvmlite machine.
    inlined
        Names of functions that are inlined wherever they are called.
    unrolled
        True if LLVM may unroll loops, which pays off for a few turns whose number is a constant.

    Raises
    ------
    CompileError
        The module refers to something outside itself.
    """
    whole = llvm.parse_assembly(constants)
    for name, (function, signature) in functions.items():
        module = llvm.parse_assembly(_lowered(name, function, signature, target))
        for value in (*module.functions, *module.global_variables):
            if not value.is_declaration and value.name not in functions:
                value.linkage = llvm.Linkage.internal  # helpers of two functions may have one name
        if name in inlined:
            module.get_function(name).add_function_attribute("alwaysinline")
        whole.link_in(module)
    whole.triple, whole.data_layout = target.triple, str(machine.target_data)
    for value in (*whole.functions, *whole.global_variables):
        if not value.is_declaration and value.name not in exports:
            value.linkage = llvm.Linkage.internal
    tuning = llvm.create_pipeline_tuning_options(speed_level=3)
    # Kernels are written as vectors and unrolled where it helps; LLVM would only add code that rarely runs.
    tuning.loop_vectorization = tuning.slp_vectorization = False
    tuning.loop_unrolling = unrolled
    builder = llvm.create_pass_builder(machine, tuning)
    builder.getModulePassManager().run(whole, builder)
    _check_self_contained(", ".join(exports), whole)
    return whole


def definition(name: str, data: bytes, alignment: int) -> str:
    """LLVM text of a constant, for :func:`compile_module`."""
    escaped = "\\" + data.hex("\\") if data else ""
    return f'@{name} = constant [{len(data)} x i8] c"{escaped}", align {alignment}'


def _lowered(name: str, function: Callable[..., Any], signature: Any, target: Target) -> str:
    """Lower ``function`` to LLVM text under its C name, not optimized."""
    dispatcher = CPUDispatcher(function, targetoptions=_OPTIONS)
    try:
        with _front_end_only():
            dispatcher.compile(signature)
    except NumbaError as error:
        lines = " ".join(str(error).split())
        raise CompileError(f"Numba {numba_version} cannot compile kernel {name}: {lines[:300]}") from error
    result = dispatcher.overloads[tuple(signature.args)]
    return _with_entry(result.library.get_llvm_str(), result.fndesc.llvm_func_name, name, signature, target)


@contextmanager
def _front_end_only() -> Iterator[None]:
    """Run Numba without its optimizer and without machine code for this process's CPU.

    Both are done for the target afterwards. Numba's own would take long (a GRU and Dense from an empty cache to the
    first result 1.8 s, without 1.2 s), leave traces of this CPU in the module, and crash the process if this CPU lacks
    an instruction that the kernel asks for by name.
    """
    with global_compiler_lock:
        before = config.OPT, CPUContext.get_executable, JITCodeLibrary._finalize_final_module
        config.OPT = type(before[0])(0)
        CPUContext.get_executable, JITCodeLibrary._finalize_final_module = _no_executable, _no_machine_code
        try:
            yield
        finally:
            config.OPT, CPUContext.get_executable, JITCodeLibrary._finalize_final_module = before


def _no_executable(context: Any, library: Any, fndesc: Any, env: Any) -> Any:
    library.finalize()
    return [].append  # Numba uses it as a key of the function: a builtin that is unique


def _no_machine_code(library: Any) -> None:
    """Keep the module that ``JITCodeLibrary`` would hand to the execution engine, so that others can link it."""
    library._finalized = True


_SCALARS = {types.void: "void", types.int32: "i32", types.int64: "i64"}


def _with_entry(ir: str, native: str, name: str, signature: Any, target: Target) -> str:
    """Add a C function ``name`` around Numba's native function, which returns through a pointer, to a module's text."""
    kinds = [_SCALARS.get(type_, "ptr") for type_ in signature.args]
    arguments = ", ".join(f"{kind} %a{i}" for i, kind in enumerate(kinds))
    passed = ", ".join(["ptr %result, ptr %exception", arguments] if arguments else ["ptr %result, ptr %exception"])
    returned = _SCALARS.get(signature.return_type, "ptr")
    slot = "ptr" if returned == "void" else returned
    leave = "ret void" if returned == "void" else f"%r = load {slot}, ptr %result\n  ret {slot} %r"
    entry = (
        f"\ndefine {returned} @{name}({arguments}) {{\n"
        f"  %result = alloca {slot}\n  %exception = alloca ptr\n"
        f"  %status = call i32 @{native}({passed})\n  {leave}\n}}\n"
    )
    # Numba inlines only functions marked for it, and the native function has to be inlined into the entry.
    # "no-builtins" keeps LLVM from turning loops into calls of memcpy and memset.
    body = re.escape(native)
    attributes = f'nounwind "no-builtins" "prefer-vector-width"="{target.register_bits}" "min-legal-vector-width"="0"'
    ir = re.sub(rf"(?m)^(define [^\n]*@{body}\([^\n]*?\)[^\n{{]*)\{{", r"\1alwaysinline {", ir)
    return re.sub(r"(?m)^(define [^\n]*?)\{$", rf"\1{attributes} {{", ir + entry)


def _check_self_contained(name: str, module: Any) -> None:
    outside = [f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")]
    outside += [g.name for g in module.global_variables if g.is_declaration]
    if outside:
        raise CompileError(
            f"Kernel {name} refers to {', '.join(sorted(outside))}, expected no references to the outside."
        )
