"""The minimal conversion in the floor of the XML dialect: pages on standard input become one JSON array each.

It knows nothing but `<item>` and trusts everything. Not a reader: those are in `domain/egen`.
"""

import sys

import orjson
from lxml import etree

PAGE_END = b"</response>"


def main() -> None:
    """Convert until the input ends."""
    held = b""
    while chunk := sys.stdin.buffer.read(1 << 20):
        *pages, held = (held + chunk).split(PAGE_END)
        for page in pages:
            root = etree.fromstring(page.lstrip() + PAGE_END)
            items = [{cell.tag: cell.text for cell in item} for item in root.iter("item")]
            sys.stdout.buffer.write(orjson.dumps(items) + b"\n")


if __name__ == "__main__":
    main()
