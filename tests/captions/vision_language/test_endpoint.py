"""The endpoint: what is sent, what comes of every kind of failure, and what it may cost."""

import json
import logging

import pytest

from lesiongen.captions.vision_language.budget import BudgetReached
from lesiongen.captions.vision_language.endpoint import Endpoint
from lesiongen.captions.vision_language.writer import VisionLanguageWriter
from lesiongen.errors import ServiceError, UsageError

from .conftest import GOOD, KEY, Reply, completion, shown


def test_sends_the_image_with_a_schema_and_states_what_comes_back(server, writer, lesions):
    samples, images = lesions(3, image_type="dermoscopic")
    written = writer(image_side=64).write(samples, images)
    assert [dict(part.report.entries())["colour"].value for part in written] == [("dark brown", "black")] * 3
    assert {entry.source for part in written for _, entry in part.report.entries()} == {"vision-language"}
    assert "patterns" not in dict(written[0].report.entries()), "an empty list states nothing"
    assert all(entry.confidence is None for _, entry in written[0].report.entries())
    body = server.requests[0]
    assert max(shown(body).size) == 64
    assert body["temperature"] == 0
    assert server.keys == [f"Bearer {KEY}"] * 3
    schema = body["response_format"]["json_schema"]["schema"]
    assert "patient" not in schema["properties"] and "diagnosis" not in json.dumps(body).replace("no diagnosis", "")
    assert "mel" not in json.dumps(body["messages"][1]["content"][0]).split()


@pytest.mark.parametrize(("status", "word"), [(401, "LESIONGEN_VLM_API_KEY"), (403, "key"), (404, "address")])
def test_a_refusal_fails_at_once_and_says_what_to_do(server, writer, lesions, status, word):
    server.replies = [Reply(status, {"error": {"message": f"no such thing, key {KEY}"}})] * 9
    with pytest.raises(UsageError, match=str(status)) as error:
        writer(concurrency=1).write(*lesions(3))
    assert word in str(error.value)
    assert len(server.requests) == 1
    assert KEY not in str(error.value)


def test_429_waits_as_long_as_the_server_asks(server, writer, lesions, time):
    server.replies = [Reply(429, {"error": {"message": "slow down"}}, {"Retry-After": "7"})]
    assert writer().write(*lesions(1))[0].report.colour
    assert time.slept == [8.0], "what was asked, and the jitter"


def test_an_empty_account_is_not_asked_again(server, writer, lesions):
    server.replies = [Reply(429, {"error": {"message": "no credit", "code": "insufficient_quota"}})]
    with pytest.raises(ServiceError, match="credit"):
        writer().write(*lesions(1))
    assert len(server.requests) == 1


def test_500_is_retried_with_growing_waits_and_then_reported(server, writer, lesions, time):
    server.replies = [Reply(500, {"error": "boom"})] * 4
    with pytest.raises(ServiceError, match=r"500: boom \(4 attempts\)"):
        writer(attempts=4).write(*lesions(1))
    assert time.slept == [1.0, 2.0, 4.0]
    assert len(server.requests) == 4


def test_a_silent_server_is_asked_again(server, writer, lesions):
    server.replies = [Reply(hold=True)]
    assert writer(timeout=0.2).write(*lesions(1))[0].report.colour
    assert len(server.requests) == 2


@pytest.mark.parametrize("raw", [b'{"choices": [{"message": {"con', b"<html>", b'{"error": "busy"}', b"[]"])
def test_a_reply_that_is_no_completion_is_asked_again(server, writer, lesions, raw):
    server.replies = [Reply(raw=raw)]
    assert writer().write(*lesions(1))[0].report.colour
    assert len(server.requests) == 2


def test_a_broken_connection_is_asked_again(server, writer, lesions):
    server.replies = [Reply(raw=b"{", headers={"Content-Length": "500"})]
    assert writer().write(*lesions(1))[0].report.colour


def test_nobody_listens(configure, lesions, time, unused_endpoint):
    config = configure(url=f"{unused_endpoint}/v1", attempts=2)
    with pytest.raises(ServiceError, match="cannot be reached"):
        VisionLanguageWriter(config, Endpoint(config, config.url, time.clock)).write(*lesions(1))


def test_an_image_follows_no_redirect(server, writer, lesions):
    server.replies = [Reply(307, {}, {"Location": "http://192.0.2.1/v1/chat/completions"})]
    with pytest.raises(UsageError, match="redirect"):
        writer().write(*lesions(1))


@pytest.mark.parametrize(
    ("field", "complaint", "left"),
    [
        ("response_format", "response_format json_schema is not supported", {"type": "json_object"}),
        ("max_tokens", "Unsupported parameter: use 'max_completion_tokens' instead", None),
        ("temperature", "temperature does not support 0", None),
        ("logprobs", "logprobs is not supported by this model", None),
    ],
)
def test_a_field_that_the_server_refuses_is_given_up_for_good(server, writer, lesions, field, complaint, left):
    def refuses(body):
        known = {"type": "json_schema"}.items() <= body.get("response_format", {}).items()
        if field in body and (field != "response_format" or known):
            return Reply(400, {"error": {"message": complaint, "type": "invalid_request_error"}})
        return None

    server.refuses = refuses
    seer = writer(concurrency=1, logprobs=True)
    assert all(part.report.colour for part in seer.write(*lesions(3)))
    assert len(server.requests) == 4
    assert server.requests[-1].get(field) == left


