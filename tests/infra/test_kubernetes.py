"""The overlays for Kubernetes, rendered offline: valid objects, few rights, restricted pods, closed networks."""

import functools
import re
import textwrap
from fnmatch import fnmatch
from urllib.parse import urlsplit

import pytest
import yaml

from pipelines.tasks import _MODEL_KEY, _SECRET_KEYS, _SERVICE_KEYS
from tests.infra.kustomize import INFRA, Network, Peer, not_restricted, pod_of, rendered, rendered_with
from tests.kubeflow import crds

KUBERNETES = INFRA / "kubernetes"
# The namespaces of the steps and of the TrainJobs.
OVERLAYS = {
    "standalone": ("kubeflow", "lesiongen"),
    "profile": ("lesions", "lesions"),
    "aws": ("kubeflow", "lesiongen"),
}
VERSIONS = ("1.31", "1.35")
STEP = {"pipelines.kubeflow.org/v2_component": "true"}  # Kubeflow's compiler, 2.15 to 2.17
WORKER = {"app.kubernetes.io/part-of": "lesiongen"}
SERVICES = {"mlflow": {"app.kubernetes.io/name": "mlflow"}, "seaweedfs": {"app.kubernetes.io/name": "seaweedfs"}}
KUBEFLOW = {8887: {"app": "ml-pipeline"}, 8888: {"app": "ml-pipeline"}, 8080: {"component": "metadata-grpc-server"}}
KUBERNETES_API, ELSEWHERE = Peer(address="10.96.0.1"), Peer(address="8.8.8.8")


@functools.cache
def objects(overlay):
    return rendered(KUBERNETES / "overlays" / overlay)


def of_kind(documents, kind):
    return [each for each in documents if each["kind"] == kind]


def names_of(documents):
    return {(each["metadata"].get("namespace"), each["metadata"]["name"]) for each in documents}


@pytest.fixture(params=OVERLAYS)
def overlay(request):
    return request.param


def faults(documents, version):
    validate = pytest.importorskip("kubernetes_validate")
    found = []
    for each in documents:
        if each["apiVersion"].startswith("trainer.kubeflow.org/"):
            continue
        try:
            validate.validate(each, version, strict=True)
        except validate.ValidationError as error:
            found.append(f"{each['kind']} {each['metadata']['name']}: {error.message}")
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid_on_two_versions_of_kubernetes(overlay, version):
    assert faults(objects(overlay), version) == []
    (role, *_) = of_kind(objects(overlay), "Role")
    (fault,) = faults([role | {"rule": []}], version)
    assert "'rule' was unexpected" in fault


@pytest.mark.skipif(not crds.available(), reason=f"Kubeflow Trainer's definitions are not in {crds.FOLDER}")
def test_the_runtimes_are_valid_objects_of_trainer(overlay):
    runtimes = of_kind(objects(overlay), "TrainingRuntime")
    assert [each["metadata"]["name"] for each in runtimes] == ["lesiongen-torch-cpu", "lesiongen-torch-cuda"]
    assert [crds.faults(each) for each in runtimes] == [[], []]


def test_it_is_applied_at_once_where_kubeflow_and_trainer_are(overlay):
    documents = objects(overlay)
    assert len({(each["kind"], *pair) for each in documents for pair in names_of([each])}) == len(documents)
    foreign = {each["apiVersion"] for each in documents if "." in each["apiVersion"].partition("/")[0]}
    assert foreign == {"networking.k8s.io/v1", "rbac.authorization.k8s.io/v1", "trainer.kubeflow.org/v1alpha1"}
    assert not {each["kind"] for each in documents} & {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}
    own = {each["metadata"]["name"] for each in of_kind(documents, "Namespace")}
    used = {each["metadata"]["namespace"] for each in documents if each["kind"] != "Namespace"}
    assert used == set(OVERLAYS[overlay])
    assert used - own == {OVERLAYS[overlay][0]}  # Kubeflow's


def test_bindings_name_accounts_and_roles_that_exist(overlay):
    documents = objects(overlay)
    bindings = of_kind(documents, "RoleBinding")
    assert len(bindings) == 2
    for binding in bindings:
        assert (binding["metadata"]["namespace"], binding["roleRef"]["name"]) in names_of(of_kind(documents, "Role"))
        (subject,) = binding["subjects"]
        assert (subject["namespace"], subject["name"]) in names_of(of_kind(documents, "ServiceAccount"))


