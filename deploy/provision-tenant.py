#!/usr/bin/env python3
"""Provision a tenant and print its credentials, ready to paste. Needs nothing but Python 3.8 or newer.

The tenant's secret is in this program's output and nowhere else: it cannot be shown again.

Exit codes: 0 provisioned; 2 wrong usage; 3 the relay cannot be reached; 4 the admin key was refused (401, 403);
5 a field was refused (422); 6 any other answer.
"""

import argparse
import html
import http.client
import json
import os
import re
import shlex
import socket
import sys
import urllib.error
import urllib.parse
import urllib.request

USAGE, NO_CONNECTION, BAD_KEY, BAD_FIELD, BAD_ANSWER = 2, 3, 4, 5, 6


def fail(code, *lines):
    print("provision-tenant: " + "\n  ".join(lines), file=sys.stderr)
    raise SystemExit(code)


def arguments():
    parser = argparse.ArgumentParser(
        description="Provision a tenant and print its credentials, ready to paste."
    )
    parser.add_argument(
        "--relay-url",
        default=os.environ.get("BASE_URL"),
        help="the relay, as tenants and browsers reach it, such as http://127.0.0.1:7811 (default: $BASE_URL, or what the "
        "admin service has as ADMIN_RELAY_URL)",
    )
    parser.add_argument(
        "--admin-url",
        default=os.environ.get("ADMIN_URL"),
        help="the admin service, such as http://127.0.0.1:7812, where the relay does not pass the admin API on "
        "(default: $ADMIN_URL, or the relay)",
    )
    keys = parser.add_mutually_exclusive_group()
    keys.add_argument(
        "--admin-key-file",
        metavar="FILE",
        help="a file with the operators' key, such as data/admin.key (default: $ADMIN_API_KEY)",
    )
    keys.add_argument(
        "--admin-key",
        help="the operators' key itself; every process list shows it, so rather set ADMIN_API_KEY or give --admin-key-file",
    )
    parser.add_argument("--tenant-name", required=True, help="what people call the tenant")
    parser.add_argument(
        "--origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="a browser origin the widget may run on, such as https://shop.demo.com; repeatable",
    )
    parser.add_argument(
        "--callback-url",
        metavar="URL",
        help="the tenant's backend, such as https://shop.demo.com: the relay sends events to paths under this URL",
    )
    given = parser.parse_args()
    if not (given.relay_url or given.admin_url):
        parser.error("--relay-url or --admin-url is required (or set BASE_URL or ADMIN_URL)")
    relay_and_admin = (("--relay-url", given.relay_url or None), ("--admin-url", given.admin_url or None))
    # An empty --callback-url is refused: the shell variable in it is unset.
    for name, url in (*relay_and_admin, ("--callback-url", given.callback_url)):
        wrong = url is not None and what_is_wrong_with(url)
        if wrong:
            parser.error(f"{name} {wrong} (given: {url!r})")
    if given.admin_key_file is not None:
        given.admin_key = key_in(given.admin_key_file, parser)
    elif given.admin_key is None:
        given.admin_key = os.environ.get("ADMIN_API_KEY")
    if not given.admin_key:
        parser.error("the operators' key is required: set ADMIN_API_KEY, or give --admin-key-file")
    if not (given.admin_key.isascii() and given.admin_key.isprintable()):
        parser.error("the operators' key must be visible ASCII characters")
    return given


def what_is_wrong_with(url):
    """What keeps a URL from being a base URL, if anything does. All of it is read here, before anything is sent."""
    if not url.startswith(("http://", "https://")):
        return "must begin with http:// or https://"
    if not url.isprintable() or " " in url:
        return "must not have spaces or control characters"
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        return f"is not a URL: {error}"
    if not host or port == 0:
        return "needs a host, and a port from 1 to 65535 if any"
    if "?" in url or "#" in url:
        return "must end after host, port and path"
    return None


