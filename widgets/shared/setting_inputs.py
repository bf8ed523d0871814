"""Inputs for the settings of methods, made from the attributes of each setting."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from streamlit.delta_generator import DeltaGenerator

from core.attribution.settings import Setting


def setting_inputs(
    settings: Iterable[Setting], defaults: Mapping[str, Any], slots: Sequence[DeltaGenerator], key_prefix: str = ""
) -> dict[str, Any]:
    """An input for each setting that pages offer, kept in the URL; the values chosen, by the setting's name.

    A setting that bounds another comes before it. The slots are filled in turn. `key_prefix` makes keys unique where a
    page shows a setting more than once.
    """
    found: dict[str, Any] = {}
    for index, each in enumerate(one for one in settings if one.on_page):
        default, key = defaults.get(each.name, each.default), f"{key_prefix}{each.key}"
        is_used = all(found[name] == value for name, value in each.only_with.items())
        value = _input(slots[index % len(slots)], each, default, key, disabled=not is_used)
        found[each.name] = min(value, found[each.at_most]) if each.at_most in found else value
    return found


def _input(slot: DeltaGenerator, each: Setting, default: Any, key: str, disabled: bool) -> Any:
    words: dict[str, Any] = {
        "label": each.label, "help": each.help or None, "key": key, "bind": "query-params", "disabled": disabled,
    }  # fmt: skip
    if each.annotation is bool:
        return slot.toggle(**words, value=default)
    if each.choices:
        names = list(each.choices)
        return slot.selectbox(
            **words, options=names, index=names.index(default), format_func=lambda name: each.choices[name]
        )
    if each.number_type is None:
        return slot.text_input(**words, value=str(default))
    number = each.number_type
    bounds = {"min_value": each.low, "max_value": each.high, "step": each.step, "value": default}
    words |= {name: value if value is None else number(value) for name, value in bounds.items()}
    return number(slot.number_input(**words))
