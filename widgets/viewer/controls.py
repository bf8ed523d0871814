"""Controls inside a viewer, which repaint at once; Python and the address learn of a value when the hand is lifted."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import streamlit as st

Value = str | float | bool
_KEPT = "_viewer_settings"


@dataclass(frozen=True)
class Shown:
    """A layer is shown while a control is on or, for a choice, has one of these values."""

    control: str
    value: str | Sequence[Value] | None = None

    def describe(self) -> dict[str, Any]:
        """The condition as plain values for the browser."""
        values = [self.value] if isinstance(self.value, str) else list(self.value or ())
        return {"setting": self.control, "in": values}


@dataclass(frozen=True, kw_only=True)
class Control:
    """What all controls have.

    Attributes:
        name: Name in the address; controls of one name on several pages share their value.
        label: Label on screen.
        default: Value at first.
        help: Explanation under the pointer.
        below: Whether it stands below the panels.
        when: It is shown only while this control has one of these values.
    """

    name: str
    label: str
    default: Value
    help: str = ""
    below: bool = False
    when: tuple[str, Sequence[str]] | None = None

    def parse(self, text: str) -> Value | None:
        """The value that stands in an address; None for no value of this control."""
        return next((value for value, label in self.texts().items() if text in (str(value), label)), None)

    def texts(self) -> Mapping[Value, str]:
        """What each value is called on screen."""
        raise NotImplementedError

    def takes(self, value: object) -> bool:
        """Whether it is a value of this control."""
        return isinstance(value, str | float | int) and value in self.texts()

    def describe(self) -> dict[str, Any]:
        """The control as plain values for the browser."""
        return {
            "name": self.name,
            "label": self.label,
            "default": self.default,
            "help": self.help,
            "below": self.below,
            "when": None if self.when is None else [self.when[0], list(self.when[1])],
        }


@dataclass(frozen=True, kw_only=True)
class Choice(Control):
    """One of a few, with the words on screen by value.

    Attributes:
        options: The words by value.
        is_menu: Whether it is a menu however few there are, so that it stays where it is when one comes or goes.
    """

    options: Mapping[str, str]
    is_menu: bool = False

    def texts(self) -> Mapping[Value, str]:
        """See `Control.texts`."""
        return dict(self.options.items())

    def describe(self) -> dict[str, Any]:
        """See `Control.describe`."""
        options = [[value, label, ""] for value, label in self.options.items()]
        return super().describe() | {"kind": "choice", "options": options, "isMenu": self.is_menu or len(options) > 3}


@dataclass(frozen=True, kw_only=True)
class Slider(Control):
    """One of many numbers in their order; `form` writes them, `{:g} %` with `factor` 100 for proportions."""

    values: Sequence[float]
    form: str = "{:g}"
    factor: float = 1.0

    def texts(self) -> Mapping[Value, str]:
        """See `Control.texts`."""
        return {value: self.form.format(self.factor * value) for value in self.values}

    def parse(self, text: str) -> Value | None:
        """See `Control.parse`."""
        with suppress(ValueError):
            return float(text) if float(text) in self.values else None
        return super().parse(text)

    def describe(self) -> dict[str, Any]:
        """See `Control.describe`."""
        return super().describe() | {
            "kind": "slider",
            "values": list(self.values),
            "texts": list(self.texts().values()),
        }


@dataclass(frozen=True, kw_only=True)
class Switch(Control):
    """On or off."""

    def texts(self) -> Mapping[Value, str]:
        """See `Control.texts`."""
        return {True: "true", False: "false"}

    def describe(self) -> dict[str, Any]:
        """See `Control.describe`."""
        return super().describe() | {"kind": "switch"}


@dataclass(frozen=True, kw_only=True)
class Colour(Control):
    """A colour, as "#rrggbb"."""

    def parse(self, text: str) -> Value | None:
        """See `Control.parse`."""
        return text if self.takes(text) else None

    def takes(self, value: object) -> bool:
        """See `Control.takes`."""
        return isinstance(value, str) and re.fullmatch("#[0-9a-f]{6}", value) is not None

    def describe(self) -> dict[str, Any]:
        """See `Control.describe`."""
        return super().describe() | {"kind": "colour"}


def settings_of(controls: Sequence[Control]) -> dict[str, Any]:
    """The values of the controls: as set in this browser tab, else as the address says, else the defaults."""
    kept = st.session_state.setdefault(_KEPT, {})
    return {control.name: _value(control, kept) for control in controls}


def keep_settings(controls: Sequence[Control], values: Mapping[str, Any]) -> None:
    """Keep the values that controls were set to; what is no value of a control is left out."""
    st.session_state.setdefault(_KEPT, {}).update(values_of(controls, values))


def values_of(controls: Sequence[Control], values: Mapping[str, Any]) -> dict[str, Value]:
    """The values that are values of their control, by its name."""
    given = ((control, values.get(control.name)) for control in controls)
    return {control.name: value for control, value in given if value is not None and control.takes(value)}


def keep_texts(controls: Sequence[Control], texts: Mapping[str, str | None]) -> None:
    """Keep the values that an address names; a name without a text takes its default."""
    found = {
        control.name: control.default if (text := texts.get(control.name)) is None else control.parse(text)
        for control in controls
        if control.name in texts
    }
    keep_settings(controls, found)


def in_address(controls: Sequence[Control], settings: Mapping[str, Any]) -> dict[str, str | None]:
    """What the address says about the controls: None for a default, which is left out."""
    return {
        control.name: None if settings[control.name] == control.default else text_of(settings[control.name])
        for control in controls
    }


def _value(control: Control, kept: Mapping[str, Value]) -> Value:
    if control.takes(kept.get(control.name)):
        return kept[control.name]
    stated = st.query_params.get(control.name)
    found = control.parse(stated) if stated is not None else None
    return control.default if found is None else found


def text_of(value: Value) -> str:
    """A control's value as the address and the browser write it."""
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
