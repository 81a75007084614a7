"""Searches the bytes of files for texts, as a process of its own: python file_scan.py FILE... < JSON list of texts.

SQLite's locks belong to a process and end when it closes any descriptor of the file; so a process that holds a
database open must never open the file a second time. Needs nothing but the standard library.
"""

from __future__ import annotations

import json
import mmap
import sys


def scan_files(paths: list[str], texts: list[str]) -> list[bool]:
    """For each text, whether its UTF-8 bytes are in any of the files."""
    found = [False] * len(texts)
    wanted = [text.encode("utf-8", "surrogatepass") for text in texts]
    for path in paths:
        with open(path, "rb") as file:
            if not file.seek(0, 2):
                continue
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                for place, text in enumerate(wanted):
                    found[place] = found[place] or content.find(text) >= 0
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(scan_files(sys.argv[1:], json.load(sys.stdin))))
