"""The compiled release pipeline, as Kubeflow Pipelines reads it."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from pydantic import ValidationError

from lesiongen.errors import UsageError
from pipelines.compiling import compile_pipeline
from pipelines.definition import find_pipeline
from pipelines.settings import CompileSettings
from pipelines.stages import STEPS as PIPELINE_STEPS
from pipelines.stages import Resources

STEPS = (*find_pipeline("release").stages, "require-passed", "finish")
GPU = "nvidia.com/gpu"


def _compile(folder: Path, **settings: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    path = compile_pipeline("release", CompileSettings(**settings), folder / "release.yaml")
    spec, platforms = yaml.safe_load_all(path.read_text())
    return spec, platforms["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("package")


@pytest.fixture(scope="module")
def compiled(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    return _compile(folder, image="registry.example/lesiongen:1.2", accelerator=GPU)


@pytest.fixture(scope="module")
def spec(compiled: tuple[dict[str, Any], dict[str, Any]]) -> dict[str, Any]:
    return compiled[0]


@pytest.fixture(scope="module")
def kubernetes(compiled: tuple[dict[str, Any], dict[str, Any]]) -> dict[str, Any]:
    return compiled[1]


def _container(spec: dict[str, Any], step: str) -> dict[str, Any]:
    return spec["deploymentSpec"]["executors"][f"exec-{step}"]["container"]


def _tasks(spec: dict[str, Any]) -> dict[str, Any]:
    return {
        **spec["components"]["comp-exit-handler-1"]["dag"]["tasks"],
        "finish": spec["root"]["dag"]["tasks"]["finish"],
    }


def test_the_package_is_ascii_small_and_strictly_a_pipeline_spec(
    folder: Path, compiled: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    content = (folder / "release.yaml").read_bytes()
    assert content.isascii()
    assert len(content) < 100_000
    message = json_format.ParseDict(compiled[0], pipeline_spec_pb2.PipelineSpec())
    assert message.schema_version == "2.1.0"
    assert message.pipeline_info.name == "lesiongen-release"
    assert message.sdk_version == "kfp-2.17.0"


def test_the_inputs_are_those_that_the_documentation_names(spec: dict[str, Any]) -> None:
    inputs = spec["root"]["inputDefinitions"]["parameters"]
    kinds = {name: declared["parameterType"] for name, declared in inputs.items()}
    texts = ("format", "name", "root", "services", "source", "source_revision", "storage_secret")
    stages = ("ingest", "validate", "caption", "finetune", "sample", "reconstruct", "evaluate")
    assert kinds == {
        **dict.fromkeys(texts, "STRING"),
        **{f"{stage}_config": "STRUCT" for stage in stages},
        "gates": "STRUCT",
        "seed": "NUMBER_INTEGER",
    }
    assert {name for name, declared in inputs.items() if not declared.get("isOptional")} == {"source", "format"}


def test_every_step_has_the_image_and_installs_nothing_at_its_start(spec: dict[str, Any]) -> None:
    for step in STEPS:
        container = _container(spec, step)
        assert container["image"] == "registry.example/lesiongen:1.2"
        assert "pip install" not in " ".join(container["command"])


def test_the_resource_matrix(spec: dict[str, Any]) -> None:
    small, middle, large = ("500m", "1", "1G", "2G"), ("1", "2", "2G", "4G"), ("2", "4", "6G", "16G")
    expected = {
        "ingest": (*middle, None), "validate": (*middle, None), "caption": (*middle, None),
        "finetune": (*large, (GPU, "1")), "sample": (*large, (GPU, "1")),
        "reconstruct": (*large, (GPU, "1")), "evaluate": (*large, None),
        "register": (*small, None), "promote": (*small, None), "finish": (*small, None),
        "require-passed": (*small, None),
    }  # fmt: skip
    assert {step: _resources(_container(spec, step)) for step in STEPS} == expected


def _resources(container: dict[str, Any]) -> tuple[Any, ...]:
    listed = container["resources"]
    accelerator = listed.get("accelerator")
    return (
        listed["resourceCpuRequest"], listed["resourceCpuLimit"],
        listed["resourceMemoryRequest"], listed["resourceMemoryLimit"],
        accelerator and (accelerator["resourceType"], accelerator["resourceCount"]),
    )  # fmt: skip


def test_no_step_asks_for_an_accelerator_by_default(tmp_path: Path) -> None:
    spec, _ = _compile(tmp_path)
    assert not [step for step in STEPS if "accelerator" in _container(spec, step)["resources"]]


def test_resources_can_be_changed_at_the_compile(tmp_path: Path) -> None:
    larger = {"cpu_request": "8", "cpu_limit": "16", "memory_request": "32G", "memory_limit": "64G"}
    spec, _ = _compile(tmp_path, resources={"evaluate": Resources(**larger)})
    assert _resources(_container(spec, "evaluate")) == (*larger.values(), None)
    assert _resources(_container(spec, "ingest")) == ("1", "2", "2G", "4G", None), "a step that is not named"


def test_a_field_of_resources_that_is_not_named_keeps_its_default() -> None:
    """A finetune step that lost its accelerator, its time and its retries would not train."""
    settings = CompileSettings(resources={"finetune": {"memory_limit": "64G"}})
    assert settings.resources["finetune"] == PIPELINE_STEPS["finetune"].resources.model_copy(
        update={"memory_limit": "64G"}
    )
    assert settings.resources["finetune"].timeout_hours == 48


def test_quantities_that_yaml_reads_as_numbers_are_kept_whole() -> None:
    settings = CompileSettings(resources={"evaluate": {"cpu_limit": 8, "memory_limit": 32_000_000_000}})
    assert (settings.resources["evaluate"].cpu_limit, settings.resources["evaluate"].memory_limit) == (
        "8", "32000000000",
    )  # fmt: skip


@pytest.mark.parametrize("pipeline", ["release", "merge"])
def test_the_stage_by_which_finish_knows_that_all_succeeded_runs_last_and_is_never_cached(pipeline: str) -> None:
    spec = next(yaml.safe_load_all((Path(__file__).parent / f"{pipeline}.yaml").read_text()))
    last = spec["root"]["dag"]["tasks"]["finish"]["inputs"]["parameters"]["last"]["runtimeValue"]["constant"]
    tasks = spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    waited_for = {name for task in tasks.values() for name in task.get("dependentTasks", [])}
    [ends] = set(tasks) - waited_for
    assert ends.removesuffix("-2") == last
    assert not PIPELINE_STEPS[last.replace("-", "_")].cached
    if last == "require-passed":  # it has an MLflow run where it is the last alone
        assert tasks[ends]["inputs"]["parameters"]["final"]["runtimeValue"]["constant"] is True


@pytest.mark.parametrize("cache_ingest", [False, True])
def test_pure_stages_are_cached_and_the_others_are_not(tmp_path: Path, cache_ingest: bool) -> None:
    spec, _ = _compile(tmp_path, cache_ingest=cache_ingest)
    cached = {step for step, task in _tasks(spec).items() if task["cachingOptions"].get("enableCache")}
    pure = {"validate", "caption", "finetune", "sample", "reconstruct", "evaluate"}
    assert cached == (pure | {"ingest"} if cache_ingest else pure)


def test_retries(tmp_path: Path, spec: dict[str, Any]) -> None:
    def counts(spec: dict[str, Any]) -> dict[str, int]:
        return {step: task.get("retryPolicy", {}).get("maxRetryCount", 0) for step, task in _tasks(spec).items()}

    assert counts(spec) == {
        "ingest": 2, "validate": 0, "require-passed": 0, "caption": 2, "finetune": 3, "sample": 2, "reconstruct": 2,
        "evaluate": 2, "register": 1, "promote": 0, "finish": 0,
    }  # fmt: skip
    assert not any(counts(_compile(tmp_path, retry=False)[0]).values())


def test_a_failed_validation_stops_all_that_follows(spec: dict[str, Any]) -> None:
    tasks = _tasks(spec)
    assert set(tasks["require-passed"]["dependentTasks"]) == {"validate"}
    assert set(tasks["caption"]["dependentTasks"]) == {"ingest", "require-passed"}
    assert set(tasks["promote"]["dependentTasks"]) == {"register"}
    assert set(tasks["reconstruct"]["dependentTasks"]) == {"caption", "finetune"}
    assert set(tasks["evaluate"]["dependentTasks"]) == {"caption", "sample", "reconstruct"}


def test_the_exit_handler_runs_whatever_happened(spec: dict[str, Any]) -> None:
    task = spec["root"]["dag"]["tasks"]["finish"]
    assert task["triggerPolicy"]["strategy"] == "ALL_UPSTREAM_TASKS_COMPLETED"
    assert task["inputs"]["parameters"]["status"] == {"taskFinalStatus": {"producerTask": "exit-handler-1"}}


def test_credentials_and_addresses_come_from_names_that_are_parameters(kubernetes: dict[str, Any]) -> None:
    for step in STEPS:
        settings = kubernetes[f"exec-{step}"]
        secret, services = settings["secretAsEnv"][0], settings["configMapAsEnv"][0]
        assert "storage_secret" in secret["secretNameParameter"]["componentInputParameter"]
        assert "services" in services["configMapNameParameter"]["componentInputParameter"]
        names = {entry["envVar"] for entry in (*secret["keyToEnv"], *services["keyToEnv"])}
        assert names == {
            "LESIONGEN_S3_ACCESS_KEY_ID", "LESIONGEN_S3_SECRET_ACCESS_KEY", "LESIONGEN_S3_ENDPOINT_URL",
            "LESIONGEN_S3_REGION", "LESIONGEN_MLFLOW_URI", "LESIONGEN_MLFLOW_USERNAME", "LESIONGEN_MLFLOW_PASSWORD",
        }  # fmt: skip
        assert secret["optional"] is services["optional"] is True


@pytest.mark.parametrize("pipeline", ["release", "merge"])
def test_no_variable_of_a_step_is_one_that_the_launcher_or_kubeflow_s_plugin_reads(pipeline: str) -> None:
    """AWS_* reach the launcher's own artifact store; a second MLFLOW_TRACKING_URI makes an invalid pod."""
    text = (Path(__file__).parent / f"{pipeline}.yaml").read_text()
    assert not re.findall(r"(?:envVar|name): ((?:AWS|MLFLOW)_\w+)", text)


