"""Pages say each thing once, lead somewhere, and name nothing but what is public."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from docs import api_page

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("experiments/*.md")])
GENERATED = {"losses.md", "api.md", "architectures.md", "tables.md", "CHANGELOG.md"}
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    wrong = []
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    assert wrong == []


def test_no_sentence_stands_in_two_places():
    places = Counter()
    for page in PAGES:
        if page.name in GENERATED:
            continue
        text = re.sub(r"^( {4}.*|\|.*|#.*)$", "", page.read_text(encoding="utf-8"), flags=re.M)
        sentences = {re.sub(r"\s+", " ", part).strip() for part in re.split(r"(?<=[.:?!])\s|\n\n|\n- ", text)}
        places.update(sentence for sentence in sentences if len(sentence) > 50)
    assert [sentence for sentence, count in places.items() if count > 1] == []


USERS = ("root", "home")
"""Folders of users, at the root of a file system."""
HOSTS = {"127.0.0.1", "arxiv.org", "docs.ray.io", "github.com", "optuna.org"}
"""Hosts that pages may link; no package index is among them."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_pages_name_neither_a_user_s_folder_nor_other_hosts_than_these(page):
    text = page.read_text(encoding="utf-8")
    assert [user for user in USERS if re.search(rf"/{user}/\w", text)] == []
    assert set(re.findall(r"://([\w.-]+)", text)) <= HOSTS
    assert "index-url" not in text


def test_the_readme_and_the_guide_for_contributors_are_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 80
    assert len((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()) <= 60


def test_every_page_is_in_the_table_of_contents_and_in_the_site():
    site, contents = (ROOT / "mkdocs.yml").read_text(), (ROOT / "docs/README.md").read_text()
    decisions = (ROOT / "docs/decisions/README.md").read_text()
    for page in ROOT.glob("docs/*.md"):
        assert page.name in site
        assert page.name in contents or page.name == "README.md", page.name
    for page in ROOT.glob("docs/decisions/0*.md"):
        assert f"]({page.name})" in decisions


def test_the_page_of_the_losses_as_a_library_is_what_the_docstrings_say():
    assert api_page.PAGE.read_text(encoding="utf-8") == api_page.page(), "run python docs/api_page.py"
