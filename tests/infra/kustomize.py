"""What `kubectl apply -k` would send, and what a cluster would make of it."""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

INFRA = Path(__file__).parents[2] / "infra"


@functools.cache
def _kubectl() -> str | None:
    return shutil.which("kubectl", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


def rendered(folder: Path) -> list[dict]:
    """Returns the objects of a kustomization; skips where there is no kubectl."""
    if _kubectl() is None:
        pytest.skip("there is no kubectl")
    done = subprocess.run([_kubectl(), "kustomize", folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def rendered_with(folder: Path, **fields: object) -> list[dict]:
    """Returns the objects of a kustomization that is written into a folder; paths are those of `INFRA`."""

    def beside(path: str) -> str:
        return os.path.relpath(INFRA / path, folder)

    for name in ("resources", "components"):
        fields[name] = [beside(path) for path in fields.get(name, ())]
    document = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", **fields}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(document))
    return rendered(folder)


def pod_of(runtime: dict) -> dict:
    """Returns the pod of a TrainingRuntime, with its metadata."""
    (job,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    return job["template"]["spec"]["template"]


def not_restricted(pod: dict) -> list[str]:
    """Returns what the pod security level `restricted` refuses in the specification of a pod."""
    volumes = {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
    found = [name for name in ("hostNetwork", "hostPID", "hostIPC") if pod.get(name)]
    found += [f"volume {each['name']}" for each in pod.get("volumes", []) if not set(each) - {"name"} <= volumes]
    of_pod = pod.get("securityContext", {})
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        own = container.get("securityContext", {})
        capabilities = own.get("capabilities", {})
        rules = {
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
            "capabilities": "ALL" in capabilities.get("drop", ())
            and set(capabilities.get("add", ())) <= {"NET_BIND_SERVICE"},
            "privileged": not own.get("privileged"),
            "runAsNonRoot": own.get("runAsNonRoot", of_pod.get("runAsNonRoot")) is True,
            "runAsUser": own.get("runAsUser", of_pod.get("runAsUser")) != 0,
            "seccompProfile": own.get("seccompProfile", of_pod.get("seccompProfile", {})).get("type")
            in ("RuntimeDefault", "Localhost"),
            "hostPort": not any("hostPort" in port for port in container.get("ports", ())),
        }
        found += [f"{container['name']}: {name}" for name, kept in rules.items() if not kept]
    return found


class Network:
    """What network policies let through, from a pod of one namespace to a pod of another or to an address."""

    def __init__(self, documents: list[dict]) -> None:
        self._policies = [each for each in documents if each["kind"] == "NetworkPolicy"]

    def lets_out(self, namespace: str, labels: dict, peer: "Peer", port: int, protocol: str = "TCP") -> bool:
        """Tells whether a pod may open a connection."""
        return self._lets("egress", "to", namespace, labels, peer, port, protocol)

    def lets_in(self, namespace: str, labels: dict, peer: "Peer", port: int, protocol: str = "TCP") -> bool:
        """Tells whether a pod may be connected to."""
        return self._lets("ingress", "from", namespace, labels, peer, port, protocol)

    def _lets(self, way, side, namespace, labels, peer, port, protocol) -> bool:
        policies = [
            each
            for each in self._policies
            if each["metadata"]["namespace"] == namespace
            and _matches(each["spec"]["podSelector"], labels)
            and way.capitalize() in each["spec"]["policyTypes"]
        ]
        return not policies or any(
            _has_port(rule, port, protocol) and any(peer.is_meant(each, namespace) for each in rule[side])
            for policy in policies
            for rule in policy["spec"].get(way, ())
        )


class Peer:
    """The other end: a pod (namespace and labels), or an address."""

    def __init__(self, namespace: str = "", labels: dict | None = None, address: str = "") -> None:
        self.namespace, self.labels, self.address = namespace, labels or {}, address

    def is_meant(self, described: dict, own: str) -> bool:
        """Tells whether an entry of ``to`` or ``from`` means this end."""
        if block := described.get("ipBlock"):
            return bool(self.address) and _within(self.address, block)
        if self.address:
            return False
        if "namespaceSelector" in described:
            names = {"kubernetes.io/metadata.name": self.namespace}
            return _matches(described["namespaceSelector"], names) and _matches(
                described.get("podSelector", {}), self.labels
            )
        return self.namespace == own and _matches(described["podSelector"], self.labels)


def _within(address: str, block: dict) -> bool:
    from ipaddress import ip_address, ip_network

    return ip_address(address) in ip_network(block["cidr"]) and not any(
        ip_address(address) in ip_network(each) for each in block.get("except", ())
    )


def _matches(selector: dict, labels: dict) -> bool:
    assert set(selector) <= {"matchLabels"}
    return selector.get("matchLabels", {}).items() <= labels.items()


def _has_port(rule: dict, port: int, protocol: str) -> bool:
    return "ports" not in rule or {"protocol": protocol, "port": port} in rule["ports"]
