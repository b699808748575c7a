"""
YAML that says exactly what JSON can say.

PyYAML speaks YAML 1.1, in which `NO` is false and `2024-01-01` a date. Here plain words are read by the core schema of
YAML 1.2, names are strings and stand once, and what JSON has no word for is refused. What is written is quoted
wherever either version would read it as something else.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

_CORE = [
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?(?:[0-9]*\.[0-9]+|[0-9]+\.)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+", "-+.0123456789"),
]


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML's own name; filled below)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[str, Any]:  # type: ignore[override]
        del deep
        found: dict[str, Any] = {}
        for name_node, value_node in node.value:
            name = self.construct_object(name_node, deep=True)
            if not isinstance(name, str):
                raise yaml.constructor.ConstructorError(None, None, "a name must be a string", name_node.start_mark)
            if name in found:
                raise yaml.constructor.ConstructorError(None, None, f"{name!r} is there twice", name_node.start_mark)
            found[name] = self.construct_object(value_node, deep=True)
        return found


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # Only in double quotes are the rarer line breaks escaped; elsewhere they come back as spaces.
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


_Dumper.add_representer(str, _text)

for _name, _pattern, _starts in _CORE:
    for _kind in (_Loader, _Dumper):
        _kind.add_implicit_resolver(
            f"tag:yaml.org,2002:{_name}", re.compile(f"^(?:{_pattern})$"), [c if c != "\0" else "" for c in _starts]
        )


def load_yaml(text: str) -> Any:
    """The one document in a text. Raises ValueError saying what is wrong and where."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (our loader is a SafeLoader)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error


def dump_yaml(data: Any) -> str:
    """Plain data as YAML, members in their order."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return text
