"""What stands between Gantry and its object store and can be told to fail: requests pass as they are, signatures and all."""
import collections
import http.client
import http.server
import re
import threading
import urllib.parse

Request = collections.namedtuple("Request", "method bucket key query size")
HOP = {"connection", "transfer-encoding", "keep-alive", "content-length"}


class StoreProxy:
    """before(request) may answer "drop" (the connection ends without an answer) or a status to refuse with; after(request,
    status) hears of what the store has answered, before Gantry does. seen: all that came, in order."""

    def __init__(self, port):
        self.before, self.after, self.seen, self.lock = lambda request: None, lambda request, status: None, [], threading.Lock()
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                request = request_of(self.command, self.path, len(body))
                with proxy.lock:
                    proxy.seen.append(request)
                verdict = proxy.before(request)
                if isinstance(verdict, int):
                    self.tell(verdict, [], b"")
                    return
                answer = None if verdict == "drop" else self.ask(port, body)
                if not answer:
                    self.close_connection = True
                    return
                proxy.after(request, answer[0])
                self.tell(*answer)

            def ask(self, port, body):
                link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                try:
                    link.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                    for name, value in self.headers.items():
                        link.putheader(name, value)
                    link.endheaders(body or None)
                    answer = link.getresponse()
                    return answer.status, answer.getheaders(), answer.read()
                except OSError:
                    return None
                finally:
                    link.close()

            def tell(self, status, headers, body):
                self.send_response_only(status)
                size = dict((name.lower(), value) for name, value in headers).get("content-length", str(len(body)))
                for name, value in headers:
                    if name.lower() not in HOP:
                        self.send_header(name, value)
                self.send_header("Content-Length", size if self.command == "HEAD" else str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads, request_queue_size = True, 256

            def handle_error(self, *_):
                pass  # a peer that was killed

        self.server = Server(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def honest(self):
        """As at the beginning, and nothing was seen."""
        self.before, self.after = lambda request: None, lambda request, status: None
        with self.lock:
            self.seen.clear()

    def parts(self, key):
        """The numbers of the parts of an object that were sent, in order."""
        with self.lock:
            return [int(number[1]) for request in self.seen if request.method == "PUT" and request.key == key
                    for number in [re.search(r"partNumber=(\d+)", request.query)] if number]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def request_of(method, target, size):
    path, _, query = target.partition("?")
    bucket, _, key = urllib.parse.unquote(path).lstrip("/").partition("/")
    return Request(method, bucket, key, query, size)
