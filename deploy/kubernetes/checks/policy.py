"""What must hold of a rendered overlay, beyond that a cluster would take it: operations.md 1.2 to 1.4.

problems(documents, exported) gives sentences, each with the object it is about; none means that all is well.
A checking tool; nothing of Troupe runs it.
"""
import re
import tomllib

import yaml

WORKLOADS = {"StatefulSet", "Deployment", "Job", "JobSet"}
NAME = "app.kubernetes.io/name"
PART = "app.kubernetes.io/part-of"
NO_NAMESPACE = {"Namespace", "RuntimeClass"}
ONE_ONLY = {"director", "replay-buffer", "learner", "broadcaster"}
NEVER_EVICTED = {"replay-buffer", "learner", "learner-rank"}
VOLUMES = {"configMap", "secret", "emptyDir", "persistentVolumeClaim", "projected"}
SERVES_AS = {"learner-rank": "learner"}  # where the pods' name is not their role
# By deploy/prometheus/kubernetes.yml and the monitors of the overlay monitoring.
SCRAPED_LABELS = {"job", "run", "role", "instance", "namespace", "pod"}
SHORTEST_GRACE = {"director": 120, "replay-buffer": 120, "learner": 300, "learner-rank": 300}  # seconds: an update, what is saved, a report


def title(document):
    return f"{document.get('kind')}/{document.get('metadata', {}).get('name')}"


def pod_of(workload):
    """The pod template of a workload, as {metadata, spec}."""
    spec = workload["spec"]
    if workload["kind"] == "JobSet":
        return spec["replicatedJobs"][0]["template"]["spec"]["template"]
    return spec["template"]


def labels_of(workload):
    return pod_of(workload).get("metadata", {}).get("labels", {})


def selects(selector, labels):
    wanted = selector.get("matchLabels", {}) if selector else {}
    chosen = all(labels.get(key) == value for key, value in wanted.items())
    for each in (selector or {}).get("matchExpressions", []):
        chosen = chosen and each["operator"] == "In" and labels.get(each["key"]) in each["values"]
    return chosen


class Overlay:
    """The documents of one overlay, and what the rules keep asking of them. exported: names of metrics that there are."""

    def __init__(self, documents, exported):
        self.documents = documents
        self.exported = exported
        self.workloads = [d for d in documents if d["kind"] in WORKLOADS]

    def of(self, kind):
        return [d for d in self.documents if d["kind"] == kind]

    def named(self, kind, name):
        return next((d for d in self.of(kind) if d["metadata"]["name"] == name), None)

    def secrets(self):
        """Names of those that hold a certificate: of site/pki, or made by cert-manager."""
        made = {c["spec"]["secretName"] for c in self.of("Certificate") if not c["spec"].get("isCA")}
        return made | {each["metadata"]["name"] for each in self.of("Secret")}

    def mounted(self, workload):
        """(Secret, {name of a file: key of it, or the file itself}) of what its pods mount, by name or projected."""
        for volume in pod_of(workload)["spec"].get("volumes", []):
            parts = [dict(volume["secret"], name=volume["secret"]["secretName"])] if "secret" in volume else []
            for each in parts + [s["secret"] for s in volume.get("projected", {}).get("sources", []) if "secret" in s]:
                data = (self.named("Secret", each["name"]) or {}).get("data", {})
                yield each["name"], {i["path"]: i["key"] for i in each["items"]} if "items" in each else {key: key for key in data}

    def config(self):
        for each in self.of("ConfigMap"):
            if "config.toml" in each.get("data", {}):
                return tomllib.loads(each["data"]["config.toml"])
        return {}

    def role_edges(self):
        """(from, to, port) that the config asks for: who dials whom."""
        roles = {labels_of(w).get(NAME) for w in self.workloads} - {"train"}
        network = self.config().get("network", {})
        if not network:
            return set()
        gate = "director" if network.get("replay-buffer", "director") == "director" else "replay-buffer"
        port = int(network[gate].rsplit(":", 1)[1])
        edges = {(role, gate, port) for role in roles if role not in {gate, "learner-rank"}}
        if network.get("broadcaster", "director") != "director":
            edges.add(("generator", "broadcaster", int(network["broadcaster"].rsplit(":", 1)[1])))
            if ":" in network.get("learner", "director"):
                edges.add(("broadcaster", "learner", int(network["learner"].rsplit(":", 1)[1])))
        return edges | self.rank_edges()

    def rank_addresses(self):
        """Host and port of each rank of the learner that is a process, rank 0 first."""
        text = self.config().get("network", {}).get("learner-ranks", "threads")
        return [tuple(each.strip().rsplit(":", 1)) for each in text.split(",")] if text != "threads" else []

    def rank_edges(self):
        """Each dials rank 0, and the next of the ring where that is another way; of two, rank 1 dials alone."""
        addresses = self.rank_addresses()
        pods = ["learner"] + ["learner-rank"] * (len(addresses) - 1)
        edges = {(pods[rank], pods[0], int(addresses[0][1])) for rank in range(1, len(addresses))}
        if len(addresses) > 2:
            edges |= {(pods[rank], pods[rank + 1], int(addresses[rank + 1][1])) for rank in range(len(addresses) - 1)}
        return edges


