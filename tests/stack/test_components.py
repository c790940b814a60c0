"""Which components there are, in which order, on which ports, and that no password is in an argv."""

from __future__ import annotations

import pytest

from recloop.errors import ConfigurationError
from recloop.settings import Port, Settings
from stack.components import Component, all_components, select

CHAIN = [
    Component("a", ["true"]),
    Component("b", ["true"], requires=("a",)),
    Component("c", ["true"], requires=("b",)),
    Component("d", ["true"]),
]


def names(components: list[Component]) -> list[str]:
    return [component.name for component in components]


@pytest.mark.parametrize(
    ("only", "chosen"),
    [([], ["a", "b", "c", "d"]), (["d"], ["d"]), (["c"], ["a", "b", "c"]), (["d", "b"], ["a", "b", "d"])],
)
def test_selection_brings_what_is_required_and_keeps_the_order(only: list[str], chosen: list[str]) -> None:
    assert names(select(CHAIN, only)) == chosen


def test_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"'kafak' is no component; there are a, b, c, d"):
        select(CHAIN, ["kafak"])


def test_required_components_come_first(settings: Settings) -> None:
    seen: set[str] = set()
    for component in all_components(settings):
        assert set(component.requires) <= seen, component.name
        seen.add(component.name)
    assert len(seen) == 10


def test_every_port_of_the_settings_is_one_components(settings: Settings) -> None:
    ports = [port for component in all_components(settings) for port in component.ports]
    assert sorted(ports) == sorted(Port)


def test_secrets_are_in_no_argv(settings: Settings) -> None:
    argv = " ".join(part for component in all_components(settings) for part in component.argv)
    assert "hush" not in argv


def test_components_listen_on_loopback_only(settings: Settings) -> None:
    by_name = {component.name: component for component in all_components(settings)}
    assert "listen_addresses=127.0.0.1" in by_name["postgres"].argv
    assert "unix_socket_directories=" in by_name["postgres"].argv
    host = by_name["mlflow"].argv.index("--host")
    assert by_name["mlflow"].argv[host + 1] == "127.0.0.1"
    assert by_name["airflow-api"].environment["AIRFLOW__API__HOST"] == "127.0.0.1"
    # Its log server listens on every address whatever the host setting.
    for name in ("airflow-scheduler", "airflow-triggerer"):
        assert "--skip-serve-logs" in by_name[name].argv
