"""The one error that users see."""

import torch


class UserError(ValueError):
    """A mistake in what the user gave, told in one sentence that says what is wrong and what to do.

    The app shows it with `st.error`; the command line prints it and exits with code 2, without a traceback.
    """


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or in the main memory."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
