"""The certificate of the listening server: what works stays until something better works."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from pathlib import Path

import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gitops.errors import ConfigError
from gitops.model.serving import TlsSpec
from gitops.web.tls import Certificate


def write_pair(folder: Path, name: str = "gitops.example.com", phrase: bytes = b"") -> TlsSpec:
    """A certificate of its own authority for a name and 127.0.0.1, in the two files of a spec."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if phrase:
        encryption = serialization.BestAvailableEncryption(phrase)
    spec = TlsSpec(folder / "tls.crt", folder / "tls.key")
    spec.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    spec.key.touch(0o600)
    spec.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    )
    return spec


async def shown(certificate: Certificate) -> str:
    """The name in the certificate that a new connection sees."""
    server = await asyncio.start_server(
        lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=certificate.context
    )
    port = server.sockets[0].getsockname()[1]
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    server.close()
    [name] = x509.load_der_x509_certificate(der).subject
    return str(name.value)


async def test_a_renewed_certificate_is_shown_without_a_restart(tmp_path: Path) -> None:
    certificate = Certificate(write_pair(tmp_path, "old.example.com"))
    assert await shown(certificate) == "old.example.com"
    certificate.renew()
    write_pair(tmp_path, "new.example.com")
    assert await shown(certificate) == "old.example.com"
    certificate.renew()
    assert await shown(certificate) == "new.example.com"


async def test_a_pair_that_does_not_fit_leaves_the_old_one_in_force(tmp_path: Path) -> None:
    spec = write_pair(tmp_path, "old.example.com")
    certificate = Certificate(spec)
    other = tmp_path / "other"
    other.mkdir()
    half = write_pair(other, "new.example.com")
    spec.certificate.write_bytes(half.certificate.read_bytes())
    with structlog.testing.capture_logs() as log:
        certificate.renew()
    assert [entry["event"] for entry in log] == ["certificate.kept"]
    assert await shown(certificate) == "old.example.com"
    spec.key.write_bytes(half.key.read_bytes())
    certificate.renew()
    assert await shown(certificate) == "new.example.com"


def test_what_cannot_be_used_is_refused_in_words(tmp_path: Path) -> None:
    spec = write_pair(tmp_path, phrase=b"sesame")
    with pytest.raises(ConfigError, match="the certificate cannot be used") as refused:
        Certificate(spec)
    assert "without a pass phrase" in refused.value.hint
    spec = write_pair(tmp_path)
    spec.key.chmod(0o644)
    with pytest.raises(ConfigError, match="can be read or written by everybody"):
        Certificate(spec)
    spec.key.chmod(0o600)
    spec.key.write_text("no key")
    with pytest.raises(ConfigError, match="the certificate cannot be used"):
        Certificate(spec)
    spec.key.unlink()
    with pytest.raises(ConfigError, match=r"tls.key cannot be read"):
        Certificate(spec)
