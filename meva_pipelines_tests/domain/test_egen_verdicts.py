"""Every documented error of the registry has its verdict in each shape; a status 200 proves nothing."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from meva_pipelines.domain import egen_verdicts
from meva_pipelines.domain.egen_verdicts import Kind
from meva_pipelines.resources import reference

OPEN_API = reference.contract("data_go_kr").shape
FEED = reference.contract("egen").shape
NOW = datetime(2026, 11, 19, 3, 0, tzinfo=UTC)

CODES = [
    ("00", "NORMAL SERVICE.", Kind.OK),
    ("01", "APPLICATION_ERROR", Kind.RETRY_ONCE),
    ("02", "DB_ERROR", Kind.RETRY),
    ("03", "NODATA_ERROR", Kind.EMPTY),
    ("04", "HTTP_ERROR", Kind.RETRY),
    ("05", "SERVICETIME_OUT", Kind.RETRY),
    ("10", "INVALID_REQUEST_PARAMETER_ERROR", Kind.FATAL),
    ("11", "NO_MANDATORY_REQUEST_PARAMETERS_ERROR", Kind.FATAL),
    ("12", "NO_OPENAPI_SERVICE_ERROR", Kind.FATAL),
    ("20", "SERVICE_ACCESS_DENIED_ERROR", Kind.FATAL),
    ("20", "SERVICE_KEY_IS_NULL", Kind.FATAL),
    ("21", "TEMPORARILY_DISABLE_THE_SERVICEKEY_ERROR", Kind.FATAL),
    ("22", "LIMITED_NUMBER_OF_SERVICE_REQUESTS_EXCEEDS_ERROR", Kind.QUOTA),
    ("22", "LIMITED_NUMBER_OF_SERVICE_REQUESTS_PER_SECOND_EXCEEDS_ERROR", Kind.BACK_OFF),
    ("23", "LIMITED_NUMBER_OF_SERVICE_REQUESTS_PER_SECOND_EXCEEDS_ERROR", Kind.BACK_OFF),
    ("23", "LIMITED_NUMBER_OF_SERVICE_REQUESTS_EXCEEDS_ERROR", Kind.QUOTA),
    ("29", "BLACKLIST_IP", Kind.FATAL),
    ("30", "SERVICE_KEY_IS_NOT_REGISTERED_ERROR", Kind.FATAL),
    ("31", "DEADLINE_HAS_EXPIRED_ERROR", Kind.FATAL),
    ("32", "UNREGISTERED_IP_ERROR", Kind.FATAL),
    ("33", "UNSIGNED_CALL_ERROR", Kind.FATAL),
    ("99", "UNKNOWN_ERROR", Kind.FAIL),
]
TEXTS = [
    (401, "Unauthorized", Kind.FATAL),
    (403, "Forbidden", Kind.FATAL),
    (404, "API not found", Kind.FATAL),
    (429, "API token quota exceeded", Kind.QUOTA),
    (429, "API rate limit exceeded", Kind.BACK_OFF),
    (502, "Error forwarding request to backend server", Kind.RETRY),
    (500, "Error receiving response from backend server", Kind.RETRY),
    (500, "Unexpected error", Kind.RETRY),
    (500, "Unexpected errors", Kind.RETRY),
]
GOOD = "<response><header><resultCode>00</resultCode></header><body/></response>"


def provider(code: str, text: str) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?><response><header>'
        f"<resultCode>{code}</resultCode><resultMsg>{text}</resultMsg></header><body/></response>"
    )


def gateway(code: str, text: str) -> str:
    return (
        f"<OpenAPI_ServiceResponse>\n<cmmMsgHeader>\n<errMsg>SERVICE ERROR</errMsg>\n<returnAuthMsg>{text}"
        f"</returnAuthMsg>\n<returnReasonCode>{code}</returnReasonCode>\n</cmmMsgHeader>\n</OpenAPI_ServiceResponse>"
    )


def twin(code: str, text: str) -> str:
    return f'{{"cmmMsgHeader": {{"returnAuthMsg": "{text}", "returnReasonCode": "{code}"}}}}'


def number_twin(code: str, text: str) -> str:
    return f'{{"response": {{"header": {{"resultCode": {int(code)}, "resultMsg": "{text}"}}, "body": {{}}}}}}'


def appraise(body: str, *, status: int = 200, media_type: str = "application/xml") -> Kind:
    return egen_verdicts.appraise(status=status, media_type=media_type, body=body.encode(), shape=OPEN_API).kind


@pytest.mark.parametrize(("code", "text", "kind"), CODES)
def test_each_code_has_its_verdict(code: str, text: str, kind: Kind) -> None:
    found = egen_verdicts.verdict(code, text)

    assert found.kind is kind
    assert found.advice or kind in (Kind.OK, Kind.EMPTY)
    assert appraise(provider(code, text)) is kind


@pytest.mark.parametrize(("code", "text", "kind"), CODES[1:])
@pytest.mark.parametrize("status", [200, 401, 403, 429, 500])
def test_a_gateway_error_outranks_the_status_and_the_media_type(code: str, text: str, kind: Kind, status: int) -> None:
    for shape in (gateway, twin, number_twin):
        assert appraise(shape(code, text), status=status, media_type="application/json") is kind
    spaced = text.replace("_", " ") + "."
    assert appraise(gateway(code, spaced), status=status) is kind


@pytest.mark.parametrize(("status", "text", "kind"), TEXTS)
def test_each_plain_text_of_the_new_gateway_has_its_verdict(status: int, text: str, kind: Kind) -> None:
    assert appraise(text, status=status, media_type="text/plain") is kind
    assert appraise(f"{text}\n", status=200, media_type="text/plain") is kind


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        ("", "DEADLINE HAS EXPIRED ERROR.", Kind.FATAL),
        ("0", "", Kind.OK),
        ("77", "SOMETHING NEW", Kind.FAIL),
        ("", "", Kind.FAIL),
        ("x" * 100, "", Kind.FAIL),
    ],
)
def test_unusual_codes_are_judged_by_their_text_or_end_the_fetch(code: str, text: str, kind: Kind) -> None:
    assert egen_verdicts.verdict(code, text).kind is kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, Kind.OK),
        (204, Kind.RETRY),
        (301, Kind.FATAL),
        (302, Kind.FATAL),
        (400, Kind.FATAL),
        (401, Kind.FATAL),
        (403, Kind.FATAL),
        (404, Kind.FATAL),
        (408, Kind.RETRY),
        (425, Kind.RETRY),
        (429, Kind.BACK_OFF),
        (500, Kind.RETRY),
        (502, Kind.RETRY),
        (503, Kind.RETRY),
        (504, Kind.RETRY),
    ],
)
def test_each_status_has_its_verdict(status: int, kind: Kind) -> None:
    assert egen_verdicts.of_status(status).kind is kind
    assert appraise(GOOD, status=status) is kind


@pytest.mark.parametrize(
    ("body", "media_type", "name"),
    [
        ("", "application/xml", "EMPTY_BODY"),
        (" \n", "application/xml", "EMPTY_BODY"),
        ("\ufeff", "application/xml", "EMPTY_BODY"),
        ("<!DOCTYPE html><html><body>login</body></html>", "text/html", "HTML_PAGE"),
        ("<html><body>maintenance</body></html>", "application/xml", "HTML_PAGE"),
        (GOOD, "text/html", "WRONG_MEDIA_TYPE"),
        (GOOD, "application/json", "WRONG_MEDIA_TYPE"),
        ("<answer/>", "application/xml", "WRONG_ROOT"),
        ('{"response": {}}', "application/xml", "WRONG_ROOT"),
        ("something", "application/xml", "WRONG_ROOT"),
    ],
)
def test_a_good_status_with_a_wrong_body_is_tried_again(body: str, media_type: str, name: str) -> None:
    found = egen_verdicts.appraise(status=200, media_type=media_type, body=body.encode(), shape=OPEN_API)

    assert (found.kind, found.name) == (Kind.RETRY, name)


def test_a_blocked_request_and_a_redirect_need_a_person() -> None:
    page = "<html><head><title>Request Blocked</title></head></html>"

    assert appraise(page, status=400, media_type="text/html") is Kind.FATAL
    assert appraise(page, status=302, media_type="text/html") is Kind.FATAL
    assert appraise("<html>busy</html>", status=503, media_type="text/html") is Kind.RETRY


@pytest.mark.parametrize(
    ("status", "body", "kind", "name"),
    [
        (200, '{"page": 1, "items": []}', Kind.OK, "NORMAL"),
        (401, '{"error": "unauthorized"}', Kind.FATAL, "unauthorized"),
        (403, '{"error": "forbidden"}', Kind.FATAL, "forbidden"),
        (429, '{"error": "slow_down"}', Kind.BACK_OFF, "slow_down"),
        (503, '{"error": "unavailable"}', Kind.RETRY, "unavailable"),
        (200, '{"error": "odd"}', Kind.FAIL, "odd"),
        (400, '{"error": "Key abc123 is wrong"}', Kind.FATAL, "HTTP_400"),
        (200, '{"error": "Key abc123 is wrong"}', Kind.FAIL, "STATED_ERROR"),
        (500, "{broken", Kind.RETRY, "HTTP_500"),
        (200, "[]", Kind.RETRY, "WRONG_ROOT"),
    ],
)
def test_errors_of_the_json_feed_are_judged_by_their_status(status: int, body: str, kind: Kind, name: str) -> None:
    found = egen_verdicts.appraise(status=status, media_type="application/json", body=body.encode(), shape=FEED)

    assert (found.kind, found.name) == (kind, name)


def test_an_unsupported_parameter_is_told_with_its_name() -> None:
    body = b'{"error": "unsupported_parameter", "parameter": "last_modified_after"}'

    found = egen_verdicts.appraise(status=400, media_type="application/json", body=body, shape=FEED)

    assert (found.kind, found.name, found.about) == (
        Kind.FATAL,
        "unsupported_parameter",
        "last_modified_after",
    )


def test_a_daily_quota_is_reset_at_midnight_in_korea() -> None:
    midnight = datetime(2026, 11, 20, tzinfo=timezone(timedelta(hours=9)))

    assert egen_verdicts.quota_reset(NOW) == midnight
    assert egen_verdicts.quota_reset(midnight - timedelta(seconds=1)) == midnight
    assert egen_verdicts.quota_reset(midnight) == midnight + timedelta(days=1)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 120 ", 120.0),
        ("Thu, 19 Nov 2026 03:00:30 GMT", 30.0),
        ("Thu, 19 Nov 2026 02:00:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("inf", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_read_in_both_forms(value: str | None, seconds: float | None) -> None:
    assert egen_verdicts.retry_after_s(value, now=NOW) == seconds
