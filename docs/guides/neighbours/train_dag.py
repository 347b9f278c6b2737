"""A DAG of Airflow that trains with Tunewright: docs/guides/neighbours/airflow.md.

What runs is the pod of your overlay. Beside this file lies what `tunewright submit` would create:

    tunewright submit --config job.yaml --overlay my/overlay --image ...@sha256:... --dry-run > reviews.json
"""

import json
from datetime import datetime, timedelta
from pathlib import Path

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from kubernetes.client import V1Pod

SUBMISSION = json.loads(Path(__file__).with_name("reviews.json").read_text())["items"]
[JOB] = [one for one in SUBMISSION if one["kind"] == "Job"]
FINAL = (2, 3, 4)
"""Settings wrong, data wrong, a gate missed: the same again would end the same."""


class Train(KubernetesPodOperator):
    """A pod whose exit code is a verdict."""

    def cleanup(self, pod: V1Pod, remote_pod: V1Pod, *arguments: object, **named: object) -> None:
        try:
            super().cleanup(pod, remote_pod, *arguments, **named)
        except AirflowException as error:
            statuses = (remote_pod.status and remote_pod.status.container_statuses) or []
            ended = [one.state.terminated for one in statuses if one.name == self.base_container_name]
            if any(one and one.exit_code in FINAL for one in ended):
                raise AirflowFailException(str(error)) from error
            raise


with DAG("tunewright_reviews", schedule="@weekly", start_date=datetime(2026, 1, 1), catchup=False, max_active_runs=1):
    Train(
        task_id="train",
        namespace="tunewright",
        name="reviews",
        pod_template_dict=JOB["spec"]["template"],
        base_container_name="job",
        # The run id, which the pod reads from its label: the same in each try of one run of the DAG.
        labels={"tunewright.org/run": "reviews-{{ run_id.replace(':', '-').replace('+', '-') }}"},
        automount_service_account_token=False,
        retries=3,
        retry_delay=timedelta(seconds=30),
        retry_exponential_backoff=True,
        execution_timeout=timedelta(days=1),
        deferrable=True,
        on_finish_action="delete_succeeded_pod",
        termination_grace_period=60,
        startup_timeout_seconds=3600,
    )
