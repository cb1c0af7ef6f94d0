"""Small pictures for the Dagster UI: a figure becomes an embedded PNG. What is drawn belongs to the subjects."""

import base64
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DPI = 85


def drawn(
    title: str, draw: Callable[[Sequence["Axes"]], None], *, size: tuple[float, float], columns: int = 1, **layout: Any
) -> dg.MarkdownMetadataValue:
    """Return what `draw` puts on `columns` axes, one beside the other, as metadata of an asset.

    `size` is in inches, `layout` goes to `pyplot.subplots`; `title` is the text in place of the picture.
    """
    import matplotlib as mpl  # noqa: PLC0415 - heavy: only for those who draw

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(1, columns, figsize=size, layout="constrained", squeeze=False, **layout)
    buffer = io.BytesIO()
    try:
        draw(axes[0])
        figure.savefig(buffer, format="png", dpi=_DPI)
    finally:
        plt.close(figure)
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()})")


def label(name: str, otherwise: str) -> str:
    """Return a name as it can be drawn: the fonts at hand have Latin letters for certain."""
    return name if name.isascii() else otherwise
