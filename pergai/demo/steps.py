"""What the demo prints: a bar and the seconds of each step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

BAR = 28


class Step:
    """One step under way."""

    def __init__(self, steps: Steps, title: str) -> None:
        self.title = title
        self._steps = steps
        self._ended = False
        self._started = time.monotonic()
        self._task = steps.bars.add_task(title, total=1.0)

    def update(self, fraction: float) -> None:
        """How much of it is done, 0-1."""
        self._steps.bars.update(self._task, completed=min(fraction, 0.99))

    def done(self) -> None:
        """It has ended; the first time counts."""
        if not self._ended:
            self._ended = True
            self._steps.ended(self._task, self.title, time.monotonic() - self._started)


class Steps:
    """All steps of a run. On a terminal the bars move; elsewhere each step is one line when it has ended."""

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (TextColumn("  {task.description:<32}"), BarColumn(BAR), _Seconds())
        self.seconds: dict[str, float] = {}
        """Step → seconds, in the order they ended."""
        self.bars = Progress(*columns, console=console, disable=not console.is_terminal)

    def begin(self, title: str) -> Step:
        return Step(self, title)

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        step = self.begin(title)
        yield step
        step.done()

    def ended(self, task: TaskID, title: str, seconds: float) -> None:
        self.seconds[title] = seconds
        self.bars.update(task, completed=1.0, took=seconds)
        if not self._console.is_terminal:
            self._console.print(f"  {title:<32} {'━' * BAR} {seconds:6.1f} s", highlight=False)


class _Seconds(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.fields.get('took', task.elapsed or 0.0):6.1f} s")
