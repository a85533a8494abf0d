"""Runs what the rendered pods run, as processes of this machine, and sees whether it works.

    pods.py PROGRAM FILE

FILE is what `kubectl kustomize` printed, and PROGRAM is `lastro`. `scripts/kubernetes --pods` runs
it in a network of its own, as root. Each pod is a process with namespaces of its own (network, mounts,
process ids), a root that is read-only, the user, groups, command and environment of its container,
its Secrets mounted as the kubelet does, and the NetworkPolicies as rules of iptables. What is tried
against are PostgreSQL and NATS, with TLS and passwords. There is no scheduler, no kubelet and no
network plug-in.
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import yaml

from check import Objects, environment, labels, matches, ports

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
POSTGRES, NATS = "postgres-rw.databases.svc", "nats.messaging.svc"
# The namespaces of the example, by an address of each. The first one stands for the node.
NODE = "10.99.0.1"
NEIGHBOURS = {
    "ingress": "10.99.0.2",
    "monitoring": "10.99.0.3",
    "databases": "10.99.0.4",
    "messaging": "10.99.0.5",
    "kube-system": "10.99.0.6",
    "default": "10.99.0.7",
}
FIRST_POD = 20
SCOPES = "orders:write,orders:read,stock:read,stock:receive,catalog:write,ops:read"
ORDER = {
    "customer_id": "123456",
    "products": [{"product_id": "789", "quantity": 2, "price": 19.99}],
}


def run(*command, **options):
    return subprocess.run(command, check=True, text=True, capture_output=True, **options).stdout


def step(what):
    print(f"\n== {what} ==", flush=True)


def saw(what):
    print(f"   {what}", flush=True)


def expect(holds, what):
    if not holds:
        sys.exit(f"pods: {what}")


def wait(what, condition, seconds=60):
    began = time.monotonic()
    while not condition():
        expect(time.monotonic() - began < seconds, f"timed out: {what}")
        time.sleep(0.05)
    saw(f"{what}: after {time.monotonic() - began:.1f} s")


class Cluster:
    """The network, the servers, the Secrets and the pods."""

    def __init__(self, objects, program, work):
        self.objects, self.program, self.work = objects, program, work
        self.pods, self.servers = [], {}
        self.lay_network()
        self.certificates()
        self.key, self.other_key = self.make_keys()

    def lay_network(self):
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "pods", "type", "bridge")
        run("ip", "link", "set", "pods", "up")
        for address in [NODE, *NEIGHBOURS.values()]:
            run("ip", "addr", "add", f"{address}/24", "dev", "pods")
        # Seen by this process and its children only.
        run("mount", "-t", "tmpfs", "tmpfs", "/run")
        run("mkdir", "-p", "/run/netns", "/run/secrets/lastro")
        hosts = self.work / "hosts"
        names = {POSTGRES: NEIGHBOURS["databases"], NATS: NEIGHBOURS["messaging"]}
        lines = [f"{address} {name}\n" for name, address in names.items()]
        hosts.write_text("127.0.0.1 localhost\n" + "".join(lines))
        run("mount", "--bind", str(hosts), "/etc/hosts")

    def certificates(self):
        (self.work / "openssl.cnf").write_text("[req]\ndistinguished_name = name\n[name]\n")
        make = "openssl req -x509 -config openssl.cnf -newkey ed25519 -nodes -days 2".split()
        signed = ["-CA", "ca.pem", "-CAkey", "ca.key"]
        own = ["-addext", "basicConstraints=critical,CA:TRUE"]
        for name, more in (("ca", own), (POSTGRES, signed), (NATS, signed)):
            files = ["-keyout", f"{name}.key", "-out", f"{name}.pem"]
            names = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
            run(*make, *files, *names, *more, cwd=self.work)

    def serve(self, name, command):
        log = open(self.work / f"{name}.log", "a")
        self.servers[name] = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.work)

    def stop(self, name, how):
        self.servers[name].send_signal(how)
        self.servers[name].wait()

    def start_postgres(self):
        data = self.work / "postgres"
        # The newest one of Debian.
        programs = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
        user = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
        if not data.exists():
            data.mkdir()
            for path in (data, self.work / f"{POSTGRES}.key", self.work / f"{POSTGRES}.pem"):
                shutil.chown(path, "postgres")
            make = [*user, programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust"]
            run(*make, "-E", "UTF8", "--no-locale")
            own = "host all postgres 127.0.0.1/32 trust\n"
            theirs = "hostssl all all 10.99.0.0/24 scram-sha-256\n"
            (data / "pg_hba.conf").write_text(own + theirs)
        options = {
            "listen_addresses": f"127.0.0.1,{NEIGHBOURS['databases']}",
            "unix_socket_directories": "",
            "ssl": "on",
            "ssl_cert_file": self.work / f"{POSTGRES}.pem",
            "ssl_key_file": self.work / f"{POSTGRES}.key",
        }
        flags = [word for key, value in options.items() for word in ("-c", f"{key}={value}")]
        self.serve("postgres", [*user, programs / "postgres", "-D", data, *flags])

    def sql(self, statement):
        words = ["psql", "-h", "127.0.0.1", "-U", "postgres", "-v", "ON_ERROR_STOP=1"]
        return run(*words, "-qAtc", statement)

    def is_up(self):
        with contextlib.suppress(subprocess.CalledProcessError):
            return self.sql("SELECT 1") == "1\n"

    def make_databases(self):
        wait("PostgreSQL answers", self.is_up)
        for name in ("orders", "inventory"):
            self.sql(f"CREATE ROLE {name}_owner LOGIN PASSWORD 'owner'")
            self.sql(f"CREATE ROLE {name} LOGIN PASSWORD 'service'")
            self.sql(f"CREATE DATABASE {name} OWNER {name}_owner")
        self.sql("CREATE ROLE reader LOGIN PASSWORD 'reader'")

    def start_nats(self):
        config = self.work / "nats.conf"
        if not config.exists():
            run(ROOT / "deploy/make-secrets", self.work / "secrets")
            text = (ROOT / "deploy/nats.conf").read_text()
            # NATS 2.9 does not know the setting of this file.
            text = text.replace('include "./nats-sync.conf"', "")
            text = text.replace("store_dir: /data", f"store_dir: {self.work}/nats")
            text = text.replace("./nats-passwords.conf", "./secrets/nats-passwords.conf")
            files = f'cert_file: "{NATS}.pem", key_file: "{NATS}.key"'
            config.write_text(f"{text}\ntls {{ {files} }}\n")
        self.serve("nats", ["nats-server", "-c", "nats.conf"])

    def make_keys(self):
        file = self.work / "api-keys.toml"
        make = [self.program, "keys", "create", "--file", file, "--name"]
        return [
            run(*make, name, "--scope", scopes).split()[0]
            for name, scopes in (("shop", SCOPES), ("other", "orders:read"))
        ]

    def secrets(self):
        def database(role, password, name):
            authority = "sslrootcert=/run/secrets/lastro/postgres-ca.pem"
            return f"postgres://{role}:{password}@{POSTGRES}:5432/{name}?{authority}\n"

        def bus(name):
            url = (self.work / f"secrets/{name}-bus-url").read_text()
            return url.replace("nats://", "tls://").replace("@nats:", f"@{NATS}:")

        both = ("orders", "inventory")
        authority = (self.work / "ca.pem").read_text()
        return {
            "order-service": {
                "database-url": database("orders", "service", "orders"),
                "bus-url": bus("order-service"),
            },
            "inventory-service": {
                "database-url": database("inventory", "service", "inventory"),
                "bus-url": bus("inventory-service"),
            },
            "lastro-migrate": {
                f"{name}-database-url": database(f"{name}_owner", "owner", name) for name in both
            },
            "lastro-verify": {
                f"{name}-database-url": database("reader", "reader", name) for name in both
            },
            "lastro-api-keys": {"api-keys.toml": (self.work / "api-keys.toml").read_text()},
            "lastro-authorities": {"postgres-ca.pem": authority, "nats-ca.pem": authority},
        }

    def pod(self, kind, name, index=0):
        owners = self.objects.kind(kind)
        owner = next(one for one in owners if one["metadata"]["name"].startswith(name))
        self.pods.append(Pod(self, owner["spec"]["template"], index))
        return self.pods[-1]

    def end(self):
        for pod in self.pods:
            pod.kill()
        for server in self.servers.values():
            if server.poll() is None:
                server.kill()
            server.wait()


class Pod:
    def __init__(self, cluster, template, index):
        self.cluster, self.spec = cluster, template["spec"]
        number = FIRST_POD + len(cluster.pods)
        self.space, self.address = f"pod{number}", f"10.99.0.{number}"
        one = self.spec["containers"][index]
        self.name = f"{one['name']}-{number}"
        self.folder = cluster.work / self.name
        self.log = self.folder / "log"
        (self.folder / "secrets").mkdir(parents=True)
        self.mount()
        self.connect(template)
        log = open(self.log, "w")
        self.process = subprocess.Popen(self.command(one), stdout=log, stderr=log)

    def mount(self):
        """Writes the Secrets as the kubelet does: into a new folder, to which a link then leads."""
        folder, files = self.folder / "secrets", self.cluster.secrets()
        new = pathlib.Path(tempfile.mkdtemp(prefix="..", dir=folder))
        [volume] = self.spec["volumes"]
        for source in volume["projected"]["sources"]:
            secret = source["secret"]
            keys = [item["key"] for item in secret.get("items", [])] or files[secret["name"]]
            for key in keys:
                (new / key).write_text(files[secret["name"]][key])
        group = self.spec["securityContext"]["fsGroup"]
        for file in [*new.iterdir(), new]:
            os.chown(file, 0, group)
            file.chmod(0o750 if file == new else volume["projected"]["defaultMode"])
        (folder / "..link").symlink_to(new.name)
        (folder / "..link").rename(folder / "..data")
        for file in new.iterdir():
            if not (folder / file.name).is_symlink():
                (folder / file.name).symlink_to(f"..data/{file.name}")

    def connect(self, template):
        run("ip", "netns", "add", self.space)
        peer = ["peer", "name", "eth0", "netns", self.space]
        run("ip", "link", "add", self.space, "type", "veth", *peer)
        run("ip", "link", "set", self.space, "master", "pods", "up")
        run("ip", "-n", self.space, "addr", "add", f"{self.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            run("ip", "-n", self.space, "link", "set", device, "up")
        rules = ["INPUT -i lo", "OUTPUT -o lo", f"INPUT -s {NODE}"]
        rules += [f"{chain} -m conntrack --ctstate ESTABLISHED" for chain in ("INPUT", "OUTPUT")]
        for policy in self.cluster.objects.kind("NetworkPolicy"):
            if matches(policy["spec"]["podSelector"], labels(template)):
                rules += filters(policy["spec"], template)
        inside = ["ip", "netns", "exec", self.space, "iptables"]
        for rule in rules:
            run(*inside, "-A", *rule.split(), "-j", "ACCEPT")
        for chain in ("INPUT", "OUTPUT"):
            run(*inside, "-P", chain, "DROP")

    def command(self, one):
        context = self.spec["securityContext"]
        user = [f"--reuid={context['runAsUser']}", f"--regid={context['runAsGroup']}"]
        user += [f"--groups={context['fsGroup']}", "--no-new-privs"]
        user += ["--bounding-set=-all", "--inh-caps=-all"]
        variables = {"PATH": "/usr/bin:/bin"} | environment(self.cluster.objects, one)
        variables = [f"{name}={value}" for name, value in variables.items()]
        # `lastro NAME` is the program NAME.
        words = one["command"][one["command"][0] == "lastro" :]
        inner = ["setpriv", *user, "env", "-i", *variables, self.cluster.program, *words]
        script = """
            mount --bind "$1" /run/secrets/lastro && mount -t proc proc /proc &&
            mount --rbind / /mnt && mount -o remount,bind,ro /mnt || exit 99
            shift && cd / && exec chroot /mnt "$@"
        """
        apart = ["ip", "netns", "exec", self.space, "unshare", "--mount", "--pid", "--fork"]
        return [*apart, "sh", "-c", script, "sh", str(self.folder / "secrets"), *inner]

    def first_process(self):
        """The pod's process 1, seen from outside."""
        return int(run("pgrep", "-P", str(self.process.pid)))

    def terminate(self):
        os.kill(self.first_process(), signal.SIGTERM)

    def kill(self):
        if self.process.poll() is None:
            os.kill(self.first_process(), signal.SIGKILL)
        self.process.wait()

    def ends(self, seconds=60):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def last_line(self):
        return self.log.read_text().splitlines()[-1]

    def ask(
        self, port, path, method="GET", body=None, key=None, source=NODE, wait=15, header="x-none: 1"
    ):
        """The status and the body of an answer; 000 without one."""
        words = ["curl", "-s", "-m", str(wait), "-X", method, "-w", "\n%{http_code}", "-H", header]
        words += ["--interface", source, f"http://{self.address}:{port}{path}"]
        if body:
            words += ["-H", "content-type: application/json", "-d", json.dumps(body)]
        if key:
            words += ["-H", f"authorization: Bearer {key}"]
        answer = subprocess.run(words, capture_output=True, text=True).stdout
        body, _, status = answer.rpartition("\n")
        return status, body

    def status(self, *words, **options):
        return self.ask(*words, **options)[0]


