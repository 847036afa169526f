"""Passwords: hashing them, checking them in uniform time, and saying why one is too weak.

No account and no database here; who may try how often is decided in ``accounts/login_throttle.py``.
"""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from itertools import pairwise

import bcrypt

from marketplace_api.errors import FieldError

MINIMUM_LENGTH = 10
MAXIMUM_LENGTH = 1024

# Parts of a name shorter than this turn up in good passwords by chance.
SHORTEST_TELLING_NAME = 3
# A unit of up to this many characters, repeated, is as easy to guess as the unit.
LONGEST_TRIVIAL_UNIT = 4

_BCRYPT = re.compile(r"\$2[abxy]\$(?P<cost>[0-9]{2})\$[./A-Za-z0-9]{53}")
_NOBODY_SALT = "KkmbRl1mSb5xYvTq9c2gfO"

_KEYBOARD_ROWS = ("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "yxcvbnm", "azertyuiop")
_LEET = str.maketrans("013457@$!", "oieastasi")

# Entries of published lists of leaked passwords that are long enough to pass the length rule.
_COMMON_TEXT = """
    0123456789 0987654321 1029384756 1111122222 1122334455 12341234123 1234512345 12345678910 1234567890a
    1234567890q 123456789a 123456789abc 123456789q 123456789qwe 1234567891 1234qwerasdf 123abc456def
    123qwe123qwe 123qweasdzxc 1472583690 1q2w3e4r5t 1q2w3e4r5t6y 1q2w3e4r5t6y7u 1qaz2wsx3edc
    1qaz2wsx3edc4rfv 1qazxsw23edc 1qaz1qaz1qaz 3rjs1la7qe 7894561230 789456123a 9876543210 987654321a
    a123456789 a1234567890 a1b2c3d4e5 a1s2d3f4g5 aa12345678 aa123456789 abc1234567 abc123456789 abcd123456 abcd1234567
    abcde12345 abcdefg123 abcdefg1234 asd123456789 asdasdasd123 asdf123456 asdfasdfasdf asdfghjkl1 asdfghjkl123
    asdfghjkl; asdfqwer1234 azerty12345 azerty123456 changeme123 computer123 correcthorsebatterystaple evolution1
    family12345 hello123456 iloveyou12 iloveyou123 iloveyou1234 jordan2323 letmein1234 liverpool1
    manchester1 mynoob1234 nopassword p@ssw0rd123 passw0rd123 passw0rd1234 password12 password123 password1234
    password12345 password123456 pokemon123 princess12 princess123 q1w2e3r4t5 q1w2e3r4t5y6 qawsedrftg qazwsx1234
    qazwsx12345 qazwsx123456 qazwsxedc1 qazwsxedc123 qazwsxedcrfv qq123456789 qwe123asd456 qwe123qwe123 qwer123456
    qwer1234qwer qwerasdfzxcv qwerqwer1234 qwerty1234 qwerty12345 qwerty123456 qwerty1234567 qwerty123456789 qwertyuiop1
    qwertyuiop12 qwertyuiop123 samsung1234 secret12345 slipknot666 spongebob1 sunshine12 sunshine123 superman12
    superman123 test123456 test1234test testtest123 thequickbrownfox trustno1234 welcome1234 woaini1314 woaini1314520
    z1x2c3v4b5 zaq12wsxcde3 zaq1zaq1zaq1 zaq1xsw2cde3 zxcasdqwe123 zxcvbnm123 zxcvbnm1234 zxcvbnm12345
    """
# Words that stay common whatever digits and signs follow them.
_COMMON_WORDS_TEXT = """
    abc abcdef admin administrator baseball basketball batman changeme charlie chocolate computer default dragon
    football freedom hello iloveu iloveyou internet letmein liverpool login lovely marketplace master michael monkey
    mustang mypassword newpassword ninja nopassword passphrase passport password passwort pokemon princess purple qazwsx
    qwerty qwertz azerty root sample samsung secret shadow starwars summer winter spring autumn sunshine superman test
    testing testpassword thomas trustno user welcome whatever yourpassword
    """
_COMMON = frozenset(_COMMON_TEXT.split())
_COMMON_WORDS = frozenset(_COMMON_WORDS_TEXT.split())


def hash_password(password: str, cost: int) -> str:
    """The bcrypt hash of ``password`` with ``2**cost`` rounds, as text of 60 characters.

    bcrypt looks at 72 bytes and dislikes NUL, so it is given the base64 of a SHA-384 of the NFC form (RFC 8265,
    section 4.2): every character of a long password counts, and one password typed on two keyboards is one.
    """
    return bcrypt.hashpw(_condensed(password), bcrypt.gensalt(cost)).decode("ascii")


def verify_password(password: str, hashed: str) -> bool:
    """Whether ``hashed`` is a hash of ``password``; something that is no bcrypt hash matches nothing."""
    if not _BCRYPT.fullmatch(hashed):
        return False
    try:
        return bcrypt.checkpw(_condensed(password), hashed.encode("ascii"))
    except ValueError:
        return False


def needs_upgrade(hashed: str, cost: int) -> bool:
    """Whether ``hashed`` was made with another work factor than ``cost``, or is no bcrypt hash."""
    return _cost_of(hashed) != cost


def verify_against_nobody(password: str, cost: int) -> None:
    """Spend the time of a real check where there is no account to check against."""
    bcrypt.hashpw(_condensed(password), _salt(cost))


def matches(password: str, hashed: str | None, cost: int) -> bool:
    """As :func:`verify_password`, in the time that ``cost`` takes whether or not there is a hash.

    A hash of an older, lower cost is verified faster; the missing rounds are spent too, or the answer's time
    would tell that the account exists.
    """
    if hashed is None:
        verify_against_nobody(password, cost)
        return False
    right = verify_password(password, hashed)
    # 2**c + (2**c + 2**(c+1) + … + 2**(cost-1)) rounds are exactly 2**cost.
    for missing in range(_cost_of(hashed) or cost, cost):
        verify_against_nobody(password, missing)
    return right


def weaknesses(password: str, *, username: str, email: str, field: str = "password") -> list[FieldError]:
    """Everything that makes ``password`` too weak for this account; empty when it is fine.

    Codes: ``too_short``, ``too_long``, ``contains_username``, ``contains_email``, ``too_common``. The rules
    are those of NIST SP 800-63B, section 5.1.1.2: a minimum length, a generous maximum, a list of known
    values and values taken from the context, and no demand for kinds of characters. ``field`` is the input's
    name in the errors.
    """
    text = unicodedata.normalize("NFC", password)
    found: list[tuple[str, str]] = []
    if len(text) < MINIMUM_LENGTH:
        found.append(("too_short", f"Use at least {MINIMUM_LENGTH} characters."))
    if len(text) > MAXIMUM_LENGTH:
        # The other rules would only burn time on it.
        found.append(("too_long", f"Use at most {MAXIMUM_LENGTH} characters."))
        return [FieldError("body", field, code, message) for code, message in found]
    folded = _folded(text)
    if _contains(folded, username):
        found.append(("contains_username", "Do not use your user name in your password."))
    if _contains(folded, email) or _contains(folded, email.partition("@")[0]):
        found.append(("contains_email", "Do not use your e-mail address in your password."))
    if _is_common(folded):
        found.append(("too_common", "This password is among the first that an attacker tries."))
    return [FieldError("body", field, code, message) for code, message in found]


def _condensed(password: str) -> bytes:
    # surrogatepass: text that is no valid Unicode must hash to something, not crash.
    text = unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
    return base64.b64encode(hashlib.sha384(text).digest())


def _salt(cost: int) -> bytes:
    return f"$2b${cost:02d}${_NOBODY_SALT}".encode("ascii")


def _cost_of(hashed: str) -> int | None:
    match = _BCRYPT.fullmatch(hashed)
    return int(match["cost"]) if match else None


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _contains(folded: str, name: str) -> bool:
    wanted = _folded(name.strip())
    return len(wanted) >= SHORTEST_TELLING_NAME and wanted in folded


def _is_common(folded: str) -> bool:
    unit = _repeated_unit(folded)
    if len(unit) < len(folded) and len(unit) <= LONGEST_TRIVIAL_UNIT:
        return True
    return _is_sequence(unit) or any(
        word in _COMMON or word.rstrip("0123456789 .,;:!?#*_-+") in _COMMON_WORDS
        for word in (folded, unit, unit.translate(_LEET), _without_padding(unit).translate(_LEET))
    )


def _without_padding(text: str) -> str:
    return text.rstrip("0123456789 .,;:!?#*_-+")


def _repeated_unit(text: str) -> str:
    """The shortest string of which ``text`` is a repetition (itself, where it is none)."""
    return text[: (text + text).find(text, 1)] if text else text


def _is_sequence(text: str) -> bool:
    """Whether the characters follow one another in the alphabet, in the digits or in a row of a keyboard."""
    steps = {ord(right) - ord(left) for left, right in pairwise(text)}
    if len(text) > 2 and steps in ({1}, {-1}):
        return True
    rows = (row * 3 for row in _KEYBOARD_ROWS)
    return len(text) > 2 and any(text in row or text in row[::-1] for row in rows)
