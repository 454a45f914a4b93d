"""Where a collection lies: a folder, an ``s3://`` prefix, or a zip or tar archive in either."""

import io
import os
from collections.abc import Container, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from lesiongen import limits
from lesiongen.errors import DataError, StorageError, UsageError
from lesiongen.ingestion.sources.archive_opening import (
    ARCHIVES,
    ArchiveSpace,
    archive_within,
    ending_of,
    opened_archive,
)
from lesiongen.ingestion.sources.archives import ReadOnlyStorage
from lesiongen.ingestion.sources.file_names import composed, is_system_file, readable_path
from lesiongen.ingestion.sources.folder import SourceFolder
from lesiongen.ingestion.sources.hdf5_images import Hdf5Images
from lesiongen.storage import (
    Storage,
    StoredObject,
    check_reachable,
    open_storage,
    readable,
)

__all__ = ["NOT_READ", "Source", "name_of", "open_source"]

_OTHER_ARCHIVES = (".7z", ".rar")
NOT_READ = f"archives of this format are not read ({', '.join(ARCHIVES)} are): unpack it"
"""What to do with an archive in another format."""


def name_of(source: str) -> str:
    """Returns the name of a source: the last part of its address, without the ending of an archive."""
    address = source.rstrip("/") if "://" in source else readable_path(Path(os.path.abspath(source)).as_posix())
    name = address.rpartition("/")[2]
    return name[: len(name) - len(ending_of(name))] or "dataset"


