"""What was found out about a dataset once, in documents beside its shards for which the manifest vouches."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lesiongen.errors import DataError
from lesiongen.records.origin import KeptFile
from lesiongen.storage import open_storage, path_digest, temporary_space

if TYPE_CHECKING:
    from lesiongen.dataset.reader import Dataset
    from lesiongen.dataset.writer import DatasetWriter

__all__ = ["EXAMINATIONS", "KEPT_DOCUMENTS", "NEAR_DUPLICATES", "KeptDocument", "keep_documents", "kept_files"]


@dataclass(frozen=True, slots=True)
class KeptDocument:
    """A document beside the shards of a dataset, whose SHA-256 is in the origin of the manifest.

    A dataset may lack it: what it says is then found out again.

    Attributes:
        name: Name of the file.
        key: What the origin calls it.
    """

    name: str
    key: str

    def write(self, writer: "DatasetWriter", path: Path, **counts: int) -> None:
        """Has a dataset that is being written keep a file as this document, for which its manifest vouches."""
        writer.origin = writer.origin.changed(**{self.key: KeptFile(**counts, sha256=path_digest(path))})
        writer.documents[self.name] = path

    @contextmanager
    def opened(self, dataset: "Dataset") -> Iterator[Path | None]:
        """Gives a local path of the document that is kept with a dataset, None if there is none.

        Raises:
            DataError: It is not the one that was published.
        """
        described = self.described(dataset)
        if described is None:
            yield None
            return
        with open_storage(dataset.uri).fetch(self.name) as path:
            if path_digest(path) != described.sha256:
                raise self.changed(dataset)
            yield path

    def described(self, dataset: "Dataset") -> KeptFile | None:
        """Returns what the manifest says of the document; None where it says nothing, or the document is missing."""
        described: KeptFile | None = getattr(dataset.manifest.origin, self.key)
        return described if described and open_storage(dataset.uri).exists(self.name) else None

    def changed(self, dataset: "Dataset") -> DataError:
        """Returns the error of a document that is not the one that was published."""
        return DataError(
            f"{dataset.uri}/{self.name} is not what the manifest describes",
            hint="The file was changed after it was published. Publish the dataset again.",
        )


NEAR_DUPLICATES = KeptDocument("near_duplicates.json", "near_duplicates")
EXAMINATIONS = KeptDocument("examinations.arrow", "examinations")
KEPT_DOCUMENTS = (NEAR_DUPLICATES, EXAMINATIONS)


def kept_files(dataset: "Dataset") -> dict[str, KeptFile]:
    """Returns what the origin of a dataset with the same images says of the documents that are kept with this one."""
    described = {kept.key: kept.described(dataset) for kept in KEPT_DOCUMENTS}
    return {key: file for key, file in described.items() if file is not None}


def keep_documents(dataset: "Dataset", writer: "DatasetWriter") -> None:
    """Has a dataset that is being written, with the same images, keep the documents of this one as they are.

    Raises:
        DataError: One is not what was published.
    """
    for kept in KEPT_DOCUMENTS:
        with kept.opened(dataset) as path:
            if path is None:
                writer.documents[kept.name] = None
                continue
            with temporary_space():
                own = writer.place_of(kept.name)
                shutil.copyfile(path, own)
        writer.documents[kept.name] = own
    writer.origin = writer.origin.changed(**kept_files(dataset))
