"""Certificates of HTTPS listeners: the one imported to ACM, or a throwaway one when ACM has none with its key."""

import datetime
import ipaddress
import ssl
import tempfile

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from moto.acm.models import acm_backends

from .network import ANY_NODE, node_address

_contexts = {}  # (ARN, balancer) -> SSLContext


def context(arn, balancer):
    key = arn, balancer
    if key not in _contexts:
        _contexts[key] = _load(_imported(arn) or _throwaway(balancer))
    return _contexts[key]


def _load(pem):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as f:
        f.write(pem)
        f.flush()
        made.load_cert_chain(f.name)
    return made


def _imported(arn):
    for account in list(acm_backends.values()):
        for backend in list(account.values()):
            bundle = backend._certificates.get(arn)
            if bundle is not None and bundle.key and bundle.type == "IMPORTED":
                return b"\n".join(part for part in (bundle.cert, bundle.chain, bundle.key) if part)
    return None


def _throwaway(balancer):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "awslab")])
    addresses = [node_address(balancer, n) for n in [*range(8), ANY_NODE - 1]]
    names = [x509.IPAddress(ipaddress.ip_address(a)) for a in addresses]
    names += [x509.DNSName("*.elb.amazonaws.com"), x509.DNSName("localhost")]
    at, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)
    draft = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    draft = draft.serial_number(x509.random_serial_number()).not_valid_before(at - day).not_valid_after(at + 30 * day)
    made = draft.add_extension(x509.SubjectAlternativeName(names), False).sign(key, hashes.SHA256())
    pem, pkcs8, plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return made.public_bytes(pem) + key.private_bytes(pem, pkcs8, plain)
