"""The commands of README.md and of the pages it names, run as a new user pastes them: they are read from the pages themselves."""

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
README = "README.md"
# The pages, in the order in which their commands are run: each goes on from the README's step 2.
CALLING, EVENTS, WIDGET, INBOX, OPERATING, INTERNAL = (
    f"deploy/docs/{name}.md" for name in ("calling", "events", "widget", "inbox", "operating", "internal")
)
PAGES = sorted(["README.md", "PROTOCOL.md", "ARCHITECTURE.md", *(str(page.relative_to(ROOT)) for page in ROOT.glob("deploy/docs/*.md"))])
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
ENVIRONMENT = {**os.environ, "CARGO_TARGET_DIR": str(TARGET)}
START_S = 1800  # The first command compiles the release build.
ONE_PROCESS = (7811, 7812, 7813, 7815)
RECEIVER = 8001
SEPARATE_PROCESSES = (7821, 7822, 7832, 7833, 7834, 7835)


def read(page):
    return (ROOT / page).read_text()


def commands(text):
    """The commands of a text, a block each, in order."""
    return re.findall(r"```sh\n(.*?)```", text, re.DOTALL)


def section(page, heading):
    """What stands under a heading of a page."""
    level = len(heading.split(" ", 1)[0])
    below = read(page).split(f"\n{heading}\n", 1)[1]
    return re.split(rf"\n#{{2,{level}}} ", below, maxsplit=1)[0]


def blocks(page, heading):
    """The commands under a heading, a block each, in order."""
    return commands(section(page, heading))


def run(command, checkout):
    """Runs a command in the checkout, and ends what it started where it takes too long."""
    process = subprocess.Popen(
        command, cwd=checkout, env=ENVIRONMENT, start_new_session=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    try:
        printed, errors = process.communicate(timeout=START_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)
        raise
    assert process.returncode == 0, f"{printed}\n{errors}"
    return printed


def ports_in_use(ports):
    taken = []
    for port in ports:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                taken.append(port)
    return taken


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the checkout's files, so that `./data` is its own."""
    checkout = tmp_path_factory.mktemp("checkout")
    # Only what git tracks: a reader's own data, tenant.env and .venv are none of a test's business.
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    for name in {path.split("/")[0] for path in tracked}:
        os.symlink(ROOT / name, checkout / name)
    os.symlink(TARGET, checkout / "target")
    return checkout


@pytest.fixture(scope="module")
def started(checkout):
    """The first command."""
    assert not ports_in_use(ONE_PROCESS), "the quickstart needs the default ports free"
    start, *_ = blocks(README, "## Quickstart")
    assert start.strip() == "cargo run --release"
    log = open(checkout / "start.log", "w+")
    process = subprocess.Popen(
        ["sh", "-c", start], cwd=checkout, start_new_session=True, stdout=subprocess.PIPE, stderr=log,
        env=ENVIRONMENT, text=True,
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
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)
        log.close()


# What is run beside the one process, in order. The separate processes have a test of their own.
STEPS = [
    *blocks(README, "## Quickstart")[1:],
    *commands(read(CALLING)),
    *commands(read(EVENTS)),
    *blocks(WIDGET, "## Put it on your pages"),
    *commands(read(INBOX)),
    *blocks(OPERATING, "## Operators' calls"),
    *blocks(OPERATING, "## Events"),
    *blocks(OPERATING, "## Secrets"),
    *blocks(OPERATING, "### Verify the logs"),
    *blocks(INTERNAL, "## Try it"),
]
SEPARATE = blocks(OPERATING, "## As separate processes")


def test_every_command_of_every_page_is_run():
    start, (tests,) = blocks(README, "## Quickstart")[:1], blocks(README, "## Developing")
    assert tests == "tests/run\n"
    shown = [block for page in PAGES for block in commands(read(page))]
    assert sorted(shown) == sorted([*start, tests, *STEPS, *SEPARATE])


def test_links_between_pages_lead_somewhere():
    def anchors(page):
        headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", read(page), flags=re.DOTALL), re.MULTILINE)
        return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}

    for page in PAGES:
        for link in re.findall(r"\]\(([^)\s]+)\)", read(page)):
            if re.match(r"[a-z]+://", link):
                continue
            path, _, anchor = link.partition("#")
            target = ((ROOT / page).parent / path).resolve() if path else ROOT / page
            assert target.exists(), f"{page}: {link}"
            assert not anchor or anchor in anchors(target.relative_to(ROOT)), f"{page}: {link}"


def test_the_steps_work_as_pasted(started, checkout):
    assert not ports_in_use([RECEIVER]), "the receiver needs its port free"
    # One shell, as a reader has one terminal. It ends the receiver even where a command before fails.
    script = "\n".join(["set -eu", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT", *STEPS])
    printed = run(["bash", "-c", script], checkout)
    assert not ports_in_use([RECEIVER]), "the page stops its receiver"
    for expected in (
        '"created":true',
        " visitor: Where is my order?\n     bot: Track your order from the link in your e-mail.",
        "TCK-000001",
        "TCK-000001 ['visitor', 'bot', 'visitor', 'system', 'agent']",
        "1 no_endpoint conversation_started ",
        "\nticket_created ",
        '<script src="http://127.0.0.1:7811/widget.js" data-tenant-id="',
        '"items":[{"tenant_id":"',
        "audit_log: intact; ",
        "access_log: intact; ",
        'tenant_name: "Demo Boutique"',
    ):
        assert expected in printed, printed
    assert (checkout / "tenant.env").stat().st_mode & 0o777 == 0o600
    with urllib.request.urlopen("http://127.0.0.1:7811/demo", timeout=5) as answer:
        assert '<script src="/widget.js" data-tenant-id="' in answer.read().decode(), "the page says what is missing"
    key = (checkout / "data" / "admin.key").read_text().strip()
    assert key and (checkout / "data" / "admin.key").stat().st_mode & 0o777 == 0o600


def test_the_start_prints_the_first_step_as_it_stands_here(started):
    printed = ""
    while "README.md goes on" not in printed:
        line = started.stdout.readline()
        assert line, printed
        printed += line
    _, first, *_ = blocks(README, "## Quickstart")
    told = printed.split("provision a tenant:\n\n", 1)[1].split("\n\n", 1)[0]
    assert [line[2:] for line in told.splitlines()] == first.splitlines(), "the start and the README differ"


def test_two_gateways_on_postgresql_work_as_pasted(checkout):
    assert not ports_in_use(SEPARATE_PROCESSES), "the page's separate processes need their ports free"
    server, *steps = SEPARATE
    assert server.strip() == "pg_virtualenv -t" and len(steps) == 2
    stop = "kill $(jobs -p)"
    assert f"`{stop}`" in section(OPERATING, "## As separate processes")
    script = "\n".join(["set -eu", f"trap '{stop}; wait' EXIT", *steps])
    printed = run([*server.split(), "bash", "-c", script], checkout)
    assert printed.count("ready\n") == 5, printed
    for expected in (
        "7821 answers 200\n7822 answers 200\n",
        '"propagation":{"gateways":2,"acknowledged":2,',
        "7822 answers 401\n7822 answers 200\n",
    ):
        assert expected in printed, printed
    assert not ports_in_use(SEPARATE_PROCESSES), "what was started is stopped"
    made = checkout / "data" / "fleet"
    for name in ("admin.key", "grpc.token", "relay.secret", "master.keys", "database.url", "tenant.env"):
        assert (made / name).stat().st_mode & 0o777 == 0o600, name
