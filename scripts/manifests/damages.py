"""Damages of the objects that check.py must find. Each changes a list of objects in place."""


def _named(objects, kind, name):
    return next(o for o in objects if o["kind"] == kind and o["metadata"]["name"].startswith(name))


def _pod(objects, name="order-service"):
    return _named(objects, "Deployment", name)["spec"]["template"]["spec"]


def _container(objects, name="order-service"):
    return _pod(objects, name)["containers"][0]


def _config(objects):
    return _named(objects, "ConfigMap", "lastro")["data"]


def _policy(objects, name):
    return _named(objects, "NetworkPolicy", name)["spec"]


def _remove(objects, kind, name):
    objects.remove(_named(objects, kind, name))


def _in_the_repository(objects):
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "order-service"}}
    secret["metadata"]["namespace"] = "lastro"
    objects.append(secret)


DAMAGES = {
    "a field with a typing error": lambda o: _pod(o).update(terminationGracePeriodSecond=60),
    "a field of the wrong type": lambda o: _container(o)["ports"][0].update(containerPort="8081"),
    "a container that may write to its root": lambda o: _container(o)["securityContext"].update(
        readOnlyRootFilesystem=False
    ),
    "a container that keeps a capability": lambda o: _container(o)["securityContext"][
        "capabilities"
    ].update(add=["NET_BIND_SERVICE"]),
    "a pod that may run as root": lambda o: _pod(o)["securityContext"].pop("runAsNonRoot"),
    "a pod with a token of the cluster": lambda o: _pod(o).pop("automountServiceAccountToken"),
    "a namespace that is not restricted": lambda o: _named(o, "Namespace", "lastro")["metadata"][
        "labels"
    ].clear(),
    "an image without a version": lambda o: _container(o).update(image="lastro:latest"),
    "an image of another version": lambda o: _container(o).update(image="lastro:0.0.1"),
    "a migration of another version": lambda o: _named(o, "Job", "lastro")["metadata"].update(
        name="lastro-migrate-0-0-1"
    ),
    "no requests": lambda o: _container(o)["resources"].pop("requests"),
    "no readiness probe": lambda o: _container(o).pop("readinessProbe"),
    "a probe of the wrong port": lambda o: _container(o)["readinessProbe"]["httpGet"].update(
        port="admin"
    ),
    "a liveness probe that asks the database": lambda o: _container(o)["livenessProbe"][
        "httpGet"
    ].update(path="/readyz"),
    "a drain that is longer than the kubelet waits": lambda o: _config(o).update(
        LASTRO_DRAIN_DELAY_S="30"
    ),
    "a misspelt setting": lambda o: _config(o).update(LASTRO_DRAIN_DELAY="15"),
    "a setting of the other service": lambda o: _container(o, "inventory-service")["env"].append(
        {"name": "LASTRO_CURRENCY", "value": "BRL"}
    ),
    "a value that the program refuses": lambda o: _config(o).update(
        LASTRO_API_KEYS_IN_DATABASE="perhaps"
    ),
    "neither keys nor no_auth": lambda o: _config(o).pop("LASTRO_API_KEYS_FILE"),
    "a flag that does not exist": lambda o: _container(o, "lastro-verify")["command"].append(
        "--wach"
    ),
    "a service that listens at another port": lambda o: _container(o)["env"][0].update(
        value="0.0.0.0:8080"
    ),
    "a file of a Secret that no document lists": lambda o: _config(o).update(
        LASTRO_BUS_CA="/run/secrets/lastro/ca.pem"
    ),
    "a Secret that no document lists": lambda o: _pod(o)["volumes"][0]["projected"][
        "sources"
    ].append({"secret": {"name": "other"}}),
    "a secret in the environment": lambda o: _container(o)["env"].append(
        {
            "name": "LASTRO_DATABASE_URL",
            "valueFrom": {"secretKeyRef": {"name": "order-service", "key": "database-url"}},
        }
    ),
    "a Secret in the repository": _in_the_repository,
    "a file by subPath": lambda o: _container(o)["volumeMounts"][0].update(subPath="bus-url"),
    "a Service that selects no pod": lambda o: _named(o, "Service", "order")["spec"][
        "selector"
    ].update({"app.kubernetes.io/name": "orders"}),
    "a Service to a port that no pod has": lambda o: _named(o, "Service", "order")["spec"]["ports"][
        0
    ].update(targetPort="https"),
    "an Ingress to a Service that is not there": lambda o: _remove(o, "Service", "inventory"),
    "a budget that selects no pod": lambda o: _named(o, "PodDisruptionBudget", "order")["spec"][
        "selector"
    ]["matchLabels"].update({"app.kubernetes.io/name": "orders"}),
    "no autoscaler": lambda o: _remove(o, "HorizontalPodAutoscaler", "order"),
    "an autoscaler that leaves one replica": lambda o: _named(
        o, "HorizontalPodAutoscaler", "order"
    )["spec"].update(minReplicas=1),
    "replicas beside an autoscaler": lambda o: _named(o, "Deployment", "order")["spec"].update(
        replicas=2
    ),
    "pods that are not spread": lambda o: _pod(o).pop("topologySpreadConstraints"),
    "no policy that denies by default": lambda o: _remove(o, "NetworkPolicy", "deny"),
    "a policy that selects no pod": lambda o: _policy(o, "to-nats").update(
        podSelector={"matchLabels": {"app.kubernetes.io/component": "service"}}
    ),
    "a policy for everybody": lambda o: _policy(o, "from-gateway")["ingress"][0].pop("from"),
    "a policy for a port that no pod has": lambda o: _policy(o, "from-gateway")["ingress"][0][
        "ports"
    ][0].update(port=8080),
    "no way to the database": lambda o: _remove(o, "NetworkPolicy", "to-postgres"),
    "no way for the scraper": lambda o: _remove(o, "NetworkPolicy", "from-monitoring"),
}
