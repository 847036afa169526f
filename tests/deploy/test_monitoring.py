"""Rules and dashboard ask for what /metrics really tells, and every alert leads to a page that says what to do."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.world import DEPLOY, ROOT

FOLDER = DEPLOY / "monitoring"
SCRAPED = {"up": {"job", "instance"}}
TARGET = {"job", "instance", "le"}
# What follows a word of PromQL that is a function, an aggregation or one of its modifiers.
WORDS = {"sum", "min", "max", "by", "rate", "histogram_quantile", "offset", "topk", "count"}


def _rules() -> list[dict[str, Any]]:
    document = yaml.safe_load((FOLDER / "alerts.yaml").read_text())
    assert list(document) == ["groups"]
    return [rule for group in document["groups"] for rule in group["rules"]]


def _panels() -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
    return panels


def _check_query(query: str, metrics: dict[str, set[str]]) -> None:
    """Every metric is there, every label is one of it, and brackets close."""
    known = {**metrics, **SCRAPED}
    for opening, closing in ("()", "{}", "[]"):
        assert query.count(opening) == query.count(closing), query
    bare = re.sub(r'"[^"]*"', '""', query)
    for name, matchers in re.findall(r"\b([a-z]\w*)(?:\{([^}]*)\})", bare):
        assert name in known, f"{name} is not in /metrics"
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)) <= known[name] | TARGET, query
    grouped = {label.strip() for labels in re.findall(r"\bby \(([^)]*)\)", bare) for label in labels.split(",")}
    assert grouped <= set().union(*known.values()) | TARGET, query
    plain = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\bby \([^)]*\)", "", bare)
    asked = set(re.findall(r"\b[a-z_]\w*", plain)) - WORDS
    asked = {word for word in asked if not re.fullmatch(r"[a-z]", word) and not re.fullmatch(r"e\d+", word)}
    assert asked and asked <= set(known), query


@pytest.mark.parametrize("rule", _rules(), ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_there_is(rule: dict[str, Any], metrics: dict[str, set[str]]) -> None:
    assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"\d+m", rule["for"])
    assert rule["labels"]["severity"] in ("page", "ticket")
    _check_query(rule["expr"], metrics)
    assert set(rule["annotations"]) == {"summary", "runbook"}
    page, _, place = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^#+ (.*)$", (ROOT / page).read_text(), re.MULTILINE)
    assert place in {heading.lower().replace(" ", "-") for heading in headings}
    labels = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    assert labels <= set().union(*metrics.values()) | TARGET


def test_alerts_have_names_of_their_own() -> None:
    names = [rule["alert"] for rule in _rules()]
    assert len(set(names)) == len(names)


needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: the package prometheus)"
)


@needs_promtool
def test_prometheus_takes_the_rules() -> None:
    subprocess.run(["promtool", "check", "rules", str(FOLDER / "alerts.yaml")], check=True)


# Their own tests: for each alert when it fires and when it does not.


def _cases() -> dict[str, dict[str, Any]]:
    return {case["name"]: case for case in yaml.safe_load((FOLDER / "tests.yaml").read_text())["tests"]}


def _promtool_tests(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["promtool", "test", "rules", str(folder / "tests.yaml")], check=False, capture_output=True, text=True
    )


@pytest.mark.parametrize("rule", _rules(), ids=lambda rule: rule["alert"])
def test_an_alert_has_a_case_of_each_kind(rule: dict[str, Any]) -> None:
    """Both give it all the metrics that it asks for: without any, every alert keeps silent."""
    name, cases = rule["alert"], _cases()
    asked = set(re.findall(r"\b(marketplace_\w+|up)\b", rule["expr"]))
    for word, fires in (("fires", True), ("keeps silent", False)):
        case = cases[f"{name} {word}"]
        assert {series["series"].partition("{")[0] for series in case["input_series"]} == asked
        [expected] = case["alert_rule_test"]
        assert expected["alertname"] == name and bool(expected["exp_alerts"]) == fires


def test_there_is_no_case_of_another_alert() -> None:
    names = {rule["alert"] for rule in _rules()}
    assert set(_cases()) == {f"{name} {word}" for name in names for word in ("fires", "keeps silent")}


@needs_promtool
def test_the_alerts_fire_and_keep_silent_as_their_cases_say() -> None:
    told = _promtool_tests(FOLDER)
    assert told.returncode == 0, told.stdout + told.stderr


@needs_promtool
@pytest.mark.parametrize(("query", "word"), [("vector(1)", "keeps silent"), ("vector(0) > 1", "fires")])
def test_every_case_fails_where_its_alert_is_wrong(query: str, word: str, tmp_path: Path) -> None:
    """One that is always on fails each case of silence, one that never is each of the others."""
    document = yaml.safe_load((FOLDER / "alerts.yaml").read_text())
    for group in document["groups"]:
        for rule in group["rules"]:
            rule["expr"] = query
    (tmp_path / "alerts.yaml").write_text(yaml.safe_dump(document))
    cases = [case for name, case in _cases().items() if name.endswith(word)]
    for case in cases:
        tests = {"rule_files": ["alerts.yaml"], "evaluation_interval": "1m", "tests": [case]}
        (tmp_path / "tests.yaml").write_text(yaml.safe_dump(tests))
        assert _promtool_tests(tmp_path).returncode != 0, case["name"]


def test_the_scrape_is_named_as_the_rules_and_panels_say() -> None:
    document = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())
    scrapes = {scrape["job_name"]: scrape.get("metrics_path", "/metrics") for scrape in document["scrape_configs"]}
    assert scrapes == dict.fromkeys(("marketplace", "marketplace-realtime"), "/metrics")
    assert all((FOLDER / name).exists() for name in document["rule_files"])
    jobs = set(re.findall(r'job="([\w-]+)"', (FOLDER / "alerts.yaml").read_text()))
    jobs |= set(re.findall(r'job=\\"(\w+)\\"', (FOLDER / "dashboard.json").read_text()))
    assert jobs == set(scrapes)


@pytest.mark.parametrize("panel", _panels(), ids=lambda panel: panel["title"])
def test_a_panel_asks_for_what_there_is(panel: dict[str, Any], metrics: dict[str, set[str]]) -> None:
    assert set(panel["gridPos"]) == {"x", "y", "w", "h"}
    assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    if panel["type"] == "row":
        return
    assert panel["type"] in ("stat", "timeseries")
    assert panel["description"] and panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    for target in panel["targets"]:
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= set().union(*metrics.values()) | TARGET
        _check_query(target["expr"].replace("$__rate_interval", "1m"), metrics)


def test_panels_do_not_overlap_and_have_ids_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in _panels():
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in _panels()}) == len(_panels())
    dashboard = json.loads((FOLDER / "dashboard.json").read_text())
    assert {"title", "uid", "schemaVersion", "time", "templating"} <= set(dashboard)
    assert dashboard["templating"]["list"][0]["name"] == "datasource"
