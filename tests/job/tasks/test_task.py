from tunewright.job.tasks import TASKS
from tunewright.serving.tasks import TASKS as ANSWERED


def test_every_task_that_is_taught_can_be_answered():
    assert set(TASKS) == set(ANSWERED)


def test_a_task_is_two_files_of_one_name():
    names = {name.replace("-", "_") for name in TASKS}
    assert names == {module.__name__.rsplit(".", 1)[1] for module in ANSWERED.values()}
