"""The page's examples run as shown, in order, in one namespace."""

import re

from tests.docs.pages import ROOT


def test_the_examples_of_the_page_run():
    page = (ROOT / "docs" / "portfolio.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    namespace: dict = {}
    for block in blocks:
        exec(compile(block, "docs/portfolio.md", "exec"), namespace)
    assert (len(blocks), "frontier" in namespace, "answer" in namespace) == (2, True, True)
