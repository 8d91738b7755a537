"""The faults. A case builds its world, and says in `faults(world)` what happens to it; run.py does what all have in common: load, watches, checks."""
import random
import subprocess
import time

from process import Failed, wait
from proxy import Network
from world import COMPONENTS

CASES = {}
LEASE_SECONDS = 6  # the ttl of a controller's lease
# A pause that everybody else notices: longer than a lease lives, and than etcd waits for an answer.
LONG = LEASE_SECONDS + 3


class Case:
    def __init__(self, name, faults, world=None, load=None, disk=0, quick=False, gap_ms=None):
        self.name, self.faults = name, faults
        self.world = world or {}
        self.load = load or {}
        self.disk = disk  # bytes of a small file system
        self.quick = quick  # part of ctest
        self.gap_ms = gap_ms  # how long at the most nobody may be able to write, where others serve meanwhile
        self.what = " ".join(faults.__doc__.split())


def case(name, quick=False, **options):
    def take(faults):
        CASES[name] = Case(name, faults, quick=quick, **options)
        return faults

    return take


SQLITE = {"store": "sqlite", "servers": 1}
APART = {"controllers": "apart"}
PROXIED = {"proxied": True}
# An election of etcd, a second of patience with a silent member, and a machine that is busy.
GAP_MS = 6000


# ---- one server on its own file

@case("sqlite-kill", quick=True, world=SQLITE)
def sqlite_kill(w):
    """kill -9 of the only server, three times, on the same file."""
    for _ in range(3):
        w.kill(w.servers[0])
        w.start_again(w.servers[0])
        w.progress(100)


@case("sqlite-pause", world=SQLITE)
def sqlite_pause(w):
    """The only server is stopped for longer than clients wait and leases live, and continued."""
    w.pause(w.servers[0])
    w.hold(LONG)
    w.resume(w.servers[0])
    w.progress(100)


@case("sqlite-disk-full", quick=True, world=SQLITE, disk=24 << 20)
def sqlite_disk_full(w):
    """The disk of the only server is full: writes are refused with the reason, reads go on; with room again it serves as before, and after kill -9 too."""
    w.mark("the disk is full")
    w.disk.fill()
    expect_clear_refusal(w, 0, "full", "space")
    w.hold(2)
    expect_reads(w)
    w.mark("there is room again")
    w.disk.free()
    w.progress(100)
    w.kill(w.servers[0])
    w.start_again(w.servers[0])
    w.progress(50)


# ---- several servers on one etcd: processes die and sleep

@case("server-kill", gap_ms=GAP_MS, quick=True)
def server_kill(w):
    """Each API server, with the controllers inside, is killed in turn; the others serve meanwhile."""
    for server in w.servers:
        w.kill(server)
        w.progress(100, [s for s in w.servers if s is not server])
        w.start_again(server)
        w.progress(50, [server])


@case("server-pause", gap_ms=GAP_MS)
def server_pause(w):
    """Each API server is stopped for longer than its leases live, and continued: it must not act or answer on what it believes."""
    place = w.deploy("steady")
    for server in w.servers:
        w.pause(server)
        w.hold(LONG)
        w.progress(50, [s for s in w.servers if s is not server])
        w.resume(server)
        w.progress(50, [server])
    w.check_places({"steady": place})


@case("leader-kill", gap_ms=GAP_MS)
def leader_kill(w):
    """The process that holds the lease of each controller is killed in turn; another takes over within the lease's time."""
    for lease in COMPONENTS:
        leader = w.leader_process(lease)
        w.kill(leader)
        begin = time.monotonic()
        w.leader_process(lease)
        w.mark(f"{lease} taken over after {time.monotonic() - begin:.1f} s")
        w.start_again(leader)


@case("leader-pause", gap_ms=GAP_MS, world=APART)
def leader_pause(w):
    """Controllers are processes of their own, two of each: every leader is stopped until another has taken over, an application is deployed by the new
    leader, and the old one is continued."""
    for number, lease in enumerate(COMPONENTS):
        leader = w.leader_process(lease)
        w.pause(leader)
        w.leader_process(lease)  # another one: a paused process does not answer
        w.deploy(f"paused{number}")
        w.resume(leader)
        w.progress(50)
        w.check_places({f"paused{number}": place_of(w, f"paused{number}")})


