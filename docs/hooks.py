"""Hooks of mkdocs: RESULTS.md is a page of the site, with its figures."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]


def on_files(files: Any, config: Any) -> None:
    """Add the figures of the results."""
    for figure in sorted((ROOT / "RESULTS").glob("*.png")):
        files.append(File.generated(config, f"RESULTS/{figure.name}", abs_src_path=str(figure)))


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Put the results in the place of their page, without links into the repository."""
    if page.file.src_uri != "results.md":
        return markdown
    text = (ROOT / "RESULTS.md").read_text()
    text = re.sub(r"\[([^]]+)\]\(configs/[^)]+\)", r"\1", text)
    text = re.sub(r'<a href="configs/[^"]+">(.+?)</a>', r"\1", text)
    # Markdown of the site needs an empty line before a list.
    text = re.sub(r"^([^*\s].*\n)(?=\* )", r"\1\n", text, flags=re.MULTILINE)
    # Tables inside of an HTML element are Markdown as well.
    return text.replace("<details>", '<details markdown="1">')
