"""A power cut, a slow disk, a full one: for whole processes, by a library that is loaded before them (power_cut.c).

    disk = ShimmedDisk(data_folder, work_folder)       # work_folder: elsewhere on the same file system
    process = Popen(..., env=os.environ | disk.environment())
    disk.set(fsync_ms=200)                             # at any time, for all processes: see FAULTS
    os.killpg(process.pid, SIGKILL); process.wait()
    report = disk.cut()                                # the folder is now as after a power cut

**What is modelled.** A file keeps what was in it when its last successful fsync or fdatasync began; what was written
behind that is cut off, and a file that was never synced is empty. Names (made, linked, renamed, unlinked) are durable
from the sync of their folder on, in the order of one journal: a folder's sync takes along all names before it, as
ext4 and XFS do. All other names are undone. Files that lay there before count as durable in their whole length.

**What is not.** Bytes that were overwritten or cut off in place count as durable at once. Recordings are only appended
to; for SQLite it means that pages which a checkpoint has written and not synced yet are kept. They are in the log as
well, which is synced before (synchronous=FULL), so a real disk could give an older page and SQLite the same answer.
Torn sectors, a disk that lies about its cache, and reordered journals are not modelled.
"""

from __future__ import annotations

import struct
import subprocess
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

FAULTS = ("fsync_ms", "write_ms", "room", "sync_errno", "name_errno", "hold", "write_errno", "unused")
"""What `set` takes; the meaning of each is at the top of power_cut.c."""

_FORMAT = "<8q"
_NONE = {name: -1 if name == "room" else 0 for name in FAULTS}


@cache
def library() -> Path:
    """The preloaded library, built once a session with gcc."""
    made = Path(tempfile.mkdtemp(prefix="sunhall-shim-")) / "power_cut.so"
    source = Path(__file__).with_suffix(".c")
    command = ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", str(made), str(source), "-ldl"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return made


@dataclass
class Cut:
    """What the power cut took away."""

    truncated: dict[str, int] = field(default_factory=dict)  # path: bytes lost
    undone: list[str] = field(default_factory=list)  # names, newest first


class ShimmedDisk:
    """The files below one folder, as processes with `environment` see them."""

    def __init__(self, root: Path, work: Path) -> None:
        work.mkdir(parents=True)
        self.root = root
        self._journal = work / "journal"
        self._stash = work / "stash"
        self._stash.mkdir()
        self._control = work / "control"
        self._faults = dict(_NONE)
        self.set()
        self._durable = {path.stat().st_ino: path.stat().st_size for path in _files(root)}

    def environment(self, fault_root: Path | None = None) -> dict[str, str]:
        """What to add to a process's environment; faults only happen below `fault_root`, if there is one."""
        return {
            "LD_PRELOAD": str(library()),
            "SUNHALL_SHIM_ROOT": str(self.root),
            "SUNHALL_SHIM_JOURNAL": str(self._journal),
            "SUNHALL_SHIM_STASH": str(self._stash),
            "SUNHALL_SHIM_CONTROL": str(self._control),
            "SUNHALL_SHIM_FAULT_ROOT": str(fault_root or self.root),
        }

    def set(self, **faults: int) -> None:
        """Change some faults; the others stay as they are."""
        unknown = faults.keys() - _NONE.keys()
        if unknown:
            raise ValueError(f"no such fault: {sorted(unknown)}")
        self._faults |= faults
        packed = struct.pack(_FORMAT, *(self._faults[name] for name in FAULTS))
        with self._control.open("r+b" if self._control.exists() else "wb") as file:
            file.write(packed)  # in place: processes have it mapped

    def read(self, fault: str) -> int:
        """A fault's value now (`room` is counted down by writes)."""
        values: tuple[int, ...] = struct.unpack(_FORMAT, self._control.read_bytes())
        return values[FAULTS.index(fault)]

    def cut(self) -> Cut:
        """Take away what was not durable. All processes have been killed before. Once only."""
        lines = [line.split("\t") for line in self._journal.read_text(encoding="utf-8").splitlines()]
        report = Cut()
        for line in reversed(lines[_durable_names(lines) :]):
            if self._undo(line):
                report.undone.append(line[-1])
        sizes = self._durable | {int(line[1]): int(line[2]) for line in lines if line[0] == "S"}
        made = {line[1] for line in lines if line[0] == "C"} | {line[3] for line in lines if line[0] == "R"}
        for path in _files(self.root):
            found = path.stat()
            ours = found.st_ino in sizes or str(path) in made
            keep = min(sizes.get(found.st_ino, 0), found.st_size)
            if ours and keep < found.st_size:
                with path.open("r+b") as file:
                    file.truncate(keep)
                report.truncated[str(path)] = found.st_size - keep
        return report

    def _undo(self, line: list[str]) -> bool:
        """Take one change of a name back; false when there is nothing to take back (it was killed in between)."""
        kind, path = line[0], Path(line[-1])
        try:
            if kind in ("C", "L"):
                path.unlink()
            elif kind == "M":
                path.rmdir()
            elif kind == "X":
                path.mkdir()
            elif kind == "U":
                (self._stash / line[1]).rename(path)
            elif kind == "R":
                path.rename(line[2])
                if line[1] != "-":
                    (self._stash / line[1]).rename(path)
            else:
                return False
        except FileNotFoundError:
            return False
        return True


def _durable_names(lines: list[list[str]]) -> int:
    """How many lines from the first on hold names that are durable."""
    begun: dict[str, int] = {}
    last: dict[str, int] = {}  # by folder: the line of the last change in it, one counted from
    durable = 0
    for number, line in enumerate(lines):
        if line[0] == "d":
            begun[line[1]] = last.get(line[2], 0)
        elif line[0] == "D":
            durable = max(durable, begun[line[1]])
        elif line[0] != "S":
            for name in line[2:] if line[0] == "R" else line[-1:]:
                last[str(Path(name).parent)] = number + 1
    return durable


def _files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
