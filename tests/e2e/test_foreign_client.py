"""A client that is not ours, `buf curl`, finds the services by reflection and uses them."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from google.rpc.error_details_pb2 import BadRequest, ErrorInfo

from tests.e2e.conftest import Server

BUF = Path(sys.executable).with_name("buf")
CURL = (BUF, "curl", "--protocol=grpc", "--http2-prior-knowledge")


def buf(server: Server, method: str, *messages: dict[str, Any]) -> list[dict[str, Any]]:
    """Call a method; the answers, or the error as buf prints it."""
    done = subprocess.run(
        [
            *CURL,
            "--data=@-",
            f"http://{server.address}/rankspace.v1.{method}",
        ],
        input="\n".join(map(json.dumps, messages)),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return parsed(done.stdout or done.stderr)


def parsed(text: str) -> list[dict[str, Any]]:
    """JSON objects, one after the other."""
    decoder, answers, rest = json.JSONDecoder(), [], text.strip()
    while rest:
        answer, end = decoder.raw_decode(rest)
        answers.append(answer)
        rest = rest[end:].strip()
    return answers


def text(sample_id: str, utf8: bytes) -> dict[str, Any]:
    part = {"role": "en", "text": {"utf8": base64.b64encode(utf8).decode()}}
    return {"sampleId": sample_id, "parts": [part]}


def test_reflection_names_every_service(server: Server) -> None:
    done = subprocess.run(
        [*CURL, "--list-services", f"http://{server.address}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    services = ("Generation", "Ingestion", "Model", "Training")
    assert {f"rankspace.v1.{name}Service" for name in services} < set(done.stdout.split())


def test_samples_go_in_and_come_out(server: Server) -> None:
    (made,) = buf(server, "IngestionService/CreateStream", {"streamId": "s"})
    assert made["stream"]["name"] == "streams/s"
    batch = {"samples": [text("good", b"hello"), text("bad", b"\xff")]}
    ack, first, twice, gap = buf(
        server,
        "IngestionService/AppendSamples",
        {"setup": {"stream": "streams/s"}},
        {"batch": {"offset": 0, **batch}},
        {"batch": {"offset": 0, **batch}},
        {"batch": {"offset": 9, **batch}},
    )
    assert ack["setupAck"]["durability"] == "DURABILITY_SYNCED"
    (refused,) = first["result"]["sampleErrors"]
    assert (refused["sampleId"], refused["problem"]["reason"]) == ("bad", "MALFORMED_MEDIA")
    assert twice["result"]["duplicate"]
    assert gap["error"]["reason"] == "OFFSET_GAP"
    assert gap["nextOffset"] == "2"
    read = buf(server, "IngestionService/ReadSamples", {"stream": "streams/s"})
    stored = [sample for page in read for sample in page.get("samples", ())]
    assert [sample["sample"] for sample in stored] == [text("good", b"hello")]


def test_the_examples_of_the_page_work(server: Server) -> None:
    page = (Path(__file__).parent.parent.parent / "docs/operations.md").read_text("utf-8")
    section = page.split("## Streaming from a client that is not ours")[1].split("\n## ")[0]
    examples = section.split("```\n")[1::2]
    assert len(examples) == 4
    said = []
    for example in examples:
        done = subprocess.run(
            ["/bin/sh", "-c", example.replace("127.0.0.1:50051", server.address)],
            env=os.environ | {"PATH": f"{BUF.parent}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        said.append(done.stdout)
    assert '"atLeastOnce"' not in said[1]
    (read,) = [sample for answer in parsed(said[3]) for sample in answer.get("samples", ())]
    assert (read["offset"], read["sample"]["sampleId"]) == ("1", "two")
    (part,) = read["sample"]["parts"]
    assert part["role"] == "speech"
    assert base64.b64decode(part["audio"]["data"]) == b"".join(bytes((n, 0)) for n in range(8))


def test_a_refusal_is_a_status_with_reason_and_field(server: Server) -> None:
    (error,) = buf(server, "IngestionService/GetStream", {"name": "nonsense"})
    assert error["code"] == "invalid_argument"
    values = {
        detail["type"]: base64.b64decode(detail["value"] + "==") for detail in error["details"]
    }
    info = ErrorInfo.FromString(values["google.rpc.ErrorInfo"])
    assert (info.reason, info.domain) == ("INVALID_INPUT", "rankspace")
    (violation,) = BadRequest.FromString(values["google.rpc.BadRequest"]).field_violations
    assert violation.field == "name"
