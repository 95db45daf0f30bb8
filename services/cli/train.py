"""`rankspace train`: submit a training job and watch it."""

from typing import Annotated

import typer

from services.cli.output import LOCAL, AsJson, Server, Settings, connected, parsed, show


def train(
    streams: Annotated[list[str], typer.Argument(metavar="STREAM...", help="What to learn from.")],
    settings: Settings = [],  # noqa: B006  # typer copies it
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Submit, do not watch.")] = False,
    server: Server = LOCAL,
    as_json: AsJson = False,
) -> None:
    """Learn a model from streams and watch it.

    Each stream is one source of the mixture. Settings, such as size=tiny, steps=300, model=photos
    or preset=gpt2, are listed by `rankspace config --show`.
    """
    from rankspace.config import parse
    from rankspace.training.job import JobConfig
    from services.cli.jobs import COLUMNS, follow, row

    config = parse(JobConfig, parsed(settings) | {"streams": streams})
    with connected(server) as client:
        job = client.create_job(config)
        if detach:
            show([row(job)], as_json, COLUMNS)
        else:
            follow(client, job.job_id, as_json)
