"""Encodings of text files: stated, told by a byte order mark, by zero bytes, or by what the bytes can be at all."""

import codecs
import re
from dataclasses import dataclass

from meva_pipelines.domain.failures import Unusable
from meva_pipelines.domain.tensile.sidecar import Sidecar

_HEAD_BYTES = 1 << 17
_CHUNK = 1 << 20
_BOMS = (
    (codecs.BOM_UTF8, "utf-8", "UTF-8 with byte order mark"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "UTF-16"),
)
_SOMETHING = re.compile(rb"[^\s\0]")
_HANGUL = re.compile("[가-힣]{2,}")


@dataclass(frozen=True, slots=True)
class Text:
    """A file as text: its bytes in an encoding in which digits and separators are ASCII."""

    body: bytes
    codec: str
    encoding: str
    warnings: tuple[str, ...] = ()


def decoded(content: bytes, sidecar: Sidecar) -> Text:
    """Tell the encoding of a file: stated, by its byte order mark, by its zero bytes, or by what it can be.

    Raises:
        Unusable: `text_is_readable`; it is empty or no text.
    """
    if _SOMETHING.search(content) is None:
        raise Unusable("the file is empty", rule="text_is_readable")
    if sidecar.encoding is not None:
        return _in(content, sidecar.encoding, f"{sidecar.encoding}, stated in the sidecar")
    for mark, codec, encoding in _BOMS:
        if content.startswith(mark):
            return _in(content[len(mark) :], codec, encoding)
    if wide := _wide(content[:_HEAD_BYTES]):
        return _in(content, wide, "UTF-16 without byte order mark")
    if b"\0" in content:
        raise Unusable("the file is neither text, nor a workbook, nor JSON", rule="text_is_readable")
    if content.isascii() or _is_utf8(content):
        return _in(content, "utf-8", "UTF-8")
    if _is_korean(content[:_HEAD_BYTES]):
        return _in(content, "cp949", "CP949")
    return _in(content, "cp1252", "latin-1")


def _in(content: bytes, codec: str, encoding: str) -> Text:
    if codec.startswith("utf-16"):
        try:
            content, codec = content.decode(codec).encode("utf-8"), "utf-8"
        except UnicodeDecodeError as error:
            raise Unusable(f"byte {error.start:,} of the file is not {encoding}", rule="text_is_readable") from None
    if b"\n" not in content and b"\r" in content:
        content = content.replace(b"\r", b"\n")
    lost = "\ufffd".encode() in content[:_HEAD_BYTES]
    warning = ("letters were lost before the file came here (U+FFFD)",) if codec == "utf-8" and lost else ()
    return Text(content.removeprefix(codecs.BOM_UTF8), codec, encoding, warning)


def _wide(beginning: bytes) -> str | None:
    """UTF-16 has zero bytes in every other place of Western text."""
    least = len(beginning) // 5
    if beginning[1::2].count(0) > least:
        return "utf-16-le"
    return "utf-16-be" if beginning[::2].count(0) > least else None


def _is_utf8(content: bytes) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(content), _CHUNK):
            decoder.decode(content[start : start + _CHUNK])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _is_korean(beginning: bytes) -> bool:
    """Korean words stand in the beginning and everything there decodes: accented Latin letters rarely do that."""
    try:
        text = beginning[: beginning.rfind(b"\n") + 1 or None].decode("cp949")
    except UnicodeDecodeError:
        return False
    return _HANGUL.search(text) is not None
