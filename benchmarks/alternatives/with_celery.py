"""Celery: ordinary functions in processes, and Redis.

``python -m celery -A benchmarks.alternatives.with_celery worker -c 5``.
With CELERY_ACKS_LATE a job is acknowledged once it is done, and that of
a lost worker comes back after so many seconds.
"""

import os

from celery import Celery

from benchmarks.alternatives.job import REDIS, Found, Sum, add_up_in_thread

app = Celery("alternatives", broker=REDIS, backend=REDIS)
late = os.environ.get("CELERY_ACKS_LATE")
if late is not None:
    app.conf.task_acks_late = True
    app.conf.task_reject_on_worker_lost = True
    app.conf.broker_transport_options = {"visibility_timeout": int(late)}


@app.task
def add(numbers: list[int], seconds: float) -> Sum:
    return add_up_in_thread(numbers, seconds)


def submit(numbers: list[int], seconds: float) -> str:
    return str(add.delay(numbers, seconds).id)


def find(task_id: str) -> Found:
    result = app.AsyncResult(task_id)
    if result.successful():
        return Found("completed", result.result)
    return Found(result.status.lower())
