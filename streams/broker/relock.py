"""Write ``jars.lock`` anew: ``python -m streams.broker.relock 4.3.1 2.25.4``.

For whoever moves to another version of Kafka. The jars are resolved once, here, and pinned with their size
and hash, so that every machine runs the same ones and starting a broker resolves nothing.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import jgo
from jgo.maven import MavenContext

LOCK = Path(__file__).with_name("jars.lock")


def main(kafka_version: str, log4j_version: str) -> None:
    """Resolve Kafka and its logging bridge of the given versions and write the lock file."""
    artifacts = list(jgo.resolve(f"org.apache.kafka:kafka_2.13:{kafka_version}"))
    # Alone, without what it depends on: its own dependency management would replace Kafka's versions.
    bridge = MavenContext().project("org.apache.logging.log4j", "log4j-slf4j-impl")
    artifacts.append(bridge.at_version(log4j_version).artifact())
    rows = []
    for artifact in artifacts:
        content = artifact.resolve().read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        rows.append(f"{artifact.groupId}:{artifact.artifactId}:{artifact.version} {len(content)} {digest}\n")
    LOCK.write_text("".join(sorted(rows)))
    print(f"{LOCK.name}: {len(rows)} jars")


if __name__ == "__main__":
    main(*sys.argv[1:])
