# From the objects of a rendered overlay (one JSON array) to what podman kube play can do: one object a pod, with the
# networks that it is put into. A network stands for an edge that a NetworkPolicy allows; it is internal, so what no policy
# allows has no way. Arguments: $folder, where the volumes are.
def title: .metadata.labels["app.kubernetes.io/name"];
def of($kind): map(select(.kind == $kind));
# Edges by the ingress rules: {from, to, port}.
def edges: [of("NetworkPolicy")[] | select(.spec.podSelector.matchLabels) | . as $policy | .spec.ingress[]? | . as $rule |
  $rule.from[] | {from: .podSelector.matchLabels["app.kubernetes.io/name"], to: $policy.spec.podSelector.matchLabels["app.kubernetes.io/name"]}];
def network($edge): "troupe-\($edge.from)-\($edge.to)";
# A Service is the name at which others of a network reach the pod.
def networks($name; $edges; $services): [$edges[] | select(.from == $name or .to == $name) |
  network(.) + (if .to == $name and ($services | index($name)) then ":alias=\($name)" else "" end)];
def volume($pod): if .secret or .configMap or .emptyDir then
    {name, hostPath: {path: (if .secret then "\($folder)/secret/\(.secret.secretName)"
                             elif .configMap then "\($folder)/config/\(.configMap.name)"
                             else "\($folder)/volumes/\($pod)-\(.name)" end), type: "Directory"}}
  else . end;
def pod($name; $spec): {apiVersion: "v1", kind: "Pod", metadata: {name: $name}, spec: {
  restartPolicy: "Always", terminationGracePeriodSeconds: $spec.terminationGracePeriodSeconds,
  containers: [$spec.containers[0] | .args |= map(gsub("\\$\\(POD_NAME\\)"; $name)) |
    {name, image, args, ports: [], resources: {limits: .resources.limits}, volumeMounts,
     securityContext: (.securityContext + {runAsUser: $spec.securityContext.runAsUser, runAsGroup: $spec.securityContext.runAsGroup})}],
  volumes: [$spec.volumes[] | volume($name)]}};

. as $all | edges as $edges | [of("Service")[] | .metadata.name] as $services |
[of("StatefulSet", "Deployment")[] | . as $workload | (title) as $title |
  range($workload.spec.replicas) as $ordinal |
  (if .kind == "StatefulSet" then "\($title)-\($ordinal)" else "\($title)-7f9c-x\($ordinal)" end) as $name |
  ($workload.spec.template.spec | .volumes += [$workload.spec.volumeClaimTemplates[]? | {name: .metadata.name, emptyDir: {}}]) as $spec |
  {role: $title, name: $name, networks: networks($title; $edges; $services), folders: [$spec.volumes[] | select(.emptyDir) | .name],
   pod: pod($name; $spec)}]
