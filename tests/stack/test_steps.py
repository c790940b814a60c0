"""What is done around a component's start."""

from __future__ import annotations

from recloop.settings import Settings
from stack import steps
from stack.components import all_components
from stack.steps import redis_config


def test_steps_are_components(settings: Settings) -> None:
    names = {component.name for component in all_components(settings)}
    assert set(steps._BEFORE) <= names
    assert set(steps._AFTER) <= names


def test_redis_asks_for_the_password_and_keeps_what_it_is_given(settings: Settings) -> None:
    lines = redis_config(settings).splitlines()
    assert "requirepass hush-redis" in lines
    assert "bind 127.0.0.1" in lines
    assert "appendonly yes" in lines
    assert "maxmemory-policy noeviction" in lines


def test_redis_config_is_for_the_owner_only(settings: Settings) -> None:
    steps.before("redis", settings)
    assert (settings.var_dir / "redis" / "redis.conf").stat().st_mode & 0o077 == 0


def test_component_without_steps_is_fine(settings: Settings) -> None:
    steps.after("redis", settings)
    steps.before("airflow-triggerer", settings)
