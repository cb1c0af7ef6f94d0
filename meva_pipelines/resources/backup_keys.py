"""The keys of backups: one seals, all open. A key never leaves this process; its id stands in every header.

`MEVA_BACKUP_KEY` holds keys of 32 bytes in base64, separated by commas: the first seals what is written from now on,
the others open what was sealed before. To rotate, put a new key in front; a key may go when no backup names its id.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from meva_pipelines.domain.failures import Refused, Unusable

if TYPE_CHECKING:
    from tink.streaming_aead import StreamingAead

NO_KEY = "0" * 16
"""The id in the header of a backup that is not encrypted."""

_KEY_BYTES = 32
_SEGMENT_BYTES = 1 << 20
_KEY_TYPE = "type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey"


@dataclass(frozen=True, slots=True)
class Keyring:
    """Keys by their id, in the order given."""

    keys: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @property
    def sealing_id(self) -> str:
        """Id of the key that seals, or `NO_KEY`."""
        return next(iter(self.keys), NO_KEY)

    def cipher(self, key_id: str) -> "StreamingAead | None":
        """Return what seals and opens with a key: AES-256-GCM in segments of 1 MiB, or None for `NO_KEY`.

        The construction (HKDF per stream, nonce of prefix, counter and last-segment flag) is Tink's
        AES256_GCM_HKDF_1MB: a segment that is missing, moved or cut off does not open.

        Raises:
            Unusable: the key is not at hand.
        """
        if key_id == NO_KEY:
            return None
        if key_id not in self.keys:
            known = ", ".join(self.keys) or "none"
            raise Unusable(
                f"the key {key_id} of this backup is not at hand (at hand: {known}); add it to MEVA_BACKUP_KEY",
                rule="backup_key",
            )
        return _cipher(self.keys[key_id])


def keyring(setting: str) -> Keyring:
    """Return the keys of a setting; an empty one gives a ring without keys.

    Raises:
        Refused: something is no key. The message quotes nothing of it.
    """
    keys: dict[str, bytes] = {}
    for position, word in enumerate(filter(None, (word.strip() for word in setting.split(","))), start=1):
        try:
            key = base64.b64decode(word, validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != _KEY_BYTES:
            raise Refused(
                f"key {position} in MEVA_BACKUP_KEY is not {_KEY_BYTES} bytes in base64; "
                "make one with: openssl rand -base64 32"
            )
        keys[key_id(key)] = key
    return Keyring(keys)


def key_id(key: bytes) -> str:
    """Return the id of a key: 16 hexadecimal digits that say nothing about it."""
    return hashlib.sha256(b"meva backup key id\0" + key).hexdigest()[:16]


def _cipher(key: bytes) -> "StreamingAead":
    import tink  # noqa: PLC0415 - 20 MB: only for those who seal or open
    from tink import json_proto_keyset_format, secret_key_access, streaming_aead  # noqa: PLC0415
    from tink.proto import aes_gcm_hkdf_streaming_pb2, common_pb2  # noqa: PLC0415

    streaming_aead.register()
    described: Any = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(
        params=aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingParams(
            ciphertext_segment_size=_SEGMENT_BYTES, derived_key_size=_KEY_BYTES, hkdf_hash_type=common_pb2.SHA256
        ),
        key_value=key,
    )
    entry = {
        "keyData": {
            "typeUrl": _KEY_TYPE,
            "value": base64.b64encode(described.SerializeToString()).decode(),
            "keyMaterialType": "SYMMETRIC",
        },
        "status": "ENABLED",
        "keyId": 1,
        "outputPrefixType": "RAW",
    }
    keyset = json.dumps({"primaryKeyId": 1, "key": [entry]})
    handle: tink.KeysetHandle = json_proto_keyset_format.parse(keyset, secret_key_access.TOKEN)
    return handle.primitive(streaming_aead.StreamingAead)
