"""Flink's own interface, for the one thing that Beam's job server does not do there: end a job that is cancelled.

The server only stops to wait for it. On the cluster the job would go on, hold its slots, find its staging folder gone,
and be tried again as often as the restart strategy says.
"""

from __future__ import annotations

import json
import logging
import urllib.request
from http.client import HTTPException
from typing import Any

#: Values of `--flink_master` that are no address; Beam's default is among them.
_NO_ADDRESS = ("[auto]", "[local]", "[collection]")
_OVER = ("FINISHED", "FAILED", "CANCELED")
_PATIENCE = 8.0
_LOG = logging.getLogger(__name__)


def cancel_on_cluster(master: str, job_id: str) -> None:
    """Ask a cluster to cancel what it runs for a job; what cannot be asked is only logged: the run fails anyway.

    Args:
      master: `--flink_master`, HOST:PORT or a URL; without an address nothing is asked.
      job_id: the job server's name of the job, which is the cluster's name of it, `_`, and a random part.
    """
    if master in _NO_ADDRESS:
        return
    place = master if "://" in master else f"http://{master}"
    name, _, _ = job_id.rpartition("_")
    try:
        for job in _ask(f"{place}/jobs/overview")["jobs"]:
            if job["name"] == name and job["state"] not in _OVER:
                _ask(f"{place}/jobs/{job['jid']}?mode=cancel", "PATCH")
    except (OSError, HTTPException, ValueError, KeyError) as error:
        _LOG.debug("the job was not cancelled on the cluster", exc_info=error)


def _ask(url: str, method: str = "GET") -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=_PATIENCE) as answer:
        return json.load(answer)