@case("controllers-kill", gap_ms=GAP_MS, world=APART)
def controllers_kill(w):
    """Controllers are processes of their own, two of each: every leader is killed while somebody breaks the workload it keeps."""
    place = w.deploy("victim")
    for lease in COMPONENTS:
        uid = w.clusters[place].deployments()["victim-demo"]["metadata"]["uid"]
        leader = w.leader_process(lease)
        w.kill(leader)
        w.clusters[place].delete("victim-demo")
        wait(f"the workload to be back after the leader of {lease} was killed",
             lambda: w.clusters[place].deployments().get("victim-demo", {"metadata": {"uid": uid}})["metadata"]["uid"] != uid, 60)
        w.start_again(leader)
    w.check_places({"victim": place})


def place_of(w, app):
    return next(n for n in w.names if f"{app}-demo" in w.clusters[n].deployments())


@case("etcd-kill", gap_ms=GAP_MS, quick=True)
def etcd_kill(w):
    """Each etcd member is killed in turn, the leader first."""
    first = w.etcd.leader()
    for member in [first, *(m for m in w.etcd.members if m is not first)]:
        w.kill(member)
        w.progress(100, w.servers)
        w.start_again(member)


@case("etcd-pause", gap_ms=GAP_MS, load={"timeout": 0.5})
def etcd_pause(w):
    """Each etcd member is stopped for a while and continued, the leader first: servers that talk to it must go to another, also when no client waits long
    enough to see them do so."""
    first = w.etcd.leader()
    for member in [first, *(m for m in w.etcd.members if m is not first)]:
        w.pause(member)
        w.hold(3)
        w.progress(100, w.servers)
        w.resume(member)
        w.etcd.wait_healthy()


@case("etcd-secured-kill", gap_ms=GAP_MS, world={"etcd": {"tls": True, "auth": True}})
def etcd_secured_kill(w):
    """As etcd-kill, with TLS and a password: tokens are of one member and die with it."""
    etcd_kill(w)


@case("etcd-majority-kill")
def etcd_majority_kill(w):
    """Two of three etcd members are killed: nothing can be written or read, and the servers say so; when one is back, they serve again."""
    leader = w.etcd.leader()
    victims = [leader, next(m for m in w.etcd.members if m is not leader)]
    for member in victims:
        w.kill(member)
    for i in range(len(w.servers)):
        expect_clear_refusal(w, i, "etcd")
    w.start_again(victims[0])
    for i in range(len(w.servers)):
        w.wait_ready(i)
    w.progress(100, w.servers)
    w.start_again(victims[1])


@case("etcd-all-kill")
def etcd_all_kill(w):
    """All etcd members die at once, as when the power goes, and come back with what they had on disk."""
    for member in w.etcd.members:
        w.kill(member)
    for member in w.etcd.members:
        w.mark(f"start {member.name}")
        member.start()
    w.etcd.wait_healthy()
    w.progress(100, w.servers)


@case("everything-kill")
def everything_kill(w):
    """Every API server and every etcd member is killed at the same time, and started again in another order."""
    for process in (*w.servers, *w.etcd.members):
        w.kill(process)
    for server in w.servers:  # they must wait for their store, or be started again by whoever looks after them
        w.mark(f"start {server.name}")
        server.start()
    for member in w.etcd.members:
        w.mark(f"start {member.name}")
        member.start()
    w.etcd.wait_healthy()
    for server in w.servers:
        if not server.alive():
            w.mark(f"start {server.name}, which gave up without its store")
            server.start()
        w.wait_ready(w.servers.index(server))
    w.progress(100, w.servers)


# ---- the network

def each_way(w, select, servers):
    """Cut without a word, both ways and one way, refused, broken on one side; each time `servers` serve meanwhile, and afterwards all do. `select` gives the
    links anew for each fault."""
    faults = {"cut": w.network.cut, "cut towards it": lambda links: w.network.cut(links, backward=False),
              "cut from it": lambda links: w.network.cut(links, forward=False), "refused": w.network.refuse, "half open": w.network.half_open}
    for name, inject in faults.items():
        what, links = select()
        w.mark(f"{what} is {name}")
        inject(links)
        w.progress(50, servers)
        w.hold(1)
        w.network.heal()
        w.progress(50, w.servers)


