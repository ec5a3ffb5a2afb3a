"""The arithmetic behind the page, and the page held to it."""

import pytest

from tapestream.gpucheck import expected, record
from tapestream.shadows import ROOT

pytestmark = pytest.mark.gpu_path

PLAIN = expected.Card(
    clock_hz=1e9, link_bytes_s=1e9, cycles_an_instruction=1.0, dependent_loads=0, launch_s=1e-6, wait_s=7e-6
)
RECORD = {
    "tools": {"ptxas": "V1"},
    "kernels": {"sm_90": {"advance": {"instructions": 4_000, "loads": 3, "stores": 2}}},
}


def test_a_tick_takes_its_instructions_and_the_loads_that_wait():
    assert expected.tick_s(RECORD, PLAIN, 0.25) == pytest.approx(1e-6)
    slower = expected.Card(clock_hz=1e9, cycles_an_instruction=1.0, dependent_loads=2, load_cycles=500)
    assert expected.tick_s(RECORD, slower, 1.0) == pytest.approx(5e-6)


def test_a_batch_takes_as_long_as_its_busiest_symbol():
    assert expected.busiest(400, 4) == 130
    assert expected.batch(RECORD, 400, 4, PLAIN) == pytest.approx(
        {"copy": 400 * 102e-9, "launch": 10e-6, "best": 130e-6, "worst": 520e-6}
    )


def test_a_tick_is_78_bytes_there_and_24_back():
    assert expected.tick_bytes() == (78, 24)


def test_the_page_is_what_the_record_gives():
    text = (ROOT / "docs" / "gpu.md").read_text()
    assert expected.page(text, record.read()) == text


def test_a_page_without_a_place_for_a_table_is_told():
    with pytest.raises(ValueError, match="no place for kernels"):
        expected.page("# The GPU path\n", record.read())
