"""Every knob of the server: its name, default and meaning.

Precedence: command line, then `PERGAI_*` variables (nested with `__`, e.g. `PERGAI_LIMITS__UPLOAD_MIB=64`), then the
profile (`PERGAI_CONFIG`: a TOML file, or the name of one in `configs/`), then the defaults below. An unknown key in the
profile and an unknown `PERGAI_*` variable are errors. The table in the README is made from this file (`pergai settings`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from pergai.errors import SettingsError
from pergai.paths import Home, default_home, packaged

MIB = 1024 * 1024


class Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerSettings(Group):
    public_url: str = Field("", description="Base of the URLs the server gives out; empty takes it from the request.")
    header_seconds: float = Field(15, description="A client must have sent its request headers within this time.")
    body_seconds: float = Field(300, description="A client must have sent its request body within this time.")
    connections: int = Field(1000, description="Connections held at once; more are answered 503.")
    drain_seconds: float = Field(
        60, description="On SIGTERM, running jobs get this long before they go back to the queue."
    )
    metrics: Literal["open", "key", "off"] = Field("open", description="Who may read /metrics.")
    cors_origins: str = Field(
        "",
        description="Web pages that may call the API from a browser: origins joined by commas, or *; empty allows none.",
    )
    trusted_proxies: str = Field("127.0.0.1", description="Addresses whose X-Forwarded-* headers are believed.")


class LimitSettings(Group):
    upload_mib: int = Field(64, description="Largest upload.")
    body_kib: int = Field(256, description="Largest JSON body.")
    megapixels: float = Field(100, description="Largest source image.")
    frames: int = Field(500, description="Most frames of an animated source; the first one is used.")
    result_megapixels: float = Field(64, description="Largest result.")
    inspect_seconds: float = Field(30, description="Time to decode an upload, in a process of its own.")
    inspect_memory_mib: int = Field(2048, description="Memory to decode an upload, in a process of its own.")
    prompt_chars: int = Field(2000, description="Longest prompt.")
    count: int = Field(8, description="Most variants of one request.")
    queue: int = Field(100_000, description="Jobs waiting in all; more are answered 429.")
    queue_per_library: int = Field(20_000, description="Jobs of one library waiting; more are answered 429.")
    storage_gib_per_library: float = Field(0, description="Files one library may keep; 0 sets no limit.")
    products_per_library: int = Field(0, description="Products one library may keep; 0 sets no limit.")
    requests_per_minute: int = Field(0, description="Requests of one key a minute; 0 sets no limit.")
    free_disk_mib: int = Field(512, description="Below this much free disk, jobs and uploads are answered 507.")


class StorageSettings(Group):
    url_seconds: int = Field(
        3600, description="How long a signed URL is valid at least; its expiry is rounded up to this."
    )
    temp_hours: float = Field(24, description="Unfinished files older than this are removed.")
    idempotency_hours: float = Field(24, description="How long an Idempotency-Key is remembered.")


class ToolSettings(Group):
    wait_seconds: float = Field(60, description="How long a tool request waits for its result before it answers 202.")
    max_wait_seconds: float = Field(300, description="Longest wait a client may ask for with `Prefer: wait=N`.")


class EngineSettings(Group):
    device: Literal["auto", "cuda", "cpu"] = Field("auto", description="Where models run.")
    jobs: int = Field(0, description="Jobs inside the engine at once; 0 chooses by the device (CPU 4, CUDA 32).")
    cpu_workers: int = Field(0, description="Threads that decode, matte and encode; 0 chooses by the cores.")
    memory_mib: int = Field(0, description="Memory for resident models; 0 chooses by what is free.")
    host_mib: int = Field(
        -1,
        description="Memory beside a GPU for models that have to leave it; -1 takes a third of what is free, 0 none.",
    )
    warm: list[str] = Field([], description="Model cards loaded at the start, as a JSON list of ids.")
    safety_checker: str = Field("", description="Model card that looks at every painted picture; empty asks none.")
    job_seconds: float = Field(1800, description="A job that runs longer fails with timed_out.")
    hang_seconds: float = Field(600, description="An engine that makes no progress this long is killed and restarted.")
    start_seconds: float = Field(120, description="An engine that is not up after this time is killed and restarted.")


class WebhookSettings(Group):
    allow_private: bool = Field(False, description="Also call addresses of private networks.")
    attempts: int = Field(8, description="How often a delivery is tried, with growing pauses.")
    timeout_seconds: float = Field(10, description="Time for one delivery.")


class CredentialSettings(Group):
    certificate: Path | None = Field(
        None,
        description="PEM file of the studio's certificate chain: signs every picture with C2PA Content Credentials.",
    )
    key: Path | None = Field(None, description="PEM file of the certificate's private key.")


class LogSettings(Group):
    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe line that is written."
    )
    format: Literal["auto", "json", "console"] = Field("auto", description="`auto`: console on a terminal, else JSON.")


class Settings(BaseSettings):
    """The settings of one server. Frozen; made by `load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix="PERGAI_", env_nested_delimiter="__", extra="forbid", frozen=True, toml_file=None
    )

    home: Path = Field(default_factory=default_home, description="Data folder: database, images, weights, own cards.")
    weights: Path | None = Field(None, description="Folder of the weights, if they are not to lie in the data folder.")
    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for every network.")
    port: int = Field(3002, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    config: str = Field("", description="Profile: a TOML file, or the name of one in configs/; empty chooses.")
    offline: bool = Field(False, description="Never reach for the network.")

    server: ServerSettings = ServerSettings()
    limits: LimitSettings = LimitSettings()
    storage: StorageSettings = StorageSettings()
    tools: ToolSettings = ToolSettings()
    engine: EngineSettings = EngineSettings()
    webhooks: WebhookSettings = WebhookSettings()
    credentials: CredentialSettings = CredentialSettings()
    log: LogSettings = LogSettings()
    providers: dict[str, dict[str, str]] = Field(
        default_factory=dict, description="aiProvider names: which pipeline does each task (profiles only)."
    )
    accept_licences: list[str] = Field(
        default_factory=list,
        description="Model cards used though their licence forbids commercial use, as a JSON list of ids.",
    )
    defaults: dict[str, str] = Field(
        default_factory=dict, description="The aiProvider of each task when a request names none (profiles only)."
    )

    @property
    def paths(self) -> Home:
        return Home(self.home, self.weights)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings, env_settings, file_secret_settings, TomlConfigSettingsSource(settings_cls))


def load_settings(config: str | None = None, **overrides: Any) -> Settings:
    """The settings of this process. `config` and `overrides` come from the command line.

    Raises SettingsError naming the key and what is allowed.
    """
    profile = profile_path(config if config is not None else os.environ.get("PERGAI_CONFIG", ""))
    reject_unknown_variables()

    class Profiled(Settings):
        model_config = SettingsConfigDict(**{**Settings.model_config, "toml_file": profile})

    given = {key: value for key, value in overrides.items() if value is not None}
    try:
        loaded = Profiled(config=str(profile), **given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"{where}: {first['msg']} (profile {profile})") from error
    return Settings.model_construct(**{name: getattr(loaded, name) for name in Settings.model_fields})


def profile_path(config: str) -> Path:
    """The profile's file. An empty name chooses `gpu` where an NVIDIA driver is loaded, else `embedded`."""
    name = config or ("gpu" if Path("/proc/driver/nvidia/version").exists() else "embedded")
    if name.endswith(".toml") or "/" in name:
        path = Path(name).expanduser()
    else:
        path = packaged("configs") / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in packaged("configs").glob("*.toml") if p.stem in ("embedded", "gpu")))
        raise SettingsError(f"config: there is no profile {name!r}; give a TOML file or one of {known}")
    return path


def reject_unknown_variables() -> None:
    """A misspelt PERGAI_* variable would be ignored in silence; refuse it by name.

    Raises SettingsError.
    """
    known = {name.upper() for name, _, _ in describe_settings()}
    groups = {name.split("__")[0] for name in known}
    for variable in os.environ:
        name = variable.upper().removeprefix("PERGAI_")
        if variable.upper().startswith("PERGAI_") and name not in known and not name.startswith("TEST_"):
            hint = "is not a group" if name.split("__")[0] not in groups else "is not one of its settings"
            raise SettingsError(f"{variable}: there is no such setting ({hint}); `pergai settings` lists them")


def describe_settings() -> Iterator[tuple[str, Any, str]]:
    """Every setting as (name with `__`, default, meaning), in order; for the README and for `pergai settings`."""
    for name, info in Settings.model_fields.items():
        if name in ("providers", "defaults"):
            continue
        group = info.default
        if isinstance(group, Group):
            for key, inner in type(group).model_fields.items():
                yield f"{name}__{key}", "" if inner.default is None else inner.default, inner.description or ""
        else:
            default = "" if info.default_factory is not None or info.default is None else info.default
            yield name, default, info.description or ""