def filters(spec, template):
    """The rules of a NetworkPolicy: which packets it lets through."""
    found = []
    sides = [("INPUT -s", rule, rule.get("from", [])) for rule in spec.get("ingress", [])]
    sides += [("OUTPUT -d", rule, rule.get("to", [])) for rule in spec.get("egress", [])]
    for chain, rule, peers in sides:
        for peer in peers:
            name = peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
            for port in rule["ports"]:
                number = port["port"]
                if isinstance(number, str):
                    number = ports(template)[number]["containerPort"]
                protocol = port["protocol"].lower()
                found.append(f"{chain} {NEIGHBOURS[name]} -p {protocol} --dport {number}")
    return found


def before_the_migration(cluster):
    step("pods that come before the migration end, and say why")
    for name in ("order-service", "inventory-service", "lastro-verify"):
        pod = cluster.pod("Deployment", name)
        expect(pod.ends() == 1 and "run `migrate` as its owner" in pod.last_line(), pod.last_line())
        saw(f"{pod.name}: code 1: {pod.last_line()}")


def migrate(cluster):
    step("the Job, twice")
    for index in (0, 1, 0, 1):
        pod = cluster.pod("Job", "lastro-migrate", index)
        expect(pod.ends() == 0, pod.last_line())
        saw(f"{pod.name}: {pod.last_line()}")


