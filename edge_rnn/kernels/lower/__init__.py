"""Lower the graph of an equation to the kernels of a step.

``passes`` rewrite the graph, ``sums`` finds what shares an accumulator, ``stages`` cuts it where a product needs what
the step has computed, ``panels`` writes the text of each stage, ``lowered`` puts all this in order. Its ``parts`` are
``kept`` for the next start. ``pack`` lays out weights, rounding by ``ranges``; ``build`` makes of a text, which the
kernel's ``key`` carries, the function that is compiled.
"""
