"""``tapestream api`` as a process: how it starts, refuses to, and ends."""

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from schemas.settings import Settings
from tests.kafka import wait_until

TOKEN = "a-token-of-the-tests"


def _start(settings: Settings, *options: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tapestream.cli", "api", *options],
        env=settings.environment(os.environ) | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_without_a_token_it_says_what_to_do(tmp_path: Path) -> None:
    process = _start(Settings(data_dir=tmp_path))
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert said.strip().splitlines()[-1] == (
        'error: the API needs a token (set one: export TAPESTREAM_API_TOKEN="$(openssl rand -hex 32)")'
    )


@pytest.mark.kafka
@pytest.mark.usefixtures("topics_ready")
@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_in_good_order_with_a_stream_open(
    settings: Settings, tmp_path: Path, told: signal.Signals
) -> None:
    port_file = tmp_path / "port"
    process = _start(settings, "--port", "0", "--port-file", str(port_file), TAPESTREAM_API_TOKEN=TOKEN)
    try:
        wait_until(port_file.exists, "the port is known", 60)
        address = f"http://127.0.0.1:{port_file.read_text()}"
        wait_until(lambda: _status(f"{address}/ready") == 200, "it is ready", 60)
        request = urllib.request.Request(
            f"{address}/api/v1/events", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        with urllib.request.urlopen(request, timeout=20) as stream:
            assert stream.readline() == b"retry: 2000\n"
            process.send_signal(told)
            said, _ = process.communicate(timeout=20)
        assert process.returncode == 0, said
        assert TOKEN not in said
        assert "Traceback" not in said
    finally:
        process.kill()
        process.wait()


def _status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except OSError:
        return 0
