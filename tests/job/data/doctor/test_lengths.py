from tunewright.job.data.doctor.lengths import foreign, measure, outlying


def test_long_short_and_odd_texts_are_outliers(side, texts):
    rows = [*texts(60), "x", " ".join(texts(9)) * 3, "#### ---- ==== **** $$$$ %%%% ++++ ////"]
    train = side([(text, "a") for text in rows])
    (found,) = outlying(train, measure(train))
    assert found.text == (
        "3 of 63 train rows are outliers: 1 far longer than the others, 1 far shorter, 1 hardly letters or digits"
    )
    assert [one.line for one in found.examples] == [62, 63, 64]


def test_rows_in_another_script_are_told(side, texts):
    train = side([(text, "a") for text in [*texts(60), "Это другой язык", "这是中文"]])
    (found,) = foreign(train, measure(train))
    assert found.text == (
        "2 of 62 train rows are written in another script than the latin of the others (cyrillic 1.61%, chinese 1.61%)"
    )
    assert [one.line for one in found.examples] == [62, 63]


def test_a_side_of_two_languages_is_no_finding(side, texts):
    train = side([(text, "a") for text in [*texts(30), *["Это другой язык"] * 30]])
    assert list(foreign(train, measure(train))) == []
    assert measure(train).shares == {"latin": 0.5, "cyrillic": 0.5}


def test_clean_texts_have_no_finding(side, texts):
    train = side([(text, "a") for text in texts(60)])
    found = measure(train)
    assert [*outlying(train, found), *foreign(train, found)] == []
