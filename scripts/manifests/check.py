"""Checks rendered Kubernetes objects: by the schemas of Kubernetes, and by rules of this project.

    check.py PROGRAM NAME=FILE…

PROGRAM is `lastro`, which is asked for its options and reads the settings of the pods. Each FILE is
what `kubectl kustomize` printed. At the end the rules are tried on damaged copies of the last one:
each damage must be found.
"""

import copy
import functools
import json
import os
import pathlib
import re
import subprocess
import sys

import kubernetes_validate
import yaml

from damages import DAMAGES

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# The oldest version that the files are for, and the newest that the package knows.
VERSIONS = ["1.30", "1.37"]
# Kinds of operators, whose schemas no package has. Only what they refer to is checked.
FOREIGN = {"ExternalSecret", "HTTPRoute", "PodMonitor", "ScaledObject"}
PROBES = ["startupProbe", "readinessProbe", "livenessProbe"]
PROBE_PATHS = {"/livez", "/readyz"}
SECRETS = "/run/secrets/lastro/"
# What a shutdown may take, in seconds (R19).
SHUTDOWN_S = 30


class Help:
    """What the program says about the options of each of its commands."""

    def __init__(self, program):
        self.program = program
        self.texts = {}
        self.refusals = {}
        self.documented = (ROOT / "docs/configuration.md").read_text()

    def of(self, command):
        """The help of the command line of a container, and its flags."""
        words = command if command[0] != "lastro" else command[1:]
        name = words[0]
        if name not in self.texts:
            asked = subprocess.run([self.program, name, "--help"], capture_output=True, text=True)
            self.texts[name] = asked.stdout if asked.returncode == 0 else ""
        return self.texts[name], [word for word in words if word.startswith("--")]

    def knows(self, command, variable):
        return re.search(rf"\[env:\s+{variable}[=\]]", self.of(command)[0]) is not None

    def refuses(self, command, environment):
        """Why the program does not accept these settings, if it does not. It is not started: it
        only looks for one that runs."""
        asked = (self.program, *command, "--health-check")
        key = (asked, *sorted(environment.items()))
        if key not in self.refusals:
            ended = subprocess.run(asked, env=environment, capture_output=True, text=True)
            self.refusals[key] = ended.stderr.strip() if ended.returncode == 2 else None
        return self.refusals[key]


class Objects:
    """The objects of one rendering."""

    def __init__(self, objects):
        self.all = objects

    def kind(self, *kinds):
        return [one for one in self.all if one["kind"] in kinds]

    def named(self, kind, name):
        return next((one for one in self.kind(kind) if one["metadata"]["name"] == name), None)

    def templates(self):
        """Each workload with its pod template."""
        return [(one, one["spec"]["template"]) for one in self.kind("Deployment", "Job")]

    def selected(self, selector):
        return [
            template for _, template in self.templates() if matches(selector, labels(template))
        ]


def label(one):
    return f"{one['kind']} {one['metadata']['name']}"


def labels(template):
    return template["metadata"].get("labels", {})


