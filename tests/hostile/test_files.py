"""Files and objects with seeded changes, read by the real readers: each is read, or refused in a sentence."""

import collections
import shutil
import traceback
from pathlib import Path
from random import Random

import pytest
from spoiled_files import BUNDLES, DATA, OBJECTS

from tunewright.job.data.check import check
from tunewright.job.data.columns import read_roles
from tunewright.job.data.sources.fetch import fetch
from tunewright.job.errors import DataError
from tunewright.job.settings.data import DataSettings
from tunewright.job.tasks import TASKS
from tunewright.registry.errors import RegistryError
from tunewright.registry.program import main as registry_main
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.alias import move
from tunewright.registry.versions.publish import publish
from tunewright.serving.errors import ServingError
from tunewright.serving.live.loading import Loader
from tunewright.serving.settings import ServingSettings
from tunewright.serving.watch.meters import Meters

SEED = 21
LONGEST = 8_000
"""Characters of what is said about a file."""
MEGABYTES = 512
"""What this process may hold more while it reads a file."""


def memory(name):
    """Megabytes of this process, from the kernel's account of it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith(name + ":"))


def outcome_of(read, *refusals):
    """Whether it was read, was refused, or what went wrong instead."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before = memory("VmRSS")
    try:
        said = read()
    except refusals as error:
        said = str(error) or "nothing was said"
    except Exception:
        return traceback.format_exc()[-2_000:]
    if (more := memory("VmHWM") - before) > MEGABYTES:
        return f"it took {more:.0f} MB"
    if said and (len(said) > LONGEST or "Traceback" in said or said == "nothing was said"):
        return said[:2_000]
    return "refused" if said else "read"


def tell(outcomes):
    """Print how many were read and refused; the others, by the number of the file."""
    print(collections.Counter(one if one in ("read", "refused") else "WRONG" for one in outcomes.values()))
    return {number: one for number, one in outcomes.items() if one not in ("read", "refused")}


def amounts(quick, whole):
    """The parameters of a test: how many files in any run, and how many in a slow one."""
    return pytest.mark.parametrize("count", [quick, pytest.param(whole, marks=pytest.mark.slow)])


@amounts(4, 60)
@pytest.mark.parametrize("kind", DATA)
def test_a_changed_data_file_is_read_or_refused_in_a_sentence(kind, count, tmp_path, capfd):
    task, given, make = DATA[kind]
    outcomes = {}
    for number in range(count):
        path = tmp_path / f"{number}.{kind}"
        path.write_bytes(make(Random(f"{SEED}-{kind}-{number}")))
        settings = DataSettings(train=str(path), **given)
        roles, rows = read_roles(settings, TASKS[task].forms), tmp_path / f"{number}.rows"

        def read(settings=settings, roles=roles, rows=rows):
            check(fetch(settings.train, tmp_path), TASKS[task], roles, settings, rows)

        outcomes[number] = outcome_of(read, DataError)
    capfd.readouterr()
    assert tell(outcomes) == {}


@pytest.fixture
def registry(tmp_path):
    """A registry folder with two versions of `reviews` and an alias that moved once."""
    store, file = open_store(str(tmp_path / "sound")), tmp_path / "file"
    for number, run in enumerate(("one", "two"), 1):
        file.write_text(run)
        publish(store, "reviews", {"model.json": file, "onnx/fp32/model.onnx": file}, run_id=run)
        move(store, "reviews", "production", number)
    return tmp_path / "sound"


COMMANDS = [
    *[["list"], ["list", "reviews"], ["list", "--json"], ["show", "reviews@production"], ["show", "reviews:1"]],
    *[["verify", "reviews:1"], ["verify", "reviews:2"], ["history", "reviews@production"], ["pull", "reviews:1"]],
    ["rollback", "reviews@production"],
]


@amounts(20, 250)
def test_a_changed_registry_is_read_or_refused_in_a_sentence(registry, count, tmp_path, monkeypatch, capfd):
    outcomes = {}
    for number in range(count):
        random, folder = Random(f"{SEED}-registry-{number}"), tmp_path / f"{number}"
        shutil.copytree(registry, folder)
        random.choice(OBJECTS)(folder, random)
        monkeypatch.setenv("REGISTRY_URI", str(folder))
        for command in COMMANDS:

            def read(command=command):
                code = registry_main([*command, *["--to", str(tmp_path / "pulled")] * (command[0] == "pull")])
                out, err = capfd.readouterr()
                assert code in (0, 1, 2)
                assert bool(code) == bool(err) or (command[0], code) == ("verify", 1)
                return (err or out) if code else ""

            outcomes[number, *command] = outcome_of(read)
            shutil.rmtree(tmp_path / "pulled", ignore_errors=True)
    assert tell(outcomes) == {}


@amounts(5, 40)
def test_a_version_of_changed_files_starts_or_is_refused_in_a_sentence(bundle, count, tmp_path, capfd):
    sound, outcomes = bundle("text"), {}
    for number in range(count):
        random, folder = Random(f"{SEED}-bundle-{number}"), tmp_path / f"{number}"
        shutil.copytree(sound, folder)
        BUNDLES[number % len(BUNDLES)](folder, random)
        files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
        publish(open_store(str(tmp_path / "registry")), f"m{number}", files, run_id="one")
        settings = RegistrySettings(uri=str(tmp_path / "registry"), cache=tmp_path / "cache")

        def start(number=number, settings=settings):
            loader = Loader(settings, ServingSettings(model=f"m{number}"), Meters())
            loader.load(loader.look(f"m{number}").version).service.close()

        outcomes[number] = outcome_of(start, ServingError, RegistryError)
    capfd.readouterr()
    assert tell(outcomes) == {}
