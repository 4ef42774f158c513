"""The operations script: what it prints, and how it fails."""

import contextlib
import re
import socket
import struct
import threading
import urllib.error
import urllib.request

import pytest

from conftest import ADMIN_KEY, Separate, run_provision

NAME = ("--tenant-name", "Separate")


@contextlib.contextmanager
def separate(data_dir, **gateway_env):
    """Both services as processes of their own."""
    world = Separate(data_dir, **gateway_env)
    try:
        yield world
    finally:
        world.stop()


def exported(run):
    assert run.returncode == 0, run.stderr
    return dict(re.findall(r"^export (\w+)=(\S+)$", run.stdout, re.MULTILINE))


def assert_right_to_paste(run, relay):
    """What is printed names the relay, pages load the widget from it, and it knows the tenant."""
    values = exported(run)
    assert values["CHAT_RELAY_BASE_URL"] == values["BLOONIO_CHAT_BASE_URL"] == relay, run.stdout
    source = re.search(r'<script src="([^"]+)"', run.stdout).group(1)
    assert source == f"{relay}/widget.js"
    with urllib.request.urlopen(source, timeout=10) as script:
        assert script.status == 200 and "javascript" in script.headers["Content-Type"]
    url = f"{relay}/api/v1/fetch/widget-config?tenant_id={values['CHAT_TENANT_ID']}"
    with urllib.request.urlopen(f"{url}&widget_public_key={values['CHAT_WIDGET_PUBLIC_KEY']}", timeout=10) as config:
        assert config.status == 200


def test_with_separate_processes_it_prints_the_relays_address(tmp_path):
    key = tmp_path / "admin.key"
    key.write_text(ADMIN_KEY + "\n")
    several = tmp_path / "several.keys"
    # With what some editors put at the beginning of a file.
    several.write_text(f"\ufeff\n {ADMIN_KEY} , the-next-one-of-operators\nthe-one-before-of-operators\n")
    with separate(tmp_path, GATEWAY_EXPOSE_ADMIN_API="false") as world:
        both = ("--relay-url", world.relay, "--admin-url", world.admin)
        for run in (
            run_provision(*both, *NAME, ADMIN_API_KEY=ADMIN_KEY),
            run_provision(*both, *NAME, "--admin-key-file", str(key)),
            run_provision(*both, *NAME, "--admin-key-file", str(several)),
            run_provision(*both, *NAME, "--admin-key", ADMIN_KEY),
            # The admin service knows where the relay is.
            run_provision("--admin-url", world.admin, *NAME, ADMIN_API_KEY=ADMIN_KEY),
            run_provision(*NAME, ADMIN_API_KEY=ADMIN_KEY, ADMIN_URL=world.admin),
        ):
            assert_right_to_paste(run, world.relay)
            assert run.stderr == ""
        # As it was used before there was --admin-url.
        run = run_provision("--relay-url", world.admin, *NAME, ADMIN_API_KEY=ADMIN_KEY)
        assert_right_to_paste(run, world.relay)
        assert f"{world.admin} is not the relay" in run.stderr

        run = run_provision("--relay-url", world.relay, *NAME, ADMIN_API_KEY=ADMIN_KEY)
        assert (run.returncode, run.stdout) == (6, "")
        for told in ("404", "expose_admin_api", "--admin-url", "Nothing was written"):
            assert told in run.stderr, run.stderr


def test_a_relay_that_is_not_there_is_told_with_the_credentials(tmp_path):
    with separate(tmp_path) as world:
        world.services.pop().stop()
        run = run_provision("--admin-url", world.admin, *NAME, ADMIN_API_KEY=ADMIN_KEY)
        assert exported(run)["CHAT_RELAY_BASE_URL"] == world.relay
        assert f"no relay answers at {world.relay}" in run.stderr


def test_a_gateway_on_loopback_passes_the_admin_api_on_unless_a_proxy_passed_the_call_on(tmp_path):
    with separate(tmp_path) as world:
        run = run_provision("--relay-url", world.relay, *NAME, ADMIN_API_KEY=ADMIN_KEY)
        assert_right_to_paste(run, world.relay)
        headers = {"X-Admin-Key": ADMIN_KEY, "X-Forwarded-For": "192.0.2.1"}
        request = urllib.request.Request(f"{world.relay}/api/v1/fetch/tenants", headers=headers)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        assert refused.value.code == 404


