"""`rankspace generate`: ask a model, with text and files as the prompt."""

import base64
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.output import (
    LOCAL,
    AsJson,
    Server,
    Settings,
    connected,
    parsed,
    plain,
    show,
    words,
)

if TYPE_CHECKING:
    from rankspace.client import Answer, Client
    from rankspace.generation.request import Ask
    from rankspace.media.sample import Part


def generate(  # noqa: PLR0913  # a command's options are its arguments
    prompt: Annotated[
        list[str],
        typer.Argument(metavar="PART...", help="Media files and texts, in the order said."),
    ],
    to: Annotated[
        str, typer.Option(metavar="MODALITY[:ROLE]", help="What to answer in, such as text:ru.")
    ] = "text",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the answer's media here.")
    ] = None,
    model: Annotated[str, typer.Option(help="An alias, a name or name@version.")] = "default",
    settings: Settings = [],  # noqa: B006  # typer copies it
    server: Server = LOCAL,
    as_json: AsJson = False,
) -> None:
    """Answer a prompt in any modality learnt.

    Text comes to stdout as it is made; other media need --output, a pipe or --json. Settings are
    those of sampling: beta, entropy_target, cut, seed, max_symbols, greedy.
    """
    ask = _ask(to, output, settings)
    parts = [_part(said) for said in prompt]
    binary = ask.target.modality != "text" and output is None and not as_json
    if binary and sys.stdout.isatty():
        raise typer.BadParameter(f"an {ask.target.modality} answer needs --output", param_hint="-o")
    with connected(server) as client:
        answer = _answer(client, parts, ask, model, to_stdout=output is None and not as_json)
    if output is not None:
        output.write_bytes(answer.wav if answer.encoding == "wav" else answer.data)
        words().print(f"{answer.modality} of {len(answer.data)} bytes in {output}")
    if as_json:
        show([_row(answer, output)], True, ())


def _ask(to: str, output: Path | None, settings: list[str]) -> "Ask":
    from rankspace.config import parse
    from rankspace.generation.request import Ask, Sampling, Target

    modality, _, role = to.partition(":")
    encoding = output.suffix[1:].lower() if output and modality != "text" else ""
    target = {"modality": modality, "role": role, "encoding": encoding}
    return Ask(parse(Target, target), parse(Sampling, parsed(settings)))


def _part(said: str) -> "Part":
    from rankspace.errors import NotFound
    from rankspace.media.sample import Part
    from services.readers import read_file
    from services.readers.naming import FORMATS

    path = Path(said)
    if len(said) < 4096 and path.is_file():
        return next(read_file(path)).parts[0]
    if path.suffix[1:].lower() in FORMATS and not said.count(" "):
        raise NotFound(f"there is no file {said}; give a file or a text")
    return Part("text", said.encode())


def _answer(
    client: "Client", parts: "list[Part]", ask: "Ask", model: str, to_stdout: bool
) -> "Answer":
    from rankspace.client.generation import collect

    deltas = []
    with client.session(model) as session:
        for part in parts:
            session.send(part)
        for delta in session.ask(ask.target, ask.sampling):
            deltas.append(delta)
            if to_stdout and ask.target.modality == "text":
                _write(delta.data)
        answer = collect(deltas, session.model)
    if to_stdout:
        is_text = answer.modality == "text"
        _write(b"\n" if is_text and sys.stdout.isatty() else b"" if is_text else answer.data)
    return answer


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _row(answer: "Answer", output: Path | None) -> dict[str, object]:
    row = {
        name: plain(getattr(answer, name))
        for name in ("modality", "role", "encoding", "model", "usage", "traces")
    }
    if output is not None:
        return row | {"file": str(output)}
    if answer.modality == "text":
        return row | {"text": answer.text}
    return row | {"data_base64": base64.b64encode(answer.data).decode()}
