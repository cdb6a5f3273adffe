"""Certificates as a private authority issues them."""

import datetime as dt
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_PEM = serialization.Encoding.PEM
_LIFETIME = dt.timedelta(hours=1)


class Authority:
    """A root certificate with its key."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _common_name(name)
        certificate = _unsigned(self._name, self._name, self._key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.root_pem = certificate.sign(self._key, hashes.SHA256()).public_bytes(_PEM).decode()

    def issue(self, address: str) -> str:
        """Key and certificate, PEM, of a server at an IP address."""
        key = ec.generate_private_key(ec.SECP256R1())
        address_only = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        certificate = (
            _unsigned(_common_name("server"), self._name, key.public_key())
            .add_extension(address_only, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        unencrypted = serialization.NoEncryption()
        key_pem = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, unencrypted)
        return (key_pem + certificate.public_bytes(_PEM)).decode()


def _unsigned(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _LIFETIME)
        .not_valid_after(now + _LIFETIME)
    )


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
