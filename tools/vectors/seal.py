"""The cryptography of spec/wire.md, sections 3 to 6, from the page: Noise IK, key schedule, seals, sealed cluster IDs."""

import hashlib
import hmac as hmac_module

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from wire import HEADER, IN_GROUP, Refused, decode_body

NOISE = b"Noise_IK_25519_AESGCM_SHA256"


def sha256(data):
    return hashlib.sha256(data).digest()


def hmac(key, data):
    return hmac_module.new(key, data, hashlib.sha256).digest()


def hkdf_extract(salt, material):
    return hmac(salt, material)


def hkdf_expand(prk, info, length):
    out, block, counter = b"", b"", 1
    while len(out) < length:
        block = hmac(prk, block + info + bytes([counter]))
        out += block
        counter += 1
    return out[:length]


def public_key(secret):
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def dh(secret, public):
    """X25519. W-HSK-5: a product of zero is refused (by the library itself)."""
    try:
        return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise Refused("bad_handshake", "a shared secret of zeros") from None


# W-STM-1: the library asks for a canonical S and uses no cofactor; small orders are refused here.

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)


def decompress(data):
    """A point (x, y) of the curve, or None (RFC 8032, section 5.1.3)."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * SQRT_M1 % P
    if x * x % P != square or (x == 0 and sign):
        return None
    return (P - x if x & 1 != sign else x, y)


def double(point):
    x, y = point
    product = D * x * x * y * y
    return (
        2 * x * y * pow(1 + product, -1, P) % P,
        (y * y + x * x) * pow(1 - product, -1, P) % P,
    )


def has_small_order(data):
    point = decompress(data)
    if point is None:
        return True
    for _ in range(3):
        point = double(point)
    return point == (0, 1)


def verify(key, message, signature):
    """Whether an Ed25519 signature holds, strictly."""
    if has_small_order(key) or has_small_order(signature[:32]):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


class Seal:
    """Key and iv of one direction."""

    def __init__(self, material, version=1):
        self.key, self.iv, self.version = material[:32], material[32:], version

    @classmethod
    def session(cls, noise_key):
        return cls(hkdf_expand(noise_key, b"duohuo seal 1", 44))

    @classmethod
    def bound(cls, noise_key, sessions, ranges):
        """Section 3.2, version 2: the numbers of both sessions and both ranges, initiator first."""
        numbers = b"".join(session.to_bytes(8, "big") for session in sessions)
        info = b"duohuo seal 2" + numbers + b"".join(bytes(range_) for range_ in ranges)
        return cls(hkdf_expand(noise_key, info, 44), 2)

    @classmethod
    def group(cls, cluster, generation, secret, sender, boot):
        salt = cluster.to_bytes(4, "big") + generation.to_bytes(4, "big")
        info = b"duohuo group 1" + sender.to_bytes(4, "big") + boot.to_bytes(8, "big")
        return cls(hkdf_expand(hkdf_extract(salt, secret), info, 44))

    def open(self, packet, header):
        """W-RCV-3, W-SEAL-2: the plaintext of a sealed packet."""
        if header.get("version", self.version) != self.version:
            raise Refused("forged")
        counter = header["sequence"].to_bytes(12, "big")
        nonce = bytes(a ^ b for a, b in zip(self.iv, counter))
        try:
            return AESGCM(self.key).decrypt(nonce, packet[HEADER:-4], packet[:HEADER])
        except InvalidTag:
            raise Refused("forged") from None


def open_group(seal, packet, header, signing_key):
    """W-RCV-3, W-RCV-4: the body of a group packet."""
    plain = seal.open(packet, header)
    if len(plain) < 64:
        raise Refused("truncated", "signature")
    body, signature = plain[:-64], plain[-64:]
    if not verify(signing_key, b"duohuo group sign 1" + packet[:HEADER] + body, signature):
        raise Refused("bad_signature")
    if header["type"] not in IN_GROUP:
        raise Refused("bad_value", "type")
    return body


def open_body(seal, packet, header):
    """A session packet's body, decoded."""
    return decode_body(header["type"], seal.open(packet, header))


def mac1_key(public):
    return sha256(b"duohuo mac1" + public)


def mac16(key, data):
    return hmac(key, data)[:16]


def cookie(secret, address, port, ephemeral):
    return mac16(secret, address + port.to_bytes(2, "big") + ephemeral)


