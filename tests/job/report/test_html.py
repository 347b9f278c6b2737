import re
from html.parser import HTMLParser

import pytest

from tunewright.job.report.html import Number, Quoted, Section, facts, figure, figures, joined, page, paragraph, table
from tunewright.job.report.svg import Axis, Series, lines

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&lt;b&gt;\u202egnp\x00</style></title>\ud800"


class Tags(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self):
        super().__init__()
        self.found, self.said = [], []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.said.append(data)


def read(text):
    tags = Tags()
    tags.feed(text)
    return tags


@pytest.fixture
def hostile_page():
    axis = Axis(HOSTILE, 0, 1)
    drawn = lines(HOSTILE, HOSTILE, [Series(HOSTILE, [0, 1], [0, 1]), Series("b", [0], [1])], axis, axis)
    behind = table(HOSTILE, [HOSTILE, HOSTILE], [[HOSTILE, Quoted(HOSTILE)], [Number(HOSTILE), HOSTILE]])
    content = joined([paragraph(HOSTILE), facts([(HOSTILE, HOSTILE)]), figures([figure(HOSTILE, drawn, behind)])])
    return page(HOSTILE, HOSTILE, [Section(HOSTILE, content)])


def test_a_hostile_text_is_text_wherever_it_stands(hostile_page):
    tags = read(hostile_page)
    assert not {"script", "img", "b"} & {tag for tag, _ in tags.found}
    assert not [name for _, attributes in tags.found for name in attributes if name.startswith("on")]
    assert not re.search("[\x00\u202e\ud800]", hostile_page)
    assert "".join(tags.said).count("<script>alert(1)</script>") >= 10
    hostile_page.encode()


def test_a_long_name_in_a_table_may_be_broken_after_its_parts():
    drawn = table("Rows", ["label", "answered"], [["card_arrival", "my_card"], ["a", Quoted("x_y")]])
    assert '<th scope="row">card_<wbr>arrival</th><td>my_<wbr>card</td>' in drawn
    assert "<bdi>x_y</bdi>" in drawn


def test_a_page_asks_nobody_for_anything_and_says_so_to_the_browser(hostile_page):
    tags = read(hostile_page)
    addresses = [value for _, attributes in tags.found for name, value in attributes.items() if name in ("src", "href")]
    assert all(address.startswith(("#", "data:")) for address in addresses)
    policy = next(attributes["content"] for _, attributes in tags.found if "http-equiv" in attributes)
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:")
    assert not re.search(r"url\(|@import", hostile_page)


def test_every_name_that_something_is_labelled_by_is_there_once(hostile_page):
    attributes = [one for _, one in read(hostile_page).found]
    names = [one["id"] for one in attributes if "id" in one]
    assert len(names) == len(set(names))
    asked = {name for one in attributes for name in one.get("aria-labelledby", "").split()}
    assert asked
    assert asked <= set(names)


def test_a_table_names_its_columns_and_rows_and_keeps_numbers_on_the_right():
    text = table("By label", ["label", "F1"], [["a & b", Number("0.5")], ["c", Number("0.25")]])
    assert "<caption>By label</caption>" in text
    assert '<th scope="col">label</th><th scope="col" class="number">F1</th>' in text
    assert '<tr><th scope="row">a &amp; b</th><td class="number">0.5</td></tr>' in text


def test_a_folded_table_has_its_caption_to_open_it():
    text = table("Numbers of the plot", ["x"], [[Number("1")]], folded=True)
    assert text.startswith("<details><summary>Numbers of the plot</summary>")
    assert "<caption>" not in text


def test_the_joiners_of_persian_stay_and_lines_become_one():
    assert paragraph("می\u200cخواهم\n\n  this") == "<p>می\u200cخواهم this</p>"