def key_in(path, parser):
    try:
        with open(path, encoding="utf-8-sig") as file:
            # As the service reads it: entries are parted by line ends and commas, and the first is the one to send.
            line = next((line for line in file.read(4096).splitlines() if line.strip()), "")
            key = re.split(r"(?<!\\),", line)[0].replace("\\,", ",").strip()
    except OSError as error:
        parser.error(f"--admin-key-file: {path}: {error.strerror}")
    except ValueError:
        parser.error(f"--admin-key-file: {path}: must be visible ASCII characters")
    if not key:
        parser.error(f"--admin-key-file: {path}: is empty")
    return key


class KeepToThisHost(urllib.request.HTTPRedirectHandler):
    """The admin key goes where it was sent and nowhere a redirect points."""

    def redirect_request(self, *_):
        return None


def opener_for(url):
    # A proxy is for the world outside: what listens on this machine is asked directly.
    local = urllib.parse.urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")
    return urllib.request.build_opener(KeepToThisHost, *([urllib.request.ProxyHandler({})] if local else []))


def has_widget(relay_url):
    """Whether pages can load the widget from there (the admin service answers 404); None where that is not known."""
    try:
        request = urllib.request.Request(relay_url.rstrip("/") + "/widget.js", method="HEAD")
        with opener_for(relay_url).open(request, timeout=5) as answer:
            return True if answer.status == 200 else None
    except urllib.error.HTTPError as error:
        # Any other refusal may be a proxy's, such as one that takes no HEAD, or one that is busy.
        return False if error.code == 404 else None
    except (OSError, ValueError, http.client.HTTPException):
        return None


def provision(base_url, flag, admin_key, body):
    opener = opener_for(base_url)
    request = urllib.request.Request(
        base_url.rstrip("/") + "/api/v1/provision/tenant",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "X-Admin-Key": admin_key},
        method="POST",
    )
    try:
        with opener.open(request, timeout=30) as answer:
            tenant = json.load(answer)["data"]
            wanted = {name: str(tenant[name]) for name in ("tenant_id", "tenant_secret", "widget_public_key")}
            # Older admin services do not name it.
            return {**wanted, "relay_url": str(tenant.get("relay_url") or "")}
    except urllib.error.HTTPError as error:
        explain(error, flag)
    except http.client.InvalidURL as error:
        fail(USAGE, f"{flag}: {error}")
    except (TimeoutError, socket.timeout, ConnectionError, http.client.IncompleteRead):
        fail(
            NO_CONNECTION,
            f"{base_url} gave no whole answer.",
            "The tenant may have been provisioned: look with GET /api/v1/fetch/tenants before you try again.",
        )
    except http.client.HTTPException:
        fail(BAD_ANSWER, f"{base_url} answered something that is not HTTP.", "Is the URL right?")
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        fail(NO_CONNECTION, f"cannot reach {base_url}: {reason}", f"Does it run, and is {flag} right?")
    except (ValueError, KeyError, TypeError, RecursionError):
        fail(BAD_ANSWER, f"{base_url} answered something that is not the relay's.", "Is the URL right?")


