"""`tunewright submit|jobs|cancel`: jobs on Kubernetes as a person meets them."""

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import yaml

from tunewright.job.cluster import place
from tunewright.job.cluster.create import create, job_of
from tunewright.job.cluster.follow import follow
from tunewright.job.cluster.group import render
from tunewright.job.cluster.kubectl import Document, Kubectl
from tunewright.job.cluster.rendered import Submission, submission
from tunewright.job.cluster.state import JobSeen, PodSeen, State, read_job, read_list, read_pods, state_of
from tunewright.job.errors import JobError, SettingsError, visible
from tunewright.job.settings.file import read_config
from tunewright.job.settings.job import JobSettings
from tunewright.registry.command_line import Parser
from tunewright.registry.completion import names_a
from tunewright.registry.errors import RegistryError
from tunewright.registry.oci.address import check_image
from tunewright.registry.variables import build_settings, unknown_variables

_VARIABLE = re.compile("[A-Za-z_.-][A-Za-z0-9_.-]*")
"""As Kubernetes names them."""
_NOT_GIVEN = {
    "JOB_RUN_ID": "the settings name it (run_id), else each submission has one of its own",
    "PET_NNODES": "it makes no pods; say --nodes",
}
"""Variables that --env cannot say, and why."""
_SUBMIT = """Run a job on Kubernetes, through your own kubectl and its context.

The overlay is rendered, and one Job of its own name is created: that of the model and a digest of image, resources and
settings. Its log is followed, and its exit code is that of this command. The same again is the same Job, and says so.
What the Job needs beside it is made where it is missing; nothing that is there is changed, and nothing that has not
ended is removed. Ctrl-C ends the following; the Job goes on.
"""
_SUBMIT_MORE = """examples:
  tunewright submit --config job.yaml --overlay k8s/overlays/local/job
  tunewright submit --config job.yaml --image registry.example.com/tunewright-job@sha256:... \\
    --env REGISTRY_URI=s3://bucket/registry --namespace team-a
  tunewright submit --config job.yaml --detach && tunewright jobs
"""
_JOBS = """How the jobs of a namespace stand, or one of them; --follow to its end, with its log and its exit code."""
_CANCEL = (
    """End a job: its pods get SIGTERM, and keep a checkpoint where the settings say so; then the Job is removed."""
)


