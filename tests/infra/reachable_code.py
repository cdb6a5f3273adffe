"""What a handler can reach: follows names through the source, definition by definition, without importing it."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import boto3

# AWS calls that Powertools makes for its caller (Powertools documentation, "Parameters", IAM permissions).
POWERTOOLS_ACTIONS = {
    "aws_lambda_powertools.utilities.parameters.get_secret": "secretsmanager:GetSecretValue",
    "aws_lambda_powertools.utilities.parameters.set_secret": "secretsmanager:PutSecretValue",
    "aws_lambda_powertools.utilities.parameters.get_parameter": "ssm:GetParameter",
    "aws_lambda_powertools.utilities.parameters.set_parameter": "ssm:PutParameter",
    "aws_lambda_powertools.utilities.parameters.get_parameters": "ssm:GetParametersByPath",
    "aws_lambda_powertools.utilities.parameters.get_parameters_by_name": "ssm:GetParameters",
    # The adapters call nothing but `get` of these two.
    "aws_lambda_powertools.utilities.parameters.SecretsProvider": "secretsmanager:GetSecretValue",
    "aws_lambda_powertools.utilities.parameters.SSMProvider": "ssm:GetParameter",
}
# Operations that need the right to another action (service authorization reference, "Actions defined by Amazon S3").
_ACTIONS_OF_OTHER_NAMES = {"s3:ListObjectsV2": "s3:ListBucket"}
_AWS_PACKAGES = ("boto3", "botocore", "aioboto3", "aws_lambda_powertools.utilities.parameters")


class UnreadableAwsCallError(Exception):
    """AWS is called in a way that this module cannot read: write it plainly, or teach this module."""


@dataclass(frozen=True)
class Definition:
    """A top-level name of a module with the code that belongs to it."""

    module: str
    name: str
    nodes: tuple[ast.AST, ...] = field(compare=False, hash=False)

    @property
    def qualified_name(self) -> str:
        return f"{self.module}.{self.name}"


class _Module:
    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.tree = ast.parse(path.read_text(encoding="utf-8"))

    @cached_property
    def imports(self) -> dict[str, str]:
        """Local name -> qualified name, for imports anywhere in the module."""
        found: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    found[alias.asname or alias.name.split(".")[0]] = (
                        alias.name if alias.asname else alias.name.split(".")[0]
                    )
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        return found

    @cached_property
    def definitions(self) -> dict[str, Definition]:
        collected: dict[str, list[ast.AST]] = {}
        for node in self.tree.body:
            for name in _defined_names(node):
                collected.setdefault(name, []).append(node)
        return {name: Definition(self.name, name, tuple(nodes)) for name, nodes in collected.items()}


def _defined_names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return []
    return ["<module>"]


class Code:
    """The source below one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._modules: dict[str, _Module] = {}

    def reachable(self, module: str) -> set[Definition]:
        """Every definition that the module's code leads to, its own included."""
        found: set[Definition] = set()
        waiting = list(self._module(module).definitions.values())
        while waiting:
            definition = waiting.pop()
            if definition not in found:
                found.add(definition)
                waiting += [target for name in self._names(definition) for target in self._resolved(name)]
        return found

    def aws_actions(self, module: str) -> set[str]:
        """IAM actions of every AWS call that the module's code leads to. Raises UnreadableAwsCallError."""
        return {action for definition in self.reachable(module) for action in self._actions(definition)}

    def _actions(self, definition: Definition) -> Iterator[str]:
        imports = self._module(definition.module).imports
        read = False
        for node in definition.nodes:
            for name in _names(node, imports):
                if name in POWERTOOLS_ACTIONS:
                    read = True
                    yield POWERTOOLS_ACTIONS[name]
            for action in _boto3_actions(node, imports, self._client_functions(definition.module)):
                read = True
                yield action
        read = read or definition.name in self._client_functions(definition.module)
        used = {name for node in definition.nodes for name in _names(node, imports) if name.startswith(_AWS_PACKAGES)}
        if not read and any(not _is_harmless(name) for name in used):
            raise UnreadableAwsCallError(f"{definition.qualified_name} uses {', '.join(sorted(used))}")

    def _client_functions(self, module: str) -> dict[str, str]:
        """Functions of a module that do nothing but make and return a boto3 client, with its service."""
        loaded = self._module(module)
        found = {}
        for name, definition in loaded.definitions.items():
            for node in definition.nodes:
                if not isinstance(node, ast.FunctionDef):
                    continue
                *before, statement = node.body
                if not all(isinstance(one, ast.Import | ast.ImportFrom | ast.Assign) for one in before):
                    continue
                if isinstance(statement, ast.Return) and statement.value:
                    service = _client_service(statement.value, loaded.imports, {})
                    if service:
                        found[name] = service
        return found

    def _names(self, definition: Definition) -> set[str]:
        """Qualified names that a definition mentions."""
        module = self._module(definition.module)
        mentioned = {name for node in definition.nodes for name in _names(node, module.imports)}
        own = {
            f"{module.name}.{node.id}"
            for root in definition.nodes
            for node in ast.walk(root)
            if isinstance(node, ast.Name) and node.id in module.definitions
        }
        return mentioned | own

    def _resolved(self, qualified_name: str) -> list[Definition]:
        """The definition behind a name, `package.module.name[.attribute...]`; none when it is not ours."""
        parts = qualified_name.split(".")
        for length in range(len(parts) - 1, 0, -1):
            module = ".".join(parts[:length])
            if self._path(module) is None:
                continue
            loaded = self._module(module)
            if parts[length] in loaded.definitions:
                ran_on_import = loaded.definitions.get("<module>")
                return [loaded.definitions[parts[length]], *([ran_on_import] if ran_on_import else [])]
            if parts[length] in loaded.imports:
                return self._resolved(".".join([loaded.imports[parts[length]], *parts[length + 1 :]]))
        return []

    def _path(self, module: str) -> Path | None:
        base = self._root.joinpath(*module.split("."))
        return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)

    def _module(self, name: str) -> _Module:
        if name not in self._modules:
            path = self._path(name)
            if path is None:
                raise LookupError(f"no module {name} below {self._root}")
            self._modules[name] = _Module(name, path)
        return self._modules[name]


