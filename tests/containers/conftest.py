"""A Docker Engine of the tests' own: started, given a base image and the LesionGen image, and taken away again.

It touches neither the machine's firewall nor an engine that already runs. A machine that cannot start one fails the
tests; set LESIONGEN_SKIP_CONTAINERS=1 to skip them knowingly.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from lesiongen import __version__

ROOT = Path(__file__).parents[2]
BASE_IMAGE = "python-base:local"
IMAGE = "lesiongen:test"
CONTEXT = ("LICENSE", "README.md", "components", "constraints.txt", "infra", "lesiongen", "pipelines", "pyproject.toml")
DOCKER = "/usr/bin/docker"
CERTIFICATES = Path("/usr/local/share/ca-certificates")
SKIP = bool(os.environ.get("LESIONGEN_SKIP_CONTAINERS"))


@dataclass(frozen=True)
class Engine:
    """A Docker Engine that listens on a socket in its own folder."""

    folder: Path

    @property
    def host(self) -> str:
        return f"unix://{self.folder / 'docker.sock'}"

    def docker(self, *arguments: str, stdin: int | None = None) -> str:
        """Runs the docker client; its error output is part of the failure."""
        environment = {**os.environ, "DOCKER_HOST": self.host, "DOCKER_BUILDKIT": "1"}
        done = subprocess.run(
            [DOCKER, *arguments], env=environment, stdin=stdin, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"docker {arguments[0]}: {done.stdout[-2000:]}{done.stderr[-6000:]}"
        return done.stdout

    @contextmanager
    def running(self) -> Iterator[None]:
        """Runs the engine for the length of a block."""
        command = ["dockerd", "--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"]
        command += ["--data-root", str(self.folder / "data"), "--exec-root", str(self.folder / "exec")]
        command += ["--pidfile", str(self.folder / "docker.pid"), "--host", self.host]
        with (self.folder / "dockerd.log").open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            self._await(process)
            yield
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._unmount()

    def _await(self, process: "subprocess.Popen[bytes]") -> None:
        environment = {**os.environ, "DOCKER_HOST": self.host}
        for _ in range(300):
            asked = subprocess.run([DOCKER, "version"], env=environment, capture_output=True, check=False)
            if asked.returncode == 0 or process.poll() is not None:
                break
            time.sleep(0.1)
        log = (self.folder / "dockerd.log").read_text()
        assert asked.returncode == 0, f"The Docker Engine did not start:\n{log[-4000:]}"

    def _unmount(self) -> None:
        # The engine leaves the network namespace of its containers mounted.
        mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for path in sorted((path for path in mounted if path.startswith(str(self.folder))), reverse=True):
            subprocess.run(["umount", path], check=True)


def _mirror() -> tuple[str, str]:
    """The Debian release of this machine and the mirror that apt takes it from."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI)", "Created-By: Packages"],
        capture_output=True, text=True, check=True,
    ).stdout.split("\n")  # fmt: skip
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    codename = release["VERSION_CODENAME"].strip('"')
    return codename, next(line.split()[1] for line in listed if line.startswith(f"{codename} "))


def _make_base_image(engine: Engine) -> None:
    """Debian with Python, from the packages alone: no image registry is asked."""
    codename, mirror = _mirror()
    command = ["mmdebstrap", "--quiet", "--variant=minbase", "--dpkgopt=force-unsafe-io"]
    command += ["--include=ca-certificates,python3,python3-venv,python3-pip"]
    if any(CERTIFICATES.glob("*.crt")):  # a machine behind a proxy of its own trusts more than Debian does
        command += [f'--customize-hook=cp {CERTIFICATES}/*.crt "$1{CERTIFICATES}/"']
        command += ['--customize-hook=chroot "$1" update-ca-certificates']
    with subprocess.Popen([*command, codename, "-", mirror], stdout=subprocess.PIPE) as made:
        assert made.stdout is not None
        engine.docker("import", "-", BASE_IMAGE, stdin=made.stdout.fileno())
    assert made.returncode == 0, "mmdebstrap failed"


def _make_context(folder: Path) -> None:
    """A build context with a wheelhouse: pip's own configuration of this machine decides where torch comes from."""
    for name in CONTEXT:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", str(folder / "wheelhouse")]
    command += ["--constraint", str(ROOT / "constraints.txt"), *_requirements(), *_requirements("--build")]
    subprocess.run(command, check=True)


def _requirements(*options: str) -> list[str]:
    command = [sys.executable, ROOT / "infra/images/requirements.py", *options, ROOT / "pyproject.toml"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The Docker Engine, for the length of the tests."""
    if SKIP:
        pytest.skip("LESIONGEN_SKIP_CONTAINERS is set")
    for tool in ("dockerd", "mmdebstrap"):
        assert shutil.which(tool), f"{tool} is not installed (.ci/run installs it)"
    folder = Path(tempfile.mkdtemp(prefix="lesiongen-engine-"))
    engine = Engine(folder)
    try:
        with engine.running():
            yield engine
    finally:
        subprocess.run(["rm", "-rf", str(folder)], check=True)  # a hundred thousand files


@pytest.fixture(scope="session")
def context(engine: Engine) -> Iterator[Path]:
    """The folder that images are built from, beside a base image."""
    _make_base_image(engine)
    with tempfile.TemporaryDirectory(prefix="lesiongen-context-") as folder:
        _make_context(Path(folder))
        yield Path(folder)


@pytest.fixture(scope="session")
def image(engine: Engine, context: Path) -> str:
    """The name of the LesionGen image, built from this checkout."""
    _build(engine, context, "--build-arg", f"VERSION={__version__}", "--tag", IMAGE)
    return IMAGE


@pytest.fixture(scope="session")
def built_sbom(engine: Engine, context: Path, image: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bill of materials of the image."""
    folder = tmp_path_factory.mktemp("sbom")
    _build(engine, context, "--target", "sbom", "--output", str(folder))
    return folder / "sbom.json"


def _build(engine: Engine, context: Path, *options: str) -> None:
    engine.docker(
        "build", "--network=host", "--build-arg", f"BASE_IMAGE={BASE_IMAGE}", *options,
        "--file", f"{context}/infra/images/Dockerfile", str(context),
    )  # fmt: skip
