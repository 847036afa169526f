"""A hundred and fifty log-ins with the right password at once, over sockets: each of them gets in."""

from __future__ import annotations

import http.client
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import sqlalchemy as sa

from marketplace_api.database.engines import Databases
from tests.factories.accounts import PASSWORD, People, make_user
from tests.support.client import Client
from tests.support.server import served

LOGIN = "/api/auth/login"
MANY = 150


@pytest.mark.parametrize("failures", [0, 7])
def test_each_of_many_right_log_ins_gets_in(
    failures: int, live_app: object, live_people: People, committed_databases: Databases
) -> None:
    make_user(live_people.session, email="ada@people.example")
    live_people.session.commit()
    stranger = Client(live_app)
    for number in range(failures):
        answer = stranger.post(LOGIN, {"email": "ada@people.example", "password": f"wrong {number}"})
        assert answer.status_int == 401, answer.text
        with committed_databases.write.begin() as connection:
            connection.execute(sa.text("UPDATE login_failures SET locked_until = locked_until - interval '1 hour'"))
    ready = Barrier(MANY)
    body = json.dumps({"email": "ada@people.example", "password": PASSWORD})

    with served(live_app) as address:
        host = address.removeprefix("http://")

        def log_in(_number: int) -> int:
            connection = http.client.HTTPConnection(host, timeout=300)
            connection.connect()
            ready.wait(60)
            connection.request("POST", LOGIN, body, {"Content-Type": "application/json"})
            status = connection.getresponse().status
            connection.close()
            return status

        with ThreadPoolExecutor(MANY) as pool:
            answers = Counter(pool.map(log_in, range(MANY)))
    assert answers == {200: MANY}
