"""HTTPS, with certificates that are replaced while the server runs."""

import ssl
from pathlib import Path

from tunewright.serving.doors.file_changes import FileChanges
from tunewright.serving.errors import SettingsError
from tunewright.serving.events import emit


class Certificates:
    """The certificate that new connections get. Its files are looked at again with each handshake."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """SettingsError for what cannot be read, or does not belong together."""
        self._certificate, self._key = certificate, key
        self._changes = FileChanges([certificate, key])
        self._current = self._load()
        self.context = self._load()
        """What the web server is given: at each handshake it asks for the certificate of now."""
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        if self._changes.are_there():
            self._load_again()
        connection.context = self._current

    def _load_again(self) -> None:
        try:
            self._current = self._load()
        except SettingsError as error:
            # Two files are seldom written in one moment.
            emit("certificate_kept", f"the certificate of before holds on: {error}", level="error")
        else:
            emit("certificate_read", "the certificate has changed")

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # Only HTTP/1.1 is spoken here.
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self._certificate, self._key, password=_no_password)
        except (OSError, ssl.SSLError) as error:
            why = getattr(error, "reason", None) or error.strerror or str(error)
            raise SettingsError(
                f"{str(self._certificate)!r} (SERVING_TLS_CERTIFICATE) with {str(self._key)!r} (SERVING_TLS_KEY) "
                f"cannot be used: {why}; both are PEM files, the certificate with those that lead to its authority"
            ) from None
        return context


def _no_password() -> str:
    """OpenSSL would ask at the terminal."""
    raise ssl.SSLError(0, "the key is encrypted; give one without a password")
