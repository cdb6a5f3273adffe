"""Span attributes, whose keys spell out a tree: `llm.input_messages.0.message.role`."""

_PREFIXES = (
    "llm.",
    "gen_ai.",
    "message.",
    "message_content.",
    "tool_call.",
    "tool.",
    "input.",
    "output.",
    "embedding.",
    "retrieval.",
    "reranker.",
    "document.",
    "traceloop.",
    "ai.",
)
_DEEPEST_PATH = 24  # parts of one key
_FLAT_NAMES = frozenset({"event.name", "gen_ai.message.index", "gen_ai.system"})  # OTel log records: names, not paths


def is_flattened(value: dict[str, object]) -> bool:
    """Whether an object's keys are paths that this module reads."""
    return any(isinstance(key, str) and "." in key and _is_path(key) for key in value)


def unflattened(value: dict[str, object]) -> dict[str, object]:
    """The tree that the keys spell out; numbers become positions in lists. Keys that fit no tree stay as they are."""
    tree: dict[str, object] = {}
    branches: set[int] = set()  # objects made here, not ones found among the values
    for key, member in value.items():
        path = key.split(".") if _is_path(key) else []
        if not 1 < len(path) <= _DEEPEST_PATH or not _place(tree, path, _part(member), branches):
            tree.setdefault(key, _part(member))
    return {key: _listed(member, branches) for key, member in tree.items()}


def _is_path(key: object) -> bool:
    return isinstance(key, str) and key.startswith(_PREFIXES) and key not in _FLAT_NAMES


def _part(member: object) -> object:
    """Lists of objects whose own keys are paths again, as OpenInference's SDKs hold them."""
    if not isinstance(member, list):
        return member
    return [unflattened(item) if isinstance(item, dict) and is_flattened(item) else item for item in member]


def _place(tree: dict[str, object], path: list[str], member: object, branches: set[int]) -> bool:
    node = tree
    for step in path[:-1]:
        below = node.get(step)
        if below is None:
            below = node[step] = {}
            branches.add(id(below))
        if not isinstance(below, dict) or id(below) not in branches:
            return False
        node = below
    if path[-1] in node:
        return False
    node[path[-1]] = member
    return True


def _listed(node: object, branches: set[int]) -> object:
    if not isinstance(node, dict) or id(node) not in branches:
        return node
    if node and all(key.isdecimal() and key.isascii() and len(key) < 10 for key in node):
        return [_listed(node[key], branches) for key in sorted(node, key=int)]
    return {key: _listed(member, branches) for key, member in node.items()}
