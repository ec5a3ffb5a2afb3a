"""The table of docs/indicators.md is the table in the code."""

from __future__ import annotations

from agents.indicators import parse
from agents.kernels.indicators import TABLE, Parameter
from agents.kernels.indicators.table import LONGEST
from tests.docs.pages import ROOT

HEAD = ["| name | what it is | of | parameters | gives | look-back |", "|---|---|---|---|---|---|"]


def shown(parameter: Parameter) -> str:
    if parameter.least < -1e30:
        bounds = "any"
    elif parameter.most == LONGEST or parameter.most > 1e30:
        bounds = f"{parameter.least:g} or more"
    else:
        bounds = f"{parameter.least:g}–{parameter.most:g}"
    return f"{parameter.name} = {parameter.default:g} ({bounds})"


def row(name: str) -> str:
    entry = TABLE[name]
    parameters = ", ".join(map(shown, entry.parameters))
    gives = ", ".join(f"`{output}`" for output in entry.outputs) if len(entry.outputs) > 1 else ""
    cells = (f"`{name}`", entry.title, " ".join(entry.inputs), parameters, gives, str(parse(name).lookback))
    return "| " + " | ".join(cells).replace("|  |", "| |").replace("|  |", "| |") + " |"


def test_the_page_has_a_row_an_indicator_as_the_code_has_it():
    page = (ROOT / "docs" / "indicators.md").read_text().splitlines()
    assert [line for line in page if line.startswith("|")] == [*HEAD, *map(row, TABLE)]
