"""What may come in about telephone numbers."""

from __future__ import annotations

from typing import Any

import phonenumbers
from colander import SchemaNode
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from marketplace_api.schemas.base import Body
from marketplace_api.schemas.types import InvalidField, Text

# Of some countries the numbers do not tell whether they are mobile. What costs its holder or us more is left out.
_TAKES_TEXTS = frozenset(
    {
        PhoneNumberType.MOBILE,
        PhoneNumberType.FIXED_LINE_OR_MOBILE,
        PhoneNumberType.VOIP,
        PhoneNumberType.PERSONAL_NUMBER,
    }
)


class PhoneNumber(Text):
    """A number with the code of its country, that text messages can be sent to; comes as E.164."""

    def __init__(self) -> None:
        super().__init__(40, 8)

    def check(self, node: SchemaNode, value: Any) -> str:
        text = super().check(node, value)
        try:
            number = phonenumbers.parse(text, None)
        except phonenumbers.NumberParseException:
            number = None
        if number is None or not phonenumbers.is_valid_number(number) or number.extension:
            raise InvalidField(
                node, "not_a_phone", "Send a number with the code of its country, such as +4915112345678."
            )
        if phonenumbers.number_type(number) not in _TAKES_TEXTS:
            raise InvalidField(node, "not_a_mobile", "Text messages cannot be sent to this number; send a mobile one.")
        return str(phonenumbers.format_number(number, PhoneNumberFormat.E164))


class RequestPhoneCode(Body):
    """The number that is one's own."""

    phone = SchemaNode(PhoneNumber(), title="Phone", description="With the code of its country: +49 151 12345678.")


class ConfirmPhone(Body):
    """The code that came by text message."""

    code = SchemaNode(Text(6, 6, pattern="[0-9]{6}", hint="Send the six digits of the text message."), title="Code")
