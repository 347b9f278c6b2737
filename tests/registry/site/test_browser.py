"""The pages in a real browser: nobody is asked, nothing runs, and axe finds nothing."""

import pytest

from tunewright.registry.site.site import write_site


@pytest.mark.slow
def test_the_pages_are_quiet_alone_and_readable_by_everyone(browser, store, tmp_path):
    folder = write_site(store, tmp_path / "site", cache=tmp_path / "cache").folder
    below = "models/reviews/3"
    for path in ("index.html", "models/reviews/index.html", f"{below}/index.html", f"{below}/difference.html"):
        for width, dark in ((1280, False), (360, True)):
            address = (folder / path).as_uri()
            browser.open(address, width=width, dark=dark)
            assert [one for one in browser.said if one != ("asked", address) and "data:," not in one[1]] == []
            assert browser.run("document.documentElement.scrollWidth <= innerWidth"), (path, width)
            browser.shot(f"site-{path.replace('/', '-')}-{width}")
        assert browser.barriers() == [], path
    browser.tell("Page.navigate", url=(folder / below / "report.html").as_uri())
    browser.until("document.body?.textContent.includes('more')")
    assert any("Content Security Policy" in text for _, text in browser.said)  # its script was refused
