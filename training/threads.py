"""How many threads the libraries work with that train and judge: torch, LightGBM, implicit and ONNX Runtime.

Sums of floats depend on how threads share them, so that the number is a setting and not that of the machine's cores:
the same seed with as many threads gives the same bytes on the same machine. Threads belong to the process, as these
libraries have them, not to one of its trainings; so the setting is read here, wherever a library is called.
"""

from __future__ import annotations

from recloop.settings import load_settings


def n_threads() -> int:
    """Return RECLOOP_THREADS.

    Raises:
        ConfigurationError: it is no number of threads.
    """
    return load_settings().threads
