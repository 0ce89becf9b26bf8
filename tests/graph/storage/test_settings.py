"""Settings come from flags, environment, `.env`, secrets and a file, in this order, and nothing else gets in."""

import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner, Result

from graph.storage.errors import BadInputError
from graph.storage.settings import Settings, origins
from server.cli import app


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"PENCHANT_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)


def penchant(*words: str) -> Result:
    return CliRunner().invoke(app, words, prog_name="penchant")


def test_the_nearer_to_the_caller_the_stronger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "penchant.toml").write_text(
        'threads = 1\nlisten = "of:1"\nartifacts = "of-file"\nlog_level = "ERROR"\n'
    )
    (tmp_path / ".env").write_text("PENCHANT_THREADS=2\nPENCHANT_LISTEN=of:2\nPENCHANT_ARTIFACTS=of-dotenv\n")
    monkeypatch.setenv("PENCHANT_THREADS", "3")
    monkeypatch.setenv("PENCHANT_LISTEN", "of:3")
    settings = Settings(threads=4)
    assert (settings.threads, settings.listen) == (4, "of:3")
    assert (settings.artifacts, settings.log_level) == (Path("of-dotenv"), "ERROR")
    found = origins({"threads": 4})
    assert {name: found[name] for name in ("threads", "listen", "artifacts", "log_level", "grace_s")} == {
        "threads": "flag",
        "listen": "environment",
        "artifacts": ".env",
        "log_level": "penchant.toml",
        "grace_s": "default",
    }


def test_unknown_names_are_refused_wherever_they_stand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "penchant.toml").write_text("thread = 1\n")
    with pytest.raises(ValidationError, match="thread\n"):
        Settings()
    (tmp_path / "penchant.toml").unlink()
    (tmp_path / ".env").write_text("PENCHANT_THREAD=1\n")
    with pytest.raises(ValidationError, match="thread\n"):
        Settings()
    (tmp_path / ".env").unlink()
    monkeypatch.setenv("PENCHANT_THREAD", "1")
    with pytest.raises(ValidationError, match="thread\n"):
        Settings()
    answer = penchant("config")
    assert answer.exit_code == 2
    assert answer.output == "There is no setting thread (PENCHANT_THREAD). `penchant config` lists what there is.\n"


@pytest.mark.parametrize(
    "name", ["PENCHANT_CLIENT_TOKEN", "PENCHANT_SERVICE_HOST", "PENCHANT_PORT", "PENCHANT_PORT_50051_TCP"]
)
def test_names_of_the_client_and_of_kubernetes_are_no_strangers(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "tcp://10.0.0.1:50051")
    assert Settings().listen == "127.0.0.1:50051"


def test_a_file_that_is_named_must_be_there_and_be_toml(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "other.toml"
    monkeypatch.setenv("PENCHANT_CONFIG", str(file))
    with pytest.raises(BadInputError, match="There is no settings file"):
        Settings()
    file.write_text("threads = = 1\n")
    with pytest.raises(BadInputError, match=r"other\.toml is no TOML: .*line 1"):
        Settings()
    file.write_text('config = "penchant.toml"\n')
    with pytest.raises(BadInputError, match="cannot name another"):
        Settings()
    file.write_text("threads = 7\n")
    assert Settings().threads == 7


def test_a_secret_is_a_file_between_dotenv_and_the_settings_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "mounted"
    (folder / "..data").mkdir(parents=True)  # as Kubernetes mounts them: each name leads through a link that is swapped
    (folder / "..data" / "penchant_database_url").write_text("sqlite:///secret.db\n")
    (folder / "penchant_database_url").symlink_to(Path("..data", "penchant_database_url"))
    (folder / "PENCHANT_THREADS").write_text("2")
    (folder / "PENCHANT_LISTEN").write_text("of:2")
    (folder / "password-of-another").write_text("is nobody's business here")
    (tmp_path / ".env").write_text("PENCHANT_THREADS=1\n")
    (tmp_path / "penchant.toml").write_text('secrets = "mounted"\nlisten = "of:3"\ngrace_s = 3\n')
    settings = Settings()
    assert (settings.database_url, settings.threads) == ("sqlite:///secret.db", 1)
    assert (settings.listen, settings.grace_s) == ("of:2", 3)
    found = origins({})
    assert [found[name] for name in ("database_url", "threads", "grace_s")] == ["mounted", ".env", "penchant.toml"]
    monkeypatch.setenv("PENCHANT_SECRETS", str(tmp_path / "gone"))
    with pytest.raises(BadInputError, match=r"There is no folder of secrets .*gone"):
        Settings()


def test_secrets_are_read_where_containers_have_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("graph.storage.settings.DEFAULT_SECRETS", tmp_path / "run")
    assert Settings().threads == 0
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "penchant_threads").write_text("3")
    assert Settings().threads == 3


def test_what_is_no_setting_is_no_secret_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PENCHANT_SECRETS", str(tmp_path))
    (tmp_path / "penchant_client_token").write_text("of the client")
    assert Settings().threads == 0
    (tmp_path / "penchant_thread").write_text("1")
    with pytest.raises(ValidationError, match="thread\n"):
        Settings()
    (tmp_path / "penchant_thread").rename(tmp_path / "penchant_config")
    with pytest.raises(BadInputError, match="sets config"):
        Settings()


def test_config_prints_a_file_that_says_the_same(tmp_path: Path) -> None:
    printed = penchant("config", "--log-level", "DEBUG", "--artifacts", 'with "quotes"', "--grace-s", "2.5")
    assert printed.exit_code == 0, printed.output
    assert tomllib.loads(printed.output) == {"log_level": "DEBUG", "artifacts": 'with "quotes"', "grace_s": 2.5}
    (tmp_path / "penchant.toml").write_text(printed.output)
    settings = Settings()
    assert (settings.log_level, settings.artifacts, settings.grace_s) == ("DEBUG", Path('with "quotes"'), 2.5)
    for name in Settings.model_fields:
        assert f"{name} = " in printed.output


def test_config_prints_no_password() -> None:
    printed = penchant("config", "--database", "postgresql+psycopg://shop:hidden@store/penchant")
    assert 'database_url = "postgresql+psycopg://shop:***@store/penchant"' in printed.output
    assert "hidden" not in penchant("config", "--database", "shop:hidden@store").output


def test_a_flag_that_cannot_be_used_is_said_by_name() -> None:
    answer = penchant("serve", "--threads", "-1")
    assert answer.exit_code == 2
    assert answer.output.startswith("The setting threads (PENCHANT_THREADS) cannot be used: ")
