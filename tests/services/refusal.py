"""What a refused call says, unpacked."""

from collections.abc import Awaitable
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc_status import rpc_status


async def refusal(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str, str, str]:
    """Code, reason, field and text of the error that a call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = caught.value
    return error.code(), *unpacked(error), error.details() or ""


def unpacked(error: grpc.aio.AioRpcError) -> tuple[str, str]:
    """Reason and field."""
    reason = field = ""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    assert status is not None, "a refusal without details"
    for detail in status.details:
        info, request = ErrorInfo(), BadRequest()
        if detail.Unpack(info):
            assert info.domain == "rankspace"
            reason = info.reason
        elif detail.Unpack(request):
            field = request.field_violations[0].field
        else:
            assert detail.Is(RetryInfo.DESCRIPTOR)
    return reason, field
