"""The environment as a configuration, or one sentence that says which variable to change."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.config import Config, ConfigError, read_config


def refusal(**environment: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read_config({f"SETPOINT_{name}": value for name, value in environment.items()})
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert sentence.count("$") == 0
    return sentence


def test_nothing_set_gives_the_defaults() -> None:
    assert read_config({}) == (Config(), [])
    assert Config().host == "127.0.0.1"
    assert Config().port == 8080
    assert Config().workers == 1
    assert Config().database_url is None


def test_variables_are_read_by_the_names_of_the_fields() -> None:
    config, warnings = read_config(
        {
            "SETPOINT_HOST": "::1",
            "SETPOINT_PORT": "9000",
            "SETPOINT_REDIS_TIMEOUT_SECONDS": "0.5",
            "SETPOINT_DATABASE_URL": "postgresql://db/setpoint",
            "SETPOINT_LOG_LEVEL": "debug",
            "PATH": "/bin",
            "PORT": "1",
        }
    )

    assert config == Config(
        host="::1",
        port=9000,
        redis_timeout_seconds=0.5,
        database_url="postgresql://db/setpoint",
        log_level="debug",
    )
    assert warnings == []


def test_every_field_can_be_set_to_its_own_default() -> None:
    defaults = {
        f"SETPOINT_{name.upper()}": str(getattr(Config(), name))
        for name in Config.__struct_fields__
        if getattr(Config(), name) is not None
    }

    assert read_config(defaults) == (Config(), [])


def test_an_empty_variable_counts_as_not_set() -> None:
    assert read_config({"SETPOINT_PORT": "", "SETPOINT_DATABASE_URL": "", "SETPOINT_NONSENSE": ""}) == (Config(), [])


@pytest.mark.parametrize(
    ("name", "warning"),
    [
        ("PROT", "SETPOINT_PROT is not a known setting and is ignored. Did you mean SETPOINT_PORT?"),
        (
            "DATABASEURL",
            "SETPOINT_DATABASEURL is not a known setting and is ignored. Did you mean SETPOINT_DATABASE_URL?",
        ),
        ("XYZZY", "SETPOINT_XYZZY is not a known setting and is ignored."),
        ("", "SETPOINT_ is not a known setting and is ignored."),
    ],
)
def test_an_unknown_name_is_warned_of_with_the_nearest_known_one(name: str, warning: str) -> None:
    assert read_config({f"SETPOINT_{name}": "1"}) == (Config(), [warning])


def test_several_unknown_names_are_warned_of_in_order() -> None:
    _, warnings = read_config({"SETPOINT_ZZZ": "1", "SETPOINT_AAA": "1"})

    assert [warning.split()[0] for warning in warnings] == ["SETPOINT_AAA", "SETPOINT_ZZZ"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "80.5"),
        ("PORT", "-1"),
        ("WORKERS", "0"),
        ("WORKERS", "many"),
        ("POOL_SIZE", "501"),
        ("ACQUIRE_TIMEOUT_SECONDS", "0"),
        ("ACQUIRE_TIMEOUT_SECONDS", "-1"),
        ("ACQUIRE_TIMEOUT_SECONDS", "3601"),
        ("ACQUIRE_TIMEOUT_SECONDS", "inf"),
        ("ACQUIRE_TIMEOUT_SECONDS", "nan"),
        ("MAX_BODY_BYTES", "0"),
        ("MAX_CONNECTIONS", "0"),
        ("WRITES_PER_SECOND", "-1"),
        ("WRITES_PER_SECOND", "nan"),
        ("READS_PER_SECOND", "inf"),
        ("WRITE_BURST", "0"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
        ("LOCAL_ISSUER", "maybe"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_in_one_sentence(name: str, value: str) -> None:
    assert refusal(**{name: value}).startswith(f"SETPOINT_{name} cannot be used: ")


ISSUER = {"JWT_ISSUER": "https://issuer.test", "JWT_AUDIENCE": "setpoint", "JWKS": "https://issuer.test/jwks"}


@pytest.mark.parametrize("missing", ISSUER)
def test_an_issuer_is_named_whole_or_not_at_all(missing: str) -> None:
    part = {name: value for name, value in ISSUER.items() if name != missing}

    assert "belong together" in refusal(**part)
    assert "belong together" in refusal(**{missing: ISSUER[missing]})


def test_a_whole_issuer_is_taken() -> None:
    config, _ = read_config({f"SETPOINT_{name}": value for name, value in ISSUER.items()})

    assert (config.jwt_issuer, config.jwt_audience, config.jwks) == tuple(ISSUER.values())


def test_somebody_must_be_able_to_sign_in() -> None:
    assert "nobody could sign in" in refusal(LOCAL_ISSUER="off")

    config, _ = read_config({f"SETPOINT_{name}": value for name, value in (ISSUER | {"LOCAL_ISSUER": "off"}).items()})

    assert config.local_issuer == "off"


def test_paths_are_absolute_and_know_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    assert Config().data_path == tmp_path / ".setpoint"
    assert Config(data_dir="~/data").data_path == tmp_path / "data"
    assert Config(policies_dir="rules, ~/more").policies_paths == [tmp_path / "rules", tmp_path / "more"]


def test_without_a_policies_folder_the_shipped_ones_are_used() -> None:
    [shipped] = Config().policies_paths

    assert (shipped / "settings.polar").is_file()


def test_the_shipped_policies_may_be_added_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)

    [shipped, own, named_so] = Config(policies_dir="shipped,rules,./shipped").policies_paths

    assert [shipped] == Config().policies_paths
    assert (own, named_so) == (tmp_path / "rules", tmp_path / "shipped")


def test_a_list_of_no_policies_folder_is_refused() -> None:
    assert "SETPOINT_POLICIES_DIR cannot be used: it names no folder" in refusal(POLICIES_DIR=" , ")


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://pdp.example.com", "https://pdp.example.com"),
        ("https://pdp.example.com:8443/setpoint/", "https://pdp.example.com:8443/setpoint"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("http://localhost", "http://localhost"),
    ],
)
def test_a_public_url_is_https_or_of_this_machine(url: str, base: str) -> None:
    config, _ = read_config({"SETPOINT_PUBLIC_URL": url})

    assert config.base_url == base


@pytest.mark.parametrize("url", ["http://pdp.example.com", "pdp.example.com", "https://", "https://a?b", "https://a#b"])
def test_what_is_no_public_url_is_said_in_one_sentence(url: str) -> None:
    assert "SETPOINT_PUBLIC_URL cannot be used" in refusal(PUBLIC_URL=url)


def test_without_a_public_url_it_is_where_the_node_listens() -> None:
    assert Config(port=9000).base_url == "http://127.0.0.1:9000"
    assert Config(host="::1").base_url == "http://[::1]:8080"


@pytest.mark.parametrize("name", ["http://a.example", "a.example:80", "*", "*.", "a b", "*a.example", "a.*.b", "a..b"])
def test_a_name_that_is_no_host_is_said_in_one_sentence(name: str) -> None:
    assert "SETPOINT_ALLOWED_HOSTS cannot be used" in refusal(ALLOWED_HOSTS=f"b.example, {name}")


@pytest.mark.parametrize("network", ["10.0.0.1/8", "proxy.example", "10.0.0.0/33", "10.0.0"])
def test_what_is_no_network_is_said_in_one_sentence(network: str) -> None:
    assert "SETPOINT_TRUSTED_PROXIES cannot be used" in refusal(TRUSTED_PROXIES=f"192.0.2.1, {network}")