def start(cluster):
    step("two replicas of each service, and the auditor")
    orders = [cluster.pod("Deployment", "order-service") for _ in range(2)]
    inventory = [cluster.pod("Deployment", "inventory-service") for _ in range(2)]
    auditor = cluster.pod("Deployment", "lastro-verify")
    for pod in [*orders, *inventory, auditor]:
        wait(f"{pod.name} is ready", lambda: pod.status(9464, "/readyz") == "200")
        expect(pod.status(9464, "/livez") == "200", f"{pod.name}: /livez")
    services = [*orders, *inventory]
    whole = '"status":"ready"'
    wait("none is degraded", lambda: all(whole in its.ask(9464, "/readyz")[1] for its in services))
    return orders, inventory, auditor


def policies(cluster, orders, auditor):
    step("who may talk to whom")
    order, ingress, monitoring = orders[0], NEIGHBOURS["ingress"], NEIGHBOURS["monitoring"]
    allowed = [
        (order, ingress, 8081, "/", "200"),
        (order, monitoring, 9464, "/metrics", "200"),
        (auditor, monitoring, 9464, "/metrics", "200"),
        (order, ingress, 9464, "/metrics", "000"),
        (order, monitoring, 8081, "/", "000"),
        (order, NEIGHBOURS["default"], 8081, "/", "000"),
        (auditor, ingress, 9464, "/metrics", "000"),
        # The kubelet may; metrics and probes are not at the port that a gateway publishes.
        (order, ingress, 8081, "/metrics", "404"),
        (order, ingress, 8081, "/readyz", "404"),
    ]
    for pod, source, port, path, status in allowed:
        answer = pod.status(port, path, source=source, wait=1, key=cluster.key)
        expect(answer == status, f"{source} to {pod.name}:{port}{path}: {answer}")
    saw(f"{len(allowed)} ways are open or closed as the policies say")
    other = [f"{NEIGHBOURS['databases']}:22", f"{NEIGHBOURS['default']}:5432"]
    other += [f"{orders[1].address}:8081"]
    for target in other:
        words = ["ip", "netns", "exec", order.space, "curl", "-s", "-m", "1", f"telnet://{target}"]
        code = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True).returncode
        expect(code == 28, f"{order.name} to {target}: {code}")
    saw(f"a pod reaches nothing else: {', '.join(other)}")


