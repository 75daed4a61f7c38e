"""`[[plugins]]` of a config -> a Pipeline. Called by `build.py`, which lends what it imports late with."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from importlib.metadata import entry_points
from typing import Any, Final

import msgspec

from rune.chain import Chain, Plugs
from rune.config.model import Config, PluginTable
from rune.errors import ConfigError
from rune.facade import framework
from rune.pipeline import Pipeline
from rune.plugin import Plugin, PluginCondition, PluginConfig
from rune.store import Store

log = logging.getLogger("rune.plugged")

BUILT_IN: Final = {
    "cache": "rune.plugins.cache:Cache",
    "compression": "rune.plugins.compression:Compression",
    "deny_list": "rune.plugins.deny:DenyList",
    "json_repair": "rune.plugins.json_repair:JsonRepairPlugin",
    "metadata_filter": "rune.plugins.metadata:MetadataFilter",
    "pii_filter": "rune.plugins.pii:PiiFilterPlugin",
    "rate_limiter": "rune.plugins.rate:RateLimiterPlugin",
    "regex_filter": "rune.plugins.regex:RegexFilter",
    "secrets": "rune.plugins.secrets:SecretsPlugin",
    "sql_sanitizer": "rune.plugins.sql:SqlSanitizer",
}
FORMER: Final = 8
"""Sets of plugins that are kept for the calls which began under them."""


class Plugged:
    """The pipelines of one app: that of the config of now, and a few before it. `imported` gives what a name names,
    `store` is for plugins that share something."""

    def __init__(self, imported: Callable[[str], Any], store: Store) -> None:
        self._imported = imported
        self._store = store
        self._pipelines: list[tuple[tuple[PluginTable, ...], Pipeline]] = []

    async def plugs(self, config: Config) -> Plugs | None:
        """The plugins of a config, ready; those of now, if it has the same. None where there are none.

        Raises:
            ConfigError: when one cannot be found, or does not like its config.
        """
        if not config.plugins:
            return None
        if self._pipelines and self._pipelines[-1][0] == config.plugins:
            return partial(Chain, self._pipelines[-1][1])
        pipeline = Pipeline(self.made(config))
        await pipeline.__aenter__()
        self._pipelines.append((config.plugins, pipeline))
        if len(self._pipelines) > FORMER:
            await self._pipelines.pop(0)[1].__aexit__()
        return partial(Chain, pipeline)

    def press(self, config: Config) -> Any:
        """How what is kept is compressed, if one of the plugins of a config says so. They are ready."""
        running = next((pipeline.plugins for plugins, pipeline in self._pipelines if plugins == config.plugins), ())
        ours = (each for each in running if each.config.kind == "compression" and not each.disabled)
        return next((press for each in ours if (press := getattr(each.plugin, "press", None)) is not None), None)

    def made(self, config: Config) -> list[tuple[Plugin, PluginConfig]]:
        """The plugins of a config, not started.

        Raises:
            ConfigError: when one cannot be found, or does not like its config.
        """
        return [self._plugin(table, config, at) for at, table in enumerate(config.plugins)]

    def _plugin(self, table: PluginTable, config: Config, at: int) -> tuple[Plugin, PluginConfig]:
        origin = config.lines.get(f"plugins.{at}", str(config.path))
        settings = PluginConfig(
            name=table.name or table.use,
            kind=table.use,
            hooks=table.hooks,
            mode=table.mode,  # type: ignore[arg-type]
            on_error=table.on_error,  # type: ignore[arg-type]
            priority=table.priority,
            conditions=tuple(PluginCondition(**msgspec.structs.asdict(each)) for each in table.conditions),
            deadline=table.deadline,
            max_content_size=table.max_content_size,
            config=table.config,
        )
        try:
            with framework(config.plugin_folder):
                plugin: Plugin = self._class(table.use)(settings)
        except ConfigError as error:
            raise ConfigError(f"{origin}: plugin {settings.name}: {error.message}", hint=error.hint) from None
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise ConfigError(f"{origin}: plugin {settings.name}: {what}", hint="correct its config or code") from error
        plugin.store = self._store
        log.info("plugin %s: %s, %s, priority %d", settings.name, plugin.implementation, settings.mode, table.priority)
        return plugin, settings

    def _class(self, use: str) -> Any:
        """One of ours, an entry point, or any class by its path."""
        if use in BUILT_IN:
            return self._imported(BUILT_IN[use])
        for entry in entry_points(group="rune.plugins", name=use):
            return entry.load()
        module, _, name = use.replace(":", ".").rpartition(".")
        try:
            return self._imported(f"{module}:{name}")
        except (ImportError, AttributeError, ValueError) as error:
            hint = f"built-in: {', '.join(BUILT_IN)}; others as module.Class, installed beside rune"
            raise ConfigError(f"no plugin {use!r}: {error}", hint=hint) from None

    async def close(self) -> None:
        """End all of them."""
        while self._pipelines:
            await self._pipelines.pop()[1].__aexit__()
