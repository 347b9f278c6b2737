"""Tell a URL what has happened in a registry: a signed POST for each publication and each move of an alias.

The events have MLflow's names and fields, the headers are those of Standard Webhooks: `webhook-signature` is the
HMAC-SHA256 of `webhook-id.webhook-timestamp.body`. What is told again, as by a job that is tried again, has the same
id. Nothing waits for long: what cannot be delivered is a warning.
"""

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Mapping

from tunewright.registry.address import shown_address
from tunewright.registry.errors import SettingsError
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.versions.alias import Move
from tunewright.registry.versions.record import Version, now

_SECRET = re.compile(r"whsec_(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?|(?!whsec_).{8,}")
_TRIES = 3
_SECONDS = 3.0  # of a try
_PAUSES = (0.25, 0.5)  # seconds


def check_webhook(settings: RegistrySettings) -> None:
    """SettingsError where what happens next could not be told: asked before anything is written, and by nobody who only
    reads. No value is shown."""
    url, secret = settings.webhook_url, settings.webhook_secret and settings.webhook_secret.get_secret_value()
    if bool(url) != bool(secret):
        raise SettingsError("REGISTRY_WEBHOOK_URL and REGISTRY_WEBHOOK_SECRET have an effect together alone; set both")
    if url and not url.startswith(("http://", "https://")):
        raise SettingsError("REGISTRY_WEBHOOK_URL is no address to post to; expected http:// or https://")
    if secret and not _SECRET.fullmatch(secret):
        raise SettingsError("REGISTRY_WEBHOOK_SECRET is too short; expected 8 characters or more, or whsec_ and base64")


def tell_published(settings: RegistrySettings, version: Version) -> str | None:
    """Tell of a version, and of its model where it is the first; what to say where that was not possible."""
    place = f"{version.name}-{version.number}-{version.digest[7:23]}"
    if version.number == 1 and (fault := _tell(settings, "registered_model.created", place, {"name": version.name})):
        return fault
    told = {"source": f"models:/{version.name}/{version.number}", "run_id": version.run_id}
    facts = {"digest": version.digest, "size": version.size, "who": version.who}
    data = {"name": version.name, "version": str(version.number), **told, "tags": {}, "description": None, **facts}
    return _tell(settings, "model_version.created", place, data)


def tell_moved(settings: RegistrySettings, made: Move) -> str | None:
    """Tell where an alias points from now on, by a promotion or a rollback, or that it is removed; likewise."""
    data: dict[str, object] = {"name": made.name, "alias": made.alias}
    if made.points:
        data |= {"version": str(made.number), "digest": made.digest}
    facts = {"kind": made.kind, "previous": made.previous, "reason": made.reason, "who": made.who, "where": made.where}
    event = "model_version_alias.created" if made.points else "model_version_alias.deleted"
    return _tell(settings, event, made.id, data | facts)


def sign(secret: str, id: str, timestamp: str, body: bytes) -> str:
    """What `webhook-signature` holds. A secret that begins with `whsec_` is base64, any other is taken as it is."""
    key = base64.b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret.encode()
    signed = hmac.digest(key, f"{id}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(signed).decode()}"


def _tell(settings: RegistrySettings, event: str, place: str, data: Mapping[str, object]) -> str | None:
    if not settings.webhook_url or not settings.webhook_secret:
        return None
    entity, _, action = event.partition(".")
    said = {"type": event, "entity": entity, "action": action, "timestamp": now(), "registry": settings.uri}
    body = json.dumps({**said, "data": data}, ensure_ascii=False).encode()
    id, timestamp = f"{event}-{place}", str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": timestamp,
        "webhook-signature": sign(settings.webhook_secret.get_secret_value(), id, timestamp, body),
    }
    fault = _post(settings.webhook_url, body, headers)
    return fault and f"{event} was not told to {shown_address(settings.webhook_url)}: {fault}"


def _post(url: str, body: bytes, headers: Mapping[str, str]) -> str | None:
    """Send it, a few times where that may help; what went wrong."""
    import urllib3  # takes a tenth of a second

    pool = urllib3.PoolManager()
    fault = ""
    for attempt in range(_TRIES):
        try:
            answer = pool.request(
                "POST", url, body=body, headers=headers, timeout=_SECONDS, retries=False, redirect=False
            )
        except urllib3.exceptions.HTTPError as error:
            fault = type(error).__name__
        else:
            if 200 <= answer.status < 300:
                return None
            fault = f"it answers {answer.status}"
            if answer.status < 500 and answer.status not in (408, 429):
                return fault
        if attempt < len(_PAUSES):
            time.sleep(_PAUSES[attempt])
    return f"{fault}, {_TRIES} times"