def parser(command: str) -> argparse.ArgumentParser:
    """The parser of a command's own words."""
    about = {"submit": _SUBMIT, "jobs": _JOBS, "cancel": _CANCEL}[command]
    made = Parser(
        prog=f"tunewright {command}",
        description=about,
        epilog=_SUBMIT_MORE if command == "submit" else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if command == "submit":
        _add_submit(made)
    elif command == "jobs":
        made.add_argument("job", nargs="?", metavar="JOB", help="the name of one; all of them if absent")
        made.add_argument("--follow", action="store_true", help="write the log of JOB, and end with its exit code")
        made.add_argument("--json", action="store_true", help="write JSON")
    else:
        made.add_argument("job", metavar="JOB", help="its name, as `tunewright jobs` tells it")
    made.add_argument("--namespace", help="in place of that of the overlay, or of kubectl's context")
    made.add_argument("--context", help="of kubectl's configuration, in place of the current one")
    return made


def _add_submit(made: argparse.ArgumentParser) -> None:
    names_a(
        made.add_argument("--config", metavar="FILE", help="settings of the job; those of the overlay if absent"),
        "file",
    )
    told = "a folder with a kustomization of k8s/job; that of this package if absent"
    names_a(made.add_argument("--overlay", type=Path, metavar="DIR", help=told), "directory")
    made.add_argument("--image", help="of the job, in place of that of the overlay; best by digest")
    made.add_argument(
        "--env", action="append", default=[], metavar="NAME=VALUE", help="a variable of the job; repeatable"
    )
    told = "as many pods that learn together, each one node (components/nodes); one if absent, or those of the overlay"
    made.add_argument("--nodes", type=int, metavar="N", help=told)
    made.add_argument("--detach", action="store_true", help="end once the job is created")
    made.add_argument("--follow", action="store_true", help="follow it also where it was submitted before")
    made.add_argument("--again", action="store_true", help="where the same has ended, run it again")
    made.add_argument("--create-namespace", action="store_true", help="make the namespace where it is missing")
    made.add_argument("--dry-run", action="store_true", help="write what would be created, as JSON, and create nothing")


def main(arguments: Sequence[str]) -> int:
    """Run the command that the first word names; the exit code: that of a job which was followed to its end."""
    asked = parser(arguments[0]).parse_args(arguments[1:])
    try:
        return {"submit": _submit, "jobs": _jobs, "cancel": _cancel}[arguments[0]](Kubectl(asked.context), asked)
    except JobError as error:
        return _fail(str(error), error.exit_code)
    except RegistryError as error:
        return _fail(str(error), 2)


def _submit(kubectl: Kubectl, asked: argparse.Namespace) -> int:
    if asked.detach and asked.follow:
        raise SettingsError("--detach and --follow say the opposite; leave one out")
    found = _submission(kubectl, asked)
    namespace = asked.namespace or found.namespace or kubectl.namespace()
    if asked.dry_run:
        documents = [*found.beside, *found.own, found.settings, found.job]
        _say(json.dumps({"apiVersion": "v1", "kind": "List", "items": documents}, indent=2))
        return 0
    space = _space(found) if asked.create_namespace else None
    done = create(kubectl, found, namespace, again=asked.again, space=space)
    if done.is_new:
        _tell(f"submitted {found.name} to {namespace}, run {done.job.run_id}")
    else:
        _tell(f"{found.name} was submitted to {namespace} before, with the same settings: {done.state}")
        if not asked.follow:
            word = "submit --again runs it again" if done.job.end else "submit --follow follows it"
            return _fail(f"nothing was submitted; {word}, and other settings are another job", 1)
    if asked.detach:
        return 0
    return _follow(kubectl, namespace, found.name)


def _submission(kubectl: Kubectl, asked: argparse.Namespace) -> Submission:
    if asked.image is not None:
        check_image(asked.image)
    if asked.nodes is not None and asked.nodes < 2:
        raise SettingsError(f"--nodes is {asked.nodes}; expected a whole number from 2, or leave it out for one pod")
    variables = _variables(asked.env)
    model, run_id, settings = (None, None, None) if asked.config is None else _settings(asked.config)
    overlay = _overlay(asked.overlay)
    text = render(kubectl, overlay, _manifests("components/nodes")) if asked.nodes else kubectl.render(overlay)
    return submission(
        text,
        model=model,
        settings=settings,
        run_id=run_id,
        image=asked.image,
        variables=variables,
        nodes=asked.nodes,
    )


def _settings(config: str) -> tuple[str, str | None, str]:
    """The model and the run that a file of settings names, and its text; it is read as a job reads it."""
    tree: dict[str, object] = {"data": {}, **read_config(config)}
    built = build_settings(lambda: JobSettings.model_validate(tree), JobSettings, "JOB_", {}, only_variables=False)
    if isinstance(built, list):
        raise SettingsError("\n".join(built))
    if "://" in config:
        raise SettingsError(f"{config} is an address; --config of submit names a file of this machine")
    return built.model_name, built.run_id, Path(config).read_text()


def _manifests(name: str) -> Path:
    """A folder of the manifests of this package."""
    package = find_spec("tunewright")
    folders = [Path(one) for one in (package.submodule_search_locations or [])] if package else []
    found = next((one / "k8s" / name for one in folders if (one / "k8s" / name).is_dir()), None)
    if found is None:
        raise SettingsError("this installation holds no manifests; name a folder with them: --overlay DIR")
    return found


def _space(found: Submission) -> Document:
    """The namespace of the overlay, else that of this package, which takes no pod that is not restricted."""
    made: Document | None = found.space
    if made is None:
        made = yaml.safe_load((_manifests("components/namespace") / "namespace.yaml").read_text())
        assert made
    return made


def _overlay(asked: Path | None) -> Path:
    if asked is None:
        return _manifests("job")
    if not asked.is_dir():
        raise SettingsError(f"there is no overlay {asked}; expected a folder with a kustomization of k8s/job")
    return asked


def _variables(words: Sequence[str]) -> Mapping[str, str]:
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not _VARIABLE.fullmatch(name):
            raise SettingsError(f"--env is {word!r}; expected NAME=VALUE, as in REGISTRY_URI=s3://bucket/registry")
        if name in _NOT_GIVEN:
            raise SettingsError(f"--env {name} has no effect: {_NOT_GIVEN[name]}")
        found[name] = value
    if mistakes := unknown_variables(JobSettings, "JOB_", found):
        raise SettingsError("\n".join(mistakes))
    return found


def _jobs(kubectl: Kubectl, asked: argparse.Namespace) -> int:
    namespace = asked.namespace or kubectl.namespace()
    if asked.job is None:
        if asked.follow:
            raise SettingsError("--follow is for one job; name it")
        return _list(kubectl, namespace, as_json=asked.json)
    job = _found(kubectl, namespace, asked.job)
    if asked.follow:
        return _follow(kubectl, namespace, asked.job)
    state = state_of(job, read_pods(kubectl.get(place.pods(namespace, asked.job))))
    _say(json.dumps(_facts(job, state)) if asked.json else _line(job, state))
    return 0


def _list(kubectl: Kubectl, namespace: str, *, as_json: bool) -> int:
    jobs = [read_job(one) for one in read_list(kubectl.get(place.all_jobs(namespace)))]
    pods: dict[str, list[PodSeen]] = {}
    for pod in read_pods(kubectl.get(place.all_pods(namespace))):
        pods.setdefault(pod.job, []).append(pod)
    jobs.sort(key=lambda job: (job.metadata.created, job.metadata.name))
    states = [(job, state_of(job, pods.get(job.metadata.name, []))) for job in jobs]
    if as_json:
        _say(json.dumps([_facts(job, state) for job, state in states]))
    elif not states:
        _tell(f"there are no jobs in {namespace}")
    for job, state in [] if as_json else states:
        _say(_line(job, state))
    return 0


def _facts(job: JobSeen, state: State) -> dict[str, object]:
    return {
        "name": job.metadata.name,
        "run_id": job.run_id,
        "created": job.metadata.created,
        "state": state.word,
        "reason": state.reason,
        "exit_code": state.code,
    }


def _line(job: JobSeen, state: State) -> str:
    return f"{job.metadata.name:48} {job.metadata.created:21} {state}"


def _cancel(kubectl: Kubectl, asked: argparse.Namespace) -> int:
    namespace = asked.namespace or kubectl.namespace()
    job = _found(kubectl, namespace, asked.job)
    if job.end:
        raise SettingsError(f"{asked.job} has ended ({job.end.type}); there is nothing to cancel")
    kubectl.delete(place.job(namespace, asked.job))
    _tell(f"cancelled {asked.job} in {namespace}: what it has is kept where its settings say output")
    return 0


def _found(kubectl: Kubectl, namespace: str, name: str) -> JobSeen:
    job = job_of(kubectl, namespace, name)
    if job is None or not place.LABELS.items() <= job.metadata.labels.items():
        raise SettingsError(
            f"there is no job {name} of Tunewright in {namespace}; `tunewright jobs` tells those there are"
        )
    return job


def _follow(kubectl: Kubectl, namespace: str, name: str) -> int:
    def write(piece: bytes) -> None:
        sys.stdout.buffer.write(piece)
        sys.stdout.flush()

    try:
        return follow(kubectl, namespace, name, write=write, tell=_tell)
    except KeyboardInterrupt:
        _tell(f"{name} goes on; tunewright jobs {name} --follow follows it, tunewright cancel {name} ends it")
        return 130


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _tell(sentence: str) -> None:
    sys.stderr.write(f"{visible(sentence)}\n")
    sys.stderr.flush()


def _fail(sentences: str, code: int) -> int:
    for sentence in sentences.splitlines():
        _tell(f"error: {sentence}")
    return code
