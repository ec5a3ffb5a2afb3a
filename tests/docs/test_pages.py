import inspect
import re

import pytest

from schemas import errors
from schemas.features import BAR_SCHEMA, FEATURE_SCHEMA
from schemas.settings import Settings
from streams.topics import TOPICS
from tapestream.cli import COMMANDS
from tapestream.reference import documents
from tests.docs.pages import PAGES, ROOT, anchors, links


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    for path, anchor in links(page):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{path} is not there"
        if anchor:
            assert anchor in anchors(target), f"{path} has no #{anchor}"


def test_the_generated_documents_are_up_to_date():
    stale = [path for path, text in documents().items() if (ROOT / path).read_text() != text]
    assert stale == [], "make docs"


def test_every_command_is_described():
    page = (ROOT / "docs" / "cli.md").read_text()
    assert [row.name for row in COMMANDS if f"\n## tapestream {row.name}\n" not in page] == []


def test_every_exit_code_is_described():
    page = (ROOT / "docs" / "cli.md").read_text()
    codes = {
        error.exit_code
        for _, error in inspect.getmembers(errors, inspect.isclass)
        if hasattr(error, "exit_code")
    }
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    assert listed == codes | {0, 2, 130}


def test_every_setting_is_described_by_its_own_words():
    page = (ROOT / "docs" / "settings.md").read_text()
    assert [name for name in Settings.model_fields if f"`TAPESTREAM_{name.upper()}`" not in page] == []
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_every_topic_is_described():
    page = (ROOT / "docs" / "topics.md").read_text()
    assert [row.name for row in TOPICS if f"| `{row.name}` |" not in page] == []


def test_the_features_page_describes_exactly_the_columns_there_are():
    rows = (ROOT / "docs" / "features.md").read_text().splitlines()
    first_cells = [row.split("|")[1] for row in rows if row.startswith("| `")]
    described = {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)}
    assert described == {*FEATURE_SCHEMA.names, *BAR_SCHEMA.names}


def test_variables_that_the_pages_name_are_settings():
    others = {"TAPESTREAM_DEBUG", "TAPESTREAM_TEST_KAFKA", "TAPESTREAM_TEST_DOCKER"}
    known = {f"TAPESTREAM_{name.upper()}" for name in Settings.model_fields} | others
    named = {name for page in PAGES for name in re.findall(r"\bTAPESTREAM_[A-Z_]*[A-Z]", page.read_text())}
    assert named - known == set()
