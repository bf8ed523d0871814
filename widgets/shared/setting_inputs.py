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
        bound = found.get(each.at_most)
        found[each.name] = value if value is None or bound is None else min(value, bound)
    return found


def _input(slot: DeltaGenerator, each: Setting, default: Any, key: str, disabled: bool) -> Any:
    words: dict[str, Any] = {
        "label": each.label, "help": each.help or None, "key": key, "bind": "query-params", "disabled": disabled,
    }  # fmt: skip
    if each.annotation is bool:
        return slot.toggle(**words, value=default)
    number, values = each.number_type, each.values
    if number is not None and not each.choices and (default is None or isinstance(default, int | float)):
        bounds = {"min_value": each.low, "max_value": each.high, "step": each.step, "value": default}
        words |= {name: value if value is None else number(value) for name, value in bounds.items()}
        found = slot.number_input(**words)
        return None if found is None else number(found)
    if each.choices or (values and number is None):
        names = list(values)
        titles = {str(name): title for name, title in each.choices.items()}
        name = slot.selectbox(
            **words, options=names, index=None if default is None else list(values.values()).index(default),
            format_func=lambda name: titles.get(name) or name.replace("_", " ").capitalize(),
        )  # fmt: skip
        return None if name is None else each.parse(name)
    if isinstance(default, tuple):
        default = ",".join(map(str, default))
    text = slot.text_input(**words, value=None if default is None else str(default))
    return None if text is None else each.parse(text)
