"""Workbooks taken apart and put together otherwise."""

import io
import zipfile


def repacked(content: bytes, parts: dict[str, bytes]) -> bytes:
    """The workbook with some of its parts exchanged or added."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as before, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as after:
        for name in before.namelist():
            after.writestr(name, parts.pop(name, before.read(name)))
        for name, part in parts.items():
            after.writestr(name, part)
    return buffer.getvalue()
