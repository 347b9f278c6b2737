"""Bytes to text: what is accepted, and where the first fault stands."""

import gzip
import io

import pytest

from job.errors import DataError
from job.lines import LINE_LIMIT, lines, open_data, pieces


def read(data, how=lines):
    return list(how(io.BytesIO(data), "a.csv"))


def fault(data, how=lines):
    with pytest.raises(DataError) as caught:
        read(data, how)
    return str(caught.value)


def test_lines_keep_their_ends():
    assert read(b"a\r\nb\n\nc") == ["a\r\n", "b\n", "\n", "c"]


@pytest.mark.parametrize("how", [lines, pieces])
def test_a_byte_order_mark_is_dropped_at_the_start_only(how):
    assert "".join(read("\ufeffa,b\n\ufeffc\n".encode(), how)) == "a,b\n\ufeffc\n"


@pytest.mark.parametrize("how", [lines, pieces])
def test_a_byte_that_is_not_utf8_is_named_with_line_and_offset(how):
    assert fault("text\nnaïve\ncaf".encode() + b"\xe9\n", how) == (
        "a.csv, line 3: byte 0xe9 at offset 15 of the file is not UTF-8; "
        "save the file as UTF-8 (it may be Windows-1252 or Latin-1)"
    )


@pytest.mark.parametrize("how", [lines, pieces])
def test_the_offset_counts_the_byte_order_mark(how):
    assert "line 1: byte 0xff at offset 4 of the file" in fault(b"\xef\xbb\xbfa\xff", how)


@pytest.mark.parametrize("how", [lines, pieces])
def test_a_character_that_is_cut_off_at_the_end_is_a_fault(how):
    assert fault("ab\n€".encode()[:-1], how).startswith("a.csv, line 2: byte 0xe2 at offset 3 of the file is not UTF-8")


def test_characters_across_the_edge_of_a_piece_stay_whole():
    text = "x" + "€" * 800_000
    parts = read(text.encode(), pieces)
    assert len(parts) > 2
    assert "".join(parts) == text


def test_a_late_fault_is_found_where_it_stands_in_the_file():
    data = "€\n".encode() * 600_000 + b"\x80"
    assert fault(data, pieces).startswith("a.csv, line 600001: byte 0x80 at offset 2,400,000 of the file is not UTF-8")


@pytest.mark.parametrize("how", [lines, pieces])
@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_utf16_is_named(how, codec):
    assert fault("\ufefftext".encode(codec), how) == "a.csv is UTF-16, not UTF-8; save it as UTF-8"


@pytest.mark.parametrize("how", [lines, pieces])
def test_a_nul_byte_is_no_text(how):
    assert fault(b"a\nb\0\n", how) == "a.csv, line 2 holds a NUL byte: this is not a text file"


def test_a_line_without_end_is_refused():
    assert fault(b"a\n" + b"x" * (LINE_LIMIT + 1)) == (
        "a.csv, line 2 is longer than 16,777,216 bytes: this is not a table"
    )


def test_gzip_is_told_by_its_bytes_not_by_the_name(write):
    path = write("a.csv", gzip.compress(b"a\nb\n"))
    with open_data(path, "a.csv", 20) as file:
        assert list(lines(file, "a.csv")) == ["a\n", "b\n"]


@pytest.mark.parametrize("spoil", [lambda data: data[:-9], lambda data: data[:20] + b"\xff" * 9 + data[29:]])
def test_damaged_gzip_is_named(write, spoil):
    path = write("a.csv.gz", spoil(gzip.compress(bytes(range(256)) * 9)))
    with pytest.raises(DataError) as caught, open_data(path, "a.csv.gz", 20) as file:
        file.read()
    assert str(caught.value).startswith("a.csv.gz: the gzip data is damaged (")
    assert str(caught.value).endswith("); copy or compress it again")


def test_a_gzip_bomb_is_refused_while_it_unpacks(write):
    path = write("bomb.csv.gz", gzip.compress(b"a\n" * (40 * 2**20)))
    with pytest.raises(DataError) as caught, open_data(path, "bomb.csv.gz", 20) as file:
        for _ in iter(lambda: file.read(2**20), b""):
            pass
    assert str(caught.value) == (
        "bomb.csv.gz unpacks to more than 67,108,864 bytes; "
        "if that is right, raise data.max_expansion or unpack it first"
    )


def test_the_bound_can_be_raised(write):
    path = write("a.csv.gz", gzip.compress(b"a\n" * (40 * 2**20)))
    with open_data(path, "a.csv.gz", 5000) as file:
        assert sum(len(part) for part in iter(lambda: file.read(2**20), b"")) == 80 * 2**20
