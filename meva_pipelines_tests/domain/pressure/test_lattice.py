"""The dynamic programme against a plain one that looks at every cell by itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meva_pipelines.domain.pressure import lattice

pressures = st.integers(2, 14).flatmap(
    lambda points: st.tuples(*[st.lists(st.integers(-9, 9), min_size=points, max_size=points) for _ in range(2)])
)


def plain(first: list[int], second: list[int], half_width: int, *, is_sum: bool) -> np.ndarray:
    """Every cell from its three neighbours, one after the other, in whole numbers."""
    points = len(first)
    best = np.full((points, points), np.inf)
    for i in range(points):
        for j in range(points):
            if abs(i - j) > half_width:
                continue
            before = [best[a, b] for a, b in ((i - 1, j), (i, j - 1), (i - 1, j - 1)) if a >= 0 and b >= 0]
            cost = (first[i] - second[j]) ** 2 + 2 * (i - j) ** 2
            least = min(before, default=0)
            best[i, j] = cost + least if is_sum else max(cost, least)
    return best


def plain_path(best: np.ndarray) -> list[tuple[int, int]]:
    i, j = best.shape[0] - 1, best.shape[1] - 1
    path = [(i, j)]
    while (i, j) != (0, 0):
        steps = [(a, b) for a, b in ((i - 1, j), (i, j - 1), (i - 1, j - 1)) if a >= 0 and b >= 0]
        i, j = min(steps, key=lambda cell: best[cell])
        path.append((i, j))
    return path


@pytest.mark.parametrize("join", [np.add, np.maximum])
@given(pair=pressures, half_width=st.integers(0, 15))
def test_value_and_path_are_those_of_the_plain_programme(
    pair: tuple[list[int], list[int]], half_width: int, join: np.ufunc
) -> None:
    best = plain(*pair, half_width, is_sum=join is np.add)
    first, second = (np.array(values, dtype=float) for values in pair)
    found = lattice.swept(first, second, join, half_width=half_width, offset_cost=2.0)
    assert found.value == best[-1, -1]
    i, j = found.path()
    assert list(zip(i.tolist(), j.tolist(), strict=True)) == plain_path(best)


def test_on_ties_the_first_curve_steps_back_first() -> None:
    found = lattice.swept(np.zeros(3), np.zeros(3), np.add, half_width=2)
    i, j = found.path()
    assert list(zip(i.tolist(), j.tolist(), strict=True)) == [(2, 2), (1, 2), (0, 2), (0, 1), (0, 0)]


def test_a_band_of_no_width_pairs_point_by_point() -> None:
    first, second = np.array([1.0, 2.0, 5.0]), np.array([1.0, 4.0, 3.0])
    assert lattice.swept(first, second, np.add, half_width=0).value == pytest.approx(8.0)
