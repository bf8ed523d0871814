"""Ending a training from outside."""


class TrainingStopped(BaseException):
    """Ends the training from one of its callbacks; the best weights so far are scored as those of a whole run."""
