"""A user's mistake as one sentence on the page."""

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from core.errors import UserError, is_out_of_memory


def show_user_error(error: UserError) -> None:
    """Show the error's sentence."""
    st.error(str(error), icon=":material/error:")


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
