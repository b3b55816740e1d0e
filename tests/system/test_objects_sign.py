"""Signatures of requests to object stores, as two implementations that are not ours make them: botocore's, asked here, and
those of npm's aws4, which were kept (tests/vectors/aws4.js)."""
import datetime
import json
import os
import random
import subprocess
import urllib.parse

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

SOURCE = os.environ.get("GANTRY_SOURCE", os.getcwd())
ASK = os.path.join(os.environ.get("GANTRY_BUILD", "build/asan"), "tests", "objects_ask")
PIECES = ["a", "Z", "0", "-", ".", "_", "~", " ", "  ", "+", "=", "&", "?", "#", "%", "%2F", "中文", "é", "😀", "'", "(", ")", "*", "!",
          "@", ":", ",", ";", "$", '"', "<", "|", "\\", "^", "`", "{", "\x7f", "\t"]
REGIONS = ["us-east-1", "cn-north-1", "eu-central-1", "default"]


def signed(requests):
    lines = "\n".join(json.dumps(request) for request in requests)
    done = subprocess.run([ASK, "sign"], input=lines, capture_output=True, text=True, check=True)
    return [line.split(" ", 1) for line in done.stdout.splitlines()]


def some_text(rng, most):
    return "".join(rng.choices(PIECES, k=rng.randint(1, most)))


def some_request(rng):
    payload = rng.choice(["UNSIGNED-PAYLOAD", f"{rng.getrandbits(256):064x}"])
    date = (datetime.datetime(2000, 1, 1) + datetime.timedelta(seconds=rng.randrange(3_000_000_000))).strftime("%Y%m%dT%H%M%SZ")
    headers = {"host": rng.choice(["127.0.0.1:9000", "s3.example.com", "[::1]:9000"]), "x-amz-content-sha256": payload, "x-amz-date": date}
    more = {"content-type": "text/plain; charset=utf-8", "range": "bytes=5-10", "if-match": '"abc"', "content-md5": "XrY7u+Ae7tCTyyK7j1rNww==",
            "x-amz-meta-note": rng.choice(["a", "a  b   c", "  x  "])}
    headers.update(rng.sample(sorted(more.items()), rng.randrange(len(more))))
    query = {some_text(rng, 3): rng.choice(["", some_text(rng, 6)]) for _ in range(rng.randrange(6))}
    items = list(headers.items())
    rng.shuffle(items)
    return {"method": rng.choice(["GET", "PUT", "POST", "HEAD", "DELETE"]), "headers": items, "query": list(query.items()),
            "path": "/" + "/".join(some_text(rng, 6) for _ in range(rng.randint(1, 4))), "payload": payload, "date": date,
            "access": rng.choice(["AKIDEXAMPLE", "test:tester"]), "secret": some_word(rng), "region": rng.choice(REGIONS)}


def some_word(rng):
    return "".join(rng.choices("abcXYZ019/+=-", k=rng.randint(8, 200)))


def by_botocore(request):
    """Its authorization, and the signature alone."""
    headers = dict(request["headers"])
    asked = AWSRequest(request["method"], f"http://{headers['host']}{urllib.parse.quote(request['path'], safe='/~')}",
                       headers=headers, params=dict(request["query"]))
    asked.context["timestamp"] = request["date"]
    asked.context["client_config"] = None
    auth = botocore.auth.S3SigV4Auth(Credentials(request["access"], request["secret"]), "s3", request["region"])
    signature = auth.signature(auth.string_to_sign(asked, auth.canonical_request(asked)), asked)
    names = ";".join(sorted(headers))
    return signature, f"AWS4-HMAC-SHA256 Credential={auth.scope(asked)}, SignedHeaders={names}, Signature={signature}"


@pytest.mark.parametrize("seed", range(4))
def test_botocore_signs_the_same(seed):
    rng = random.Random(seed)
    requests = [some_request(rng) for _ in range(250)]
    for request, ours in zip(requests, signed(requests), strict=True):
        assert tuple(ours) == by_botocore(request), request


def test_aws4_signs_the_same():
    with open(os.path.join(SOURCE, "tests/vectors/aws4.jsonl")) as lines:
        requests = [json.loads(line) for line in lines]
    assert len(requests) >= 150
    for request, ours in zip(requests, signed(requests), strict=True):
        assert ours[1] == request["authorization"], request


class Clock(datetime.datetime):
    """What botocore takes the time from."""
    now_is = None

    @classmethod
    def utcnow(cls):
        return cls.now_is


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD", "DELETE"])
@pytest.mark.parametrize("key", ["a", "a b/+=%~.txt", "中文/é😀", "x" * 1024, "中" * 341])
@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9000", "https://s3.example.com", "HTTPS://S3.Example.com:443/"])
def test_addresses_are_signed_as_botocore_does(monkeypatch, method, key, endpoint):
    secret, region, seconds = "wJalrXUtnFEMI/K7MDENG+bPx", "eu-west-1", 604800
    done = subprocess.run([ASK, "access_key=AKID", f"secret_key={secret}", f"region={region}", "--", "presign", method, endpoint,
                           "bucket", key, str(seconds)], capture_output=True, text=True, check=True)
    ours = urllib.parse.urlsplit(json.loads(done.stdout)["url"])
    query = dict(urllib.parse.parse_qsl(ours.query))
    Clock.now_is = datetime.datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ")
    monkeypatch.setattr(botocore.auth.datetime, "datetime", Clock)
    host = endpoint.lower().removesuffix("/").removesuffix(":443")
    theirs = AWSRequest(method, f"{host}/bucket/{urllib.parse.quote(key, safe='/~')}")
    botocore.auth.S3SigV4QueryAuth(Credentials("AKID", secret), "s3", region, expires=seconds).add_auth(theirs)
    assert f"{ours.scheme}://{ours.netloc}{ours.path}" == theirs.url.split("?")[0]
    assert query == dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(theirs.url).query))
