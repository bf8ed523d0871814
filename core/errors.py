"""The one error that users see."""


class UserError(ValueError):
    """A mistake in what the user gave, told in one sentence that says what is wrong and what to do.

    The app shows it with `st.error`; the command line prints it and exits with code 2, without a traceback.
    """
