"""What Schemathesis cannot know of this API. See scripts/check-api.

A schema says what one member of a request may be. Whether members fit together, and whether they fit
what is stored, shows only when the service reads them: it answers such a request with one of the
problems below. Every other request that is valid by its schema must be accepted.
"""

import json
import re

import schemathesis
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

load_all_checks()

# Problems that depend on what is stored.
OF_THE_STATE = {"invalid_cursor", "precondition_failed", "idempotency_key_reused"}
# Faults that no schema of one member can express.
OF_SEVERAL_MEMBERS = [
    r" must have at most \d decimals for [A-Z]{3}$",
    r" must be from [01] to \d+ minor units$",
    r"^products must have a total of at most ",
    r" must be at most \d+ over all lines of ",
    r"^currency must be ",
    r"^location_id must be the id of an existing location$",
    r"^quantity must not be 0$",
    r"^quantity must not raise the stock on hand above the maximum ",
    r"^If-Match must not come with If-None-Match$",
    # A leap second on a day that has none.
    r"^(from|to) must be an RFC 3339 time",
    # A feed has summaries as a stream only, and each feed has types of its own.
    r"^summary_ms needs the header Accept: text/event-stream$",
    r"^types must be one or several of ",
    # Characters that nobody sees are more than a pattern can list.
    r" must not be blank$",
    # What an import needs unless it is a dry run, and the header of its file.
    r"^(reason|Idempotency-Key) is required, unless dry_run is true$",
    r"^the header, which is the first line, must have ",
    r" is not a known column$",
    r" must be one column only$",
    # Only an order that something is due for says how much.
    r"^amount is required: nothing is due",
    # A key that a program writes which has none.
    r"^Idempotency-Key must be a key of this request, not (undefined|null)$",
]


@schemathesis.serializer("application/x-ndjson")
def rows(ctx, value):
    """A body of one row."""
    return (json.dumps(value) + "\n").encode()


def is_beyond_a_schema(problem):
    if problem.get("code") in OF_THE_STATE:
        return True
    faults = problem.get("errors") or []
    known = [any(re.search(its, fault["detail"]) for its in OF_SEVERAL_MEMBERS) for fault in faults]
    return problem.get("code") == "invalid_request" and bool(faults) and all(known)


def is_valid(case):
    """Schemathesis also sends headers as valid that do not match their pattern."""
    for header in case.operation.headers:
        pattern = header.definition.get("schema", {}).get("pattern")
        value = (case.headers or {}).get(header.name)
        if pattern and value is not None and not re.search(pattern, value):
            return False
    return True


@schemathesis.check
def valid_requests_are_accepted(ctx, response, case):
    if not is_valid(case):
        return None
    if response.status_code in (400, 412, 422) and is_beyond_a_schema(response.json()):
        return None
    return positive_data_acceptance(ctx, response, case)


@schemathesis.check
def invalid_requests_are_refused(ctx, response, case):
    """The rows of an import are refused one by one, in an answer that was begun as 200."""
    if response.headers.get("content-type", [""])[0].startswith("application/x-ndjson"):
        lines = [json.loads(line) for line in response.text.splitlines()]
        if any("errors" in line for line in lines) or lines[-1].get("done") is False:
            return None
    return negative_data_rejection(ctx, response, case)
