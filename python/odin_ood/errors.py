"""The exceptions and the warnings of this package.

All exceptions are :class:`OdinError`, and each is also the built-in exception that fits it, so that code which
does not know this package can catch them. Messages are those of the Rust library: what went wrong,
in which file or argument, and what to do.
"""

__all__ = ["OdinError", "OdinOSError", "OdinRuntimeError", "OdinValueError", "OdinWarning"]


class OdinError(Exception):
    """Any error of this package."""


class OdinValueError(OdinError, ValueError):
    """An argument, a file's content or an image is not what it should be."""


class OdinOSError(OdinError, OSError):
    """A file cannot be read or written, or a device is not there."""


class OdinRuntimeError(OdinError, RuntimeError):
    """The engine failed."""


class OdinWarning(UserWarning):
    """What was done, or assumed, that may not be what was meant: images that a set leaves out, a final
    Softmax that was removed, scores that cannot be fitted."""
