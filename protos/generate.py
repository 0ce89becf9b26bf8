"""Generates the Python code beside the .proto files.

    python protos/generate.py                        write it
    python protos/generate.py --check                say which files are stale, exit 1 if any
    python protos/generate.py --descriptor-set PATH  write all descriptors into one file, for `buf breaking --against`

Generated code may be older than the protobuf it runs on, never newer. So it is made with the oldest versions that
pyproject.toml promises, in an environment of its own (.generator/, built on first use, later runs need no network).
"""

import argparse
import fcntl
import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".generator"
PINS = (
    "grpcio==1.62.0",
    "grpcio-tools==1.62.0",
    "mypy-protobuf==3.5.0",
    "protobuf==4.25.1",
    "setuptools==75.8.0",  # grpcio-tools of that time imports pkg_resources
    "types-protobuf==4.24.0.20240106",
)
UNANSWERED = "raise NotImplementedError('Method not implemented!')"  # looked for in generated code, never raised here
"""What grpcio-tools writes for an rpc that a server's class does not override; each such line gets its reason beside it
(_give_reasons)."""
NEWEST_PYTHON = (3, 12)
"""The newest Python for which the pinned grpcio-tools has wheels."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Generate the Python code of penchant.v1.")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="write nothing, exit 1 if generated files are stale")
    mode.add_argument("--descriptor-set", type=Path, metavar="PATH", help="write all descriptors into PATH")
    arguments = parser.parse_args()
    _check_bounds()
    _build_environment()
    if arguments.descriptor_set:
        _protoc(f"--descriptor_set_out={arguments.descriptor_set.resolve()}", "--include_imports", files=_protos())
    elif arguments.check:
        sys.exit(_check())
    else:
        for path in _generated(ROOT):
            path.unlink()
        _generate(ROOT)


def _check() -> int:
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        _generate(fresh)
        made = {path.relative_to(fresh) for path in _generated(fresh)}
        kept = {path.relative_to(ROOT) for path in _generated(ROOT)}
        stale = sorted(
            path
            for path in made | kept
            if path not in made & kept or (fresh / path).read_bytes() != (ROOT / path).read_bytes()
        )
    for path in stale:
        _say(f"stale: protos/{path}")
    if stale:
        _say("Run `python protos/generate.py` and commit what it writes.")
    return 1 if stale else 0


def _generate(out: Path) -> None:
    messages = [f"--python_out={out}", f"--mypy_out=quiet:{out}"]
    stubs = [f"--grpc_python_out={out}", f"--mypy_grpc_out=quiet:{out}"]
    _protoc(*messages, files=_protos())
    _protoc(*stubs, files=[path for path in _protos() if "\nservice " in path.read_text("utf-8")])
    _give_reasons(out / "penchant")


def _give_reasons(out: Path) -> None:
    """The base class of a service answers UNIMPLEMENTED: the reason belongs beside each such line."""
    for path in out.rglob("*_pb2_grpc.py"):
        code = path.read_text("utf-8")
        path.write_text(
            code.replace(f"{UNANSWERED}\n", f"{UNANSWERED}  # a server's own class overrides it\n"), "utf-8"
        )


def _protoc(*outputs: str, files: list[Path]) -> None:
    scripts = ENVIRONMENT / "bin"
    plugins = [f"--plugin={scripts / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")]
    names = [str(path.relative_to(ROOT)) for path in files]
    command = [str(scripts / "python"), "-W", "ignore", "-m", "grpc_tools.protoc", "-I.", *plugins, *outputs, *names]
    subprocess.run(command, cwd=ROOT, check=True)


def _protos() -> list[Path]:
    return sorted((ROOT / "penchant").rglob("*.proto"))


def _generated(root: Path) -> list[Path]:
    return sorted(path for path in (root / "penchant").rglob("*_pb2*") if path.suffix in {".py", ".pyi"})


def _check_bounds() -> None:
    """The promise and what the code is generated with are one: pyproject's lower bounds are our pins."""
    promised = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    for name in ("grpcio", "protobuf"):
        bound = next(line for line in promised if line.startswith(f"{name}>=")).split(",")[0]
        if bound.replace(">=", "==") not in PINS:
            sys.exit(f"pyproject.toml promises {bound}, but generate.py pins another version: make them equal.")


def _build_environment() -> None:
    with Path(__file__).open() as lock:
        # Tests run side by side; the first builds, the others wait.
        fcntl.flock(lock, fcntl.LOCK_EX)
        _build_environment_alone()


def _build_environment_alone() -> None:
    stamp = ENVIRONMENT / "pins.txt"
    wanted = "\n".join(PINS)
    if stamp.exists() and stamp.read_text("utf-8") == wanted:
        return
    _say(f"building {ENVIRONMENT.relative_to(ROOT.parent)} with {', '.join(PINS)}")
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    if sys.version_info[:2] <= NEWEST_PYTHON:
        venv.create(ENVIRONMENT, with_pip=True)
    else:
        python = shutil.which("python3.12") or shutil.which("python3.11")
        if python is None:
            sys.exit("The pinned generator needs Python 3.11 or 3.12: install one, or run this script with it.")
        subprocess.run([python, "-m", "venv", str(ENVIRONMENT)], check=True)
    subprocess.run([str(ENVIRONMENT / "bin/python"), "-m", "pip", "install", "--quiet", *PINS], check=True)
    stamp.write_text(wanted, "utf-8")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    main()
