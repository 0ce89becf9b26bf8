"""`manifest.json`: what a published revision is, and the size and checksum of every file it consists of."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from graph.storage.errors import ArtifactError

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
MODEL_FILES = ("model.safetensors", "config.json")
"""Files of a model's own folder (`m7/`), shared by its revisions (`m7.1/`, `m7.2/`, …)."""

_BLOCK_BYTES = 1 << 20


def below(name: str) -> str:
    """`name` itself, a path that stays below the folder it is joined to. Raises ValueError for any other."""
    parts = name.split("/")
    if not all(parts) or {".", ".."} & set(parts) or "\\" in name or not name.isprintable():
        raise ValueError(f"{name[:60]!r} leads out of its folder, or is no name")
    return name


Below = Annotated[str, AfterValidator(below)]


class FileEntry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    bytes: int = Field(ge=0)
    blake2b: str = Field(min_length=32)


class KindEntry(BaseModel):
    """One event kind in the order in which the net numbers them."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    weight: float
    sign: int
    half_life_days: float | None


class Manifest(BaseModel):
    """Unknown keys are refused: a newer writer must raise `format_version`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    format_version: int
    model: int = Field(ge=1)
    revision: int = Field(ge=1)
    vector_space: str = Field(min_length=1)
    as_of: int = Field(description="microseconds UTC: events before it went into the revision")
    known_at: int = Field(description="microseconds UTC: what was recorded until then was known")
    created_at: int
    snapshot_hash: str
    git_revision: str = Field(description="'unknown' outside a checkout")
    kinds: tuple[KindEntry, ...]
    n_items: int = Field(ge=0)
    n_users: int = Field(ge=0)
    n_categories: int = Field(ge=0)
    dim: int = Field(ge=1)
    config: dict[str, Any] = Field(description="settings of training, as they were")
    metrics: dict[str, float]
    files: dict[Below, FileEntry] = Field(description="path below the revision's folder")
    model_files: dict[Below, FileEntry] = Field(description="path below the model's folder")
    checksum: str = Field(description="blake2b of this manifest's canonical JSON without this field")

    @property
    def version(self) -> str:
        return f"m{self.model}.{self.revision}"


def model_folder(root: Path, model: int) -> Path:
    return root / f"m{model}"


def revision_folder(root: Path, model: int, revision: int) -> Path:
    return root / f"m{model}.{revision}"


def file_entry(path: Path) -> FileEntry:
    return FileEntry(bytes=path.stat().st_size, blake2b=_checksum_of_file(path))


def check_file(path: Path, entry: FileEntry) -> None:
    """Size and checksum; raises ArtifactError naming the file."""
    if not path.is_file():
        raise broken(path, "is missing")
    size = path.stat().st_size
    if size != entry.bytes:
        raise broken(path, f"has {size} bytes, the manifest says {entry.bytes}")
    if _checksum_of_file(path) != entry.blake2b:
        raise broken(path, "does not match its checksum")


def refuse_links(folder: Path) -> None:
    """Raises ArtifactError for a link in a published folder: it could lead anywhere. The folder itself may be one."""
    for path in folder.rglob("*"):
        if path.is_symlink():
            raise broken(path, "is a link, and a published folder holds its own files")


def write_manifest(path: Path, fields: dict[str, Any]) -> Manifest:
    """Fields without `format_version` and `checksum`, which are added here."""
    fields = {"format_version": FORMAT_VERSION, **fields}
    unsigned = Manifest(**fields, checksum="")
    manifest = unsigned.model_copy(update={"checksum": _checksum_of_manifest(unsigned)})
    path.write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return manifest


def read_manifest(path: Path) -> Manifest:
    """Raises ArtifactError when it is missing, unreadable, of another format version, or altered."""
    if not path.is_file():
        raise broken(path, "is missing")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise broken(path, f"cannot be read ({error})") from error
    version = content.get("format_version") if isinstance(content, dict) else None
    if version != FORMAT_VERSION:
        raise ArtifactError(
            f"{path} has format version {version!r}, this version of penchant reads {FORMAT_VERSION}.",
            hint="Publish the model again with `penchant refresh`, or run the version of penchant that wrote it.",
            reason="ARTIFACT_FORMAT_UNKNOWN",
        )
    try:
        manifest = Manifest(**content)
    except ValidationError as error:
        first = error.errors()[0]
        raise broken(path, f"is not a manifest: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    if _checksum_of_manifest(manifest) != manifest.checksum:
        raise broken(path, "was altered: it does not match its own checksum")
    return manifest


def broken(path: Path, what: str) -> ArtifactError:
    return ArtifactError(
        f"{path} {what}.",
        hint="Restore the folder from a copy, go back with `penchant models rollback`, or run `penchant refresh`.",
    )


def _checksum_of_file(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=32)
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _checksum_of_manifest(manifest: Manifest) -> str:
    canonical = json.dumps(manifest.model_dump(exclude={"checksum"}), sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode(), digest_size=32).hexdigest()
