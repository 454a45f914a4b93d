"""A generator as an MLflow model: a table of prompts becomes PNG files that say how they were made."""

import json
import threading
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lesiongen.config import parse_config
from lesiongen.diffusion import SampleConfig
from lesiongen.diffusion.sampling.generator import Generator, load_generator
from lesiongen.diffusion.sampling.plan import Request
from lesiongen.errors import DataError, UsageError
from lesiongen.imaging import encode_png
from lesiongen.records.model import REFERENCE_NAME

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ServedGenerator"]

_UNKNOWN_DIAGNOSIS = ""
_WHOLE = ("seed", "num_inference_steps")
_COLUMNS = ("prompt", *_WHOLE, "guidance_scale")


class ServedGenerator:
    """What ``mlflow.pyfunc.load_model`` gives back for a generator.

    Args:
        generator: The loaded pipeline.
        address: Where it was loaded from.
    """

    def __init__(self, generator: Generator, address: str) -> None:
        self.generator = generator
        self.address = address
        # MLflow's server answers requests in threads; the sampler of a pipeline keeps the steps of one of them.
        self._alone = threading.Lock()

    def predict(self, table: "pd.DataFrame", params: Mapping[str, Any] | None = None) -> "pd.DataFrame":
        """Draws an image for each row; the same row gives the same image.

        Args:
            table: Column ``prompt`` and, where they are to differ from the defaults of `SampleConfig`, ``seed``,
                ``num_inference_steps`` and ``guidance_scale``; an empty cell stands for the default, where MLflow lets
                it pass: it takes none in a column of whole numbers.
            params: None are known; MLflow passes the argument.

        Returns:
            Columns ``image`` (the bytes of a PNG file) and ``provenance`` (JSON text, which the file holds too, without
            the generator's address), with the index of the table.

        Raises:
            UsageError: There is no column ``prompt``, or one of another name, a prompt is empty, or a value is refused.
        """
        import pandas as pd

        if "prompt" not in table or not set(table) <= set(_COLUMNS):
            found = ", ".join(map(str, table)) or "none"
            raise UsageError(
                f"The table has the columns {found}.", hint=f"prompt is needed; known: {', '.join(_COLUMNS)}."
            )
        rows = [self._drawn(row) for row in table.to_dict("records")]
        return pd.DataFrame(rows, columns=["image", "provenance"], index=table.index)

    def _drawn(self, row: Mapping[Hashable, Any]) -> tuple[bytes, str]:
        import pandas as pd

        given = {str(name): value for name, value in row.items() if not pd.isna(value)}
        prompt = str(given.pop("prompt", "")).strip()
        if not prompt:
            raise UsageError("A prompt is empty.")
        config = _config(given)
        request = Request(0, _UNKNOWN_DIAGNOSIS, prompt, float(config.guidance_scale), int(config.num_inference_steps))  # type: ignore[arg-type]
        with self._alone:
            [image] = self.generator.draw([request], config)
        said = self.generator.provenance(request, config, self.address).for_image()
        return encode_png(image, said), json.dumps(said, sort_keys=True)


def _config(given: Mapping[str, Any]) -> SampleConfig:
    """Reads a row's settings; with an empty cell in it a column of whole numbers is one of fractions."""
    whole = {name: int(given[name]) for name in _WHOLE if name in given and float(given[name]).is_integer()}
    return parse_config(SampleConfig, {**given, **whole})


def _load_pyfunc(folder: str) -> ServedGenerator:
    """Loads what registration has written: a whole model, or the address of one; MLflow calls this by its name.

    Raises:
        UsageError: The model is no longer at its address.
        DataError: Another model is there by now, or a file is damaged.
    """
    place = Path(folder)
    named = json.loads((place / REFERENCE_NAME).read_text(encoding="utf-8"))
    copied = place / "model"
    address = str(copied) if copied.is_dir() else named["uri"]
    generator = load_generator(address)
    if generator.version != named["version"]:
        raise DataError(
            f"{named['uri']} holds version {generator.version[:12]} of a model; {named['version'][:12]} was registered",
            hint="Bring the registered model back to its address, or register the one that is there.",
        )
    return ServedGenerator(generator, named["uri"])
