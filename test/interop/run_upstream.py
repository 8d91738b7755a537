"""python run_upstream.py MODULE [ARGUMENT...]: `python -m MODULE`, on a Python newer than the one upstream was written for."""
import dataclasses
import runpy
import sys

plain_dataclass = dataclasses.dataclass


# Since 3.11 a default value must be hashable, and the instances of a dataclass are not unless it says so; upstream has one as a default.
def hashable_dataclass(cls, **options):
    if "__hash__" not in vars(cls):
        cls.__hash__ = object.__hash__
    return plain_dataclass(cls, **options)


dataclasses.dataclass = lambda cls=None, **options: hashable_dataclass(cls, **options) if cls else plain_dataclass(**options)
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
