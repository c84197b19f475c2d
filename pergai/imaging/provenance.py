"""What a picture says about its making: an XMP packet with IPTC's DigitalSourceType and the recipe.

XMP: ISO 16684-1. IPTC Photo Metadata Standard 2025.1, namespace Iptc4xmpExt; the digital source types are IPTC
NewsCodes (https://cv.iptc.org/newscodes/digitalsourcetype/).
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any, Literal
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from PIL import Image

from pergai import __version__
from pergai.imaging.psd import SIGNATURE, read_xmp

AiMade = Literal["composite", "algorithmic", "enhanced"]

_NEWSCODES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
SOURCE_TYPES: dict[AiMade, str] = {
    "composite": _NEWSCODES + "compositeSynthetic",  # a photo in a set that was rendered or grown by rule
    "algorithmic": _NEWSCODES + "compositeWithTrainedAlgorithmicMedia",  # a trained model painted part of it
    "enhanced": _NEWSCODES + "algorithmicallyEnhanced",  # a photo cut out, sharpened, cleaned
}

NAMESPACES = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "pergai": "urn:pergai:provenance:1.0#",
}

LONGEST_TEXT = 4000
"""Characters kept of a prompt: JPEG has room for one packet of 65,502 bytes."""

_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {namespaces}><rdf:Description rdf:about="">
{properties}
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def xmp_packet(ai_made: AiMade, record: Mapping[str, Any]) -> bytes:
    """The packet for one result, UTF-8. The same record gives the same bytes.

    `record`: whatever is to be known, by camelCase name (generation, seed, pipeline, model, scene, prompt …); names are
    XML names, empty values are left out, lists are joined by ", ".
    """
    properties = {
        "xmp:CreatorTool": f"pergai {__version__}",
        "Iptc4xmpExt:DigitalSourceType": SOURCE_TYPES[ai_made],
    }
    if ai_made == "algorithmic":
        # Readers take the mere presence of these for "made by AI", so nothing else carries them.
        properties["Iptc4xmpExt:AISystemUsed"] = _text(record.get("model"))
        properties["Iptc4xmpExt:AIPromptInformation"] = _text(record.get("prompt"))
    properties |= {f"pergai:{name}": _text(value) for name, value in record.items()}
    return _PACKET.format(
        namespaces=" ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items()),
        properties="\n".join(f"<{name}>{escape(text)}</{name}>" for name, text in properties.items() if text),
    ).encode("utf-8")


def read_provenance(data: bytes) -> dict[str, str]:
    """What a file of ours says about itself: "DigitalSourceType", "CreatorTool" and the fields of the record.

    Empty when there is no packet or it is not well-formed. Raises OSError when `data` is no image.
    """
    packet: str | bytes
    if data.startswith(SIGNATURE):
        packet = read_xmp(data)
    else:
        with Image.open(io.BytesIO(data)) as image:
            packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    content = packet.encode("utf-8") if isinstance(packet, str) else packet
    if not content or b"<!" in content:  # XMP has no document type; entities could be a bomb
        return {}
    try:
        root = ElementTree.fromstring(content.decode("utf-8").strip("\ufeff\0 \n"))  # noqa: S314 - see above
    except (ElementTree.ParseError, UnicodeDecodeError):
        return {}
    ours = {f"{{{NAMESPACES[prefix]}}}" for prefix in ("xmp", "Iptc4xmpExt", "pergai")}
    return {
        element.tag.partition("}")[2]: element.text or ""
        for description in root.iter(f"{{{NAMESPACES['rdf']}}}Description")
        for element in description
        if element.tag.partition("}")[0] + "}" in ours
    }


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        value = ", ".join(map(str, value))
    return _NOT_XML.sub("", str(value))[:LONGEST_TEXT]
