"""moto's S3 server on a port: `python moto_server.py PORT`, taking one write at a time.

moto looks for the object first and writes it then, in a thread a request, so that of two creations of one key at the
same moment both may win. S3 and Ceph answer one of them with 412, which the stores rely on.

moto's own server looks through all services of AWS for the one that each request is for, which takes as long as the
answer; here it does so for a form alone, which S3 is never sent and STS always is.
"""

import io
import sys
import threading

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
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


def by_service():
    """What answers for S3, and for the service that a form is for."""
    s3, services = create_backend_app("s3"), DomainDispatcherApplication(create_backend_app)

    def answer(environ, start_response):
        is_form = environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded")
        return (services if is_form else s3)(environ, start_response)

    return answer


if __name__ == "__main__":
    application = OneWriteAtATime(by_service())
    run_simple("127.0.0.1", int(sys.argv[1]), application, threaded=True, request_handler=MotoRequestHandler)
