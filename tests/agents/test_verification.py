"""Verification: each way in which the log can be wrong is named."""

from __future__ import annotations

import pytest

from agents.outputs import Output
from agents.verification import Recorded, Verifier
from schemas.codec import dumps
from schemas.headers import Origin, output_headers
from streams.topics import BARS, FEATURES, SIGNALS, TICKS


def output(offset: int, index: int, value: bytes = b"v", topic: str = FEATURES) -> Output:
    return Output(topic, index, b"0", value, output_headers(Origin(TICKS, 0, offset, index)))


def recorded(item: Output, **changes: object) -> Recorded:
    values: dict[str, object] = {
        "topic": item.topic,
        "offset": 100 + item.index,
        "key": item.key,
        "value": item.value,
        "headers": list(item.headers),
    }
    return Recorded(**(values | changes))  # type: ignore[arg-type]


def test_equal_logs_are_identical() -> None:
    verifier = Verifier()
    outputs = [output(1, 0), output(1, 1)]
    for item in outputs:
        verifier.record((1, item.index), recorded(item))
    verifier.compute(1, outputs)
    result = verifier.finish()
    assert (result.clean, result.inputs, result.outputs, result.identical) == (True, 1, 2, 2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"value": b"w"}, "another value"),
        ({"key": b"1"}, "key b'1' instead of b'0'"),
        ({"topic": BARS}, "on topic market.bars"),
        ({"headers": output_headers(Origin(TICKS, 1, 1, 0))}, "other headers"),
    ],
)
def test_a_different_output_says_in_what(changes: dict[str, object], words: str) -> None:
    verifier = Verifier()
    verifier.record((1, 0), recorded(output(1, 0), **changes))
    verifier.compute(1, [output(1, 0)])
    (difference,) = verifier.finish().differences
    assert (difference.kind, words in difference.detail) == ("different", True)


def test_a_missing_a_repeated_and_an_unexpected_output_are_three_things() -> None:
    verifier = Verifier()
    verifier.record((1, 1), recorded(output(1, 1)))
    verifier.record((1, 1), recorded(output(1, 1)))
    verifier.record((2, 0), recorded(output(2, 0)))
    verifier.compute(1, [output(1, 0), output(1, 1)])
    kinds = [(d.kind, d.identity) for d in verifier.finish().differences]
    assert kinds == [("missing", (1, 0)), ("repeated", (1, 1)), ("unexpected", (2, 0))]


def test_the_latency_of_a_signal_is_not_part_of_it_but_everything_else_is() -> None:
    def signal(side: int, latency: float) -> bytes:
        return dumps({"side": side, "latency_us": {"log": latency}})

    verifier = Verifier()
    verifier.record((1, 0), recorded(output(1, 0, signal(1, 5.0), SIGNALS)))
    verifier.record((2, 0), recorded(output(2, 0, signal(1, 5.0), SIGNALS)))
    verifier.compute(1, [output(1, 0, signal(1, 9.0), SIGNALS)])
    verifier.compute(2, [output(2, 0, signal(-1, 5.0), SIGNALS)])
    assert [d.identity for d in verifier.finish().differences] == [(2, 0)]
