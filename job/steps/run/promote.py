"""Point the alias of a job at its version, where the alias's own gates let it."""

from dataclasses import asdict

from tunewright.job.errors import GateFailed
from tunewright.job.progress.events import say, warn
from tunewright.job.settings.job import JobSettings
from tunewright.job.steps.begin import Begun
from tunewright.registry.errors import Conflict, Overtaken
from tunewright.registry.gates.judge import judge
from tunewright.registry.gates.policy import read_policy
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.trust.trust import open_trust
from tunewright.registry.versions.alias import Verdict, aliases_of, move
from tunewright.registry.versions.record import Version
from tunewright.registry.webhook import tell_moved


def point_alias(
    begun: Begun, version: Version, settings: JobSettings, registry: RegistrySettings, *, short: str | None
) -> str | None:
    """Move it, or say why not; what its own gates miss is the answer. `short`: why the version is not surely better
    than an answer without a model."""
    if settings.alias is None:
        return None
    name = f"{version.name}@{settings.alias}"
    if short and settings.gate.beat_baseline:
        moved = f"{name} is not moved to {version}"
        warn("registry", f"{moved}: {short}; gate.beat_baseline: false moves it all the same")
        return None
    while True:
        verdict = _judged(begun, version, settings.alias, registry)
        if verdict and verdict.missed:
            missed = "; ".join(f"{gate.name}: {gate.says}" for gate in verdict.missed)
            return f"{version} is registered, and {name} is not moved to it: it misses {missed}"
        try:
            reason, run_id = f"run {begun.run_id} passed its gates", begun.run_id
            trust = open_trust(registry)
            made = move(
                begun.store,
                version.name,
                settings.alias,
                version.number,
                reason=reason,
                run_id=run_id,
                verdict=verdict,
                counts=trust.counts(begun.store),
            )
            trust.sign(begun.store, made)
        except Overtaken:  # what it was held against does not hold the alias any more
            continue
        except Conflict as error:
            # A later job was faster, or somebody went back: that stays, and trying again would change nothing.
            warn("registry", str(error))
        else:
            say("registry", f"{name} is now {version}")
            if untold := tell_moved(registry, made):
                warn("registry", untold)
        return None


def require(missed: str | None) -> None:
    """GateFailed where the gates of the alias are missed."""
    if missed:
        raise GateFailed(f"{missed}; `tunewright promote` with --force --why TEXT moves it all the same")


def _judged(begun: Begun, version: Version, alias: str, registry: RegistrySettings) -> Verdict | None:
    """What the gates of the alias say; None where nothing is asked, or the alias points there already."""
    asked = read_policy(begun.store, version.name, alias)
    if asked is None or alias in aliases_of(begun.store, version):
        return None
    verdict = judge(begun.store, asked, version, cache=registry.cache)
    for gate in verdict.gates:
        said = f"{version.name}@{alias}: {gate.name} {'passed' if gate.passed else 'missed'}: {gate.says}"
        say("gate", said, **asdict(gate))
    if verdict.reuse:
        say("gate", verdict.reuse, versions=verdict.decided)
    return verdict