def test_plain_text_is_the_last_resort_and_is_checked_the_same(server, writer, lesions):
    def refuses(body):
        return Reply(422, {"detail": "unknown field response_format"}) if "response_format" in body else None

    server.refuses = refuses
    server.replies = [Reply(body=completion(f"Here you are:\n```json\n{json.dumps(GOOD)}\n```"))]
    assert writer().write(*lesions(1))[0].report.shape
    assert "response_format" not in server.requests[-1]


def test_another_400_fails_at_once_with_the_servers_words(server, writer, lesions):
    server.replies = [Reply(400, {"error": {"message": "image too small"}})]
    with pytest.raises(ServiceError, match="image too small"):
        writer().write(*lesions(1))
    assert len(server.requests) == 1


def test_requests_keep_their_distance(writer, lesions, time):
    writer(requests_per_minute=30, concurrency=1).write(*lesions(4))
    assert time.time == pytest.approx(6.0)


@pytest.mark.parametrize(
    "limits", [{"max_requests": 2}, {"max_tokens": 3000}, {"max_cost": 0.003, "price_input": 1.0, "price_output": 1.0}]
)
def test_stops_before_a_limit_and_goes_on_where_it_stopped(server, writer, lesions, limits):
    server.usage = (1400, 40)
    samples, images = lesions(5)
    with pytest.raises(BudgetReached, match=next(iter(limits))):
        writer(**limits, concurrency=3, max_answer_tokens=100, image_tokens=300).write(samples, images)
    assert len(server.requests) == 2, "a third would have gone beyond"
    assert all(part.report.colour for part in writer(max_answer_tokens=100).write(samples, images))
    assert len(server.requests) == 5, "only what was missing is asked"


def test_a_server_that_tells_no_usage_is_counted_at_the_most(server, writer, lesions):
    server.replies = [Reply(body=completion(json.dumps(GOOD), usage=None))] * 4
    with pytest.raises(BudgetReached):
        writer(max_tokens=4000, image_tokens=1000, max_answer_tokens=1000, concurrency=1).write(*lesions(4))
    assert len(server.requests) == 1


def test_confidence_comes_from_log_probabilities_alone(server, writer, lesions):
    text = '{"colour": ["red"], "shape": []}'
    body = completion(text)
    body["choices"][0]["logprobs"] = {"content": [{"token": letter, "logprob": -0.01} for letter in text]}
    server.replies = [Reply(body=body)]
    [part] = writer(logprobs=True).write(*lesions(1))
    assert part.report.colour.confidence == pytest.approx(0.9324, abs=1e-4)
    assert server.requests[0]["logprobs"] is True


def test_a_model_that_is_shown_nothing_is_found_out(server, writer, lesions):
    assert writer(check_sight=True).write(*lesions(2))[0].report.colour
    assert len(server.requests) == 4 and len(server.asked()) == 2
    server.sees = False
    with pytest.raises(UsageError, match="does not see images"):
        writer(check_sight=True, model="seer", max_answer_tokens=500).write(*lesions(2))
    assert len(server.asked()) == 2


def test_the_key_is_nowhere_but_in_the_header(server, writer, lesions, tmp_path, caplog):
    server.replies = [Reply(500, {"error": f"you sent {KEY}"}), Reply(400, {"error": f"temperature, {KEY}"})]
    with caplog.at_level(logging.DEBUG):
        writer().write(*lesions(2))
    assert KEY not in caplog.text
    assert not any(KEY in path.read_text() for path in tmp_path.rglob("*.json"))
    assert KEY not in json.dumps(server.requests)


def test_a_key_in_an_answer_is_neither_kept_nor_said(server, writer, lesions, tmp_path, caplog):
    echoed = {"colour": [f"dark brown {KEY.upper()}"], "shape": [f"oval {KEY[:14]}"], "patterns": [KEY[-12:]]}
    server.replies = [Reply(body=completion(json.dumps(echoed)))] * 2 + [Reply(418, {"error": KEY.upper()[3:]})] * 2
    with caplog.at_level(logging.DEBUG, "lesiongen"):
        written = writer().write(*lesions(1))
        with pytest.raises(ServiceError) as error:
            writer().write(*lesions(2))
    kept = "".join(path.read_text() for path in tmp_path.rglob("*.json"))
    assert "oval" in kept
    for text in (kept, caplog.text, str(error.value), str(written)):
        assert not [KEY[at : at + 8] for at in range(9, len(KEY) - 7) if KEY[at : at + 8] in text.lower()]


def test_openais_key_is_sent_to_openai_alone(server, configure, lesions, time, monkeypatch):
    monkeypatch.delenv("LESIONGEN_VLM_API_KEY")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    config = configure()
    VisionLanguageWriter(config, Endpoint(config, config.url, time.clock)).write(*lesions(1))
    assert server.keys == [None]


def test_a_damaged_key_is_named_and_not_repeated(configure, monkeypatch):
    monkeypatch.setenv("LESIONGEN_VLM_API_KEY", "sk-\u2026abc")
    config = configure()
    with pytest.raises(UsageError, match="signs that no key has") as error:
        Endpoint(config, config.url)
    assert "abc" not in str(error.value)


def test_a_proxy_of_the_environment_is_not_used_for_this_machine(server, writer, lesions, unused_endpoint, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", unused_endpoint)
    assert writer(attempts=1).write(*lesions(1))[0].report.colour
