#!/usr/bin/env python3
"""Faults on real processes: run.py BIN [--only NAME]... [--quick] [--etcd 3.4|3.6|PATH] [--keep] [--list]

Every case starts its own etcd, API servers, controllers and simulated clusters, lets clients write down what they ask and are told, does its harm, heals it,
and checks: linearizable, nothing acknowledged lost, nothing doubled, watches without gap or repeat, controllers at work, one leader of each.
Exit 0: all passed. 1: one failed. 77: what was run passed, but something could not be run here."""
import argparse
import pathlib
import signal
import sys
import tempfile
import time
import traceback

from cases import CASES
from etcd_cluster import memory_folder
from process import Failed
from world import SmallDisk, Unprivileged, World

NOT_RUN = 77


def run(case, args):
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"krake-faults-{case.name}-", dir=memory_folder()))
    options = dict(case.world, seed=args.seed)
    options["etcd"] = {"etcd": args.etcd} | options.get("etcd", {})
    begin = time.monotonic()
    print(f"[{case.name}] {case.what}", flush=True)
    world = None
    passed = False
    try:
        if case.disk:
            options["disk"] = SmallDisk(case.disk, folder / "disk")
            if options.get("store") != "sqlite":
                options["etcd"] |= {"data_folders": [options["disk"].inside / "etcd", None, None], "wrappers": [options["disk"].wrapper, None, None]}
        world = World(args.bin, folder, **options)
        world.start()
        world.begin_load(**case.load)
        case.faults(world)
        numbers = world.check()
        if case.gap_ms and world.longest_gap() > case.gap_ms:
            raise Failed(f"for {world.longest_gap()} ms nobody could write, although others were there to serve; {case.gap_ms} ms are allowed ({numbers})")
        print(f"[{case.name}] ok {numbers} seconds={time.monotonic() - begin:.0f}", flush=True)
        passed = True
        return 0
    except Unprivileged as error:
        print(f"[{case.name}] NOT RUN, nothing is proven: {error}", flush=True)
        return NOT_RUN
    except Exception as error:
        if not isinstance(error, Failed):
            traceback.print_exc()
        print(f"[{case.name}] FAILED: {error}", flush=True)
        for name, process in (world.processes if world else {}).items():
            print(f"--- {name}{'' if process.alive() else ' (not running)'}:\n{process.tail(2500)}", flush=True)
        return 1
    finally:
        if world:
            world.close(keep=args.keep or not passed)
        elif options.get("disk"):
            options["disk"].close()
        if not passed or args.keep:
            print(f"[{case.name}] its files are in {folder}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin", nargs="?", type=pathlib.Path)
    parser.add_argument("--only", action="append", default=[], metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="the cases that ctest runs")
    parser.add_argument("--etcd", default="3.4")
    parser.add_argument("--seed", type=int, default=1, help="of the load and of chaos")
    parser.add_argument("--keep", action="store_true", help="keep the files of cases that passed, too")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    if args.list:
        for case in CASES.values():
            print(f"{case.name:20} {case.what}")
        return 0
    if not args.bin:
        parser.error("want the folder with krake, krakectl and kubesim")
    unknown = [name for name in args.only if name not in CASES]
    if unknown:
        parser.error(f"no such case: {unknown}; --list shows them")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen = [c for c in CASES.values() if (c.name in args.only if args.only else c.quick or not args.quick)]
    results = {case.name: run(case, args) for case in chosen}
    failed = [name for name, result in results.items() if result == 1]
    missing = [name for name, result in results.items() if result == NOT_RUN]
    print(f"faults: {len(results) - len(failed) - len(missing)} passed, {len(failed)} failed {failed or ''}, {len(missing)} not run {missing or ''}".replace("  ", " ").rstrip())
    return 1 if failed else NOT_RUN if missing else 0


if __name__ == "__main__":
    sys.exit(main())
