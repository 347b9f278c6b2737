"""Answer a few inputs with a registered version, as its server would."""

import json
from collections.abc import Sequence

from tunewright.job.errors import SettingsError
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.trust.trust import trusted
from tunewright.serving.bundle.fetch import fetch
from tunewright.serving.errors import InputError
from tunewright.serving.predictor import open_predictor
from tunewright.serving.trial.trials import try_bundle


def predict(reference: str, inputs: Sequence[str], variant: str | None, registry: RegistrySettings) -> list[object]:
    """One answer per input; an input that is a JSON list or object is read as such."""
    pulled, name = fetch(*trusted(registry, reference), cache=registry.cache, variant=variant)
    try_bundle(pulled.folder, name, digest=pulled.version.digest, cache=registry.cache)
    predictor = open_predictor(pulled.folder, variant=name)
    try:
        texts, _ = predictor.task.read_inputs([_parsed(one) for one in inputs], predictor.model)
        return predictor.predict(texts)
    except InputError as error:
        raise SettingsError(str(error)) from error
    finally:
        predictor.close()


def _parsed(text: str) -> object:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, list | dict) else text
