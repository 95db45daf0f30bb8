"""Every phase of a job has a bar that moves and is full when the next one begins."""

from rankspace.training.job import Event
from services.demo.phases import JobBars, Phases


def bars(phases: Phases) -> dict[str, float]:
    """What is drawn, in percent."""
    return {task.description.strip(): task.percentage for task in phases._progress.tasks}


def test_every_phase_of_a_job_has_its_bar() -> None:
    with Phases() as phases, phases.phase("train") as whole:
        job = JobBars(phases, whole)
        for event in (
            Event(phase="queued"),
            Event(phase="starting"),
            Event(phase="snapshot"),
            Event(phase="codecs", progress=0.25),
        ):
            job.show(event, "")
        assert bars(phases) == {"train": 0, "starting": 100, "snapshot": 100, "codecs": 25}
        job.show(Event(phase="evaluating"), "birth")
        job.show(Event(phase="training", progress=0.5, step=5, steps=10), "")
        job.show(Event(phase="evaluating", progress=0.6, step=6, steps=10), "")
        assert bars(phases) == {
            "train": 60, "starting": 100, "snapshot": 100, "codecs": 100, "evaluating": 60,
            "training": 50,
        }  # fmt: skip
        job.show(Event(phase="saving", step=10, steps=10), "")
        job.show(Event(phase="done", state="succeeded", step=10, steps=10), "")
        assert set(bars(phases).values()) == {100}
