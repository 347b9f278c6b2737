"""`tunewright submit`: what is created under which name, and what is left alone."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tunewright.job.cluster.create import create
from tunewright.job.cluster.kubectl import ClusterError
from tunewright.job.cluster.rendered import submission
from tunewright.job.errors import SettingsError

KUBECTLS = os.environ.get("TUNEWRIGHT_KUBECTLS", "kubectl").split(":")
ROOT = Path(__file__).parents[3]
RUN = "tunewright.org/run"


def variables(job):
    [container] = job["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one for one in container["env"]}


@pytest.mark.parametrize("program", KUBECTLS)
def test_every_kubectl_that_is_promised_creates_one_job_with_its_settings(cluster, use_kubectl, say, settings, program):
    use_kubectl(shutil.which(program))
    code, _, told = say("submit", "--config", settings, "--detach")
    assert code == 0, told
    job = cluster.job()
    name = job["metadata"]["name"]
    assert name.startswith("reviews-")
    assert told == f"submitted {name} to team-a, run {job['metadata']['labels'][RUN]}\n"
    [kept] = [one for one in cluster.of_kind("ConfigMap").values() if one["metadata"]["name"] == name]
    assert kept["data"]["job.yaml"] == Path(settings).read_text()
    assert [owner["uid"] for owner in kept["metadata"]["ownerReferences"]] == [job["metadata"]["uid"]]
    [volume] = [one for one in job["spec"]["template"]["spec"]["volumes"] if one["name"] == "settings"]
    assert volume["configMap"]["name"] == name
    made = {one["kind"] for one in cluster.objects.values()}
    assert made == {"Namespace", "ServiceAccount", "NetworkPolicy", "ConfigMap", "Job"}


def test_the_run_id_is_a_label_that_a_job_made_anew_keeps(cluster, kubectl, found):
    job, name = create(kubectl, found(), "team-a").job, found().name
    kept = cluster.job()
    field = variables(kept)["JOB_RUN_ID"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert field == f"metadata.labels['{RUN}']"
    assert kept["spec"]["template"]["metadata"]["labels"][RUN] == kept["metadata"]["labels"][RUN] == job.run_id
    assert job.run_id.startswith(f"{name}-")
    assert len(job.run_id) <= 63


@pytest.mark.slow
def test_ten_jobs_of_three_models_stand_side_by_side(cluster, kubectl, found):
    models = ("reviews", "spam", "a.very_long.name-of-a-model-that-goes-on-and-on-to-64-characters")
    for number in range(10):
        assert create(kubectl, found(models[number % 3], NUMBER=str(number)), "team-a").is_new
    names = [one["metadata"]["name"] for one in cluster.of_kind("Job").values()]
    assert len(set(names)) == 10
    assert {name.rpartition("-")[0] for name in names} == {"reviews", "spam", "a-very-long-name-of-a-model-that-goe"}
    assert all(len(f"{name}-15") <= 63 for name in names)
    assert "DELETE" not in {method for method, _ in cluster.asked}


STATES = {
    "running": {"active": 1},
    "suspended": {"suspend": True, "conditions": [("Suspended", "JobSuspended", "")]},
    "between tries": {"failed": 1, "suspend": False},
    "waiting": {},
}


def test_the_same_again_says_so_and_leaves_what_has_not_ended(cluster, kubectl, found, there):
    job = there()
    for word, status in STATES.items():
        cluster.set_status(job, **status)
        if word == "running":
            cluster.set_pod(job, "x-1")
        done = create(kubectl, found(), "team-a", again=True)
        assert (done.is_new, done.state.word) == (False, word)
        cluster.objects.pop("/api/v1/namespaces/team-a/pods/x-1", None)
    cluster.set_status(job, conditions=[("FailureTarget", "PodFailurePolicy", "")])
    assert not create(kubectl, found(), "team-a", again=True).is_new
    assert {method for method, _ in cluster.asked} == {"GET"}
    assert cluster.job() is job


def test_what_has_ended_runs_again_when_asked(cluster, kubectl, found, there):
    before = there()
    cluster.set_status(before, conditions=[("Failed", "", "")])
    assert not create(kubectl, found(), "team-a").is_new
    failed = create(kubectl, found(), "team-a", again=True).job
    assert failed.metadata.uid != before["metadata"]["uid"]
    assert failed.run_id == before["metadata"]["labels"][RUN]
    cluster.set_status(cluster.job(), conditions=[("Complete", "", "")])
    complete = create(kubectl, found(), "team-a", again=True).job
    assert complete.run_id != failed.run_id
    [kept] = cluster.of_kind("ConfigMap").values()
    assert kept["metadata"]["ownerReferences"][0]["uid"] == complete.metadata.uid


def test_a_job_of_that_name_that_is_another_is_left_alone(cluster, kubectl, found, there):
    there()["metadata"]["annotations"]["tunewright.org/digest"] = "another"
    with pytest.raises(ClusterError, match="is in team-a that was not submitted like this one"):
        create(kubectl, found(), "team-a", again=True)


def test_other_settings_image_or_variables_are_another_job(rendered):
    def one(settings="model_name: reviews", **changes):
        return submission(rendered, model="reviews", settings=settings, **changes)

    image = one(image="registry.example.com/job@sha256:1")
    variable = one(variables={"REGISTRY_URI": "s3://other"})
    assert len({found.name for found in (one(), one(), image, variable, one("model_name: reviews # again"))}) == 4
    assert image.job["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.example.com/job@sha256:1"
    assert variables(variable.job)["REGISTRY_URI"] == {"name": "REGISTRY_URI", "value": "s3://other"}


def test_what_is_there_beside_it_is_not_changed(cluster, say, settings):
    mine = {"kind": "ServiceAccount", "metadata": {"name": "tunewright-job", "annotations": {"mine": "yes"}}}
    cluster.objects["/api/v1/namespaces/team-a/serviceaccounts/tunewright-job"] = mine
    assert say("submit", "--config", settings, "--detach")[0] == 0
    assert list(cluster.of_kind("ServiceAccount").values()) == [mine]
    assert [path for method, path in cluster.asked if method == "PUT" and "configmaps" not in path] == []


def test_a_namespace_is_made_only_when_asked(cluster, say, settings):
    words = ("submit", "--config", settings, "--detach", "--namespace", "team-b")
    code, _, told = say(*words)
    assert (code, told) == (
        2,
        "error: there is no namespace team-b in the cluster; name yours with --namespace, or say --create-namespace\n",
    )
    assert cluster.of_kind("Job") == {}
    assert say(*words, "--create-namespace")[0] == 0
    made = cluster.objects["/api/v1/namespaces/team-b"]
    assert made["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert cluster.job()["metadata"]["namespace"] == "team-b"


def test_an_overlay_says_what_differs(cluster, say, settings):
    overlay = str(ROOT / "k8s/overlays/local/job")
    code, _, told = say("submit", "--config", settings, "--overlay", overlay, "--detach", "--create-namespace")
    assert code == 0, told
    job = cluster.job()
    assert job["metadata"]["namespace"] == "tunewright"
    assert job["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] == "IfNotPresent"


def test_without_a_file_the_settings_are_those_of_the_overlay(cluster, say):
    code, written, _ = say("submit", "--dry-run")
    assert code == 0
    found = json.loads(written)["items"]
    [settings] = [one for one in found if "job.yaml" in one.get("data", {})]
    assert yaml.safe_load(settings["data"]["job.yaml"])["model_name"] == "reviews"
    assert cluster.of_kind("Job") == {}


@pytest.mark.slow
def test_make_submits(cluster, settings):
    words = ["submit", f"CONFIG={settings}", "OVERLAY=k8s/job", "SUBMIT=--detach", "BIN=.venv/bin"]
    done = subprocess.run(["make", "-s", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("submitted reviews-")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--config", "none.yaml"], "none.yaml"),
        (["--overlay", "none"], "there is no overlay none; expected a folder with a kustomization of k8s/job"),
        (["--env", "X"], "--env is 'X'; expected NAME=VALUE, as in REGISTRY_URI=s3://bucket/registry"),
        (["--env", "JOB_RUN_ID=a"], "--env JOB_RUN_ID has no effect: the settings name it (run_id), else"),
        (["--env", "PET_NNODES=2"], "--env PET_NNODES has no effect: it makes no pods; say --nodes"),
        (
            ["--env", "JOB_TRAIN__EPOCS=3"],
            "the variable JOB_TRAIN__EPOCS is not known; did you mean JOB_TRAIN__EPOCHS?",
        ),
        (["--env", "A-B c=1"], "--env is 'A-B c=1'; expected NAME=VALUE, as in REGISTRY_URI=s3://bucket/registry"),
        (["--image", ""], "--image is ''; expected the name of an image without blanks, as in registry.example.com/"),
        (["--detach", "--follow"], "--detach and --follow say the opposite; leave one out"),
        (["--overlay", str(ROOT / "k8s/serving")], "the overlay renders 0 Jobs; a submission is one, as in k8s/job"),
        (["--overlay", str(ROOT / "docs")], "cannot be rendered: "),
    ],
)
def test_what_cannot_be_submitted_is_told_before_anything_is_created(cluster, say, words, said):
    code, _, told = say("submit", *words)
    assert code == 2
    assert said in told
    assert [method for method, _ in cluster.asked if method != "GET"] == []


def test_a_run_that_the_settings_name_is_the_run_of_the_job(cluster, say, settings):
    text = Path(settings).read_text()
    Path(settings).write_text(text + "run_id: second-of-may\n")
    assert say("submit", "--config", settings, "--detach")[0] == 0
    assert cluster.job()["spec"]["template"]["metadata"]["labels"][RUN] == "second-of-may"
    Path(settings).write_text(text + "run_id: second.\n")
    code, _, told = say("submit", "--config", settings)
    assert (code, told) == (
        2,
        "error: run_id is 'second.', and a submission keeps it in a label; expected at most 63 letters, digits, '.', "
        "'_' and '-', a letter or digit at both ends\n",
    )


def test_settings_that_a_job_would_refuse_are_refused_here(cluster, say, settings):
    Path(settings).write_text(Path(settings).read_text() + "epoch: 3\n")
    code, _, told = say("submit", "--config", settings)
    assert code == 2
    assert told.startswith("error: epoch is not a setting; known are task, options, ")
    assert cluster.asked == []


def test_an_overlay_with_a_server_is_refused(rendered):
    with pytest.raises(SettingsError) as caught:
        submission(f"{rendered}---\nkind: Deployment\n", model=None, settings=None)
    assert str(caught.value) == (
        "the overlay renders Deployment beside the Job; a job is submitted alone, so name an overlay of k8s/job, and "
        "apply the rest with kubectl apply -k"
    )


def test_a_cluster_that_does_not_answer_is_told(cluster, say, settings, tmp_path):
    config = json.loads((tmp_path / "config").read_text())
    config["clusters"][0]["cluster"]["server"] = "http://127.0.0.1:1"
    (tmp_path / "config").write_text(json.dumps(config))
    code, _, told = say("submit", "--config", settings, "--detach")
    assert code == 1
    assert "127.0.0.1:1" in told


def test_without_a_context_a_dry_run_goes_and_what_kubectl_says_is_an_error_once(cluster, say, settings, tmp_path):
    config = json.loads((tmp_path / "config").read_text())
    config.pop("current-context")
    (tmp_path / "config").write_text(json.dumps(config))
    code, written, _ = say("submit", "--config", settings, "--dry-run")
    assert (code, json.loads(written)["kind"], cluster.asked) == (0, "List", [])
    code, _, told = say("jobs", "--context", "none")
    assert (code, told.startswith("error: "), told.count("error:")) == (1, True, 1)


def test_no_kubectl_is_told(cluster, say, settings, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, told = say("submit", "--config", settings)
    sentence = "kubectl cannot be run (No such file or directory); install it, and see that `kubectl get jobs` answers"
    assert (code, told) == (2, f"error: {sentence}\n")