def matches(selector, its):
    if any(its.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for rule in selector.get("matchExpressions", []):
        assert rule["operator"] == "In", rule
        if its.get(rule["key"]) not in rule["values"]:
            return False
    return True


def containers(template):
    return template["spec"].get("initContainers", []) + template["spec"]["containers"]


def ports(template):
    """The ports of a pod, by name and by number."""
    found = [port for one in containers(template) for port in one.get("ports", [])]
    return {port["name"]: port for port in found} | {port["containerPort"]: port for port in found}


def schemas(objects):
    for one in objects.all:
        if one["kind"] not in FOREIGN:
            for version in VERSIONS:
                yield from schema(json.dumps(one), version)


# Most objects are the same in all renderings.
@functools.cache
def schema(text, version):
    one = json.loads(text)
    try:
        kubernetes_validate.validate(one, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{label(one)}, Kubernetes {version}: {error.message}"]
    except kubernetes_validate.SchemaNotFoundError:
        return [f"{label(one)}: Kubernetes {version} has no such kind"]
    return []


def names(objects):
    seen = [label(one) for one in objects.all]
    yield from {f"{name} is there twice" for name in seen if seen.count(name) > 1}
    spaces = {one["metadata"].get("namespace") for one in objects.all if one["kind"] != "Namespace"}
    if len(spaces) != 1:
        yield f"the objects are in several namespaces: {spaces}"
    for one in objects.kind("Namespace"):
        if one["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") != "restricted":
            yield f"{label(one)}: not restricted"


def pods(objects):
    wanted = {"automountServiceAccountToken": False, "enableServiceLinks": False}
    for owner, template in objects.templates():
        spec = template["spec"]
        for key, value in wanted.items():
            if spec.get(key) is not value:
                yield f"{label(owner)}: {key} is not {value}"
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            if spec.get(key):
                yield f"{label(owner)}: {key}"
        context = spec.get("securityContext", {})
        if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
            yield f"{label(owner)}: may run as root"
        if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{label(owner)}: seccompProfile is not RuntimeDefault"
        if context.get("fsGroup") != context.get("runAsGroup"):
            yield f"{label(owner)}: its group cannot read its secrets"
        for volume in spec.get("volumes", []):
            if set(volume) != {"name", "projected"}:
                yield f"{label(owner)}: volume {volume['name']} is not projected"
            elif volume["projected"].get("defaultMode") != 0o440:
                yield f"{label(owner)}: others may read the volume {volume['name']}"
        volumes = {volume["name"] for volume in spec.get("volumes", [])}
        mounted = {mount["name"] for one in containers(template) for mount in one["volumeMounts"]}
        if volumes != mounted:
            yield f"{label(owner)}: volumes {volumes}, and mounts of {mounted}"
        for one in containers(template):
            yield from (f"{label(owner)}, {one['name']}: {what}" for what in container(one))


def container(one):
    context = one.get("securityContext", {})
    if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
        yield "may gain privileges"
    if context.get("readOnlyRootFilesystem") is not True:
        yield "may write to its root"
    if context.get("capabilities") != {"drop": ["ALL"]}:
        yield "has capabilities"
    if {"runAsUser", "runAsNonRoot", "seccompProfile"} & set(context):
        yield "overrides its pod"
    resources = one.get("resources", {})
    if {"cpu", "memory"} - set(resources.get("requests", {})):
        yield "requests neither CPU nor memory, or only one of them"
    if set(resources.get("limits", {})) != {"memory"}:
        yield "is not limited by memory alone"
    if not re.search(r"[^/](@sha256:[0-9a-f]{64}|:[0-9][\w.-]*)$", one["image"]):
        yield f"image {one['image']} is not pinned"
    for mount in one.get("volumeMounts", []):
        if "subPath" in mount or not mount.get("readOnly"):
            yield f"mount {mount['name']} is by subPath or may be written"
    for variable in one.get("env", []):
        if "value" not in variable:
            yield f"{variable['name']} is not a plain value; secrets are files"
    if any("secretRef" in source for source in one.get("envFrom", [])):
        yield "has secrets in its environment"


def probes(objects):
    for owner in objects.kind("Deployment"):
        spec = owner["spec"]["template"]["spec"]
        for one in spec["containers"]:
            for probe in PROBES:
                get = one.get(probe, {}).get("httpGet", {})
                its = {port["name"] for port in one["ports"]}
                if get.get("port") not in its or get.get("path") not in PROBE_PATHS:
                    yield f"{label(owner)}: {probe} asks no port and path that it has"
            if one["livenessProbe"].get("httpGet", {}).get("path") != "/livez":
                yield f"{label(owner)}: is killed while its database is away"
            settings = environment(objects, one)
            delay = int(settings.get("LASTRO_DRAIN_DELAY_S", 0))
            if spec.get("terminationGracePeriodSeconds", 30) <= SHUTDOWN_S + delay and (
                is_server(owner)
            ):
                yield f"{label(owner)}: is killed while it shuts down"


def is_server(owner):
    return owner["metadata"]["labels"].get("app.kubernetes.io/component") == "server"


def environment(objects, one):
    """The variables of a container."""
    found = {}
    for source in one.get("envFrom", []):
        config = objects.named("ConfigMap", source.get("configMapRef", {}).get("name"))
        found |= config["data"] if config else {}
    return found | {its["name"]: its.get("value", "") for its in one.get("env", [])}


def settings(objects, help):
    used = set()
    for owner, template in objects.templates():
        for one in containers(template):
            where = f"{label(owner)}, {one['name']}"
            text, flags = help.of(one["command"])
            if not text:
                yield f"{where}: there is no program {one['command']}"
            for flag in flags:
                if not re.search(rf"{flag}\b", text):
                    yield f"{where}: there is no {flag}"
            for source in one.get("envFrom", []):
                name = source.get("configMapRef", {}).get("name")
                if objects.named("ConfigMap", name) is None:
                    yield f"{where}: there is no ConfigMap {name}"
            found = environment(objects, one)
            own = {its["name"] for its in one.get("env", [])}
            for name in found:
                known = help.knows(one["command"], name) or not name.startswith("LASTRO_")
                used |= {name} if known else set()
                if not known and name in own:
                    yield f"{where}: the program knows no {name}"
            yield from (f"{where}: {what}" for what in values(found, one, template))
            if is_server(owner):
                refusal = help.refuses(one["command"], found)
                if refusal:
                    yield f"{where}: {refusal}"
    for config in objects.kind("ConfigMap"):
        for name in config["data"]:
            if name not in used:
                yield f"{label(config)}: no program knows {name}"
            if name.startswith("LASTRO_") and f"`{name}`" not in help.documented:
                yield f"{label(config)}: docs/configuration.md does not name {name}"


def values(found, one, template):
    """Addresses are ports of the container, and files are in its volume."""
    its = {port["name"]: port["containerPort"] for port in one.get("ports", [])}
    flags = dict(zip(one["command"], one["command"][1:]))
    listens = {
        "http": found.get("LASTRO_LISTEN"),
        "metrics": flags.get("--metrics-listen", found.get("LASTRO_METRICS_LISTEN")),
    }
    if {name: address and int(address.rsplit(":", 1)[1]) for name, address in listens.items()} != {
        name: its.get(name) for name in listens
    }:
        yield f"listens at {listens}, and its ports are {its}"
    for name, value in found.items():
        if value.startswith("/") and not value.startswith(SECRETS):
            yield f"{name}: {value} is in no volume"
    mounts = {mount["mountPath"] for mount in one["volumeMounts"]}
    if mounts != {SECRETS.rstrip("/")}:
        yield f"mounts {mounts}"


def secrets(objects, documented):
    """`documented` has the keys of each Secret."""
    for one in objects.kind("Secret"):
        yield f"{label(one)}: secrets are not in the repository"
    for owner, template in objects.templates():
        keys = set()
        for volume in template["spec"].get("volumes", []):
            for source in volume.get("projected", {}).get("sources", []):
                secret = source["secret"]["name"]
                if secret not in documented:
                    yield f"{label(owner)}: docs/operations.md does not list the Secret {secret}"
                listed = documented.get(secret, set())
                items = {item["key"] for item in source["secret"].get("items", [])}
                if items - listed:
                    yield f"{label(owner)}: docs/operations.md does not list {items - listed}"
                keys |= items or listed
        for one in containers(template):
            for name, value in environment(objects, one).items():
                file = value.removeprefix(SECRETS)
                if value.startswith(SECRETS) and file not in keys:
                    yield f"{label(owner)}: no Secret of its volume has {file} ({name})"
    made = {one["metadata"]["name"] for one in objects.kind("ExternalSecret")}
    if made and made != set(documented):
        yield f"ExternalSecrets make {made ^ set(documented)} too much or too little"


def services(objects):
    for one in objects.kind("Service"):
        found = objects.selected({"matchLabels": one["spec"]["selector"]})
        if not found:
            yield f"{label(one)}: selects no pod"
        for port in one["spec"]["ports"]:
            if any(port["targetPort"] not in ports(template) for template in found):
                yield f"{label(one)}: its pods have no port {port['targetPort']}"
    for owner, name, port in backends(objects):
        service = objects.named("Service", name)
        its = service["spec"]["ports"] if service else []
        if not any(port in (one["name"], one["port"]) for one in its):
            yield f"{owner}: there is no Service {name} with port {port}"
    if not backends(objects) and objects.kind("Ingress", "HTTPRoute"):
        yield "nothing is published"


def backends(objects):
    found = []
    for one in objects.kind("Ingress"):
        for rule in one["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                service = path["backend"]["service"]
                port = service["port"]
                found.append((label(one), service["name"], port.get("name", port.get("number"))))
    for one in objects.kind("HTTPRoute"):
        for rule in one["spec"]["rules"]:
            found += [(label(one), its["name"], its["port"]) for its in rule["backendRefs"]]
    return found


def queues(objects):
    """What is scaled by is what the services use at the broker."""
    broker = (ROOT / "deploy/nats.conf").read_text()
    for one in objects.kind("ScaledObject"):
        for trigger in one["spec"]["triggers"]:
            if trigger["type"] == "nats-jetstream":
                its = trigger["metadata"]
                consumer = f"$JS.API.CONSUMER.INFO.{its['stream']}.{its['consumer']}\""
                if consumer not in broker or f"  {its['account']} {{" not in broker:
                    yield f"{label(one)}: deploy/nats.conf has no account or consumer of that name"


def availability(objects):
    for kind in ("PodDisruptionBudget", "PodMonitor"):
        for one in objects.kind(kind):
            if not objects.selected(one["spec"]["selector"]):
                yield f"{label(one)}: selects no pod"
    for one in objects.kind("PodMonitor"):
        for template in objects.selected(one["spec"]["selector"]):
            for endpoint in one["spec"]["podMetricsEndpoints"]:
                if endpoint["port"] not in ports(template):
                    yield f"{label(one)}: {labels(template)} has no port {endpoint['port']}"
    scaled = {}
    for one in objects.kind("HorizontalPodAutoscaler", "ScaledObject"):
        spec = one["spec"]
        target = spec["scaleTargetRef"]["name"]
        if objects.named("Deployment", target) is None:
            yield f"{label(one)}: there is no Deployment {target}"
        if target in scaled:
            yield f"{label(one)}: {scaled[target]} scales {target}, too"
        scaled[target] = label(one)
        if spec.get("minReplicas", spec.get("minReplicaCount", 1)) < 2:
            yield f"{label(one)}: one replica is none while it is replaced"
    for owner in filter(is_server, objects.kind("Deployment")):
        template = owner["spec"]["template"]
        name = owner["metadata"]["name"]
        if (name in scaled) == ("replicas" in owner["spec"]):
            yield f"{label(owner)}: either it has replicas, or an autoscaler has"
        budgets = objects.kind("PodDisruptionBudget")
        count = [matches(one["spec"]["selector"], labels(template)) for one in budgets].count(True)
        if count != 1:
            yield f"{label(owner)}: {count} budgets"
        spread = template["spec"].get("topologySpreadConstraints", [])
        if {one["topologyKey"] for one in spread} != {
            "kubernetes.io/hostname",
            "topology.kubernetes.io/zone",
        }:
            yield f"{label(owner)}: is not spread over nodes and zones"
        if any(not matches(one["labelSelector"], labels(template)) for one in spread):
            yield f"{label(owner)}: other pods are spread, and not its own"
    for owner, template in objects.templates():
        its = owner["spec"].get("selector")
        if its and not matches(its, labels(template)):
            yield f"{label(owner)}: does not select its own pods"


def network(objects):
    policies = objects.kind("NetworkPolicy")
    both = ["Ingress", "Egress"]
    whole = [one["spec"] for one in policies if one["spec"]["podSelector"] == {}]
    if not any(spec["policyTypes"] == both and len(spec) == 2 for spec in whole):
        yield "no NetworkPolicy denies by default"
    open_ports = set()
    reached = {}
    for one in policies:
        spec = one["spec"]
        found = objects.selected(spec["podSelector"])
        if not found:
            yield f"{label(one)}: selects no pod"
        rules = [("from", rule) for rule in spec.get("ingress", [])]
        rules += [("to", rule) for rule in spec.get("egress", [])]
        for side, rule in rules:
            peers = rule.get(side) or [{}]
            if {} in peers or not rule.get("ports"):
                yield f"{label(one)}: open to everybody, or at every port"
            if any(peer.get("namespaceSelector") == {} for peer in peers):
                yield f"{label(one)}: open to every namespace"
            for port in rule.get("ports", []):
                for template in found:
                    name = template["metadata"]["labels"]["app.kubernetes.io/name"]
                    if side == "to":
                        reached.setdefault(name, set()).add(port["port"])
                    elif port["port"] not in ports(template):
                        yield f"{label(one)}: {name} has no port {port['port']}"
                    else:
                        number = ports(template)[port["port"]]["containerPort"]
                        open_ports.add((name, number))
    for owner, template in objects.templates():
        name = labels(template)["app.kubernetes.io/name"]
        for port in [one for its in containers(template) for one in its.get("ports", [])]:
            if (name, port["containerPort"]) not in open_ports:
                yield f"{label(owner)}: nobody may reach its port {port['name']}"
        needed = {53, 5432} | ({4222} if is_server(owner) else set())
        missing = needed - reached.get(name, set())
        if missing:
            yield f"{label(owner)}: may not reach the ports {missing}"


def versions(objects):
    manifest = (ROOT / "Cargo.toml").read_text()
    version = re.search(r'\[workspace.package\]\nversion = "(.*)"', manifest)[1]
    for owner, template in objects.templates():
        for one in containers(template):
            if not one["image"].endswith(f":{version}"):
                yield f"{label(owner)}: {one['image']} is not version {version}"
    for one in objects.kind("Job"):
        if not one["metadata"]["name"].endswith("-" + version.replace(".", "-")):
            yield f"{label(one)}: the name does not end with version {version}"


def documented_secrets():
    """The table of Secrets in docs/operations.md: the keys of each."""
    text = (ROOT / "docs/operations.md").read_text()
    table = re.search(r"\n\| Secret \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text)
    assert table, "docs/operations.md has no table of Secrets"
    found = {}
    for row in table[1].splitlines():
        cells = [re.findall(r"`([^`]+)`", cell) for cell in row.strip("|").split("|")]
        for name in cells[0]:
            found[name] = set(cells[1])
    return found


def complaints(objects, help, documented):
    """What is wrong with these objects."""
    objects = Objects(objects)
    found = list(schemas(objects))
    if found:
        # The rules take the form for granted.
        return found
    rules = [names, pods, probes, services, queues, availability, network, versions]
    for rule in rules:
        found += rule(objects)
    found += settings(objects, help)
    found += secrets(objects, documented)
    return found


def main(program, *renderings):
    help, documented = Help(program), documented_secrets()
    found = []
    read = set()
    for rendering in renderings:
        name, file = rendering.split("=", 1)
        text = pathlib.Path(file).read_text()
        objects = [one for one in yaml.safe_load_all(text) if one]
        read |= {secret for secret in documented if f"name: {secret}\n" in text}
        found += [f"{name}: {what}" for what in complaints(objects, help, documented)]
        print(f"{name}: {len(objects)} objects")
    unread = documented.keys() - read
    found += [f"docs/operations.md lists the Secret {name}, which no pod reads" for name in unread]
    if found:
        sys.exit("\n".join(found))
    for name, damage in DAMAGES.items():
        damaged = copy.deepcopy(objects)
        damage(damaged)
        what = complaints(damaged, help, documented)
        if not what:
            sys.exit(f"a damage was not found: {name}")
        if os.environ.get("VERBOSE"):
            print(f"{name}: {what}")
    print(f"kubernetes: ok, for {' and '.join(VERSIONS)}; {len(DAMAGES)} damages are found")


if __name__ == "__main__":
    main(*sys.argv[1:])
