"""A chat backend of your own: conversations in memory, each tenant's apart. It needs only Python 3.8 or newer."""
import hashlib, hmac, json, os, sys, threading, time, uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

# The backend accepts each secret of a comma-separated list, so that a secret can be changed without a refused call.
SECRETS = [secret.strip().encode() for secret in os.environ.get("CHAT_BACKEND_RELAY_SECRET", "").split(",")]
if min(map(len, SECRETS)) < 16:
    sys.exit("Set CHAT_BACKEND_RELAY_SECRET to the gateway's relay secret, which has at least 16 characters.")
TENANTS, LOCK, last_ms = {}, threading.Lock(), 0  # TENANTS: tenant id -> conversation id -> (conversation, messages)

class Refusal(Exception):
    """Its arguments: the status, the reply's fields, and the value of `X-Relay-Refused`, if it has one."""

def verify(method, target, headers, body):
    """Checks HMAC#2 and returns the tenant and the actor that the relay signed. A ValueError says what is wrong."""
    values = [headers.get_all(f"X-Relay-{name}", []) for name in ("Timestamp", "Tenant-Id", "Actor", "Signature")]
    if any(len(value) != 1 for value in values):
        raise ValueError("a header is missing or repeated")
    timestamp, tenant, actor, signature = [value[0] for value in values]
    if abs(int(timestamp) - time.time_ns() // 1_000_000) > 30_000:
        raise ValueError("the timestamp is more than 30 s away: set both clocks")
    signed = "\n".join([timestamp, method, target, tenant, actor, hashlib.sha256(body).hexdigest()]).encode("latin-1")
    expected = [hmac.new(secret, signed, hashlib.sha256).hexdigest().encode() for secret in SECRETS]
    if not any([hmac.compare_digest(one, signature.encode("latin-1")) for one in expected]):  # In constant time.
        raise ValueError("the signature does not match: compare the secrets of both sides")
    return tenant, actor

def record(tenant, **fields):
    """Adds an id and a time. The id is a UUID v7 and greater than every earlier one."""
    global last_ms
    last_ms = max(time.time_ns() // 1_000_000, last_ms + 1)
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(last_ms // 1000)) + f".{last_ms % 1000:03}Z"
    id = str(uuid.UUID(f"{last_ms:012x}7{uuid.uuid4().hex[13:]}"))
    return {"id": id, "tenant_id": tenant, **fields, "created_at": at, "updated_at": at}

def refuse(status, error_code, message, relay_refused=None, **more):
    raise Refusal(status, {"error_code": error_code, "message": message, **more}, relay_refused)

def check(is_right, field, rule):
    if not is_right:
        refuse(422, "validation_failed", f"{field} {rule}.", errors=[{"field": field, "message": rule}])

def answer(tenant, call, query, body):
    """Carries out a tenant's call. Returns the status and the data."""
    conversations = TENANTS.setdefault(tenant, {})
    if call == "GET /fetch/conversations":  # The gateway sends this call when it starts, to try its signature.
        return 200, {"items": [conversation for conversation, _ in conversations.values()][::-1]}
    if call == "POST /create/conversation":
        visitor = body.get("visitor_user_id")
        check(isinstance(visitor, str) and 0 < len(visitor) <= 255, "visitor_user_id", "must have 1 to 255 characters")
        made = record(tenant, visitor_user_id=visitor, visitor_display_name=body.get("visitor_display_name"),
                      locale=body.get("locale") or "fr", channel=body.get("channel") or "text", status="active",
                      handling="waiting", metadata=body.get("metadata") or {})
        conversations[made["id"]] = (made, [])
        return 201, made
    if call not in ("POST /add/message", "GET /fetch/messages"):
        refuse(404, "not_found", "This backend has no such path.")
    if query.get("conversation_id") not in conversations:
        refuse(404, "conversation_not_found", "This tenant has no such conversation.")
    conversation, messages = conversations[query["conversation_id"]]
    if call == "GET /fetch/messages":
        limit, after = query.get("limit", "100"), query.get("after", "")
        check(limit.isdecimal() and len(limit) < 10, "limit", "must be a whole number")
        return 200, {"items": [message for message in messages if message["id"] > after][:min(int(limit), 500)]}
    role, content = body.get("role", "visitor"), body.get("content")
    check(role in ("visitor", "agent", "bot", "system"), "role", "must be visitor, agent, bot or system")
    check(isinstance(content, str) and 0 < len(content) <= 8000, "content", "must have 1 to 8000 characters")
    messages.append(record(tenant, conversation_id=conversation["id"], role=role, content=content,
                           attachments=body.get("attachments") or [], citations=[]))
    conversation["updated_at"] = conversation["last_message_at"] = messages[-1]["created_at"]
    return 201, messages[-1]

class Handler(BaseHTTPRequestHandler):
    protocol_version, wbufsize = "HTTP/1.1", -1  # Connections are kept, and an answer is written at once.

    def receive(self):
        """Reads and checks the call. Returns the status and the data."""
        method, target = self.requestline.split()[:2]  # As the relay signed them: `self.path` may have fewer slashes.
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdigit() and len(length) < 10):
            self.close_connection = True  # What follows cannot be told from the next call.
            refuse(400, "malformed_request", "Send the body with its length.")
        body = self.rfile.read(int(length))
        try:
            tenant, actor = verify(method, target, self.headers, body)
        except ValueError as problem:
            self.log_error("refused a call that the relay did not sign: %s", problem)
            refuse(401, "invalid_relay_signature", "Only the relay may call this backend.", "signature")
        if actor != "tenant":  # "caller" tells the gateway that its own signature is right: it passes this 401 on.
            refuse(401, "invalid_caller", "This backend answers tenants only.", "caller")
        try:
            fields = json.loads(body or "{}")
        except (ValueError, RecursionError):
            refuse(400, "malformed_json", "The body is not JSON.")
        check(isinstance(fields, dict), "body", "must be a JSON object")
        path, _, query = target.partition("?")
        with LOCK:  # The published client sends a plus in the query as it is.
            return answer(tenant, f"{method} {path}", dict(parse_qsl(query.replace("+", "%2B"))), fields)

    def do_GET(self):
        try:
            status, data = self.receive()
            reply, relay_refused = {"success": True, "data": data, "message": "Done."}, None
        except Refusal as refusal:
            status, failure, relay_refused = refusal.args
            reply = {"success": False, **failure, "request_id": self.headers.get("X-Request-Id", "")}
        body = json.dumps({**reply, "status_code": status}).encode()
        self.send_response(status)
        if relay_refused:
            self.send_header("X-Relay-Refused", relay_refused)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 7814), Handler)
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
