"""PostgreSQL's extended hash functions over whole columns: Jenkins' lookup3 as `hashfn.c` has it, with numpy.

They are those of hash partitioning, which no version of the server may change. Values are hashed into a chain: the
hash of one column is the seed of the next. All words are those of little-endian machines.
"""

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Hashes: TypeAlias = npt.NDArray[np.uint64]
"""One hash per row, shape (rows,)."""

Words: TypeAlias = npt.NDArray[np.uint32]
Flags: TypeAlias = npt.NDArray[np.bool_]

_START: Final = 0x9E3779B9 + 3_923_095
_HALF: Final = np.uint64(32)
_BASE: Final = np.uint64(10_000)

_MIX: Final = ((0, 2, 1, 4), (1, 0, 2, 6), (2, 1, 0, 8), (0, 2, 1, 16), (1, 0, 2, 19), (2, 1, 0, 4))
_FINAL: Final = ((2, 1, 14), (0, 2, 11), (1, 0, 25), (2, 1, 16), (0, 2, 4), (1, 0, 14), (2, 1, 24))


def whole32(values: npt.NDArray[np.int32], seeds: Hashes) -> Hashes:
    """Return `hashint4extended`, which is also that of a day."""
    return _ended(_seeded(seeds, 4), values.view(np.uint32))


def whole64(values: npt.NDArray[np.int64], seeds: Hashes) -> Hashes:
    """Return `hashint8extended`, which is also that of a moment in microseconds since 2000: it folds the two halves."""
    words = values.view(np.uint32).reshape(-1, 2)
    low, high = words[:, 0], words[:, 1]
    return _ended(_seeded(seeds, 4), low ^ np.where(values >= 0, high, ~high))


def decimal(units: npt.NDArray[np.int64], places: tuple[int, int], seeds: Hashes) -> Hashes:
    """Return `hash_numeric_extended` of decimals given in units of their last digit. It ignores their sign.

    `places` is how many digits they have before and behind the point. Hashed are the digits to the base 10,000 without
    zeros in front and behind, with the weight of the first. There are at most four: no block has room for more.
    """
    before, behind = (-(-digits // 4) for digits in places)
    rest = np.abs(units).view(np.uint64) * np.uint64(10 ** (4 * behind - places[1]))
    packed = np.zeros_like(rest)
    first, last = np.zeros(units.shape, np.int64), np.full(units.shape, -1, np.int64)
    for place in range(before + behind):
        above = rest // _BASE
        digit = rest - above * _BASE
        rest, is_there = above, digit != 0
        packed = (packed << np.uint64(16)) | digit
        first[is_there] = place
        last[is_there & (last < 0)] = place
    packed >>= (16 * (before + behind - 1 - first)).view(np.uint64)
    low, high = packed.astype(np.uint32), (packed >> _HALF).astype(np.uint32)
    found = _ended(_seeded(seeds, 2 * (first - last + 1)), low, high)
    return np.where(last < 0, seeds - np.uint64(1), found ^ (first - behind).view(np.uint64))


def text(content: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], seeds: Hashes) -> Hashes:
    """Return `hashtextextended` of texts that lie one behind the other, each from its offset to the next one's.

    `offsets` has the shape (rows + 1,). Texts are taken 12 bytes at a time, those that are still long enough.
    """
    lengths = np.diff(offsets)
    state = _seeded(seeds, lengths)
    padded = np.concatenate([content, np.zeros(12, np.uint8)])
    words = np.ndarray((content.size + 9,), np.dtype("<u4"), padded, strides=(1,))
    at, left = offsets[:-1].copy(), lengths.copy()
    rows = np.flatnonzero(left >= 12)
    while rows.size:
        part = [word[rows] for word in state]
        for place in range(3):
            part[place] += words[at[rows] + 4 * place]
        _mix(part)
        for word, mixed in zip(state, part, strict=True):
            word[rows] = mixed
        at[rows] += 12
        left[rows] -= 12
        rows = rows[left[rows] >= 12]
    rest = [_masked(words[at + 4 * place], left - 4 * place) for place in range(3)]
    rest[2] <<= np.uint32(8)  # the lowest byte of the third word is that of the length
    return _ended(state, *rest)


def _masked(words: Words, kept: npt.NDArray[np.int64]) -> Words:
    """Return words of which only so many bytes count, from the lowest on."""
    bits = (8 * np.clip(kept, 0, 4)).astype(np.uint64)
    return words & ((np.uint64(1) << bits) - np.uint64(1)).astype(np.uint32)


def _seeded(seeds: Hashes, length: int | npt.NDArray[np.int64]) -> list[Words]:
    """Return the three words with which hashing begins; a seed of 0, which is not mixed in, is none of a chain."""
    start = np.broadcast_to(np.asarray(_START + length, np.uint64).astype(np.uint32), seeds.shape)
    state = [start + (seeds >> _HALF).astype(np.uint32), start + seeds.astype(np.uint32), start.copy()]
    _mix(state)
    return state


def _mix(state: list[Words]) -> None:
    for at, other, third, bits in _MIX:
        word = state[at]
        word -= state[other]
        word ^= _rotated(state[other], bits)
        state[other] += state[third]


def _ended(state: list[Words], *added: Words) -> Hashes:
    for place, more in enumerate(added):
        state[place] += more
    for at, other, bits in _FINAL:
        word = state[at]
        word ^= state[other]
        word -= _rotated(state[other], bits)
    return (state[1].astype(np.uint64) << _HALF) | state[2]


def _rotated(words: Words, bits: int) -> Words:
    return (words << np.uint32(bits)) | (words >> np.uint32(32 - bits))
