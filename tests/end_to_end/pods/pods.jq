# From the objects of a rendered overlay (one JSON array) to what podman kube play can do: one object a pod, with the
# networks that it is put into. A network stands for an edge that a NetworkPolicy allows; it is internal, so what no policy
# allows has no way. Arguments: $folder, where the volumes are.
def title: .metadata.labels["app.kubernetes.io/name"];
def of($kind): map(select(.kind == $kind));
def peer: (.podSelector.matchLabels["app.kubernetes.io/name"] // .namespaceSelector.matchLabels["kubernetes.io/metadata.name"]);
# Of a StatefulSet of several, each pod is dialled by its own name: {title: [ordinals]}.
def ordinals: (.spec.ordinals.start // 0) as $first | [range($first; $first + (.spec.replicas // 1))];
def several: [of("StatefulSet")[] | {key: title, value: ordinals} | select(.value | length > 1)] | from_entries;
# Edges by the ingress rules, from, to and the pod that is dialled where it is one of several. What the monitoring's
# namespace may ask of everybody (a policy for all pods) is none.
def edges: several as $several | [of("NetworkPolicy")[] | select(.spec.podSelector.matchLabels) |
  .spec.podSelector.matchLabels["app.kubernetes.io/name"] as $to | .spec.ingress[]?.from[] |
  {from: peer, to: $to, pod: ($several[$to] // [null])[]}] | unique;
def network: "troupe-\(.from)-\(.to)" + (if .pod then "-\(.pod)" else "" end);
# A Service is the name at which others of a network reach the pod, and a pod of a StatefulSet has one before it.
def networks($title; $name; $ordinal; $services; $edges): [$edges[] | (.to == $title and (.pod == null or .pod == $ordinal)) as $is_dialled |
  select($is_dialled or .from == $title) | network +
  (if $is_dialled and ($services | index($title)) then ":alias=\($title),alias=\($name).\($title)" else "" end)];
def volume($pod): {name, hostPath: {type: "Directory", path: ($folder + (
  if .projected then "/secret/\($pod)-\(.name)" elif .secret then "/secret/\(.secret.secretName)"
  elif .configMap then "/config/\(.configMap.name)" else "/volumes/\($pod)-\(.name)" end))}};
def pod($name; $spec): {apiVersion: "v1", kind: "Pod", metadata: {name: $name}, spec: {
  restartPolicy: ($spec.restartPolicy // "Always"), terminationGracePeriodSeconds: $spec.terminationGracePeriodSeconds,
  containers: [$spec.containers[0] | .args |= map(gsub("\\$\\(POD_NAME\\)"; $name)) |
    {name, image, args, ports: [], resources: {limits: .resources.limits}, volumeMounts,
     securityContext: (.securityContext + {runAsUser: $spec.securityContext.runAsUser, runAsGroup: $spec.securityContext.runAsGroup})}],
  volumes: [$spec.volumes[] | volume($name)]}};

edges as $edges | [of("Service")[] | .metadata.name] as $services |
(of("RuntimeClass") | map({key: .metadata.name, value: .handler}) | from_entries) as $handlers |
[of("StatefulSet", "Deployment", "Job")[] | . as $workload | title as $title |
  ordinals[] as $ordinal |
  (if .kind == "StatefulSet" then "\($title)-\($ordinal)" else "\($title)-7f9c-x\($ordinal)" end) as $name |
  ($workload.spec.template.spec | .volumes += [$workload.spec.volumeClaimTemplates[]? | {name: .metadata.name, emptyDir: {}}]) as $spec |
  {role: $title, name: $name, runtime: ($spec.runtimeClassName | if . then $handlers[.] else null end),
   networks: networks($title; $name; $ordinal; $services; $edges),
   folders: [$spec.volumes[] | select(.emptyDir or .persistentVolumeClaim) | .name],
   projected: [$spec.volumes[] | select(.projected) | {folder: "\($name)-\(.name)", sources: .projected.sources}],
   pod: pod($name; $spec)}]
