"""Launching the template with Google's own client, and waiting for the job's end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.cloud import dataflow_v1beta3 as dataflow

_ENDED = {
    dataflow.JobState.JOB_STATE_DONE,
    dataflow.JobState.JOB_STATE_FAILED,
    dataflow.JobState.JOB_STATE_CANCELLED,
    dataflow.JobState.JOB_STATE_UPDATED,
    dataflow.JobState.JOB_STATE_DRAINED,
}
_POLL_SECONDS = 20.0


@dataclass
class Dataflow:
    """One project and region of Dataflow, and the body of a launch.

    Attributes:
      body: what `deploy/release.sh launch` has written, as parsed JSON.
      templates, jobs: Google's clients.
      sleep: waits that many seconds.
    """

    project: str
    region: str
    body: Mapping[str, Any]
    templates: dataflow.FlexTemplatesServiceClient
    jobs: dataflow.JobsV1Beta3Client
    sleep: Callable[[float], None] = time.sleep

    @property
    def runner(self) -> str:
        """The service account that the job runs as."""
        return str(self.body["launchParameter"]["environment"]["serviceAccountEmail"])

    def launch(self, name: str, parameters: Mapping[str, str], timeout: float = 3_600) -> str:
        """Launch the body under another job name and with other parameters; the name of the state in which it ended.

        The parameters of the body are replaced, not added to: nothing of the environment's own data is touched.

        Raises:
          TimeoutError: it has not ended after so many seconds; it is cancelled.
        """
        wanted = json.loads(json.dumps(self.body))
        wanted["launchParameter"] |= {"jobName": name, "parameters": dict(parameters)}
        request = dataflow.LaunchFlexTemplateRequest.from_json(json.dumps(wanted))
        request.project_id, request.location = self.project, self.region
        job = self.templates.launch_flex_template(request).job
        where = {"project_id": self.project, "location": self.region, "job_id": job.id}
        waited = 0.0
        while waited <= timeout:
            state = self.jobs.get_job(dataflow.GetJobRequest(**where)).current_state
            if state in _ENDED:
                return str(state.name)
            self.sleep(_POLL_SECONDS)
            waited += _POLL_SECONDS
        cancelled = dataflow.Job(requested_state=dataflow.JobState.JOB_STATE_CANCELLED)
        self.jobs.update_job(dataflow.UpdateJobRequest(**where, job=cancelled))
        raise TimeoutError(f"{name} (job {job.id}) has not ended after {timeout:.0f} seconds; it is cancelled")
