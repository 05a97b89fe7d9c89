"""usage: check.py TROUPE RULES.yml BROKEN.yaml RENDERED.yaml...
Every rendered overlay keeps all rules, and every broken one is caught. One sentence a problem; exit code 1 if there is one.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import policy
import schemas
import yaml

VERSIONS = ("1.31", "1.37")  # the oldest and the newest that we support


def config_problems(documents, troupe):
    """Every ConfigMap with a config.toml holds one that this build takes."""
    found = []
    for each in documents:
        text = (each.get("data") or {}).get("config.toml") if each["kind"] == "ConfigMap" else None
        if text is None:
            continue
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write(text)
            file.flush()
            told = subprocess.run([troupe, "check", file.name], capture_output=True, text=True)
        if told.returncode != 0:
            found.append(f"ConfigMap/{each['metadata']['name']}: {told.stderr.strip()}")
    return found


def exported(troupe, rules_file):
    """Names of the metrics that this build has, with what a histogram is read by, and of Prometheus' recording rules."""
    names = set()
    for each in json.loads(subprocess.run([troupe, "metrics", "--json"], capture_output=True, check=True).stdout):
        names |= {each["name"] + end for end in (("_bucket", "_sum", "_count") if each["kind"] == "histogram" else ("",))}
    groups = yaml.safe_load(pathlib.Path(rules_file).read_text())["groups"]
    return names | {rule["record"] for group in groups for rule in group["rules"]}


def problems(documents, versions, troupe, metrics, changed=None):
    """changed: the only one whose fields are asked for."""
    found = [each for version in versions for each in schemas.problems(documents if changed is None else [changed], version)]
    try:
        found += policy.problems(documents, metrics)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        found.append(f"so malformed that no rule can be asked: {error!r}")
    return found + (config_problems(documents, troupe) if troupe else [])


def parse(text):
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def broken(texts, documents, change):
    """The documents with one changed, and that one."""
    for at, (text, document) in enumerate(zip(texts, documents)):
        if change["find"] in text and change.get("of", policy.title(document)) == policy.title(document):
            try:
                changed = parse(text.replace(change["find"], change["put"], 1))
            except yaml.YAMLError as error:
                raise SystemExit(f"{change['name']}: no YAML any more: {error}")
            return documents[:at] + [changed] + documents[at + 1:], changed
    raise SystemExit(f"{change['name']}: nothing to break, no {change['find']!r}")


def main(troupe, rules_file, broken_file, files):
    failures = 0
    metrics = exported(troupe, rules_file)
    texts = {pathlib.Path(file).stem: pathlib.Path(file).read_text().split("\n---\n") for file in files}
    whole = {name: [parse(text) for text in each] for name, each in texts.items()}
    for name, documents in whole.items():
        found = problems(documents, VERSIONS, troupe, metrics)
        failures += len(found)
        print(f"{name}: {len(documents)} objects, {len(found)} problems", *found, sep="\n  ")
    changes = yaml.safe_load(pathlib.Path(broken_file).read_text())
    for change in changes:
        documents, changed = broken(texts[change["overlay"]], whole[change["overlay"]], change)
        found = problems(documents, VERSIONS[:1], troupe if change.get("config") else None, metrics, changed)
        if not any(change["says"] in each for each in found):
            failures += 1
            print(f"NOT CAUGHT: {change['name']}; wanted '{change['says']}', found {found}")
    print(f"{len(changes)} broken manifests tried; {failures} failures")
    return failures != 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]))
