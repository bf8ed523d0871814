"""What a page gave its viewers: AppTest cannot click these components, but it has their data."""

import json
from typing import Any

from streamlit.testing.v1 import AppTest


def viewers(page: AppTest) -> list[dict[str, Any]]:
    """The data of the viewers on a page that ran without an error, from the top."""
    assert not page.exception
    protos = [element.proto for element in page.get("bidi_component")]
    return [json.loads(proto.json) for proto in protos if proto.component_name == "viewer"]


def numbers(page: AppTest) -> dict[str, str]:
    """The numbers of the first viewer by name."""
    assert not page.error
    return {name: value for name, value, _ in viewers(page)[0]["words"]["numbers"]}


def value_of(text: str) -> float:
    """The number in a text such as "−1.5·10⁻⁴"."""
    plain = text.replace("−", "-").translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
    mantissa, _, exponent = plain.partition("·10")
    return float(mantissa) * 10.0 ** int(exponent or 0)
