#!/usr/bin/env python3
"""The account of the demo's writers is honest: it is clean after a kill, and what a saboteur does shows: writer_test.py BIN"""
import pathlib
import sys
import tempfile

from etcd_cluster import memory_folder
from process import wait
from world import World
from writer import Writers

world = World(sys.argv[1], pathlib.Path(tempfile.mkdtemp(prefix="krake-writer-", dir=memory_folder())), store="sqlite", servers=1)
try:
    world.start()
    writers = Writers(world.urls * 2, world.identity).start()
    wait("writes", lambda: writers.acked() > 100, 60)
    world.kill(world.servers[0])
    world.start_again(world.servers[0])
    before = writers.acked()
    wait("more writes", lambda: writers.acked() > before + 100, 60)
    writers.stop()
    assert writers.account() == ([], []), writers.account()
    assert writers.longest_wait_ms(end=writers.end) > 0 and 0 < writers.availability(writers.begin, writers.end) <= 1

    api = world.api()
    name = next(iter(writers.each[0].created.keys() - {writers.each[0].counter}))
    api.call("DELETE", f"/core/roles/{name}")
    wait("the role to be gone", lambda: api.get(f"/core/roles/{name}") is None)
    assert writers.account() == ([name], []), writers.account()
    api.call("POST", "/core/roles", {"metadata": {"name": name}, "rules": []})
    assert writers.account() == ([], [f"{name} was created again"]), writers.account()
    counter, count = writers.each[1].counter, writers.each[1].count
    api.call("PATCH", f"/core/roles/{counter}", {"metadata": {"labels": {"n": str(count + 2)}}})
    assert len(writers.account()[1]) == 3, writers.account()
    api.call("PATCH", f"/core/roles/{counter}", {"metadata": {"labels": {"n": str(count - 1)}}})
    assert writers.account()[0] == [f"{counter} {count - 1}"], writers.account()
    api.close()
finally:
    world.close()
print("1 passed, 0 failed")