def objects(overlay):
    seen = set()
    for each in overlay.documents:
        if title(each) in seen:
            yield each, "is there twice"
        seen.add(title(each))
        if each["kind"] not in NO_NAMESPACE and each["metadata"].get("namespace") != "troupe":
            yield each, "is not in the namespace troupe"
        if each["kind"] in {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}:
            yield each, "gives rights in the cluster, and nothing here needs any"
        for field in ("labels", "annotations"):
            for key, value in (each["metadata"].get(field) or {}).items():
                if not isinstance(value, str):
                    yield each, f"{field}: {key} is {value!r} and not a string"
    for each in overlay.of("Namespace"):
        if each["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce") != "restricted":
            yield each, "does not enforce the restricted profile"
    if not overlay.of("Namespace"):
        yield {"kind": "Namespace", "metadata": {"name": "troupe"}}, "is missing"
    for each in overlay.of("Secret"):
        if any(key.startswith("ca.key") for key in each.get("data", {})):
            yield each, "holds the authority's key"


def certificates(overlay):
    """cert-manager's: a certificate speaks for the role whose pods mount it, and for the names that the others dial."""
    dialled = {to: to for _, to, _ in overlay.role_edges()}
    dialled |= {host.split(".")[0]: host for host, _ in overlay.rank_addresses()}
    for each in overlay.of("Certificate"):
        spec = each["spec"]
        if not overlay.named("Issuer", spec["issuerRef"]["name"]):
            yield each, "has no issuer"
        if spec.get("isCA"):
            continue
        uris = spec.get("uris", [])
        identity = re.fullmatch(r"troupe://([a-z-]+)/([a-z0-9-]+\*?)", uris[0]) if len(uris) == 1 else None
        mounting = {labels_of(w)[NAME] for w in overlay.workloads for name, _ in overlay.mounted(w) if name == spec["secretName"]}
        if not identity or {SERVES_AS.get(name, name) for name in mounting} - {identity[1]}:
            yield each, f"does not speak for {', '.join(sorted(mounting)) or 'anybody'}"
            continue
        for name in {identity[2]} & set(dialled):
            if dialled[name] not in spec.get("dnsNames", []) or "server auth" not in spec["usages"]:
                yield each, f"{dialled[name]} is dialled, and this is not for it"
    if overlay.of("Certificate"):
        for each in overlay.workloads:
            if "--set=network.revocation-list=false" not in pod_of(each)["spec"]["containers"][0]["args"]:
                yield each, "waits for a list of revocations, which cert-manager does not make"


