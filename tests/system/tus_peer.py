"""A client of tus 1.0, by its specification, and a form as browsers send it. The standard library alone."""
import base64
import hashlib
import http.client
import socket

TUS = {"Tus-Resumable": "1.0.0"}
BYTES = {"Content-Type": "application/offset+octet-stream", **TUS}


def metadata(**pairs):
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in pairs.items())


def checksum(algorithm, data):
    return f"{algorithm} {base64.b64encode(hashlib.new(algorithm, data).digest()).decode()}"


class Tus:
    """port may be another one by the next call: any front-end service goes on with any upload."""

    def __init__(self, port, seconds=60):
        self.port, self.seconds, self.location, self.size = port, seconds, None, None

    def call(self, method, path=None, body=None, headers=None):
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.seconds)
        try:
            link.request(method, path or self.location, body, headers or TUS)
            answer = link.getresponse()
            answer.body = answer.read()
            return answer
        finally:
            link.close()

    def create(self, size, path="videos/a.mp4", **more):
        answer = self.call("POST", "/v1/files/uploads", headers={
            **TUS, "Upload-Length": str(size), "Upload-Metadata": metadata(**{"filename": "a.mp4", "file_path": path, **more})})
        assert answer.status == 201 and answer.headers["Tus-Resumable"] == "1.0.0", (answer.status, answer.body)
        self.location, self.size = answer.headers["Location"], size
        return self

    @property
    def id(self):
        return self.location.rsplit("/", 1)[1]

    def offset(self):
        answer = self.call("HEAD")
        assert answer.status == 200 and answer.headers["Cache-Control"] == "no-store", answer.status
        assert int(answer.headers["Upload-Length"]) == self.size
        return int(answer.headers["Upload-Offset"])

    def patch(self, offset, data, **headers):
        return self.call("PATCH", body=data, headers={**BYTES, "Upload-Offset": str(offset), **headers})

    def begin(self, offset, size):
        """A PATCH of which nothing but the headers is sent yet: its socket."""
        end = socket.create_connection(("127.0.0.1", self.port), self.seconds)
        lines = [f"PATCH {self.location} HTTP/1.1", "Host: a", f"Content-Length: {size}", f"Upload-Offset: {offset}",
                 *(f"{name}: {value}" for name, value in BYTES.items())]
        end.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        return end

    def rest(self, data, chunk=8 << 20):
        """As clients do it: from where it is, until all of it is there."""
        at = self.offset()
        while at < self.size:
            answer = self.patch(at, data[at:at + chunk])
            assert answer.status == 204, (answer.status, answer.body)
            at = int(answer.headers["Upload-Offset"])
        return at


def form(*fields, boundary="----gantry7MA4YWxkTrZu0gW"):
    """(name, filename or None, bytes) each; the body and its type."""
    body = b""
    for name, filename, data in fields:
        more = f'; filename="{filename}"\r\nContent-Type: video/mp4' if filename else ""
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + data + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), {"Content-Type": f"multipart/form-data; boundary={boundary}"}