def test_only_the_steps_have_rights_and_few(overlay):
    documents = objects(overlay)
    steps, training = OVERLAYS[overlay]
    accounts = names_of(of_kind(documents, "ServiceAccount"))
    assert accounts == {(steps, "lesiongen-pipeline"), (training, "lesiongen-training")}
    assert all("imagePullSecrets" not in each for each in of_kind(documents, "ServiceAccount"))
    bound = {subject["name"] for each in of_kind(documents, "RoleBinding") for subject in each["subjects"]}
    assert bound == {"lesiongen-pipeline"}
    for role in of_kind(documents, "Role"):
        for rule in role["rules"]:
            assert "*" not in [*rule["verbs"], *rule["resources"], *rule["apiGroups"]]
            if set(rule["resources"]) & {"secrets", "configmaps"}:
                assert rule["resourceNames"] and rule["verbs"] == ["get"]


def test_the_account_is_the_one_that_the_docs_submit_with():
    text = (INFRA.parent / "docs" / "how-to" / "submit.md").read_text()
    assert re.findall(r"^  service_account: (\S+)$", text, re.MULTILINE) == ["lesiongen-pipeline"]


def test_pods_are_allowed_at_the_level_restricted(overlay):
    for runtime in of_kind(objects(overlay), "TrainingRuntime"):
        pod = pod_of(runtime)["spec"]
        assert not_restricted(pod) == []
        assert pod["serviceAccountName"] == "lesiongen-training"
        assert pod["automountServiceAccountToken"] is False
        broken = yaml.safe_load(yaml.safe_dump(pod))
        broken["containers"][0]["securityContext"] = {"capabilities": {"add": ["SYS_ADMIN"]}}
        del broken["securityContext"]["runAsNonRoot"]
        broken["volumes"].append({"name": "host", "hostPath": {"path": "/"}})
        assert not_restricted(broken) == [
            "volume host", "node: allowPrivilegeEscalation", "node: capabilities", "node: runAsNonRoot",
        ]  # fmt: skip


@pytest.mark.parametrize("overlay", ["standalone", "aws"])
def test_the_namespace_of_its_own_enforces_that_level(overlay):
    (namespace,) = of_kind(objects(overlay), "Namespace")
    levels = {key: value for key, value in namespace["metadata"]["labels"].items() if "pod-security" in key}
    assert levels == {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}


def test_addresses_are_where_the_pods_look_for_them(overlay):
    maps = of_kind(objects(overlay), "ConfigMap")
    assert names_of(maps) == {(namespace, "lesiongen-services") for namespace in OVERLAYS[overlay]}
    for each in maps:
        missing = {"s3-endpoint"} if overlay == "aws" else set()
        assert set(each["data"]) == set(_SERVICE_KEYS) - missing


# The network


def test_steps_reach_what_they_need_and_nothing_else(overlay):
    network, (namespace, _) = Network(objects(overlay)), OVERLAYS[overlay]
    for port, labels in KUBEFLOW.items():
        assert network.lets_out(namespace, STEP, Peer("kubeflow", labels), port)
    assert network.lets_out(namespace, STEP, KUBERNETES_API, 443)
    assert not network.lets_out(namespace, STEP, Peer("kubeflow", {"app": "mysql"}), 3306)
    assert not network.lets_out(namespace, STEP, ELSEWHERE, 6443)
    assert not network.lets_in(namespace, STEP, Peer(namespace, STEP), 8080)


def test_processes_of_a_training_reach_one_another_but_no_api(overlay):
    network, (steps, namespace) = Network(objects(overlay)), OVERLAYS[overlay]
    for runtime in of_kind(objects(overlay), "TrainingRuntime"):
        labels = pod_of(runtime)["metadata"]["labels"]
        assert WORKER.items() <= labels.items()
        for port in (29500, 41337):
            assert network.lets_out(namespace, labels, Peer(namespace, labels), port)
            assert network.lets_in(namespace, labels, Peer(namespace, labels), port)
        assert not network.lets_in(namespace, labels, Peer(steps, STEP), 29500)
        assert not network.lets_out(namespace, labels, KUBERNETES_API, 6443)
        # On AWS the way to S3 is HTTPS to any address, and so to what serves it in the cluster.
        assert network.lets_out(namespace, labels, KUBERNETES_API, 443) == (overlay == "aws")
        assert not network.lets_out(namespace, labels, Peer("kubeflow", KUBEFLOW[8888]), 8888)


