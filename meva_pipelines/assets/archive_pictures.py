"""The picture of the archive report: which periods of which table are hot and which are cold, and what they weigh."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import dagster as dg

from meva_pipelines.assets import pictures
from meva_pipelines.domain.archive.periods import Period

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HOT, _COLD = "#d9822b", "#3465a4"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a table stands: rows by period, hot and cold, and what both weigh in bytes.

    `freed_bytes` is what the cold rows weighed in the database, with their indexes.
    """

    table: str
    hot: dict[Period, int]
    cold: dict[Period, int]
    hot_bytes: int
    cold_bytes: int
    freed_bytes: int


def ages(standings: Sequence[Standing], *, now: datetime) -> dg.MarkdownMetadataValue:
    """Return the tables on a line of time, one lane each, and their weight, hot and cold, beside it."""

    def draw(axes: "Sequence[Axes]") -> None:
        _draw_lanes(axes[0], standings, now=now)
        _draw_weights(axes[1], standings)

    return pictures.drawn("What is hot and what is cold", draw, size=(11.0, 3.4), columns=2)


def _draw_lanes(axes: "Axes", standings: Sequence[Standing], *, now: datetime) -> None:
    """Bars grow with the rows of a period, each lane to its own scale; hot rows hide cold ones, as for readers."""
    for lane, standing in enumerate(standings):
        most = max([*standing.hot.values(), *standing.cold.values()], default=1) or 1
        for rows, colour in ((standing.cold, _COLD), (standing.hot, _HOT)):
            for period, count in rows.items():
                start = (period.start - now).days / 365.25
                width = (period.end - period.start).days / 365.25
                height = 0.8 * count / most
                axes.bar(start, height, width * 0.92, bottom=lane - 0.4, align="edge", color=colour)
    axes.set_yticks(range(len(standings)), [standing.table for standing in standings])
    axes.set_ylim(-0.6, len(standings) + 0.1)
    axes.set_xlabel("years before now")
    axes.set_title("rows of each period", fontsize=10)
    axes.grid(axis="x", alpha=0.3)


def _draw_weights(axes: "Axes", standings: Sequence[Standing]) -> None:
    lanes = range(len(standings))
    axes.barh([lane + 0.18 for lane in lanes], [s.hot_bytes / 1e6 for s in standings], 0.34, color=_HOT, label="hot")
    axes.barh([lane - 0.18 for lane in lanes], [s.cold_bytes / 1e6 for s in standings], 0.34, color=_COLD, label="cold")
    axes.set_yticks(lanes, ["" for _ in standings])
    axes.set_ylim(-0.6, len(standings) + 0.1)
    axes.set_xscale("symlog", linthresh=0.01)
    axes.set_xlabel("MB")
    axes.set_title("weight", fontsize=10)
    axes.legend(frameon=False, fontsize=8, loc="upper left", ncols=2)
    axes.grid(axis="x", alpha=0.3)
