"""The .proto files: lint-clean, commented to the last field, generated code fresh."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from penchant.rpcs import RPCS

PROTOS = Path(__file__).parents[2] / "protos"
FILES = sorted((PROTOS / "penchant" / "v1").glob("*.proto"))

SERVICES = {
    "InterestService": {"Score", "Recommend", "GetInterests"},
    "SimilarityService": {"FindSimilar"},
    "SegmentService": {"ListSegments", "GetSegment", "ListMembers", "AssignSegments"},
    "EmbeddingService": {"BatchGetEmbeddings", "ExportEmbeddings"},
    "EventService": {"RecordEvents", "StreamEvents"},
    "CatalogService": {
        *("UpsertItems", "GetItem", "ListItems", "DeleteItem"),
        *("UpsertCategories", "GetCategory", "ListCategories", "DeleteCategory"),
        *("UpsertUsers", "GetUser", "ListUsers", "DeleteUser"),
    },
    "ModelService": {
        *("ListModels", "GetModel", "ActivateModel", "RollbackModel"),
        *("ListLabels", "SetLabel", "DeleteLabel"),
    },
    "ServerService": {"GetServerInfo"},
}


def test_the_services_are_those_of_the_design() -> None:
    served = {(rpc.path.split("/")[1], rpc.name) for rpc in RPCS.values()}
    assert served == {(f"penchant.v1.{service}", name) for service, names in SERVICES.items() for name in names}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_imports_are_ours_and_google_protobuf(path: Path) -> None:
    for name in re.findall(r'^import "(.*)";', path.read_text("utf-8"), re.MULTILINE):
        assert name.startswith(("google/protobuf/", "penchant/v1/"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_declaration_has_a_comment_right_above(path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()
    declared = re.compile(r"\s*(message|enum|service|rpc|oneof) \w|\s+(repeated |optional )?[\w.<>, ]+ \w+ = \d+;")
    bare = [f"{path.name}:{n + 1}: {line}" for n, line in enumerate(lines) if declared.match(line)]
    bare = [each for each in bare if not lines[int(each.split(":")[1]) - 2].lstrip().startswith("// ")]
    assert bare == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_numbers_say_their_range(path: Path) -> None:
    """A field of a number type says what it may be: figures, or what it counts."""
    text = path.read_text("utf-8")
    numbers = re.findall(
        r"((?:^ +// .*\n)+) +(?:repeated |optional )?(?:u?int32|u?int64|float|double) (\w+) =", text, re.M
    )
    vague = [name for comment, name in numbers if not re.search(r"\d|finite|order|Largest|per ", comment)]
    assert vague == []


def test_buf_lint_and_format_find_nothing() -> None:
    buf = Path(sys.executable).with_name("buf")
    for arguments in (["lint"], ["format", "--diff", "--exit-code"]):
        run = subprocess.run([buf, *arguments], cwd=PROTOS, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.network
@pytest.mark.timeout(300)
def test_generated_code_is_fresh() -> None:
    """Builds the pinned generator's environment on first use; afterwards it takes a second."""
    run = subprocess.run(
        [sys.executable, PROTOS / "generate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.network
@pytest.mark.timeout(300)
def test_an_edit_by_hand_is_noticed(tmp_path: Path) -> None:
    copy = shutil.copytree(PROTOS, tmp_path / "protos", ignore=shutil.ignore_patterns(".generator", "*.egg-info"))
    subprocess.run([sys.executable, PROTOS / "generate.py", "--descriptor-set", tmp_path / "any.binpb"], check=True)
    (copy / ".generator").symlink_to(PROTOS / ".generator")
    with (copy / "penchant/v1/model_pb2.py").open("a") as edited:
        edited.write("# by hand\n")
    (copy / "penchant/v1/server_pb2.pyi").unlink()
    run = subprocess.run([sys.executable, copy / "generate.py", "--check"], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert re.findall("stale: (.*)", run.stderr) == [
        "protos/penchant/v1/model_pb2.py",
        "protos/penchant/v1/server_pb2.pyi",
    ]


@pytest.mark.network
@pytest.mark.timeout(300)
def test_a_descriptor_set_guards_against_breaking_changes(tmp_path: Path) -> None:
    path = tmp_path / "penchant.binpb"
    subprocess.run([sys.executable, PROTOS / "generate.py", "--descriptor-set", path], check=True)
    buf = Path(sys.executable).with_name("buf")
    run = subprocess.run([buf, "breaking", "--against", path], cwd=PROTOS, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