def place(cluster, pod, header="prefer: respond-async"):
    gateway = NEIGHBOURS["ingress"]
    status, body = pod.ask(8081, "/api/orders", "POST", ORDER, cluster.key, gateway, 35, header)
    expect(status == "200", f"an order: {status} {body}")
    return json.loads(body)["order_id"], body


def is_confirmed(cluster, pod, order):
    return '"confirmed"' in pod.ask(8081, f"/api/orders/{order}", key=cluster.key)[1]


def one_order(cluster, orders, inventory):
    step("the example order, with a key")
    expect(orders[0].status(8081, "/api/orders") == "401", "without a key")
    product, key = "/api/inventory/products/789", cluster.key
    status, body = inventory[0].ask(8082, product, "PUT", {"name": "Coffee"}, key)
    expect(status == "201", f"{status} {body}")
    receive = {"kind": "receive", "quantity": 100}
    name = "idempotency-key: delivery-2291"
    status, body = inventory[1].ask(8082, f"{product}/movements", "POST", receive, key, header=name)
    expect(status == "201", f"{status} {body}")
    order, body = place(cluster, orders[0], "prefer: wait=30")
    saw(body)
    expect(is_confirmed(cluster, orders[1], order), "the other replica sees it confirmed")


def revoke(cluster, orders, inventory):
    step("a key is revoked, and the Secret replaced")
    order, file = orders[0], cluster.work / "api-keys.toml"
    expect(order.status(8081, "/api/orders", key=cluster.other_key) == "200", "the key is valid")
    listed = run(cluster.program, "keys", "list", "--file", file)
    key = re.search(r"^(\S+) +other", listed, re.MULTILINE)[1]
    run(cluster.program, "keys", "revoke", "--file", file, key)
    for pod in orders + inventory:
        pod.mount()
    wait("it is refused", lambda: order.status(8081, "/api/orders", key=cluster.other_key) == "401")
    expect(order.status(8081, "/api/orders", key=cluster.key) == "200", "the other key is valid")


