"""Lower the graph of an equation to the kernels of a step.

``passes`` rewrites the graph, ``sums`` finds products that share an accumulator, ``stages`` cuts the graph where a
product needs a value that the step itself computes, ``panels`` writes the source text of each stage, and ``lowered``
runs all of these. ``parts`` has the classes of the result, which ``kept`` caches for later starts. ``pack`` lays out
weights, with ``ranges`` for rounding; ``build`` turns the text, which the kernel's ``key`` carries, into the function
that is compiled.
"""
