"""Every request against botocore's own model of its operation: names, required members, types, limits, enumerations.

A client checks only part of it (no maxima, patterns or enumerations), and other clients nothing at all. An unknown
parameter is refused everywhere, which not all services of AWS do. The bodies of S3 are not looked at: its routes are
(`operations`).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import parse_qs, unquote

from runctl_jupyter.sandbox.control.requests.filter_names import check_filters
from runctl_jupyter.sandbox.control.requests.protocol_errors import ServiceError
from runctl_jupyter.sandbox.control.requests.rest_routes import rest_route
from runctl_jupyter.sandbox.control.requests.service_calls import ServiceCall
from runctl_jupyter.sandbox.control.requests.services import REST, model_of, operation_names

Wire = Literal["ec2", "query", "json"]
Check = Callable[[Any, str], Any]
"""Takes a value as it came and where it stands; gives it with the type and the names of the model."""
_OPEN_ENUMERATIONS = frozenset(["InstanceType"])
"""Those that grow faster than botocore is updated; the services have checks of their own."""
_CONSTRAINT_CODES = {"ssm": "ValidationException", "secretsmanager": "ValidationException", "iam": "ValidationError",
                     "scheduler": "ValidationException", "logs": "InvalidParameterException", "sts": "ValidationError",
                     "ecr": "InvalidParameterException", "pricing": "InvalidParameterException",
                     "servicequotas": "IllegalArgumentException"}  # fmt: skip


class Violation(Exception):
    """A request that its model does not allow. `kind` is one of the class constants."""

    UNKNOWN, MISSING, TYPE, CONSTRAINT = "unknown", "missing", "type", "constraint"

    def __init__(self, kind: str, path: str, value: Any = None, words: str = "") -> None:
        super().__init__(f"{kind}: {path}: {words}")
        self.kind, self.path, self.value, self.words = kind, path, value, words


def check_operation(call: ServiceCall) -> None:
    """Refuse an operation that the service does not have.

    Raises
    ------
    ServiceError
        In the service's words.
    """
    if call.service == "s3" or call.action in operation_names(call.service):
        return
    if call.service == "ec2":
        raise ServiceError("InvalidAction", f"The action {call.action} is not valid for this web service.")
    if call.service in ("iam", "sts"):
        raise ServiceError("InvalidAction", f"Could not find operation {call.action} for version of the service")
    raise ServiceError("UnknownOperationException", f"{call.service} has no operation {call.action or call.path}.", 404)


def parameters_of(call: ServiceCall) -> dict[str, Any]:
    """Give a request's parameters by the names of the model.

    Raises
    ------
    ServiceError
        The request does not fit the model of its operation.
    """
    check = _operation_check(call.service, call.action)
    try:
        found = check(_wire_values(call), "")
    except Violation as violation:
        raise _refusal(call.service, violation) from violation
    result: dict[str, Any] = found
    if call.service == "ec2":
        check_filters(call.action, result)
    return result


def _wire_values(call: ServiceCall) -> dict[str, Any]:
    if call.service in ("ec2", "iam", "sts"):
        return _tree(call.form)
    try:
        values = json.loads(call.body or b"{}")
    except ValueError as error:
        raise ServiceError("SerializationException", "The request body is not valid JSON.") from error
    if not isinstance(values, dict):
        raise ServiceError("SerializationException", "Start of structure or map found where not expected.")
    if call.service in REST:
        route = rest_route(call.service, call.method, call.path)
        members = route.members if route else {}
        query = {name: all_values[0] for name, all_values in parse_qs(call.query).items()}
        values |= {name: unquote(value) for name, value in members.items()} | query
    return values


def _tree(form: Mapping[str, str]) -> dict[str, Any]:
    """Make a tree of the dotted names of the query protocols."""
    root: dict[str, Any] = {}
    for name, value in form.items():
        *folders, leaf = name.split(".")
        node = root
        for folder in folders:
            below = node.setdefault(folder, {})
            if not isinstance(below, dict):
                raise Violation(Violation.UNKNOWN, name)
            node = below
        node[leaf] = value
    root.pop("Action", None)
    root.pop("Version", None)
    return root


@lru_cache(maxsize=1024)
def _operation_check(service: str, operation: str) -> Check:
    shape = model_of(service).operation_model(operation).input_shape
    wire: Wire = "ec2" if service == "ec2" else "query" if service in ("iam", "sts") else "json"
    if shape is None:
        return _no_parameters
    return _Compiler(service in REST, wire).check_of(shape)


def _no_parameters(values: Any, _path: str) -> dict[str, Any]:
    for name in values:
        raise Violation(Violation.UNKNOWN, name)
    return {}


class _Compiler:
    """Turns the shapes of an operation into functions, each once: the model is walked at its first request only."""

    def __init__(self, rest: bool, wire: Wire) -> None:
        self._rest, self._wire = rest, wire
        self._done: dict[str, Check] = {}

    def check_of(self, shape: Any) -> Check:
        kind = shape.type_name
        if kind == "structure" and not shape.is_document_type:
            if shape.name not in self._done:
                self._done[shape.name] = self._later(shape.name)  # it may hold itself
                self._done[shape.name] = self._structure(shape)
            return self._done[shape.name]
        if kind == "list":
            return self._list(shape)
        if kind == "map":
            return self._map(shape)
        return self._leaf(shape)

    def _later(self, name: str) -> Check:
        def check(value: Any, path: str) -> Any:
            return self._done[name](value, path)

        return check

    def _wire_name(self, name: str, shape: Any) -> str:
        serialization = shape.serialization
        if self._wire == "json":
            # With REST, members of the path and the query have names there; for JSON 1.1 they are the model's own.
            return str(serialization.get("name", name)) if self._rest else name
        location = serialization.get("name", name)
        if self._wire == "ec2":
            return str(serialization.get("queryName") or location[0].upper() + location[1:])
        if shape.type_name == "list" and serialization.get("flattened"):
            return str(shape.member.serialization.get("name", location))
        return str(location)

    def _structure(self, shape: Any) -> Check:
        required = set(shape.required_members)
        # botocore fills in tokens that a caller has left out, so that a client never sends none.
        members = {
            self._wire_name(name, member): (name, self.check_of(member)) for name, member in shape.members.items()
        }
        wanted = [(wire, name) for wire, (name, _) in members.items() if name in required]

        def check(value: Any, path: str) -> dict[str, Any]:
            if not isinstance(value, dict):
                if value == "" and self._wire != "json":
                    return {}
                raise Violation(Violation.TYPE, path, value)
            found = {}
            for wire, one in value.items():
                if wire not in members:
                    raise Violation(Violation.UNKNOWN, f"{path}.{wire}" if path else wire)
                if one is not None:
                    name, below = members[wire]
                    found[name] = below(one, f"{path}.{wire}" if path else wire)
            for wire, name in wanted:
                if name not in found:
                    raise Violation(Violation.MISSING, f"{path}.{wire}" if path else wire)
            return found

        return check

    def _list(self, shape: Any) -> Check:
        below, metadata = self.check_of(shape.member), shape.metadata
        flat = self._wire == "ec2" or bool(shape.serialization.get("flattened"))
        element = str(shape.member.serialization.get("name", "member"))

        def check(value: Any, path: str) -> list[Any]:
            if self._wire != "json":
                value = _numbered(value, None if flat else element, path)
            if not isinstance(value, list):
                raise Violation(Violation.TYPE, path, value)
            _check_length(len(value), metadata, path, value)
            return [below(one, f"{path}.{number}") for number, one in enumerate(value, 1)]

        return check

    def _map(self, shape: Any) -> Check:
        key_check, value_check, metadata = self.check_of(shape.key), self.check_of(shape.value), shape.metadata

        def check(value: Any, path: str) -> dict[Any, Any]:
            if self._wire != "json":
                entries = _numbered(value, "entry", path)
                value = {one["key"]: one["value"] for one in entries if isinstance(one, dict)}
            if not isinstance(value, dict):
                raise Violation(Violation.TYPE, path, value)
            _check_length(len(value), metadata, path, value)
            return {key_check(key, path): value_check(one, f"{path}.{key}") for key, one in value.items()}

        return check

    def _leaf(self, shape: Any) -> Check:
        kind, metadata = shape.type_name, shape.metadata
        choices = frozenset(metadata.get("enum") or ()) if shape.name not in _OPEN_ENUMERATIONS else frozenset()
        pattern = _pattern(metadata.get("pattern"))
        convert: Check = _FORM_TYPES.get(kind, _text) if self._wire != "json" else _JSON_TYPES.get(kind, _anything)
        limited = "min" in metadata or "max" in metadata

        def check(value: Any, path: str) -> Any:
            value = convert(value, path)
            if limited:
                if kind in ("string", "blob"):
                    _check_length(_bytes_in(value) if kind == "blob" else len(value), metadata, path, value)
                elif kind in ("integer", "long", "float", "double"):
                    _check_range(value, metadata, path)
            if choices and value not in choices:
                words = f"Member must satisfy enum value set: [{', '.join(sorted(choices))}]"
                raise Violation(Violation.CONSTRAINT, path, value, words)
            if pattern is not None and not pattern(value):
                words = f"Member must satisfy regular expression pattern: {metadata['pattern']}"
                raise Violation(Violation.CONSTRAINT, path, value, words)
            return value

        return check


def _numbered(value: Any, element: str | None, path: str) -> list[Any]:
    """Put the values of ``Name.1``, ``Name.2`` (``Name.member.1`` when not flattened) in a row."""
    if value == "":
        return []
    if element is not None and isinstance(value, dict):
        value = value.get(element)
    if not isinstance(value, dict) or not all(key.isdigit() for key in value):
        raise Violation(Violation.UNKNOWN, path)
    return [value[key] for key in sorted(value, key=int)]


def _check_length(length: int, limits: Mapping[str, Any], path: str, value: Any) -> None:
    least, most = limits.get("min"), limits.get("max")
    if least is not None and length < least:
        words = f"Member must have length greater than or equal to {least}"
        raise Violation(Violation.CONSTRAINT, path, value, words)
    if most is not None and length > most:
        raise Violation(Violation.CONSTRAINT, path, value, f"Member must have length less than or equal to {most}")


def _check_range(value: float, limits: Mapping[str, Any], path: str) -> None:
    least, most = limits.get("min"), limits.get("max")
    if least is not None and value < least:
        words = f"Member must have value greater than or equal to {least}"
        raise Violation(Violation.CONSTRAINT, path, value, words)
    if most is not None and value > most:
        raise Violation(Violation.CONSTRAINT, path, value, f"Member must have value less than or equal to {most}")


def _pattern(text: str | None) -> Callable[[str], Any] | None:
    """Compile a pattern of a model. One with an anchor says itself where it holds; others mean the whole value."""
    if text is None:
        return None
    text = text.replace(r"\p{L}\p{Z}\p{N}", r"\w\s").replace(r"\p{L}", r"^\W\d_").replace(r"\u{", r"\x{")
    try:
        compiled = re.compile(text)
    except re.error:  # Java's, and not Python's
        return None
    return compiled.search if text.startswith("^") or text.endswith("$") else compiled.fullmatch


def _bytes_in(value: Any) -> int:
    try:
        return len(base64.b64decode(value))
    except (binascii.Error, TypeError, ValueError):
        return len(value)


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise Violation(Violation.UNKNOWN, path)
    return value


def _form_number(make: Callable[[str], Any]) -> Check:
    def convert(value: Any, path: str) -> Any:
        try:
            return make(_text(value, path))
        except ValueError:
            raise Violation(Violation.TYPE, path, value) from None

    return convert


def _form_boolean(value: Any, path: str) -> bool:
    if value not in ("true", "false"):
        raise Violation(Violation.TYPE, path, value)
    return bool(value == "true")


def _json_type(*kinds: type) -> Check:
    def convert(value: Any, path: str) -> Any:
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise Violation(Violation.TYPE, path, value)
        return value

    return convert


def _anything(value: Any, _path: str) -> Any:
    return value


_FORM_TYPES: Mapping[str, Check] = {
    "integer": _form_number(int), "long": _form_number(int), "float": _form_number(float),
    "double": _form_number(float), "boolean": _form_boolean,
}  # fmt: skip
_JSON_TYPES: Mapping[str, Check] = {
    "string": _json_type(str), "integer": _json_type(int), "long": _json_type(int), "float": _json_type(int, float),
    "double": _json_type(int, float), "boolean": _json_type(bool), "blob": _json_type(str),
    "timestamp": _json_type(int, float, str),
}  # fmt: skip


def _refusal(service: str, violation: Violation) -> ServiceError:
    path, value = violation.path, violation.value
    if service == "ec2":
        return {
            Violation.UNKNOWN: ServiceError("UnknownParameter", f"The parameter {path} is not recognized"),
            Violation.MISSING: ServiceError("MissingParameter", f"The request must contain the parameter {path}"),
        }.get(violation.kind) or ServiceError(
            "InvalidParameterValue", f"Value ({value}) for parameter {path} is invalid. {violation.words}".strip()
        )
    if violation.kind == Violation.TYPE:
        code = "MalformedInput" if service in ("iam", "sts") else "SerializationException"
        return ServiceError(code, f"{path} cannot be of the type of {value!r}.")
    words = {
        Violation.UNKNOWN: f"{path} is not a parameter of this operation.",
        Violation.MISSING: f"1 validation error detected: Value null at '{path}' failed to satisfy constraint: "
        "Member must not be null",
    }.get(violation.kind) or (
        f"1 validation error detected: Value '{_short(value)}' at '{path}' failed to satisfy constraint: "
        f"{violation.words}"
    )
    return ServiceError(_CONSTRAINT_CODES[service], words)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 256 else f"{text[:256]}..."
