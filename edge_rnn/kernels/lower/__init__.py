"""Lower the graph of an equation to the kernels of a step.

``passes`` rewrites the graph, ``sums`` finds products that share an accumulator, ``stages`` cuts the graph where a
product needs a value that the step itself computes, ``panels`` writes the source text of each stage, and ``lowered``
runs all of these. ``pack`` lays out weights; ``build`` turns the text, which the kernel's ``key`` carries, into the
function that is compiled.
"""
