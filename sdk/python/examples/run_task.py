"""Runs a Task and prints what happens: `python run_task.py REPOSITORY INSTRUCTION`.

The server is `BACKSPACE_SERVER` (http://127.0.0.1:8000 without it), the token `BACKSPACE_TOKEN`.
"""

import os
import sys

import backspace
from backspace import v1


def main(repository: str, instruction: str) -> bool:
    """Returns whether the Task succeeded."""
    address = os.environ.get("BACKSPACE_SERVER", "http://127.0.0.1:8000")
    options = backspace.Options(token=os.environ.get("BACKSPACE_TOKEN"))
    with backspace.connect(address, options) as client:
        spec = v1.TaskSpec(instruction=instruction)
        spec.repository.url = repository
        run = client.run_task(spec, on_interruption=lambda lost: print(f"{lost.error}; connecting again", file=sys.stderr))
        task = v1.Task()
        for event in run:
            # A newer server may send what this program does not know; it is printed by name alone or not at all.
            if event.sequence > 0:
                print(event.sequence, event.WhichOneof("payload"))
            if event.WhichOneof("payload") == "tool_call_finished":
                print(" ", event.tool_call_finished.tool, event.tool_call_finished.command)
            elif event.WhichOneof("payload") == "task_finished":
                task = event.task_finished.task
        print(task.name, v1.Task.State.Name(task.state), task.result.summary or task.failure.message)
        patch = client.read_artifact(f"{task.name}/artifacts/patch").read(limit_bytes=10_000_000)
        print(patch.decode(errors="replace"), end="")
        return task.state == v1.Task.STATE_SUCCEEDED


if __name__ == "__main__":
    try:
        sys.exit(0 if main(*sys.argv[1:]) else 1)
    except backspace.BackspaceError as error:
        sys.exit(f"run_task: {error}")
