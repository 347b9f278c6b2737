"""Bytes to text: what is accepted, and where the first fault stands."""

import gzip
import io

import pytest

from tunewright.job.data.readers.lines import LINE_LIMIT, lines, open_data, pieces
from tunewright.job.errors import DataError


def read(data, how=lines, **options):
    return list(how(io.BufferedReader(io.BytesIO(data)), "a.csv", **options))


def fault(data, how=lines, **options):
    with pytest.raises(DataError) as caught:
        read(data, how, **options)
    return str(caught.value)


def test_lines_keep_their_ends():
    assert read(b"a\r\nb\n\nc") == ["a\r\n", "b\n", "\n", "c"]


def test_a_byte_order_mark_is_dropped_where_a_file_begins_joined_ones_too():
    text = "\ufeffa,b\n\ufeffc\ufeff\n"
    assert read(text.encode()) == ["a,b\n", "c\ufeff\n"] == read(text.encode("utf-16-le"))
    assert "".join(read(text.encode(), pieces)) == "a,b\n\ufeffc\ufeff\n"


@pytest.mark.parametrize("how", [lines, pieces])
def test_a_byte_that_is_not_utf8_is_named_with_line_and_offset(how):
    assert fault("text\nnaïve\ncaf".encode() + b"\xe9\n", how) == (
        "a.csv, line 3: byte 0xe9 at offset 15 of the file is not UTF-8; "
        "as windows-1252 it reads 'café': if that is right, add `encoding: windows-1252` under data:"
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


@pytest.mark.parametrize("how", [lines, pieces])
def test_zeros_are_no_text_in_any_encoding(how):
    assert fault("text\nfine\n".encode("utf-32-le"), how, encoding="utf-16-le") == (
        "a.csv, line 1 holds a NUL character: this is not utf-16-le; data.encoding says how the file is written"
    )


def test_a_late_fault_is_found_where_it_stands_in_the_file():
    data = "€\n".encode() * 600_000 + b"\x80"
    assert fault(data, pieces).startswith("a.csv, line 600001: byte 0x80 at offset 2,400,000 of the file is not UTF-8")


@pytest.mark.parametrize("how", [lines, pieces])
@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_other_encodings_are_told_by_their_mark(how, codec, capsys):
    assert "".join(read("\ufefftext,é\r\n😀\n".encode(codec), how)) == "text,é\r\n😀\n"
    assert f"a.csv: read as {codec[:6].upper()}, as its first bytes say" in capsys.readouterr().out


@pytest.mark.parametrize("how", [lines, pieces])
@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_they_are_named_without_a_mark_and_can_be_said(how, codec):
    data = "text,label\nfine,good\n".encode(codec)
    assert fault(data, how) == (
        f"a.csv, line 1 holds a NUL byte: it looks like {codec[:6].upper()}; add `encoding: {codec}` under data:"
    )
    assert "".join(read(data, how, encoding=codec)) == "text,label\nfine,good\n"


@pytest.mark.parametrize("how", [lines, pieces])
@pytest.mark.parametrize(
    ("codec", "text"), [("windows-1252", "“café”"), ("latin-1", "caf\xe9\x81"), ("cp1251", "кафе")]
)
def test_the_advice_for_another_encoding_makes_the_file_readable(how, codec, text):
    data = f"a\n{text}\n".encode(codec)
    said = fault(data, how)
    assert said.startswith("a.csv, line 2: byte 0x")
    advised = said.split("`encoding: ")[1].split("`")[0]
    assert advised == ("latin-1" if codec == "latin-1" else "windows-1252")
    assert "".join(read(data, how, encoding=codec)) == f"a\n{text}\n"


def test_a_wrong_encoding_is_a_sentence():
    assert fault("café".encode("latin-1"), encoding="ascii") == (
        "a.csv, after line 0: this is not ascii (ordinal not in range(128)); data.encoding says how the file is written"
    )


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
        "bomb.csv.gz unpacks to more than 2,097,152 bytes; "
        "if that is right, raise data.max_expansion or unpack it first"
    )


def test_the_bound_can_be_raised(write):
    path = write("a.csv.gz", gzip.compress(b"a\n" * (40 * 2**20)))
    with open_data(path, "a.csv.gz", 5000) as file:
        assert sum(len(part) for part in iter(lambda: file.read(2**20), b"")) == 80 * 2**20


def test_a_reading_that_ends_after_the_file_was_closed_is_quiet():
    file = io.BufferedReader(io.BytesIO(b"caf\xe9\nb\n"))
    reading = lines(file, "a.csv", encoding="latin-1")
    assert next(reading) == "caf\xe9\n"
    file.close()
    reading.close()  # raises what the generator raises


def test_utf16_behind_utf8_is_told_as_such():
    data = b"a,b\n" + "\ufeffc,d\n".encode("utf-16-le")
    assert fault(data) == (
        "a.csv, line 2: byte 0xff at offset 4 of the file is not UTF-8; UTF-16 begins here, as where files of two "
        "encodings were joined"
    )
    assert fault(b"a\xffb\0\n").endswith("is not UTF-8; data.encoding says how the file is written")
