"""Whose turn it is, and what shares a run."""

from tunewright.serving.queue.order import Order
from tunewright.serving.queue.work import Gathered, Part, Work


def work_of(*sizes, caller=None, is_large=False):
    """A request of prepared rows of these sizes."""
    work = Work(["text"] * len(sizes), None, list, lambda outcome: None, caller, is_large=is_large)
    work.begun = len(sizes)
    for number, size in enumerate(sizes):
        work.waiting.append(Part(Gathered(work, number, None, [None], [None], 1), 0, None, size, 0.0))
    return work


def order_of(*works):
    order = Order()
    for work in works:
        order.append(work)
    return order


def turns(order, count):
    """The requests that have the next turns; each runs one part in its own."""
    taken = []
    for _ in range(count):
        work = order.take()
        work.waiting.popleft()
        order.append(work)
        taken.append(work)
    return taken


def test_requests_take_turns_however_much_each_wants():
    large, small, other = work_of(*[9] * 50), work_of(3), work_of(4, 4)
    assert turns(order_of(large, small, other), 6) == [large, small, other, large, other, large]


def test_callers_take_turns_however_many_requests_each_has():
    many = [work_of(5, 5, caller="a") for _ in range(10)]
    one = work_of(5, 5, caller="b")
    assert turns(order_of(*many, one), 4) == [many[0], one, many[1], one]


def test_a_request_that_is_over_has_no_turn():
    gone, waits = work_of(5), work_of(6)
    order = order_of(gone, waits)
    gone.give_up()
    assert order.take() is waits
    assert order.take() is None
    assert not order


def test_who_is_passed_over_keeps_its_place():
    large, small, next_one = work_of(9, is_large=True), work_of(3), work_of(4)
    order = order_of(large, small, next_one)
    assert order.take(only_small=True) is small
    assert order.take() is large


def fill(order, most):
    """A run that the next turn begins."""
    work = order.take()
    return [(part.work, part.size) for part in order.fill(work.waiting.popleft(), most)]


def test_a_run_is_filled_with_rows_of_like_length_of_whoever_waits():
    first, short, alike, longer, longest = work_of(20), work_of(17), work_of(19, 4), work_of(22), work_of(23)
    run = fill(order_of(first, short, alike, longer, longest), 120)
    assert run == [(first, 20), (alike, 19), (longer, 22)]
    assert [part.size for part in alike.waiting] == [4]


def test_a_run_stays_within_its_size():
    assert len(fill(order_of(*[work_of(10) for _ in range(20)]), 55)) == 5


def test_a_row_runs_alone_where_rows_may_not_share_runs():
    assert len(fill(order_of(work_of(10), work_of(10)), 0)) == 1


def test_small_requests_do_not_share_the_long_runs_of_large_ones():
    small, large, other = work_of(10), work_of(*[10] * 50, is_large=True), work_of(10)
    assert [work for work, _ in fill(order_of(small, large, other), 512)] == [small, other]


def test_a_part_whose_shared_run_has_failed_runs_alone():
    suspect, other = work_of(10), work_of(10)
    suspect.waiting[0].is_alone = True
    order = order_of(other, suspect)
    assert [work for work, _ in fill(order, 512)] == [other]
    assert [work for work, _ in fill(order, 512)] == [suspect]
