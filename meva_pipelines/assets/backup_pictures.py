"""The picture of the backup report: when each backup was taken, how much it stores, how long it took."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from meva_pipelines.assets import pictures
from meva_pipelines.domain.days import SEOUL

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LANES = ("files", "logical", "wal", "physical incremental", "physical full")
_LONG_S = 7_200.0
"""Beyond it the line of time counts hours, else minutes."""

_COLOURS = {"completed": "#2a7f62", "corrupted": "#c0392b"}


def chains(rows: Sequence[Mapping[str, Any]], *, now: datetime, proven_at: datetime | None) -> dg.MarkdownMetadataValue:
    """Return the backups on a line of time, one lane per method, and their sizes and durations beside it."""

    def draw(axes: "Sequence[Axes]") -> None:
        _draw_lanes(axes[0], rows, now=now, proven_at=proven_at)
        _draw_sizes(axes[1], rows)

    return pictures.drawn("Backups by time, size and duration", draw, size=(11.0, 3.4), columns=2)


def _lane(row: Mapping[str, Any]) -> int:
    name = f"physical {row['extent']}" if row["method"] == "physical" else str(row["method"])
    return _LANES.index(name)


def _draw_lanes(axes: "Axes", rows: Sequence[Mapping[str, Any]], *, now: datetime, proven_at: datetime | None) -> None:
    oldest_s = max(((now - row["created_at"]).total_seconds() for row in rows), default=0.0)
    unit, unit_s = ("hours", 3600.0) if oldest_s > _LONG_S else ("minutes", 60.0)
    for row in rows:
        before = (row["created_at"] - now).total_seconds() / unit_s
        axes.plot([before], [_lane(row)], "o", color=_COLOURS[row["status"]], markersize=7)
    if proven_at is not None:
        proven = (proven_at - now).total_seconds() / unit_s
        axes.axvline(proven, color="#3465a4", linewidth=1, label="last proven restore")
        axes.legend(loc="upper left", fontsize=8, frameon=False)
    axes.set_xlim(-1.1 * max(oldest_s / unit_s, 1.0), 0.05 * max(oldest_s / unit_s, 1.0))
    axes.set_yticks(range(len(_LANES)), _LANES)
    axes.set_ylim(-0.6, len(_LANES) + 0.1)
    axes.set_xlabel(f"{unit} before {now.astimezone(SEOUL):%Y-%m-%d %H:%M} KST")
    axes.set_title("what can be brought back", fontsize=10)
    axes.grid(axis="x", alpha=0.3)


def _draw_sizes(axes: "Axes", rows: Sequence[Mapping[str, Any]]) -> None:
    seconds = [max((row["completed_at"] - row["created_at"]).total_seconds(), 0.01) for row in rows]
    stored_mb = [max(row["compressed_size"] / 1e6, 0.001) for row in rows]
    for row, duration_s, size_mb in zip(rows, seconds, stored_mb, strict=True):
        axes.plot([duration_s], [size_mb], "o", color=f"C{_lane(row)}", markersize=6)
    if rows:
        for axis, scale in ((axes.xaxis, axes.set_xscale), (axes.yaxis, axes.set_yscale)):
            scale("log")
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter("")
        axes.set_xlim(left=min(0.1, *seconds) / 1.5)
        axes.set_ylim(bottom=min(0.1, *stored_mb) / 1.5)
    axes.set_xlabel("seconds")
    axes.set_ylabel("MB stored")
    axes.set_title("size and duration", fontsize=10)
    axes.grid(alpha=0.3)
