"""`make bench-calibration`: how far scores are from how often they are right, before the temperature and with it.

Sets of `make bench-tasks` (cases.py), learned as there from all-MiniLM-L6-v2 but in folders of this machine and without
a server: the temperature is fitted on a tenth of the training rows that is kept for validation, and the expected
calibration error (ECE) of fp32 and int8 is that of the test rows, as report/metrics.json has it, with its 95 %
interval. Printed as a table, and written to var/bench/calibration.json. The goal: at most 0.03 as served, and never
worse than before.

Data: $TUNEWRIGHT_DATA.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml
from cases import CASES

OUT = Path("var/bench/calibration.json")
WORK = Path("var/bench/calibration")
SETS = ("sst2", "banking77", "banking77-frozen")
MOST = 0.03
"""The error of served scores that is aimed at."""
Figures = dict[str, dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="SET", help=f"{', '.join(SETS)}: all when absent")
    asked = parser.parse_args()
    data = os.environ.get("TUNEWRIGHT_DATA")
    if not data:
        sys.exit("bench-calibration needs the data sets: set TUNEWRIGHT_DATA to their folder")
    if unknown := [name for name in asked.names if name not in SETS]:
        sys.exit(f"no set is called {unknown[0]!r}; there are {', '.join(SETS)}")
    kept = json.loads(OUT.read_text()) if OUT.is_file() else {}
    heads = f"{'ECE before':24}{'ECE as served':24}chance"
    print(f"{'set':18}{'variant':9}{'rows':>6}{'accuracy':>10}{'temperature':>13}  {heads}")
    for name in asked.names or SETS:
        started = time.monotonic()
        kept[name] = trained(name, Path(data))
        OUT.write_text(json.dumps(kept, indent=1))
        show(name, kept[name])
        print(f"{name} took {time.monotonic() - started:.0f} s", file=sys.stderr)


def trained(name: str, data: Path) -> Figures:
    """What the report has of each variant on the test rows."""
    work = (WORK / name).resolve()
    shutil.rmtree(work, ignore_errors=True)
    (work / "data").mkdir(parents=True)
    case = CASES[name]
    sides = {side: str(work / "data" / file) for side, file in case.source(data, work / "data").items()}
    # Few rows a label have no validation rows unless they are asked for, and then no temperature. What the report
    # explains row by row takes minutes and moves no score.
    settings = {
        **case.settings,
        "model_name": name,
        "data": {**case.settings["data"], **sides, "validation_fraction": 0.1},
        "export": {"explained_rows": 0},
    }
    (work / "job.yaml").write_text(yaml.safe_dump(settings, allow_unicode=True))
    environment = {
        **os.environ,
        "REGISTRY_URI": str(work / "registry"),
        "REGISTRY_CACHE": str(work / "cache"),
        "JOB_OUTPUT": str(work / "runs"),
        "JOB_KEEP_BUNDLE": "true",
        "JOB_RUN_ID": name,
    }
    command = [sys.executable, "-m", "tunewright", "train", "--config", str(work / "job.yaml")]
    with (work / "log").open("w") as log:
        code = subprocess.run(command, env=environment, stdout=log, stderr=subprocess.STDOUT).returncode
    if code:
        sys.exit(f"the job of {name} ended with {code}: {(work / 'log').read_text()[-500:]}")
    found: Figures = json.loads((work / "runs" / name / "bundle/report/metrics.json").read_text())["test"]
    return found


def show(name: str, found: Figures) -> None:
    """A line a variant."""
    for variant, measured in found.items():
        calibration = measured["calibration"]
        before, after = calibration["before"], calibration["after"]
        cells = [f"{one['ece']:.3f} ({one['interval'][0]:.3f} to {one['interval'][1]:.3f})" for one in (before, after)]
        verdict = f"  over {MOST}" if after["ece"] > MOST else ""
        verdict += "  worse than before" if after["ece"] > before["ece"] else ""
        accuracy = measured["metrics"]["accuracy"]
        print(
            f"{name:18}{variant:9}{measured['rows']:6,}{accuracy:10.4f}{calibration['temperature']:13.3f}  "
            f"{cells[0]:24}{cells[1]:24}{after['chance']:.3f}{verdict}",
            flush=True,
        )


if __name__ == "__main__":
    main()