def explain(error, flag):
    try:
        answer = json.load(error)
    except (ValueError, OSError, RecursionError, http.client.HTTPException):
        answer = {}
    if not isinstance(answer, dict):
        answer = {}
    message = answer.get("message", error.reason)
    request_id = f"request_id: {answer.get('request_id', 'unknown')}"
    if error.code == 401:
        fail(
            BAD_KEY,
            "the admin key was refused (401).",
            "It is the admin service's ADMIN_API_KEY, in one process without that in data/admin.key, or a key that was made with it and "
            "is neither revoked nor expired.",
            request_id,
        )
    if error.code == 403:
        fail(BAD_KEY, f"the admin key may not do this (403): {message}", "Nothing was written.", request_id)
    if error.code == 404:
        hint = "There is no admin API at this address." if flag == "--admin-url" else (
            "A gateway that faces the internet passes no admin API on: give the admin service's own address as --admin-url, "
            "such as http://127.0.0.1:7812, beside --relay-url."
        )
        fail(BAD_ANSWER, f"the answer is 404: {message}", hint, "Nothing was written.", request_id)
    if error.code == 422:
        errors = answer.get("errors")
        errors = [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
        fields = [f"{error.get('field')}: {error.get('message')}" for error in errors]
        fail(BAD_FIELD, "the relay refused (422), and nothing was written:", *(fields or [message]), request_id)
    fail(BAD_ANSWER, f"the relay answered {error.code}: {message}", request_id)


def main():
    given = arguments()
    body = {"tenant_name": given.tenant_name}
    if given.origin:
        body["allowed_origins"] = given.origin
    if given.callback_url:
        body["callback_url_base"] = given.callback_url
    if given.admin_url:
        tenant = provision(given.admin_url, "--admin-url", given.admin_key, body)
    else:
        tenant = provision(given.relay_url, "--relay-url", given.admin_key, body)
    backend = {"TENANT_ID": tenant["tenant_id"], "TENANT_SECRET": tenant["tenant_secret"]}
    widget = {"CHAT_TENANT_ID": tenant["tenant_id"], "CHAT_WIDGET_PUBLIC_KEY": tenant["widget_public_key"]}
    print("# Tenant provisioned. The secret below is shown this once: store it now.")
    section("Tenant backend (HMAC#1): keep it server-side, never commit it.", backend, "CHAT_RELAY_")
    # Out before anything else is asked of the network: whatever happens from here on, the secret is kept.
    sys.stdout.flush()
    try:
        relay_url = relay_of(given, tenant)
    except KeyboardInterrupt:
        relay_url = (given.relay_url or tenant["relay_url"]).rstrip("/")
        note(f"interrupted: the tenant is provisioned, and whether a relay answers at {relay_url} was not asked to the end.")
    export({"BASE_URL": relay_url}, "CHAT_RELAY_")
    backend["BASE_URL"] = relay_url
    if given.callback_url:
        backend["CALLBACK_BASE_URL"] = given.callback_url
    section("The same for the published Python client.", backend, "BLOONIO_CHAT_")
    section("Widget / in-app SDK: public.", widget)
    print("\n# The widget: paste this line into pages of the allowed origins.")
    print(f"# {embed_code(relay_url, tenant)}")


def relay_of(given, tenant):
    """The address to paste: the one given, unless that is the admin service's, which knows the relay's."""
    known = tenant["relay_url"].rstrip("/")
    relay_url = (given.relay_url or known).rstrip("/")
    found = has_widget(relay_url)
    if found is False and known and given.relay_url and not given.admin_url:
        note(f"{given.relay_url} is not the relay: what is printed names {known}, the admin service's ADMIN_RELAY_URL.")
        relay_url = known
        found = has_widget(relay_url)
    if not relay_url:
        note("the admin service does not say where the relay is: put its address where the lines below lack it.")
    elif not found:
        note(
            f"the tenant is provisioned, but no relay answers at {relay_url} from here.",
            "If it is elsewhere, give --relay-url next time, or set ADMIN_RELAY_URL at the admin service; "
            "in the lines below, replace the address.",
        )
    return relay_url


def note(*lines):
    print("provision-tenant: note: " + "\n  ".join(lines), file=sys.stderr)


def embed_code(relay_url, tenant):
    attributes = {
        "src": relay_url.rstrip("/") + "/widget.js",
        "data-tenant-id": tenant["tenant_id"],
        "data-public-key": tenant["widget_public_key"],
    }
    # On one line whatever came over the network: it is a comment in what shells source.
    quoted = [f'{name}="{html.escape("".join(value.split()))}"' for name, value in attributes.items()]
    return f"<script {' '.join(quoted)} async></script>"


def section(title, variables, prefix=""):
    print(f"\n# {title}")
    export(variables, prefix)


def export(variables, prefix):
    for name, value in variables.items():
        # Quoted: this is sourced by shells, and the values came over the network.
        print(f"export {prefix}{name}={shlex.quote(value)}")


if __name__ == "__main__":
    main()
