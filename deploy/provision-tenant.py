#!/usr/bin/env python3
"""Provision a tenant and print its credentials, ready to paste. Needs nothing but Python 3.8 or newer.

The tenant's secret is in this program's output and nowhere else: it cannot be shown again.

Exit codes: 0 provisioned; 2 wrong usage; 3 the relay cannot be reached; 4 the admin key was refused (401);
5 a field was refused (422); 6 any other answer.
"""

import argparse
import html
import http.client
import json
import os
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
        help="the relay or the admin service, such as http://127.0.0.1:7811 (default: $BASE_URL)",
    )
    parser.add_argument(
        "--admin-key",
        default=os.environ.get("ADMIN_API_KEY"),
        help="the operators' key (default: $ADMIN_API_KEY, which keeps it out of process lists)",
    )
    parser.add_argument("--tenant-name", required=True, help="what people call the tenant")
    parser.add_argument(
        "--origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="a browser origin the widget may run on, such as https://shop.demo.com; repeatable",
    )
    given = parser.parse_args()
    if not given.relay_url:
        parser.error("--relay-url is required (or set BASE_URL)")
    if not given.relay_url.startswith(("http://", "https://")):
        parser.error("--relay-url must begin with http:// or https://")
    if not given.admin_key:
        parser.error("--admin-key is required (or set ADMIN_API_KEY)")
    if not (given.admin_key.isascii() and given.admin_key.isprintable()):
        parser.error("--admin-key must be visible ASCII characters")
    return given


class KeepToThisHost(urllib.request.HTTPRedirectHandler):
    """The admin key goes where it was sent and nowhere a redirect points."""

    def redirect_request(self, *_):
        return None


def provision(base_url, admin_key, body):
    # A proxy is for the world outside: what listens on this machine is asked directly.
    try:
        local = urllib.parse.urlsplit(base_url).hostname in ("localhost", "127.0.0.1", "::1")
    except ValueError as error:
        fail(USAGE, f"--relay-url: {error}")
    opener = urllib.request.build_opener(KeepToThisHost, *([urllib.request.ProxyHandler({})] if local else []))
    request = urllib.request.Request(
        base_url.rstrip("/") + "/api/v1/provision/tenant",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "X-Admin-Key": admin_key},
        method="POST",
    )
    try:
        with opener.open(request, timeout=30) as answer:
            tenant = json.load(answer)["data"]
            return {name: str(tenant[name]) for name in ("tenant_id", "tenant_secret", "widget_public_key")}
    except urllib.error.HTTPError as error:
        explain(error)
    except http.client.InvalidURL as error:
        fail(USAGE, f"--relay-url: {error}")
    except (TimeoutError, socket.timeout, http.client.RemoteDisconnected, http.client.IncompleteRead):
        fail(
            NO_CONNECTION,
            f"{base_url} gave no whole answer.",
            "The tenant may have been provisioned: look with GET /api/v1/fetch/tenants before you try again.",
        )
    except http.client.HTTPException:
        fail(BAD_ANSWER, f"{base_url} answered something that is not HTTP.", "Is the URL right?")
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        fail(NO_CONNECTION, f"cannot reach {base_url}: {reason}", "Is the relay running, and is the URL right?")
    except (ValueError, KeyError, TypeError):
        fail(BAD_ANSWER, f"{base_url} answered something that is not the relay's.", "Is the URL right?")


def explain(error):
    try:
        answer = json.load(error)
    except ValueError:
        answer = {}
    if not isinstance(answer, dict):
        answer = {}
    message = answer.get("message", error.reason)
    request_id = f"request_id: {answer.get('request_id', 'unknown')}"
    if error.code == 401:
        fail(BAD_KEY, "the admin key was refused (401).", "In one process it is in data/admin.key.", request_id)
    if error.code == 422:
        fields = [f"{field['field']}: {field['message']}" for field in answer.get("errors", [])]
        fail(BAD_FIELD, "the relay refused (422), and nothing was written:", *(fields or [message]), request_id)
    fail(BAD_ANSWER, f"the relay answered {error.code}: {message}", request_id)


def main():
    given = arguments()
    body = {"tenant_name": given.tenant_name}
    if given.origin:
        body["allowed_origins"] = given.origin
    tenant = provision(given.relay_url, given.admin_key, body)
    backend = {
        "BASE_URL": given.relay_url.rstrip("/"),
        "TENANT_ID": tenant["tenant_id"],
        "TENANT_SECRET": tenant["tenant_secret"],
    }
    widget = {"CHAT_TENANT_ID": tenant["tenant_id"], "CHAT_WIDGET_PUBLIC_KEY": tenant["widget_public_key"]}
    print("# Tenant provisioned. The secret below is shown this once: store it now.")
    section("Tenant backend (HMAC#1): keep it server-side, never commit it.", backend, "CHAT_RELAY_")
    section("The same for the published Python client.", backend, "BLOONIO_CHAT_")
    section("Widget / in-app SDK: public.", widget)
    print("\n# The widget: paste this line into pages of the allowed origins.")
    print(f"# {embed_code(given.relay_url, tenant)}")


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
    for name, value in variables.items():
        # Quoted: this is sourced by shells, and the values came over the network.
        print(f"export {prefix}{name}={shlex.quote(value)}")


if __name__ == "__main__":
    main()