def pods(overlay):
    for each in overlay.workloads:
        spec = pod_of(each)["spec"]
        if labels_of(each).get(PART) != "troupe":
            yield each, "is not found by Prometheus: its pods are not labelled as part of troupe"
        security = spec.get("securityContext", {})
        if security.get("runAsNonRoot") is not True or security.get("runAsUser", 0) == 0:
            yield each, "may run as root"
        if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield each, "has no seccomp profile"
        for flag in ("hostNetwork", "hostPID", "hostIPC"):
            if spec.get(flag):
                yield each, f"shares the host's {flag[4:].lower()}"
        if spec.get("automountServiceAccountToken") is not False:
            yield each, "mounts an API token"
        account = spec.get("serviceAccountName")
        if not account or not overlay.named("ServiceAccount", account):
            yield each, "has no service account of its own"
        yield from ((each, text) for text in volumes(overlay, spec))
        yield from ((each, text) for text in containers(spec))
        yield from ((each, text) for text in role(overlay, each, spec))


def volumes(overlay, spec):
    for volume in spec.get("volumes", []):
        kinds = set(volume) - {"name"}
        if not kinds <= VOLUMES:
            yield f"volume {volume['name']} is a {'/'.join(kinds)}"
        if "emptyDir" in volume and "sizeLimit" not in (volume["emptyDir"] or {}):
            yield f"volume {volume['name']} has no limit of size"
        if "secret" in volume:
            if volume["secret"].get("defaultMode") != 0o400:
                yield f"the keys in {volume['name']} are readable by more than their owner"
            if volume["secret"]["secretName"] not in overlay.secrets():
                yield f"Secret {volume['secret']['secretName']} does not exist"
        if "configMap" in volume and not overlay.named("ConfigMap", volume["configMap"]["name"]):
            yield f"ConfigMap {volume['configMap']['name']} does not exist"
        for source in volume.get("projected", {}).get("sources", []):
            if "serviceAccountToken" in source:
                yield "mounts an API token"
            if "secret" in source and volume["projected"].get("defaultMode") != 0o400:
                yield f"the keys in {volume['name']} are readable by more than their owner"
            if "secret" in source and source["secret"]["name"] not in overlay.secrets():
                yield f"Secret {source['secret']['name']} does not exist"


def containers(spec):
    for each in spec.get("containers", []) + spec.get("initContainers", []):
        security = each.get("securityContext", {})
        if security.get("allowPrivilegeEscalation") is not False or security.get("privileged"):
            yield "may gain privileges"
        if security.get("capabilities", {}).get("drop") != ["ALL"] or security.get("capabilities", {}).get("add"):
            yield "keeps capabilities"
        if security.get("readOnlyRootFilesystem") is not True:
            yield "may write to its image"
        if not re.search(r"@sha256:[0-9a-f]{64}$", each.get("image", "")):
            yield f"image {each.get('image')} has no digest"
        resources = each.get("resources", {})
        limits, requests = resources.get("limits", {}), resources.get("requests", {})
        if not limits.get("memory") or limits["memory"] != requests.get("memory"):
            yield "memory: the limit and the request are not the same"
        if not requests.get("cpu"):
            yield "asks for no cpu"
        if limits.get("nvidia.com/gpu") != requests.get("nvidia.com/gpu"):
            yield "gpu: the limit and the request are not the same"
        if limits.get("nvidia.com/gpu"):
            yield from gpu(spec, each)
        yield from probes(each)
        for variable in each.get("env", []):
            if "secretKeyRef" in (variable.get("valueFrom") or {}):
                yield f"env {variable['name']} holds a secret"
            if "value" in variable and not isinstance(variable["value"], str):
                yield f"env {variable['name']} is {variable['value']!r} and not a string"
        if any("secretRef" in source for source in each.get("envFrom", [])):
            yield "env holds a secret"
        for port in each.get("ports", []):
            if "hostPort" in port:
                yield "takes a port of the host"


def gpu(spec, container):
    mounts = {m["mountPath"]: m["name"] for m in container.get("volumeMounts", [])}
    shared = next((v for v in spec["volumes"] if v["name"] == mounts.get("/dev/shm")), {})
    if shared.get("emptyDir", {}).get("medium") != "Memory":
        yield "NCCL needs /dev/shm in memory"
    if not spec.get("nodeSelector"):
        yield "may be put on a node without a GPU"


