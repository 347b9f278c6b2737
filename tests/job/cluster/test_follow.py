"""A job that is followed: its log, how it stands in between, and its exit code."""

import pytest

from tunewright.job.cluster.follow import follow
from tunewright.job.cluster.kubectl import ClusterError


@pytest.fixture
def job(there):
    return there()


@pytest.fixture
def followed(kubectl, job):
    """followed(step, step): the exit code, the log and the sentences while one step is taken after each look."""

    def run(*steps):
        log, told, left = [], [], iter(steps)
        code = follow(
            kubectl,
            "team-a",
            job["metadata"]["name"],
            write=log.append,
            tell=lambda said: told.append(said.partition(": ")[2]),
            pause=lambda: next(left)(),
        )
        return code, b"".join(log).decode(), told

    return run


def policy(code):
    return (
        "Failed",
        "PodFailurePolicy",
        f"Container job for pod team-a/x failed with exit code {code} matching FailJob rule",
    )


def test_from_a_queue_through_two_tries_to_the_end(cluster, job, followed):
    cluster.set_status(job, suspend=True)
    code, log, told = followed(
        lambda: cluster.set_status(job, suspend=False),
        lambda: cluster.set_pod(job, "x-1", waiting=("ImagePullBackOff", "there is no such image")),
        lambda: cluster.set_pod(job, "x-1", log=b"epoch 1\n"),
        lambda: cluster.set_pod(job, "x-1", code=75, log=b"epoch 1\nstopped\n"),
        lambda: cluster.set_pod(job, "x-2", log=b"epoch 2\n"),
        lambda: (
            cluster.set_pod(job, "x-2", code=0, log=b"epoch 2\nregistered\n"),
            cluster.set_status(job, conditions=[("Complete", "", "")]),
        ),
    )
    assert code == 0
    assert log == "epoch 1\nstopped\nepoch 2\nregistered\n"
    assert told == [
        "suspended: it waits until a queue, or whoever suspended it, lets it go on",
        "waiting: it has no pod yet",
        "pending: ImagePullBackOff: there is no such image",
        "running",
        "between tries: x-1 ended with exit code 75",
        "running",
        "complete",
    ]


@pytest.mark.parametrize("code", [2, 3, 4])
def test_a_verdict_of_the_job_is_the_exit_code(cluster, job, followed, code):
    cluster.set_pod(job, "x-1", code=code, log=b"error: it cannot be\n")
    cluster.set_status(job, conditions=[policy(code)])
    found, log, told = followed()
    assert (found, log) == (code, "error: it cannot be\n")
    assert told[0].startswith(f"failed (exit code {code}): PodFailurePolicy: Container job")


@pytest.mark.parametrize(("code", "reason"), [(1, "BackoffLimitExceeded"), (75, "DeadlineExceeded")])
def test_else_it_is_that_of_the_last_pod(cluster, job, followed, code, reason):
    cluster.set_pod(job, "x-1", code=1)
    cluster.set_pod(job, "x-2", code=code)
    cluster.set_status(job, conditions=[("Failed", reason, "it is over")])
    assert followed()[0] == code


def test_a_full_folder_is_named_as_the_cause(cluster, job, followed):
    full = {"reason": "Evicted", "message": 'Usage of EmptyDir volume "files" exceeds the limit "20Gi".'}
    cluster.set_pod(job, "x-1", code=137, **full)
    cluster.set_status(job, conditions=[("Failed", "BackoffLimitExceeded", "too many tries")])
    code, _, told = followed()
    assert code == 137
    assert told == [
        "failed (exit code 137): BackoffLimitExceeded: too many tries; "
        'Evicted: Usage of EmptyDir volume "files" exceeds the limit "20Gi".'
    ]


def test_of_several_pods_the_first_one_is_read(cluster, job, followed):
    for index in (0, 1):
        cluster.set_pod(job, f"x-{index}", code=0, log=f"rank {index}\n".encode(), index=index)
    cluster.set_status(job, conditions=[("Complete", "", "")])
    assert followed() == (0, "rank 0\n", ["complete"])


def test_a_job_that_is_removed_meanwhile_is_told(cluster, job, followed):
    with pytest.raises(ClusterError, match="was removed from team-a: nothing more is known of it"):
        followed(lambda: cluster.objects.pop(f"/apis/batch/v1/namespaces/team-a/jobs/{job['metadata']['name']}"))


def test_no_pod_left_to_tell_is_code_1(cluster, job, followed):
    cluster.set_status(job, conditions=[("Failed", "BackoffLimitExceeded", "")])
    assert followed()[0] == 1


def test_a_job_can_be_followed_by_its_name(cluster, job, say):
    cluster.set_pod(job, "x-1", code=4, log=b"the gate was missed\n")
    cluster.set_status(job, conditions=[policy(4)])
    code, log, _ = say("jobs", job["metadata"]["name"], "--follow")
    assert (code, log) == (4, "the gate was missed\n")
