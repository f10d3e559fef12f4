"""Does work as a Temporal worker of its own (docs/work.md). Needs: pip install temporalio, a service with `joins: native`, and in
the environment SOULFRA_QUEUE=external_<service>, TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE as Soulfra has them."""

import asyncio
import os
import signal
from datetime import timedelta

from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker


@activity.defn(name="doWork")
async def do_work(work: dict) -> dict:
    if "text" not in work["input"]:
        raise ApplicationError("the input has no text", non_retryable=True)
    words = work["input"]["text"].split()
    for _ in words:
        activity.heartbeat()  # within leaseSeconds, or another attempt begins
    return {"words": len(words)}


async def main() -> None:
    client = await Client.connect(
        os.environ.get("TEMPORAL_ADDRESS", "localhost:7233"), namespace=os.environ.get("TEMPORAL_NAMESPACE", "default")
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    queue, grace = os.environ["SOULFRA_QUEUE"], timedelta(seconds=30)
    async with Worker(client, task_queue=queue, activities=[do_work], graceful_shutdown_timeout=grace):
        await stop.wait()


asyncio.run(main())
os._exit(0)  # all is done; threads of the SDK may crash a Python that takes itself down
