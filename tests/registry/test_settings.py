"""The variables; a misspelt one is never ignored."""

from pathlib import Path

import pytest

from tunewright.registry.errors import SettingsError
from tunewright.registry.settings import RegistrySettings


def test_the_defaults_are_a_folder_and_a_cache():
    settings = RegistrySettings()
    assert (settings.uri, settings.cache, settings.single_writer) == ("./var/registry", Path("var/cache"), False)


def test_the_environment_is_read(monkeypatch):
    monkeypatch.setenv("REGISTRY_URI", "s3://bucket/models")
    monkeypatch.setenv("REGISTRY_CACHE", "/cache")
    monkeypatch.setenv("REGISTRY_SINGLE_WRITER", "true")
    settings = RegistrySettings()
    assert (settings.uri, settings.cache, settings.single_writer) == ("s3://bucket/models", Path("/cache"), True)


def test_an_unknown_variable_is_refused_with_the_nearest_name(monkeypatch):
    monkeypatch.setenv("REGISTRY_URL", "s3://bucket")
    with pytest.raises(SettingsError) as error:
        RegistrySettings()
    assert str(error.value) == "the variable REGISTRY_URL is not known; did you mean REGISTRY_URI?"


def test_all_mistakes_are_named_at_once(monkeypatch):
    monkeypatch.setenv("REGISTRY_SINGLE_WRITER", "perhaps")
    monkeypatch.setenv("REGISTRY_CASH", "x")
    with pytest.raises(SettingsError) as error:
        RegistrySettings()
    assert "did you mean REGISTRY_CACHE?" in str(error.value)
    assert "REGISTRY_SINGLE_WRITER" in str(error.value)


def test_the_variables_of_a_kubernetes_service_are_not_mistakes(monkeypatch):
    monkeypatch.setenv("REGISTRY_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("REGISTRY_PORT", "tcp://10.0.0.1:80")
    monkeypatch.setenv("REGISTRY_PORT_80_TCP", "tcp://10.0.0.1:80")
    assert RegistrySettings().uri == "./var/registry"
