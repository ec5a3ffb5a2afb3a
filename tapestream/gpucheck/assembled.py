"""From PTX to machine code by ptxas, without a GPU: what a kernel needs and what it is made of."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from schemas.errors import SettingsError

_TIMEOUT_S = 120
_SAID = {
    "registers": r"Used (\d+) registers",
    "stack_bytes": r"(\d+) bytes stack frame",
    "spill_store_bytes": r"(\d+) bytes spill stores",
    "spill_load_bytes": r"(\d+) bytes spill loads",
    "local_bytes": r"(\d+) bytes lmem",
}
_INSTRUCTION = re.compile(r"^\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_]*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Needs:
    """What one kernel needs of a multiprocessor, and its instructions as they stand in the code.

    Attributes
    ----------
    registers
        Of a thread.
    stack_bytes, local_bytes, spill_store_bytes, spill_load_bytes
        Of a thread in local memory, which is the GPU's main memory; all should be 0.
    instructions, doubles, loads, stores
        All; arithmetic on float64; reads and writes of global memory.
    fused
        Multiply-adds on float64, which divisions and roots are made of.
    contracted
        Whether ptxas makes other code when it may fuse a product and a sum than when it may not.
    """

    registers: int
    stack_bytes: int
    local_bytes: int
    spill_store_bytes: int
    spill_load_bytes: int
    instructions: int
    doubles: int
    fused: int
    loads: int
    stores: int
    contracted: bool

    @property
    def spills(self) -> bool:
        """Whether a thread's values do not all fit into registers."""
        return any((self.stack_bytes, self.local_bytes, self.spill_store_bytes, self.spill_load_bytes))

    def record(self) -> dict[str, int | bool]:
        """As plain data."""
        return asdict(self)


def tool(name: str) -> Path:
    """A program of the CUDA toolkit that comes with triton, and so with torch.

    Raises
    ------
    SettingsError
        When there is none.
    """
    spec = importlib.util.find_spec("triton")
    if spec is not None and spec.origin is not None:
        folder = Path(spec.origin).parent / "backends" / "nvidia" / "bin"
        # The newer assembler of the two: what NVVM writes is newer than the older one reads.
        for candidate in (f"{name}-blackwell", name):
            if (folder / candidate).is_file():
                return folder / candidate
    raise SettingsError(f"{name} is not installed", "pip install triton (it comes with torch on Linux)")


def assemble(ptx: str, architecture: int) -> Needs:
    """Assemble one kernel and read what ptxas says and what nvdisasm shows.

    Raises
    ------
    SettingsError
        When ptxas refuses it.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "kernel.ptx"
        source.write_text(ptx)
        said, code = _build(source, architecture, "true")
        _, unfused = _build(source, architecture, "false")
    found = {key: int(hit[1]) if (hit := re.search(pattern, said)) else 0 for key, pattern in _SAID.items()}
    return Needs(**found, **count(code), contracted=code != unfused)


def count(code: str) -> dict[str, int]:
    """Instructions of a disassembly, by what they do; the padding behind the end is none."""
    names = Counter(_INSTRUCTION.findall(code))
    names.pop("NOP", None)
    return {
        "instructions": names.total(),
        "doubles": sum(number for name, number in names.items() if name in _DOUBLES),
        "fused": names["DFMA"],
        "loads": names["LDG"] + names["LD"],
        "stores": names["STG"] + names["ST"],
    }


_DOUBLES = ("DADD", "DMUL", "DFMA", "DSETP", "DMNMX")


def version(program: str = "ptxas") -> str:
    """Of a tool, such as ``V13.4.59``."""
    hit = re.search(r"V\d[\d.]*", _run(tool(program), "--version"))
    return hit[0] if hit else "unknown"


def _build(source: Path, architecture: int, fuse: str) -> tuple[str, str]:
    binary = source.with_suffix(".cubin")
    arch = f"-arch=sm_{architecture}"
    said = _run(tool("ptxas"), "-v", arch, f"--fmad={fuse}", str(source), "-o", str(binary))
    return said, _run(tool("nvdisasm"), "-c", str(binary))


def _run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode:
        first = (done.stderr.strip().splitlines() or ["no message"])[0]
        raise SettingsError(f"{Path(command[0]).name}: {first}", "the PTX and the tool must be of one age")
    return done.stdout + done.stderr
