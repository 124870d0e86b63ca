"""Watch a generation, and stop it: what the callback raises ends the work between two steps."""

from bark_core import Bark


class Enough(Exception):
    """Raised when we have seen what we wanted."""


def watch(stage: str, done: int, total: int) -> None:
    """Print each tenth of a stage; stop at the fine one."""
    if done * 10 // total != (done - 1) * 10 // total:
        print(f"{stage:8} {done} of {total}")
    if stage == "fine":
        raise Enough


try:
    Bark.load("demo").generate("This will not be heard.", seed=1, max_seconds=3, on_progress=watch)
except Enough:
    print("stopped")
