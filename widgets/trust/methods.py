"""The methods whose maps are compared, chosen family by family."""

from collections.abc import Iterable, Sequence

import streamlit as st

from core.attribution.registry import METHODS, Kind, quick_methods

_FAMILIES: dict[Kind, str] = {
    "sensitivity": "Gradients: what would change the score",
    "contribution": "Contributions: how the score is shared out",
    "layer": "Class activation maps: what a layer has found",
}


def pick_methods() -> tuple[str, ...]:
    """Names of the chosen methods, in the order of display; kept in the URL."""
    families = {kind: [name for name, method in METHODS.items() if method.kind == kind] for kind in _FAMILIES}
    known = _known()
    for kind, names in families.items():
        st.session_state.setdefault(_key(kind), [name for name in names if name in known])
    slow = " and ".join(method.title for method in METHODS.values() if not method.is_quick)
    count = sum(len(st.session_state[_key(kind)]) for kind in families)
    with st.popover(f"{count} of {len(METHODS)} methods", icon=":material/stacks:", key="methods"):
        for kind, names in families.items():
            st.pills(
                _FAMILIES[kind], names, selection_mode="multi", key=_key(kind),
                format_func=lambda name: METHODS[name].title,
            )  # fmt: skip
        st.caption(f"{slow} run the network once per channel of the layer, which takes long.")
    chosen = _in_order(name for kind in families for name in st.session_state[_key(kind)])
    _keep(chosen)
    return chosen


def _known() -> Sequence[str]:
    """What was chosen before another page was opened, else what the URL says, else the quick ones."""
    if "_methods" in st.session_state:
        return st.session_state["_methods"]
    names = {method.title: name for name, method in METHODS.items()}
    given = st.query_params.get_all("methods")
    return [names[title] for title in given if title in names] if given else quick_methods()


def _keep(chosen: tuple[str, ...]) -> None:
    st.session_state["_methods"] = chosen
    titles = [METHODS[name].title for name in chosen] or [""]
    if chosen == quick_methods():
        st.query_params.pop("methods", None)
    elif st.query_params.get_all("methods") != titles:
        st.query_params["methods"] = titles


def _in_order(names: Iterable[str]) -> tuple[str, ...]:
    found = set(names)
    return tuple(name for name in METHODS if name in found)


def _key(kind: Kind) -> str:
    return f"_methods_{kind}"
