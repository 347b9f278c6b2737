"""`make bench-int8`: what int8 costs, in answers and in time, with one scale a row and with one scale a run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from cases import CASES

HERE = Path("var/bench/int8")
LEARNED = {"sst2": (1600, 2), "stsb": (1600, 2), "wnut17": (1000, 2), "banking77": (3000, 3)}
"""Rows and epochs, fewer than in `make bench-tasks`: what int8 changes can be seen early."""


def train(name: str, data: Path) -> Path:
    """The bundle of a set, learned once."""
    here = HERE / name
    bundle = here / "runs" / name / "bundle"
    if (bundle / "model.json").exists():
        return bundle
    shutil.rmtree(here, ignore_errors=True)
    (here / "data").mkdir(parents=True)
    case = CASES[name]
    rows, epochs = LEARNED[name]
    sides = {side: str(here / "data" / file) for side, file in case.source(data, here / "data").items()}
    settings = {"model_name": name, **case.settings, "data": {**case.settings["data"], **sides, "limit": rows}}
    settings["train"] = {**settings["train"], "epochs": epochs}
    (here / "job.yaml").write_text(yaml.safe_dump(settings, allow_unicode=True))
    environment = {
        **os.environ,
        "REGISTRY_URI": str(here / "registry"),
        "JOB_OUTPUT": str(here / "runs"),
        "JOB_RUN_ID": name,
    }
    with (here / "log").open("w") as log:
        command = [sys.executable, "-m", "tunewright", "train", "--config", str(here / "job.yaml")]
        subprocess.run(command, env=environment, check=True, stdout=log, stderr=subprocess.STDOUT)
    return bundle


def main() -> None:
    for name in LEARNED:
        print(train(name, Path(os.environ["TUNEWRIGHT_DATA"])), flush=True)


if __name__ == "__main__":
    main()
