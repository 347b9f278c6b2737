"""Parts of a page written by hand that are written from the code, each between two marks."""

from collections.abc import Mapping


def fill(page: str, parts: Mapping[str, str]) -> str:
    """The page with each part written anew."""
    for name, text in parts.items():
        begin, end = f"<!-- {name}: written by `make docs` -->", f"<!-- end of {name} -->"
        before, found, rest = page.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise ValueError(f"the page has no {begin} with an {end} below it")
        page = f"{before}{begin}\n{text}{end}{after}"
    return page
