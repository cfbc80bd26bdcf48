"""huey: ordinary functions in threads, and Redis.

``huey_consumer benchmarks.alternatives.with_huey.huey``, with five
workers.
"""

from huey import RedisHuey

from benchmarks.alternatives.job import REDIS, Found, Sum, add_up_in_thread

huey = RedisHuey("alternatives", url=REDIS)


@huey.task()
def add(numbers: list[int], seconds: float) -> Sum:
    return add_up_in_thread(numbers, seconds)


def submit(numbers: list[int], seconds: float) -> str:
    return str(add(numbers, seconds).id)


def find(task_id: str) -> Found:
    # Else who reads a result takes it away.
    result = huey.result(task_id, preserve=True)
    if result is None:
        return Found("queued")
    return Found("completed", result)
