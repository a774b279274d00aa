#!/usr/bin/env python3
"""Checks an erasure receipt offline, with Python's standard library alone. Shares no code with the vault.

    verify_receipt.py RECEIPT.json --key KEY [--head HEAD]...

KEY is the log's public key as the operator publishes it (a signed note's verifier key), or a file that holds it: take it
from anywhere but the receipt, or the receipt proves only that whoever wrote it can sign. HEAD is a file with a tree head
that you kept earlier: a head of the same size must then have the same root.

Exit code 0: the receipt proves that the erasure is in the log. 1: it does not, and the reason is printed.

What is checked: 1. the head's Ed25519 signature (RFC 8032; C2SP signed-note and tlog-checkpoint) by KEY; 2. that the leaf
is in the tree of that head (RFC 6962, section 2.1.1); 3. that the leaf is this tenant's erasure, names the receipt, and
commits to the subject (HMAC-SHA-256 under the receipt's salt).
"""

import argparse
import base64
import binascii
import hashlib
import hmac
import json
import os
import sys
import uuid

FORMAT = "volar erasure receipt v1"
FIELDS = {"format", "receipt_id", "erased_at_unix_ms", "subject_id", "salt", "leaf", "leaf_index", "inclusion", "head", "public_key"}
# The vault's word alone, in no leaf: shown, never relied on.
UNPROVEN = {"matchers_confirmed", "matchers_pending"}
LEAF_LINES = ("tenant", "index", "time", "actor", "action", "subject", "outcome", "detail")


class Refused(Exception):
    """The receipt proves nothing, and why."""


def demand(holds, why):
    if not holds:
        raise Refused(why)


# Ed25519, after RFC 8032, section 5.1 and appendix A. Slow and not constant-time, which a verifier need not be.
P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)


def recover_x(y, sign):
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    if square == 0:
        return None if sign else 0
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P:
        return None
    return P - x if x & 1 != sign else x