def _names(root: ast.AST, imports: dict[str, str]) -> set[str]:
    """Qualified names of everything imported that the code mentions, with the attributes read from it."""
    found = set()
    for node in ast.walk(root):
        if isinstance(node, ast.Name) and node.id in imports:
            found.add(imports[node.id])
        elif isinstance(node, ast.Attribute) and (dotted := _dotted(node)) is not None:
            first, _, rest = dotted.partition(".")
            if first in imports:
                found.add(f"{imports[first]}.{rest}")
    return found


def _dotted(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = _dotted(node.value)
        return None if base is None else f"{base}.{node.attr}"
    return None


def _is_harmless(name: str) -> bool:
    return name in {"boto3", "botocore"} or ".exceptions" in name or ".config" in name


def _boto3_actions(root: ast.AST, imports: dict[str, str], client_functions: dict[str, str]) -> Iterator[str]:
    """Actions of `boto3.client("s3").put_object(...)`, of a name that holds such a client, and of `_s3().put_object`.

    `client_functions` are those that return a client, such as `_s3`.
    """
    clients: dict[str, str] = {}
    for node in ast.walk(root):
        if isinstance(node, ast.Assign) and (service := _client_service(node.value, imports, client_functions)):
            clients |= {target.id: service for target in node.targets if isinstance(target, ast.Name)}
    for node in ast.walk(root):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            value = node.func.value
            service = (
                clients.get(value.id)
                if isinstance(value, ast.Name)
                else _client_service(value, imports, client_functions)
            )
            if service is not None:
                yield _action(service, node.func.attr)


def _client_service(node: ast.expr, imports: dict[str, str], client_functions: dict[str, str]) -> str | None:
    if not isinstance(node, ast.Call) or (dotted := _dotted(node.func)) is None:
        return None
    if not node.args:
        return client_functions.get(dotted)
    first, _, rest = dotted.partition(".")
    service = node.args[0]
    if f"{imports.get(first)}.{rest}" == "boto3.client" and isinstance(service, ast.Constant):
        return str(service.value)
    return None


def _action(service: str, method: str) -> str:
    client = boto3.client(service, region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none")
    action = f"{client.meta.service_model.signing_name}:{client.meta.method_to_api_mapping[method]}"
    return _ACTIONS_OF_OTHER_NAMES.get(action, action)
