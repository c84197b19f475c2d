"""Content Credentials: a manifest signed with the studio's own certificate, inside the picture (C2PA 2.x).

Off unless a certificate is configured. The manifest says what was done (created, placed, opened, edited), names the
source as an ingredient, whose own manifest (a camera's) is carried on, and holds the recipe. Nothing is fetched: no
remote manifests, no OCSP, no time-stamping authority. Specification: https://spec.c2pa.org.
"""

from __future__ import annotations

import importlib.util
import io
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pergai import __version__
from pergai.errors import SettingsError
from pergai.imaging.provenance import SOURCE_TYPES, AiMade

RECIPE = "org.pergai.recipe"
"""Label of the assertion with seed, pipeline, model and scene."""

SIGNED_FORMATS = ("png", "jpeg", "webp", "avif", "tiff")

_OFFLINE = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
}
_ALGORITHMS = {"secp256r1": b"es256", "secp384r1": b"es384", "secp521r1": b"es512"}


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate chain, leaf first, and its private key, both PEM."""

    certificates: bytes
    key: bytes = field(repr=False)
    algorithm: bytes


def load_identity(certificate: Path | None, key: Path | None) -> Identity | None:
    """The studio's identity, or None when neither file is configured.

    Raises SettingsError naming the setting: a file that cannot be read, a key that does not belong to the certificate,
    a kind of key C2PA does not allow, a certificate that is not valid today, or the package that is missing.
    """
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise SettingsError("credentials: certificate and key belong together; one of them is not set")
    if importlib.util.find_spec("c2pa") is None:
        raise SettingsError("credentials: signing needs the package c2pa-python; install pergai[credentials]")
    chain, private = _read(certificate, "certificate"), _read(key, "key")
    return Identity(certificates=chain, key=private, algorithm=_algorithm(chain, private, certificate, key))


def sign(
    content: bytes, format: str, identity: Identity, *, ai_made: AiMade, recipe: Mapping[str, Any], source: Path
) -> bytes:
    """The same picture with a signed manifest inside; pixels are untouched.

    `format` is one of SIGNED_FORMATS. The time of signing and the manifest's id are part of it, so two signed files of
    the same seed differ there. Raises c2pa.C2paError when the file cannot be signed.
    """
    import c2pa

    manifest = {
        "claim_generator_info": [{"name": "pergai", "version": __version__}],
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": _actions(ai_made)}},
            {
                "label": RECIPE,
                "data": {name: value for name, value in recipe.items() if value not in (None, "", [], ())},
            },
        ],
    }
    ingredient = {"title": "source", "relationship": _relationship(ai_made), "label": "source"}
    signed = io.BytesIO()
    with (
        source.open("rb") as original,
        c2pa.Context(c2pa.Settings.from_dict(_OFFLINE)) as context,
        c2pa.Signer.from_info(_signer_info(identity)) as signer,
        c2pa.Builder(manifest, context) as builder,
    ):
        builder.add_ingredient(ingredient, mimetypes.guess_type(source.name)[0] or "image/png", original)
        builder.sign(signer, f"image/{format}", io.BytesIO(content), signed)
    return signed.getvalue()


def _actions(ai_made: AiMade) -> list[dict[str, Any]]:
    of_source = {"parameters": {"ingredientIds": ["source"]}}
    if _relationship(ai_made) == "parentOf":
        return [
            {"action": "c2pa.opened", **of_source},
            {"action": "c2pa.edited", "digitalSourceType": SOURCE_TYPES[ai_made]},
        ]
    return [
        {"action": "c2pa.created", "digitalSourceType": SOURCE_TYPES[ai_made]},
        {"action": "c2pa.placed", **of_source},
    ]


def _relationship(ai_made: AiMade) -> str:
    """An enhanced photo is still that photo; in a composite it is one part."""
    return "parentOf" if ai_made == "enhanced" else "componentOf"


def _signer_info(identity: Identity) -> Any:
    import c2pa

    return c2pa.C2paSignerInfo(identity.algorithm, identity.certificates, identity.key, None)


def _read(path: Path, setting: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"credentials.{setting}: {path} cannot be read ({error.strerror})") from error


def _algorithm(chain: bytes, private: bytes, certificate: Path, key: Path) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        leaf = x509.load_pem_x509_certificates(chain)[0]
    except ValueError as error:
        raise SettingsError(f"credentials.certificate: {certificate} is no PEM certificate") from error
    try:
        secret = load_pem_private_key(private, password=None)
    except (ValueError, TypeError) as error:
        raise SettingsError(f"credentials.key: {key} is no PEM private key without a password") from error
    if secret.public_key() != leaf.public_key():
        raise SettingsError(f"credentials.key: {key} is not the key of {certificate}")
    today = datetime.now(UTC)
    if not leaf.not_valid_before_utc <= today <= leaf.not_valid_after_utc:
        raise SettingsError(
            f"credentials.certificate: {certificate} is valid from {leaf.not_valid_before_utc:%Y-%m-%d} "
            f"to {leaf.not_valid_after_utc:%Y-%m-%d}, not today"
        )
    if isinstance(secret, ec.EllipticCurvePrivateKey) and secret.curve.name in _ALGORITHMS:
        return _ALGORITHMS[secret.curve.name]
    if isinstance(secret, ed25519.Ed25519PrivateKey):
        return b"ed25519"
    if isinstance(secret, rsa.RSAPrivateKey) and secret.key_size >= 2048:
        return b"ps256"
    raise SettingsError(
        f"credentials.key: {key} must be EC P-256, P-384 or P-521, Ed25519, or RSA of 2048 bits or more"
    )
