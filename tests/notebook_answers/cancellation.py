"""Wrong answers to 08-cancellation-and-failure.

Each has words of the complaint that it must get.
"""

import asyncio

from taskmanager.errors import TaskFailedError


async def catches_exceptions_only(work, clean_up):
    try:
        return await work()
    except Exception:
        await clean_up()
        raise


async def catches_cancellations_only(work, clean_up):
    try:
        return await work()
    except asyncio.CancelledError:
        await clean_up()
        raise


async def always_cleans_up(work, clean_up):
    try:
        return await work()
    finally:
        await clean_up()


async def swallows(work, clean_up):
    try:
        return await work()
    except BaseException:
        await clean_up()


async def swallows_cancellations(work, clean_up):
    try:
        return await work()
    except Exception:
        await clean_up()
        raise
    except asyncio.CancelledError:
        await clean_up()


async def does_not_wait_for_the_clean_up(work, clean_up):
    try:
        return await work()
    except BaseException:
        cleaning = asyncio.create_task(clean_up())
        await asyncio.sleep(0)
        assert not cleaning.done()
        raise


async def cleans_up_twice(work, clean_up):
    try:
        return await catches_exceptions_only(work, clean_up)
    except BaseException:
        await clean_up()
        raise


async def raises_another(work, clean_up):
    try:
        return await work()
    except BaseException:
        await clean_up()
        raise RuntimeError("cleaned up") from None


async def drops_the_result(work, clean_up):
    try:
        await work()
    except BaseException:
        await clean_up()
        raise


async def tries_again(work, clean_up):
    while True:
        try:
            return await work()
        except BaseException:
            await clean_up()


async def gather(*coroutines):
    return await asyncio.gather(*coroutines)


async def waits_for_all(*coroutines):
    results = await asyncio.gather(*coroutines, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results


async def one_after_the_other(*coroutines):
    return [await coroutine for coroutine in coroutines]


async def in_the_order_done(*coroutines):
    return [await each for each in asyncio.as_completed(coroutines)]


async def cancels_and_does_not_wait(*coroutines):
    runs = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        return await asyncio.gather(*runs)
    except BaseException:
        for run in runs:
            run.cancel()
        raise


async def forgets_its_own_cancellation(*coroutines):
    runs = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        return await asyncio.gather(*runs)
    except Exception:
        for run in runs:
            run.cancel()
        await asyncio.gather(*runs, return_exceptions=True)
        raise


async def cancels_twice(*coroutines):
    runs = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        return await asyncio.gather(*runs)
    finally:
        for run in runs:
            run.cancel()
        await asyncio.gather(*runs, return_exceptions=True)


async def leaves_the_rest_when_cancelled(*coroutines):
    runs = [asyncio.create_task(coroutine) for coroutine in coroutines]
    done, pending = await asyncio.wait(runs, return_when=asyncio.FIRST_EXCEPTION)
    for run in pending:
        run.cancel()
    if pending:
        await asyncio.wait(pending)
    for run in done:
        run.result()
    return [run.result() for run in runs]


async def swallows_the_failure(*coroutines):
    runs = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        return await asyncio.gather(*runs)
    except BaseException:
        for run in runs:
            run.cancel()
        return await asyncio.gather(*runs, return_exceptions=True)


async def returns_nothing(*coroutines):
    await asyncio.gather(*coroutines)


def os_error_first(error):
    match error:
        case TaskFailedError():
            return "task_failed"
        case OSError():
            return "unavailable"
        case asyncio.TimeoutError() | TimeoutError():
            return "timeout"
        case _:
            return "internal_error"


def by_exact_class(error):
    names = {
        TaskFailedError: "task_failed",
        TimeoutError: "timeout",
        OSError: "unavailable",
    }
    return names.get(type(error), "internal_error")


def network_only(error):
    match error:
        case TaskFailedError():
            return "task_failed"
        case asyncio.TimeoutError() | TimeoutError():
            return "timeout"
        case ConnectionError():
            return "unavailable"
        case _:
            return "internal_error"


def all_is_unavailable(error):
    return "task_failed" if isinstance(error, TaskFailedError) else "unavailable"


async def leaves_the_work_behind(work, clean_up):
    try:
        return await asyncio.shield(work())
    except BaseException:
        await clean_up()
        raise


async def awaits_in_order(*coroutines):
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        return [await task for task in tasks]
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def raises_the_first_in_order(*coroutines):
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    return [task.result() for task in tasks]


WRONG: dict[str, list[tuple[object, str]]] = {
    "with_clean_up": [
        (catches_exceptions_only, "is cancelled, and nothing is cleaned up"),
        (catches_cancellations_only, "fails, and nothing is cleaned up"),
        (always_cleans_up, "succeeds, and it cleans up"),
        (swallows, "fails, and it returns None"),
        (swallows_cancellations, "is cancelled, and it returns None"),
        (does_not_wait_for_the_clean_up, "await it"),
        (cleans_up_twice, "called 2 times"),
        (raises_another, "raises RuntimeError"),
        (drops_the_result, "returns None"),
        (tries_again, "does not end"),
        (leaves_the_work_behind, "the work runs on behind it"),
    ],
    "all_or_nothing": [
        (gather, "fails after 1 s, and the others run on"),
        (waits_for_all, "waits until the others are done"),
        (one_after_the_other, "side by side"),
        (in_the_order_done, "keep the order"),
        (cancels_and_does_not_wait, "fails after 1 s, and it ends before"),
        (forgets_its_own_cancellation, "cancelled after 1 s, and it ends before"),
        (cancels_twice, "a second cancel() cuts a clean-up short"),
        (leaves_the_rest_when_cancelled, "cancelled after 1 s, and the others run on"),
        (swallows_the_failure, "WorkError should come out"),
        (returns_nothing, "not the list"),
        (awaits_in_order, "waits until the others are done"),
        (raises_the_first_in_order, "raises CancelledError: WorkError should"),
    ],
    "classify": [
        (os_error_first, "the first case that fits"),
        (by_exact_class, "a ConnectionResetError is called 'internal_error'"),
        (network_only, "a FileNotFoundError is called 'internal_error'"),
        (all_is_unavailable, "a ValueError is called 'unavailable'"),
    ],
}
