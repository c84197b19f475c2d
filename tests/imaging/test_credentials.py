"""Content Credentials: what the signed manifest says, and which certificates are refused."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import c2pa
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from PIL import Image

from pergai.errors import SettingsError
from pergai.imaging.credentials import RECIPE, SIGNED_FORMATS, Identity, load_identity, sign
from pergai.imaging.decode import decode
from pergai.imaging.encode import encode
from pergai.imaging.picture import RGB
from pergai.imaging.provenance import read_provenance, xmp_packet
from tests.identity import write_identity

RECORD = {"generation": "0193f0a0", "seed": 7, "pipeline": "render", "scene": "marble", "prompt": "", "notes": ()}


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    found = load_identity(*write_identity(tmp_path, ec.generate_private_key(ec.SECP256R1())))
    assert found is not None
    return found


@pytest.fixture
def source(tmp_path: Path, photos: dict[str, RGB]) -> Path:
    path = tmp_path / "cup.jpg"
    Image.fromarray(photos["coffee"]).save(path)
    return path


def manifests(content: bytes, format: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """(the active manifest, all of the report) as c2pa's own reader sees them."""
    with c2pa.Reader(f"image/{format}", io.BytesIO(content)) as reader:
        report = json.loads(reader.json())
    return report["manifests"][report["active_manifest"]], report


def assertion(manifest: dict[str, Any], label: str) -> Any:
    return next(found["data"] for found in manifest["assertions"] if found["label"] == label)


@pytest.mark.parametrize("format", SIGNED_FORMATS)
def test_a_signed_picture_has_a_valid_manifest_and_the_same_pixels_and_xmp(
    format: str, identity: Identity, source: Path, photos: dict[str, RGB]
) -> None:
    pixels = photos["coffee"]
    plain = encode(pixels, None, format, xmp=xmp_packet("composite", RECORD))
    signed = sign(plain, format, identity, ai_made="composite", recipe=RECORD, source=source)
    manifest, report = manifests(signed, format)
    assert report["validation_state"] == "Valid"
    assert manifest["claim_generator_info"][0]["name"] == "pergai"
    assert assertion(manifest, RECIPE) == {"generation": "0193f0a0", "seed": 7, "pipeline": "render", "scene": "marble"}
    limit = pixels.shape[0] * pixels.shape[1]
    np.testing.assert_array_equal(decode(signed, max_pixels=limit).pixels, decode(plain, max_pixels=limit).pixels)
    assert read_provenance(signed) == read_provenance(plain)


@pytest.mark.parametrize(
    ("ai_made", "actions", "relationship", "source_type"),
    [
        ("composite", ["c2pa.created", "c2pa.placed"], "componentOf", "compositeSynthetic"),
        ("algorithmic", ["c2pa.created", "c2pa.placed"], "componentOf", "compositeWithTrainedAlgorithmicMedia"),
        ("enhanced", ["c2pa.opened", "c2pa.edited"], "parentOf", "algorithmicallyEnhanced"),
    ],
)
def test_the_manifest_says_what_was_done_to_the_source(
    ai_made: Any,
    actions: list[str],
    relationship: str,
    source_type: str,
    identity: Identity,
    source: Path,
    photos: dict[str, RGB],
) -> None:
    plain = encode(photos["coffee"], None, "jpeg")
    manifest, _ = manifests(sign(plain, "jpeg", identity, ai_made=ai_made, recipe=RECORD, source=source), "jpeg")
    done = assertion(manifest, "c2pa.actions.v2")["actions"]
    assert [action["action"] for action in done] == actions
    assert [action["digitalSourceType"].rpartition("/")[2] for action in done if "digitalSourceType" in action] == [
        source_type
    ]
    assert [(part["title"], part["relationship"]) for part in manifest["ingredients"]] == [("source", relationship)]


def test_the_manifest_of_a_signed_source_is_carried_on(
    identity: Identity, source: Path, photos: dict[str, RGB], tmp_path: Path
) -> None:
    plain = encode(photos["coffee"], None, "jpeg")
    from_camera = tmp_path / "camera.jpg"
    from_camera.write_bytes(sign(plain, "jpeg", identity, ai_made="enhanced", recipe={"seed": 1}, source=source))
    manifest, report = manifests(
        sign(plain, "jpeg", identity, ai_made="composite", recipe=RECORD, source=from_camera), "jpeg"
    )
    first = report["manifests"][manifest["ingredients"][0]["active_manifest"]]
    assert assertion(first, RECIPE) == {"seed": 1}


def test_a_changed_pixel_breaks_the_signature(identity: Identity, source: Path, photos: dict[str, RGB]) -> None:
    signed = bytearray(
        sign(
            encode(photos["coffee"], None, "jpeg"), "jpeg", identity, ai_made="composite", recipe=RECORD, source=source
        )
    )
    signed[-2000] ^= 1
    assert manifests(bytes(signed), "jpeg")[1]["validation_state"] == "Invalid"


@pytest.mark.parametrize(
    "secret",
    [
        pytest.param(lambda: ec.generate_private_key(ec.SECP384R1()), id="P-384"),
        pytest.param(ed25519.Ed25519PrivateKey.generate, id="Ed25519"),
        pytest.param(lambda: rsa.generate_private_key(65537, 2048), id="RSA"),
    ],
)
def test_the_kinds_of_key_c2pa_allows(secret: Any, tmp_path: Path, source: Path, photos: dict[str, RGB]) -> None:
    identity = load_identity(*write_identity(tmp_path, secret()))
    assert identity is not None
    signed = sign(
        encode(photos["coffee"], None, "jpeg"), "jpeg", identity, ai_made="composite", recipe=RECORD, source=source
    )
    assert manifests(signed, "jpeg")[1]["validation_state"] == "Valid"


def test_no_certificate_no_signing() -> None:
    assert load_identity(None, None) is None


def test_a_wrong_certificate_is_refused_by_name(tmp_path: Path) -> None:
    certificate, key = write_identity(tmp_path, ec.generate_private_key(ec.SECP256R1()))
    (tmp_path / "other").mkdir()
    _, other = write_identity(tmp_path / "other", ec.generate_private_key(ec.SECP256R1()))
    (tmp_path / "old").mkdir()
    expired = write_identity(tmp_path / "old", ec.generate_private_key(ec.SECP256R1()), days=5)
    (tmp_path / "odd").mkdir()
    odd = write_identity(tmp_path / "odd", ec.generate_private_key(ec.SECP256K1()))
    for pair, message in [
        ((certificate, None), "belong together"),
        ((tmp_path / "none.pem", key), "certificate: .*cannot be read"),
        ((certificate, other), "is not the key of"),
        ((key, key), "is no PEM certificate"),
        ((certificate, certificate), "is no PEM private key"),
        (expired, "not today"),
        (odd, "must be EC P-256"),
    ]:
        with pytest.raises(SettingsError, match=message):
            load_identity(*pair)
