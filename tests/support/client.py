"""A caller of the API: WebTest with a token, and bodies as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from webtest import TestApp, TestResponse

HAL_FORMS = "application/prs.hal-forms+json"


@dataclass(frozen=True)
class Named:
    """A file of a form, under whatever name and type."""

    filename: str
    content_type: str
    content: bytes


class Client:
    """Sends requests to the application, as somebody or as nobody; never raises for an error status."""

    def __init__(self, app: object, token: str | None = None, user: Any = None) -> None:
        self._app = TestApp(app, extra_environ={"REMOTE_ADDR": "127.0.0.1"})
        self.app = app
        self.token = token
        self.user = user

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        raw: bytes | None = None,
    ) -> TestResponse:
        sent = dict(headers or {})
        if self.token is not None:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        options: dict[str, Any] = {"method": method, "headers": sent, "expect_errors": True}
        if raw is not None:
            options["body"] = raw
            sent.setdefault("Content-Type", "application/json")
        elif isinstance(body, dict) and any(isinstance(value, bytes | Named) for value in body.values()):
            sent["Content-Type"], options["body"] = multipart(body)
        elif body is not None:
            import orjson

            options["body"] = orjson.dumps(body)
            sent.setdefault("Content-Type", "application/json")
        return self._app.request(path, **options)

    def get(self, path: str, **headers: str) -> TestResponse:
        return self.request("GET", path, headers=_dashed(headers))

    def forms(self, path: str) -> Any:
        """The HAL-FORMS document at ``path``."""
        response = self.get(path, Accept=HAL_FORMS)
        assert response.status_int == 200, response.text
        return response.json

    def post(self, path: str, body: Any = None, **headers: str) -> TestResponse:
        return self.request("POST", path, {} if body is None else body, headers=_dashed(headers))

    def put(self, path: str, body: Any, **headers: str) -> TestResponse:
        return self.request("PUT", path, body, headers=_dashed(headers))

    def patch(self, path: str, body: Any, **headers: str) -> TestResponse:
        sent = {"Content-Type": "application/merge-patch+json", **_dashed(headers)}
        return self.request("PATCH", path, body, headers=sent)

    def delete(self, path: str, body: Any = None, **headers: str) -> TestResponse:
        return self.request("DELETE", path, body, headers=_dashed(headers))


def multipart(fields: dict[str, Any]) -> tuple[str, bytes]:
    """A form (RFC 7578) of texts and files, and the Content-Type that goes with it."""
    boundary = f"----{uuid4().hex}"
    parts = []
    for name, value in fields.items():
        file = _named(value) if isinstance(value, bytes) else value
        disposition = f'form-data; name="{name}"'
        if isinstance(file, Named):
            head = f'{disposition}; filename="{file.filename}"\r\nContent-Type: {file.content_type}'
            parts.append((head, file.content))
        else:
            parts.append((disposition, str(file).encode()))
    body = b"".join(
        f"--{boundary}\r\nContent-Disposition: {head}\r\n\r\n".encode() + content + b"\r\n" for head, content in parts
    )
    return f"multipart/form-data; boundary={boundary}", body + f"--{boundary}--\r\n".encode()


def _named(content: bytes) -> Named:
    ending, kind = ("png", "image/png") if content.startswith(b"\x89PNG") else ("jpg", "image/jpeg")
    return Named(f"photo.{ending}", kind, content)


def _dashed(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