class Symmetric:
    """Noise's symmetric state (revision 34, section 5.2)."""

    def __init__(self, prologue):
        self.h = NOISE.ljust(32, b"\0")
        self.ck = self.h
        self.k, self.n = None, 0
        self.mix_hash(prologue)

    def mix_hash(self, data):
        self.h = sha256(self.h + data)

    def hkdf2(self, material):
        prk = hkdf_extract(self.ck, material)
        out = hkdf_expand(prk, b"", 64)
        return out[:32], out[32:]

    def mix_key(self, material):
        self.ck, self.k = self.hkdf2(material)
        self.n = 0

    def nonce(self):
        self.n += 1
        return bytes(4) + (self.n - 1).to_bytes(8, "big")

    def decrypt_and_hash(self, data):
        try:
            plain = AESGCM(self.k).decrypt(self.nonce(), data, self.h)
        except InvalidTag:
            raise Refused("bad_handshake") from None
        self.mix_hash(data)
        return plain

    def encrypt_and_hash(self, plain):
        data = AESGCM(self.k).encrypt(self.nonce(), plain, self.h)
        self.mix_hash(data)
        return data


def prologue(consortium, transport):
    return b"duohuo" + bytes([1, 1]) + consortium + bytes([{"datagram": 0, "stream": 1}[transport]])


def read_message_1(preamble, secret, message):
    """The responder's side: the state, the initiator's e and static key, the timestamp."""
    state = Symmetric(preamble)
    state.mix_hash(public_key(secret))
    e = message[:32]
    state.mix_hash(e)
    state.mix_key(dh(secret, e))
    static = state.decrypt_and_hash(message[32:80])
    state.mix_key(dh(secret, static))
    timestamp = state.decrypt_and_hash(message[80:])
    return state, e, static, timestamp


def write_message_1(preamble, secret, ephemeral, responder, timestamp):
    """The initiator's side: the state and the message."""
    state = Symmetric(preamble)
    state.mix_hash(responder)
    e = public_key(ephemeral)
    state.mix_hash(e)
    state.mix_key(dh(ephemeral, responder))
    static = state.encrypt_and_hash(public_key(secret))
    state.mix_key(dh(secret, responder))
    return state, e + static + state.encrypt_and_hash(timestamp)


def write_message_2(state, ephemeral, initiator_e, initiator_static):
    """The responder's side."""
    e = public_key(ephemeral)
    state.mix_hash(e)
    state.mix_key(dh(ephemeral, initiator_e))
    state.mix_key(dh(ephemeral, initiator_static))
    return e + state.encrypt_and_hash(b"")


def read_message_2(state, secret, ephemeral, message):
    """The initiator's side."""
    e = message[:32]
    state.mix_hash(e)
    state.mix_key(dh(ephemeral, e))
    state.mix_key(dh(secret, e))
    state.decrypt_and_hash(message[32:])


def split(state):
    return state.hkdf2(b"")


def open_sealed_id(secret, sealed, cluster, consortium, session_key, signing_key):
    """Section 6: the claims, W-SID-1 and the cluster of W-SID-2."""
    if len(sealed) != 84:
        raise Refused("sealed_id_bad_length")
    e = sealed[:32]
    try:
        material = dh(secret, e) + dh(secret, public_key(secret))
    except Refused:
        raise Refused("sealed_id_forged") from None
    prk = hkdf_extract(b"duohuo sealed id 1", material)
    binding = sha256(session_key + signing_key)
    seal = Seal(hkdf_expand(prk, consortium + binding + cluster.to_bytes(4, "big"), 44))
    try:
        plain = AESGCM(seal.key).decrypt(seal.iv, sealed[32:], e)
    except InvalidTag:
        raise Refused("sealed_id_forged") from None
    claims, at = {}, 0
    for name, width in (
        ("cluster", 4),
        ("node", 4),
        ("registration_epoch", 4),
        ("serial", 8),
        ("issued", 8),
        ("expires", 8),
    ):
        value = int.from_bytes(plain[at : at + width], "big")
        claims[name] = str(value) if width == 8 else value
        at += width
    if claims["cluster"] != cluster:
        raise Refused("sealed_id_forged")
    return claims


class Window:
    """Section 4.3."""

    def __init__(self):
        self.newest = None
        self.accepted = set()

    def take(self, sequence):
        if sequence >= 2**63 or sequence in self.accepted:
            return False
        if self.newest is not None and sequence < self.newest - 1023:
            return False
        self.newest = sequence if self.newest is None else max(self.newest, sequence)
        self.accepted.add(sequence)
        return True