def test_every_step_runs_as_the_image_s_user_and_never_as_root(kubernetes: dict[str, Any]) -> None:
    contexts = [kubernetes[f"exec-{step}"]["securityContext"] for step in STEPS]
    assert contexts == [{"runAsUser": "1000", "runAsNonRoot": True}] * len(STEPS)


def test_nothing_is_in_the_package_that_an_older_backend_cannot_parse(tmp_path: Path) -> None:
    """A field of 2.17's PipelineConfig makes a server of 2.15 drop all settings for Kubernetes in silence."""
    path = compile_pipeline("release", CompileSettings(image="i", accelerator=GPU), tmp_path / "release.yaml")
    _, platforms = yaml.safe_load_all(path.read_text())
    assert set(platforms["platforms"]["kubernetes"]) == {"deploymentSpec"}
    assert set(platforms["platforms"]["kubernetes"]["deploymentSpec"]) == {"executors"}


def test_where_pods_run_and_how_their_image_is_pulled(tmp_path: Path) -> None:
    spec, kubernetes = _compile(
        tmp_path,
        accelerator=GPU,
        sample_parts=2,
        parallelism=1,
        image_pull_policy="Always",
        image_pull_secrets=["registry"],
        placement={"node_selector": {"pool": "science"}},
        accelerator_placement={
            "node_selector": {"gpu": "a100"},
            "tolerations": [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}],
        },
    )
    for step, gpu in (("ingest", False), ("finetune", True), ("sample", True), ("finish", False)):
        settings = kubernetes[f"exec-{step}"]
        assert settings["nodeSelector"]["labels"] == {"pool": "science", **({"gpu": "a100"} if gpu else {})}
        tolerations = [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}] if gpu else []
        assert settings.get("tolerations", []) == tolerations
        assert settings["imagePullPolicy"] == "Always"
        assert [secret["secretName"] for secret in settings["imagePullSecret"]] == ["registry"]
    tasks = spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    limits = [task["iteratorPolicy"]["parallelismLimit"] for name, task in tasks.items() if name.startswith("for-loop")]
    assert limits == [1]


