"""A deployment in one process, started by each test session on free ports, and tenants in it."""

import json
import os
import pathlib
import queue
import socket
import subprocess
import sys
import threading
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
ADMIN_KEY = "an-admin-key-for-tests"
PATIENCE_S = 60


def target_dir():
    metadata = subprocess.run(
        ["cargo", "metadata", "--format-version=1", "--no-deps"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )
    return pathlib.Path(json.loads(metadata.stdout)["target_directory"])


class Service:
    """A running process of ours; its addresses come from its log."""

    def __init__(self, binary, *arguments, **env):
        self._command = [target_dir() / "debug" / binary, *arguments]
        self._env = {"PATH": os.environ["PATH"], **env}
        self._start()

    def _start(self):
        self.process = subprocess.Popen(
            self._command, env=self._env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        self._addresses = {}
        self._listening = queue.Queue()
        threading.Thread(target=self._read, args=(self.process, self._listening), daemon=True).start()

    @staticmethod
    def _read(process, listening):
        for line in process.stderr:
            entry = json.loads(line)
            if entry.get("message") == "listening":
                listening.put((entry["server"], entry["address"]))

    def crash(self):
        """Ends the process as `kill -9` does, and starts it again with the same settings."""
        self.process.kill()
        self.process.wait()
        self._start()

    def url(self, server):
        while server not in self._addresses:
            name, address = self._listening.get(timeout=PATIENCE_S)
            self._addresses[name] = address
        return f"http://{self._addresses[server]}"

    def stop(self):
        self.process.terminate()
        assert self.process.wait(timeout=PATIENCE_S) == 0


class Operated:
    """What operators do at a relay, whose URL is `relay`."""

    def admin(self, method, path, body=None):
        request = urllib.request.Request(
            f"{self.relay}/api/v1{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-Admin-Key": ADMIN_KEY},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)["data"]

    def provision(self, **fields):
        return self.admin("POST", "/provision/tenant", {"tenant_name": "Demo Boutique", **fields})


class Deployment(Service, Operated):
    """A running `chat-relay`, with further settings in `env`."""

    def __init__(self, data_dir, **env):
        self.data_dir = pathlib.Path(data_dir)
        super().__init__(
            "chat-relay",
            CHAT_RELAY_DATA_DIR=str(data_dir),
            CHAT_RELAY_LOG_FORMAT="json",
            ADMIN_API_KEY=ADMIN_KEY,
            **{f"CHAT_RELAY_{name}LISTEN": "127.0.0.1:0" for name in ("", "ADMIN_", "GRPC_", "OPS_")},
            **env,
        )

    @property
    def relay(self):
        return self.url("gateway")


@pytest.fixture(scope="session")
def deployment(tmp_path_factory):
    deployment = Deployment(tmp_path_factory.mktemp("data"))
    yield deployment
    deployment.stop()


@pytest.fixture
def tenant(deployment):
    return deployment.provision(allowed_origins=["https://shop.demo.com"], rate_limit_per_min=6000)


@pytest.fixture
def settings(deployment, tenant):
    from bloonio_chat_relay_client import ChatRelaySettings

    return ChatRelaySettings(
        base_url=deployment.relay, tenant_id=tenant["tenant_id"], tenant_secret=tenant["tenant_secret"]
    )


def run_provision(*arguments, **env):
    """Runs the operations script with these arguments and this environment, and answers the finished process."""
    return subprocess.run(
        [sys.executable, ROOT / "deploy" / "provision-tenant.py", *arguments],
        capture_output=True, text=True, timeout=PATIENCE_S, env={"PATH": os.environ["PATH"], **env},
    )


@pytest.fixture
def run_script(deployment):
    """Runs the operations script as in the seed, against the deployment."""

    def run(*arguments, url=None, key=ADMIN_KEY):
        return run_provision("--relay-url", url or deployment.relay, "--admin-key", key, *arguments)

    return run


GRPC_TOKEN = "a-grpc-token-for-tests"


def admin_service(data_dir, **env):
    return Service(
        "admin-service",
        **{
            "ADMIN_REST_LISTEN": "127.0.0.1:0",
            "ADMIN_GRPC_LISTEN": "127.0.0.1:0",
            "ADMIN_DATABASE_URL": f"sqlite://{data_dir}/admin.db?mode=rwc",
            "ADMIN_API_KEY": ADMIN_KEY,
            "ADMIN_MASTER_KEYS": "k1:sHgMT6muXfehS/EmdtyrY0jWlHTYsmVRoVA7LM2Ov5w=",
            "ADMIN_GRPC_TOKEN": GRPC_TOKEN,
            "ADMIN_LOG_FORMAT": "json",
            **env,
        },
    )


def gateway(listen, admin_grpc, admin_rest, **env):
    return Service(
        "relay-gateway",
        **{
            "GATEWAY_LISTEN": listen,
            "GATEWAY_ADMIN_GRPC": admin_grpc,
            "GATEWAY_ADMIN_REST": admin_rest,
            "GATEWAY_ADMIN_GRPC_TOKEN": GRPC_TOKEN,
            "GATEWAY_RELAY_SECRET": "a-relay-secret-for-tests",
            "GATEWAY_LOG_FORMAT": "json",
            **env,
        },
    )


class Separate:
    """An admin service and a gateway as separate processes, as in production; `relay_url` is what the first calls the second."""

    def __init__(self, data_dir, **gateway_env):
        # The admin service names the gateway before there is one, so its port is picked first.
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            listen = f"127.0.0.1:{probe.getsockname()[1]}"
        self.relay = f"http://{listen}"
        admin = admin_service(data_dir, ADMIN_RELAY_URL=self.relay)
        self.admin = admin.url("admin-rest")
        self.services = [admin, gateway(listen, admin.url("admin-grpc"), self.admin, **gateway_env)]
        assert self.services[1].url("gateway") == self.relay

    def stop(self):
        for service in reversed(self.services):
            service.stop()
