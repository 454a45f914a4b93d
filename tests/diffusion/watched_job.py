"""A process of a training that writes down what the test asks about, may write its checkpoints slowly, or see none."""

import json
import os
import sys
import time
from pathlib import Path

from lesiongen.diffusion.checkpoints.store import CheckpointStore
from lesiongen.diffusion.training import training_job
from lesiongen.diffusion.training.trainer import Trainer

FOLDER = Path(os.environ["WATCHED_FOLDER"])
SLOWLY = float(os.environ.get("WATCHED_SLOWLY", "0"))
BLIND = os.environ.get("WATCHED_BLIND")
step, save, newest = Trainer.step, CheckpointStore.save, CheckpointStore.newest


def watched_step(self):
    accelerator = self.accelerator
    told = {
        "processes": accelerator.num_processes,
        "places": [place for places in self._passes() for place in places],
        "wrapped": type(self.learner.denoiser).__name__,
    }
    (FOLDER / f"rank-{accelerator.process_index}.json").write_text(json.dumps(told))
    return step(self)


def watched_save(self, *arguments):
    time.sleep(SLOWLY)
    save(self, *arguments)
    (FOLDER / f"saved-by-{os.environ['RANK']}").touch()


def watched_newest(self):
    return newest(self) if os.environ["RANK"] != BLIND else None


Trainer.step, CheckpointStore.save, CheckpointStore.newest = watched_step, watched_save, watched_newest
try:
    training_job._train(sys.argv[1])
finally:
    saved = (FOLDER / "saved-by-0").exists()
    (FOLDER / f"ended-{os.environ['RANK']}.json").write_text(json.dumps({"saved before": saved}))
