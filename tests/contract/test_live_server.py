"""Streams to open pages, held by a controller that is told to stop."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.contract.listening import Listening, free_port

STREAMS = 200


async def test_a_stopped_controller_ends_every_stream_itself(tmp_path: Path) -> None:
    port = free_port()
    api = {"listen": f"127.0.0.1:{port}", "sign_in": {"anonymous": "read"}}
    address = "https://127.0.0.1:1/none.git"
    controller = await asyncio.to_thread(Listening, tmp_path, address, port=port, more={"api": api})
    streams = await asyncio.gather(*(listen(port, number) for number in range(STREAMS)))
    controller.child.terminate()
    ends = await asyncio.gather(*(rest(reader) for reader, _ in streams))
    assert all(end.endswith(b"0\r\n\r\n") for end in ends), "none was cut off"
    assert await asyncio.to_thread(controller.child.wait, 60) == 0
    assert "graceful shutdown exceeded" not in (tmp_path / "controller.log").read_text()
    for _, writer in streams:
        writer.close()


async def listen(port: int, number: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Everybody from an address of their own: one may hold so many."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"GET /live HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"X-Forwarded-For: 10.0.0.{number + 1}\r\n\r\n".encode()
    )
    await reader.readuntil(b"event: hello")
    return reader, writer


async def rest(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(60):
        return await reader.read()
