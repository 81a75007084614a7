"""Every failure a user can mend has a type here, one class per boundary crossed.

The message is one line that says where, what, which value, and the remedy, if possible the command that
mends it. The command line catches `BluerecError` once, prints that line and exits with status 2; anything
else is a defect of ours and keeps its traceback.
"""


def first_line(error: BaseException) -> str:
    """The first line of what an exception says; the name of its type where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class BluerecError(Exception):
    """Base of all errors that a user can mend; never raised itself."""


class ConfigError(BluerecError):
    """A setting is unknown, of the wrong type, or contradicts another."""


class DataError(BluerecError):
    """A file or table is missing, malformed, or does not belong with another."""


class ModelError(BluerecError):
    """A model or adapter cannot be found, loaded, or used with another."""


class UnavailableError(ModelError):
    """A model behind an endpoint does not answer at present; `retry_after` in seconds, 0 if nobody knows."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RefusedError(ModelError):
    """A model behind an endpoint works, and does not answer this request; `status` is that of HTTP."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class TrainingError(BluerecError):
    """Training stopped itself: a loss or reward that is not a number, a collapse, a foreign checkpoint."""


class StoreError(BluerecError):
    """A profile store is missing, damaged, or bound to another embedder."""


class MissingExtraError(BluerecError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed; run: pip install 'bluerec[{extra}]'")
