"""The operations script: what it prints, and how it fails."""

import re
import socket
import threading


def answer_nonsense(server):
    connection, _ = server.accept()
    with connection:
        received = b""
        # All of the request, body included: a connection closed over unread data is reset.
        while b'"tenant_name"' not in received:
            received += connection.recv(4096)
        connection.sendall(b"\x00\x00\x12\x04 this is no HTTP\r\n\r\n")


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
