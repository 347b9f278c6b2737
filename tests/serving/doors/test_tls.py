"""HTTPS with certificates that change."""

import datetime
import socket
import ssl
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tunewright.serving.doors.tls import Certificates
from tunewright.serving.errors import SettingsError


def write_pair(folder, organization, password=None):
    """A certificate for localhost that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
    builder = builder.not_valid_after(now + datetime.timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    folder.mkdir(exist_ok=True)
    algorithm = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    (folder / "tls.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, algorithm))
    (folder / "tls.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return folder / "tls.crt", folder / "tls.key"


def organization(port):
    """Of the certificate that a new connection is shown."""
    pem = ssl.get_server_certificate(("localhost", port), timeout=30)
    [attribute] = x509.load_pem_x509_certificate(pem.encode()).subject
    return attribute.value


def test_the_server_speaks_https_with_the_certificate_of_now(guarded, tmp_path, capfd):
    certificate, key = write_pair(tmp_path, "first")
    trusted = ssl.create_default_context(cafile=certificate)
    with guarded(tls=Certificates(certificate, key).context, verify=trusted) as client:
        assert client.post("/predict", json={"inputs": "great"}).status_code == 200
        write_pair(tmp_path, "second")
        for _ in range(300):
            if organization(client.base_url.port) == "second":
                break
            time.sleep(0.02)
        assert organization(client.base_url.port) == "second"
        assert client.get("/livez").status_code == 200  # the connection of before lives on
        key.write_text("half a file")
        time.sleep(1.1)  # longer than between two looks
        assert organization(client.base_url.port) == "second"
        assert "the certificate of before holds on" in capfd.readouterr().err


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_plain_http_and_old_tls_are_not_answered(guarded, tmp_path):
    certificate, key = write_pair(tmp_path, "first")
    with guarded(tls=Certificates(certificate, key).context, verify=False) as client:
        address = ("localhost", client.base_url.port)
        with socket.create_connection(address, timeout=30) as plain:
            plain.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"HTTP" not in plain.recv(100)
        old = ssl.create_default_context()
        old.check_hostname, old.verify_mode, old.maximum_version = False, ssl.CERT_NONE, ssl.TLSVersion.TLSv1_1
        with socket.create_connection(address, timeout=30) as plain, pytest.raises((ssl.SSLError, ConnectionError)):
            old.wrap_socket(plain)


def test_files_that_do_not_serve_are_named_with_the_reason(tmp_path):
    first, second = write_pair(tmp_path / "a", "first"), write_pair(tmp_path / "b", "second")
    locked = write_pair(tmp_path / "c", "third", password=b"secret")
    for certificate, key, why in (
        (first[0], second[1], "KEY_VALUES_MISMATCH"),
        (first[0], tmp_path / "none", "No such file or directory"),
        (*locked, "the key is encrypted; give one without a password"),
    ):
        with pytest.raises(SettingsError) as caught:
            Certificates(certificate, key)
        files = f"{str(certificate)!r} (SERVING_TLS_CERTIFICATE) with {str(key)!r} (SERVING_TLS_KEY)"
        assert str(caught.value) == (
            f"{files} cannot be used: {why}; both are PEM files, the certificate with those that lead to its authority"
        )
