"""The wheel, installed in a fresh environment, does the main job in an empty folder."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]

FOLDERS = (
    "import json, datastore.resources as r; "
    "print(json.dumps([r.__file__, *map(str, (r.sql_folder(), r.migrations_folder(), r.sample_folder()))]))"
)


def environment(**more: str) -> dict[str, str]:
    """Nothing of the tests' own environment that a program could find datastore or a database by."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "DATASTORE", "VIRTUAL_ENV", "COV_"))
    }
    return kept | more


def run(*command: str | Path, cwd: Path, **more: str) -> str:
    ran = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )
    assert ran.returncode == 0, f"{command} exited {ran.returncode}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sdist, the wheel that was built from it, and a wheel that was built from the clone."""
    out = tmp_path_factory.mktemp("built")
    build = (sys.executable, "-m", "build", "--no-isolation", ROOT, "--outdir")
    run(*build, out / "sdist", cwd=out)
    run(*build, out / "clone", "--wheel", cwd=out)
    (sdist,) = (out / "sdist").glob("*.tar.gz")
    (wheel,) = (out / "sdist").glob("*.whl")
    (from_clone,) = (out / "clone").glob("*.whl")
    return {"sdist": sdist, "wheel": wheel, "from_clone": from_clone}


def link_dependencies(wheel: Path, site_packages: Path) -> None:
    """Links what the wheel requires, and nothing else, from this environment: no network, no minute of waiting.

    A dependency that is used but not declared is missing there, as it would be at a user's.
    """
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = archive.read(name).decode()
    wanted = [line.removeprefix("Requires-Dist: ") for line in metadata.splitlines() if line.startswith("Requires-D")]
    seen: set[str] = set()
    while wanted:
        requirement = Requirement(wanted.pop())
        name = canonicalize_name(requirement.name)
        if name in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        distribution = importlib.metadata.distribution(name)
        assert requirement.specifier.contains(distribution.version), f"{requirement}: {distribution.version} is here"
        for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            if not (site_packages / top).exists():
                (site_packages / top).symlink_to(Path(str(distribution.locate_file(top))).resolve())
        wanted += distribution.requires or []
    assert {"attrs", "aiosql", "yoyo-migrations", "rich", "click"} <= seen


@pytest.fixture(scope="module")
def installed(built: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a fresh environment with the wheel."""
    venv = tmp_path_factory.mktemp("fresh") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=venv.parent)
    python = venv / "bin" / "python"
    site_packages = Path(run(python, "-c", "import site; print(site.getsitepackages()[0])", cwd=venv).strip())
    link_dependencies(built["wheel"], site_packages)
    pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check")
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", built["wheel"], cwd=venv)
    return python.parent


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


def contents(wheel: Path) -> dict[str, str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}


def test_the_wheel_has_statements_migrations_and_types(built: dict[str, Path]) -> None:
    names = set(contents(built["wheel"]))
    for folder in ("sql", "migrations"):
        files = {path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file()}
        assert files
        assert {f"datastore/_data/{file}" for file in files} <= names
    assert {"datastore/py.typed", "datastore/sample/conversations.jsonl"} <= names
    assert {name.split("/")[0] for name in names} == {"datastore", "datastore-0.1.0.dist-info"}


def test_the_wheel_of_the_sdist_is_the_wheel_of_the_clone(built: dict[str, Path]) -> None:
    assert contents(built["wheel"]) == contents(built["from_clone"])


def test_an_installed_wheel_finds_its_folders(installed: Path, empty: Path) -> None:
    module, *folders = json.loads(run(installed / "python", "-c", FOLDERS, cwd=empty))
    assert Path(module).is_relative_to(installed.parent)
    for folder in folders:
        assert Path(folder).is_relative_to(Path(module).parent)
    sql, migrations, _ = map(Path, folders)
    assert {path.name for path in sql.glob("*.sql")} == {path.name for path in (ROOT / "sql").glob("*.sql")}
    assert (migrations / "0001.initial.sql").is_file()
    assert run(installed / "datastore", "migrations", cwd=empty).strip() == str(migrations)
    assert not list(empty.iterdir())


def test_an_unpacked_sdist_and_a_clone_find_their_folders(built: dict[str, Path], installed: Path, empty: Path) -> None:
    with tarfile.open(built["sdist"]) as archive:
        archive.extractall(empty, filter="data")
    (unpacked,) = empty.iterdir()
    for root in (unpacked, ROOT):
        found = json.loads(run(installed / "python", "-c", FOLDERS, cwd=empty, PYTHONPATH=str(root)))
        assert found == [
            str(root / place) for place in ("datastore/resources.py", "sql", "migrations/sqlite", "datastore/sample")
        ]


def test_the_main_job_runs_in_an_empty_folder(installed: Path, empty: Path) -> None:
    datastore = installed / "datastore"
    *_, sample = json.loads(run(installed / "python", "-c", FOLDERS, cwd=empty))
    conversations = Path(sample) / "conversations.jsonl"
    run(datastore, "import", conversations, "--database", "app.db", "--sanitization-version", "1", cwd=empty)
    assert (empty / "app.db").stat().st_size > 0
    run(datastore, "search", "sqlite", "--database", "app.db", cwd=empty)


def test_yoyo_applies_lists_and_rolls_back_the_wheels_migrations(installed: Path, empty: Path) -> None:
    folder = run(installed / "datastore", "migrations", cwd=empty).strip()
    main = "import sys; from yoyo.scripts.main import main; sys.exit(main())"

    def yoyo(*arguments: str) -> str:
        options = ("--batch", "--no-config-file", "--database", "sqlite+datastore:///app.db", folder)
        return run(installed / "python", "-c", main, *arguments, *options, cwd=empty)

    yoyo("apply")
    assert (empty / "app.db").is_file()
    assert "0001.initial" in yoyo("list")
    yoyo("rollback", "--all")


def test_pip_and_dependency_groups_install_the_same_tools() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["optional-dependencies"]["dev"] == project["dependency-groups"]["dev"]
    assert project["project"]["optional-dependencies"]["bench"] == project["dependency-groups"]["bench"]
    extras = project["project"]["optional-dependencies"]
    assert set(extras["check"]) <= set(extras["dev"])
    assert extras["bench"] == project["dependency-groups"]["bench"]
