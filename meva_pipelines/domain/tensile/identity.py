"""The name of a test's content: a SHA-256 over what is published of it. Bytes in, bytes out."""

import hashlib
import json
from dataclasses import asdict
from datetime import UTC, datetime

from meva_pipelines.domain.tensile.recording import Recording


def content_sha256(recording: Recording, *, curve_sha256: str) -> str:
    """Return the SHA-256 over specimen, header and curve of a test, hexadecimal.

    How the file was understood is left out: the same content read by another version of the readers stays the same.
    Moments count in UTC, whatever zone they are written in.
    """
    stated = {"specimen": asdict(recording.specimen), "header": dict(recording.header), "curve": curve_sha256}
    text = json.dumps(stated, sort_keys=True, ensure_ascii=False, default=_moment)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _moment(value: object) -> str:
    if not isinstance(value, datetime):
        raise TypeError(f"{type(value).__name__} has no canonical text")
    return value.astimezone(UTC).isoformat()
