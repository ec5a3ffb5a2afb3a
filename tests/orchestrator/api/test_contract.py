"""The running server against its own OpenAPI document, by generated requests, wrong ones too."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from orchestrator.api.app import make_api
from schemas import codec
from tests.orchestrator.api.lab import TOKEN, offline_settings, running

load_all_checks()

# Pydantic reads "5" as 5, from this client as from those of the topics; and a valid request may meet a task
# id that is another's, which the document cannot say.
LENIENT = [negative_data_rejection, positive_data_acceptance]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server in a thread of its own, with a log in memory."""
    found: list[str] = []
    up, over = threading.Event(), threading.Event()

    async def serve() -> None:
        async with running() as client:
            found.append(client.address)
            up.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert up.wait(20)
    yield found[0]
    over.set()
    thread.join(20)


DOCUMENT = codec.loads(make_api(offline_settings()).document())
OPERATIONS = [
    (method.upper(), path)
    for path, operations in DOCUMENT["paths"].items()
    for method in operations
    if path != "/api/v1/events"  # which has no end
]


@pytest.mark.parametrize(
    ("method", "path"), OPERATIONS, ids=[f"{method} {path}" for method, path in OPERATIONS]
)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["valid", "wrong"])
def test_what_is_answered_is_what_the_document_says(
    address: str, method: str, path: str, mode: GenerationMode
) -> None:
    described = schemathesis.openapi.from_url(f"{address}/openapi.json")
    operation = described[path][method]

    @given(operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=15,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate),
    )
    def answers(case: schemathesis.Case) -> None:
        answer = case.call(headers={"Authorization": f"Bearer {TOKEN}"})
        assert answer.status_code < 500, answer.text
        assert "Traceback" not in answer.text
        case.validate_response(answer, excluded_checks=[*LENIENT, *_of_tokens()])

    try:
        answers()
    except Unsatisfiable:  # there is nothing that could be wrong with it
        assert mode is GenerationMode.NEGATIVE


def _of_tokens() -> list[object]:
    """Checks that send requests without a token by themselves; our own tests do."""
    with suppress(KeyError):
        return [CHECKS.get_one("ignored_auth")]
    return []


def test_every_operation_is_described_with_its_refusals() -> None:
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            answers = operation["responses"]
            assert operation.get("summary") or operation.get("description"), path
            assert "application/problem+json" in answers["401"]["content"], path
            if method == "post":
                assert "example" in operation["requestBody"]["content"]["application/json"], path
    assert DOCUMENT["security"] == [{"token": []}]
