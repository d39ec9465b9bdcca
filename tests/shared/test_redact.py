"""What counts as a secret, and that it is taken out of texts."""

from __future__ import annotations

from pathlib import Path

import pytest

from llavakit.redact import is_secret, scrub, secrets


@pytest.mark.parametrize(
    "name",
    [
        "HF_TOKEN", "MODELSCOPE_API_TOKEN", "AWS_SECRET_ACCESS_KEY", "https_proxy", "PASSWORD",
        "DB_PASSWD", "TOKEN_2", "GITHUB_PAT", "apiKey", "GOOGLE_CREDENTIALS", "npm_config_auth",
        "DB_PWD", "AWS_ACCESS_KEY_ID", "SECRET_FOO", "API_KEY_OPENAI", "DB_PASSWORD_PROD",
    ],
)  # fmt: skip
def test_a_secret_is_known_by_its_name(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "HF_ENDPOINT", "RANK", "TOKENIZERS_PARALLELISM", "PATH", "SSH_AUTH_SOCK", "KEYBOARD",
        "PWD", "OLDPWD", "KEYCLOAK_URL", "PATTERN",
    ],
)  # fmt: skip
def test_other_names_are_none(name: str) -> None:
    assert not is_secret(name)
    assert is_secret(name, "https://me:word@mirror.example/x")
    assert not is_secret(name, "https://mirror.example/@x")


def test_of_a_proxy_only_the_login_is_taken_out() -> None:
    hidden = secrets({"https_proxy": "http://somebody:p%40ssword@proxy.example:3128"})
    said = "cannot connect to http://somebody:p%40ssword@proxy.example:3128 (p@ssword, somebody)"
    shown = "cannot connect to http://***@proxy.example:3128 (***, somebody)"
    assert scrub(said, hidden) == shown


def test_a_login_without_a_password_is_a_token() -> None:
    assert "ghp_0123456789" in secrets({"MIRROR": "https://ghp_0123456789@git.example/x"})


def test_a_secret_that_was_written_as_json_or_into_an_address_goes_too() -> None:
    hidden = secrets({"TOKEN": 'a"b\\c 秘密'})
    for form in ('a"b\\c 秘密', r"a\"b\\c 秘密", r"a\"b\\c \u79d8\u5bc6"):
        assert scrub(f"<{form}>", hidden) == "<***>"
    assert "%E7%A7%98" not in scrub("x?t=a%22b%5Cc%20%E7%A7%98%E5%AF%86", hidden)


@pytest.mark.parametrize(
    ("name", "value"),
    [("MAX_TOKENS", "100000"), ("MAX_NEW_TOKENS", " 100000.5 "), ("KEY_REPEAT", "-250000")],
)
def test_a_number_is_no_secret(name: str, value: str) -> None:
    assert not is_secret(name, value)
    assert secrets({name: value}) == []


@pytest.mark.parametrize("name", ["DB_PASSWORD", "DB_PWD", "MYSQL_PASS", "PASSWORD_2"])
def test_a_password_of_digits_is_one(name: str) -> None:
    assert is_secret(name, "19700101")
    assert secrets({name: "19700101"}) == ["19700101"]


def test_the_path_of_what_is_there_is_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "id_ed25519").touch()
    here, gone = str(tmp_path / "id_ed25519"), str(tmp_path / "gone")
    assert secrets({"SSH_KEY": here}) == []
    assert not is_secret("SSH_KEY", here)
    assert gone in secrets({"SSH_KEY": gone})
    monkeypatch.chdir(tmp_path)
    assert secrets({"SSH_KEY": "id_ed25519"}) == ["id_ed25519"]  # by chance
    assert secrets({"SSH_KEY": "x" * 5000}) == ["x" * 5000]


def test_what_is_too_short_to_be_one_is_left() -> None:
    assert secrets({"TOKEN": "true", "KEY": ""}) == []
