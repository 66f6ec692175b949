"""Compilation to machine code: the target CPU, the compiler, LLVM instructions."""
