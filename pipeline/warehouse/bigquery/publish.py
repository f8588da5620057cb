"""Publishing to BigQuery: wait for the loads, then one transaction, applied exactly once whatever is lost.

The job ids are made from the run and the attempt, so that a step that the runner repeats meets its own jobs. An id is
left for the next one only when its job has ended: one that BigQuery seems not to know may still be on its way, and
sending the same id again can never run it twice. Before every further attempt it looks whether an earlier one
committed: the ledger row is in the same transaction, so it is there exactly when everything is.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

from google.api_core import exceptions

from pipeline.errors import RunError
from pipeline.warehouse.bigquery.client import TRANSIENT, Api, JobState
from pipeline.warehouse.bigquery.sql import COUNTS, DUPLICATES, FENCE

ATTEMPTS = 5
#: Reasons of a failed job after which another attempt can succeed.
_PASSING = {"backendError", "internalError", "rateLimitExceeded", "jobRateLimitExceeded", "quotaExceeded", "stopped"}
_CONFLICT = re.compile(r"concurrent update|Transaction is aborted|could not serialize", re.IGNORECASE)
_POLL = 2.0
_LONGEST_POLL = 30.0


def wait_for_loads(api: Api, loads: Sequence[tuple[str, str]], sleep: Callable[[float], None] = time.sleep) -> None:
    """Return when every load job is DONE without an error.

    Args:
      api: BigQuery.
      loads: (table name, job id), one a table.
      sleep: waits that many seconds.

    Raises:
      RunError: a load failed or is unknown, or a table was loaded in several jobs, which is not atomic.
    """
    names = [name for name, _ in loads]
    for name in names:
        if names.count(name) > 1:
            raise RunError(f"{name} was loaded by {names.count(name)} jobs, expected one; nothing is published")
    for name, job_id in loads:
        state = _wait(api, job_id, sleep)
        if state is None:
            raise RunError(f"the load job of {name} is unknown to BigQuery; nothing is published, run again")
        if state.reason:
            raise RunError(f"the load of {name} failed ({state.reason}, job {job_id}); nothing is published, run again")


def publish_once(
    api: Api,
    script: str,
    job_prefix: str,
    committed: str,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Run the publishing script until it is committed, or known not to be.

    Args:
      api: BigQuery.
      script: see `sql.publish_script`.
      job_prefix: the same for every attempt of one run.
      committed: a query whose number is 1 exactly when the run is in the ledger (a sample: in its fence).
      sleep: waits that many seconds.

    Raises:
      RunError: nothing is published; the message says why.
    """
    number = 1
    for attempt in range(1, ATTEMPTS + 1):
        if api.number(committed):
            return
        state = _attempt(api, f"{job_prefix}_{number}", script, sleep)
        if state is not None and not state.reason:
            return
        if api.number(committed):
            return
        if state is not None:
            _raise_if_final(state)
            number += 1
        if attempt < ATTEMPTS:
            sleep(_POLL * 2**attempt)
    raise RunError(f"BigQuery did not take the transaction in {ATTEMPTS} attempts; nothing is published, run again")


def _attempt(api: Api, job_id: str, script: str, sleep: Callable[[float], None]) -> JobState | None:
    """The end of one job; None when BigQuery never got it."""
    try:
        api.submit(job_id, script)
    except exceptions.Conflict:
        pass  # submitted before: by this step when the answer was lost, or before the runner repeated it
    except TRANSIENT:
        pass  # perhaps submitted: the job itself tells
    except exceptions.Forbidden as error:
        raise RunError("no permission to run jobs: grant roles/bigquery.jobUser; nothing is published") from error
    except exceptions.ClientError as error:
        raise RunError(f"BigQuery refuses the transaction ({type(error).__name__}); nothing is published") from error
    return _wait(api, job_id, sleep)


def _wait(api: Api, job_id: str, sleep: Callable[[float], None]) -> JobState | None:
    pause, failures = _POLL, 0
    while True:
        try:
            state = api.job(job_id)
        except TRANSIENT as error:
            failures += 1
            if failures > ATTEMPTS:
                raise RunError(
                    f"BigQuery does not answer for job {job_id}; whether it was published shows in the ledger"
                ) from error
        else:
            failures = 0
            if state is None or state.done:
                return state
        sleep(pause)
        pause = min(pause * 1.5, _LONGEST_POLL)


def _raise_if_final(state: JobState) -> None:
    for beginning in (FENCE, DUPLICATES, COUNTS):
        found = re.search(rf"{beginning}[\w .]*", state.message)
        if found:
            raise RunError(f"{found.group().strip(' .')}: nothing is published, run again")
    if state.reason in _PASSING or _CONFLICT.search(state.message):
        return
    raise RunError(f"the transaction failed ({state.reason}); nothing is published")
