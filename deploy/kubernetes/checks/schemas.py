"""Whether a cluster of a given version would take the documents: fields that do not exist are errors.

Kubernetes' own kinds by kubernetes-validate; of others, the fields that we use.
"""
import json

import kubernetes_validate

ANY = object()
SELECTOR = {"matchLabels": ANY, "matchExpressions": ANY}
ENDPOINT = [{"port": ANY, "interval": ANY, "path": ANY, "scheme": ANY, "relabelings": ANY}]
TRIGGER = [{"type": ANY, "metricType": ANY, "metadata": {"serverAddress": ANY, "query": ANY, "threshold": ANY}}]
RULE = [{"alert": ANY, "record": ANY, "expr": ANY, "for": ANY, "keep_firing_for": ANY, "labels": ANY, "annotations": ANY}]
OTHERS = {
    "monitoring.coreos.com/v1/ServiceMonitor": {
        "selector": SELECTOR, "namespaceSelector": ANY, "jobLabel": ANY, "targetLabels": ANY, "endpoints": ENDPOINT},
    "monitoring.coreos.com/v1/PodMonitor": {
        "selector": SELECTOR, "namespaceSelector": ANY, "jobLabel": ANY, "podTargetLabels": ANY, "podMetricsEndpoints": ENDPOINT},
    "monitoring.coreos.com/v1/PrometheusRule": {
        "groups": [{"name": ANY, "interval": ANY, "limit": ANY, "rules": RULE}]},
    "keda.sh/v1alpha1/ScaledObject": {
        "scaleTargetRef": {"apiVersion": ANY, "kind": ANY, "name": ANY}, "minReplicaCount": ANY, "maxReplicaCount": ANY,
        "pollingInterval": ANY, "cooldownPeriod": ANY, "fallback": {"failureThreshold": ANY, "replicas": ANY}, "triggers": TRIGGER},
    "jobset.x-k8s.io/v1alpha2/JobSet": {
        "network": {"enableDNSHostnames": ANY, "publishNotReadyAddresses": ANY, "subdomain": ANY},
        "failurePolicy": {"maxRestarts": ANY, "rules": ANY}, "startupPolicy": {"startupPolicyOrder": ANY}, "suspend": ANY,
        "replicatedJobs": [{"name": ANY, "replicas": ANY, "template": ANY}]},
    "cert-manager.io/v1/Issuer": {"ca": {"secretName": ANY}, "selfSigned": ANY},
    "cert-manager.io/v1/Certificate": {
        "secretName": ANY, "isCA": ANY, "commonName": ANY, "dnsNames": ANY, "uris": ANY, "usages": ANY, "duration": ANY, "renewBefore": ANY,
        "privateKey": {"algorithm": ANY, "size": ANY, "rotationPolicy": ANY, "encoding": ANY}, "issuerRef": {"kind": ANY, "name": ANY, "group": ANY}},
}

seen = {}


def unknown(value, shape, path):
    """Paths in `value` that `shape` does not have."""
    if shape is ANY:
        return []
    if isinstance(shape, list):
        return [each for at, item in enumerate(value) for each in unknown(item, shape[0], f"{path}.{at}")]
    if not isinstance(value, dict):
        return [f"{path} is no object"]
    found = [f"{path}.{key}" for key in value if key not in shape]
    return found + [each for key in value if key in shape for each in unknown(value[key], shape[key], f"{path}.{key}")]


def own(document, version):
    key = json.dumps([document, version], sort_keys=True)  # overlays have most objects in common
    if key not in seen:
        seen[key] = asked(document, version)
    return seen[key]


def asked(document, version):
    try:
        kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{'.'.join(str(step) for step in error.path)}: {error.message}"]
    except kubernetes_validate.SchemaNotFoundError:
        return [f"Kubernetes {version} has no {document.get('apiVersion')} {document.get('kind')}"]
    return []


def problems(documents, version):
    found = []
    for each in documents:
        name = f"{each.get('kind')}/{each.get('metadata', {}).get('name')}"
        shape = OTHERS.get(f"{each.get('apiVersion')}/{each.get('kind')}")
        texts = own(each, version) if shape is None else [f"{path}: unknown" for path in unknown(each["spec"], shape, "spec")]
        if each.get("kind") == "JobSet":
            for job in each["spec"]["replicatedJobs"]:
                inner = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "inner"}, "spec": job["template"]["spec"]}
                texts += own(inner, version)
        found += [f"{name}: {text} ({version})" for text in texts]
    return found