def probes(container):
    ports = {p["name"] for p in container.get("ports", []) if "name" in p}
    for kind, path in (("startup", "/healthz"), ("liveness", "/healthz"), ("readiness", "/readyz")):
        probe = container.get(f"{kind}Probe", {}).get("httpGet")
        if not probe:
            yield f"has no {kind} probe"
        elif probe["path"] != path or probe["port"] not in ports:
            yield f"{kind} probe asks {probe['path']} of port {probe['port']}"
    start = container.get("startupProbe", {})
    if start and start.get("periodSeconds", 10) * start.get("failureThreshold", 3) < 600:
        yield "startup probe: a model takes longer to load"


def role(overlay, workload, spec):
    name = labels_of(workload).get(NAME)
    config = overlay.config()
    grace = spec.get("terminationGracePeriodSeconds", 30)
    drain = config.get("network", {}).get("drain-seconds", 20)
    if grace < SHORTEST_GRACE.get(name, drain + 10):
        yield f"{grace} s are too short to end well"
    if name in ONE_ONLY and workload["spec"].get("replicas", 1) != 1:
        yield f"there is one {name}"
    container = spec["containers"][0]
    arguments = container.get("args", [])
    if arguments[0] == "serve" and f"--role={SERVES_AS.get(name, name)}" not in arguments:
        yield f"does not serve as {name}"
    if name == "director" and "replay-buffer" in config.get("network", {}) and "--leave-run" not in arguments:
        yield "ends the run whenever its pod is moved: --leave-run"
    mounts = [m["mountPath"] for m in container["volumeMounts"]]
    for path in arguments[1:2] + [config.get("network", {}).get("pki", mounts[0])]:
        if not any(path.startswith(mount) for mount in mounts):
            yield f"{path} is not mounted"
    ports = {p["containerPort"] for p in container.get("ports", [])}
    if config.get("metrics", {}).get("port") not in ports:
        yield "the metrics port is not the config's"
    if config.get("metrics", {}).get("address") != "0.0.0.0":
        yield "the metrics are for its own pod only"
    for argument in arguments:
        listen = re.fullmatch(r'--set=network\.listen="\*:(\d+)"', argument)
        if listen and int(listen[1]) not in ports:
            yield f"listens on {listen[1]}, which is no port of its own"
    if name == "generator" and workload["kind"] == "Deployment":
        spread = spec.get("topologySpreadConstraints", [])
        if not any(selects(each["labelSelector"], labels_of(workload)) for each in spread):
            yield "may all be on one node"


def ranks(overlay):
    """Each address of a rank is that of a pod, each such pod is a rank, and has a certificate of its own name."""
    addresses = overlay.rank_addresses()
    workload = overlay.named("StatefulSet", "learner-rank")
    if not addresses and not workload:
        return
    if not addresses or not workload:
        yield workload or {"kind": "StatefulSet", "metadata": {"name": "learner-rank"}}, "is there, or in the config, alone"
        return
    spec = workload["spec"]
    first = spec.get("ordinals", {}).get("start", 0)
    names = [f"learner-rank-{first + each}" for each in range(spec.get("replicas", 1))]
    wanted = [f"learner-rank-{rank}" for rank in range(1, len(addresses))]
    if names != wanted:
        yield workload, f"its pods are {', '.join(names)}, the ranks of the config {', '.join(wanted)}"
    for rank, (host, port) in enumerate(addresses):
        pod = "learner" if rank == 0 else f"learner-rank-{rank}.{spec['serviceName']}"
        owner = workload if rank else overlay.named("StatefulSet", "learner")
        known = {p["containerPort"] for p in pod_of(owner)["spec"]["containers"][0].get("ports", [])}
        if host != pod:
            yield workload, f"rank {rank} is dialled at {host}, and is at {pod}"
        if int(port) not in known:
            yield owner, f"rank {rank} is dialled at port {port}, which is none of its own"
    service = overlay.named("Service", spec["serviceName"])
    if service and not service["spec"].get("publishNotReadyAddresses"):
        yield service, "hides ranks until they are ready, and they are ready once they have met"
    files = {file: secret for secret, known in overlay.mounted(workload) for file in known}
    issued = {c["spec"]["secretName"]: c["spec"].get("uris", []) for c in overlay.of("Certificate")}
    for name in names:
        if not {"ca.pem", f"{name}.pem", f"{name}.key"} <= set(files):
            yield workload, f"{name} has no certificate"
        elif files[f"{name}.pem"] != files[f"{name}.key"]:
            yield workload, f"{name} has the key of another certificate"
        elif issued and issued.get(files[f"{name}.pem"]) != [f"troupe://learner/{name}"]:
            yield workload, f"the certificate of {name} says that it is another"


