"""What is wrong with a run is told before torch is imported, and nothing is left of a run that made nothing."""

import subprocess
import sys

import pytest

from tunewright.job.errors import BaseModelError, DataError
from tunewright.job.recipe import open_base
from tunewright.job.steps.begin import begin, get_ready
from tunewright.registry.errors import SettingsError, Untrusted
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.publish import publish


@pytest.fixture
def bad(write):
    """Settings of data without two labels."""
    return {"train": str(write("bad.csv", b"text,label\none,a\n"))}


def runs(settings):
    return list(settings.output.iterdir())


def test_bad_data_leaves_no_folder_of_the_run(make_settings, registry, bad):
    settings = make_settings(data=bad)
    with pytest.raises(DataError, match="1 label"), begin(settings, registry):
        pass
    assert runs(settings) == []


def test_a_run_that_is_stopped_leaves_no_empty_folder(make_settings, registry):
    settings = make_settings()
    with pytest.raises(KeyboardInterrupt), begin(settings, registry) as begun:
        assert begun.work.is_dir()
        raise KeyboardInterrupt
    assert runs(settings) == []


def test_what_a_run_has_made_stays(make_settings, registry):
    settings = make_settings(run_id="kept")
    with begin(settings, registry) as begun:
        (begun.folder / "bundle").mkdir()
    assert [path.name for path in (settings.output / "kept").iterdir()] == ["bundle"]


def test_nothing_is_read_again_for_a_run_that_has_published(make_settings, registry, write, bad):
    settings = make_settings(data=bad, run_id="done")
    publish(open_store(registry.uri), "tiny", {"model.json": write("model.json", b"{}")}, run_id="done")
    with begin(settings, registry) as begun:
        assert begun.done is not None
        assert begun.ready is None


def test_a_job_whose_versions_nobody_would_believe_reads_nothing(make_settings, registry, signer, write, bad):
    pem = f"-----BEGIN PUBLIC KEY-----\n{signer.public.line}\n-----END PUBLIC KEY-----\n"
    key = write("key.pem", pem.encode())
    closed = registry.model_copy(update={"trusted_keys": key})
    said = "^REGISTRY_TRUSTED_KEYS is set and REGISTRY_SIGNING_KEY is not"
    with pytest.raises(Untrusted, match=said), begin(make_settings(data=bad), closed):
        pass
    unread = registry.model_copy(update={"signing_key": key})
    with pytest.raises(SettingsError, match="holds a public key"), begin(make_settings(data=bad), unread):
        pass


def test_a_base_that_is_not_there_is_told_once_the_data_is_good(make_settings, registry, tmp_path):
    settings = make_settings(base_model=str(tmp_path / "nowhere"))
    with pytest.raises(BaseModelError, match="is not a folder here"), begin(settings, registry):
        pass
    assert runs(settings) == []


def test_a_base_is_looked_for_once(make_settings, registry, tmp_path):
    settings = make_settings()
    ready = get_ready(settings, registry, tmp_path / "work")
    elsewhere = settings.model_copy(update={"base_model": "./nowhere"})
    plan, _ = open_base(ready, elsewhere, registry, tmp_path / "work")
    assert plan.base.address == "./nowhere"


@pytest.mark.parametrize("command", ["check", "train"])
def test_bad_data_is_told_without_torch(command, bad, tmp_path):
    words = [command, "--model_name", "x", "--data.train", bad["train"], "--output", str(tmp_path / "runs")]
    code = "import sys; from tunewright.job.program import main; code = main(sys.argv[1:]); "
    code += "print('torch' in sys.modules); sys.exit(code)"
    environment = {"REGISTRY_URI": str(tmp_path / "registry")}
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, env=environment, check=False
    )
    assert (done.returncode, done.stdout.splitlines()[-1]) == (3, "False"), done.stderr
