"""Write the OpenAPI schema of predict.py, which Cog's server validates requests against.

When an image is built, Cog reads predict.py without running it and bakes the schema in; a server started from a checkout has
none, and then checks nothing at all. This script does that reading here, in the same shape, and is stricter on purpose: what Cog
would refuse, and also what it would drop in silence (a bound that is not a plain number, a description in pieces), is an error.

    python scripts/schema.py [predict.py] [-o .cog/openapi_schema.json]
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
COG_VERSION = "0.23.1"

TYPES: dict[str, dict[str, Any]] = {
    "bool": {"type": "boolean"},
    "float": {"type": "number"},
    "int": {"type": "integer"},
    "str": {"type": "string"},
    "Path": {"type": "string", "format": "uri"},
    "File": {"type": "string", "format": "uri"},
}
PYTHON_TYPES: dict[str, tuple[type, ...]] = {"bool": (bool,), "float": (float, int), "int": (int,), "str": (str,), "Path": (), "File": ()}

BOUNDS = {"ge": "minimum", "le": "maximum", "min_length": "minLength", "max_length": "maxLength", "regex": "pattern"}
"""What `Input` calls a bound, and what JSON schema calls it."""

KNOWN = {"default", "description", "choices", "deprecated", "accept", *BOUNDS}


class SchemaError(Exception):
    """Something in predict.py that Cog would refuse or drop; the message says where and what to write instead."""


class Reader:
    """Reads one predictor file. Every refusal names the file and the line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.source = path.read_text(encoding="utf-8")
        self.tree = ast.parse(self.source, str(path))
        self.constants = {
            statement.targets[0].id: statement.value
            for statement in self.tree.body
            if isinstance(statement, ast.Assign) and len(statement.targets) == 1 and isinstance(statement.targets[0], ast.Name)
        }

    def refuse(self, node: ast.AST, problem: str) -> SchemaError:
        return SchemaError(f"{self.path.name}:{getattr(node, 'lineno', 1)}: {problem}")

    def find_method(self, class_name: str) -> ast.FunctionDef | ast.AsyncFunctionDef:
        """Return `predict` of the class."""
        found = [node for node in self.tree.body if isinstance(node, ast.ClassDef) and node.name == class_name]
        if not found:
            raise self.refuse(self.tree, f"there is no class statement for {class_name}; an alias or an import of it is not seen.")
        methods = {node.name: node for node in found[0].body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
        if "run" in methods or "predict" not in methods:
            raise self.refuse(found[0], f"{class_name} must define predict, and not run beside it.")
        method = methods["predict"]
        bounds = [each for each in method.decorator_list if re.fullmatch(r"cog\.concurrent\(max=[1-9]\d*\)", ast.unparse(each))]
        if isinstance(method, ast.AsyncFunctionDef) != bool(bounds):
            raise self.refuse(method, "predict must be a plain `def`, or, with @cog.concurrent(max=N), N a number, an `async def`.")
        return method

    def read_inputs(self, method: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
        """Return the properties of the inputs, the enumerations of those with choices, and the names of the required ones."""
        signature = method.args
        if signature.vararg or signature.kwarg or signature.kwonlyargs or signature.posonlyargs:
            raise self.refuse(method, "inputs must be plain parameters; *args, **kwargs, / and * are not seen.")
        arguments = signature.args[1:]
        missing = [None] * (len(arguments) - len(signature.defaults))
        properties, enums, required = dict[str, Any](), dict[str, Any](), list[str]()
        for order, (argument, default) in enumerate(zip(arguments, [*missing, *signature.defaults], strict=True)):
            entry, choices, is_required = self.read_input(argument, default)
            properties[argument.arg] = {"x-order": order, **entry}
            if choices is not None:
                kind = str(TYPES[self.read_type(argument)[0]]["type"])
                enums[argument.arg] = {"title": argument.arg, "description": "An enumeration.", "enum": choices, "type": kind}
            if is_required:
                required.append(argument.arg)
        return properties, enums, required

    def read_type(self, argument: ast.arg) -> tuple[str, bool]:
        """Return the name of an input's type and whether it may be left out as None."""
        annotation = argument.annotation
        if annotation is None:
            raise self.refuse(argument, f"the input {argument.arg} has no type.")
        nullable = False
        if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr) and _is_none(annotation.right):
            annotation, nullable = annotation.left, True
        elif isinstance(annotation, ast.Subscript) and isinstance(annotation.value, ast.Name) and annotation.value.id == "Optional":
            annotation, nullable = annotation.slice, True
        if not isinstance(annotation, ast.Name) or annotation.id not in TYPES:
            raise self.refuse(argument, f"the input {argument.arg} must be one of {', '.join(TYPES)}, or one of them `| None`.")
        return annotation.id, nullable

    def read_input(self, argument: ast.arg, default: ast.expr | None) -> tuple[dict[str, Any], list[Any] | None, bool]:
        """Return an input's property, its choices if it has any, and whether a request must give it."""
        name, (kind, nullable) = argument.arg, self.read_type(argument)
        given: dict[str, ast.expr] = {} if default is None else {"default": default}
        if isinstance(default, ast.Call):
            if not isinstance(default.func, ast.Name) or default.func.id != "Input":
                raise self.refuse(default, f"the default of {name} must be a plain value or a call of Input.")
            given = self.read_keywords(name, default)
        choices = self.read_choices(name, given["choices"], kind) if "choices" in given else None
        entry: dict[str, Any] = {"title": name.replace("_", " ").title(), **TYPES[kind]}
        if choices is not None:
            entry = {"allOf": [{"$ref": f"#/components/schemas/{name}"}]}
        required = "default" not in given
        if not required:
            entry["default"] = self.read_default(name, given["default"], kind, nullable, choices)
        if nullable:
            entry["nullable"] = True
        if "description" in given:
            entry["description"] = self.read_description(name, given["description"])
        for key, schema_key in BOUNDS.items():
            if key in given:
                entry[schema_key] = self.read_bound(name, key, given[key])
        if "deprecated" in given and self.read_literal(f"deprecated of {name}", given["deprecated"]) is True:
            entry["deprecated"] = True
        if "accept" in given:
            entry["x-cog-accept"] = self.read_accept(name, kind, given["accept"])
        return entry, choices, required

    def read_keywords(self, name: str, call: ast.Call) -> dict[str, ast.expr]:
        if call.args:
            raise self.refuse(call, f"Input of {name} takes keywords only; a value without one is not seen.")
        unknown = [str(keyword.arg) for keyword in call.keywords if keyword.arg not in KNOWN]
        if unknown:
            raise self.refuse(call, f"Input of {name} has {unknown[0]}, which is not one of {', '.join(sorted(KNOWN))}.")
        return {str(keyword.arg): keyword.value for keyword in call.keywords}

    def read_literal(self, what: str, node: ast.expr) -> Any:
        try:
            return ast.literal_eval(node)
        except ValueError as error:
            raise self.refuse(node, f"{what} is not a plain literal, so it would not be seen.") from error

    def read_default(self, name: str, node: ast.expr, kind: str, nullable: bool, choices: list[Any] | None) -> Any:
        node = self.constants.get(node.id, node) if isinstance(node, ast.Name) else node
        value = self.read_literal(f"the default of {name}", node)
        if value is None:
            if not nullable:
                raise self.refuse(node, f"the default of {name} is None, which would make it required; write its type with `| None`.")
            return None
        if isinstance(value, str):
            self.check_string(f"the default of {name}", node)
        if not isinstance(value, PYTHON_TYPES[kind]) or isinstance(value, bool) != (kind == "bool"):
            raise self.refuse(node, f"the default of {name} is {value!r}, which is no {kind}.")
        if choices is not None and value not in choices:
            raise self.refuse(node, f"the default of {name} is {value!r}, which is not among its choices.")
        return value

    def read_choices(self, name: str, node: ast.expr, kind: str) -> list[Any]:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return [*self.read_choices(name, node.left, kind), *self.read_choices(name, node.right, kind)]
        target = self.constants.get(node.id) if isinstance(node, ast.Name) else node
        if not isinstance(target, (ast.List, ast.Tuple)):
            raise self.refuse(node, f"the choices of {name} must be a list of plain values in this file, or a sum of such lists.")
        choices = list(self.read_literal(f"the choices of {name}", target))
        for element in target.elts:
            self.check_string(f"each of the choices of {name}", element)
        if not choices or len(set(choices)) != len(choices) or any(not isinstance(choice, PYTHON_TYPES[kind]) for choice in choices):
            raise self.refuse(node, f"the choices of {name} must be one or more different values of type {kind}.")
        return choices

    def read_description(self, name: str, node: ast.expr) -> str:
        value = self.read_literal(f"the description of {name}", node)
        if not isinstance(value, str):
            raise self.refuse(node, f"the description of {name} is not a string.")
        self.check_string(f"the description of {name}", node)
        return value

    def read_bound(self, name: str, key: str, node: ast.expr) -> float | int | str:
        value = self.read_literal(f"{key} of {name}", node)
        wanted = str if key == "regex" else int if key.endswith("length") else (int, float)
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise self.refuse(node, f"{key} of {name} is {value!r}; it must be a plain {'string' if key == 'regex' else 'number'}.")
        return value

    def read_accept(self, name: str, kind: str, node: ast.expr) -> str:
        """Return which files an input offers to take, as HTML's attribute has it: suffixes with their dot, or MIME types, by commas."""
        value = self.read_literal(f"accept of {name}", node)
        if kind not in ("Path", "File"):
            raise self.refuse(node, f"{name} is no file, so that accept says nothing of it.")
        if not isinstance(value, str) or not all(re.fullmatch(r"\.\w+|\w+/[\w.+*-]+", kind.strip()) for kind in value.split(",")):
            raise self.refuse(node, f"accept of {name} is {value!r}; it must be a string of suffixes or MIME types, as in '.npz,audio/wav'.")
        self.check_string(f"accept of {name}", node)
        return value

    def check_string(self, what: str, node: ast.expr) -> None:
        """Refuse a string that is written in pieces or with escapes: Cog takes its source text as it stands."""
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            return
        source = ast.get_source_segment(self.source, node) or ""
        if source[:1] not in ("'", '"') or source[1:-1] != node.value:
            raise self.refuse(node, f"{what} must be one plain string on one line, in quotes, without escapes or joins.")

    def read_output(self, method: ast.FunctionDef | ast.AsyncFunctionDef) -> dict[str, Any]:
        """Return the schema of what predict gives: a Path, which becomes a file for every client, or, where it streams, an iterator of them."""
        returns = "" if method.returns is None else ast.unparse(method.returns)
        streams = any(ast.unparse(each) == "cog.streaming" for each in method.decorator_list)
        if returns == "Path" and not streams:
            return dict(TYPES["Path"])
        if returns in ("Iterator[Path]", "AsyncIterator[Path]") and streams:
            return {"type": "array", "items": dict(TYPES["Path"]), "x-cog-array-type": "iterator"}
        raise self.refuse(method, "predict must be annotated to return Path, or, with @cog.streaming, Iterator[Path].")


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def build_schema(path: Path, class_name: str = "Predictor") -> dict[str, Any]:
    """Return the OpenAPI document of a predictor file. Raises: SchemaError for what Cog would refuse or drop."""
    reader = Reader(path)
    method = reader.find_method(class_name)
    output = reader.read_output(method)
    properties, enums, required = reader.read_inputs(method)
    inputs: dict[str, Any] = {"title": "Input", "type": "object", "properties": properties}
    if required:
        inputs["required"] = required
    schemas = {"Input": inputs, "Output": output, **enums, **_envelopes()}
    paths = _paths()
    if output.get("x-cog-array-type") == "iterator":
        paths["/predictions"]["post"]["x-cog-streaming"] = True  # without it the server answers no client with events
    return {"openapi": "3.0.2", "info": {"title": "Cog", "version": COG_VERSION}, "paths": paths, "components": {"schemas": schemas}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _field(title: str, kind: str = "string", **more: Any) -> dict[str, Any]:
    return {"title": title, "type": kind, **more}


def _envelopes() -> dict[str, Any]:
    """Return the schemas around the inputs and the output, which are the same for every model."""
    times = {key: _field(key.replace("_", " ").title(), format="date-time") for key in ("created_at", "started_at", "completed_at")}
    names = {key: _field(key.title()) for key in ("id", "version", "status", "error", "logs")}
    location = {"title": "Location", "type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}}
    fault = {"loc": location, "msg": _field("Message"), "type": _field("Error Type")}
    response = {"input": _ref("Input"), "output": _ref("Output"), **names, **times, "metrics": _field("Metrics", "object")}
    detail = {"detail": {"title": "Detail", "type": "array", "items": _ref("ValidationError")}}
    states = ["starting", "processing", "succeeded", "canceled", "failed"]
    return {
        "PredictionRequest": _field("PredictionRequest", "object", properties={"id": _field("Id"), "input": _ref("Input")}),
        "PredictionResponse": _field("PredictionResponse", "object", properties=response),
        "Status": _field("Status", description="An enumeration.", enum=states),
        "HTTPValidationError": _field("HTTPValidationError", "object", properties=detail),
        "ValidationError": _field("ValidationError", "object", required=["loc", "msg", "type"], properties=fault),
    }


def _paths() -> dict[str, Any]:
    def answer(description: str, schema: Mapping[str, str]) -> dict[str, Any]:
        return {"description": description, "content": {"application/json": {"schema": dict(schema)}}}

    good, bad = answer("Successful Response", {}), answer("Validation Error", _ref("HTTPValidationError"))
    identity = {"required": True, "schema": _field("Prediction Id"), "name": "prediction_id", "in": "path"}
    return {
        "/": {"get": {"summary": "Root", "operationId": "root__get", "responses": {"200": good}}},
        "/health-check": {"get": {"summary": "Healthcheck", "operationId": "healthcheck_health_check_get", "responses": {"200": good}}},
        "/predictions": {
            "post": {
                "summary": "Predict",
                "description": "Run a single prediction on the model",
                "operationId": "predict_predictions_post",
                "requestBody": {"content": {"application/json": {"schema": _ref("PredictionRequest")}}},
                "responses": {"200": answer("Successful Response", _ref("PredictionResponse")), "422": bad},
            }
        },
        "/predictions/{prediction_id}/cancel": {
            "post": {
                "summary": "Cancel",
                "operationId": "cancel_predictions__prediction_id__cancel_post",
                "parameters": [identity],
                "responses": {"200": good, "422": bad},
            }
        },
    }


def write_schema(predictor: Path, target: Path) -> Path:
    """Write a predictor's schema, whole or not at all: servers may be reading it."""
    text = json.dumps(build_schema(predictor), ensure_ascii=False, indent=1)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, target)
    return target


def main() -> int:
    """Run the script; return its exit code."""
    parser = argparse.ArgumentParser(description="Write the schema that Cog's server validates requests against.")
    parser.add_argument("predictor", nargs="?", type=Path, default=ROOT / "predict.py")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / ".cog" / "openapi_schema.json")
    arguments = parser.parse_args()
    try:
        print(write_schema(arguments.predictor, arguments.output))
    except (SchemaError, OSError, SyntaxError) as error:
        print(f"schema: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