def selectors(overlay):
    everyone = [labels_of(w) for w in overlay.workloads]
    for each in overlay.workloads:
        if each["kind"] in {"StatefulSet", "Deployment"}:
            if not selects(each["spec"]["selector"], labels_of(each)):
                yield each, "does not select its own pods"
            own = [b for b in overlay.of("PodDisruptionBudget") if selects(b["spec"]["selector"], labels_of(each))]
            if not own:
                yield each, "has no disruption budget"
            elif labels_of(each).get(NAME) in NEVER_EVICTED and own[0]["spec"].get("maxUnavailable") != 0:
                yield each, "may be evicted in the middle of a run"
        if each["kind"] == "StatefulSet":
            service = overlay.named("Service", each["spec"].get("serviceName"))
            if not service or service["spec"].get("clusterIP") != "None":
                yield each, "has no headless Service"
    for each in overlay.of("PodDisruptionBudget"):
        if not any(selects(each["spec"]["selector"], labels) for labels in everyone):
            yield each, "selects no pod"
    for each in overlay.of("Service"):
        mine = [w for w in overlay.workloads if selects({"matchLabels": each["spec"].get("selector")}, labels_of(w))]
        if not each["spec"].get("selector") or not mine:
            yield each, "selects no pod"
        for port in each["spec"].get("ports", []) if mine else []:
            known = {p["name"] for p in pod_of(mine[0])["spec"]["containers"][0]["ports"]}
            if port.get("targetPort") not in known:
                yield each, f"port {port.get('name')} is no port of its pods"


def scaling(overlay):
    for each in overlay.of("HorizontalPodAutoscaler") + overlay.of("ScaledObject"):
        reference = each["spec"]["scaleTargetRef"]
        target = overlay.named(reference.get("kind", "Deployment"), reference["name"])
        if not target:
            yield each, "scales what does not exist"
        elif "replicas" in target["spec"]:
            yield each, "and its target both say how many there are"
        if each["kind"] == "HorizontalPodAutoscaler" and not {"scaleUp", "scaleDown"} <= set(each["spec"].get("behavior", {})):
            yield each, "does not say how fast"


def metrics_in(query):
    """Of a PromQL query or an adapter's series query: those of Troupe and its recording rules."""
    for name in re.findall(r"[a-zA-Z_][a-zA-Z0-9_:]*", re.sub(r'"[^"]*"', "", query)):
        if name.startswith("troupe_") or ":troupe_" in name:
            yield name
    for pattern in re.findall(r'__name__=~"([^"]*)"', query):
        prefix, _, rest = pattern.partition("(")
        yield from (prefix + each for each in rest.rstrip(")").split("|")) if rest else [pattern]


def adapted(overlay):
    """(rules, name, sources, labels) of every metric that prometheus-adapter is to give; without a name of its own, that of its series."""
    for each in overlay.of("ConfigMap"):
        given = yaml.safe_load(each.get("data", {}).get("adapter-rules.yaml", "{}")) or {}
        for rule in given.get("rules", []) + given.get("externalRules", []):
            labels = set(re.findall(r'(\w+)!=""', rule["seriesQuery"]))
            for name in metrics_in(rule["seriesQuery"]):
                yield each, rule.get("name", {}).get("as", name), [name, *metrics_in(rule["metricsQuery"])], labels


