"""`tunewright drift`: what servers have met of a version, beside the rows it was measured on."""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from tunewright.registry.command_line import Parser
from tunewright.registry.errors import (
    AccessDenied,
    AddressError,
    BadReference,
    NotFound,
    RegistryError,
    SettingsError,
    Untrusted,
)
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.store import Store, open_store
from tunewright.registry.trust.trust import trusted
from tunewright.registry.versions.pull import pull
from tunewright.registry.versions.record import Version
from tunewright.serving.bundle.model_file import MODEL_FILE
from tunewright.serving.errors import BundleError, ServingError
from tunewright.serving.profile.distance import Drift, drifts
from tunewright.serving.profile.profile import PROFILE_FILE, Profile, Tally, read_profile
from tunewright.serving.watch.feedback import prefix, time_name

FEEDBACK = "SERVING_FEEDBACK__URI"
_USER_ERRORS = (AccessDenied, AddressError, BadReference, NotFound, SettingsError, ServingError, Untrusted)


def main(arguments: Sequence[str]) -> int:
    """Run the command; the exit code: 0, 1 where `--fail-on` is met or something outside failed, 2 for the user's."""
    asked = parser().parse_args(arguments[1:])
    try:
        return _run(asked, RegistrySettings())
    except (RegistryError, ServingError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2 if isinstance(error, _USER_ERRORS) else 1
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        return 130


def parser() -> argparse.ArgumentParser:
    """What the command can be told."""
    made = Parser(
        prog="tunewright drift",
        description="Compare the rows that servers have met with those that a version was measured on: their lengths, "
        "unknown tokens, confidence and labels. Servers leave counts, and samples where they are told to, at "
        f"{FEEDBACK}.",
        epilog="Example:\n  tunewright drift reviews@production --days 7 --samples recent.jsonl",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("model", help="reference of a version, for example reviews@production")
    made.add_argument(
        "--feedback", default=os.environ.get(FEEDBACK), help=f"where servers leave their counts; {FEEDBACK} when absent"
    )
    made.add_argument("--days", type=float, default=7.0, help="how far back to look (7)")
    made.add_argument(
        "--samples", type=Path, help="write the sampled requests of those days to this file, as JSON lines"
    )
    made.add_argument(
        "--fail-on", choices=("changed", "large"), help="end with 1 where a feature has moved so far, for a schedule"
    )
    made.add_argument("--json", action="store_true", help="print JSON in place of a table")
    return made


def _run(asked: argparse.Namespace, registry: RegistrySettings) -> int:
    if not asked.feedback:
        raise AddressError(f"nothing says where the servers leave their counts: give --feedback URI, or set {FEEDBACK}")
    if not 0 < asked.days < 10_000:
        raise BadReference(f"--days is {asked.days:g}; expected a number of days above 0")
    wanted = (MODEL_FILE, PROFILE_FILE)
    pulled = pull(*trusted(registry, asked.model), cache=registry.cache, only=lambda path: path in wanted)
    reference, version = read_profile(pulled.folder), pulled.version
    if reference is None:
        raise BundleError(f"{version} holds no {PROFILE_FILE}: it was registered before versions kept one")
    place = open_store(asked.feedback)
    since = _since(asked.days)
    met = _met(place, version, since, reference)
    found = drifts(reference, met)
    if asked.samples is not None:
        _write_samples(place, version, since, asked.samples)
    sys.stdout.write(_as_json(version, met, found) if asked.json else _as_table(version, met, found, asked.days))
    failing = {"changed": ("changed", "large"), "large": ("large",)}.get(asked.fail_on, ())
    return 1 if any(one.verdict in failing for one in found) else 0


def _since(days: float) -> str:
    """The name from which on objects are new enough: names sort by time."""
    return (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%dT%H%M%S")


def _objects(place: Store, version: Version, kind: str, since: str) -> Iterator[bytes]:
    start = prefix(version.name, version.number, kind)
    for stat in place.list(start):
        if stat.key.removeprefix(start) >= since:
            yield place.read(stat.key)


def _met(place: Store, version: Version, since: str, reference: Profile) -> Profile:
    tally = Tally(reference.edges)
    for content in _objects(place, version, "counts", since):
        try:
            tally.merge(Profile.model_validate_json(content))
        except ValidationError as error:
            place_name = f"{place.uri}/{prefix(version.name, version.number, 'counts')}"
            raise BundleError(f"{place_name} holds something that is no count of a server: {error}") from error
    return tally.profile()


def _write_samples(place: Store, version: Version, since: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{time_name()}")
    rows = 0
    with new.open("wb") as file:
        for content in _objects(place, version, "samples", since):
            file.write(content)
            rows += content.count(b"\n")
    new.replace(path)
    sys.stderr.write(f"{rows:,} sampled inputs written to {path}\n")


def _as_json(version: Version, met: Profile, found: Sequence[Drift]) -> str:
    features = {one.feature: {**asdict(one), "verdict": one.verdict} for one in found}
    return json.dumps({"version": str(version), "rows": met.rows, "features": features}, indent=2) + "\n"


def _as_table(version: Version, met: Profile, found: Sequence[Drift], days: float) -> str:
    if not met.rows:
        return f"{version}: no server has left counts in the last {days:g} days\n"
    lines = [f"{version}: {met.rows:,} rows met in the last {days:g} days, beside the rows it was measured on"]
    lines.append(f"  {'':12} {'PSI':>6} {'chance':>7}  {'':8} most moved")
    for one in found:
        lines.append(f"  {one.feature:12} {one.psi:6.3f} {one.chance:7.3f}  {one.verdict:8} {one.moved}")
    lines.append(
        "  PSI is a change from 0.1 on and a large one from 0.25 on, where it is above what chance makes of so few"
    )
    return "\n".join(lines) + "\n"
