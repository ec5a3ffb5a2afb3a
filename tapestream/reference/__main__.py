"""Write the generated documents, or with ``--check`` see whether they are up to date."""

from __future__ import annotations

import sys

from tapestream.reference import documents
from tapestream.shadows import ROOT

SCHEMAS = ROOT / "docs" / "schemas"


def main(check: bool) -> int:
    """The exit code: 1 when a document is stale and was only to be checked."""
    wanted = {ROOT / path: text for path, text in documents().items()}
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text() != text]
    orphans = [path for path in sorted(SCHEMAS.glob("*.json")) if path not in wanted]
    if check:
        for path in (*stale, *orphans):
            print(f"stale: {path.relative_to(ROOT)} (make docs)", file=sys.stderr)
        return 1 if stale or orphans else 0
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path])
        print(f"wrote {path.relative_to(ROOT)}")
    for path in orphans:
        path.unlink()
        print(f"removed {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
