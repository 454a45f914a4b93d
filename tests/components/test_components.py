"""The components, as definitions."""

import ast
from importlib import import_module
from pathlib import Path

import pytest
from kfp import compiler

from components.step import IMAGE

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.parent.name for path in (ROOT / "components").glob("*/component.py"))
ARTIFACTS = {
    "ingest": ({}, {"dataset": "system.Dataset"}),
    "validate": ({"dataset": "system.Dataset"}, {"report": "system.HTML", "verdict": "system.Artifact"}),
    "require_passed": ({"verdict": "system.Artifact"}, {}),
    "caption": ({"dataset": "system.Dataset"}, {"captioned": "system.Dataset", "report": "system.HTML"}),
    "join_captions": ({"parts": "system.Dataset"}, {"captioned": "system.Dataset", "report": "system.HTML"}),
    "join_samples": ({"parts": "system.Dataset"}, {"synthetic": "system.Dataset"}),
    "merge": ({"datasets": "system.Dataset"}, {"merged": "system.Dataset", "report": "system.HTML"}),
    "finetune": ({"dataset": "system.Dataset"}, {"model": "system.Model"}),
    "sample": ({"dataset": "system.Dataset", "model": "system.Model"}, {"synthetic": "system.Dataset"}),
    "reconstruct": ({"dataset": "system.Dataset", "model": "system.Model"}, {"reconstructed": "system.Dataset"}),
    "evaluate": (
        {"real": "system.Dataset", "synthetic": "system.Dataset", "reconstructed": "system.Dataset"},
        {"evaluation": "system.Artifact", "metrics": "system.Metrics", "report": "system.HTML"},
    ),
    "open_dataset": ({}, {"dataset": "system.Dataset"}),
    "open_model": ({}, {"model": "system.Model"}),
    "drift": (
        {"dataset": "system.Dataset", "reference": "system.Dataset"},
        {"metrics": "system.Metrics", "report": "system.HTML", "verdict": "system.Artifact"},
    ),
    "take_fold": ({"dataset": "system.Dataset"}, {"divided": "system.Dataset"}),
    "pool_folds": (
        {"dataset": "system.Dataset", "evaluations": "system.Artifact"},
        {"result": "system.Artifact", "metrics": "system.Metrics", "report": "system.HTML"},
    ),
    "complete": ({"result": "system.Artifact"}, {}),
    "register": (
        {"evaluation": "system.Artifact", "model": "system.Model"},
        {"registered": "system.Artifact"},
    ),
    "promote": ({"registered": "system.Artifact"}, {"decision": "system.Artifact"}),
    "finish": ({}, {}),
}


def test_there_is_a_component_for_every_stage() -> None:
    assert sorted(ARTIFACTS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_component_compiles_alone_with_typed_artifacts(name: str, tmp_path: Path) -> None:
    component = getattr(import_module(f"components.{name}.component"), name)
    compiler.Compiler().compile(component, str(tmp_path / "component.yaml"))
    spec = component.component_spec
    assert spec.name == name.replace("_", "-")
    assert spec.implementation.container.image == IMAGE
    assert "pip install" not in " ".join(spec.implementation.container.command)
    inputs = {key: entry.type.split("@")[0] for key, entry in (spec.inputs or {}).items() if "system." in entry.type}
    outputs = {key: entry.type.split("@")[0] for key, entry in (spec.outputs or {}).items()}
    assert (inputs, outputs) == ARTIFACTS[name]


@pytest.mark.parametrize("name", NAMES)
def test_a_component_has_no_logic_and_leaves_uris_alone(name: str) -> None:
    source = (ROOT / "components" / name / "component.py").read_text()
    tree = ast.parse(source)
    function = next(node for node in tree.body if isinstance(node, ast.FunctionDef))
    assert len(function.body) <= 12
    assert not [node for node in ast.walk(function) if isinstance(node, ast.If | ast.For | ast.While | ast.Try)]
    # Runners differ in what they make of an artifact's URI that a component has set.
    targets = [node for node in ast.walk(tree) if isinstance(node, ast.Assign) for node in node.targets]
    assert not [node for node in targets if isinstance(node, ast.Attribute) and node.attr == "uri"]
    assert "from __future__" not in source
