"""What a job reported comes out as curves, the latest metrics and one line for people."""

from rankspace.store.entries import JobEvent
from rankspace.training.job import Event
from services.demo.history import CURVES_MAX, Chronicle
from services.demo.main import told


def event(revision: int, body: Event) -> JobEvent:
    return JobEvent("a", revision, 0, body.model_dump(mode="json"))


def test_only_training_makes_points_and_the_latest_metrics_win() -> None:
    chronicle = Chronicle()
    chronicle.add(event(1, Event(phase="codecs", metrics={"birth_loss": 3.0})))
    for step in (1, 2):
        body = Event(
            phase="training",
            step=step,
            source_losses={"photos": 3.0 / step},
            betas={"mixture": float(step)},
            metrics={"birth_loss": 2.0},
        )
        assert chronicle.add(event(1 + step, body)) == body
    curves = chronicle.curves()
    assert chronicle.metrics == {"birth_loss": 2.0}
    assert curves.losses[0].points == ((1.0, 3.0), (2.0, 1.5))
    assert curves.betas[0].points == ((1.0, 1.0), (2.0, 2.0))
    assert curves.weights == ()


def test_no_more_curves_are_kept_than_can_be_told_apart() -> None:
    chronicle = Chronicle()
    losses = {f"s{at:02}": 1.0 for at in range(20)}
    chronicle.add(event(1, Event(phase="training", step=1, source_losses=losses)))
    assert [curve.name for curve in chronicle.curves().losses] == list(losses)[:CURVES_MAX]


def test_a_line_says_what_training_does() -> None:
    line = told(
        Event(
            phase="training",
            step=5,
            steps=10,
            source_losses={"photos": 2.0},
            source_weights={"photos": 1.0},
            betas={"mixture": 1.5},
            symbols_per_s=1234.0,
            eta_s=9.0,
        )
    )
    for word in ("5/10", "photos 2.00", "weights 1.00", "β 1.50", "1,234", "9 s"):
        assert word in line
    assert told(Event(phase="codecs", progress=0.5, message="image")) == "codecs 50% image"
