"""What the site has besides docs/: the papers at the top of the repository, and a place for each decision."""

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAPERS = ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
_LINK_OUT = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+[^)\s]+)\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill the two parts of the navigation that grow by themselves."""
    decisions = sorted(f"decisions/{path.name}" for path in (ROOT / "docs" / "decisions").glob("*.md"))
    for part in config.nav or []:
        part.update({"Decisions": decisions} if "Decisions" in part else {})
        part.update({"The project": list(PAPERS)} if "The project" in part else {})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Bring the papers, which link to pages as docs/...; in the site these are beside them."""
    for name in PAPERS:
        text = (ROOT / name).read_text()
        files.append(File.generated(config, name, content=text.replace("](docs/", "](")))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: object) -> str:
    """A link out of docs/ leads to the paper in the site; to code, which the site has not, it is its words alone."""
    folder = (ROOT / "docs" / page.file.src_uri).parent

    def led(link: re.Match[str]) -> str:
        words, target = link.groups()
        inside = os.path.relpath(folder / target, ROOT)
        if inside in PAPERS:
            return f"[{words}]({os.path.relpath(ROOT / 'docs' / inside, folder)})"
        return link.group() if inside.startswith("docs/") or not (ROOT / inside).exists() else words

    return _LINK_OUT.sub(led, markdown)
