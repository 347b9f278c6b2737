"""Names, and where each object lies. A change here is a new format."""

import pytest

from tunewright.registry.errors import BadReference
from tunewright.registry.versions import layout


def test_the_layout_is_frozen():
    assert layout.blob_key("sha256:" + "a" * 64) == "blobs/sha256/" + "a" * 64
    assert layout.version_key("reviews", 7) == "models/reviews/versions/00000000000000000007.json"
    assert layout.run_key("reviews", "run-1") == "models/reviews/runs/run-1.json"
    assert layout.move_key("reviews", "production", 2) == "models/reviews/aliases/production/00000000000000000002.json"


@pytest.mark.parametrize("name", ["a", "7", "reviews", "a.b-c_d", "a" * 64])
def test_usual_names_are_accepted(name):
    assert layout.check_name(name) == layout.check_alias(name) == name


@pytest.mark.parametrize("name", ["", "Reviews", "-a", "a-", "a/b", "..", "a b", "a" * 65, "ä", "a\n", ".a"])
def test_other_names_are_refused_with_the_rule(name):
    with pytest.raises(BadReference) as error:
        layout.check_name(name)
    assert str(error.value) == (
        f"{name!r} is not a model name; expected 1 to 64 of a-z, 0-9, '.', '_', '-', "
        "the first and last a letter or digit, as in 'reviews'"
    )
    with pytest.raises(BadReference, match="is not an alias; expected 1 to 64"):
        layout.check_alias(name)


def test_latest_is_no_alias_that_can_be_moved():
    with pytest.raises(BadReference, match="'latest' is reserved: it is always the highest version; choose another"):
        layout.check_alias("latest")


@pytest.mark.parametrize("run_id", ["", "../x", "a/b", "-a", "a" * 129, "a b"])
def test_a_run_id_cannot_leave_its_folder(run_id):
    with pytest.raises(BadReference, match="is not a run id; expected 1 to 128 of A-Z"):
        layout.run_key("reviews", run_id)


@pytest.mark.parametrize("digest", ["", "sha256:", "sha256:" + "A" * 64, "sha512:" + "a" * 128, "a" * 64])
def test_only_sha256_digests_are_known(digest):
    with pytest.raises(BadReference, match="is not a digest; expected 'sha256:' and 64 of 0-9, a-f"):
        layout.blob_key(digest)