def test_a_key_that_cannot_be_read_is_told(tmp_path):
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "odd").write_bytes(b"\xff\xfe")
    where = ("--relay-url", "http://127.0.0.1:1", *NAME)
    for arguments, told in (
        (("--admin-key-file", str(tmp_path / "nowhere")), "No such file"),
        (("--admin-key-file", str(tmp_path / "empty")), "is empty"),
        (("--admin-key-file", str(tmp_path / "odd")), "visible ASCII"),
        (("--admin-key-file", str(tmp_path)), "directory"),
        (("--admin-key-file", str(tmp_path / "empty"), "--admin-key", "k"), "not allowed with"),
        ((), "ADMIN_API_KEY"),
    ):
        run = run_provision(*where, *arguments)
        assert (run.returncode, told in run.stderr, "Traceback" in run.stderr) == (2, True, False), run.stderr
    run = run_provision(*NAME, "--admin-url", "127.0.0.1:7812", ADMIN_API_KEY=ADMIN_KEY)
    assert (run.returncode, "--admin-url must begin with http" in run.stderr) == (2, True)


def answer_nonsense(server, nonsense=b"\x00\x00\x12\x04 this is no HTTP\r\n\r\n"):
    connection, _ = server.accept()
    with connection:
        received = b""
        # All of the request, body included: a connection closed over unread data is reset.
        while b'"tenant_name"' not in received:
            received += connection.recv(4096)
        if nonsense is None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            connection.sendall(nonsense)


def http_answer(status, body, length=None):
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length or len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize(
    ("nonsense", "code", "told"),
    (
        # Reset once the request was sent: nobody knows what became of it.
        (None, 3, "may have been provisioned"),
        (http_answer("422 Unprocessable Entity", b'{"errors": null, "message": "odd"}'), 5, "odd"),
        (http_answer("422 Unprocessable Entity", b'{"errors": [1, {"message": "m"}], "message": "odd"}'), 5, "m"),
        (http_answer("422 Unprocessable Entity", b'{"errors"', length=99), 5, "refused (422)"),
        (http_answer("500 Internal Server Error", b"[" * 100_000), 6, "answered 500"),
        (http_answer("201 Created", b"[" * 100_000), 6, "not the relay's"),
        (http_answer("201 Created", b'{"data": {}}'), 6, "not the relay's"),
    ),
)
def test_a_hostile_answer_is_told_in_a_line(run_script, nonsense, code, told):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        threading.Thread(target=lambda: answer_nonsense(mute, nonsense), daemon=True).start()
        run = run_script("--tenant-name", "X", url=f"http://127.0.0.1:{mute.getsockname()[1]}")
    assert (run.returncode, told in run.stderr, "Traceback" in run.stderr) == (code, True, False), run.stderr


def test_it_prints_credentials_ready_to_paste(deployment, run_script):
    run = run_script("--tenant-name", "Demo Boutique", "--origin", "https://shop.demo.com", "--origin", "app://bloonio_chat_flutter")
    assert run.returncode == 0, run.stderr
    exported = dict(re.findall(r"^export (\w+)=(\S+)$", run.stdout, re.MULTILINE))
    assert exported["CHAT_RELAY_BASE_URL"] == exported["BLOONIO_CHAT_BASE_URL"] == deployment.relay
    assert exported["CHAT_RELAY_TENANT_ID"] == exported["BLOONIO_CHAT_TENANT_ID"] == exported["CHAT_TENANT_ID"]
    assert exported["CHAT_RELAY_TENANT_SECRET"] == exported["BLOONIO_CHAT_TENANT_SECRET"]
    assert re.fullmatch(r"sk_[\w-]{43}", exported["CHAT_RELAY_TENANT_SECRET"])
    assert re.fullmatch(r"pk_[\w-]{32}", exported["CHAT_WIDGET_PUBLIC_KEY"])
    attributes = f'data-tenant-id="{exported["CHAT_TENANT_ID"]}" data-public-key="{exported["CHAT_WIDGET_PUBLIC_KEY"]}"'
    assert f'# <script src="{deployment.relay}/widget.js" {attributes} async></script>' in run.stdout.splitlines()
    tenant = deployment.admin("GET", f"/fetch/tenant?tenant_id={exported['CHAT_TENANT_ID']}")
    assert tenant["allowed_origins"] == ["https://shop.demo.com", "app://bloonio_chat_flutter"]