def signals(overlay):
    """Whoever scales by what nobody exports never scales, and says nothing."""
    given = set()
    for each, name, sources, labels in adapted(overlay):
        given.add(name)
        yield from ((each, f"wants the label {label}, which no scrape gives") for label in sorted(labels - SCRAPED_LABELS))
        yield from ((each, f"asks for {source}, which nobody exports") for source in sources if source not in overlay.exported)
    for each in overlay.of("HorizontalPodAutoscaler"):
        for metric in each["spec"].get("metrics", []):
            source = metric.get("object") or metric.get("pods") or metric.get("external") or {}
            name = source.get("metric", {}).get("name")
            if name not in given:
                yield each, f"scales by {name}, which the adapter does not give"
    for each in overlay.of("ScaledObject"):
        for trigger in each["spec"]["triggers"]:
            asked = set(metrics_in(trigger["metadata"]["query"]))
            yield from ((each, f"asks for {name}, which nobody exports") for name in sorted(asked - overlay.exported))
            if not asked:
                yield each, "scales by no metric of Troupe"


def peers(overlay, rule, key):
    """Names of the workloads that a rule lets in or out; None: everybody."""
    found = set()
    for peer in rule.get(key) or [{}]:
        if "namespaceSelector" in peer:
            if not peer["namespaceSelector"].get("matchLabels"):
                found.add(None)
        elif peer.get("podSelector", {}).get("matchLabels"):
            name = peer["podSelector"]["matchLabels"].get(NAME)
            known = any(selects(peer["podSelector"], labels_of(w)) for w in overlay.workloads)
            found.add(name if known else f"nobody ({name})")
        else:
            found.add(None)
    return found


def allowed(overlay, policy, way, key):
    """(from, to, port) of a policy; ways out of or into the namespace are not among them."""
    mine = [labels_of(w)[NAME] for w in overlay.workloads if selects(policy["spec"]["podSelector"], labels_of(w))]
    for rule in policy["spec"].get(way) or []:
        for peer in peers(overlay, rule, key):
            for port in rule.get("ports") or [{}]:
                for me in mine:
                    ends = (me, peer) if way == "egress" else (peer, me)
                    yield (*ends, port.get("port")), "endPort" in port


def network(overlay):
    policies = overlay.of("NetworkPolicy")
    everywhere = [p for p in policies if p["spec"].get("podSelector") == {} and not p["spec"].get("ingress") and not p["spec"].get("egress")]
    if not any(set(p["spec"].get("policyTypes", [])) == {"Ingress", "Egress"} for p in everywhere):
        yield {"kind": "NetworkPolicy", "metadata": {"name": "default-deny"}}, "does not deny both ways"
    wanted = overlay.role_edges()
    for way, key in (("egress", "to"), ("ingress", "from")):
        found = set()
        for policy in policies:
            if not [w for w in overlay.workloads if selects(policy["spec"]["podSelector"], labels_of(w))]:
                yield policy, "selects no pod"
            if way.capitalize() not in policy["spec"].get("policyTypes", []) and policy["spec"].get(way):
                yield policy, f"has rules of {way} that are not in force"
            for edge, is_range in allowed(overlay, policy, way, key):
                if None in edge:
                    yield policy, f"lets everybody in or out ({way})"
                elif any(str(end).startswith("nobody") for end in edge[:2]):
                    yield policy, f"{edge[0]} -> {edge[1]}: no such pod"
                elif not is_range:  # ranges are NCCL's
                    found.add(edge)
                elif not {edge[0], edge[1]} <= {"learner", "generator", "broadcaster"}:
                    yield policy, f"NCCL is not for {edge[0]} -> {edge[1]}"
        subject = {"kind": "NetworkPolicy", "metadata": {"name": way}}
        for edge in sorted(wanted - found):
            yield subject, f"{edge[0]} -> {edge[1]}:{edge[2]} is in the role graph and not allowed"
        for edge in sorted(found - wanted):
            yield subject, f"{edge[0]} -> {edge[1]}:{edge[2]} is allowed and not in the role graph"


def problems(documents, exported):
    overlay = Overlay(documents, exported)
    found = []
    for rules in (objects, certificates, pods, ranks, selectors, scaling, signals, network):
        found += [f"{title(each)}: {text}" for each, text in rules(overlay)]
    return found
