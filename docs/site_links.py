"""A hook of mkdocs: links to files outside docs/ work in the repository, and are mended for the site.

They lead to the repository's web pages where `DOCS_REPOSITORY` says its address, and are plain text elsewhere.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(((?:\.\./)+[^)#]*)(#[^)]*)?\)")


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Replace a page's links to files outside docs/. Raises: FileNotFoundError for one that leads nowhere."""

    def replace(match: re.Match[str]) -> str:
        target = Path(os.path.normpath(DOCS / Path(page.file.src_uri).parent / match[2]))
        if target.is_relative_to(DOCS):
            return match[0]
        if not target.exists():
            raise FileNotFoundError(f"{page.file.src_uri}: {match[0]}")
        place = target.relative_to(DOCS.parent).as_posix()
        return f"[{match[1]}]({config.repo_url}/blob/HEAD/{place}{match[3] or ''})" if config.repo_url else match[1]

    return LINK.sub(replace, markdown)