def test_a_step_that_trains_in_a_trainjob_asks_for_no_accelerator_itself(tmp_path: Path) -> None:
    more = {"node_selector": {"gpu": "a100"}}
    spec, kubernetes = _compile(
        tmp_path, image="i", accelerator=GPU, accelerator_count=4, finetune_nodes=2, accelerator_placement=more
    )
    constants = {
        name: {key: value["runtimeValue"]["constant"] for key, value in task["inputs"]["parameters"].items()
               if "runtimeValue" in value}
        for name, task in _tasks(spec).items()
    }  # fmt: skip
    assert constants["finetune"]["trainjob"] == {
        "runtime": "lesiongen-torch-cuda", "nodes": 2, "processes": 8, "image": "i", "deadline": 48 * 3600 - 900,
    }  # fmt: skip
    assert constants["finish"]["trainjob"] == constants["finetune"]["trainjob"]
    waiting = _container(spec, "finetune")["resources"]
    assert "accelerator" not in waiting
    assert (waiting["resourceCpuRequest"], waiting["resourceCpuLimit"]) == ("500m", "2")
    assert (waiting["resourceMemoryRequest"], waiting["resourceMemoryLimit"]) == ("6G", "16G")
    assert "emptyDirMounts" not in kubernetes["exec-finetune"]
    assert _container(spec, "sample")["resources"]["accelerator"]["resourceCount"] == "4"
    assert "nodeSelector" not in kubernetes["exec-finetune"]
    assert kubernetes["exec-sample"]["nodeSelector"]["labels"] == {"gpu": "a100"}
    on_cpus = CompileSettings(finetune_nodes=3).trainjob
    assert (on_cpus["runtime"], on_cpus["processes"]) == ("lesiongen-torch-cpu", 3)
    ours = CompileSettings(finetune_nodes=1, finetune_runtime="ours", finetune_namespace="training").trainjob
    assert (ours["runtime"], ours["namespace"]) == ("ours", "training")


