"""Serve the recommendation API on the address of the settings.

In: settings, the alias `champion`, the online store, requests. Out: answers, events in the topic.
Run: python -m serving.main
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from collections.abc import Sequence

from recloop.cli import run
from recloop.clock import SystemClock
from recloop.errors import MachineError
from recloop.settings import Port, Settings, load_settings

GRACE_SECONDS = 8
BACKLOG = 1_024
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; requests under way are answered first."""
    parser = argparse.ArgumentParser(prog="python -m serving.main", description=__doc__)
    parser.parse_args(argv)
    return run(lambda: serve(load_settings()))


def serve(settings: Settings) -> int:
    """Bind, then load what is heavy, then serve."""
    listener = bind(settings)
    # uvicorn ends cleanly and then sends itself the signal it got: asked to end, this process ends with 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    # Requests run side by side: a numpy call that starts threads of its own takes them from another request.
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")
    import uvicorn

    from serving.app import build_parts, create_app

    app = create_app(build_parts(settings, SystemClock()))
    config = uvicorn.Config(app, timeout_graceful_shutdown=GRACE_SECONDS, access_log=False, log_config=None)
    uvicorn.Server(config).run(sockets=[listener])
    return 0


def bind(settings: Settings) -> socket.socket:
    """Return a socket bound to the API's address.

    Raises:
        MachineError: the port is taken or the address is not this machine's.
    """
    address = (settings.host, settings.port(Port.SERVING))
    listener = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise MachineError(
            f"{address[0]}:{address[1]} cannot be listened on: {error.strerror}. Stop what uses it, or set "
            "RECLOOP_PORTS_FROM or RECLOOP_HOST."
        ) from error
    listener.listen(BACKLOG)
    return listener


if __name__ == "__main__":
    sys.exit(main())
