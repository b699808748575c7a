"""YAML is read as strictly as JSON."""

from __future__ import annotations

import pytest
import yaml

from app.kit.yaml import parse_yaml_strictly


def test_a_document_is_read_as_what_it_holds() -> None:
    assert parse_yaml_strictly("a: 1\nb: [x, null]") == {"a": 1, "b": ["x", None]}


@pytest.mark.parametrize("source", ["a: 1\na: 2", "o:\n  a: 1\n  b: 2\n  a: 3", "{a: 1, a: 1}"])
def test_a_member_that_stands_twice_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match="'a' stands twice in line"):
        parse_yaml_strictly(source)


@pytest.mark.parametrize("source", ["a: [", "!!python/object/apply:os.getcwd []"])
def test_what_is_no_plain_document_is_refused(source: str) -> None:
    with pytest.raises(yaml.YAMLError):
        parse_yaml_strictly(source)
