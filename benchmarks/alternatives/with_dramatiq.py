"""dramatiq: ordinary functions in threads, and Redis.

``python -m dramatiq benchmarks.alternatives.with_dramatiq:broker``: one
process with five threads.
"""

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import ResultMissing, Results
from dramatiq.results.backends import RedisBackend

from benchmarks.alternatives.job import REDIS, Found, Sum, add_up_in_thread

results = RedisBackend(url=REDIS)
broker = RedisBroker(url=REDIS)
broker.add_middleware(Results(backend=results))
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def add(numbers: list[int], seconds: float) -> Sum:
    return add_up_in_thread(numbers, seconds)


def submit(numbers: list[int], seconds: float) -> str:
    return str(add.send(numbers, seconds).message_id)


def find(task_id: str) -> Found:
    message = add.message([], 0.0).copy(message_id=task_id)
    try:
        return Found("completed", message.get_result(backend=results))
    except ResultMissing:
        return Found("queued")
