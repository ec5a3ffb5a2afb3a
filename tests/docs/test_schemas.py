"""The published schemas against what is really produced: a worker's outputs on a market with faults."""

import json
from collections import defaultdict

import jsonschema
import pytest
from referencing.jsonschema import DRAFT202012

from agents.configuration import partition_config
from agents.messages import Message
from agents.partition import Partition
from schemas import codec
from schemas.errors import FrameError
from schemas.frame import encode_frame
from schemas.ipc import read_batch
from schemas.messages import TickJson
from schemas.settings import Settings
from streams import topics
from streams.market.config import MarketConfig
from streams.market.fault_plan import FaultPlan
from streams.market.market import SimulatedMarket
from tapestream.reference.json_schemas import JSON_MESSAGES
from tests.docs.pages import ROOT

SCHEMAS = ROOT / "docs" / "schemas"


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads((SCHEMAS / f"{name}.schema.json").read_text()))


def asyncapi() -> dict:
    return json.loads((SCHEMAS / "asyncapi.json").read_text())


@pytest.fixture(scope="module")
def produced() -> dict[str, list]:
    """Topic to the outputs of a worker that computed a minute of a market with every fault."""
    faults = FaultPlan(gap=0.002, duplicate=0.002, late=0.002, crossed=0.002, bad=0.002)
    market = SimulatedMarket(MarketConfig(symbols=6, seed=3, faults=faults))
    settings = Settings(partitions=1, windows_ms=(100, 1000), indicators=("rsi",))
    partition = Partition(partition_config(settings)(0))
    outputs = defaultdict(list)
    frames = [encode_frame(market.block(n_ticks=2_000)) for _ in range(12)]
    for offset, value in enumerate([*frames, b"no frame"]):
        for output in partition.process(Message(offset, 0, [], value)):
            outputs[output.topic].append(output)
    return outputs


def test_the_market_made_every_kind_of_output(produced):
    assert set(produced) == {
        topics.FEATURES,
        topics.BARS,
        topics.INDICATORS,
        topics.SIGNALS,
        topics.QUALITY,
        topics.DEAD_LETTERS,
    }
    kinds = {json.loads(output.value)["kind"] for output in produced[topics.QUALITY]}
    assert kinds >= {"gap", "duplicate", "late", "crossed"}


@pytest.mark.parametrize(("topic", "name"), [(topics.SIGNALS, "signal"), (topics.QUALITY, "quality_event")])
def test_json_outputs_keep_their_schema(produced, topic, name):
    schema = validator(name)
    problems = [
        error.message for output in produced[topic] for error in schema.iter_errors(json.loads(output.value))
    ]
    assert problems == []


@pytest.mark.parametrize(
    ("topic", "message"), [(topics.FEATURES, "feature_frame"), (topics.BARS, "bar_frame")]
)
def test_arrow_outputs_have_the_columns_of_the_asyncapi_document(produced, topic, message):
    columns = [
        (row["name"], row["type"]) for row in asyncapi()["components"]["messages"][message]["x-columns"]
    ]
    found = {
        tuple((f.name, str(f.type)) for f in read_batch(output.value).schema) for output in produced[topic]
    }
    assert found == {tuple(columns)}


def test_indicator_frames_have_the_columns_of_the_asyncapi_document_and_one_for_each_value(produced):
    rows = asyncapi()["components"]["messages"]["indicator_frame"]["x-columns"]
    wanted = (*((row["name"], row["type"]) for row in rows), ("rsi", "double"))
    frames = [read_batch(output.value) for output in produced[topics.INDICATORS]]
    assert {tuple((f.name, str(f.type)) for f in frame.schema) for frame in frames} == {wanted}


def test_tick_frames_have_columns_of_the_asyncapi_document():
    columns = {
        row["name"]: row["type"] for row in asyncapi()["components"]["messages"]["tick_frame"]["x-columns"]
    }
    batch = read_batch(encode_frame(SimulatedMarket(MarketConfig(symbols=2)).block(n_ticks=500)))
    assert {field.name: str(field.type) for field in batch.schema}.items() <= columns.items()


def test_headers_are_those_of_the_asyncapi_document(produced):
    document = asyncapi()
    for topic, outputs in produced.items():
        names = document["channels"][topic]["messages"]
        described = {
            key for name in names for key in document["components"]["messages"][name]["headers"]["properties"]
        }
        written = {key for output in outputs for key, _ in output.headers}
        assert written <= described, topic


A_QUOTE = {
    "symbol": "A",
    "ts_event_ns": 1,
    "kind": "quote",
    "bid_px": "1.5",
    "ask_px": 2,
    "bid_sz": 1,
    "ask_sz": 1,
}
A_TRADE = {"symbol": "A", "ts_event_ns": 1, "kind": "trade", "trade_px": 2.5, "trade_sz": 0, "aggressor": -1}


@pytest.mark.parametrize(
    "tick",
    [
        A_QUOTE,
        A_TRADE,
        A_TRADE | {"sequence": 2**64 - 1, "bid_px": None, "more": "later versions may add fields"},
        A_TRADE | {"trade_px": None},
        A_TRADE | {"trade_sz": -1},
        A_TRADE | {"trade_px": 0},
        A_TRADE | {"aggressor": 2},
        A_TRADE | {"sequence": 2**64},
        A_TRADE | {"symbol": ""},
        A_TRADE | {"ts_event_ns": 0},
        A_TRADE | {"kind": "bar"},
        {name: value for name, value in A_TRADE.items() if name != "trade_px"},
        {name: value for name, value in A_QUOTE.items() if name != "ask_sz"},
        {name: value for name, value in A_TRADE.items() if name != "symbol"},
    ],
    ids=str,
)
def test_the_schema_of_a_tick_accepts_what_the_program_accepts(tick):
    try:
        codec.decode(TickJson, json.dumps(tick))
        accepted = True
    except FrameError:
        accepted = False
    assert validator("tick").is_valid(tick) == accepted
    assert validator("tick_message").is_valid(tick) == accepted
    assert validator("tick_message").is_valid([tick, A_QUOTE]) == accepted


def test_every_schema_is_itself_valid():
    files = sorted(SCHEMAS.glob("*.schema.json"))
    assert {file.name.removesuffix(".schema.json") for file in files} == {*JSON_MESSAGES, "tick_message"}
    for file in files:
        schema = json.loads(file.read_text())
        jsonschema.Draft202012Validator.check_schema(schema)
        DRAFT202012.create_resource(schema)


def references(node) -> list[str]:
    if isinstance(node, list):
        return [found for item in node for found in references(item)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
    return own + [found for value in node.values() for found in references(value)]


def test_every_reference_of_the_asyncapi_document_leads_somewhere():
    document = asyncapi()
    found = references(document)
    assert found
    for reference in found:
        target = document
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]


def test_every_topic_in_use_is_a_channel():
    assert set(asyncapi()["channels"]) == {
        row.name for row in topics.TOPICS if not row.name.startswith(("orchestrator.", "market.depth"))
    }
