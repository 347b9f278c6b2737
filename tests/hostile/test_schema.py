"""Requests that schemathesis makes of a server's own OpenAPI document: each is answered as the document says."""

import collections
import json

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi import checks

SEED = 21
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.positive_data_acceptance,
]
BEYOND_SCHEMAS = ("chat", "image")
"""No schema says which text is a file, or which prompt is a token: such a request may fit and be refused with 422."""
OF_TABLES = ("/invocations", "/v2/models/{model}/infer", "/explain", "/v1/models/{model}:explain")
"""Nor how many columns a table has, or how many strings a tensor; nor what labels a model has, and how many rows a
server runs."""


def open_document(target):
    """The document of a server, with the statuses by which it refuses."""
    schema = schemathesis.openapi.from_dict(json.loads(target.get("/openapi.json")))
    schema.config.checks.negative_data_rejection.expected_statuses = ["400", "404", "405", "413", "422"]
    return schema


def cases_of(operation, mode, count):
    """So many cases, the same every time."""
    cases = []

    @seed(SEED)
    @settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def collect(case):
        cases.append(case)

    collect()
    return cases


def groups_of(schema, count):
    """Each operation with a mode and how many cases of it: one where nothing is sent."""
    operations = [found.ok() for found in schema.get_all_operations()]
    sent = [operation for operation in operations if operation.body]
    yield from ((operation, GenerationMode.POSITIVE, 1) for operation in operations if not operation.body)
    yield from ((operation, mode, count // len(sent) // 2) for operation in sent for mode in GenerationMode)


QUICK = [("text", 60)]
WHOLE = [("text", 2_500), ("pair", 2_500), ("chat", 3_000), ("image", 2_000)]


@pytest.mark.parametrize(("kind", "count"), [*QUICK, *(pytest.param(*one, marks=pytest.mark.slow) for one in WHOLE)])
def test_every_request_is_answered_as_the_document_says(served, kind, count):
    target, seen, wrong = served(kind), collections.Counter(), []
    schema = open_document(target)
    with requests.Session() as session:
        session.trust_env = False
        for operation, mode, many in groups_of(schema, count):
            beyond = kind in BEYOND_SCHEMAS or operation.path in OF_TABLES
            schema.config.checks.positive_data_acceptance.expected_statuses = ["200", *["422"] * beyond]
            for case in cases_of(operation, mode, many):
                response = case.call(base_url=f"http://127.0.0.1:{target.port}", session=session)
                seen[mode.value, response.status_code] += 1
                try:
                    case.validate_response(response, checks=CHECKS)
                except FailureGroup as faults:
                    wrong.append((operation.label, str(case.body)[:300], response.text[:300], str(faults)[:600]))
    print(f"{kind}: {dict(seen)}")
    assert wrong == []
    assert seen.total() >= count
    assert target.troubles == []
