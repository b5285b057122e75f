"""Starts a Task, finds it, cancels it and watches its end: `python manage_tasks.py REPOSITORY`.

With asyncio; `backspace.connect` makes a client that blocks and has the same calls.
"""

import asyncio
import os
import sys
import uuid

import backspace
from backspace import aio, v1


async def main(repository: str) -> None:
    address = os.environ.get("BACKSPACE_SERVER", "http://127.0.0.1:8000")
    options = backspace.Options(token=os.environ.get("BACKSPACE_TOKEN"))
    async with await aio.connect(address, options) as client:
        # An error has the server's code and reason, and every field that was refused.
        try:
            await client.create_task(v1.TaskSpec(repository=v1.Repository(url="no address")))
        except backspace.CallError as error:
            print(error.code.name, error.reason, *sorted(violation.field for violation in error.violations))

        # The same request id joins the same Task: repeat a call whose answer was lost.
        spec = v1.TaskSpec(instruction="Take your time", model=os.environ.get("BACKSPACE_MODEL", ""))
        spec.repository.url = repository
        request_id = str(uuid.uuid4())
        task = await client.create_task(spec, request_id=request_id)
        again = await client.create_task(spec, request_id=request_id)
        print("joined:", again.name == task.name)
        print("listed:", task.name in [other.name async for other in client.list_tasks()])

        await client.cancel_task(task.name, "an example needs no more")
        # Event 1 says that the Task was queued; go on after it.
        async for event in client.watch(task.name, after_sequence=1, durable_only=True):
            print(event.sequence, event.WhichOneof("payload"))
        print(v1.Task.State.Name((await client.get_task(task.name)).state))
        await client.delete_task(task.name)


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:]))
    except backspace.BackspaceError as error:
        sys.exit(f"manage_tasks: {error}")
