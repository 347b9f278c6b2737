"""What the site has besides docs/: the papers at the top of the repository, and a place for each decision."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAPERS = ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
_TO_A_PAPER = re.compile(rf"\]\(((?:\.\./)*)\.\./({'|'.join(map(re.escape, PAPERS))})")


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


def on_page_markdown(markdown: str, **_: object) -> str:
    """A link out of docs/ to a paper leads to where the site has it."""
    return _TO_A_PAPER.sub(r"](\1\2", markdown)
