"""docs/http.md says what is really said: its requests are made, and what came is compared with the page.

    GANTRY_BIN=build/bin python3 tests/system/test_http_doc.py --write

writes what came into the page. Ids, times, durations, addresses and folders are made the same each time."""
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import time

if __name__ == "__main__":  # by hand: everything lies in the current folder
    os.environ.setdefault("GANTRY_BIN", str(pathlib.Path("build/bin").resolve()))
    sys.dont_write_bytecode = True

from harness import until
from http_house import House
from swift_house import SwiftHouse
from tus_peer import BYTES, TUS, form, metadata

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "http.md"
ECHO, AUDIO, FRAMES = "system.echo", "ffmpeg.extract_audio", "ffmpeg.extract_keyframes"
CROP, SPLIT, VOCALS = "ffmpeg.crop_subtitle_images", "ffmpeg.split_audio_segments", "audio_separator.separate_vocals"
SECRET = "the key that both sides know"
SRT = "1\n00:00:00,000 --> 00:00:01,500\nfirst\n\n2\n00:00:02,000 --> 00:00:03,500\nsecond\n"
EACH_TIME = ((r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "2026-01-31T03:00:00.123Z"),
             (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "3f0c9a52-6a2e-4d5c-9b1e-0c5d2f7a8b61"),
             (r"-retry-[0-9a-f]{8}", "-retry-5d1e0f7a"), (r"callback-[0-9a-f]{40}", "callback-8a1f…"),
             (r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
             (r"X-Request-Id: [0-9a-f]{32}", "X-Request-Id: 4bc37f4170d91349e8e6c0d5fdf417e5"), (r"(?m)^id: \d+$", "id: 4711"),
             (r"\?X-Amz-[^\s\"]+", "?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=…"),
             (r"\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT", "Sat, 31 Jan 2026 03:00:00 GMT"),
             (r'("duration": ?)[0-9.e-]+', r"\g<1>0.25"), (r"t=\d+,v1=[0-9a-f]{64}", "t=1769828400,v1=5257a869…"))
DURATIONS = re.compile(r"(^|_)(duration|time|progress|seconds)$")


class Story:
    """Makes the requests of the page; blocks are what came, by the name of their place."""

    def __init__(self, house):
        self.house, self.http, self.blocks = house, house.http, {}
        self.words = ((house.folder + "/share", "/share/workflows"), (house.folder + "/in", "/videos"),
                      (f"http://127.0.0.1:{house.receiver.port}", "http://127.0.0.1:9000"), (house.settings["objects_endpoint"], "http://minio:9000"))

    # ---- the same each time

    def text(self, text):
        for word, instead in self.words:
            text = text.replace(word, instead)
        for pattern, instead in EACH_TIME:
            text = re.sub(pattern, instead, text)
        return text

    def normal(self, value, key=""):
        if isinstance(value, dict):
            return {self.text(name): self.normal(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [self.normal(item, key) for item in value]
        if isinstance(value, float) and DURATIONS.search(key) and not (key == "progress" and value in (0.5, 1.0)):
            return 0.25
        return self.text(value) if isinstance(value, str) else value

    def json(self, value):
        text = json.dumps(self.normal(value), ensure_ascii=False, indent=2)
        return re.sub(r"\[\n\s+([^\[\]{}]{0,60}?)\n\s+\]", lambda found: "[" + re.sub(r"\n\s+", " ", found.group(1)) + "]", text)

    # ---- what a block is made of

    def request(self, method, path, body=None, **headers):
        lines = [f"{method} {path}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
        return "```http\n" + "\n".join(lines) + ("\n\n" + self.json(body) if body is not None else "") + "\n```\n"

    def answer(self, reply, *headers):
        if not isinstance(reply, dict):
            lines = [f"{reply.status}", *(self.text(f"{name}: {reply.headers[name]}") for name in headers)]
            return "```http\n" + "\n".join(lines) + "\n\n" + self.json(reply.body) + "\n```\n"
        return "```json\n" + self.json(reply) + "\n```\n"

    def line(self, body):
        return "```json\n" + json.dumps(self.normal(body), ensure_ascii=False) + "\n```\n"

    def call(self, method, path, body=None, expect=200, **headers):
        reply = self.http.call(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        assert reply.status == expect, (method, path, body, reply)
        return reply

    # ---- blocks

    def nodes(self):
        """Of each node a miss, a wait and a hit, held still in between by pausing its queue."""
        folder, client = self.house.folder + "/in/", self.house.client()
        declared = {one["name"]: one for one in client.insist("NODES").body}
        requests = {ECHO: ("hello-1", {"value": "hello"}),
                    AUDIO: ("talk-1", {"video_path": folder + "talk.mp4"}),
                    FRAMES: ("talk-1", {"video_path": folder + "talk.mp4", "keyframe_sample_count": 4}),
                    CROP: ("talk-1", {"video_path": folder + "talk.mp4", "subtitle_area": [0, 100, 320, 170]}),
                    SPLIT: ("talk-1", {"subtitle_path": folder + "talk.srt"}),
                    VOCALS: ("talk-1", {})}
        for name, (id_, input_) in requests.items():
            self.blocks[f"node {name}"] = self.node(client, declared[name], {"task_name": name, "task_id": id_, "input_data": input_})

    def node(self, client, declared, body):
        service = declared["name"].split(".")[0]
        assert client.ask("STEER", {"action": "pause", "service": service}).status == 0
        miss, wait = (self.call("POST", "/v1/tasks", body).body for _ in range(2))
        assert client.ask("STEER", {"action": "resume", "service": service}).status == 0
        self.http.ended(body["task_id"])
        hit = self.call("POST", "/v1/tasks", body).body
        assert (miss["reuse_info"]["reuse_hit"], wait["reuse_info"].get("state"), hit["status"]) == (False, "pending", "completed")
        stages = hit["result"]["stages"]
        others = [name for name in stages if name != declared["name"]]
        shown = {**hit, "result": {**hit["result"], "stages": {declared["name"]: stages[declared["name"]]}}}
        return "".join((
            f"{declared['doc'][0].upper()}{declared['doc'][1:].rstrip('.')}. {self.key(declared)}\n\n", self.request("POST", "/v1/tasks", body),
            "\nmiss:\n\n", self.line(miss), "\nwait, the same request while it is pending or running:\n\n", self.line(wait),
            "\nhit, the same request after that" + (f" (`stages` also has {self.listed(others)}, left out here)" if others else "") + ":\n\n",
            self.answer(shown)))

    @staticmethod
    def listed(names):
        return ", ".join(f"`{name}`" for name in names)

    def key(self, declared):
        key = declared.get("key") or []
        told = " and ".join(" or ".join(f"`{name}`" for name in one.split("|")) for one in key)
        return f"A hit needs the output{'s' if len(key) > 1 else ''} {told}." if key else "A hit needs an output that is not empty."

    def calls(self):
        document = self.call("GET", "/openapi.json").body
        lines = ["| call | what it does | answers |", "|---|---|---|"]
        for path, methods in document["paths"].items():
            for method, row in methods.items():
                lines.append(f"| `{method.upper()} {path}` | {row['summary']} | {' '.join(sorted(set(row['responses']) - {'default'}))} |")
        self.blocks["calls"] = "\n".join(lines) + "\n"

    def life(self):
        """One task from its submit to its removal."""
        body = {"task_name": ECHO, "input_data": {"value": "你好"}, "callback": self.house.receiver.url("/done")}
        first = self.call("POST", "/v1/tasks", body)
        id_ = first.body["task_id"]
        self.blocks["submit"] = self.request("POST", "/v1/tasks", body) + "\n" + self.answer(first, "Content-Type", "X-Request-Id", "traceparent")
        (told,) = self.house.calls()
        until(lambda: (self.http.status(id_).get("callback_status") or "") not in ("pending", "running"))
        for name in ("status", "result"):
            self.blocks[name] = self.answer(self.call("GET", f"/v1/tasks/{id_}/{name}").body)
        names = ("Content-Type", "User-Agent", "Gantry-Delivery", "Gantry-Signature")
        lines = ["POST /done HTTP/1.1", *(f"{name}: {self.text(told.headers[name])}" for name in names)]
        self.blocks["callback"] = "```http\n" + "\n".join(lines) + "\n\n" + self.raw(told.raw) + "\n```\n"
        self.blocks["retry"] = self.answer(self.call("POST", f"/v1/tasks/{id_}/retry").body)
        self.blocks["delete"] = self.answer(self.call("POST", f"/v1/tasks/{id_}/delete", {"force": False}).body)

    def raw(self, raw):
        """The bytes as they came, but for what differs each time."""
        return self.text(raw.decode())

    def cancel(self):
        self.call("POST", "/v1/tasks", {"task_name": "system.sleep", "task_id": "nap-1", "input_data": {"seconds": 600}})
        until(lambda: self.http.status("nap-1")["status"] == "running")
        self.blocks["cancel"] = self.answer(self.call("DELETE", "/v1/tasks/nap-1").body)
        until(lambda: self.http.status("nap-1")["status"] == "cancelled")

    def events(self):
        """The stream of a task from before it begins to its end."""
        steer, replies = self.house.client(), []
        assert steer.ask("STEER", {"action": "pause", "service": "system"}).status == 0
        self.call("POST", "/v1/tasks", {"task_name": ECHO, "task_id": "hello-2", "input_data": {"value": 1}})
        listener = threading.Thread(target=lambda: replies.append(self.http.get("/v1/tasks/hello-2/events")))
        listener.start()
        time.sleep(0.5)
        assert steer.ask("STEER", {"action": "resume", "service": "system"}).status == 0
        listener.join()
        assert replies[0].status == 200 and replies[0].headers["Content-Type"].startswith("text/event-stream"), replies
        self.blocks["events"] = "```\n" + self.text(replies[0].raw.decode()).strip() + "\n```\n"

    def supported(self):
        answer = self.call("GET", "/v1/tasks/supported-tasks").body
        services = {name: sorted(nodes) for name, nodes in sorted(answer["supported_tasks"].items())}
        shown = {**answer, "supported_tasks": services, "nodes": {ECHO: answer["nodes"][ECHO]}}
        self.blocks["supported"] = self.answer(shown) + "\n`nodes` has all of them; one is shown here.\n"
        self.blocks["health"] = "".join(f"`GET {path}`\n\n" + self.answer(self.call("GET", path).body) + "\n"
                                        for path in ("/v1/tasks/health", "/healthz", "/readyz")).rstrip("\n") + "\n"

    def errors(self):
        cases = (("POST", "/v1/tasks", {"input_data": {}}, 400), ("POST", "/v1/tasks", {"task_name": "nobody.knows", "input_data": {}}, 400),
                 ("POST", "/v1/tasks", {"task_name": ECHO, "task_id": "../../etc", "input_data": {}}, 400),
                 ("POST", "/v1/tasks", {"task_name": ECHO, "input_data": {"valu": 1}}, 400),
                 ("POST", "/v1/tasks", {"task_name": ECHO, "input_data": {}, "callback": "ftp://example.com/"}, 400),
                 ("GET", "/v1/tasks/nobody/status", None, 404), ("DELETE", "/v1/tasks/hello-1", None, 400),
                 ("GET", "/v1/nothing", None, 404), ("PUT", "/v1/tasks", {}, 405))
        lines = ["| request | answer | `detail` |", "|---|---|---|"]
        for method, path, body, expect in cases:
            reply = self.call(method, path, body, expect)
            shown = f"`{method} {path}`" + (f" `{json.dumps(body)}`" if body else "")
            lines.append(f"| {shown} | {reply.status} | {self.text(reply.body['detail'])} |")
        self.blocks["errors"] = "\n".join(lines) + "\n"

    # ---- files

    def said(self, reply, *names):
        """An answer's head, and its body if it is text."""
        lines = [f"{reply.status}", *(self.text(f"{name}: {reply.headers[name]}") for name in names if name in reply.headers)]
        return "```http\n" + "\n".join(lines) + ("\n\n" + self.json(reply.body) if reply.body else "") + "\n```\n"

    def files(self):
        body, kind = form(("file_path", None, b"videos/talk.mp4"), ("bucket", None, b"gantry"), ("file", "talk.mp4", b"a talk"), boundary="x")
        reply = self.http.call("POST", "/v1/files/upload", body, kind)
        assert reply.status == 200, reply
        self.blocks["upload"] = "```http\nPOST /v1/files/upload\nContent-Type: multipart/form-data; boundary=x\n\n" + \
            body.decode().replace("\r\n", "\n") + "```\n\n" + self.answer(reply.body)
        self.tus()
        reply = self.http.get("/v1/files/download/videos/talk.mp4", headers={"Range": "bytes=2-"})
        assert (reply.status, reply.raw) == (206, b"talk")
        names = ("Content-Type", "Content-Length", "Content-Range", "ETag", "Last-Modified", "Accept-Ranges", "Content-Disposition", "X-Content-Type-Options")
        self.blocks["download"] = self.request("GET", "/v1/files/download/videos/talk.mp4?bucket=gantry", Range="bytes=2-") + "\n" + \
            self.said(reply, *names).removesuffix("```\n") + "\ntalk\n```\n"
        self.blocks["presigned"] = self.answer(self.call("GET", "/v1/files/presigned/videos/talk.mp4?seconds=60").body)
        for path in ("videos/a", "videos/b"):
            assert self.http.call("POST", "/v1/files/upload", *form(("file_path", None, path.encode()), ("file", "a", b"a"))).status == 200
        self.blocks["files removed"] = "\n".join(
            self.request("DELETE", path) + "\n" + self.answer(self.call("DELETE", path).body)
            for path in ("/v1/files/videos/talk.mp4", "/v1/files/directories?directory_path=videos"))

    def tus(self):
        """A file in two steps."""
        begin = {**TUS, "Upload-Length": "6", "Upload-Metadata": metadata(file_path="videos/talk.mp4", content_type="video/mp4")}
        created = self.http.call("POST", "/v1/files/uploads", headers=begin)
        place = created.headers["Location"]
        half = {**BYTES, "Upload-Offset": "0"}
        steps = [("POST", "/v1/files/uploads", begin, created), ("PATCH", place, half, self.http.call("PATCH", place, b"a t", half)),
                 ("HEAD", place, TUS, self.http.call("HEAD", place, headers=TUS))]
        lines = []
        for method, path, headers, reply in steps:
            lines.append("```http\n" + self.text("\n".join([f"{method} {path}", *(f"{name}: {value}" for name, value in headers.items())])) +
                         ("\n\na t" if method == "PATCH" else "") + "\n```\n\n" + self.said(reply, "Location", "Upload-Offset", "Upload-Length", "Tus-Resumable"))
        lines.append("`GET` of the same address, at any time:\n\n" + self.answer(self.call("GET", place).body))
        assert self.http.call("PATCH", place, b"alk", {**half, "Upload-Offset": "3"}).status == 204
        until(lambda: self.http.get(place).body["status"] == "completed", 30)
        lines.append("and once it is in the store:\n\n" + self.answer(self.call("GET", place).body))
        self.blocks["tus"] = "\n".join(lines)

    def tell(self):
        for part in (self.nodes, self.calls, self.life, self.cancel, self.events, self.supported, self.errors, self.files):
            part()


def films(folder):
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=4", "-f", "lavfi",
                    "-i", "aevalsrc='0.3*sin(880*t)+0.2*sin(2500*t)|0.3*sin(880*t)-0.2*sin(2500*t)':d=4:s=44100",
                    "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", folder + "talk.mp4"], check=True)
    with open(folder + "talk.srt", "w") as srt:
        srt.write(SRT)


def told():
    """The story, after its end."""
    with SwiftHouse("swift") as store, House("doc", media="ffmpeg,audio_separator,storage", callback_secret=SECRET, storage_low_bytes=0,
                                             **{f"objects_{name}": getattr(store, name) for name in ("endpoint", "access_key", "secret_key")}) as house:
        films(house.folder + "/in/")
        house.knows(ECHO, AUDIO, VOCALS, "storage.upload_file")
        story = Story(house)
        story.tell()
        return story


def place(name):
    return re.compile(rf"(<!-- said: {re.escape(name)} -->\n)(.*?)(<!-- /said -->)", re.S)


def test_the_page_says_what_is_said():
    page, story = PAGE.read_text(), told()
    blocks = story.blocks
    assert set(re.findall(r"<!-- said: (.*?) -->", page)) == set(blocks)
    for name, block in blocks.items():
        assert place(name).search(page).group(2) == block, f"{name}: run test_http_doc.py --write, and read what it changed"


def write():
    page = PAGE.read_text()
    for name, block in told().blocks.items():
        page, count = place(name).subn(lambda found: found.group(1) + block + found.group(3), page)  # noqa: B023
        print(f"{name}: {'written' if count else 'has no place in the page'}")
    PAGE.write_text(page)


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(__doc__)
    write()
