"""moto's S3 server on a port: `python moto_server.py PORT`, taking one write at a time.

moto looks for the object first and writes it then, in a thread a request, so that of two creations of one key at the
same moment both may win. S3 and Ceph answer one of them with 412, which the stores rely on.

moto's own server looks through all services of AWS for the one that each request is for, which takes as long as the
answer.
"""

import io
import sys
import threading

from moto.moto_server.werkzeug_app import MotoRequestHandler, create_backend_app
from werkzeug.serving import run_simple


class OneWriteAtATime:
    def __init__(self, application):
        self.application = application
        self.writing = threading.Lock()

    def __call__(self, environ, start_response):
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return self.application(environ, start_response)
        # A slow upload must not keep the others waiting, so the lock is taken once the body is here.
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
        with self.writing:
            return self.application(environ, start_response)


if __name__ == "__main__":
    application = OneWriteAtATime(create_backend_app("s3"))
    run_simple("127.0.0.1", int(sys.argv[1]), application, threaded=True, request_handler=MotoRequestHandler)
