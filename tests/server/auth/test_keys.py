"""`penchant keys`: a key is shown once, its hash is kept, and servers that run follow."""

import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from graph.storage.errors import BadInputError
from server.auth.keys import hash_of, read_keys
from server.cli import app
from tests.server.auth.conftest import Guarded, bearer


def keys(path: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["keys", *words, "--auth-keys", str(path)], prog_name="penchant")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


def test_a_key_is_printed_once_and_only_its_hash_is_kept(path: Path) -> None:
    secret = keys(
        path, "create", "web", "--scope", "write", "--scope", "read", "--expires", "2090-01-01", "--rate", "50"
    ).output.strip()
    assert secret.startswith("pk_")
    assert len(secret) == 3 + 43  # 256 bits, six a letter
    assert secret not in path.read_text()
    assert secret[3:] not in path.read_text()
    key = read_keys(path).keys["web"]
    assert (key.sha256, key.scopes, key.rate) == (hash_of(secret), ("read", "write"), 50)
    assert str(key.expires) == "2090-01-01"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    listed = keys(path, "list").output
    assert all(word in listed for word in ("web", "read write", "2090-01-01", "50"))
    assert secret not in listed
    assert key.sha256 not in listed


def test_what_is_revoked_is_gone_and_the_rest_stays(path: Path) -> None:
    for name in ("web", "batch"):
        assert keys(path, "create", name, "--scope", "read").exit_code == 0
    path.chmod(0o640)
    assert keys(path, "revoke", "web").output == "web is revoked.\n"
    assert list(read_keys(path).keys) == ["batch"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640  # as the admin chose
    assert keys(path, "revoke", "web").output.startswith("There is no key web.")
    assert keys(path, "revoke", "batch").exit_code == 0
    assert read_keys(path).keys == {}


def test_keys_made_at_the_same_time_are_all_there(path: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        from server.auth.keys_command import create_command

        list(threads.map(lambda n: create_command(f"k{n}", ["read"], auth_keys=path), range(12)))
    assert len(read_keys(path).keys) == 12


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("web", "--scope", "all"), "There is no scope 'all'. There are read, write, export, admin."),
        (("a b", "--scope", "read"), "The name of a key has letters, digits"),
        (("../x", "--scope", "read"), "The name of a key has letters, digits"),
        (("web", "--scope", "read", "--expires", "tomorrow"), "'tomorrow' is no day. Write it as 2027-01-31."),
        (("web", "--scope", "read", "--expires", "2020-01-01"), "A key that expires on 2020-01-01 is of no use."),
        (("web", "--scope", "read", "--rate", "-1"), "-1.0 is no rate."),
        (("web", "--scope", "read", "--rate", "inf"), "inf is no rate."),
        (("old", "--scope", "read"), "There is a key old already."),
    ],
)
def test_a_key_that_cannot_be_is_refused_in_a_sentence(path: Path, words: tuple[str, ...], message: str) -> None:
    keys(path, "create", "old", "--scope", "read")
    before = path.read_text()
    answer = keys(path, "create", *words)
    assert answer.exit_code == 2
    assert answer.output.startswith(message)
    assert path.read_text() == before


def test_without_a_file_nothing_is_guessed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    answer = CliRunner().invoke(app, ["keys", "list"])
    assert (answer.exit_code, answer.output[:38]) == (2, "Nothing says where the keys are. Set a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[keys.web", "is no TOML: "),
        ("\xff", "is no TOML: "),
        ("[keys.web]\n", "keys.web.sha256: Field required"),
        ('[keys.web]\nsha256 = "ab"\nscopes = ["read"]\ncreated = 2026-01-01\n', "keys.web.sha256: String should"),
        (f'[keys.web]\nsha256 = "{"0" * 64}"\nscopes = []\ncreated = 2026-01-01\n', "keys.web.scopes: "),
        (f'[keys.web]\nsha256 = "{"0" * 64}"\nscopes = ["root"]\ncreated = 2026-01-01\n', "keys.web.scopes.0: "),
        ("[key.web]\n", "key: Extra inputs"),
    ],
)
def test_a_file_that_is_none_is_refused_by_the_place(path: Path, text: str, message: str) -> None:
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(BadInputError, match=rf"keys\.toml .*{message}"):
        read_keys(path)


def test_a_running_server_takes_new_keys_and_refuses_revoked_ones(
    guarded: Guarded, eventually: Callable[..., None]
) -> None:
    secret = keys(guarded.keys, "create", "late", "--scope", "read").output.strip()
    eventually(lambda: guarded.reason(bearer(secret)) == "")
    keys(guarded.keys, "revoke", "late")
    eventually(lambda: guarded.reason(bearer(secret)) == "INVALID_CREDENTIALS")
