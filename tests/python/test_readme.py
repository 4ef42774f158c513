"""The README's quickstart, run as a new user pastes it: the commands are read from the page itself."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
START_S = 1800  # The first command compiles the release build.


def blocks(language):
    """The quickstart's code blocks in one language, in order."""
    section = README.split("## Quickstart", 1)[1].split("\n## ", 1)[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def ports_in_use():
    taken = []
    for port in (7811, 7812, 7813, 7815):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                taken.append(port)
    return taken


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """The first command, in a copy of the checkout's files, so that `./data` is its own."""
    assert not ports_in_use(), "the quickstart needs the default ports free"
    start, *_ = blocks("sh")
    assert start.strip() == "cargo run --release"
    checkout = tmp_path_factory.mktemp("checkout")
    # Only what git tracks: a reader's own data, tenant.env and .venv are none of a test's business.
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    for name in {path.split("/")[0] for path in tracked}:
        os.symlink(ROOT / name, checkout / name)
    target = os.environ.get("CARGO_TARGET_DIR", str(ROOT / "target"))
    log = open(checkout / "start.log", "w+")
    process = subprocess.Popen(
        ["sh", "-c", start], cwd=checkout, start_new_session=True, stdout=subprocess.PIPE, stderr=log,
        env={**os.environ, "CARGO_TARGET_DIR": target}, text=True,
    )
    try:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and process.poll() is None:
            try:
                with urllib.request.urlopen("http://127.0.0.1:7811/readyz", timeout=5) as answer:
                    assert answer.status == 200
                    break
            except OSError:
                time.sleep(0.2)
        log.seek(0)
        assert process.poll() is None, f"the first command ended:\n{log.read()[-4000:]}"
        yield checkout, process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)
        log.close()


def test_the_steps_work_as_pasted(started):
    checkout, process = started
    _, *steps = blocks("sh")
    assert len(steps) == 6
    # One shell, as a reader has one terminal.
    script = "set -eu\n" + "\n".join(steps)
    run = subprocess.run(["bash", "-c", script], cwd=checkout, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
    for expected in (
        '"created":true',
        " visitor: Where is my order?\n     bot: Track your order from the link in your e-mail.",
        "TCK-000001",
        "TCK-000001 ['visitor', 'bot', 'visitor', 'system', 'agent']",
        '<script src="http://127.0.0.1:7811/widget.js" data-tenant-id="',
    ):
        assert expected in run.stdout, run.stdout
    assert (checkout / "tenant.env").stat().st_mode & 0o777 == 0o600
    with urllib.request.urlopen("http://127.0.0.1:7811/demo", timeout=5) as answer:
        assert '<script src="/widget.js" data-tenant-id="' in answer.read().decode(), "the page says what is missing"
    key = (checkout / "data" / "admin.key").read_text().strip()
    assert key and (checkout / "data" / "admin.key").stat().st_mode & 0o777 == 0o600


def test_the_start_prints_the_first_step_as_it_stands_here(started):
    _, process = started
    printed = ""
    while "README.md goes on" not in printed:
        line = process.stdout.readline()
        assert line, printed
        printed += line
    _, first, *_ = blocks("sh")
    commands = printed.split("provision a tenant:\n\n", 1)[1].split("\n\n", 1)[0]
    assert [line[2:] for line in commands.splitlines()] == first.splitlines(), "the start and this page differ"
