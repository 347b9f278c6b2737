"""A shadow: asked what the others are asked, compared, and never in a caller's way."""

import asyncio
import time

from tunewright.serving.errors import BundleError
from tunewright.serving.live.shadow import Comparison, Mirror, Question
from tunewright.serving.watch.meters import Meters


def shadowed(make_house, reviews, second, **options):
    made = make_house("reviews@production", shadow="reviews:2", **options)
    made.publish(reviews)
    made.publish(second, alias=None)
    made.follower.bring_all()
    return made


def wait_for(client, count):
    for _ in range(1_000):
        said = client.get("/models/reviews").json()["shadow"]
        if said["compared"] + said["dropped"] + said["failed"] >= count:
            return said
        time.sleep(0.01)
    raise AssertionError(f"it did not happen: {said}")


def test_answers_are_compared_and_only_the_first_version_is_heard(make_house, reviews, second, ask):
    made = shadowed(make_house, reviews, second)
    with made.served() as client:
        assert {ask(client, text=f"great {number}") for number in range(5)} == {("reviews:1/fp32", "positive")}
        said = wait_for(client, 5)
        assert (said["version"], said["compared"], said["disagreement"]) == (2, 5, 1.0)
        assert {(one["reviews:1"], one["reviews:2"]) for one in said["examples"]} == {("positive", "good")}
        page = client.get("/metrics").text
        [line] = [line for line in page.splitlines() if line.startswith("tunewright_shadow_answers_total{")]
        assert 'agrees="false"' in line
        assert line.endswith(" 5.0")


def test_texts_are_kept_where_they_are_wanted(make_house, reviews, second, ask):
    made = shadowed(make_house, reviews, second, shadow_texts=True)
    with made.served() as client:
        ask(client, text="great lamp")
        assert wait_for(client, 1)["examples"][0]["input"] == "'great lamp'"


def test_a_share_of_the_requests_is_enough(make_house, reviews, second, ask):
    made = make_house("reviews", shadow="reviews:1=0")
    made.publish(reviews)
    made.publish(second)
    made.follower.bring_all()
    with made.served() as client:
        ask(client)
        assert client.get("/models/reviews").json()["shadow"]["compared"] == 0


def test_a_shadow_that_is_the_version_itself_is_not_asked(make_house, reviews, second, ask):
    made = shadowed(make_house, reviews, second)
    made.promote(2)
    made.step()
    with made.served() as client:
        ask(client)
        assert client.get("/models/reviews").json()["shadow"]["compared"] == 0


def question(house, comparison, again):
    model = house.models.model()
    return Question(["great"], model.main.service, [[{"label": "positive"}]], model.main.service, again, comparison)


def test_what_there_is_no_time_for_is_dropped(house):
    comparison, asked = Comparison(texts=False), []

    async def again(service):
        asked.append(service)
        return [[{"label": "positive"}]]

    async def ask_many():
        busy = 100
        mirror = Mirror(Meters(), lambda: busy)
        for _ in range(70):
            mirror.offer(question(house, comparison, again))
        await asyncio.sleep(0.1)
        assert (comparison.dropped, asked) == (6, [])
        busy = 0
        await mirror._task

    asyncio.run(ask_many())
    assert (comparison.compared, comparison.differed, len(asked)) == (64, 0, 64)


def test_a_version_that_fails_is_counted_and_troubles_nobody(house):
    comparison = Comparison(texts=False)

    async def again(service):
        raise BundleError("it broke")

    async def ask_once():
        mirror = Mirror(Meters(), lambda: 0)
        mirror.offer(question(house, comparison, again))
        await mirror._task

    asyncio.run(ask_once())
    assert (comparison.failed, comparison.compared) == (1, 0)
