"""What an S3 server or the way to it answers, turned into one sentence for people.

Errors are told apart by HTTP status first, because the answer to a HEAD has no body and so no code.
"""

from dataclasses import dataclass

from tunewright.registry.address import shown_address
from tunewright.registry.errors import AccessDenied, AddressError, Conflict, NotFound, RegistryError, Unreachable

_KEYS = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_DENIED = {
    "InvalidAccessKeyId": f"the access key is not known there; {_KEYS}",
    "SignatureDoesNotMatch": "the secret key is not the one of the access key; check AWS_SECRET_ACCESS_KEY",
    "ExpiredToken": "the session token has expired; renew AWS_SESSION_TOKEN",
    "RequestExpired": "the credentials have expired; renew them",
    "InvalidToken": "the session token is not valid; check AWS_SESSION_TOKEN",
    "RequestTimeTooSkewed": "the clock of this machine is wrong by more than the server allows; set it",
    "AccessDenied": "these credentials do not allow it; ask for the right {right}",
}
_RIGHTS = {
    "ListObjectsV2": "s3:ListBucket",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "ListParts": "s3:ListMultipartUploadParts",
    "GetObject": "s3:GetObject",
    "HeadObject": "s3:GetObject",
    "DeleteObject": "s3:DeleteObject",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "CopyObject": "s3:PutObject here and s3:GetObject where it is copied from",
}
"""What is needed to be allowed an operation; s3:PutObject for all others."""
_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired")
_REGION = ("AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException")


@dataclass(frozen=True)
class Place:
    """A bucket on a server, for messages."""

    bucket: str
    endpoint: str
    profile: str | None = None
    """Of the AWS configuration, whose endpoint it is; None where the environment names it."""

    def name(self, key: str = "") -> str:
        """`s3://bucket/key at http://host:port`, without the credentials an endpoint may hold."""
        return f"s3://{self.bucket}/{key} at {self.server}"

    @property
    def server(self) -> str:
        """The endpoint without credentials."""
        return shown_address(self.endpoint).replace("***@", "").removesuffix("?***").rstrip("/")


def status_of(error: Exception) -> int | None:
    """The HTTP status of an error answer; None when there was no answer."""
    metadata = getattr(error, "response", None) or {}
    status = metadata.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return int(status) if status else None


def is_passing(error: Exception) -> bool:
    """Whether the same request may well succeed a moment later (also: whether its fate is unknown)."""
    from botocore import exceptions as boto
    from urllib3.exceptions import HTTPError

    status = status_of(error)
    if status is not None:
        return status >= 500 or status in (408, 429)
    if isinstance(error, boto.EndpointConnectionError | boto.SSLError | boto.ProxyConnectionError):
        return False  # nobody there: botocore has tried several times already
    return isinstance(error, boto.HTTPClientError | boto.IncompleteReadError | HTTPError)


def is_outage(error: Exception) -> bool:
    """Whether a server that has answered before does so again, sooner or later, to the same request."""
    from botocore import exceptions as boto

    elsewhere = (boto.EndpointConnectionError, boto.CredentialRetrievalError, boto.TokenRetrievalError)
    return status_of(error) != 501 and (is_passing(error) or isinstance(error, elsewhere))


def is_expired(error: Exception) -> bool:
    """Whether the server says that the credentials were good, and are not any more."""
    # Where a connection has ended before the answer, the response is there and None.
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", "")) in _EXPIRED


def sentence(error: Exception, place: Place, key: str) -> RegistryError:
    """The error for people; its cause stays attached for those who debug."""
    if status_of(error) is None:
        return _no_answer(error, place)
    details = getattr(error, "response", {}).get("Error", {})
    code, text = str(details.get("Code", "")), str(details.get("Message", ""))
    right = _RIGHTS.get(getattr(error, "operation_name", ""), "s3:PutObject")
    return _by_code(code, text, place, key, right) or _by_status(status_of(error) or 0, code, text, place.name(key))


def _by_code(code: str, text: str, place: Place, key: str, right: str) -> RegistryError | None:
    if code in _DENIED:
        return AccessDenied(f"{place.name(key)}: {_DENIED[code].format(right=right)}")
    if code == "NoSuchBucket":
        return NotFound(f"there is no bucket {place.bucket!r} at {place.server}; check the name and the endpoint")
    if code in _REGION:
        return AddressError(f"the bucket {place.bucket!r} is in another region ({text}); set AWS_REGION")
    return None


def _by_status(status: int, code: str, text: str, name: str) -> RegistryError:
    if status == 404:
        return NotFound(f"there is no {name}")
    if status in (401, 403):
        return AccessDenied(
            f"{name}: access denied ({status}); {_KEYS} and the rights they give "
            "(without the right to list, a missing object is answered so too)"
        )
    if status in (409, 412):
        return Conflict(f"{name}: another write was under way ({code}); try again")
    if status >= 500 or status == 429:
        return Unreachable(f"{name}: the server failed after every retry ({status} {code}); try again later")
    return RegistryError(f"{name}: the server refused the request ({status} {code}: {text})")


def _no_answer(error: Exception, place: Place) -> RegistryError:
    from botocore import exceptions as boto

    server = place.server
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError):
        return AccessDenied(
            f"no complete credentials for {server} were found; set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or use another source of the AWS default chain"
        )
    if isinstance(error, boto.CredentialRetrievalError | boto.TokenRetrievalError | boto.UnauthorizedSSOTokenError):
        return AccessDenied(
            f"the credentials for {server} could not be obtained ({type(error).__name__}); log in again"
        )
    if isinstance(error, boto.SSLError):
        return Unreachable(
            f"no trusted connection to {server}: its certificate was not accepted; "
            "set AWS_CA_BUNDLE to the file of its certificate authority"
        )
    if isinstance(error, boto.ProxyConnectionError):
        return Unreachable(
            f"the proxy on the way to {server} does not answer; check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
        )
    if isinstance(error, boto.EndpointConnectionError | boto.ConnectTimeoutError):
        told = f"endpoint_url of the profile {place.profile}" if place.profile else "AWS_ENDPOINT_URL_S3"
        return Unreachable(f"nothing answers at {server}; check {told} and the network")
    if isinstance(error, boto.ParamValidationError):
        return AddressError(f"{place.name()} is not a usable address: {error}")
    return Unreachable(f"the connection to {server} broke off after every retry ({type(error).__name__}); try again")
