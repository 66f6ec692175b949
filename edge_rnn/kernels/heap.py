"""A heap of words: the largest of many one after the other, as many as are wanted, without sorting the others.

R. W. Floyd, "Algorithm 245: Treesort 3", Communications of the ACM 7 (1964), doi:10.1145/355588.365103: ``n`` words are
a heap after some 2n comparisons, and each that is taken costs some 2 log2 n.
"""

from __future__ import annotations

from typing import Any

from edge_rnn.kernels.compiler import helper

__all__ = ["make_heap", "take_largest"]


@helper
def _sift_down(heap: Any, place: Any, size: Any) -> None:
    """Let the word at ``place`` sink to where those below it are no larger."""
    word = heap[place]
    child = 2 * place + 1
    while child < size:
        if child + 1 < size and heap[child + 1] > heap[child]:
            child += 1
        if heap[child] <= word:
            break
        heap[place] = heap[child]
        place = child
        child = 2 * place + 1
    heap[place] = word


@helper
def make_heap(heap: Any, size: Any) -> None:
    """Put ``size`` words in the order of a heap: none is larger than the one above it, the largest is the first."""
    for i in range(size // 2):
        _sift_down(heap, size // 2 - 1 - i, size)


@helper
def take_largest(heap: Any, size: Any) -> Any:
    """Take the largest of ``size`` words; it is left in the last place, the others are a heap in front of it."""
    largest = heap[0]
    heap[0] = heap[size - 1]
    heap[size - 1] = largest
    _sift_down(heap, 0, size - 1)
    return largest
