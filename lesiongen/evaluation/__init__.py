"""Evaluation: what synthetic images are worth, how near they are to real ones, and whether they copy any."""

from lesiongen.evaluation.classifier import LesionClassifier, load_classifier
from lesiongen.evaluation.config import EvaluateConfig
from lesiongen.evaluation.evaluate import EvaluationResult, evaluate

__all__ = ["EvaluateConfig", "EvaluationResult", "LesionClassifier", "evaluate", "load_classifier"]
