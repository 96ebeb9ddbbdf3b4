"""Makes the generated modules from protos/*.proto; with --check only says whether they are current.

    python -m protos.generate [--check]

Runs at the repository's root, so that generated imports read `from protos import …`. Needs the `dev` extra.
"""

import argparse
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

ROOT = Path(__file__).parent.parent


def generate(out: Path) -> list[Path]:
    """Writes the modules of every .proto below `out` and returns them, relative to it. Raises RuntimeError."""
    from grpc_tools import protoc

    sources = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "protos").glob("*.proto"))]
    well_known = files("grpc_tools") / "_proto"
    outputs = [f"--{kind}_out={out}" for kind in ("python", "grpc_python", "pyi")]
    if protoc.main(["protoc", f"-I{ROOT}", f"-I{well_known}", *outputs, *(str(ROOT / source) for source in sources)]):
        raise RuntimeError(f"protoc refused {', '.join(sources)}; what it found is printed above")
    return sorted(path.relative_to(out) for path in (out / "protos").glob("*_pb2*.py*"))


def outdated() -> list[Path]:
    """The committed modules that differ from what their .proto would make, missing and superfluous ones included."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = {path: (Path(folder) / path).read_bytes() for path in generate(Path(folder))}
    there = {path.relative_to(ROOT): path.read_bytes() for path in (ROOT / "protos").glob("*_pb2*.py*")}
    return sorted(path for path in fresh.keys() | there.keys() if fresh.get(path) != there.get(path))


def main() -> int:
    parser = argparse.ArgumentParser(description="generate protos/*_pb2*.py from protos/*.proto")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a module is not current")
    if not parser.parse_args().check:
        generate(ROOT)
        return 0
    if stale := outdated():
        names = ", ".join(map(str, stale))
        print(f"{names}: not what the .proto files make. Run `make protos` and commit the result.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