@case("net-server-member", gap_ms=GAP_MS, quick=True, world=PROXIED)
def net_server_member(w):
    """One API server loses the etcd member that it talks to: it finds another one by itself."""

    def link_in_use():
        links = [w.network.link("server-0", m.name) for m in w.etcd.members]
        before = [link.forward.passed for link in links]
        w.progress(20, [w.servers[0]])
        moved = [link.forward.passed - b for link, b in zip(links, before)]
        link = links[moved.index(max(moved))]
        return f"the link of server-0 to {link.target}", Network.between("server-0", link.target)

    each_way(w, link_in_use, w.servers)


@case("net-server-alone", gap_ms=GAP_MS, world=PROXIED)
def net_server_alone(w):
    """One API server loses all of etcd: it must not answer from memory as if nothing were wrong; the others serve."""
    everything = Network.between("server-0", [m.name for m in w.etcd.members])
    each_way(w, lambda: ("every link of server-0", everything), w.servers[1:])
    w.mark("server-0 is cut off")
    w.network.cut(everything)
    expect_clear_refusal(w, 0, "etcd")
    api = w.api(0, 30.0)
    status, headers, body = api.call("GET", "/core/roles/reg-0-0")
    api.close()
    if status < 500 or not headers["Retry-After"]:
        raise Failed(f"a server that cannot reach its store answered a read with {status}: {body}; Retry-After: {headers['Retry-After']}")
    w.network.heal()


@case("net-leader-alone", gap_ms=GAP_MS, world=PROXIED)
def net_leader_alone(w):
    """The server that leads the scheduler is cut off from etcd for longer than its leases live: it stops leading by itself before another one takes over."""
    leader = w.leader_process("scheduler")
    w.mark(f"{leader.name} is cut off")
    w.network.cut(Network.between(leader.name, [m.name for m in w.etcd.members]))
    begin, said = time.monotonic(), w.leaders.heard.get(leader.name, 0)
    others = [s for s in w.servers if s is not leader]
    wait("another to lead", lambda: any((w.modes(s) or {}).get("scheduler") == "leading" for s in others), seen=lambda: {s.name: w.modes(s) for s in w.servers})
    w.mark(f"taken over after {time.monotonic() - begin:.1f} s")
    w.hold(max(0, LONG - (time.monotonic() - begin)))
    if w.leaders.heard.get(leader.name, 0) == said:
        raise Failed(f"{leader.name} was never heard while it was cut off: nobody knows whether it led")
    if "leading" in (w.modes(leader) or {}).values():
        raise Failed(f"{leader.name} is cut off and says it leads: {w.modes(leader)}")
    w.progress(50, others)
    w.mark("healed")
    w.network.heal()
    w.progress(50, w.servers)


@case("net-etcd-leader", gap_ms=GAP_MS, world=PROXIED)
def net_etcd_leader(w):
    """The etcd leader is cut off from its peers while servers still reach it: they must not believe it."""
    for _ in range(2):
        leader = w.etcd.leader()
        peers = Network.between(leader.name, [m.name for m in w.etcd.members if m is not leader])
        w.mark(f"{leader.name} is cut off from its peers")
        w.network.cut(peers)
        wait("the others to elect a leader", lambda: any(m.is_leader() for m in w.etcd.members if m is not leader))
        w.progress(100, w.servers)
        w.mark("healed")
        w.network.heal()
        w.etcd.wait_healthy()


@case("net-etcd-one-way", gap_ms=GAP_MS, world=PROXIED)
def net_etcd_one_way(w):
    """The etcd leader hears its peers but is not heard, then the other way round."""
    for forward, backward in ((True, False), (False, True)):
        leader = w.etcd.leader()
        w.mark(f"{leader.name} is {'not heard' if forward else 'deaf'}")
        w.network.cut(Network.between(leader.name, [m.name for m in w.etcd.members if m is not leader], both=False), forward, backward)
        w.network.cut(Network.between([m.name for m in w.etcd.members if m is not leader], leader.name, both=False), backward, forward)
        w.progress(100, w.servers)
        w.hold(3)
        w.network.heal()
        w.etcd.wait_healthy()


@case("net-slow", world=PROXIED)
def net_slow(w):
    """Links between servers and etcd have 30 ms of delay, then little bandwidth; nothing fails, all is slow."""
    servers = Network.between([s.name for s in w.servers], [m.name for m in w.etcd.members])
    w.mark("30 ms of delay each way")
    w.network.slow(servers, delay=0.03)
    w.progress(30, w.servers)
    w.mark("200 kB/s")
    w.network.slow(servers, rate=200_000)
    w.progress(30, w.servers)
    w.network.heal()


