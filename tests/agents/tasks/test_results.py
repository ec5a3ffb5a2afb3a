"""What an agent returns becomes plain JSON, and a path never leaves its folder."""

from __future__ import annotations

import dataclasses
import json
import math
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from agents.tasks.results import FOLDER, encode, inside, result_file, store, to_plain
from schemas.errors import TaskError

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def without_nan(value):
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [without_nan(inner) for inner in value]
    if isinstance(value, dict):
        return {key: without_nan(inner) for key, inner in value.items()}
    return value


@given(PLAIN)
@settings(max_examples=150, deadline=None)
def test_plain_data_comes_through_as_it_is_but_for_nan(value):
    assert json.loads(encode(value)) == without_nan(value)


NO_JSON = ("object", "bytes", "large", "complex", "surrogate")


class Fit(BaseModel):
    slope: float
    day: date


@dataclasses.dataclass
class Point:
    x: float
    y: np.ndarray


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.float64(0.5), 0.5),
        (np.float32("nan"), None),
        (np.int64(3), 3),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array([1.0, np.nan, np.inf]), [1.0, None, None]),
        (np.bool_(True), True),
        ((1, (2,)), [1, [2]]),
        ({1: {"a"}}, {"1": ["a"]}),
        (Fit(slope=float("inf"), day=date(2026, 1, 5)), {"slope": None, "day": "2026-01-05"}),
        (Point(1.0, np.arange(2)), {"x": 1.0, "y": [0, 1]}),
        (pa.array([1, None]), [1, None]),
    ],
)
def test_what_agents_return_has_its_json(value, plain):
    assert to_plain(value) == plain


@pytest.mark.parametrize("value", [object(), b"bytes", 2**70, {"deep": [1j]}, "\ud800"], ids=NO_JSON)
def test_what_has_no_json_is_said(value):
    with pytest.raises(TaskError, match="the result holds what has no JSON") as error:
        encode(value)
    assert error.value.code == "TASK_ERROR"


@given(
    st.text(min_size=1, max_size=60) | st.lists(st.sampled_from(["..", ".", "a", "/", "\x00"])).map("/".join)
)
@settings(max_examples=150, deadline=None)
def test_no_name_leads_out_of_the_folder(name):
    folder = Path("/srv/tapestream-data")
    refusal = None
    try:
        found = inside(folder, name, field="data.file")
    except TaskError as exc:
        refusal = (exc.code, exc.field)
    if refusal is None:
        assert found != folder
        assert found.is_relative_to(folder)
    else:
        assert refusal == ("BAD_REQUEST", "data.file")


@pytest.mark.parametrize("task_id", ["..", ".", "a:b@c", "-"])
def test_every_task_id_has_a_file_of_its_own_in_the_folder(tmp_path, task_id):
    assert result_file(tmp_path, task_id, 2) == tmp_path / FOLDER / f"{task_id}.2.parquet"


def test_a_disk_that_refuses_is_said_and_leaves_no_draft(tmp_path):
    (tmp_path / FOLDER).write_text("a file where the folder should be")
    with pytest.raises(TaskError, match=r"the result cannot be written: [A-Z][a-z ]+ \(") as error:
        store(pa.table({"n": range(1_000)}), tmp_path, "t", 1, inline_bytes=100)
    assert (error.value.code, len(list(tmp_path.rglob("*")))) == ("TASK_ERROR", 1)


def test_records_of_no_common_shape_are_no_rows(tmp_path):
    mixed = [{"a": 1}, {"a": "text"}] * 100
    with pytest.raises(TaskError) as error:
        store(mixed, tmp_path, "t", 1, inline_bytes=100)
    assert error.value.code == "RESULT_TOO_LARGE"


def test_a_summary_that_is_itself_large_is_refused(tmp_path):
    from agents.tasks.results import TaskRows

    rows = TaskRows(pa.table({"n": range(1_000)}), {"notes": "x" * 200})
    with pytest.raises(TaskError) as error:
        store(rows, tmp_path, "t", 1, inline_bytes=100)
    assert (error.value.code, list(tmp_path.iterdir())) == ("RESULT_TOO_LARGE", [])