def test_what_the_settings_ask_for_a_step_that_waits_wins() -> None:
    asked = CompileSettings(finetune_nodes=2, resources={"finetune": {"cpu_request": "1"}}).resources["finetune"]
    assert (asked.cpu_request, asked.cpu_limit, asked.timeout_hours) == ("1", "2", 48)
    assert CompileSettings().resources["finetune"].cpu_request == "2"


def test_nodes_are_for_a_pipeline_that_trains(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="merge has no stage finetune.\nOmit --finetune-nodes"):
        compile_pipeline("merge", CompileSettings(finetune_nodes=2), tmp_path / "merge.yaml")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"finetune_namespace": "ours"}, "finetune_namespace has no effect without finetune_nodes"),
        ({"finetune_runtime": "ours"}, "finetune_runtime has no effect without finetune_nodes"),
        ({"sample_parts": 101}, "less than or equal to 100"),
        ({"resources": {"finetun": {}}}, "unknown step finetun; steps: ingest"),
        ({"placement": {"tolerations": [{"value": "x"}]}}, "without key needs operator: Exists"),
        ({"placement": {"tolerations": [{"key": "a", "toleration_seconds": 3}]}}, "needs effect: NoExecute"),
        ({"accelerator_placement": {"node_selector": {"a": "b"}}}, "has no effect without accelerator"),
        ({"resources": {"evaluate": {"memory_limit": "32X"}}}, "memory_limit"),
        ({"resources": {"evaluate": {"cpu_limit": "0.5"}}}, "cpu_limit 0.5 is below cpu_request 2: set both"),
        ({"resources": {"join-samples": {"memory_limit": "1G"}}}, "memory_limit 1G is below memory_request 2G"),
        ({"placement": {"tolerations": [{"key": "a", "operator": "Exists", "value": "x"}]}}, "cannot be combined"),
    ],
)
def test_settings_that_no_cluster_takes_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        CompileSettings(**settings)


