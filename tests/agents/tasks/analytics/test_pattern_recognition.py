"""``pattern_recognition`` gives what the searches find, as rows and as pictures."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from agents import patterns
from schemas.errors import TaskError
from tests.agents.models.planted import walk
from tests.agents.tasks.analytics.asking import done, request, rows

SERIES = [walk(600, "A", 1), walk(500, "B", 2)]
TEMPLATE = {"name": "hook", "points": [1.0, 2.0, 3.0, 2.5, 2.0, 4.0], "max_distance": 1.0}


def columns_of(bars: Any) -> dict[str, Any]:
    return {name: getattr(bars, name) for name in ("open", "high", "low", "close")}


async def test_everything_that_the_searches_find_is_a_row(tmp_path: Path) -> None:
    found = await done("pattern_recognition", {"templates": [TEMPLATE], **request(*SERIES)}, tmp_path)
    counted = Counter((row["symbol"], row["finding"]) for row in rows(found))
    expected: Counter[tuple[str, str]] = Counter()
    for bars in SERIES:
        own = columns_of(bars)
        expected[bars.symbol, "shape"] = len(patterns.shapes(own))
        expected[bars.symbol, "triangle"] = len(patterns.triangles(own))
        expected[bars.symbol, "level"] = len(patterns.levels(own))
        expected[bars.symbol, "match"] = len(patterns.matches(own, TEMPLATE["points"], max_distance=1.0))
    assert counted == +expected
    assert {kind for _, kind in counted} == {"shape", "triangle", "level", "match"}
    places = [(row["symbol"], row["known_at"]) for row in rows(found)]
    assert places == sorted(places)


async def test_a_row_says_where_it_is_and_when_it_was_known(tmp_path: Path) -> None:
    found = await done("pattern_recognition", {"patterns": ["HS", "IHS"], **request(SERIES[0])}, tmp_path)
    expected = [
        {
            "symbol": "A",
            "finding": "shape",
            "kind": shape.kind,
            "known_at": shape.known_at,
            "known_ns": int(SERIES[0].ts_ns[shape.known_at]),
            "bars": list(shape.bars),
            "prices": list(shape.prices),
        }
        for shape in patterns.shapes(SERIES[0].close, ["HS", "IHS"])
    ]
    told = [{key: value for key, value in row.items() if value is not None} for row in rows(found)]
    assert (told, bool(told)) == (expected, True)


async def test_levels_and_triangles_take_options(tmp_path: Path) -> None:
    ask = {
        "patterns": ["levels", "triangles"],
        "levels": {"touches": 2, "width": 3},
        "triangles": {"touch": 0.01},
        **request(SERIES[0]),
    }
    found = rows(await done("pattern_recognition", ask, tmp_path))
    own = columns_of(SERIES[0])
    levels, triangles = patterns.levels(own, touches=2, width=3), patterns.triangles(own, touch=0.01)
    strengths = sorted(row["strength"] for row in found if row["finding"] == "level")
    assert strengths == sorted(level.strength for level in levels)
    told = [(row["apex"], row["breakout"], row["upper"]) for row in found if row["finding"] == "triangle"]
    assert told == [
        (t.apex, t.breakout, {"bar": t.upper.bar, "price": t.upper.price, "slope": t.upper.slope})
        for t in triangles
    ]


async def test_the_findings_known_last_are_drawn_beside_the_results(tmp_path: Path) -> None:
    found = await done("pattern_recognition", {"plots": 2, **request(*SERIES)}, tmp_path)
    assert [drawn["path"] for drawn in found.summary["plots"]] == ["results/t.1.0.png", "results/t.1.1.png"]
    for drawn in found.summary["plots"]:
        assert (tmp_path / drawn["path"]).read_bytes()[:4] == b"\x89PNG"
    latest = sorted(row["known_ns"] for row in rows(found))[-1]
    last = found.summary["plots"][-1]
    (bars,) = (bars for bars in SERIES if bars.symbol == last["symbol"])
    assert int(bars.ts_ns[last["known_at"]]) == latest


async def test_where_nothing_is_found_there_are_no_rows(tmp_path: Path) -> None:
    ask = {"patterns": [], "templates": [TEMPLATE | {"max_distance": 0.0}], "plots": 3, **request(SERIES[0])}
    found = await done("pattern_recognition", ask, tmp_path)
    assert (rows(found), found.summary) == ([], {"n_symbols": 1, "plots": []})


@pytest.mark.parametrize(
    ("ask", "field", "words"),
    [
        ({"patterns": ["levels", "HSS"]}, "data.patterns[1]", "HSS: there is no such pattern"),
        ({"levels": {"touches": 0}}, "data.levels", "touches must be at least 1"),
        ({"triangles": {"most": 2}}, "data.triangles", "most must be at least 5"),
        ({"triangles": {"widht": 2}}, "data.triangles.widht", "Extra inputs"),
        ({"templates": [TEMPLATE | {"top": 3}]}, "data.templates[0]", "one of them is needed"),
        ({"templates": [TEMPLATE | {"points": [1.0, 2.0]}]}, "data.templates.0.points", "at least 3 items"),
    ],
)
async def test_a_pattern_that_cannot_be_searched_is_refused_by_its_place(
    tmp_path: Path, ask: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(TaskError) as refused:
        await done("pattern_recognition", ask | request(SERIES[0]), tmp_path)
    assert (refused.value.code, refused.value.field) == ("BAD_REQUEST", field)
    assert words in refused.value.problem
    assert refused.value.remedy