@case("chaos", world=PROXIED)
def chaos(w):
    """Two faults at a time, chosen by the seed, so that a majority of etcd stays: a server and a member or a link; twelve rounds."""
    chance = random.Random(w.seed)
    for _ in range(12):
        server, member = chance.choice(w.servers), chance.choice(w.etcd.members)
        link = Network.between(chance.choice(w.servers).name, chance.choice(w.etcd.members).name)
        undo = []
        for fault in chance.sample(["server-kill", "server-pause", "member-kill", "member-pause", "cut", "half-open", "slow"], 2):
            victim = server if fault.startswith("server") else member
            if fault.endswith("kill") and victim.alive():
                w.kill(victim)
                undo.append(lambda victim=victim: w.start_again(victim))
            elif fault.endswith("pause") and victim.alive():
                w.pause(victim)
                undo.append(lambda victim=victim: w.resume(victim))
            elif fault in ("cut", "half-open", "slow"):
                w.mark(f"a link is {fault}")
                {"cut": lambda: w.network.cut(link), "half-open": lambda: w.network.half_open(link), "slow": lambda: w.network.slow(link, delay=0.05)}[fault]()
        w.hold(chance.uniform(0.5, LONG / 2))
        w.mark("links are healed")
        w.network.heal()
        chance.shuffle(undo)
        for act in undo:
            act()
        w.etcd.wait_healthy()
        w.progress(30, w.servers)


# ---- disks of etcd

@case("etcd-quota", world={"etcd": {"quota_bytes": 16 << 20}})
def etcd_quota(w):
    """etcd's quota is used up, its alarm is raised: writes are refused with the reason, reads go on, and when there is room again servers serve."""
    w.mark("the quota is being used up")
    count = 0
    while True:
        result = subprocess.run(["etcdctl", "put", f"/ballast/{count}"], input="x" * 1_000_000, env=w.etcd.environment("root"), capture_output=True, text=True)
        count += 1
        if "database space exceeded" in result.stderr:
            break
        if result.returncode or count > 100:
            raise Failed(f"the quota is not reached: {count} puts, {result.stdout}{result.stderr}")
    for i in range(len(w.servers)):
        expect_clear_refusal(w, i, "space")
    expect_reads(w)
    w.mark("room is made, the alarm is disarmed")
    revision = w.etcd.etcdctl("get", "/ballast/0", "-w", "fields").split('"Revision" :')[1].split()[0]
    w.etcd.etcdctl("del", "--prefix", "/ballast/")
    w.etcd.etcdctl("compact", revision)
    for member in w.etcd.members:
        w.etcd.etcdctl("defrag", endpoints=[member.client_url])
    w.etcd.etcdctl("alarm", "disarm")
    w.etcd.wait_healthy()
    w.progress(100, w.servers)


@case("etcd-disk-full", gap_ms=GAP_MS, disk=400 << 20, load={"pace": 0.01})
def etcd_disk_full(w):
    """The disk of one etcd member is full: it dies, the others go on; with room again it comes back."""
    member = w.etcd.members[0]
    w.mark(f"the disk of {member.name} is full")
    w.disk.fill()
    count = 0

    def dead():
        nonlocal count
        if not member.alive():
            return True
        # What it has reserved is used up by something large.
        subprocess.run(["etcdctl", "put", f"/ballast/{count % 3}"], input="x" * 1_000_000, env=w.etcd.environment("root"), capture_output=True, text=True)
        count += 1
        return False

    member.wanted = False
    wait(f"{member.name} to fail on its full disk", dead, 120)
    w.progress(100, w.servers)
    w.mark("there is room again")
    w.disk.free()
    w.start_again(member)
    w.etcd.wait_healthy()


def expect_clear_refusal(w, number, *words):
    """A write fails with a status that says "try again" and a text that says why."""
    status, problem = w.refused_with(number)
    text = str((problem or {}).get("detail", ""))
    if status < 500 or len(text) < 10:
        raise Failed(f"server-{number} refuses a write without saying why: {status} {problem}")
    w.mark(f"server-{number} says: {status} {text[:160]}")
    if words and not any(word in text.lower() for word in words):
        raise Failed(f"server-{number}: the reason names none of {words}: {text}")


def expect_reads(w):
    """Every server answers reads."""
    for i in range(len(w.servers)):
        api = w.api(i, 10.0)
        if api.get("/core/roles") is None:
            raise Failed(f"server-{i} has no roles")
        api.close()
