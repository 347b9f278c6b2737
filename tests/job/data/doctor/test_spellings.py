from tunewright.job.data.doctor.spellings import alike, respelled, spellings


def test_labels_that_are_written_in_two_ways_are_told_with_the_rows_of_the_rarer(side, texts):
    labels = ["Spam", "ham", "spam", "Spam", "S\uff50am", "ham"]
    (found,) = spellings(side(list(zip(texts(6), labels, strict=True))))
    assert found.text == (
        "the labels 'Spam' (2 rows) and 'S\uff50am' (1) differ only in capitals, separators or widths (so do 1 more), "
        "and are learned as two"
    )
    assert (found.severity, found.rows, found.share) == ("warning", 2, 2 / 6)
    assert [example.line for example in found.examples] == [4, 6]


def test_separators_between_words_are_a_way_of_writing_and_signs_are_not():
    different = dict.fromkeys(["C", "C++", "C#", "1", "-1", "12", "1-2"], 5)
    spelled = {"not_good": 9, "not good": 3, "Not-Good": 1}
    assert respelled(spelled | different) == {"not good": "not_good", "Not-Good": "not_good"}


def test_labels_that_are_told_hold_no_personal_value():
    counts = {"a@example.org": 5, "A@example.org": 2}
    assert "@" not in alike(counts, respelled(counts))


def test_different_labels_are_not_told(side, texts):
    assert list(spellings(side(list(zip(texts(4), "abab", strict=True))))) == []
