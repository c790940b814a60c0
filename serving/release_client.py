"""Have serving look at the alias now, and wait until it answers with the version named.

In: the model version that `champion` was moved to. Out: one JSON line {"version", "bundle_id", "seconds"}, and
"instead_of" when the alias has moved on since; exit code 1 when serving refused the bundle or does not answer.
Run: python -m serving.release_client --version 3
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import httpx

from recloop.cli import run
from recloop.errors import BundleIncompatible, ComponentUnavailable
from recloop.settings import Settings, load_settings

TIMEOUT_SECONDS = 60.0
AGAIN_SECONDS = 0.5


def main(argv: Sequence[str] | None = None) -> int:
    """Ask and wait."""
    parser = argparse.ArgumentParser(prog="python -m serving.release_client", description=__doc__)
    parser.add_argument("--version", required=True, help="model version that serving must answer with")
    parser.add_argument("--timeout", type=float, default=TIMEOUT_SECONDS, help="seconds to wait (default: %(default)s)")
    args = parser.parse_args(argv)

    def command() -> int:
        print(json.dumps(release(load_settings(), args.version, timeout_seconds=args.timeout)))
        return 0

    return run(command)


def release(settings: Settings, version: str, *, timeout_seconds: float) -> dict[str, Any]:
    """Return {"version", "bundle_id", "seconds", …} once serving reports it, or what the alias moved on to.

    The alias is what counts: after a move forward and back, the first of the two has nothing left to do.

    Raises:
        BundleIncompatible: serving refused it; the message has its reason.
        ComponentUnavailable: serving did not answer, or reports no such version, until the time was over.
    """
    headers = {"Authorization": f"Bearer {settings.serving_token.get_secret_value()}"}
    began = time.monotonic()
    found = "nothing was answered"
    with httpx.Client(base_url=settings.serving, headers=headers, timeout=timeout_seconds) as client:
        while (seconds := time.monotonic() - began) < timeout_seconds:
            try:
                answer = client.post("/internal/release")
            except httpx.TransportError as error:
                found = repr(error)
            else:
                found = f"{answer.status_code} {answer.text[:300]}"
                if answer.status_code == httpx.codes.FORBIDDEN:
                    break
                if answer.is_success and (outcome := _outcome(answer.json(), version)) is not None:
                    return outcome | {"seconds": round(time.monotonic() - began, 3)}
            time.sleep(AGAIN_SECONDS)
    raise ComponentUnavailable(
        f"serving at {settings.serving} does not report version {version} after {seconds:.0f} s: {found}. "
        "Look at its log, and at where the alias champion points."
    )


def _outcome(answer: dict[str, Any], version: str) -> dict[str, Any] | None:
    """Return how it ended, None while it did not. The answer is that of a check made just now."""
    served, champion = answer["version"], answer["champion"]
    if served == version:
        return {"version": version, "bundle_id": answer["bundle_id"]}
    if champion == version and answer["refused"] and answer["refused"][-1]["version"] == version:
        raise BundleIncompatible(f"serving refused version {version}: {answer['refused'][-1]['reason']}")
    if answer["polling"] == "ok" and champion is not None and served == champion:
        print(f"The alias champion names version {champion} by now, and serving follows it.", file=sys.stderr)
        return {"version": champion, "bundle_id": answer["bundle_id"], "instead_of": version}
    return None


if __name__ == "__main__":
    sys.exit(main())