def without_servers(cluster, orders, inventory):
    step("NATS stops and starts")
    order = orders[0]
    cluster.stop("nats", signal.SIGTERM)
    wait("degraded, and ready", lambda: '"degraded"' in order.ask(9464, "/readyz")[1])
    accepted, body = place(cluster, order)
    saw(body)
    cluster.start_nats()
    wait("the order is confirmed", lambda: is_confirmed(cluster, order, accepted))
    step("PostgreSQL stops and starts")
    cluster.stop("postgres", signal.SIGINT)
    wait("not ready", lambda: order.status(9464, "/readyz") == "503")
    expect(order.status(9464, "/livez") == "200", "/livez without the database")
    cluster.start_postgres()
    everyone = orders + inventory
    wait("all are ready", lambda: all(its.status(9464, "/readyz") == "200" for its in everyone))


def terminate(cluster, orders, inventory, auditor):
    step("SIGTERM, while requests come in")
    leaving, began, served, last = orders[0], time.monotonic(), 0, 0.0
    leaving.terminate()
    wait("/readyz fails", lambda: leaving.status(9464, "/readyz") == "503")
    while leaving.process.poll() is None:
        if leaving.status(8081, "/api/orders", key=cluster.key, wait=2) == "200":
            served, last = served + 1, time.monotonic() - began
        time.sleep(0.1)
    took = time.monotonic() - began
    saw(f"{served} more requests were served, the last after {last:.1f} s")
    saw(f"it ended after {took:.1f} s")
    expect(leaving.process.returncode == 0 and 13 < last < took < 45, "it drains, and ends in time")
    expect(orders[1].status(8081, "/api/orders", key=cluster.key) == "200", "the other replica")
    rest = [orders[1], *inventory, auditor]
    for pod in rest:
        pod.terminate()
    for pod in rest:
        expect(pod.ends() == 0, f"{pod.name}: {pod.last_line()}")
    saw(f"{', '.join(pod.name for pod in rest)}: code 0")
    expect(" 0 violations" in auditor.last_line(), auditor.last_line())
    saw(f"the auditor: {auditor.last_line()}")


def main(program, rendering):
    rendered = yaml.safe_load_all(pathlib.Path(rendering).read_text())
    objects = Objects([one for one in rendered if one])
    with tempfile.TemporaryDirectory(prefix="lastro-pods-") as folder:
        work = pathlib.Path(folder)
        work.chmod(0o711)
        cluster = Cluster(objects, str(pathlib.Path(program).resolve()), work)
        try:
            cluster.start_postgres()
            cluster.start_nats()
            cluster.make_databases()
            before_the_migration(cluster)
            migrate(cluster)
            orders, inventory, auditor = start(cluster)
            policies(cluster, orders, auditor)
            one_order(cluster, orders, inventory)
            revoke(cluster, orders, inventory)
            without_servers(cluster, orders, inventory)
            terminate(cluster, orders, inventory, auditor)
        finally:
            cluster.end()
    print("pods: ok")


if __name__ == "__main__":
    main(*sys.argv[1:])