def test_the_key_of_a_vision_language_model_is_optional_and_reaches_caption_alone(kubernetes: dict[str, Any]) -> None:
    holders = [name for name, settings in kubernetes.items() if "LESIONGEN_VLM_API_KEY" in str(settings)]
    assert holders and all(name.startswith("exec-caption") for name in holders)
    [_, secret] = kubernetes["exec-caption"]["secretAsEnv"]
    assert secret["optional"] is True


def test_the_run_id_is_a_field_of_the_pod_and_no_argument(spec: dict[str, Any], kubernetes: dict[str, Any]) -> None:
    for step in STEPS:
        fields = kubernetes[f"exec-{step}"]["fieldPathAsEnv"]
        assert fields == [{"name": "LESIONGEN_PIPELINE_RUN", "fieldPath": "metadata.labels['pipeline/runid']"}]
        assert "env" not in _container(spec, step)


def test_training_has_shared_memory_and_every_step_a_time_limit(kubernetes: dict[str, Any]) -> None:
    mount = kubernetes["exec-finetune"]["emptyDirMounts"][0]
    assert (mount["mountPath"], mount["medium"]) == ("/dev/shm", "Memory")
    limits = {step: int(kubernetes[f"exec-{step}"]["activeDeadlineSeconds"]) for step in STEPS}
    assert limits["finetune"] == 48 * 3600
    assert min(limits.values()) >= 3600


def test_no_secret_and_no_path_of_this_machine_is_in_the_package(folder: Path, compiled: object) -> None:
    assert str(Path.cwd()) not in (folder / "release.yaml").read_text()


@pytest.mark.parametrize(
    ("name", "settings", "file", "words"),
    [
        ("release", {"preset": "huge"}, "p.yaml", "unknown preset 'huge'"),
        ("nightly", {}, "p.yaml", "Unknown pipeline 'nightly'"),
        ("release", {}, "p.json", "is not named .yaml"),
    ],
)
def test_a_wrong_name_is_refused(tmp_path: Path, name: str, settings: dict[str, str], file: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        compile_pipeline(name, CompileSettings(**settings), tmp_path / file)
    assert not list(tmp_path.iterdir())


def test_captioning_and_sampling_are_shared_by_as_many_steps_as_are_asked_for(tmp_path: Path) -> None:
    spec, _ = _compile(tmp_path, caption_parts=3, sample_parts=2, image="registry.example/lesiongen:1.2")
    tasks = spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    loops = {
        tuple(yaml.safe_load(task["parameterIterator"]["items"]["raw"])): task["dependentTasks"]
        for name, task in tasks.items()
        if name.startswith("for-loop")
    }
    # Nothing is captioned that did not pass.
    assert loops == {
        ("1/3", "2/3", "3/3"): ["ingest", "require-passed"],
        ("1/2", "2/2"): ["finetune", "join-captions"],
    }
    assert not {"caption", "sample"} & set(tasks)
    assert tasks["finetune"]["dependentTasks"] == ["join-captions"]
    assert tasks["evaluate"]["dependentTasks"] == ["join-captions", "join-samples", "reconstruct"]
    for step in ("join-captions", "join-samples"):
        assert _container(spec, step)["image"] == "registry.example/lesiongen:1.2"
        assert _resources(_container(spec, step)) == ("1", "2", "2G", "4G", None)
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())


@pytest.mark.parametrize("shown", [True, False])
def test_whether_real_images_are_shown_is_decided_at_the_compile_and_by_no_argument(
    tmp_path: Path, shown: bool
) -> None:
    spec, _ = _compile(tmp_path, allow_real_images=shown)
    given = {
        step: task["inputs"]["parameters"]["allow_real_images"]["runtimeValue"]["constant"]
        for step, task in _tasks(spec).items()
        if "allow_real_images" in task.get("inputs", {}).get("parameters", {})
    }
    assert given == dict.fromkeys(("validate", "caption", "evaluate"), shown)
    assert "allow_real_images" not in spec["root"]["inputDefinitions"]["parameters"]
