"""A user's mistake as one sentence on the page."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches

import streamlit as st

from core.errors import UserError, is_out_of_memory


class SolvableError(UserError):
    """A user's mistake together with widgets that solve it.

    Args:
        sentence: What is wrong and what to do.
        solve: Draws the widgets, under the sentence.
    """

    def __init__(self, sentence: str, solve: Callable[[], None]) -> None:
        super().__init__(sentence)
        self.solve = solve


def show_user_error(error: UserError) -> None:
    """Show the error's sentence, and what solves it where it can be solved."""
    _show(str(error), st.error)
    if isinstance(error, SolvableError):
        error.solve()


@contextmanager
def show_user_errors() -> Iterator[None]:
    """Show a UserError raised inside. A fragment needs its own: its reruns do not pass through the page's."""
    try:
        yield
    except UserError as error:
        show_user_error(error)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        st.error("Memory ran out; take a smaller image, or crop it.", icon=":material/error:")


def say(place: str, sentences: Sequence[str]) -> None:
    """Sentences about something that went wrong, for `show_said` and, beside a closed side bar, as toasts.

    They replace those of the same place.
    """
    st.session_state[f"_said_{place}"] = None, tuple(sentences)
    for sentence in sentences:
        _show(sentence, st.toast)


def show_said(place: str, choice: object) -> None:
    """Show what was said until the user chooses something else; `choice` is what is chosen now."""
    said_of, sentences = st.session_state.get(f"_said_{place}", (None, ()))
    if said_of not in (None, choice):
        return
    if sentences:
        st.session_state[f"_said_{place}"] = choice, sentences
    for sentence in sentences:
        _show(sentence, st.error)


def _show(sentence: str, show: Callable[..., object]) -> None:
    """Names in a sentence may hold formulas and formatting; commands between backticks are meant."""
    show(plain_text(sentence, "$*~"), icon=":material/error:")


def plain_text(name: str, signs: str = "\\`*_{}[]()<>#+-.!|~$:") -> str:
    """A name in which Markdown reads none of these signs as formatting."""
    return "".join(f"\\{sign}" if sign in signs else sign for sign in name)


def unknown_name(kind: str, name: str, names: Iterable[str]) -> str:
    """A sentence about a name that is not offered, with the nearest one that is."""
    nearest = get_close_matches(name, names, 1)
    return f"There is no {kind} “{name}” here" + (f"; did you mean “{nearest[0]}”?" if nearest else ".")
