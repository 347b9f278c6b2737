"""What the hub keeps back, or does not have: one sentence for data sets and models alike."""

import os
from urllib.parse import urlsplit

from tunewright.job.errors import SettingsError
from tunewright.registry.address import shown_address


def check_endpoint() -> None:
    """SettingsError for an address of the hub with which no library that knows the hub can be imported."""
    address = os.environ.get("HF_ENDPOINT", "")
    try:
        urlsplit(address)
    except ValueError:
        raise SettingsError(
            f"HF_ENDPOINT is {shown_address(address)!r}, which is no address; expected one such as "
            "https://huggingface.co"
        ) from None


def refusal(what: str, kind: str, name: str, revision: str | None, error: Exception) -> str | None:
    """What to tell of an error of huggingface_hub, and None of one that says neither. `what`: whose address it is, as
    errors call it; `kind`: what the hub would have, "model" or "data set"."""
    # Imported here: it reads its environment when it is imported, and most jobs need no hub.
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    if isinstance(error, GatedRepoError):
        return f"{what} is given to those who accept its terms on the hub; do so, and set HF_TOKEN"
    if isinstance(error, RepositoryNotFoundError):
        return f"{what}: the hub has no {kind} {name!r}, or shows it only to some (HF_TOKEN)"
    if isinstance(error, RevisionNotFoundError):
        return f"{what}: the {kind} has no revision {revision!r}, or has it no more"
    return None
