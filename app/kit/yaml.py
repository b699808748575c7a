"""YAML as strict as our JSON: a member that is given twice is refused, where YAML's own loader keeps the last."""

from __future__ import annotations

from typing import Any

import yaml


def parse_yaml_strictly(source: str | bytes) -> Any:
    """What a document holds. Raises yaml.YAMLError, RecursionError, or ValueError for a member that stands twice."""
    return yaml.load(source, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader that refuses repeated members


class _StrictLoader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of a node."""
        seen = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = next((name for place, name in enumerate(seen) if name in seen[:place]), None)
        if twice is not None:
            raise ValueError(f"the member {twice!r} stands twice in line {node.start_mark.line + 1} and after")
        return super().construct_mapping(node, deep)
