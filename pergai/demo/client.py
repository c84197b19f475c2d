"""A client of the HTTP API, such as a shop would write, that also says each request as a curl line."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from pergai.errors import JobError, PergaiError, error_codes

BASE = "/api/external/v1"
POLL_SECONDS = 0.3
Record = dict[str, Any]


class Api:
    """Every method raises the PergaiError that the server's problem details name."""

    def __init__(self, origin: str, key: str) -> None:
        self.origin = origin
        self._http = httpx.Client(
            base_url=origin, headers={"Authorization": f"Bearer {key}"}, timeout=120, trust_env=False
        )

    def get(self, path: str) -> Any:
        return self._answer(self._http.get(BASE + path)).json()

    def post(self, path: str, body: Record) -> Record:
        record: Record = self._answer(self._http.post(BASE + path, json=body, headers={"Prefer": "wait=0"})).json()
        return record

    def ready(self) -> Record:
        """What /readyz says of the server: device, engine process, reasons why not."""
        record: Record = self._answer(self._http.get("/readyz")).json()
        return record

    def finish(self, queued: Mapping[str, Record], watch: Callable[[str, Record], None]) -> dict[str, Record]:
        """Poll generations of one product until all have ended, in any order; `watch` hears of each. Raises JobError when one
        failed."""
        latest = dict(queued)
        product = next(iter(latest.values()))["productId"]
        while any(record["status"] in ("pending", "processing") for record in latest.values()):
            time.sleep(POLL_SECONDS)
            listed = {record["id"]: record for record in self.get(f"/generations?productId={product}&limit=100")}
            for name, before in latest.items():
                latest[name] = record = listed[before["id"]]
                watch(name, record)
                if record["status"] == "failed":
                    raise JobError(f"{record['kind']} {record['scene'] or ''} failed: {record['error']['detail']}")
        return latest

    def save(self, address: str, target: Path) -> None:
        """Download a signed URL, or a path of the API."""
        with self._http.stream("GET", address) as answer, target.open("wb") as file:
            if answer.is_error:
                answer.read()
            for chunk in self._answer(answer).iter_bytes():
                file.write(chunk)

    def curl(self, method: str, path: str, body: Record | None = None, output: str = "") -> str:
        """The request as one would type it."""
        lines = [f"curl --location '{self.origin}{BASE}{path}'"]
        if method not in ("GET", "POST"):
            lines[0] = f"curl --request {method} --location '{self.origin}{BASE}{path}'"
        if body is not None:
            lines.append("--header 'Content-Type: application/json'")
        lines.append("--header 'Authorization: Bearer pk_YOUR_API_KEY'")
        if body is not None:
            lines.append(f"--data-raw '{json.dumps(body, indent=2, ensure_ascii=False)}'")
        if output:
            lines.append(f"--output {output}")
        return " \\\n".join(lines)

    def _answer(self, response: httpx.Response) -> httpx.Response:
        if response.is_error:
            problem = response.json() if "json" in response.headers.get("content-type", "") else {}
            kind = error_codes().get(problem.get("code", ""), PergaiError)
            raise kind(
                f"{response.request.method} {response.request.url.path}: {problem.get('detail', response.status_code)}"
            )
        return response
