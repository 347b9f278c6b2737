from tunewright.job.commands.doctor import column_facts
from tunewright.job.commands.guess.profile import columns_of


def test_lists_of_words_are_to_be_joined_only_where_the_task_does_not_read_them():
    words = [["the", "river", str(number)] for number in range(9)]
    (tokens, others) = columns_of({"tokens": row, "others": row} for row in words)
    assert column_facts(tokens, "tokens").holds == "lists of texts"
    assert column_facts(others, "").holds == "lists of texts, which are not read: join them"