def decompress(octets):
    y = int.from_bytes(octets, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    x = recover_x(y, sign)
    return None if x is None else (x, y, 1, x * y % P)


def add(one, other):
    a = (one[1] - one[0]) * (other[1] - other[0]) % P
    b = (one[1] + one[0]) * (other[1] + other[0]) % P
    c = 2 * one[3] * other[3] * D % P
    d = 2 * one[2] * other[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def multiply(scalar, point):
    total = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point = add(point, point)
        scalar >>= 1
    return total


def same(one, other):
    return (one[0] * other[2] - other[0] * one[2]) % P == 0 and (one[1] * other[2] - other[1] * one[2]) % P == 0


BASE_Y = 4 * pow(5, -1, P) % P
BASE_X = recover_x(BASE_Y, 0)
BASE = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)


def signature_holds(public, message, signature):
    if len(public) != 32 or len(signature) != 64:
        return False
    key, nonce = decompress(public), decompress(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or nonce is None or scalar >= ORDER:
        return False
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % ORDER
    return same(multiply(scalar, BASE), add(nonce, multiply(challenge, key)))


def unbase64(text, what):
    try:
        octets = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(f"{what} is not base64") from None
    demand(base64.b64encode(octets).decode() == text, f"{what} is not base64")
    return octets


def unhex(text, length, what):
    demand(isinstance(text, str) and len(text) == 2 * length, f"{what} must have {2 * length} hexadecimal digits")
    demand(all(digit in "0123456789abcdef" for digit in text), f"{what} must have {2 * length} hexadecimal digits")
    return bytes.fromhex(text)


def open_key(text):
    parts = text.split("+", 2)
    demand(len(parts) == 3 and parts[0].startswith("volar/audit/"), "that is no public key of an audit log")
    octets = unbase64(parts[2], "the public key")
    demand(len(octets) == 33 and octets[0] == 1, "the public key is not of Ed25519")
    hint = hashlib.sha256(parts[0].encode() + b"\n" + octets).digest()[:4]
    demand(hint.hex() == parts[1], "the public key is altered: its hash is another")
    return parts[0], hint, octets[1:]


def open_head(text, key):
    """Size and root of a signed head."""
    name, hint, public = key
    body, blank, signatures = text.partition("\n\n")
    demand(blank and signatures.endswith("\n"), "the tree head is cut")
    body += "\n"
    lines = body.split("\n")
    demand(len(lines) == 5 and lines[4] == "", "the tree head is malformed")
    demand(lines[0] == name, f"the tree head is of {lines[0]}, the key of {name}")
    demand(lines[1].isascii() and lines[1].isdigit() and str(int(lines[1])) == lines[1], "the tree head is malformed")
    demand(lines[3].startswith("time "), "the tree head is malformed")
    root = unbase64(lines[2], "the tree head's root")
    demand(len(root) == 32, "the tree head's root must have 32 bytes")
    prefix = f"\u2014 {name} "
    signatures = signatures[:-1].split("\n")
    demand(all(line.startswith("\u2014 ") for line in signatures), "the tree head is malformed")
    for line in signatures:
        if line.startswith(prefix):
            stamped = unbase64(line[len(prefix):], "the tree head's signature")
            if stamped[:4] == hint and signature_holds(public, body.encode(), stamped[4:]):
                return int(lines[1]), root
    raise Refused("the tree head is not signed by this key")


def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_above(leaf, index, size, proof):
    """RFC 9162, section 2.1.3.2, which verifies proofs of RFC 6962."""
    demand(0 <= index < size, "the leaf's index is beyond the tree")
    place, last, root = index, size - 1, hashlib.sha256(b"\x00" + leaf).digest()
    for sibling in proof:
        demand(last, "the inclusion proof is too long")
        if place & 1 or place == last:
            root = node(sibling, root)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            root = node(root, sibling)
        place, last = place >> 1, last >> 1
    demand(last == 0, "the inclusion proof is too short")
    return root


def open_leaf(text):
    lines = text.split("\n")
    demand(lines[0] == "volar audit leaf v1" and len(lines) == 10 and lines[9] == "", "the leaf is malformed")
    values = {}
    for name, line in zip(LEAF_LINES, lines[1:]):
        demand(line.startswith(name + " "), f"the leaf has no {name}")
        values[name] = line[len(name) + 1:]
    return values


def identifier(text, what):
    try:
        parsed = uuid.UUID(text)
    except (ValueError, AttributeError, TypeError):
        raise Refused(f"{what} is no UUID") from None
    demand(str(parsed) == text, f"{what} is no UUID as it is usually written")
    return parsed


def verify(receipt, key_text, kept_heads):
    """Returns what the receipt proves; raises Refused."""
    demand(isinstance(receipt, dict) and receipt.get("format") == FORMAT, f"that is no \"{FORMAT}\"")
    missing, strange = FIELDS - receipt.keys(), receipt.keys() - FIELDS - UNPROVEN
    demand(not missing, f"the receipt lacks {', '.join(sorted(missing))}")
    demand(not strange, f"the receipt has fields that it should not: {', '.join(sorted(strange))}")
    for name in ("leaf", "head", "public_key"):
        demand(isinstance(receipt[name], str), f"{name} must be text")
    for name in ("leaf_index", "erased_at_unix_ms"):
        demand(type(receipt[name]) is int, f"{name} must be a whole number")
    demand(isinstance(receipt["inclusion"], list) and len(receipt["inclusion"]) <= 64, "inclusion must be a list of hashes")
    demand(receipt["public_key"] == key_text, "the receipt is by another key than the one that you trust")
    key = open_key(key_text)
    size, root = open_head(receipt["head"], key)
    proof = [unhex(text, 32, "a hash of the inclusion proof") for text in receipt["inclusion"]]
    above = root_above(receipt["leaf"].encode(), receipt["leaf_index"], size, proof)
    demand(above == root, "the leaf is not in the tree of this head: leaf, index, proof or head was altered")

    leaf = open_leaf(receipt["leaf"])
    demand(f"volar/audit/{leaf['tenant']}" == key[0], "the leaf is of another tenant")
    demand(leaf["index"] == str(receipt["leaf_index"]), "the leaf is at another index")
    demand(leaf["action"] == "erasure" and leaf["outcome"] == "done", "the leaf is no erasure")
    demand(leaf["time"] == str(receipt["erased_at_unix_ms"]), "the erasure was at another time")
    number = identifier(receipt["receipt_id"], "receipt_id")
    demand(leaf["detail"].startswith(f"receipt {number},"), "the leaf is of another receipt")
    subject = identifier(receipt["subject_id"], "subject_id")
    salt = unhex(receipt["salt"], 32, "salt")
    commitment = hmac.new(salt, subject.bytes, hashlib.sha256).hexdigest()
    demand(hmac.compare_digest(commitment, leaf["subject"]), "the leaf is about somebody else: subject or salt was altered")

    for text in kept_heads:
        kept_size, kept_root = open_head(text, key)
        demand(kept_size != size or kept_root == root, f"a head that you kept has another root at {size} leaves: the log was rewritten")
    return {"receipt": str(number), "subject": str(subject), "tenant": leaf["tenant"], "leaf": receipt["leaf_index"], "size": size}


def main():
    parser = argparse.ArgumentParser(description="Checks an erasure receipt offline.")
    parser.add_argument("receipt", help="the receipt, a JSON file")
    parser.add_argument("--key", required=True, help="the log's public key, or a file that holds it")
    parser.add_argument("--head", action="append", default=[], metavar="FILE", help="a tree head that you kept")
    arguments = parser.parse_args()
    try:
        with open(arguments.receipt, encoding="utf-8") as file:
            receipt = json.load(file)
        key = arguments.key
        if os.path.isfile(key):
            with open(key, encoding="utf-8") as file:
                key = file.read().strip()
        kept = []
        for path in arguments.head:
            with open(path, encoding="utf-8", newline="") as file:
                kept.append(file.read())
        proven = verify(receipt, key, kept)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        print(f"NOT PROVEN: {error}")
        return 1
    except Refused as refused:
        print(f"NOT PROVEN: {refused}")
        return 1
    print(f"PROVEN: erasure {proven['receipt']} of subject {proven['subject']} is leaf {proven['leaf']} of {proven['tenant']}'s log, in a tree of {proven['size']} leaves signed by this key.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