@pytest.mark.parametrize("kind", ["step", "worker"])
def test_both_reach_dns_and_the_services_that_they_are_told(overlay, kind):
    network, labels = Network(objects(overlay)), STEP if kind == "step" else WORKER
    namespace = OVERLAYS[overlay][kind == "worker"]
    assert network.lets_out(namespace, labels, Peer("kube-system", {"k8s-app": "kube-dns"}), 53, "UDP")
    for address in of_kind(objects(overlay), "ConfigMap")[0]["data"].values():
        if "//" in address:
            parts = urlsplit(address)
            service, where, _ = parts.hostname.split(".")
            assert service.startswith(where)
            assert network.lets_out(namespace, labels, Peer(where, SERVICES[where]), parts.port)
    assert network.lets_out(namespace, labels, ELSEWHERE, 443) == (overlay == "aws")
    assert not network.lets_out(namespace, labels, ELSEWHERE, 80)


def test_pods_of_others_are_left_alone_but_in_the_namespace_of_its_own(overlay):
    network, own = Network(objects(overlay)), names_of(of_kind(objects(overlay), "Namespace"))
    for namespace in OVERLAYS[overlay]:
        is_open = network.lets_out(namespace, {"app": "notebook"}, ELSEWHERE, 80)
        assert is_open == ((None, namespace) not in own)


# Limits


def test_no_default_limit_stops_a_container_of_kubeflow(overlay):
    (limits,) = of_kind(objects(overlay), "LimitRange")
    assert limits["spec"] == {"limits": [{"type": "Container", "defaultRequest": {"cpu": "100m", "memory": "128Mi"}}]}


def test_the_quota_asks_of_no_pod_what_the_defaults_do_not_give(overlay):
    quotas = of_kind(objects(overlay), "ResourceQuota")
    assert [each["metadata"]["namespace"] for each in quotas] == ([] if overlay == "profile" else ["lesiongen"])
    for quota in quotas:
        asked = {name for name in quota["spec"]["hard"] if name.startswith(("requests.", "limits."))}
        assert asked == {"requests.cpu", "requests.memory", "requests.nvidia.com/gpu"}


# Components and examples


GANGS = {
    "coscheduling": ({"coscheduling": {"scheduleTimeoutSeconds": 120}}, "scheduler-plugins-scheduler"),
    "volcano": ({"volcano": {}}, "volcano"),
}


@pytest.mark.parametrize("name", GANGS)
def test_gang_scheduling_is_a_component(tmp_path, name):
    documents = rendered_with(tmp_path, resources=["trainer"], components=[f"trainer/components/{name}"])
    assert len(documents) == 2
    for runtime in documents:
        assert (runtime["spec"]["podGroupPolicy"], pod_of(runtime)["spec"]["schedulerName"]) == GANGS[name]
        assert not crds.available() or crds.faults(runtime) == []


def test_a_queue_of_kueue_is_a_component(tmp_path):
    fields = {"namespace": "science", "resources": ["trainer"], "components": ["trainer/components/kueue"]}
    documents = rendered_with(tmp_path, **fields)
    (queue,) = of_kind(documents, "LocalQueue")
    assert names_of([queue]) == {("science", "default")}
    examples = [*yaml.safe_load_all((KUBERNETES / "examples/kueue/cluster-queue.yaml").read_text())]
    assert queue["spec"]["clusterQueue"] in {name for _, name in names_of(of_kind(examples, "ClusterQueue"))}


def test_https_to_public_addresses_is_a_component(tmp_path):
    documents = rendered_with(
        tmp_path, resources=["kubernetes/overlays/standalone"], components=["kubernetes/components/https"]
    )
    network = Network(documents)
    for namespace, labels in (("kubeflow", STEP), ("lesiongen", WORKER)):
        assert network.lets_out(namespace, labels, ELSEWHERE, 443)
        assert not network.lets_out(namespace, labels, Peer(address="169.254.169.254"), 443)
    assert not network.lets_out("lesiongen", WORKER, KUBERNETES_API, 443)


def test_a_shared_namespace_goes_without_the_policies_for_runs(tmp_path):
    documents = rendered_with(
        tmp_path, resources=["kubernetes/overlays/profile"], components=["kubernetes/components/shared-namespace"]
    )
    names = {name for _, name in names_of(of_kind(documents, "NetworkPolicy"))}
    assert names == {f"lesiongen-training-{each}" for each in ("default-deny", "workers", "dns", "s3", "mlflow")}