class Source(ReadOnlyStorage):
    """The place of a collection, and on demand the archives that lie in it, as folders of their names.

    Several collections are handed out as archives beside a table, or within an archive. Those are opened only when
    something is missing without them: beside what they were unpacked into they would give every image twice.
    What systems put beside the files of their users is never listed (`is_system_file`).

    Args:
        place: A folder, a prefix or an archive.
        held: Closes what was opened.
        space: What temporary files it may take; by default by what its archives have.
    """

    def __init__(self, place: Storage, held: ExitStack, space: ArchiveSpace | None = None) -> None:
        super().__init__(place.uri)
        self._place = place
        self._listing = [*_users_own(place.checked_list())]
        self._sizes = {item.key: item.size for item in self._listing}
        self._held = held
        self._members: dict[str, tuple[Storage, str]] = {}
        local = place if isinstance(place, SourceFolder) else None
        self.unreadable = local.unreadable if local else {}
        """Keys of files, and of folders with a slash behind, that cannot be read, and why."""
        links = local.linked_folders if local else {}
        self._linked_folders = {composed(key): composed(target) for key, target in links.items()}
        self.link_targets = local.link_targets if local else []
        """Real paths of the folders that links in a local folder lead to."""
        self.closed = dict.fromkeys(local.circular if local else (), "a link to a folder around it is not followed")
        """Keys of what is not looked into, and why."""
        self.unused: dict[str, None] = {}
        """Keys of photographs in formats that are not read, in whose place another file of the name was taken."""
        archives = [item for item in self._listing if item.key.lower().endswith((*ARCHIVES, *_OTHER_ARCHIVES))]
        self.closed |= {item.key: _why_closed(item.key) for item in archives}
        self._space = space or ArchiveSpace(place.uri, sum(item.size for item in archives))

    @property
    def other_archives(self) -> list[str]:
        """Keys of the archives in formats that are not read."""
        return [key for key in self.closed if key.lower().endswith(_OTHER_ARCHIVES)]

    @property
    def has_archives(self) -> bool:
        """Whether there are archives that `open_archives` might open."""
        return any(key.lower().endswith(ARCHIVES) for key in self.closed)

    def open_archives(self) -> dict[str, list[StoredObject]]:
        """Opens the archives beside which there is no folder of their name; what is in them lies there from now on.

        One that cannot be opened stays closed, with the reason, and so does one within such an archive.

        Returns:
            What is new, by the folder in which it lies.
        """
        found: dict[str, list[StoredObject]] = {}
        folders = {str(folder): "a folder" for item in self._listing for folder in PurePosixPath(item.key).parents}
        for key in [key for key in self.closed if key.lower().endswith(ARCHIVES)]:
            folder = key[: -len(ending_of(key))]
            if folder in folders:
                self.closed[key] = f"{folders[folder]} of its name lies beside it"
            elif len(found) == limits.MAX_ARCHIVES:
                self.closed[key] = f"more than {limits.MAX_ARCHIVES} archives (MAX_ARCHIVES): unpack them"
            else:
                self._open_archive(key, folder, found)
                folders[folder] = "another archive"
        return found

    def add_folder(
        self, folder: str, opening: AbstractContextManager[Hdf5Images], *, without: Container[str]
    ) -> tuple[list[StoredObject], dict[str, str]]:
        """Adds the images of an HDF5 file, which is closed with the source.

        Args:
            folder: Where they lie from now on.
            opening: Opens the file.
            without: Names, without suffix, of images that are there already.

        Returns:
            What is new, and of what cannot be read the keys and why.
        """
        images = self._held.enter_context(opening)
        new = [item for item in images.list() if PurePosixPath(item.key).stem not in without]
        found = [StoredObject(f"{folder}/{item.key}", item.size) for item in new]
        self._listing += found
        self._members |= {f"{folder}/{item.key}": (images, item.key) for item in new}
        unreadable = {
            f"{folder}/{key}": reason
            for key, reason in images.unreadable.items()
            if PurePosixPath(key).stem not in without
        }
        self.unreadable |= unreadable
        return found, unreadable

    def _open_archive(self, key: str, folder: str, found: dict[str, list[StoredObject]]) -> None:
        taken = self._space.taken
        try:
            with ExitStack() as opening:
                top = PurePosixPath(folder).name
                archive = archive_within(self._place, key, opening, space=self._space, top=top)
                self._held.push(opening.pop_all())
        except (DataError, UsageError) as error:
            self._space.taken = taken  # its files are gone
            self.closed[key] = str(error.args[0])
            return
        del self.closed[key]
        found[folder] = [StoredObject(f"{folder}/{item.key}", item.size) for item in archive.list()]
        self._listing += found[folder]
        self._members |= {f"{folder}/{item.key}": (archive, item.key) for item in archive.list()}
        deeper = (item.key for item in found[folder] if item.key.lower().endswith((*ARCHIVES, *_OTHER_ARCHIVES)))
        self.closed |= dict.fromkeys(deeper, "an archive within an archive: unpack it")

    def _of(self, key: str) -> tuple[Storage, str]:
        return self._members.get(key, (self._place, key))

    def behind_links(self, key: str) -> str:
        """Returns the key under which a file is listed, given one that leads through links to folders.

        Both are as `composed` writes them.
        """
        parts = PurePosixPath(key).parts
        done: tuple[str, ...] = ()
        for part in parts[:-1]:
            done = (*done, part)
            if (target := self._linked_folders.get("/".join(done))) is not None:
                done = PurePosixPath(target).parts
        return "/".join((*done, *parts[-1:]))

    def read_bytes(self, key: str) -> bytes:
        """Returns the whole file.

        Raises:
            StorageError: It has another size than when it was listed.
        """
        storage, own = self._of(key)
        data = storage.read_bytes(own)
        size = self._sizes.get(key, len(data))
        if len(data) != size:
            raise StorageError(
                f"{self.uri}/{key} has {len(data):,} bytes, and had {size:,} when the source was listed",
                hint="Start it again once nothing writes there any more.",
            )
        return data

    def exists(self, key: str) -> bool:
        """Tells whether the file is there."""
        storage, own = self._of(key)
        return storage.exists(own)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Lists the files, those of the place first."""
        yield from (item for item in self._listing if item.key.startswith(prefix))

    def open(self, key: str) -> BinaryIO:
        """Opens the file."""
        storage, own = self._of(key)
        return storage.open(own)

    def download_file(self, key: str, path: Path) -> None:
        """Copies a file out."""
        storage, own = self._of(key)
        storage.download_file(own, path)

    @contextmanager
    def fetch(self, key: str) -> Iterator[Path]:
        """Gives a local path of the file."""
        storage, own = self._of(key)
        with storage.fetch(own) as path:
            yield path


def _why_closed(key: str) -> str:
    return NOT_READ if key.lower().endswith(_OTHER_ARCHIVES) else "unpack it there"


@contextmanager
def open_source(source: str) -> Iterator[Source]:
    """Opens the place of a collection for reading.

    Zip and plain tar archives are read where they lie, member by member, on S3 by ranged requests. A compressed tar
    has no index: it is inflated once into a temporary file. Where there is one archive and nothing else, that is meant.

    Args:
        source: Folder, ``s3://`` prefix, or an archive in one of them (`ARCHIVES`).

    Raises:
        UsageError: The place does not exist, or it is a file of another kind.
        StorageError: It may not be read.
        DataError: The archive is damaged, or holds what has no place in a collection.
    """
    suffix = ending_of(source)
    local = Path(source) if "://" not in source else None
    if local is not None:
        check_reachable(local)
    with ExitStack() as held:
        if not suffix or (local is not None and local.is_dir()):
            place, space = _unwrapped(_folder(source, local), held)
            yield Source(place, held, space)
            return
        if local is not None and not local.is_file():
            raise UsageError(
                f"The source {readable_path(source)} does not exist",
                hint="Give the collection's folder, archive or prefix.",
            )
        file = held.enter_context(readable(local) if local else _remote(source))
        uri = readable_path(source)
        whole = ArchiveSpace(uri, file.seek(0, io.SEEK_END))
        place, space = _unwrapped(opened_archive(uri, suffix, file, held, space=whole), held, whole)
        yield Source(place, held, space)


def _folder(source: str, local: Path | None) -> Storage:
    if local is not None and not local.is_dir():
        what = f"is not an archive of a known kind ({', '.join(ARCHIVES)})" if local.is_file() else "does not exist"
        unpack = "Unpack it, and give the folder." if source.lower().endswith(_OTHER_ARCHIVES) else None
        raise UsageError(
            f"The source {readable_path(source)} {what}",
            hint=unpack or "Give the collection's folder, archive or s3:// prefix.",
        )
    return SourceFolder(source) if local else open_storage(source)


def _users_own(listed: Iterable[StoredObject]) -> Iterator[StoredObject]:
    return (item for item in listed if not is_system_file(item.key))


def _remote(source: str) -> BinaryIO:
    parent, _, name = source.rpartition("/")
    return open_storage(parent).open(name)


def _unwrapped(
    place: Storage, held: ExitStack, space: ArchiveSpace | None = None
) -> tuple[Storage, ArchiveSpace | None]:
    """Returns the archive that is all a folder or an archive holds, in place of that."""
    items = list(islice(_users_own(place.list()), 2))
    whole = not isinstance(place, SourceFolder) or not place.unreadable
    if not whole or len(items) != 1 or not ending_of(items[0].key):
        return place, space
    space = space or ArchiveSpace(place.uri, items[0].size)
    return archive_within(place, items[0].key, held, space=space), space
