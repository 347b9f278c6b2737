"""`tunewright submit --nodes`: one job of several pods, which nobody else reaches."""

import json
from pathlib import Path

import pytest

from tunewright.job.cluster.rendered import submission
from tunewright.job.errors import SettingsError
from tunewright.job.ranks import is_to_start

ROOT = Path(__file__).parents[3]
GROUP = "tunewright.org/group"


def variables(job):
    [container] = job["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one.get("value") for one in container["env"]}


@pytest.mark.parametrize("overlay", ["the package's", "overlays/gpu/job"])
def test_several_pods_learn_together_and_no_other_job_reaches_them(cluster, say, settings, overlay):
    words = [] if overlay == "the package's" else ["--overlay", str(ROOT / "k8s" / overlay), "--namespace", "team-a"]
    code, _, told = say("submit", "--config", settings, "--nodes", "3", "--detach", *words)
    assert code == 0, told
    job = cluster.job()
    name, spec = job["metadata"]["name"], job["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"], spec["backoffLimit"]) == (
        "Indexed",
        3,
        3,
        9,
    )
    given = variables(job)
    assert is_to_start({key: value for key, value in given.items() if value})
    assert (given["PET_NNODES"], given["PET_MASTER_ADDR"]) == ("3", "$(SUBMISSION)-0.job")
    assert spec["template"]["metadata"]["labels"][GROUP] == name
    [own] = [one for one in cluster.of_kind("NetworkPolicy").values() if one["metadata"]["name"] == f"{name}-nodes"]
    assert own["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]
    ends = [own["spec"], own["spec"]["ingress"][0]["from"][0], own["spec"]["egress"][0]["to"][0]]
    assert [end["podSelector"]["matchLabels"] for end in ends] == [{GROUP: name}] * 3
    assert [one["metadata"]["name"] for one in cluster.of_kind("Service").values()] == ["job"]
    assert say("cancel", name)[0] == 0
    assert [one["metadata"]["name"] for one in cluster.of_kind("NetworkPolicy").values()] == ["job"]


def test_another_number_of_pods_is_another_job_and_again_is_the_same(cluster, say, settings):
    names = []
    for number in ("2", "3", "3"):
        _, written, _ = say("submit", "--config", settings, "--nodes", number, "--dry-run")
        names += [one["metadata"]["name"] for one in json.loads(written)["items"] if one["kind"] == "Job"]
    assert names[0] != names[1] == names[2]


def test_a_group_of_one_is_refused(cluster, say, settings):
    code, _, told = say("submit", "--config", settings, "--nodes", "1")
    sentence = "error: --nodes is 1; expected a whole number from 2, or leave it out for one pod\n"
    assert (code, told, cluster.asked) == (2, sentence, [])


def test_a_job_without_the_component_cannot_be_several_pods(rendered):
    with pytest.raises(
        SettingsError, match="--nodes is 2, and the overlay's Job is not that of components/nodes; add that"
    ):
        submission(rendered, model="reviews", settings="model_name: reviews", nodes=2)
