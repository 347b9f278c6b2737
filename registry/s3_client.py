"""The S3 client: the AWS default chain for credentials, AWS_ENDPOINT_URL_S3 for other servers."""

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from registry.errors import AccessDenied, AddressError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


def connect() -> "S3Client":
    """A client for the environment's endpoint and credentials; it may be shared by threads."""
    _check_endpoint()
    import boto3
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
        return boto3.session.Session().client("s3", config=config)
    except ProfileNotFound as error:
        raise AccessDenied(f"{error}; check AWS_PROFILE") from None
    except ConfigParseError as error:
        raise AccessDenied(f"the AWS configuration file cannot be read: {error}") from None
    except (BotoCoreError, ValueError) as error:
        raise AddressError(f"the S3 client cannot be made: {error}; check AWS_REGION and AWS_ENDPOINT_URL_S3") from None


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
        if urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname:
            raise AddressError(f"{name}={value!r} is not the address of an S3 server; expected http(s)://host:port")
