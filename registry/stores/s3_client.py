"""The S3 client: the AWS default chain for credentials, AWS_ENDPOINT_URL_S3 for other servers."""

import os
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tunewright.registry.address import shown_address
from tunewright.registry.errors import AccessDenied, AddressError, SettingsError

if TYPE_CHECKING:
    from botocore.loaders import Loader
    from botocore.session import Session
    from mypy_boto3_s3 import S3Client

_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")
_HOW = "set it without the line break at its end (printf, not echo, where a secret is made of it)"


def connect(profile: str | None = None) -> "S3Client":
    """A client for the environment's endpoint and credentials, or for those of a profile; threads may share it."""
    if profile is None:
        _check_endpoint()
        _check_keys()
    _check_lines()
    import boto3
    import botocore.session
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ConfigParseError, ProfileNotFound

    config = Config(
        # boto3's default trailing checksums are refused by real gateways over https (Ceph: MissingContentLength).
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"mode": "standard", "total_max_attempts": 4},
        connect_timeout=10,
        read_timeout=60,
        max_pool_connections=32,
    )
    try:
        # botocore itself reads AWS_DEFAULT_REGION alone, unlike the tools and kits for other languages.
        region = os.environ.get("AWS_REGION") or None
        inner = botocore.session.Session(profile=profile)
        endpoint = None
        if profile is not None:
            inner.set_config_variable("ignore_configured_endpoint_urls", True)
            told = inner.get_scoped_config()
            region, endpoint = told.get("region"), _endpoint_of(told, inner.full_config.get("services", {}))
        session = boto3.session.Session(region_name=region, botocore_session=inner)
        inner.register_component("data_loader", _definitions(inner.get_config_variable("data_path")))
        return session.client("s3", config=config, endpoint_url=endpoint)
    except ProfileNotFound as error:
        named = "its name" if profile else "AWS_PROFILE"
        known = _shown_profiles(botocore.session.Session())
        raise AccessDenied(f"{error}; check {named}: the AWS configuration has {known}") from None
    except ConfigParseError as error:
        raise AccessDenied(f"the AWS configuration file cannot be read: {error}") from None
    except (BotoCoreError, ValueError) as error:
        # What is said of an endpoint out of the AWS configuration file repeats it whole, with its password.
        reason = "its endpoint is no address" if "://" in str(error) else str(error)
        raise AddressError(
            f"the S3 client cannot be made: {reason}; check AWS_REGION and AWS_ENDPOINT_URL_S3"
        ) from None


def _shown_profiles(session: "Session") -> str:
    """The profiles of the AWS configuration, for an error."""
    names = sorted(session.available_profiles)
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") or "none"


@cache
def _definitions(folders: str | None) -> "Loader":
    """What botocore knows of S3, which each client would read anew: most of the time that one takes to be made."""
    from botocore.loaders import create_loader

    return create_loader(folders)


def _endpoint_of(profile: Mapping[str, object], services: Mapping[str, Mapping[str, object]]) -> str | None:
    """The endpoint that a profile names, for S3 or for all services; None is that of AWS."""
    of_s3 = services.get(str(profile.get("services")), {}).get("s3")
    named = (of_s3.get("endpoint_url") if isinstance(of_s3, dict) else None) or profile.get("endpoint_url")
    return str(named) if named else None


def _check_endpoint() -> None:
    """Refuse what botocore would repeat in its messages: an endpoint with a password in it."""
    for name in _ENDPOINTS:
        value = os.environ.get(name)
        if not value:
            continue
        if "@" in value:
            raise AddressError(
                f"{name} holds a user name or password; expected http(s)://host:port, "
                "with the credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        if not _is_endpoint(value):
            raise AddressError(
                f"{name}={shown_address(value)!r} is not the address of an S3 server; expected http(s)://host:port"
            )


def _is_endpoint(value: str) -> bool:
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:  # brackets without an end, a port above 65535
        return False
    plain = not any(character.isspace() for character in value) and not parts.query and not parts.fragment
    return plain and port != 0 and parts.scheme in ("http", "https") and bool(parts.hostname)


def _check_keys() -> None:
    """Refuse keys that no header can carry; botocore would try them again and again."""
    for name in _KEYS:
        value = os.environ.get(name, "")
        if any(not "!" <= character <= "~" for character in value):
            raise SettingsError(f"{name} holds a blank, a line break or another character that no key has; {_HOW}")


def _check_lines() -> None:
    """Refuse a region or a proxy with a line break, which botocore tells as a server that is not there."""
    for name, value in os.environ.items():
        meant = name.startswith("AWS_") or name.upper() in _PROXIES
        if meant and any(ord(character) < 32 or ord(character) == 127 for character in value):
            raise SettingsError(f"{name} holds a line break or another control character; {_HOW}")
