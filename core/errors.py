"""The one error that users see."""

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(ValueError):
    """A mistake in what the user gave: one sentence that says what is wrong and what to do.

    The app shows it with `st.error`; the command line prints it and exits with code 2, without a traceback.
    """


@contextmanager
def explained_differentiation() -> Iterator[None]:
    """Turn torch's error about a network that checkpoints its activations into one that says what to do.

    Raises:
        UserError: Reentrant checkpointing, through which torch differentiates by parameters alone.
    """
    try:
        yield
    except RuntimeError as error:
        if "use_reentrant" not in str(error):
            raise
        raise UserError(
            "The network uses reentrant checkpointing, which cannot be differentiated by the image; call "
            "torch.utils.checkpoint.checkpoint with use_reentrant=False in it, or leave checkpointing out."
        ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or in the main memory."""
    import torch  # noqa: PLC0415 - a shell that only prints its help imports this file

    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def sentence_for_users(error: Exception) -> str | None:
    """What an error says to a user, in one sentence; None where it is not the user's mistake but the program's."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.strerror or error}: {error.filename}." if error.filename else f"{error}."
    if isinstance(error, RuntimeError | MemoryError) and is_out_of_memory(error):
        return "Memory ran out; take a smaller image, or crop it."
    return None