def test_a_callback_url_is_set_and_printed_for_the_published_client(deployment, run_script):
    run = run_script("--tenant-name", "Demo Boutique", "--callback-url", "https://shop.demo.com/v2")
    values = exported(run)
    assert values["BLOONIO_CHAT_CALLBACK_BASE_URL"] == "https://shop.demo.com/v2"
    assert "CHAT_RELAY_CALLBACK_BASE_URL" not in values
    tenant = deployment.admin("GET", f"/fetch/tenant?tenant_id={values['CHAT_TENANT_ID']}")
    assert tenant["callback_url_base"] == "https://shop.demo.com/v2"

    without = exported(run_script("--tenant-name", "Demo Boutique"))
    assert "BLOONIO_CHAT_CALLBACK_BASE_URL" not in without
    tenant = deployment.admin("GET", f"/fetch/tenant?tenant_id={without['CHAT_TENANT_ID']}")
    assert tenant["callback_url_base"] is None


@pytest.mark.parametrize("url", ("", "shop.demo.com", "ftp://shop.demo.com", "https://shop.demo.com?a=1", "https://", "https://a b"))
def test_a_callback_url_that_is_none_is_refused_before_anything_is_sent(url):
    run = run_provision("--relay-url", "http://127.0.0.1:1", *NAME, "--callback-url", url, ADMIN_API_KEY=ADMIN_KEY)
    assert (run.returncode, run.stdout) == (2, "")
    assert "--callback-url" in run.stderr and "Traceback" not in run.stderr, run.stderr


def test_a_callback_url_that_the_relay_refuses_is_told(run_script):
    run = run_script("--tenant-name", "X", "--callback-url", "https://user:hushhush@shop.demo.com")
    assert (run.returncode, run.stdout) == (5, "")
    assert "callback_url_base" in run.stderr and "hushhush" not in run.stderr, run.stderr


def test_every_failure_has_a_clear_error_and_a_code_of_its_own(run_script):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{unused.getsockname()[1]}"
        run = run_script("--tenant-name", "X", url=nowhere)
    assert (run.returncode, "cannot reach" in run.stderr) == (3, True)

    run = run_script("--tenant-name", "X", key="wrong-admin-key-here")
    assert (run.returncode, "refused (401)" in run.stderr, "request_id" in run.stderr) == (4, True, True)

    run = run_script("--tenant-name", " ", "--origin", "https://a.com/path")
    assert run.returncode == 5
    assert "tenant_name: must not be blank" in run.stderr and "allowed_origins: entry 1" in run.stderr

    with socket.create_server(("127.0.0.1", 0)) as mute:
        threading.Thread(target=lambda: answer_nonsense(mute), daemon=True).start()
        run = run_script("--tenant-name", "X", url=f"http://127.0.0.1:{mute.getsockname()[1]}")
    assert (run.returncode, "not HTTP" in run.stderr, "Traceback" in run.stderr) == (6, True, False)
    run = run_script("--tenant-name", "X", url="http://localhost:port")
    assert (run.returncode, "Traceback" in run.stderr) == (2, False)

    assert run_script().returncode == 2
    assert run_script("--tenant-name", "X", url="shop.demo.com").returncode == 2
    for run in (run_script("--tenant-name", "X", key="wrong-admin-key-here"), run_script("--tenant-name", " ")):
        assert run.stdout == "" and "Traceback" not in run.stderr


def test_an_answer_that_is_not_the_relays_is_told(deployment, run_script):
    run = run_script("--tenant-name", "X", url=f"{deployment.relay}/nothing")
    assert (run.returncode, "404" in run.stderr) == (6, True)
