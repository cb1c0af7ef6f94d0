"""Columns of Arrow as numpy arrays, without copying; null places hold whatever lies there."""

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

Whole: TypeAlias = npt.NDArray[np.int64]
"""Whole numbers, shape (rows,)."""

Bytes: TypeAlias = npt.NDArray[np.uint8]


def whole(array: "pa.Array") -> Whole:
    """Return whole numbers, days since 1970 or microseconds since 1970 as 64 bits; fewer bits are widened."""
    found = np.frombuffer(array.buffers()[1], f"i{array.type.bit_width // 8}")
    return found[array.offset : array.offset + len(array)].astype(np.int64, copy=False)


def units(array: "pa.Array") -> Whole:
    """Return decimals of at most 18 digits in units of their last digit: the lower halves of their 128 bits."""
    halves = np.frombuffer(array.buffers()[1], np.int64).reshape(-1, 2)
    return halves[array.offset : array.offset + len(array), 0]


def spelled(array: "pa.Array") -> tuple[Bytes, Whole]:
    """Return the bytes of texts one behind the other, and where each begins, shape (rows + 1,)."""
    _, places, content = array.buffers()
    offsets = np.frombuffer(places, np.int32)[array.offset : array.offset + len(array) + 1].astype(np.int64)
    letters = np.frombuffer(content or b"", np.uint8)[offsets[0] : offsets[-1]]
    return letters, offsets - offsets[0]
