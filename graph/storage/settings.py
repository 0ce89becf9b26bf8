"""The one place that reads the environment (`PENCHANT_…`) and `.env`; flags on the command line win over it."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Where things are. Unknown `PENCHANT_…` names in `.env` are refused."""

    model_config = SettingsConfigDict(env_prefix="PENCHANT_", env_file=".env", extra="forbid", frozen=True)

    database_url: str = Field("sqlite:///penchant.db", description="SQLAlchemy URL of the store")
    artifacts: Path = Field(Path("artifacts"), description="folder of the published models")
    listen: str = Field("127.0.0.1:50051", description="address that `penchant serve` binds")
    threads: int = Field(
        0, ge=0, description="threads for tensor work, 0 = as many as cores; of each call when serving, 0 = one"
    )
    unknown_items: Literal["reject", "create"] = Field(
        "reject", description="events of items that the catalog does not have: refused, or the items created"
    )
    clock_tolerance_s: float = Field(
        60, ge=0, le=86_400, description="how far ahead of the server's clock an event may say it happened"
    )
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")
