"""References: every form that people write, and what to say when it means nothing."""

import pytest

from tunewright.registry.errors import BadReference, CorruptObject, NotFound
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.alias import move
from tunewright.registry.versions.layout import version_key
from tunewright.registry.versions.reference import Reference, parse, resolve

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("reviews", Reference("reviews")),
        ("reviews@latest", Reference("reviews")),
        ("reviews:7", Reference("reviews", number=7)),
        ("reviews@production", Reference("reviews", alias="production")),
        (f"reviews@{DIGEST}", Reference("reviews", digest=DIGEST)),
        ("models:/reviews", Reference("reviews")),
        ("models:/reviews/7", Reference("reviews", number=7)),
        ("models:/reviews/latest", Reference("reviews")),
        ("models:/reviews@production", Reference("reviews", alias="production")),
    ],
)
def test_each_form_is_understood(text, reference):
    assert parse(text) == reference
    assert parse(str(reference)) == reference


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "'' is not a model name"),
        ("Reviews:7", "'Reviews' is not a model name"),
        ("reviews:", "'' is not a version number (1, 2, 3 ...); expected name, name:7, name@alias"),
        ("reviews:0", "'0' is not a version number"),
        ("reviews:07", "'07' is not a version number"),
        ("reviews:v7", "'v7' is not a version number"),
        ("reviews:" + "9" * 30, "is not a version number"),
        ("reviews@", "'reviews@' ends where an alias should stand; expected name, name:7"),
        ("reviews@Prod", "'Prod' is not an alias"),
        ("reviews@sha256:12", "'sha256:12' is not a digest; expected 'sha256:' and 64"),
        ("models:reviews/7", "'models:reviews/7' is not a reference; expected name, name:7"),
        ("models:/", "is not a reference"),
        ("models:/reviews/production", "'production' is not a version number"),
        ("models:/a/b/7", "'b/7' is not a version number"),
        ("../secrets", "'../secrets' is not a model name"),
    ],
)
def test_what_is_no_reference_is_refused(text, sentence):
    with pytest.raises(BadReference) as error:
        parse(text)
    assert sentence in str(error.value)


def test_each_form_finds_its_version(store, publish_version):
    first, second = publish_version(store, "run-1"), publish_version(store, "run-2", name="reviews")
    move(store, "reviews", "production", 1)
    assert resolve(store, "reviews") == resolve(store, "models:/reviews/latest") == second
    assert resolve(store, "reviews:1") == resolve(store, "reviews@production") == first
    assert resolve(store, f"reviews@{second.digest}") == first  # the same bytes, which the alias holds


def test_what_is_not_there_is_said_with_what_is(store, publish_version):
    with pytest.raises(NotFound) as error:
        resolve(store, "reviews")
    assert str(error.value) == f"there is no model 'reviews' in {store.uri}; it holds no models yet"
    publish_version(store, "run-1")
    publish_version(store, "run-2")
    move(store, "reviews", "production", 1)
    for text, sentence in {
        "other": f"there is no model 'other' in {store.uri}; there are reviews",
        "other@production": f"there is no model 'other' in {store.uri}; there are reviews",
        "reviews:3": f"there is no version 3 of 'reviews' in {store.uri}; there is 1 to 2",
        "reviews@staging": f"there is no alias 'staging' of 'reviews' in {store.uri}; there is production (1)",
        f"reviews@{DIGEST}": f"no version of 'reviews' in {store.uri} has the digest {DIGEST}; it has 2 versions",
    }.items():
        with pytest.raises(NotFound) as error:
            resolve(store, text)
        assert str(error.value) == sentence


def test_a_digest_of_several_versions_means_the_promoted_one_else_the_lowest(store, publish_version):
    first, second, third = (publish_version(store, f"run-{number}") for number in (1, 2, 3))
    assert first.digest == second.digest == third.digest
    assert resolve(store, f"reviews@{third.digest}") == first
    move(store, "reviews", "production", 2)
    assert resolve(store, f"reviews@{third.digest}") == second


def test_a_digest_is_found_beside_records_that_cannot_be_read(store, publish_version, write):
    version = publish_version(store, "run-1")
    store.upload(version_key("reviews", 2), write("damaged", b"rubbish"))
    move(store, "reviews", "production", 1)
    assert resolve(store, f"reviews@{version.digest}") == version
    with pytest.raises(CorruptObject) as error:
        resolve(store, f"reviews@{DIGEST}")
    assert str(error.value).startswith(
        f"no version of 'reviews' that can be read has the digest {DIGEST}, and '{version_key('reviews', 2)}' in "
    )


def test_a_resolved_version_is_itself_and_asks_nothing(store, publish_version, tmp_path):
    version = publish_version(store, "run-1")
    assert resolve(open_store(str(tmp_path / "elsewhere")), version) is version
