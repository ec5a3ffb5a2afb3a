"""The partition of a symbol is the one that Kafka's own clients choose."""

import pytest
from aiokafka.partitioner import murmur2

from streams.clients import partition_of

# The vectors of Kafka's own test of its hash, org.apache.kafka.common.utils.UtilsTest.
KAFKAS_OWN = {
    "21": -973932308,
    "foobar": -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    "abc": 479470107,
}


@pytest.mark.parametrize(("key", "hash_in_java"), KAFKAS_OWN.items())
def test_the_hash_is_the_one_of_kafkas_java_client(key: str, hash_in_java: int) -> None:
    assert murmur2(key.encode()) == hash_in_java & 0xFFFF_FFFF
    assert partition_of(key, 7) == (hash_in_java & 0x7FFF_FFFF) % 7


def test_a_symbol_outside_ascii_is_hashed_as_utf_8() -> None:
    assert partition_of("トヨタ", 1_000) == (murmur2("トヨタ".encode()) & 0x7FFF_FFFF) % 1_000


def test_every_partition_gets_its_share_of_symbols() -> None:
    counts = [0] * 8
    for number in range(8_000):
        counts[partition_of(f"SYM{number}", 8)] += 1
    assert min(counts) > 850
