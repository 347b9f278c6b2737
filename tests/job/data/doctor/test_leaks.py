from tunewright.job.data.doctor.leaks import leaked


def test_a_label_that_is_written_in_its_texts_leaks(side, texts):
    rows = [(f"[{('good', 'bad')[at % 2]}] {text}", ("Good", "bad")[at % 2]) for at, text in enumerate(texts(80))]
    one, other = leaked(side(rows))
    assert one.severity == "serious"
    assert one.text == (
        "the label 'Good' is written in the text of 40 of its 40 train rows: what is to be learned can be read off"
    )
    assert (one.rows, one.share, [example.line for example in other.examples]) == (40, 0.5, [3, 5, 7, 9, 11])


def test_a_word_that_only_one_label_has_leaks(side, texts):
    rows = [(text + " ref7" * (at % 2), "ab"[at % 2]) for at, text in enumerate(texts(80))]
    (found,) = leaked(side(rows))
    assert found.text == (
        "the word 'ref7' stands in 40 of the 40 train rows of 'b', and in 0 others: what is to be learned can be read "
        "off"
    )


def test_a_number_that_stands_in_the_text_leaks(side, texts):
    rows = [(f"{text} costs {at / 4:g}", at / 4) for at, text in enumerate(texts(40))]
    (found,) = leaked(side(rows))
    assert found.text == (
        "40 of 40 train rows have the number to be learned in their text: what is to be learned can be read off"
    )


def test_a_label_that_is_personal_is_not_shown(side, texts):
    names = ("a@example.org", "b@example.org")
    rows = [(f"{text} {names[at % 2]}", names[at % 2]) for at, text in enumerate(texts(80))]
    found = list(leaked(side(rows)))
    assert found
    assert "@" not in "".join(one.text for one in found)


def test_words_that_only_tend_to_a_label_do_not_leak(side, texts):
    rows = [(text + " nice" * (at % 3 == 1), "ab"[at % 2]) for at, text in enumerate(texts(80))]
    assert list(leaked(side(rows))) == []