def test_aws_gives_both_accounts_a_role(tmp_path):
    documents = rendered_with(
        tmp_path, resources=["kubernetes/overlays/profile"], components=["kubernetes/components/aws"]
    )
    for found in (documents, objects("aws")):
        roles = [each["metadata"]["annotations"] for each in of_kind(found, "ServiceAccount")]
        assert roles == [{"eks.amazonaws.com/role-arn": "arn:aws:iam::000000000000:role/lesiongen"}] * 2


def test_a_site_changes_image_addresses_and_resources_from_outside():
    documents = rendered(KUBERNETES / "examples" / "site")
    assert not any(faults(documents, version) for version in VERSIONS)
    runtimes = of_kind(documents, "TrainingRuntime")
    assert {pod_of(each)["spec"]["containers"][0]["image"] for each in runtimes} == {"registry.example/lesiongen:1.0"}
    assert {each["data"]["mlflow-uri"] for each in of_kind(documents, "ConfigMap")} == {"https://mlflow.example"}
    assert not any("podGroupPolicy" in each["spec"] or "schedulerName" in pod_of(each)["spec"] for each in runtimes)
    (cuda,) = (pod_of(each)["spec"] for each in runtimes if each["metadata"]["name"] == "lesiongen-torch-cuda")
    assert cuda["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    pulls = {each["metadata"]["name"]: each.get("imagePullSecrets") for each in of_kind(documents, "ServiceAccount")}
    assert pulls == {"lesiongen-pipeline": None, "lesiongen-training": [{"name": "registry"}]}
    assert not Network(documents).lets_out("kubeflow", STEP, KUBERNETES_API, 443)
    assert Network(documents).lets_out("lesiongen", WORKER, Peer(address="192.0.2.11"), 443)


def test_the_kustomizations_of_the_docs_render(tmp_path):
    text = (INFRA.parent / "docs" / "how-to" / "deploy.md").read_text()
    blocks = [
        textwrap.dedent(block) for block in re.findall(r"^ *```yaml\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    ]
    documents = [block for block in map(yaml.safe_load, blocks) if block.get("kind") == "Kustomization"]
    assert len(documents) == 3
    for document in documents:
        document["resources"] = [path.removeprefix("../lesiongen/infra/") for path in document["resources"]]
        objects_of_site = rendered_with(tmp_path, **document)
        assert not any(faults(objects_of_site, version) for version in VERSIONS)
        assert "000000000000" not in yaml.safe_dump(objects_of_site)


def test_external_secrets_have_the_keys_that_the_steps_read():
    folder = KUBERNETES / "examples" / "external-secrets"
    documents = [each for path in folder.rglob("*.yaml") for each in yaml.safe_load_all(path.read_text())]
    stores = {name for _, name in names_of(of_kind(documents, "SecretStore"))}
    keys = {}
    for each in of_kind(documents, "ExternalSecret"):
        assert each["spec"]["secretStoreRef"]["name"] in stores
        keys[each["spec"]["target"]["name"]] = {entry["secretKey"] for entry in each["spec"]["data"]}
    assert keys == {"lesiongen-storage": set(_SECRET_KEYS), "lesiongen-vision-language": set(_MODEL_KEY)}


def test_the_store_of_trainjobs_is_read_by_a_role_of_its_own():
    folder = KUBERNETES / "examples" / "external-secrets"
    steps, training = (
        [*yaml.safe_load_all((folder / each / "secret-store.yaml").read_text())] for each in ("", "training")
    )
    roles = [each[0]["metadata"]["annotations"].pop("eks.amazonaws.com/role-arn") for each in (steps, training)]
    assert [role.rpartition("/")[2] for role in roles] == ["lesiongen-secrets", "lesiongen-secrets-training"]
    assert steps == training


# Values of charts


def values(name):
    return yaml.safe_load((KUBERNETES / "values" / f"{name}.yaml").read_text())


def test_values_name_their_chart_and_its_version():
    paths = sorted((KUBERNETES / "values").glob("*.yaml"))
    assert len(paths) == 8
    docs = (INFRA.parent / "docs" / "how-to" / "deploy.md").read_text()
    for path in paths:
        first = path.read_text().partition("\n")[0]
        chart = re.match(r"# Chart (\S+) (\d+\.\d+\.\d+) of https://\S+", first)
        version = chart[2] if chart else re.search(r"at the tag (v\d+\.\d+\.\d+)$", first)[1]
        assert re.search(rf"(--version|--branch) {re.escape(version)}\b", docs), path
        assert f"infra/kubernetes/values/{path.name}" in docs
        assert "latest" not in path.read_text()


def test_servers_are_where_the_steps_look_for_them():
    lines = (KUBERNETES / "base" / "services" / "services.env").read_text().split()
    addresses = dict(line.split("=", 1) for line in lines)
    mlflow = values("mlflow")
    host = f"{mlflow['fullnameOverride']}.mlflow.svc:{mlflow['server']['value_options']['port']}"
    assert addresses["mlflow-uri"] == f"http://{host}"
    allowed = mlflow["server"]["value_options"]["allowed_hosts"].split(",")
    assert any(fnmatch(host, each) for each in allowed)
    assert not any(fnmatch("mlflow.example", each) for each in allowed)
    assert {"name": "MLFLOW_S3_ENDPOINT_URL", "value": addresses["s3-endpoint"]} in mlflow["env"]
    assert values("postgresql")["backups"]["endpointURL"] == addresses["s3-endpoint"]
    storage = values("seaweedfs")["allInOne"]["s3"]
    assert (storage["enabled"], storage["enableAuth"]) == (True, True)
    buckets = {f"s3://{each['name']}" for each in storage["createBuckets"]}
    assert mlflow["mlflow"]["artifactsDestination"] in buckets
    assert values("postgresql")["backups"]["destinationPath"].rpartition("/")[0] in buckets


def test_on_aws_only_the_way_to_s3_is_another():
    mlflow, aws = values("mlflow"), values("mlflow-aws")
    s3 = {"MLFLOW_S3_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"}
    assert [each for each in aws["env"] if each["name"] not in s3] == [
        each for each in mlflow["env"] if each["name"] not in s3
    ]
    assert {each["name"] for each in aws["env"]} & s3 == {"AWS_DEFAULT_REGION"}
    backups = values("postgresql-aws")["backups"]
    assert (backups["endpointURL"], backups["s3"]["inheritFromIAMRole"]) == ("", True)


def test_mlflow_finds_its_database_and_asks_for_a_login():
    database, mlflow = values("postgresql"), values("mlflow")
    names = database["cluster"]["initdb"]
    uri = f"postgresql+psycopg2://{names['owner']}@{database['fullnameOverride']}-rw:5432/{names['database']}"
    login = (KUBERNETES / "values" / "mlflow-login.ini").read_text()
    assert mlflow["mlflow"]["backendStoreUri"] == uri
    assert f"database_uri = {uri}\n" in login
    assert "default_permission = NO_PERMISSIONS\n" in login
    assert mlflow["server"]["value_options"]["app_name"] == "basic-auth"


def test_a_restored_database_writes_its_backups_elsewhere():
    restored, database = values("postgresql-restore"), values("postgresql")
    assert restored["recovery"]["destinationPath"] == database["backups"]["destinationPath"]
    assert restored["recovery"]["clusterName"] == database["fullnameOverride"]
    assert restored["backups"]["destinationPath"] != database["backups"]["destinationPath"]


@pytest.mark.parametrize("name", ["mlflow", "seaweedfs"])
def test_servers_run_at_the_level_restricted(name):
    found = values(name) if name == "mlflow" else values(name)["allInOne"]
    container = found.get("securityContext", found.get("containerSecurityContext"))
    pod = {"securityContext": found["podSecurityContext"], "containers": [{"name": name, "securityContext": container}]}
    assert not_restricted(pod) == []


def test_no_secret_is_committed():
    assert [*_secrets_in({"s3": {"secretKey": "x"}, "uri": "postgresql://a:b@host/db"})] == ["secretKey", "uri"]
    paths = [path for folder in (KUBERNETES, INFRA / "trainer") for path in folder.rglob("*.yaml")]
    assert len(paths) > 20
    for path in paths:
        for document in yaml.safe_load_all(path.read_text()):
            assert document.get("kind") != "Secret", path
            assert [*_secrets_in(document)] == [], path


_SECRET_NAME = re.compile(r"(?i)(password|secretkey|accesskey|token)$")
_LOGIN = re.compile(r"://[^/\s]*:[^/\s]*@")


def _secrets_in(node, name=""):
    """Yields the names of what looks like a secret: by its name, or an address with a password."""
    if isinstance(node, dict):
        for key, value in node.items():
            if "remoteRef" not in node:  # there a name of a key, no key
                yield from _secrets_in(value, key)
    elif isinstance(node, list):
        for each in node:
            yield from _secrets_in(each, name)
    elif isinstance(node, str) and (_SECRET_NAME.search(name) and node or _LOGIN.search(node)):
        yield name
